//! Brings the schema up to date: forward only, one migrator at a time, safe beside running replicas.

use tokio_postgres::NoTls;

use super::StoreError;

mod embedded {
    #![allow(missing_docs, unreachable_pub)]
    refinery::embed_migrations!("migrations");
}

/// Names the lock that keeps two migrators apart; any number that nothing else uses.
const MIGRATION_LOCK: i64 = 0x6e75_6d62_6572_6e67;

/// Applies what is missing, as the role that `url` names, which must own the schema. Gives the names of what was applied.
///
/// # Errors
/// [`StoreError::Settings`] where the URL does not parse, [`StoreError::Statement`] or [`StoreError::Migration`] where
/// PostgreSQL refuses.
pub async fn migrate(url: &str) -> Result<Vec<String>, StoreError> {
    let (mut client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driver = tokio::spawn(connection);
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
    // The lock goes with this connection, which is the migrator's own and closed below, whatever happens.
    let report = embedded::migrations::runner().run_async(&mut client).await?;
    client.batch_execute("GRANT SELECT ON refinery_schema_history TO numbering_service").await?;
    drop(client);
    if let Ok(closed) = driver.await {
        closed?;
    }
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// The newest migration that this program knows.
#[must_use]
pub fn newest_migration() -> Option<u32> {
    embedded::migrations::runner().get_migrations().iter().map(|m| u32::try_from(m.version()).unwrap_or(0)).max()
}
