//! `numbering migrate`: brings the schema up to date, as its owner.

use anyhow::Context as _;

use super::ConfigArgs;

/// What `migrate` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The database, as the role that owns the schema; otherwise `database.migrate_url` of the configuration
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let url = if let Some(url) = &args.database {
        url.clone()
    } else {
        let database = args.config.load_or_explain()?.database;
        database.migrate_url.unwrap_or(database.url).as_str().to_owned()
    };
    let applied = crate::store::migrate::migrate(&url).await.context("the database could not be migrated")?;
    if applied.is_empty() {
        println!("the schema is up to date");
    }
    for migration in applied {
        println!("applied {migration}");
    }
    Ok(())
}
