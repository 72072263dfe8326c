//! From the commit to JetStream: how late events are while commands come in, and how fast a backlog goes.

use std::time::Duration;

use anyhow::Context as _;

use crate::events::{self, Published, quantile};
use crate::figures::{Figure, Quantity};
use crate::load::as_f64;
use crate::process::until_calm;
use crate::seed;
use crate::stand::Stand;

use super::commands::{until_published, whole_lives};

/// Events that wait while NATS is away.
const BACKLOG: u64 = 100_000;
/// What is not published by then never is.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let mut figures = under_commands(stand).await?;
    figures.push(backlog(stand).await?);
    Ok(figures)
}

async fn under_commands(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let site = stand.inventory(stand.sizes.inventory / 10).await?;
    let replica = stand.replica(&site, &[]).await?;
    until_calm(replica.pid()?, Duration::from_secs(5)).await?;
    until_published(&site).await?;
    let mut stream = events::stream(&site.part.nats_url, "NUMBERING").await?;
    let passed = events::count(&mut stream).await?;
    let rate = whole_lives(stand, &site, &replica, seed::TENANTS, stand.sizes.span * 2).await?;
    until_published(&site).await?;
    let last = events::count(&mut stream).await?;
    let delays: Vec<f64> = events::stored(&stream, passed, last).await?.iter().map(Published::delay).collect();
    replica.stop().await;
    Ok(vec![
        Figure::at_most(
            format!("commit to published, p99, at {rate:.0} transitions/s"),
            Quantity::seconds(quantile(delays.clone(), 99)),
            Quantity::seconds(0.250),
        ),
        Figure::told("commit to published, p50", Quantity::seconds(quantile(delays, 50))),
    ])
}

async fn backlog(stand: &mut Stand) -> anyhow::Result<Figure> {
    let site = stand.site().await?;
    let replica = stand.replica(&site, &[]).await?;
    let mut stream = events::stream(&site.part.nats_url, "NUMBERING").await?;
    let passed = events::count(&mut stream).await?;
    stand.stack.nats.stop().await;
    let client = site.superuser().await?;
    let tenants: Vec<String> = (0..seed::TENANTS).map(seed::tenant).collect();
    let count = BACKLOG / stand.sizes.divisor;
    seed::leases(&client, seed::LEASES_FROM, count, &tenants, true).await?;
    stand.stack.nats.start().await?;
    let mut stream_again = events::stream(&site.part.nats_url, "NUMBERING").await?;
    events::until(&mut stream_again, passed + count, PATIENCE).await?;
    let published = events::stored(&stream_again, passed, passed + count).await?;
    replica.stop().await;
    let times = || published.iter().map(|event| event.stored_at);
    let (first, last) = times().min().zip(times().max()).context("nothing was published")?;
    let seconds = (last - first).total(jiff::Unit::Second)?;
    let rate = Quantity::per_second(as_f64(count) / seconds);
    Ok(Figure::at_least("events a second, draining", rate, Quantity::per_second(10_000.0)))
}
