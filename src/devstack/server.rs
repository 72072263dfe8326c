//! One server of a stack: started, stopped, killed, frozen and started again, always on the same port.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::account::Account;
use super::process::{self, Process};
use super::{Home, Readiness, files, ports, programs, spawner};

/// How long a server may take to be ready; PostgreSQL may have a crash to recover from.
const START: Duration = Duration::from_secs(90);

/// How long a server may take to stop when asked to, before it is killed.
const STOP: Duration = Duration::from_secs(20);

/// How long to wait for the port after the last process on it has ended.
const PORT: Duration = Duration::from_secs(5);

/// How a server's process is started and ended.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment: nothing is inherited beside it.
    pub environment: Vec<(OsString, OsString)>,
    /// How it shows that it serves.
    pub readiness: Readiness,
    /// The user to drop to.
    pub(super) account: Option<Account>,
    /// What asks it to stop in good order.
    pub(super) stop_signal: Signal,
    /// What it gets when this process dies without a word.
    pub(super) death_signal: Signal,
}

impl Launch {
    /// A program that runs as this process's own user and stops on SIGTERM.
    #[must_use]
    pub fn new(program: PathBuf, arguments: Vec<OsString>, readiness: Readiness) -> Self {
        let environment = vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
            ("LANG".into(), "C.UTF-8".into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
        ];
        let (stop_signal, death_signal) = (Signal::TERM, Signal::KILL);
        Self { program, arguments, environment, readiness, account: None, stop_signal, death_signal }
    }

    /// The command, wrapped so that it drops to its user and dies with this process.
    pub(super) fn command(&self, working_directory: &Path, log: &Path) -> anyhow::Result<Command> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(programs::find("setpriv", "util-linux")?);
        if let Some(account) = &self.account {
            command.args(account.setpriv_arguments());
        }
        command
            .args(["--pdeathsig", spawner::death_signal_name(self.death_signal)])
            .arg(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(working_directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C in a terminal goes to the whole foreground group: these are stopped by us, in order, instead.
            .process_group(0);
        Ok(command)
    }
}

/// A server under a data directory. Dropping it kills its process.
#[derive(Debug)]
pub struct Server {
    home: Arc<Home>,
    name: String,
    listen: SocketAddr,
    url: String,
    launch: Launch,
    working_directory: PathBuf,
    process: Option<Process>,
    /// Where this run's part of the log begins, in bytes.
    log_start: u64,
}

impl Server {
    /// A server called `name` that will listen on `listen` and be reached at `url`; it is not started yet.
    ///
    /// It works in the directory of its name under `home`, by which a leftover of it is known.
    pub fn new(home: &Arc<Home>, name: &str, listen: SocketAddr, url: String, launch: Launch) -> anyhow::Result<Self> {
        let working_directory = home.path().join(name);
        files::make_directory(&working_directory, 0o711)?;
        let (home, name) = (Arc::clone(home), name.to_owned());
        Ok(Self { home, name, listen, url, launch, working_directory, process: None, log_start: 0 })
    }

    /// Its name, as in its pid file and its log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pid of its process while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().filter(|process| process.is_running()).map(Process::pid)
    }

    /// Its port, the same over every restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listen.port()
    }

    /// Where clients reach it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it ends before that, with the end of its log, or takes longer than a minute and a half.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.launch().await?;
        let ready = timeout(START, self.ready()).await;
        let outcome = match ready {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(anyhow::anyhow!("{} was not ready after {} s\n{}", self.name, START.as_secs(), self.last_words()))
            }
        };
        if outcome.is_err() {
            self.kill().await;
        }
        outcome
    }

    /// Starts its process without waiting for it to be ready. One that runs already is left as it is.
    pub async fn launch(&mut self) -> anyhow::Result<()> {
        if self.pid().is_some() {
            return Ok(());
        }
        self.process = None;
        // Children of a process that was killed from outside may still hold its port, its memory or its files.
        process::kill_leftovers(&self.working_directory);
        self.wait_for_port().await?;
        let log = self.home.log(&self.name);
        self.log_start = fs::metadata(&log).map(|log| log.len()).unwrap_or_default();
        let command = self.launch.command(&self.working_directory, &log)?;
        let process = Process::spawn(command).with_context(|| format!("cannot start {}", self.name))?;
        let pid = format!("{}\n", process.pid());
        self.process = Some(process);
        files::replace(&self.home.pid_file(&self.name), pid.as_bytes(), 0o644)
    }

    /// Waits until its process has ended by whatever cause; at once when it does not run. Cancel safe.
    pub async fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.exited().await;
        self.forget();
        Some(status)
    }

    /// Asks it to stop in good order, and kills it when it does not; returns when it is gone.
    pub async fn stop(&mut self) {
        if let Some(process) = &mut self.process {
            process.signal(self.launch.stop_signal);
            // A frozen process would never see the request.
            process.thaw();
            if timeout(STOP, process.exited()).await.is_err() {
                process.kill().await;
            }
        }
        self.forget();
    }

    /// SIGKILL, to its own children too; returns when all are gone.
    pub async fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill().await;
        }
        self.forget();
    }

    /// SIGSTOP, to its own children too: connections stay open and nobody answers.
    pub fn freeze(&self) {
        if let Some(process) = &self.process {
            process.freeze();
        }
    }

    /// Lets it go on after [`Server::freeze`].
    pub fn thaw(&self) {
        if let Some(process) = &self.process {
            process.thaw();
        }
    }

    /// Stops it if it runs, and starts it again on the same port.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await;
        self.start().await
    }

    /// The end of what this run has logged.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = self.home.log(&self.name);
        let mut text = Vec::new();
        let read = File::open(&log).and_then(|mut file| {
            let end = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(self.log_start.max(end.saturating_sub(8_192))))?;
            file.read_to_end(&mut text)
        });
        if read.is_err() || text.is_empty() {
            return format!("({} says nothing)", log.display());
        }
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<&str> = text.lines().rev().take(12).collect();
        lines.push("");
        lines.reverse();
        format!("the end of {}:{}", log.display(), lines.join("\n  "))
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        loop {
            if self.pid().is_none() {
                let status = self.exited().await.map(|status| status.to_string()).unwrap_or_default();
                anyhow::bail!("{} ended while starting ({status})\n{}", self.name, self.last_words());
            }
            if self.launch.readiness.holds(reachable(self.listen)).await && self.pid().is_some() {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn wait_for_port(&self) -> anyhow::Result<()> {
        let free = async {
            while !ports::is_free(self.listen) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let name = &self.name;
        timeout(PORT, free)
            .await
            .with_context(|| format!("another program has taken {}, where {name} was to listen", self.listen))
    }

    fn forget(&mut self) {
        self.process = None;
        fs::remove_file(self.home.pid_file(&self.name)).ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.forget();
        }
    }
}

/// The address to connect to for a server that listens on `listen`: one that listens everywhere is reached here.
#[must_use]
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    match address.ip() {
        ip if !ip.is_unspecified() => {}
        ip if ip.is_ipv4() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        _ => address.set_ip(Ipv6Addr::LOCALHOST.into()),
    }
    address
}
