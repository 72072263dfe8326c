//! Many reservations that run out in the same second (US-NUM-010), with Redis up, and with Redis down.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::events;
use crate::figures::{Figure, Quantity};
use crate::process::until_calm;
use crate::seed::{self, Running};
use crate::stand::{Site, Stand};

use super::commands::until_published;

/// How many.
const RESERVATIONS: i64 = 20_000;
/// How long it takes at most to write them down, before the first runs out, in seconds.
const AHEAD: f64 = 12.0;
/// What US-NUM-010 allows, in seconds.
const LATE_MOST: f64 = 2.0;
/// What each of them ends with.
const RELEASED: &str = "numbering.reservation.released";
/// What is not released by then never is.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let site = stand.site().await?;
    let (one, other) = (stand.replica(&site, &[]).await?, stand.replica(&site, &[]).await?);
    until_calm(one.pid()?, Duration::from_secs(10)).await?;
    let count = RESERVATIONS / i64::try_from(stand.sizes.divisor)?;

    let up = lateness(&site, seed::RESERVATIONS_FROM, count, true).await?;
    stand.stack.redis.stop().await;
    let down = lateness(&site, seed::RESERVATIONS_FROM + count, count, false).await?;
    stand.stack.redis.start().await?;
    seed::check_balance(&site.superuser().await?).await?;
    one.stop().await;
    other.stop().await;

    let mut figures = Vec::new();
    for (what, lateness) in [("Redis up", up), ("Redis down", down)] {
        let most = Quantity::seconds(LATE_MOST);
        figures.push(Figure::told(format!("{what}, AVAILABLE, last"), Quantity::seconds(lateness.released)));
        figures.push(Figure::at_most(format!("{what}, published, last"), Quantity::seconds(lateness.published), most));
    }
    Ok(figures)
}

/// How long after its deadline the last was released, and published, in seconds.
struct Lateness {
    released: f64,
    published: f64,
}

async fn lateness(site: &Site, first: i64, count: i64, with_timers: bool) -> anyhow::Result<Lateness> {
    let client = site.superuser().await?;
    let tenants: Vec<String> = (0..seed::TENANTS).map(seed::tenant).collect();
    let mut stream = events::stream(&site.part.nats_url, "NUMBERING").await?;
    let passed = events::count(&mut stream).await?;
    let running = seed::reservations(&client, first, count, &tenants, AHEAD).await?;
    if with_timers {
        set_timers(site, &running).await?;
    }
    client.batch_execute("ANALYZE").await?;
    let deadlines: HashMap<&str, i64> =
        running.iter().map(|(number, _, deadline)| (number.as_str(), *deadline)).collect();
    until_none_runs(&client).await?;
    until_published(site).await?;

    let last = events::count(&mut stream).await?;
    let mut lateness = Lateness { released: 0.0, published: 0.0 };
    let mut seen = 0;
    // Beside these there may be an alert about Redis.
    for event in events::stored(&stream, passed, last).await?.iter().filter(|event| event.event_type == RELEASED) {
        let deadline = *deadlines.get(event.subject.as_str()).context("an event of another number")?;
        lateness.released = lateness.released.max(seconds_after(event.made_at, deadline));
        lateness.published = lateness.published.max(seconds_after(event.stored_at, deadline));
        seen += 1;
    }
    anyhow::ensure!(seen == count, "{seen} of {count} releases were published");
    Ok(lateness)
}

/// Waits until no reservation is left.
async fn until_none_runs(client: &Client) -> anyhow::Result<()> {
    let released = async {
        while client.query_one("SELECT EXISTS (SELECT FROM numbering.claims)", &[]).await?.get(0) {
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, released).await.context("the reservations are not released")?
}

fn seconds_after(moment: Timestamp, deadline_ms: i64) -> f64 {
    Timestamp::from_millisecond(deadline_ms)
        .and_then(|deadline| (moment - deadline).total(jiff::Unit::Second))
        .unwrap_or(f64::INFINITY)
}

/// The timers in Redis, as the service sets one for each reservation.
async fn set_timers(site: &Site, running: &[Running]) -> anyhow::Result<()> {
    let mut connection = redis::Client::open(site.part.timers_url.as_str())?.get_multiplexed_async_connection().await?;
    for some in running.chunks(1_000) {
        let mut pipeline = redis::Pipeline::new();
        for (number, reservation, deadline) in some {
            let key = format!("num:reserve:{number}");
            pipeline.cmd("SET").arg(key).arg(reservation.to_string()).arg("PXAT").arg(*deadline).ignore();
        }
        pipeline.exec_async(&mut connection).await.context("timers cannot be set")?;
    }
    Ok(())
}
