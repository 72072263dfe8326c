//! A tenant with many leases is suspended (US-NUM-004): how soon nobody says yes any more, and how soon all is recalled.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use jiff::Timestamp;
use numbering::auth::machine_clock;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::caller::{Ask, Caller, one};
use crate::events;
use crate::figures::{Figure, Quantity};
use crate::load::{Judged, as_f64, closed};
use crate::process::until_calm;
use crate::seed;
use crate::stand::{Replica, Stand};

/// Leases of the tenant.
const LEASES: u64 = 100_000;
/// Of these so many are asked about all the time.
const ASKED: u64 = 64;
/// So often, at each replica.
const PACE: Duration = Duration::from_millis(2);
/// What is not recalled by then never is.
const PATIENCE: Duration = Duration::from_mins(3);

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let leases = LEASES / stand.sizes.divisor;
    let site = stand.site().await?;
    let client = site.superuser().await?;
    let tenant = seed::tenant(0);
    seed::leases(&client, seed::LEASES_FROM, leases, std::slice::from_ref(&tenant), false).await?;
    let replicas = [stand.replica(&site, &[]).await?, stand.replica(&site, &[]).await?];
    events::stream(&site.part.nats_url, "COMPLIANCE").await?;
    until_calm(replicas[0].pid()?, Duration::from_secs(10)).await?;

    let stop = CancellationToken::new();
    let mut probes = Vec::new();
    for replica in &replicas {
        probes.push(probe(stand, replica, &tenant, &stop).await?);
    }
    let event = json!({
        "specversion": "1.0", "id": "bench-suspension", "source": "/bench", "type": "compliance.tenant.suspended",
        "data": { "tenantId": tenant, "ticketId": "BENCH-1" },
    });
    let jetstream = events::jetstream(&site.part.nats_url).await?;
    let published = jetstream.publish("compliance.tenant.suspended", event.to_string().into()).await;
    published.context("NATS takes no suspension")?.await.context("JetStream takes no suspension")?;

    let finished = async {
        loop {
            let row = client.query_opt("SELECT created_at, finished_at, recalled FROM numbering.cascades", &[]).await?;
            if let Some((created, Some(finished), recalled)) = row.map(|row| {
                (row.get::<_, Timestamp>(0), row.get::<_, Option<Timestamp>>(1), row.get::<_, Option<i32>>(2))
            }) {
                return anyhow::Ok((created, finished, recalled));
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let (created, finished, recalled) = timeout(PATIENCE, finished).await.context("the cascade does not end")??;
    stop.cancel();
    anyhow::ensure!(
        recalled.is_some_and(|recalled| i64::from(recalled) == i64::try_from(leases).unwrap_or(-1)),
        "{recalled:?} leases were recalled"
    );
    seed::check_balance(&client).await?;

    let mut denied = f64::NEG_INFINITY;
    for probe in probes {
        let last_yes = probe.await?.context("no validation said yes before the suspension")?;
        denied = denied.max(seconds(created, last_yes));
    }
    for replica in replicas {
        replica.stop().await;
    }
    let all = seconds(created, finished);
    Ok(vec![
        Figure::at_most(
            "last yes on any replica, after the suspension",
            Quantity::seconds(denied.max(0.0)),
            Quantity::seconds(1.0),
        ),
        Figure::at_most("all recalled", Quantity::seconds(all), Quantity::seconds(60.0)),
        Figure::told("leases recalled", Quantity::per_second(as_f64(leases) / all)),
    ])
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    (to - from).total(jiff::Unit::Second).unwrap_or(f64::INFINITY)
}

/// Asks one replica about some of the leases until `stop`, and gives when the last question began that was answered with yes. It
/// remembers them all before this returns.
async fn probe(
    stand: &Stand,
    replica: &Replica,
    tenant: &str,
    stop: &CancellationToken,
) -> anyhow::Result<JoinHandle<Option<Timestamp>>> {
    let caller = Caller::connect(replica.grpc, 1, &stand.issuer.validator()?, Ask::One).await?;
    let question = |number: u64| one((format!("+93{}", seed::LEASES_FROM + number), tenant.to_owned()));
    let questions: Arc<Vec<Bytes>> = Arc::new((0..ASKED).map(question).collect());
    let ask = move |number: u64| {
        let (caller, questions) = (caller.clone(), Arc::clone(&questions));
        async move {
            let index = usize::try_from(number % ASKED)?;
            caller.call(number, questions.get(index).cloned().unwrap_or_default()).await
        }
    };
    closed(1, Duration::from_secs(1), ask.clone()).await?.all_good("before the suspension")?;
    let stop = stop.clone();
    Ok(tokio::spawn(async move {
        let mut last_yes = None;
        let mut number = 0;
        while !stop.is_cancelled() {
            let began = machine_clock();
            if let Ok(Judged::Good) = ask(number).await {
                last_yes = Some(began);
            }
            number += 1;
            sleep(PACE).await;
        }
        last_yes
    }))
}
