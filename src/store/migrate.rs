//! Brings the schema up to date: forward only, one migrator at a time.
//!
//! What must stay true: a migration never keeps running replicas waiting for long without having been asked to. Replicas of the
//! release before serve on beside it, which is the migrations' own affair (CONTRIBUTING). Its statements wait for a lock for
//! [`LOCK_TIMEOUT`] at most, since everybody else queues up behind a statement that waits for a table; then the migration is rolled
//! back, and tried again a little later.
//!
//! That bounds the wait for a lock and not the work under it. V7 builds an index on the journal: while it is built nothing can be
//! written there, so no number changes its state, about a second for each million entries. On an empty journal, as in a new
//! installation, that is nothing; one that has served before V7 needs a quiet minute for it. An index on a table that has grown is
//! made by later migrations with IF NOT EXISTS, so that it can be built before by hand, CONCURRENTLY.

use std::time::Duration;

use refinery::Runner;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::StoreError;

mod embedded {
    #![allow(missing_docs, unreachable_pub)]
    refinery::embed_migrations!("migrations");
}

/// Names the lock that keeps two migrators apart; any number that nothing else uses.
const MIGRATION_LOCK: i64 = 0x6e75_6d62_6572_6e67;
/// How long a statement of a migration waits for a lock, and others behind it.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '1s'";
/// How often a migration is tried that does not get its locks.
const ATTEMPTS: u32 = 60;
/// How long it is left alone between two attempts, for those who queued up.
const PAUSE: Duration = Duration::from_secs(1);

/// Applies what is missing, as the role that `url` names, which must own the schema. Gives the names of what was applied.
///
/// # Errors
/// [`StoreError::Settings`] where the URL does not parse, [`StoreError::Statement`] or [`StoreError::Migration`] where
/// PostgreSQL refuses, or others keep what is to be changed locked: those migrations that were applied before stay.
pub async fn migrate(url: &str) -> Result<Vec<String>, StoreError> {
    let (mut client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driver = tokio::spawn(connection);
    // Another migrator is waited for, however long it takes. The lock goes with this connection, which is the migrator's own and
    // closed below, whatever happens.
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
    let applied = apply(&mut client, &embedded::migrations::runner()).await?;
    client.batch_execute("GRANT SELECT ON refinery_schema_history TO numbering_service").await?;
    drop(client);
    if let Ok(closed) = driver.await {
        closed?;
    }
    Ok(applied)
}

/// Applies what is missing, each migration in a transaction of its own.
async fn apply(client: &mut Client, migrations: &Runner) -> Result<Vec<String>, StoreError> {
    client.batch_execute(LOCK_TIMEOUT).await?;
    let mut applied: Vec<String> = Vec::new();
    let mut attempts = 1;
    loop {
        let outcome = migrations.run_async(client).await;
        let report = outcome.as_ref().map_or_else(refinery::Error::report, Some);
        applied.extend(report.iter().flat_map(|report| report.applied_migrations()).map(ToString::to_string));
        match outcome {
            Ok(_) => return Ok(applied),
            Err(error) if attempts < ATTEMPTS && found_it_locked(&error) => {
                tracing::info!(%error, attempts, "a migration did not get its locks, and is tried again");
                attempts += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn found_it_locked(error: &refinery::Error) -> bool {
    let refinery::error::Kind::Connection(_, cause) = error.kind() else { return false };
    let code = cause.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    code == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// The newest migration that this program knows.
#[must_use]
pub fn newest_migration() -> Option<u32> {
    embedded::migrations::runner().get_migrations().iter().map(|m| u32::try_from(m.version()).unwrap_or(0)).max()
}

#[cfg(test)]
mod tests {
    use refinery::Migration;

    use super::*;
    use crate::store::testing::TestDatabase;

    #[tokio::test]
    async fn a_migration_that_waits_for_a_table_lets_the_others_pass() {
        let database = TestDatabase::make().await;
        let (mut migrator, mut reader, other) =
            (database.superuser().await, database.superuser().await, database.superuser().await);
        other.batch_execute("CREATE TABLE public.read (n int); CREATE SCHEMA apart").await.unwrap();
        // A history of its own, beside the one that the template has.
        migrator.batch_execute("SET search_path = apart").await.unwrap();
        let migrations = Runner::new(&[
            Migration::unapplied("V1__first", "CREATE TABLE apart.first (n int)").unwrap(),
            Migration::unapplied("V2__second", "ALTER TABLE public.read ADD COLUMN m int").unwrap(),
        ]);
        let reading = reader.transaction().await.unwrap();
        reading.query("SELECT FROM public.read", &[]).await.unwrap();
        let applying = tokio::spawn(async move { apply(&mut migrator, &migrations).await });
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE public.read%'";
        while other.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            assert!(!applying.is_finished());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        other.batch_execute("SET lock_timeout = '30s'").await.unwrap();
        other.query("SELECT FROM public.read", &[]).await.expect("it passes, though the first reader reads on");
        assert!(!applying.is_finished());
        reading.rollback().await.unwrap();
        let applied = applying.await.unwrap().unwrap();
        assert_eq!(applied, ["V1__first", "V2__second"]);
        other.query("SELECT m FROM public.read", &[]).await.unwrap();
    }
}
