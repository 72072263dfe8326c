//! `ValidateLease` with Redis stopped and nothing in memory: PostgreSQL alone, beside `pgbench` that selects the same rows.

use std::sync::Arc;

use bytes::Bytes;

use crate::caller::one;
use crate::figures::{Figure, Quantity, median};
use crate::seed;
use crate::stand::Stand;
use crate::tools::Pgbench;
use crate::wire::Wire;

/// Calls, or statements, under way.
const UNDER_WAY: usize = 128;
const CONNECTIONS: usize = 8;

/// A replica that remembers as good as nothing.
pub(crate) const NO_MEMORY: [(&str, &str); 1] = [("NUMBERING_CACHE__LOCAL_NUMBERS", "1")];

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let site = stand.leased().await?;
    let replica = stand.replica(&site, &NO_MEMORY).await?;
    stand.stack.redis.stop().await;
    let token = stand.issuer.validator()?;
    let wire = Wire::of_one(replica.grpc, CONNECTIONS, &token);
    let leases = stand.sizes.leases;
    let questions: Arc<Vec<Bytes>> = Arc::new((0..leases).map(|number| one(seed::leased(number))).collect());
    let select = Pgbench {
        url: site.superuser_url(),
        script: include_str!("validate_miss.sql"),
        variables: &[("first", i64::try_from(seed::LEASES_FROM)?), ("leases", i64::try_from(leases)?)],
        clients: UNDER_WAY,
        // Connecting so many is a part of the time.
        seconds: stand.sizes.span.as_secs() + 2,
    };

    wire.closed(UNDER_WAY, stand.sizes.span / 2, &questions).await?.all_good("warming up")?;
    let (mut service, mut p95, mut selects) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..stand.sizes.rounds {
        selects.push(select.rate(&stand.directory).await?);
        let outcome = wire.closed(UNDER_WAY, stand.sizes.span, &questions).await?.all_good("misses")?;
        service.push(outcome.rate());
        p95.push(outcome.quantile(0.95));
    }
    stand.stack.redis.start().await?;
    replica.stop().await;
    let (service, selects) = (Quantity::per_second(median(service)), Quantity::per_second(median(selects)));
    Ok(vec![
        Figure::told("calls", service).beside(selects, "pgbench").times_at_least(1.0),
        Figure::at_most("p95", Quantity::seconds(median(p95)), Quantity::seconds(0.080)),
    ])
}
