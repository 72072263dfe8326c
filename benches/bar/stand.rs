//! The servers that everything is measured against: private PostgreSQL, Redis and NATS as `numbering dev` starts them, and the
//! service as processes of its own.
//!
//! What must stay true: each site is a database, two Redis databases and a NATS account that no other part uses; what a part
//! froze or stopped serves again before the next begins.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use numbering::devstack::{Launch, Part, Readiness, Server, SharedStack, Stack, StackOptions};
use numbering::store::migrate;
use tokio_postgres::{Client, NoTls};

use crate::seed;
use crate::tokens::{AUDIENCE, ISSUER, Issuer};

/// The template that each site's database is made from: migrated once.
const TEMPLATE: &str = "numbering_template";
/// The service, built with this benchmark.
const SERVICE: &str = env!("CARGO_BIN_EXE_numbering");
/// What cursors are sealed with.
pub(crate) const CURSOR_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// As an inventory of ten million numbers is served in production, on a small machine: a fair part of its memory for PostgreSQL, and
/// no checkpoint for each gigabyte that is loaded.
const POSTGRES_SETTINGS: [&str; 3] = ["shared_buffers=2GB", "max_wal_size=8GB", "checkpoint_timeout=15min"];

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The largest inventory; the others are a tenth and a hundredth of it.
    pub(crate) inventory: u64,
    /// Leased numbers to ask about.
    pub(crate) leases: u64,
    /// How long one measurement lasts.
    pub(crate) span: Duration,
    /// How often each is repeated, its baselines in between.
    pub(crate) rounds: usize,
    /// Everything that is loaded in bulk is divided by this.
    pub(crate) divisor: u64,
}

impl Sizes {
    /// What the page of figures tells.
    pub(crate) const WHOLE: Self =
        Self { inventory: 10_000_000, leases: 200_000, span: Duration::from_secs(4), rounds: 3, divisor: 1 };
    /// A tenth of it, to see that everything works.
    pub(crate) const QUICK: Self =
        Self { inventory: 1_000_000, leases: 60_000, span: Duration::from_secs(1), rounds: 1, divisor: 10 };
}

/// The servers, and what of them lasts from one part to the next.
pub(crate) struct Stand {
    pub(crate) stack: Stack,
    pub(crate) issuer: Issuer,
    pub(crate) sizes: Sizes,
    pub(crate) directory: PathBuf,
    shared: SharedStack,
    inventories: BTreeMap<u64, Site>,
    leased: Option<Site>,
    replicas: usize,
}

/// A database and what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) part: Part,
    superuser_url: String,
    service_url: String,
    /// How many AVAILABLE numbers it was made with, and how far they are apart.
    pub(crate) numbers: u64,
    pub(crate) step: u64,
    /// How many of them were used by a measurement so far; shared by all copies of this.
    used: Arc<AtomicU64>,
}

impl Site {
    /// The first of the places of `count` numbers that no measurement has used.
    ///
    /// # Errors
    /// When there are not so many left.
    pub(crate) fn take(&self, count: u64) -> anyhow::Result<u64> {
        let first = self.used.fetch_add(count, Ordering::Relaxed);
        anyhow::ensure!(first + count <= self.numbers, "the inventory of {} numbers is used up", self.numbers);
        Ok(first)
    }

    /// The number at a place of the inventory; neighbouring places are far apart.
    pub(crate) fn identifier(&self, place: u64) -> String {
        format!("+93{}", seed::INVENTORY_FROM + seed::scattered(place, self.numbers) * self.step)
    }

    /// Has PostgreSQL read all numbers and their keys into its memory, as one that serves them for long has them there.
    pub(crate) async fn warm(&self) -> anyhow::Result<()> {
        let client = self.superuser().await?;
        let warm = client.batch_execute(include_str!("seed/warm.sql")).await;
        warm.context("the inventory is not read into memory")
    }

    /// A connection with every right.
    pub(crate) async fn superuser(&self) -> anyhow::Result<Client> {
        connect(&self.superuser_url).await
    }

    /// The database as its superuser, for `psql` and `pgbench`.
    pub(crate) fn superuser_url(&self) -> &str {
        &self.superuser_url
    }

    /// Empties its Redis databases, where Redis serves.
    pub(crate) async fn forget_snapshots(&self) -> anyhow::Result<()> {
        for url in [&self.part.redis_url, &self.part.timers_url] {
            let mut connection = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
            redis::cmd("FLUSHDB").exec_async(&mut connection).await.context("Redis cannot be emptied")?;
        }
        Ok(())
    }
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("PostgreSQL lets nobody in")?;
    tokio::spawn(connection);
    Ok(client)
}

/// A process of the service. Dropping it kills it.
pub(crate) struct Replica {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    server: Server,
}

impl Replica {
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.server.pid().with_context(|| format!("the service has ended\n{}", self.server.last_words()))
    }

    /// Stops it in good order.
    pub(crate) async fn stop(mut self) {
        self.server.stop().await;
    }
}

impl Stand {
    /// Starts the servers in a directory that is empty.
    pub(crate) async fn start(directory: &Path, sizes: Sizes) -> anyhow::Result<Self> {
        let postgres_settings = POSTGRES_SETTINGS.map(str::to_owned).into();
        let options = StackOptions { nats_accounts: 64, postgres_settings, ..StackOptions::default() };
        let stack = Stack::start(directory, options).await?;
        let databases = stack.databases();
        databases.ensure_template(TEMPLATE, async |url| Ok(migrate::migrate(url).await.map(drop)?)).await?;
        let issuer = Issuer::new(directory)?;
        let shared = SharedStack::of(&stack);
        let directory = directory.to_owned();
        Ok(Self { stack, issuer, sizes, directory, shared, inventories: BTreeMap::new(), leased: None, replicas: 0 })
    }

    /// A site of its own, with tenants and nothing else.
    pub(crate) async fn site(&self) -> anyhow::Result<Site> {
        let databases = self.stack.databases();
        let part = self.shared.take_part().await?;
        databases.create(&part.database, TEMPLATE).await?;
        let superuser_url = databases.superuser_url(&part.database);
        let service_url = databases.app_url(&part.database);
        let used = Arc::default();
        let site = Site { part, superuser_url, service_url, numbers: 0, step: 1, used };
        seed::tenants(&site.superuser().await?).await?;
        Ok(site)
    }

    /// The site with an inventory of this many AVAILABLE numbers, spread over the same span as every other; made at the first call.
    pub(crate) async fn inventory(&mut self, numbers: u64) -> anyhow::Result<Site> {
        if let Some(site) = self.inventories.get(&numbers) {
            return Ok(site.clone());
        }
        let site = Site { numbers, step: Self::step(numbers), ..self.site().await? };
        seed::inventory(&site.superuser().await?, numbers, site.step).await?;
        self.inventories.insert(numbers, site.clone());
        Ok(site)
    }

    /// From one number of such an inventory to the next: they all spread over the same ten million, or a little less, so that their
    /// last digits are as mixed as those of all.
    const fn step(numbers: u64) -> u64 {
        match Sizes::WHOLE.inventory / numbers {
            0 | 1 => 1,
            times => times - 1,
        }
    }

    /// The site with leased numbers, made at the first call; Redis knows none of them.
    pub(crate) async fn leased(&mut self) -> anyhow::Result<Site> {
        let site = if let Some(site) = self.leased.take() { site } else { self.with_leases().await? };
        site.forget_snapshots().await?;
        Ok(self.leased.insert(site).clone())
    }

    async fn with_leases(&self) -> anyhow::Result<Site> {
        let site = self.site().await?;
        let client = site.superuser().await?;
        let tenants = seed::tenants(&client).await?;
        seed::leases(&client, seed::LEASES_FROM, self.sizes.leases, &tenants, false).await?;
        seed::check_balance(&client).await?;
        Ok(site)
    }

    /// Starts a process of the service over a site, with settings of the environment's kind beside the usual.
    pub(crate) async fn replica(&mut self, site: &Site, settings: &[(&str, &str)]) -> anyhow::Result<Replica> {
        self.replicas += 1;
        let name = format!("replica-{}", self.replicas);
        let home = self.stack.home();
        let address = |what: &str| -> anyhow::Result<SocketAddr> {
            Ok((Ipv4Addr::LOCALHOST, home.port(&format!("{name}-{what}"))?).into())
        };
        let (http, grpc) = (address("http")?, address("grpc")?);
        let usual = [
            ("NUMBERING_HTTP__LISTEN", http.to_string()),
            ("NUMBERING_GRPC__LISTEN", grpc.to_string()),
            ("NUMBERING_DATABASE__URL", site.service_url.clone()),
            ("NUMBERING_REDIS__URL", site.part.redis_url.clone()),
            ("NUMBERING_REDIS__TIMERS_URL", site.part.timers_url.clone()),
            ("NUMBERING_NATS__URL", site.part.nats_url.clone()),
            ("NUMBERING_AUTH__ISSUER", ISSUER.to_owned()),
            ("NUMBERING_AUTH__AUDIENCE", AUDIENCE.to_owned()),
            ("NUMBERING_AUTH__JWKS", self.issuer.jwks.display().to_string()),
            ("NUMBERING_SECURITY__CURSOR_KEY", CURSOR_KEY.to_owned()),
            ("NUMBERING_INSTANCE__NAME", name.clone()),
            // A measurement browses more often than a tenant may.
            ("NUMBERING_BROWSE__RATE_LIMIT", "10000000".to_owned()),
            ("NUMBERING_BROWSE__RATE_LIMIT_WITHOUT_REDIS", "10000000".to_owned()),
        ];
        let mut launch = Launch::new(SERVICE.into(), vec!["serve".into()], Readiness::Http);
        launch.environment.extend(usual.map(|(name, value)| (name.into(), value.into())));
        launch.environment.extend(settings.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let mut server = Server::new(home, &name, http, format!("http://{http}"), launch)?;
        server.start().await?;
        Ok(Replica { http, grpc, server })
    }

    /// Sees to it that all three servers serve, whatever a part did to them.
    pub(crate) async fn restore(&mut self) -> anyhow::Result<()> {
        for server in [&mut self.stack.postgres, &mut self.stack.redis, &mut self.stack.nats] {
            server.thaw();
            if server.pid().is_none() {
                server.start().await?;
            }
        }
        Ok(())
    }

    /// Stops the servers in good order.
    pub(crate) async fn stop(self) {
        self.stack.stop().await;
    }
}
