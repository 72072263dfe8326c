//! `numbering block …`: blocks of numbers, as an operator signs them.

pub(in crate::cli) mod sign;

/// What can be done with blocks.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the signature of a block's file, base64
    Sign(sign::Args),
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Sign(args) => sign::run(args),
    }
}
