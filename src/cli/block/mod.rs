//! `numbering block …`: blocks of numbers, as an operator signs them and the desk brings them in.

mod import;
pub(in crate::cli) mod sign;

/// What can be done with blocks.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the signature of a block's file, base64
    Sign(sign::Args),
    /// Bring a signed block into the inventory of a running service
    Import(import::Args),
}

pub(super) async fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Sign(args) => sign::run(args),
        Command::Import(args) => import::run(args).await,
    }
}
