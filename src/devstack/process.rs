//! One child process: known by a pidfd, reaped by a thread of its own, killed when dropped.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

use super::process_table::{self, ProcessId};
use super::spawner;

/// How long a killed process is given to be gone; the kernel may still have to finish its disk writes.
const GRAVE: Duration = Duration::from_secs(10);

/// A running child and the processes it started in turn. Dropping it kills all of them.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    pub(super) fn spawn(command: Command) -> io::Result<Self> {
        let mut child = spawner::spawn(command)?;
        let pid = Pid::from_child(&child);
        // Nobody has waited for the child yet, so the pid is still its own.
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let (ended, exit) = watch::channel(None);
        thread::spawn(move || {
            // Waiting can fail only for a process that is not our child.
            if let Ok(status) = child.wait() {
                ended.send_replace(Some(status));
            }
        });
        Ok(Self { pid, pidfd, exit })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    pub(super) fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Waits until it ends by whatever cause. Cancel safe.
    pub(super) async fn exited(&mut self) -> ExitStatus {
        match self.exit.wait_for(Option::is_some).await.map(|status| *status) {
            Ok(Some(status)) => status,
            // The thread that waits for it failed: nothing is known of this process any more.
            Ok(None) | Err(_) => ExitStatus::default(),
        }
    }

    /// Sends `signal` to the process itself; one that has ended already is no fault.
    pub(super) fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.pidfd, signal).ok();
    }

    /// Stops the process and its children where they stand.
    ///
    /// The parent goes first: a stopped parent starts no child that the list would lack.
    pub(super) fn freeze(&self) -> Vec<ProcessId> {
        self.signal(Signal::STOP);
        let children = process_table::children(self.pid);
        signal_all(&children, Signal::STOP);
        children
    }

    /// Lets a frozen process and its children go on.
    pub(super) fn thaw(&self) {
        signal_all(&process_table::children(self.pid), Signal::CONT);
        self.signal(Signal::CONT);
    }

    /// SIGKILL to the process and its children; returns when all of them are gone.
    pub(super) async fn kill(&mut self) {
        let children = self.send_kill();
        self.exited().await;
        let gone = async {
            while children.iter().any(|child| child.is_alive()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(GRAVE, gone).await.ok();
    }

    fn send_kill(&self) -> Vec<ProcessId> {
        if !self.is_running() {
            return Vec::new();
        }
        let children = self.freeze();
        signal_all(&children, Signal::KILL);
        self.signal(Signal::KILL);
        children
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let children = self.send_kill();
        let step = Duration::from_millis(5);
        let mut left = GRAVE;
        while (self.is_running() || children.iter().any(|child| child.is_alive())) && !left.is_zero() {
            thread::sleep(step);
            left = left.saturating_sub(step);
        }
    }
}

fn signal_all(processes: &[ProcessId], signal: Signal) {
    for process in processes {
        process.signal(signal);
    }
}

/// Kills what a crashed supervisor left at work in `directory`, and returns when it is gone.
pub(super) fn kill_leftovers(directory: &Path) {
    let step = Duration::from_millis(10);
    let mut left = GRAVE;
    loop {
        let leftovers = process_table::at_work_in(directory);
        if leftovers.is_empty() || left.is_zero() {
            return;
        }
        signal_all(&leftovers, Signal::KILL);
        thread::sleep(step);
        left = left.saturating_sub(step);
    }
}
