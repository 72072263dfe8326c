//! `ValidateLease` from memory (US-NUM-002), beside two servers that know nothing and answer a constant.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::baseline::{Baseline, Kind};
use crate::caller::{Ask, Caller, one};
use crate::figures::{Figure, Quantity, median};
use crate::load::{as_f64, closed};
use crate::process::{cpu_seconds, until_calm};
use crate::seed;
use crate::stand::Stand;
use crate::tools::H2load;
use crate::wire::Wire;

/// Calls under way: 128 over 8 connections.
const CONNECTIONS: usize = 8;
const STREAMS: usize = 16;
/// Different identifiers of the second measurement.
const IDENTIFIERS: u64 = 10_000;
/// Calls before anything is counted.
const WARM_UP: u64 = 20_000;

/// A server under this load.
struct Server {
    address: SocketAddr,
    pid: u32,
    rates: Vec<f64>,
    cpu: Vec<f64>,
    latencies: Vec<f64>,
}

impl Server {
    const fn new(address: SocketAddr, pid: u32) -> Self {
        Self { address, pid, rates: Vec::new(), cpu: Vec::new(), latencies: Vec::new() }
    }

    fn rate(&self) -> Quantity {
        Quantity::per_second(median(self.rates.clone()))
    }

    fn cpu(&self) -> Quantity {
        Quantity::seconds(median(self.cpu.clone()))
    }

    /// The latency that `percent` of the calls did not exceed.
    fn latency(&self, percent: usize) -> Quantity {
        let rank = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        Quantity::seconds(self.latencies.get(rank).copied().unwrap_or(f64::NAN))
    }

    /// One round of `h2load`.
    async fn round(&mut self, load: &H2load<'_>, calls: u64) -> anyhow::Result<()> {
        let before = cpu_seconds(self.pid)?;
        self.rates.push(load.rate(self.address, calls).await?);
        self.cpu.push((cpu_seconds(self.pid)? - before) / as_f64(calls));
        Ok(())
    }

    /// One round of this program's own client, over [`IDENTIFIERS`].
    async fn round_of_many(&mut self, token: &str, span: Duration) -> anyhow::Result<()> {
        let wire = Wire::of_one(self.address, CONNECTIONS, token);
        let questions = Arc::new((0..IDENTIFIERS).map(|number| one(seed::leased(number))).collect());
        let under_way = CONNECTIONS * STREAMS;
        wire.closed(under_way, span / 2, &questions).await?.all_good("warming up")?;
        let before = cpu_seconds(self.pid)?;
        let outcome = wire.closed(under_way, span, &questions).await?.all_good("many identifiers")?;
        self.rates.push(outcome.rate());
        self.cpu.push((cpu_seconds(self.pid)? - before) / as_f64(outcome.good));
        Ok(())
    }
}

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let site = stand.leased().await?;
    let replica = stand.replica(&site, &[]).await?;
    let (tonic, hyper) = (Baseline::start(Kind::Tonic).await?, Baseline::start(Kind::Hyper).await?);
    let servers = || -> anyhow::Result<[Server; 3]> {
        Ok([
            Server::new(tonic.address, tonic.pid()?),
            Server::new(replica.grpc, replica.pid()?),
            Server::new(hyper.address, hyper.pid()?),
        ])
    };
    until_calm(replica.pid()?, Duration::from_secs(10)).await?;

    let token = stand.issuer.validator()?;
    let [mut tonic, mut service, mut hyper] = servers()?;
    one_identifier(stand, &token, [&mut tonic, &mut service, &mut hyper]).await?;
    let mut figures = vec![
        Figure::told("one identifier, calls", service.rate()).beside(tonic.rate(), "tonic").times_at_least(1.5),
        Figure::told("one identifier, CPU a call", service.cpu()).beside(hyper.cpu(), "hyper").times_at_most(1.4),
        Figure::told("one identifier, p99", service.latency(99)).beside(tonic.latency(99), "tonic").times_at_most(1.0),
        Figure::told("one identifier, p50", service.latency(50)).beside(tonic.latency(50), "tonic"),
        Figure::told("one identifier, calls", service.rate()).beside(hyper.rate(), "hyper"),
        Figure::told("one identifier, CPU a call", service.cpu()).beside(tonic.cpu(), "tonic"),
    ];

    let [mut tonic, mut service, mut hyper] = servers()?;
    for _ in 0..stand.sizes.rounds {
        for server in [&mut tonic, &mut service, &mut hyper] {
            server.round_of_many(&token, stand.sizes.span).await?;
        }
    }
    figures.extend([
        Figure::told("10,000 identifiers, calls", service.rate()).beside(tonic.rate(), "tonic"),
        Figure::told("10,000 identifiers, CPU a call", service.cpu()).beside(hyper.cpu(), "hyper").times_at_most(1.4),
    ]);
    replica.stop().await;
    Ok(figures)
}

/// The servers in turn, round after round, so that whatever else the machine does meets all of them.
async fn one_identifier(stand: &Stand, token: &str, servers: [&mut Server; 3]) -> anyhow::Result<()> {
    let body = stand.directory.join("validate-lease");
    fs::write(&body, one(seed::leased(0)))?;
    let log = stand.directory.join("h2load.log");
    let [tonic, service, hyper] = servers;
    // That the service says yes, h2load would not notice otherwise.
    let caller = Caller::connect(service.address, 1, token, Ask::One).await?;
    closed(1, Duration::from_millis(100), move |number| {
        let caller = caller.clone();
        async move { caller.call(number, one(seed::leased(0))).await }
    })
    .await?
    .all_good("the hot identifier")?;
    let path = Ask::One.path();
    let load = H2load { path, body: &body, token, connections: CONNECTIONS, streams: STREAMS };
    let mut slowest = f64::INFINITY;
    for server in [&*tonic, &*service, &*hyper] {
        slowest = slowest.min(load.rate(server.address, WARM_UP).await?);
    }
    let calls = calls_in(slowest, stand.sizes.span);
    for _ in 0..stand.sizes.rounds {
        for server in [&mut *tonic, &mut *service, &mut *hyper] {
            server.round(&load, calls).await?;
        }
    }
    for server in [tonic, service, hyper] {
        server.latencies = load.latencies(server.address, calls, &log).await?;
    }
    Ok(())
}

/// How many calls at this rate fill the span, in whole thousands.
fn calls_in(rate: f64, span: Duration) -> u64 {
    let thousands = Duration::from_secs_f64(rate * span.as_secs_f64() / 1_000.0).as_secs();
    thousands.max(1) * 1_000
}
