//! Starts and stops private PostgreSQL, Redis and NATS servers from the programs on this machine.
//!
//! `numbering dev`, the tests and the benchmarks run on the same stack; beside it stands a billing service. What must stay
//! true:
//!
//! - Everything listens on the loopback address only, on ports of its own, and lives under one data directory; servers
//!   that the machine runs anyway are neither used nor touched.
//! - Nothing outlives the process that started it, however that ends: each child asks the kernel for a signal at its
//!   parent's death, and what a crash leaves nevertheless is cleared by the next start.
//! - PostgreSQL never runs as root, and `fsync` is on: that acknowledged writes survive a SIGKILL is tested on it.

mod account;
mod advised;
mod billing;
mod databases;
pub mod files;
mod home;
pub mod nats;
mod ports;
pub mod postgres;
mod process;
mod process_table;
mod programs;
mod readiness;
pub mod redis;
pub mod secrets;
mod server;
mod shared;
mod spawner;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

pub use advised::Advised;
pub use billing::Billing;
pub use databases::Databases;
pub use home::Home;
pub use ports::is_free;
pub use readiness::Readiness;
pub use server::{Launch, Server, reachable};
pub use shared::{NATS_ACCOUNTS, Part, SharedStack};

/// What a stack may have beyond the ordinary.
#[derive(Clone, Debug, Default)]
pub struct StackOptions {
    /// NATS accounts beside the default one, each with its own JetStream, for tests that run side by side.
    pub nats_accounts: u16,
    /// What PostgreSQL has in its environment beside the ordinary, for tests that turn its clock.
    pub postgres_environment: Vec<(OsString, OsString)>,
    /// Settings of PostgreSQL in place of the ordinary ones, such as `shared_buffers=2GB`, for measurements.
    pub postgres_settings: Vec<String>,
}

/// A running PostgreSQL, Redis and NATS. Dropping it kills them; [`Stack::stop`] stops them in good order.
#[derive(Debug)]
pub struct Stack {
    /// PostgreSQL; its URL is the superuser's.
    pub postgres: Server,
    /// Redis.
    pub redis: Server,
    /// NATS with JetStream.
    pub nats: Server,
    databases: Databases,
    home: Arc<Home>,
}

impl Stack {
    /// Starts the three servers under `directory`, on the data and ports of the last time if there was one.
    ///
    /// # Errors
    ///
    /// When the directory is in use or a server does not start; those that did are stopped.
    pub async fn start(directory: &Path, options: StackOptions) -> anyhow::Result<Self> {
        Self::start_in(Home::open(directory)?, options).await
    }

    /// Like [`Stack::start`], in a data directory that is held already.
    pub async fn start_in(home: Arc<Home>, options: StackOptions) -> anyhow::Result<Self> {
        let ((postgres, databases), redis, nats) = tokio::try_join!(
            postgres::start_with(&home, &options.postgres_environment, &options.postgres_settings),
            redis::start(&home),
            nats::start(&home, options.nats_accounts)
        )?;
        Ok(Self { postgres, redis, nats, databases, home })
    }

    /// The data directory it lives in.
    #[must_use]
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// The way into its databases.
    #[must_use]
    pub fn databases(&self) -> &Databases {
        &self.databases
    }

    /// The three servers, for each to be looked after by itself.
    #[must_use]
    pub fn into_servers(self) -> (Server, Server, Server) {
        (self.postgres, self.redis, self.nats)
    }

    /// Stops the three servers in good order.
    pub async fn stop(mut self) {
        tokio::join!(self.nats.stop(), self.redis.stop(), self.postgres.stop());
    }
}
