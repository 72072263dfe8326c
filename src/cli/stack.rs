//! `numbering stack`: runs a command (the tests, a benchmark) with private servers around it, and stops them after it.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use tokio::process::Command;

use super::dev::StopSignals;
use crate::devstack::{NATS_ACCOUNTS, SharedStack, Stack, StackOptions};

/// What `stack` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the servers keep their data
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The command and its arguments; `NUMBERING_STACK_*` in its environment name the servers
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut stop = StopSignals::listen()?;
    let options = StackOptions { nats_accounts: NATS_ACCOUNTS, ..StackOptions::default() };
    let stack = tokio::select! {
        started = Stack::start(&args.data_dir, options) => started?,
        () = stop.received() => anyhow::bail!("stopped while the servers were starting"),
    };
    let outcome = run_command(args, &stack, &mut stop).await;
    stack.stop().await;
    outcome
}

async fn run_command(args: &Args, stack: &Stack, stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    let name = args.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    let mut command = Command::new("setpriv");
    // Without its servers the command is of no use: it goes when this process is killed.
    command.args(["--pdeathsig", "TERM", "--"]).args(&args.command).envs(SharedStack::of(stack).variables()?);
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    let status = tokio::select! {
        status = child.wait() => status,
        () = stop.received() => {
            if let Some(pid) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
                // It may have ended just now, of the same Ctrl-C.
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            }
            child.wait().await
        }
    };
    Ok(exit_code(status.with_context(|| format!("cannot wait for {name}"))?))
}

/// The command's own exit code; as shells have it, 128 and the signal's number when it was killed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
