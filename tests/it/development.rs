//! `numbering dev` and `numbering stack` as people and scripts run them: as processes, with signals.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_numbering");

/// A directory that PostgreSQL's own user may pass through when the tests run as root.
fn directory() -> TempDir {
    tempfile::Builder::new().prefix("numbering-development-").tempdir_in("/var/tmp").unwrap()
}

/// A process that ends with its test, however that ends; what it started goes with it.
struct Running(Child);

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is how the tests that pass leave it.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(arguments: &[&str], directory: &Path) -> Running {
    let log = fs::File::create(directory.join("said")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("--data-dir").arg(directory);
    Running(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
}

fn start_dev(directory: &Path) -> Running {
    start(&["dev", "--no-sample", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--restart-delay", "1s"], directory)
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "waited in vain for: {what}");
        sleep(Duration::from_millis(20));
    }
}

fn dev_env(directory: &Path) -> Option<BTreeMap<String, String>> {
    let text = fs::read_to_string(directory.join("dev.env")).ok()?;
    Some(text.lines().filter_map(|line| line.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
}

fn pid(directory: &Path, name: &str) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(directory.join(format!("pids/{name}.pid"))).ok()?.trim().parse().ok()?)
}

/// The processes at work in `directory` or below.
fn at_work_in(directory: &Path) -> Vec<PathBuf> {
    let directory = directory.canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes
        .filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&directory)))
        .collect()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn dev_serves_heals_refuses_a_second_one_and_leaves_nothing_behind() {
    let dir = directory();
    let mut dev = start_dev(dir.path());
    let env = until("dev.env", || dev_env(dir.path()));
    for name in [
        "NUMBERING_HTTP_URL",
        "NUMBERING_GRPC_ADDR",
        "NUMBERING_DATABASE_URL",
        "NUMBERING_REDIS_URL",
        "NUMBERING_NATS_URL",
        "NUMBERING_BILLING_URL",
        "ADMIN_TOKEN",
        "COMPLIANCE_TOKEN",
        "VALIDATOR_TOKEN",
        "TENANT_A_TOKEN",
        "TENANT_B_TOKEN",
        "TENANT_C_TOKEN",
    ] {
        assert!(env.get(name).is_some_and(|value| !value.is_empty()), "{name} is in dev.env");
    }

    for name in ["redis", "nats", "postgres", "replica-1"] {
        let before = pid(dir.path(), name).unwrap();
        kill_process(before, Signal::KILL).unwrap();
        until(&format!("{name} under another pid"), || pid(dir.path(), name).filter(|now| *now != before));
    }

    let second = Command::new(PROGRAM).args(["dev", "--data-dir"]).arg(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains(&format!("in use by process {}", dev.id())), "{said}");
    assert_eq!(dev_env(dir.path()).unwrap(), env, "the first one is left alone");

    send(&dev, Signal::TERM);
    assert!(dev.wait().unwrap().success());
    assert!(at_work_in(dir.path()).is_empty());
    assert!(dev_env(dir.path()).is_none(), "dev.env is there exactly while it serves");
}

#[test]
fn nothing_outlives_a_killed_dev_and_the_next_one_serves_at_the_same_places() {
    let dir = directory();
    let mut dev = start_dev(dir.path());
    let before = until("dev.env", || dev_env(dir.path()));
    send(&dev, Signal::KILL);
    dev.wait().unwrap();
    until("the end of every server", || at_work_in(dir.path()).is_empty().then_some(()));

    // Tokens tell the starts apart by the second that they were made in.
    sleep(Duration::from_millis(1_100));
    let mut dev = start_dev(dir.path());
    let places = |env: &BTreeMap<String, String>| {
        let named = env.iter().filter(|(name, _)| name.starts_with("NUMBERING_"));
        named.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
    };
    let after = until("dev.env of the second start", || {
        // The killed one could not take its own away; tokens are new with every start.
        dev_env(dir.path()).filter(|now| now["ADMIN_TOKEN"] != before["ADMIN_TOKEN"])
    });
    assert_eq!(places(&after), places(&before));
    send(&dev, Signal::INT);
    assert!(dev.wait().unwrap().success());
    assert!(at_work_in(dir.path()).is_empty());
}

#[test]
fn stack_runs_a_command_and_gives_its_exit_code() {
    let dir = directory();
    let mut command = Command::new(PROGRAM);
    command.args(["stack", "--data-dir"]).arg(dir.path());
    let script = "test -n \"$NUMBERING_STACK\" && test -n \"$NUMBERING_STACK_SUPERUSER_URL\" && exit 7";
    let status = command.args(["--", "sh", "-c", script]).status().unwrap();
    assert_eq!(status.code(), Some(7));
    assert!(at_work_in(dir.path()).is_empty());
}
