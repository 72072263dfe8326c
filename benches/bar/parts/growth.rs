//! Whether a transition or a validation takes longer as the inventory grows tenfold.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::caller::one;
use crate::figures::{Figure, Quantity, median};
use crate::process::until_calm;
use crate::seed;
use crate::stand::{Replica, Site, Stand};
use crate::wire::{Good, Wire};

use super::commands::{until_published, whole_lives};

/// Validations under way.
const UNDER_WAY: usize = 128;
const CONNECTIONS: usize = 8;
/// Rounds for each of the others' measurements, each a part as long: the two inventories differ by less than the machine does from itself
/// within seconds.
const FINER: u32 = 6;
/// More validations a second than there will be: so many numbers are set apart to ask about.
const RATE_MOST: u64 = 80_000;

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let whole = stand.sizes.inventory;
    let sites = [stand.inventory(whole).await?, stand.inventory(whole / 10).await?];
    let replicas = [stand.replica(&sites[0], &[]).await?, stand.replica(&sites[1], &[]).await?];
    for (site, replica) in sites.iter().zip(&replicas) {
        site.warm().await?;
        // Each of PostgreSQL's processes maps that memory as it meets it.
        miss_rate(stand, site, replica, stand.sizes.span / 2).await?;
        until_calm(replica.pid()?, Duration::from_secs(5)).await?;
    }
    let (mut transitions, mut misses) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let span = stand.sizes.span / FINER;
    for round in 0..stand.sizes.rounds * FINER as usize {
        // The one is as often the first as the other: what a round leaves behind meets both.
        for turn in 0..2 {
            let index = (round + turn) % 2;
            let (site, replica) = (&sites[index], &replicas[index]);
            let rate = whole_lives(stand, site, replica, seed::TENANTS, span).await?;
            transitions[index].push(1.0 / rate);
            until_published(site).await?;
            misses[index].push(1.0 / miss_rate(stand, site, replica, span / 2).await?);
        }
    }
    for replica in replicas {
        replica.stop().await;
    }
    Ok([figures("a transition", transitions), figures("a validation that misses", misses)].concat())
}

/// Of each round the two were measured within seconds of each other, so that what the machine does meanwhile is the same for both.
fn figures(what: &str, [large, small]: [Vec<f64>; 2]) -> Vec<Figure> {
    let ratio = median(large.iter().zip(&small).map(|(large, small)| large / small).collect());
    let (large, small) = (Quantity::seconds(median(large)), Quantity::seconds(median(small)));
    vec![
        Figure::told(format!("time {what}"), large).beside(small, "a tenth"),
        Figure::at_most(format!("{what}, to a tenth in the same round"), Quantity::times(ratio), Quantity::times(1.1)),
    ]
}

/// Validations a second of numbers that nobody has asked about.
async fn miss_rate(stand: &Stand, site: &Site, replica: &Replica, span: Duration) -> anyhow::Result<f64> {
    let count = RATE_MOST * u64::try_from(span.as_millis())? / 1_000;
    let first = site.take(count)?;
    let question = |place| one((site.identifier(place), seed::tenant(0)));
    let questions: Arc<Vec<Bytes>> = Arc::new((first..first + count).map(question).collect());
    let token = stand.issuer.validator()?;
    let wire = Wire { good: Good::Any, ..Wire::of_one(replica.grpc, CONNECTIONS, &token) };
    let outcome = wire.closed(UNDER_WAY, span, &questions).await?.all_good("validations that miss")?;
    anyhow::ensure!(outcome.good <= count, "{} validations, and {count} numbers to ask about", outcome.good);
    Ok(outcome.rate())
}
