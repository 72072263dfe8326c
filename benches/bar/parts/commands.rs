//! reserve → hold → lease → recall over REST, beside `pgbench` that writes the same rows in one plain statement each.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::figures::{Figure, Quantity, median};
use crate::load::as_f64;
use crate::process::until_calm;
use crate::rest::Rest;
use crate::seed;
use crate::stand::{Replica, Site, Stand};
use crate::tools::Pgbench;

/// Callers at once, each on one connection; `commands.sql` has the same number.
pub(crate) const CLIENTS: usize = 32;
/// Transitions of a number's whole life.
const TRANSITIONS: u64 = 4;
/// Numbers that one run of `pgbench` may use up.
const NUMBERS_OF_A_RUN: u64 = 30_000;

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let site = stand.inventory(stand.sizes.inventory / 10).await?;
    let replica = stand.replica(&site, &[]).await?;
    let mut figures = Vec::new();
    for (what, tenants) in [("32 tenants", seed::TENANTS), ("one tenant", 1)] {
        let (mut service, mut statements) = (Vec::new(), Vec::new());
        for _ in 0..stand.sizes.rounds {
            until_calm(replica.pid()?, Duration::from_secs(5)).await?;
            statements.push(plain_statements(stand, &site, tenants).await?);
            // What these left in the outbox, the service publishes before it is measured itself.
            until_published(&site).await?;
            service.push(whole_lives(stand, &site, &replica, tenants, stand.sizes.span).await?);
        }
        let (service, statements) = (Quantity::per_second(median(service)), Quantity::per_second(median(statements)));
        figures.push(
            Figure::told(format!("{what}, transitions"), service).beside(statements, "pgbench").times_at_least(0.5),
        );
    }
    seed::check_balance(&site.superuser().await?).await?;
    replica.stop().await;
    Ok(figures)
}

/// Transitions a second that [`CLIENTS`] callers get done, for tenants in turn.
pub(crate) async fn whole_lives(
    stand: &Stand,
    site: &Site,
    replica: &Replica,
    tenants: usize,
    span: Duration,
) -> anyhow::Result<f64> {
    let mut clients = JoinSet::new();
    let mut open = Vec::with_capacity(CLIENTS);
    for client in 0..CLIENTS {
        open.push(Rest::connect(replica.http, &stand.issuer.tenant(&seed::tenant(client % tenants))?).await?);
    }
    let began = Instant::now();
    for mut rest in open {
        let site = site.clone();
        clients.spawn(async move {
            let mut lives = 0;
            while began.elapsed() < span {
                let number = site.identifier(site.take(1)?);
                whole_life(&mut rest, &number).await?;
                lives += 1;
            }
            anyhow::Ok(lives)
        });
    }
    let mut lives = 0;
    while let Some(client) = clients.join_next().await {
        lives += client??;
    }
    Ok(as_f64(lives * TRANSITIONS) / began.elapsed().as_secs_f64())
}

async fn whole_life(rest: &mut Rest, number: &str) -> anyhow::Result<()> {
    rest.post(&format!("/v1/numbers/{number}/reserve"), "").await?;
    rest.post(&format!("/v1/numbers/{number}/hold"), "").await?;
    rest.post(&format!("/v1/numbers/{number}/lease"), r#"{"term":"1y","autoRenew":false}"#).await?;
    rest.post(&format!("/v1/numbers/{number}/recall"), r#"{"reason":"TENANT_INITIATED"}"#).await?;
    Ok(())
}

/// Transitions a second of `pgbench`.
async fn plain_statements(stand: &Stand, site: &Site, tenants: usize) -> anyhow::Result<f64> {
    let base = site.take(NUMBERS_OF_A_RUN / stand.sizes.divisor)?;
    let number = |value: u64| i64::try_from(value).context("a number beyond all bounds");
    let run = Pgbench {
        url: site.superuser_url(),
        script: include_str!("commands.sql"),
        variables: &[
            ("n", -1),
            ("base", number(base)?),
            ("numbers", number(site.numbers)?),
            ("scatter", number(seed::SCATTER)?),
            ("step", number(site.step)?),
            ("tenants", i64::try_from(tenants)?),
        ],
        clients: CLIENTS,
        seconds: stand.sizes.span.as_secs(),
    };
    Ok(run.rate(&stand.directory).await? * as_f64(TRANSITIONS))
}

/// Waits until the outbox is empty.
pub(crate) async fn until_published(site: &Site) -> anyhow::Result<()> {
    let client = site.superuser().await?;
    let empty = async {
        while client.query_one("SELECT EXISTS (SELECT FROM numbering.outbox)", &[]).await?.get(0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_mins(1), empty).await.context("the outbox does not empty")?
}
