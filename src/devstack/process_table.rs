//! Looks processes up in `/proc`, so that a signal goes to the process that was meant and to no other.
//!
//! A pid alone is no name: it is used again once its process is gone. Here a process is named by its pid *and* the
//! moment it started, and signals go through a pidfd that was checked against both.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The programs that a stack starts; nothing else is ever taken for a leftover of one.
const PROGRAMS: [&str; 5] = ["postgres", "redis-server", "redis-check-rdb", "nats-server", "numbering"];

/// One process, named so that a later process with the same pid is not mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessId {
    pid: Pid,
    /// Clock ticks from boot to its start, as in field 22 of `/proc/PID/stat`.
    started: u64,
}

struct Stat {
    id: ProcessId,
    parent: i32,
    is_dead: bool,
}

impl ProcessId {
    /// Whether it still runs; a zombie does not.
    pub(super) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|now| now.id == self && !now.is_dead)
    }

    /// Sends `signal`; a process that is gone already is no fault.
    pub(super) fn signal(self, signal: Signal) {
        let Ok(pidfd) = pidfd_open(self.pid, PidfdFlags::empty()) else { return };
        if stat(self.pid).is_some_and(|now| now.id == self) {
            // The only way to fail that is left is that it ended just now.
            pidfd_send_signal(&pidfd, signal).ok();
        }
    }
}

/// The processes that `parent` started and that still run.
pub(super) fn children(parent: Pid) -> Vec<ProcessId> {
    every()
        .filter_map(stat)
        .filter(|process| process.parent == parent.as_raw_pid() && !process.is_dead)
        .map(|process| process.id)
        .collect()
}

/// The processes of one of the stack's own programs that work in `directory` or below it.
pub(super) fn at_work_in(directory: &Path) -> Vec<ProcessId> {
    every()
        .filter(|pid| {
            let proc = Path::new("/proc").join(pid.as_raw_pid().to_string());
            let works_here = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory));
            works_here && fs::read_link(proc.join("exe")).is_ok_and(|exe| is_known_program(&exe))
        })
        .filter_map(stat)
        .filter(|process| !process.is_dead)
        .map(|process| process.id)
        .collect()
}

fn is_known_program(exe: &Path) -> bool {
    let name = exe.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Linux marks a program whose file was replaced since, as a new build does.
    PROGRAMS.contains(&name.trim_end_matches(" (deleted)"))
}

fn every() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
}

fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The program's name stands in parentheses and may hold spaces and parentheses itself.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let is_dead = matches!(*fields.first()?, "Z" | "X");
    Some(Stat {
        id: ProcessId { pid, started: fields.get(19)?.parse().ok()? },
        parent: fields.get(1)?.parse().ok()?,
        is_dead,
    })
}
