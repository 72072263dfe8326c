//! `numbering dev`: everything on this machine, from nothing, with private servers and sample data.
//!
//! What must stay true: it stops what it started and nothing else; `dev.env` is there exactly while it serves; what dies
//! is started again where it was; the data lasts from one start to the next.

mod dev_env;
pub(super) mod identity;
mod operators;
mod replica;
mod sample;
mod supervisor;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Period;
use crate::devstack::{Advised, Billing, Home, Server, Stack, StackOptions, is_free};
use identity::Issuer;
use replica::Place;
use supervisor::Supervisor;

/// What `dev` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where everything is kept, from one start to the next
    #[arg(long, value_name = "DIR", default_value = ".dev")]
    data_dir: PathBuf,
    /// Where to serve REST [default: 127.0.0.1:8080, or a free port where that is taken]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    http: Option<SocketAddr>,
    /// Where to serve gRPC [default: 127.0.0.1:9090, or a free port where that is taken]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    grpc: Option<SocketAddr>,
    /// Start with an empty inventory
    #[arg(long)]
    no_sample: bool,
    /// How many processes serve; all but the first on free ports
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=16))]
    replicas: u8,
    /// How long what died stays dead before it is started again
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = super::period)]
    restart_delay: Period,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let addresses = text.to_socket_addrs().map_err(|_| "write an address and a port, such as 127.0.0.1:8080")?;
    addresses.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| "names no address of this machine".to_owned())
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let mut stop = StopSignals::listen()?;
    let mut installation = Installation::default();
    let outcome = tokio::select! {
        outcome = installation.serve(args) => outcome,
        () = stop.received() => Ok(()),
    };
    tokio::select! {
        stopped = installation.stop() => outcome.and(stopped),
        // Asked twice: what is left is killed as this process ends.
        () = stop.received() => outcome,
    }
}

/// What runs so far. Dropped with the runtime, it is killed.
#[derive(Debug, Default)]
struct Installation {
    /// From the moment that the data directory is held.
    home: Option<Arc<Home>>,
    supervisor: Supervisor,
    billing: Option<Billing>,
}

impl Installation {
    /// Starts everything and stays.
    async fn serve(&mut self, args: &Args) -> anyhow::Result<()> {
        let home = self.home.insert(Home::open(&args.data_dir)?);
        let directory = home.path();
        dev_env::remove(directory)?;
        eprintln!("starting PostgreSQL, Redis and NATS under {}", args.data_dir.display());
        let stack = Stack::start_in(Arc::clone(home), StackOptions::default()).await?;
        let owner_url = stack.databases().owner_url("numbering");
        crate::store::migrate::migrate(&owner_url).await.context("the database could not be migrated")?;
        stack.databases().admit_service().await?;
        let issuer = Issuer::make(directory)?;

        let billing = self.billing.insert(Billing::start(home).await?);
        let places = choose_places(args, home)?;
        let prepare =
            |(index, place): (usize, &Place)| replica::prepare(&stack, billing, *place, index + 1, places.len());
        let mut replicas = places.iter().enumerate().map(prepare).collect::<anyhow::Result<Vec<_>>>()?;
        let shared = dev_env::shared(&stack, billing);
        let (postgres, redis, nats) = stack.into_servers();
        let restart_delay = args.restart_delay.duration();
        self.supervisor.keep([postgres, redis, nats], restart_delay);
        try_join_all(replicas.iter_mut().map(Server::start)).await?;
        self.supervisor.keep(replicas, restart_delay);
        if !args.no_sample {
            sample::load(directory, &places[0].http_url(), &issuer).await?;
        }
        dev_env::write(directory, &places, shared, &issuer)?;
        print!("{}", welcome(&args.data_dir, &places, billing));
        std::future::pending().await
    }

    /// Stops everything in good order.
    async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(home) = self.home.take() else { return Ok(()) };
        eprintln!("stopping");
        let removed = dev_env::remove(home.path());
        self.supervisor.stop().await;
        if let Some(billing) = self.billing.take() {
            billing.stop().await;
        }
        removed
    }
}

fn choose_places(args: &Args, home: &Home) -> anyhow::Result<Vec<Place>> {
    let choose = |number| {
        Ok(Place {
            http: choose_address(home, "http", args.http, 8080, number)?,
            grpc: choose_address(home, "grpc", args.grpc, 9090, number)?,
        })
    };
    (1..=args.replicas).map(choose).collect()
}

/// Where the `number`th replica serves: the first as `given` or as usual, the others on free ports of the same host.
fn choose_address(
    home: &Home,
    what: &str,
    given: Option<SocketAddr>,
    usual: u16,
    number: u8,
) -> anyhow::Result<SocketAddr> {
    let mut address = given.unwrap_or_else(|| ([127, 0, 0, 1], usual).into());
    let is_asked_for = number == 1 && address.port() != 0;
    if is_asked_for && is_free(address) {
        return Ok(address);
    }
    if is_asked_for && given.is_some() {
        let taken = format!("{address} is taken, or not an address of this machine");
        return Err(Advised::new(taken, format!("choose another with --{what}; port 0 takes a free one")).into());
    }
    address.set_port(home.port(&format!("replica-{number}-{what}"))?);
    Ok(address)
}

fn welcome(data_dir: &Path, places: &[Place], billing: &Billing) -> String {
    let env = dev_env::file(data_dir);
    let list = |address: fn(Place) -> String| places.iter().copied().map(address).collect::<Vec<_>>().join("  ");
    let first = places[0].http_url();
    let url = if places.len() == 1 { "$NUMBERING_HTTP_URL" } else { "${NUMBERING_HTTP_URL%%,*}" };
    format!(
        "
numbering is serving.

  REST      {rest}
  gRPC      {grpc}
  billing   {billing}  (a stand-in)
  read      {first}/docs  (and {first}/openapi.json)
  tokens    {env}
  logs      {logs}

Try, in another terminal:

  . {env}
  curl -H \"Authorization: Bearer $TENANT_A_TOKEN\" \"{url}/v1/numbers/available?identifierClass=MSISDN&limit=3\"

Ctrl-C stops everything and keeps the data.
",
        rest = list(Place::http_url),
        grpc = list(Place::grpc_address),
        billing = billing.url(),
        env = env.display(),
        logs = data_dir.join("logs").display(),
    )
}

/// The signals that ask this process to stop.
#[derive(Debug)]
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    /// From here on these signals are seen here, and no longer end the process.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
