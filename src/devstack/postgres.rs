//! A private PostgreSQL: made on the first start, durable, on the loopback address only, never run by root.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustix::process::Signal;

use super::account::Account;
use super::process::Process;
use super::{Databases, Home, Launch, Readiness, Server, files, programs};

/// The longest path of a socket that Linux takes, less what PostgreSQL appends to its directory.
const SOCKET_DIRECTORY_MAX: usize = 107 - "/.s.PGSQL.65535.lock".len();

/// Starts PostgreSQL in `home`, with its roles and the database `numbering`.
///
/// # Errors
///
/// When the machine has no PostgreSQL, root's stand-in user cannot reach the data directory, or it does not start.
pub async fn start(home: &Arc<Home>) -> anyhow::Result<(Server, Databases)> {
    start_with(home, &[], &[]).await
}

/// Like [`start`], with more in its environment, and with settings that count instead of the ordinary ones.
pub(super) async fn start_with(
    home: &Arc<Home>,
    environment: &[(OsString, OsString)],
    settings: &[String],
) -> anyhow::Result<(Server, Databases)> {
    let account = Account::for_postgres(home.path())?;
    let databases = Databases::new(home.path(), home.port("postgres")?)?;
    let directory = home.path().join("postgres");
    let data = directory.join("data");
    let binaries = programs::postgres_binaries(&data)?;
    let readiness = Readiness::Postgres(databases.superuser_url("postgres"));
    let mut launch = Launch::new(binaries.join("postgres"), Vec::new(), readiness);
    // Fast shutdown, rather than waiting for every client to leave; and immediate shutdown with this process, because
    // then the postmaster takes its backends with it.
    (launch.stop_signal, launch.death_signal) = (Signal::INT, Signal::QUIT);
    launch.account = account;
    launch.arguments = arguments(&data, databases.port(), settings);
    let listen = (Ipv4Addr::LOCALHOST, databases.port()).into();
    let in_environment = within(launch.clone(), environment)?;
    let mut server = Server::new(home, "postgres", listen, databases.superuser_url("postgres"), in_environment)?;
    if let Some(account) = &launch.account {
        account.own(&directory)?;
    }
    if !data.exists() {
        make_cluster(home, &launch, &binaries, &databases).await?;
    }
    server.start().await?;
    databases.prepare().await.context("cannot prepare the roles and the database")?;
    Ok((server, databases))
}

/// The same launch with more in its environment, which is set only once the user is dropped to: what a preloaded library makes
/// is that user's.
fn within(mut launch: Launch, environment: &[(OsString, OsString)]) -> anyhow::Result<Launch> {
    if !environment.is_empty() {
        let program = std::mem::replace(&mut launch.program, programs::find("env", "coreutils")?);
        let set = environment.iter().map(|(name, value)| [name.as_os_str(), value].join(OsStr::new("=")));
        launch.arguments = set.chain([program.into()]).chain(launch.arguments).collect();
    }
    Ok(launch)
}

fn arguments(data: &Path, port: u16, more: &[String]) -> Vec<OsString> {
    // Beside the data, where PostgreSQL's own user may write.
    let sockets = data.parent().filter(|place| place.as_os_str().len() <= SOCKET_DIRECTORY_MAX);
    let sockets = sockets.unwrap_or(Path::new("")).display();
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={sockets}"),
        "max_connections=200".to_owned(),
        "shared_buffers=128MB".to_owned(),
        "fsync=on".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        "log_line_prefix=%m [%p] %q%u@%d ".to_owned(),
    ];
    // Of a setting that is given twice, the latter counts.
    let settings = settings.into_iter().chain(more.iter().cloned()).flat_map(|setting| ["-c".into(), setting.into()]);
    ["-D".into(), data.into()].into_iter().chain(settings).collect()
}

/// Makes the cluster under another name and renames it, so that a half-made one is never taken for a whole one.
async fn make_cluster(home: &Home, launch: &Launch, binaries: &Path, databases: &Databases) -> anyhow::Result<()> {
    let directory = home.path().join("postgres");
    let fresh = directory.join("data.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).context("cannot remove a half-made database cluster")?;
    }
    let password = directory.join("superuser-password");
    files::replace(&password, databases.superuser_password().as_bytes(), 0o600)?;
    if let Some(account) = &launch.account {
        account.own(&password)?;
    }
    let mut initdb = Launch { program: binaries.join("initdb"), death_signal: Signal::KILL, ..launch.clone() };
    // Passwords go over the loopback address as they are: stored as SCRAM, but without its work on the side of clients,
    // which costs an unoptimised build tens of milliseconds a connection.
    let fixed = ["--username=postgres", "--auth=password", "--encoding=UTF8", "--locale=C.UTF-8", "--pwfile"];
    initdb.arguments = fixed.iter().map(OsString::from).collect();
    initdb.arguments.extend([password.clone().into(), "-D".into(), fresh.clone().into()]);
    let log = home.log("initdb");
    let mut process = Process::spawn(initdb.command(&directory, &log)?).context("cannot start initdb")?;
    let status = process.exited().await;
    fs::remove_file(&password).context("cannot remove the password file that initdb was given")?;
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        anyhow::bail!("initdb failed ({status})\n{}", said.trim_end());
    }
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o700))?;
    fs::rename(&fresh, directory.join("data")).context("cannot move the new database cluster into place")
}
