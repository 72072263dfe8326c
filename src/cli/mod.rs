//! The commands of the binary `numbering`, one file each.
//!
//! What must stay true: a fault is told in plain words on standard error, with a `hint:` line where something can be done
//! about it, and the exit code is 1; standard output holds only what was asked for, so that it can be piped on.

mod block;
mod dev;
mod doctor;
mod events;
mod keys;
mod migrate;
mod openapi;
mod serve;
mod signing_key;
mod stack;
mod token;

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigFaults, Period};
use crate::devstack::Advised;

/// Keeps every identity a messaging platform can send from, and decides who may use which, when.
#[derive(Debug, Parser)]
#[command(name = "numbering", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve REST and gRPC, and do the work that time brings
    Serve(serve::Args),
    /// Run everything on this machine for development: private servers, sample data, the service
    Dev(dev::Args),
    /// Bring the database's schema up to date
    Migrate(migrate::Args),
    /// Print a token for a development installation
    Token(token::Args),
    /// Keys that operators sign their blocks with
    #[command(subcommand)]
    Keys(keys::Command),
    /// Blocks of numbers from operators
    #[command(subcommand)]
    Block(block::Command),
    /// Events that were published
    #[command(subcommand)]
    Events(events::Command),
    /// Say what is wrong with an installation
    Doctor(doctor::Args),
    /// Print the `OpenAPI` document
    Openapi,
    /// Run a command with private servers around it
    #[command(hide = true)]
    Stack(stack::Args),
}

/// Runs the command that the process was given.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", told(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    // The one crypto provider of the process. It can be set only once, and this is the only place that does.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Serve(args) => done(serve::run(&args).await),
            Command::Dev(args) => done(dev::run(&args).await),
            Command::Migrate(args) => done(migrate::run(&args).await),
            Command::Token(args) => done(token::run(&args)),
            Command::Keys(command) => done(keys::run(&command)),
            Command::Block(command) => done(block::run(&command).await),
            Command::Events(command) => done(events::run(&command).await),
            Command::Doctor(args) => doctor::run(&args).await,
            Command::Openapi => done(openapi::run()),
            Command::Stack(args) => stack::run(&args).await,
        }
    })
}

fn done(outcome: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    outcome.map(|()| ExitCode::SUCCESS)
}

/// What went wrong, its causes below it, and last what to do about it.
fn told(error: &anyhow::Error) -> String {
    let mut lines = vec![format!("error: {error}")];
    let causes = error.chain().skip(1).map(|cause| cause.to_string().replace('\n', "\n  "));
    lines.extend(causes.map(|cause| format!("  because {cause}")));
    let advised = error.chain().filter_map(|cause| cause.downcast_ref::<Advised>());
    lines.extend(advised.map(|advised| format!("hint: {}", advised.hint())));
    lines.join("\n")
}

/// Where `serve`, `migrate`, `events` and `doctor` find the configuration.
#[derive(Debug, clap::Args)]
struct ConfigArgs {
    /// The configuration file (TOML); `NUMBERING_*` in the environment overrides it
    #[arg(long, value_name = "FILE", env = "NUMBERING_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, ConfigFaults> {
        Config::load(self.config.as_deref(), std::env::vars_os())
    }

    fn load_or_explain(&self) -> anyhow::Result<Config> {
        let hint = "config.default.toml documents every setting; `numbering doctor` checks an installation";
        self.load().map_err(|faults| Advised::new(faults.to_string(), hint).into())
    }
}

/// A length of time on the command line: as in the configuration, and a bare number is seconds.
fn period(text: &str) -> Result<Period, String> {
    let seconds = text.parse().map(Period::from_secs);
    seconds.or_else(|_| text.parse::<Period>()).map_err(|fault| fault.to_string())
}

/// Prints what was asked for. That nobody reads it to the end (`| head`) is no fault.
fn print_out(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// The content of a file that the user named.
fn read(file: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_fault_is_told_with_its_causes_and_what_to_do() {
        let fault = anyhow::Error::new(Advised::new("the door is shut", "open it")).context("cannot go out");
        assert_eq!(told(&fault), "error: cannot go out\n  because the door is shut\nhint: open it");
    }

    #[test]
    fn a_bare_number_on_the_command_line_is_seconds() {
        assert_eq!(period("90"), Ok(Period::from_secs(90)));
        assert_eq!(period("500ms"), Ok(Period::from_millis(500)));
        assert!(period("soon").unwrap_err().contains("no length of time"));
    }
}
