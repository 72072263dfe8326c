//! A database of a test's own, migrated, in the PostgreSQL that all tests share.

use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use super::migrate::migrate;
use super::{Store, StoreSettings};
use crate::devstack::SharedStack;

/// The template of the tests' databases: migrated once.
const TEMPLATE: &str = "numbering_template";

/// A database of its own, and in whose name to come to it.
pub(crate) struct TestDatabase {
    pub(crate) stack: SharedStack,
    pub(crate) name: String,
}

impl TestDatabase {
    pub(crate) async fn make() -> Self {
        let stack = SharedStack::from_env().unwrap();
        let databases = stack.databases();
        databases.ensure_template(TEMPLATE, async |url| Ok(migrate(url).await.map(drop)?)).await.unwrap();
        let name = stack.take_part().await.unwrap().database;
        databases.create(&name, TEMPLATE).await.unwrap();
        Self { stack, name }
    }

    /// As the service comes to it, over one connection that waits for nothing longer than `patience`.
    pub(crate) fn store(&self, patience: Duration) -> Store {
        Store::new(&StoreSettings {
            url: self.stack.databases().app_url(&self.name),
            pool_size: 1,
            acquire_timeout: patience,
            connect_timeout: patience,
            lock_timeout: patience,
            statement_timeout: patience,
        })
        .unwrap()
    }

    /// A connection with every right.
    pub(crate) async fn superuser(&self) -> Client {
        let url = self.stack.databases().superuser_url(&self.name);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}
