//! The databases of a private PostgreSQL: who owns them, who serves from them, and how a test gets a fresh one.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::secrets;

/// Guards the making of a template among tests that start at the same moment; any fixed number will do.
const TEMPLATE_LOCK: i64 = 0x6e75_6d62;

const MAKE_ROLE: &str = include_str!("sql/make_role.sql");
const MAKE_DATABASE: &str = include_str!("sql/make_database.sql");
const DATABASE_EXISTS: &str = include_str!("sql/database_exists.sql");
const RENAME_DATABASE: &str = include_str!("sql/rename_database.sql");
const DROP_DATABASE: &str = include_str!("sql/drop_database.sql");
const ADMIT_SERVICE: &str = include_str!("sql/admit_service.sql");
const LOCK: &str = include_str!("sql/lock.sql");

/// The way into a private PostgreSQL for each of its roles.
///
/// - `postgres`, the superuser, makes databases.
/// - `numbering_owner` owns them and migrates.
/// - `numbering_app` serves: a member of the group `numbering_service` that the migrations make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Databases {
    port: u16,
    superuser_password: String,
    owner_password: String,
    app_password: String,
}

impl Databases {
    /// The passwords kept under `home`, made on the first call, for the server on `port`.
    pub(super) fn new(home: &Path, port: u16) -> anyhow::Result<Self> {
        let password = |role: &str| secrets::keep(&home.join("secrets").join(role), secrets::random_hex);
        Ok(Self {
            port,
            superuser_password: password("postgres-superuser")?,
            owner_password: password("postgres-owner")?,
            app_password: password("postgres-app")?,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn superuser_password(&self) -> &str {
        &self.superuser_password
    }

    /// `database` as the superuser.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        self.url("postgres", &self.superuser_password, database)
    }

    /// `database` as its owner, who migrates it.
    #[must_use]
    pub fn owner_url(&self, database: &str) -> String {
        self.url("numbering_owner", &self.owner_password, database)
    }

    /// `database` as the role that serves.
    #[must_use]
    pub fn app_url(&self, database: &str) -> String {
        self.url("numbering_app", &self.app_password, database)
    }

    fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes the roles and the database `numbering` where they are missing.
    pub(super) async fn prepare(&self) -> anyhow::Result<()> {
        let superuser = Superuser::connect(self, "postgres").await?;
        superuser.make_role("numbering_owner", "CREATEROLE", &self.owner_password).await?;
        superuser.make_role("numbering_app", "NOCREATEROLE", &self.app_password).await?;
        if !superuser.exists("numbering").await? {
            superuser.run(MAKE_DATABASE, &["numbering", "template1"]).await?;
        }
        Ok(())
    }

    /// Lets `numbering_app` serve: makes it a member of the group that the migrations have made by now.
    pub async fn admit_service(&self) -> anyhow::Result<()> {
        let superuser = Superuser::connect(self, "postgres").await?;
        superuser.run(ADMIT_SERVICE, &[]).await.context("the migrations have not made the role numbering_service")
    }

    /// Makes the database `name`, a copy of `template` (a few tens of milliseconds for an empty schema).
    pub async fn create(&self, name: &str, template: &str) -> anyhow::Result<()> {
        Superuser::connect(self, "postgres").await?.copy(name, template).await
    }

    /// Drops the database `name`, and throws out whoever is connected to it.
    pub async fn drop(&self, name: &str) -> anyhow::Result<()> {
        Superuser::connect(self, "postgres").await?.run(DROP_DATABASE, &[name]).await
    }

    /// Sees to it that the database `name` exists, filled by `migrate` (which gets the owner's URL of it) once, however
    /// many processes ask at the same moment; and that `numbering_app` may serve from it and its copies.
    pub async fn ensure_template<M>(&self, name: &str, migrate: M) -> anyhow::Result<()>
    where
        M: AsyncFnOnce(&str) -> anyhow::Result<()>,
    {
        let superuser = Superuser::connect(self, "postgres").await?;
        // Held until this connection closes, at the end of this function at the latest.
        superuser.client.execute(LOCK, &[&TEMPLATE_LOCK]).await?;
        if superuser.exists(name).await? {
            return Ok(());
        }
        let unfinished = format!("{name}_unfinished");
        if superuser.exists(&unfinished).await? {
            superuser.run(DROP_DATABASE, &[&unfinished]).await?;
        }
        superuser.copy(&unfinished, "template1").await?;
        migrate(&self.owner_url(&unfinished)).await?;
        self.admit_service().await?;
        superuser.when_unused(RENAME_DATABASE, &[&unfinished, name]).await
    }
}

/// A superuser's connection, closed when dropped.
struct Superuser {
    client: Client,
}

impl Superuser {
    async fn connect(databases: &Databases, database: &str) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(&databases.superuser_url(database), NoTls)
            .await
            .context("cannot connect to the private PostgreSQL")?;
        // Ends when the client is dropped; a fault on the way shows in the client's own answers.
        tokio::spawn(connection);
        Ok(Self { client })
    }

    async fn make_role(&self, name: &str, may_make_roles: &str, password: &str) -> anyhow::Result<()> {
        self.run(MAKE_ROLE, &[name, may_make_roles, password])
            .await
            .with_context(|| format!("cannot make the role {name}"))
    }

    async fn exists(&self, database: &str) -> anyhow::Result<bool> {
        Ok(self.client.query_one(DATABASE_EXISTS, &[&database]).await?.get(0))
    }

    async fn copy(&self, name: &str, template: &str) -> anyhow::Result<()> {
        self.when_unused(MAKE_DATABASE, &[name, template])
            .await
            .with_context(|| format!("cannot make the database {name}"))
    }

    /// Tries again while somebody is still connected: a connection that was just closed lingers for a moment.
    async fn when_unused(&self, statement: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut tries_left = 100;
        loop {
            match self.run(statement, arguments).await {
                Err(error) if tries_left > 0 && is_in_use(&error) => {
                    tries_left -= 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Runs a statement that takes no parameters of its own (`CREATE DATABASE` and its like). `statement` makes its
    /// text from `arguments`, quoted by PostgreSQL itself, and gives nothing when there is nothing to do.
    async fn run(&self, statement: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
            arguments.iter().map(|argument| argument as &(dyn tokio_postgres::types::ToSql + Sync)).collect();
        for row in self.client.query(statement, &parameters).await? {
            self.client.batch_execute(row.get(0)).await?;
        }
        Ok(())
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    code == Some(&SqlState::OBJECT_IN_USE)
}
