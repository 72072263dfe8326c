//! `ValidateLeases` from memory, a thousand pairs a call, beside a server that answers a thousand constants.

use std::fs;
use std::time::Duration;

use crate::baseline::{Baseline, Kind};
use crate::caller::{Ask, Caller, many};
use crate::figures::{Figure, Quantity, median};
use crate::load::closed;
use crate::process::until_calm;
use crate::seed;
use crate::stand::Stand;
use crate::tools::H2load;

/// Pairs of one call, the most there may be.
const PAIRS: u64 = 1_000;
const CONNECTIONS: usize = 8;
/// Calls before anything is counted.
const WARM_UP: u64 = 200;

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let site = stand.leased().await?;
    let replica = stand.replica(&site, &[]).await?;
    let tonic = Baseline::start(Kind::Tonic).await?;
    until_calm(replica.pid()?, Duration::from_secs(10)).await?;

    let token = stand.issuer.validator()?;
    let question = many((0..PAIRS).map(seed::leased));
    let body = stand.directory.join("validate-leases");
    fs::write(&body, &question)?;
    let caller = Caller::connect(replica.grpc, 1, &token, Ask::Many).await?;
    let ask = move |number| {
        let (caller, question) = (caller.clone(), question.clone());
        async move { caller.call(number, question).await }
    };
    closed(1, Duration::from_millis(300), ask).await?.all_good("a thousand pairs")?;

    let load = H2load { path: Ask::Many.path(), body: &body, token: &token, connections: CONNECTIONS, streams: 1 };
    let mut slowest = f64::INFINITY;
    for server in [tonic.address, replica.grpc] {
        slowest = slowest.min(load.rate(server, WARM_UP).await?);
    }
    let calls = Duration::from_secs_f64(slowest * stand.sizes.span.as_secs_f64()).as_secs().max(WARM_UP);
    let (mut constants, mut service) = (Vec::new(), Vec::new());
    for _ in 0..stand.sizes.rounds {
        constants.push(load.rate(tonic.address, calls).await?);
        service.push(load.rate(replica.grpc, calls).await?);
    }
    replica.stop().await;
    let pairs = |rates| Quantity::per_second(median(rates) * 1_000.0);
    Ok(vec![Figure::told("pairs", pairs(service)).beside(pairs(constants), "tonic").times_at_least(0.6)])
}
