//! The programs of others that measure beside this one: `h2load`, `pgbench`, `psql`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::Command;

/// Where Debian keeps its PostgreSQL versions, each with a `bin`.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// Runs a program to its end, and gives what it said on standard output.
async fn said(command: &mut Command, name: &str) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("cannot start {name}; script/bench installs it"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{name} failed ({}): {said}\n{complained}", output.status);
    Ok(said)
}

/// A program of PostgreSQL's, from the newest version on the machine, else from PATH.
fn postgres_program(name: &str) -> PathBuf {
    let versions = fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().flatten();
    let programs = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin").join(name)))
    });
    let newest = programs.filter(|(_, program)| program.is_file()).max_by_key(|(version, _)| *version);
    newest.map_or_else(|| name.into(), |(_, program)| program)
}

/// What `h2load` sends, and over how much at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct H2load<'a> {
    pub(crate) path: &'a str,
    /// A file with the framed message of each call.
    pub(crate) body: &'a Path,
    pub(crate) token: &'a str,
    pub(crate) connections: usize,
    pub(crate) streams: usize,
}

impl H2load<'_> {
    fn command(&self, server: SocketAddr, calls: u64) -> Command {
        let mut command = Command::new("h2load");
        command
            .args(["-c", &self.connections.to_string(), "-m", &self.streams.to_string(), "-n", &calls.to_string()])
            // Room for the answers of all streams of a connection, and for itself: no measurement is of windows.
            .args(["-w", "23", "-W", "26", "-d"])
            .arg(self.body)
            .args(["-H", "te: trailers", "-H", "content-type: application/grpc", "-H"])
            .arg(format!("authorization: Bearer {}", self.token))
            .arg(format!("http://{server}{}", self.path));
        command
    }

    /// Makes so many calls, and gives how many it made a second.
    pub(crate) async fn rate(&self, server: SocketAddr, calls: u64) -> anyhow::Result<f64> {
        rate_told(&said(&mut self.command(server, calls), "h2load").await?, calls)
    }

    /// Makes so many calls, and gives the latency of each in seconds, ascending.
    pub(crate) async fn latencies(&self, server: SocketAddr, calls: u64, log: &Path) -> anyhow::Result<Vec<f64>> {
        if log.exists() {
            fs::remove_file(log).context("the log of the run before cannot be removed")?;
        }
        let mut command = self.command(server, calls);
        command.arg("--log-file").arg(log);
        rate_told(&said(&mut command, "h2load").await?, calls)?;
        let lines = fs::read_to_string(log).context("h2load wrote no log")?;
        let micros = lines.lines().filter_map(|line| line.split('\t').nth(2)?.parse::<f64>().ok());
        let mut seconds: Vec<f64> = micros.map(|micros| micros / 1e6).collect();
        anyhow::ensure!(!seconds.is_empty(), "h2load's log is empty");
        seconds.sort_unstable_by(f64::total_cmp);
        Ok(seconds)
    }
}

fn rate_told(said: &str, calls: u64) -> anyhow::Result<f64> {
    let expected = format!("{calls} succeeded, 0 failed, 0 errored, 0 timeout");
    anyhow::ensure!(said.contains(&expected), "not every call of h2load succeeded:\n{said}");
    let line = said.lines().find(|line| line.starts_with("finished in ")).context("h2load does not tell its rate")?;
    let rate = line.split(", ").nth(1).and_then(|rate| rate.strip_suffix(" req/s"));
    rate.and_then(|rate| rate.parse().ok()).with_context(|| format!("h2load's rate cannot be read: {line}"))
}

/// One run of `pgbench`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pgbench<'a> {
    pub(crate) url: &'a str,
    pub(crate) script: &'a str,
    pub(crate) variables: &'a [(&'a str, i64)],
    pub(crate) clients: usize,
    pub(crate) seconds: u64,
}

impl Pgbench<'_> {
    /// Runs of the script a second. The script is written to `directory`.
    pub(crate) async fn rate(&self, directory: &Path) -> anyhow::Result<f64> {
        let file = directory.join("pgbench.sql");
        fs::write(&file, self.script).context("pgbench's script cannot be written")?;
        let mut command = Command::new(postgres_program("pgbench"));
        command
            .args(["-n", "-M", "prepared", "-j", "2", "-c", &self.clients.to_string(), "-T", &self.seconds.to_string()])
            .arg("-f")
            .arg(&file);
        for (name, value) in self.variables {
            command.arg("-D").arg(format!("{name}={value}"));
        }
        let said = said(command.arg(self.url), "pgbench").await?;
        anyhow::ensure!(said.contains("number of failed transactions: 0 "), "statements of pgbench failed:\n{said}");
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
        rate.with_context(|| format!("pgbench does not tell its rate:\n{said}"))
    }
}

/// Runs some commands of `psql` in one session, and stops at the first that fails.
pub(crate) async fn psql(url: &str, commands: &[String]) -> anyhow::Result<String> {
    let mut command = Command::new(postgres_program("psql"));
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
    for one in commands {
        command.arg("-c").arg(one);
    }
    said(command.arg(url), "psql").await
}
