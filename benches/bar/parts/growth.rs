//! Whether a transition or a validation takes longer as the inventory grows tenfold.

use std::time::Duration;

use crate::caller::{Ask, Caller, one};
use crate::figures::{Figure, Quantity, median};
use crate::load::closed;
use crate::process::until_calm;
use crate::seed;
use crate::stand::{Replica, Site, Stand};

use super::commands::{until_published, whole_lives};

/// Validations under way.
const UNDER_WAY: usize = 128;
const CONNECTIONS: usize = 8;

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let whole = stand.sizes.inventory;
    let sites = [stand.inventory(whole).await?, stand.inventory(whole / 10).await?];
    let replicas = [stand.replica(&sites[0], &[]).await?, stand.replica(&sites[1], &[]).await?];
    let (mut transitions, mut misses) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    // More rounds than elsewhere, and shorter: the one differs from the other by less than the machine does from itself.
    let span = stand.sizes.span / 2;
    for round in 0..2 * stand.sizes.rounds {
        // The one is as often the first as the other: what a round leaves behind meets both.
        for turn in 0..2 {
            let index = (round + turn) % 2;
            let (site, replica) = (&sites[index], &replicas[index]);
            until_calm(replica.pid()?, Duration::from_secs(5)).await?;
            let rate = whole_lives(stand, site, replica, seed::TENANTS, span).await?;
            transitions[index].push(1.0 / rate);
            until_published(site).await?;
            misses[index].push(1.0 / miss_rate(stand, site, replica, span / 2).await?);
        }
    }
    for replica in replicas {
        replica.stop().await;
    }
    let figure = |what: &str, [large, small]: [Vec<f64>; 2]| {
        let (large, small) = (Quantity::seconds(median(large)), Quantity::seconds(median(small)));
        Figure::told(what, large).beside(small, "a tenth").times_at_most(1.1)
    };
    Ok(vec![figure("time a transition", transitions), figure("time a validation that misses", misses)])
}

/// Validations a second of numbers that nobody has asked about.
async fn miss_rate(stand: &Stand, site: &Site, replica: &Replica, span: Duration) -> anyhow::Result<f64> {
    let caller = Caller::connect(replica.grpc, CONNECTIONS, &stand.issuer.validator()?, Ask::One).await?;
    let caller = caller.whatever_is_said();
    let asked = site.clone();
    let ask = move |number| {
        let (caller, question) = (caller.clone(), one((asked.identifier(asked.take(1)), seed::tenant(0))));
        async move { caller.call(number, question).await }
    };
    Ok(closed(UNDER_WAY, span, ask).await?.all_good("validations that miss")?.rate())
}
