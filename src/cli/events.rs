//! `numbering events republish`: publishes again what JetStream has lost. The journal keeps every event for that.

use anyhow::Context as _;
use jiff::Timestamp;

use super::ConfigArgs;
use crate::events::republish;
use crate::store::Store;

/// What can be done with events.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Publish again every event since a moment; each keeps its id, by which consumers know what they have
    Republish(Republish),
}

/// What `events republish` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Republish {
    #[command(flatten)]
    config: ConfigArgs,
    /// The moment, such as 2026-04-20T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Timestamp,
}

pub(super) async fn run(command: &Command) -> anyhow::Result<()> {
    let Command::Republish(args) = command;
    let config = args.config.load_or_explain()?;
    let store = Store::new(&crate::app::store_settings(&config))?;
    let put_back = republish::republish_since(&store, args.since).await.context("the events could not be put back")?;
    println!("{put_back} events wait to be published again; the running service publishes them");
    Ok(())
}
