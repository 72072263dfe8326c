//! The data directory of one stack: held by one supervisor at a time, cleared of what a crashed one left running.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::ports::Ports;
use super::{Advised, files, process};

/// A data directory that this process holds until the last server in it is dropped.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    ports: Ports,
    /// An advisory lock, which the kernel lets go of however this process ends.
    _lock: File,
}

impl Home {
    /// Takes the data directory `path`, making it if need be.
    ///
    /// # Errors
    ///
    /// When another supervisor holds it, or it cannot be written.
    pub fn open(path: &Path) -> anyhow::Result<Arc<Self>> {
        files::make_directory(path, 0o711)?;
        let path = path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?;
        let lock = take_lock(&path)?;
        files::make_directory(&path.join("pids"), 0o755)?;
        files::make_directory(&path.join("logs"), 0o755)?;
        clear_leftovers(&path)?;
        let ports = Ports::load(path.join("ports.json"))?;
        Ok(Arc::new(Self { path, ports, _lock: lock }))
    }

    /// The directory itself, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A loopback port for `name`: the one it had before if that is free, else a new one, remembered.
    pub fn port(&self, name: &str) -> anyhow::Result<u16> {
        self.ports.claim(name)
    }

    /// Where the process called `name` writes what it has to say.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    /// The file that holds the pid of the process called `name` while it runs.
    #[must_use]
    pub fn pid_file(&self, name: &str) -> PathBuf {
        self.path.join("pids").join(format!("{name}.pid"))
    }
}

fn take_lock(path: &Path) -> anyhow::Result<File> {
    let file = path.join("lock");
    let mut lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&file)
        .with_context(|| format!("cannot open {}", file.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held_by_another(&mut lock, path).into()),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", file.display()));
        }
    }
    lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()))?;
    Ok(lock)
}

fn held_by_another(lock: &mut File, path: &Path) -> Advised {
    let mut holder = String::new();
    // The pid only makes the message better; the lock itself has decided.
    lock.read_to_string(&mut holder).ok();
    let pid = holder.trim();
    Advised::new(
        format!("{} is in use by process {pid}", path.display()),
        format!("stop that one with Ctrl-C or `kill {pid}`, or choose another --data-dir"),
    )
}

/// Kills what a supervisor that died without a word left running here.
///
/// A pid file is only a reason to look. What is killed is a process of one of the stack's own programs that works in
/// that server's directory: another process that was given the pid since is left alone.
fn clear_leftovers(path: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(path.join("pids"))? {
        let pid_file = entry?.path();
        if let Some(name) = pid_file.file_stem() {
            process::kill_leftovers(&path.join(name));
        }
        fs::remove_file(&pid_file).with_context(|| format!("cannot remove {}", pid_file.display()))?;
    }
    Ok(())
}
