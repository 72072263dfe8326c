//! A connection for more than one statement, and what becomes of it when its work is left in the middle.
//!
//! What must stay true: a connection goes back to the pool only when its work came to an end of its own. Otherwise what
//! PostgreSQL still runs for it is cancelled, so that its locks are free, and the connection is closed.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool_postgres::Object;
use tokio::runtime::Handle;
use tokio_postgres::NoTls;

/// How long to try to have a statement cancelled.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

const KEPT: &str = "the connection is there until it is given back or dropped";

/// A connection out of the pool. Dropped without [`Lent::give_back`], it does not return.
#[derive(Debug)]
pub(super) struct Lent(Option<Object>);

impl Lent {
    pub(super) fn new(connection: Object) -> Self {
        Self(Some(connection))
    }

    /// Its work is done: the pool may have it again.
    pub(super) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Lent {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.0.as_ref().expect(KEPT)
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Object {
        self.0.as_mut().expect(KEPT)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(connection) = self.0.take() else { return };
        let client = Object::take(connection);
        // Outside the runtime there is nobody to cancel it; PostgreSQL ends it by its statement_timeout.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            // PostgreSQL does not notice a closed connection before its statement ends.
            match tokio::time::timeout(CANCEL_LIMIT, client.cancel_token().cancel_query(NoTls)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a statement that was left could not be cancelled"),
                Err(_) => tracing::warn!("a statement that was left was not cancelled in time"),
            }
            drop(client);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep, timeout};

    use crate::store::testing::TestDatabase;
    use crate::store::{Store, StoreError, StoreSettings};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    /// A store with one connection, whose statements PostgreSQL itself ends after a minute.
    async fn store() -> Store {
        let database = TestDatabase::make().await;
        let settings = StoreSettings {
            url: database.stack.databases().app_url(&database.name),
            pool_size: 1,
            acquire_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_mins(1),
            statement_timeout: Duration::from_mins(1),
        };
        Store { patience: PATIENCE, ..Store::new(&settings).unwrap() }
    }

    /// Waits until nobody holds the lock that the tests take.
    async fn until_free(store: &Store) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let rows = store.query("SELECT pg_try_advisory_lock(7)", &[]).await.unwrap();
            if rows[0].get(0) {
                return;
            }
            assert!(Instant::now() < deadline, "the statement still runs");
            sleep(Duration::from_millis(10)).await;
        }
    }

    const LOCK_AND_SLEEP: &str = "SELECT pg_advisory_xact_lock(7), pg_sleep(60)";

    #[tokio::test]
    async fn a_statement_left_in_the_middle_is_cancelled_and_its_connection_closed() {
        let store = store().await;
        let work = async {
            let mut connection = store.lent().await.unwrap();
            let transaction = connection.transaction().await.unwrap();
            transaction.batch_execute(LOCK_AND_SLEEP).await
        };
        assert!(timeout(Duration::from_secs(1), work).await.is_err(), "it sleeps");
        until_free(&store).await;
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_any_more_does_not_keep_its_connection_busy() {
        let store = store().await;
        let pid = async || -> i32 { store.query("SELECT pg_backend_pid()", &[]).await.unwrap()[0].get(0) };
        let before = pid().await;
        assert!(
            timeout(Duration::from_millis(300), store.query("SELECT pg_sleep(60)", &[])).await.is_err(),
            "it sleeps"
        );
        assert_ne!(timeout(PATIENCE, pid()).await.expect("the pool lends one that is free"), before);
    }

    #[tokio::test]
    async fn a_transaction_that_comes_late_is_given_up_and_one_that_ends_gives_its_connection_back() {
        let store = store().await;
        let late = store
            .transaction(async |transaction| {
                transaction.batch_execute(LOCK_AND_SLEEP).await?;
                Ok(transaction.commit().await?)
            })
            .await;
        assert!(matches!(late, Err(StoreError::Late(PATIENCE))), "{late:?}");
        until_free(&store).await;
        let pid = async || -> i32 { store.query("SELECT pg_backend_pid()", &[]).await.unwrap()[0].get(0) };
        let before = pid().await;
        let ended = store.transaction(async |transaction| Ok(transaction.commit().await?)).await;
        assert!(ended.is_ok());
        assert_eq!(pid().await, before);
        let failed = store.transaction(async |transaction| Ok(transaction.batch_execute("SELECT 1/0").await?)).await;
        assert!(matches!(failed, Err(StoreError::Statement(_))), "{failed:?}");
        assert_ne!(pid().await, before);
    }
}
