//! One stack for many test processes: its addresses in the environment, and for each test a part of it of its own.

use std::env;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{Advised, Databases, Stack, nats};

/// The environment variable that tells a test of the running stack.
const VARIABLE: &str = "NUMBERING_STACK";

/// The accounts that a shared NATS has for tests, one each.
pub const NATS_ACCOUNTS: u16 = 500;

/// The databases of a private Redis; the first two are the development service's own.
const REDIS_DATABASES: u32 = 512;

/// A running stack, as a process sees it that did not start it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SharedStack {
    dir: PathBuf,
    databases: Databases,
    redis_port: u16,
    nats_port: u16,
    nats_url: String,
}

/// A part of a shared stack that no other test uses.
#[derive(Clone, Debug)]
pub struct Part {
    /// The name for a database; it does not exist yet (see [`Databases::create`]).
    pub database: String,
    /// An empty Redis database.
    pub redis_url: String,
    /// Another empty one, for the keys whose expiry is listened for.
    pub timers_url: String,
    /// A NATS account with a JetStream of its own.
    pub nats_url: String,
}

impl SharedStack {
    /// What other processes need to know of `stack`.
    #[must_use]
    pub fn of(stack: &Stack) -> Self {
        Self {
            dir: stack.home().path().to_owned(),
            databases: stack.databases().clone(),
            redis_port: stack.redis.port(),
            nats_port: stack.nats.port(),
            nats_url: stack.nats.url().to_owned(),
        }
    }

    /// The stack that `numbering stack` started around this process.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn from_env() -> anyhow::Result<Self> {
        let described = env::var(VARIABLE).map_err(|_| {
            Advised::new(
                "no stack of servers is running around this process",
                "run it under `numbering stack --data-dir DIR -- COMMAND…`, as script/test does",
            )
        })?;
        serde_json::from_str(&described).with_context(|| format!("{VARIABLE} does not describe a stack"))
    }

    /// The environment variables that hand this stack on to a command.
    pub fn variables(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        Ok(vec![
            (VARIABLE, serde_json::to_string(self)?),
            ("NUMBERING_STACK_DIR", self.dir.display().to_string()),
            ("NUMBERING_STACK_SUPERUSER_URL", self.databases.superuser_url("postgres")),
            ("NUMBERING_STACK_OWNER_URL", self.databases.owner_url("numbering")),
            ("NUMBERING_STACK_APP_URL", self.databases.app_url("numbering")),
            ("NUMBERING_STACK_REDIS_URL", format!("redis://127.0.0.1:{}", self.redis_port)),
            ("NUMBERING_STACK_NATS_URL", self.nats_url.clone()),
        ])
    }

    /// Its databases.
    #[must_use]
    pub fn databases(&self) -> &Databases {
        &self.databases
    }

    /// Takes a part for one test. The Redis databases are emptied: after some 250 tests they come round again.
    pub async fn take_part(&self) -> anyhow::Result<Part> {
        let number = self.next_number()?;
        let redis = 2 + 2 * (number % ((REDIS_DATABASES - 2) / 2));
        let redis_url = |database: u32| format!("redis://127.0.0.1:{}/{database}", self.redis_port);
        let part = Part {
            database: format!("test_{number}"),
            redis_url: redis_url(redis),
            timers_url: redis_url(redis + 1),
            nats_url: nats::test_account_url(u16::try_from(number % u32::from(NATS_ACCOUNTS))?, self.nats_port),
        };
        for url in [&part.redis_url, &part.timers_url] {
            let mut connection = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
            redis::cmd("FLUSHDB").exec_async(&mut connection).await?;
        }
        Ok(part)
    }

    /// The next of a sequence that all processes share.
    fn next_number(&self) -> anyhow::Result<u32> {
        let path = self.dir.join("parts");
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let number = text.trim().parse::<u32>().unwrap_or(0);
        file.rewind()?;
        writeln!(file, "{}", number + 1)?;
        Ok(number)
    }
}
