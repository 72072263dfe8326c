//! Starts every child of this program from one thread that lives as long as the process.
//!
//! Linux delivers a child's parent-death signal when the *thread* that started it ends, not the process: a server
//! started from a runtime's worker would be killed as soon as that runtime winds down.

use std::io;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};
use std::thread;

use rustix::process::Signal;

struct Order {
    command: Command,
    started: mpsc::SyncSender<io::Result<Child>>,
}

/// Starts `command`, and blocks for the few milliseconds that takes.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for Order { mut command, started } in orders {
                // Whoever asked may be gone; the child then has no owner and must not stay.
                if let Err(mpsc::SendError(Ok(mut orphan))) = started.send(command.spawn()) {
                    orphan.kill().and_then(|()| orphan.wait()).ok();
                }
            }
        });
        sender
    });
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (started, answer) = mpsc::sync_channel(1);
    orders.send(Order { command, started }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// The `--pdeathsig` argument of setpriv(1) for a signal.
pub(super) fn death_signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::QUIT => "QUIT",
        _ => "KILL",
    }
}
