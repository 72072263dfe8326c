//! Four times the load that can be carried: what can be answered in time is answered, the rest is refused at once, and when the
//! load is gone everything is as before.
//!
//! Each call asks for many pairs that the process does not remember, so that the work is Redis' and the service's, and with Redis stopped
//! PostgreSQL's and the service's: of single calls, offered at four times the rate, a machine of two cores would have its hands full
//! with the client's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::caller::{Ask, many};
use crate::figures::{Figure, Quantity};
use crate::load::as_f64;
use crate::seed;
use crate::stand::{Site, Stand};
use crate::wire::{Good, Wire};

use super::validate_miss::NO_MEMORY;

/// Pairs of one call.
const PAIRS: u64 = 200;
/// Different calls, made up beforehand.
const QUESTIONS: u64 = 500;
/// Calls under way where the peak is looked for.
const UNDER_WAY: usize = 32;
const CONNECTIONS: usize = 8;
/// Nobody waits longer for an answer, in milliseconds.
const PATIENCE_MS: u32 = 1_000;
/// How much more than the peak.
const TIMES: f64 = 4.0;
/// For how many seconds Redis may be filled before it has what is asked about.
const FILLING_MOST: u32 = 30;

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let site = stand.leased().await?;
    let replica = stand.replica(&site, &NO_MEMORY).await?;
    let leases = stand.sizes.leases;
    let question =
        |number: u64| many((0..PAIRS).map(|pair| seed::leased(seed::scattered(number * PAIRS + pair, leases))));
    let questions: Arc<Vec<Bytes>> = Arc::new((0..QUESTIONS).map(question).collect());
    let token = stand.issuer.validator()?;
    let wire = Wire {
        server: replica.grpc,
        connections: CONNECTIONS,
        token: &token,
        ask: Ask::Many,
        good: Good::Valid,
        deadline_ms: Some(PATIENCE_MS),
    };
    let asking = Asking { wire, questions, span: stand.sizes.span };
    filled(&site, (QUESTIONS * PAIRS).min(leases), &asking).await?;
    let mut figures = overloaded("Redis serving", &asking).await?;
    stand.stack.redis.stop().await;
    let without = overloaded("Redis stopped", &asking).await;
    stand.stack.redis.start().await?;
    replica.stop().await;
    figures.extend(without?);
    Ok(figures)
}

/// What is asked, and for how long.
struct Asking<'a> {
    wire: Wire<'a>,
    questions: Arc<Vec<Bytes>>,
    span: Duration,
}

impl Asking<'_> {
    /// Calls a second that are answered with so many under way.
    async fn peak(&self, span: Duration, what: &str) -> anyhow::Result<f64> {
        Ok(self.wire.closed(UNDER_WAY, span, &self.questions).await?.all_good(what)?.rate())
    }
}

/// Asks until Redis knows all `identifiers` that are asked about.
async fn filled(site: &Site, identifiers: u64, asking: &Asking<'_>) -> anyhow::Result<()> {
    let mut redis = redis::Client::open(site.part.redis_url.as_str())?.get_multiplexed_async_connection().await?;
    for _ in 0..FILLING_MOST {
        asking.peak(Duration::from_secs(1), "filling Redis").await?;
        let known: u64 = redis::cmd("DBSIZE").query_async(&mut redis).await?;
        if known >= identifiers {
            return Ok(());
        }
    }
    anyhow::bail!("after {FILLING_MOST} s Redis does not know all that was asked about")
}

async fn overloaded(when: &str, asking: &Asking<'_>) -> anyhow::Result<Vec<Figure>> {
    let Asking { wire, questions, span } = asking;
    asking.peak(*span / 2, "warming up").await?;
    let peak = asking.peak(*span, "the peak").await?;
    let overloaded = wire.open(peak * TIMES, *span * 2, questions).await?;
    // From the very moment that the load is gone.
    let after = wire.open(peak / 2.0, Duration::from_secs(1), questions).await?;

    let pairs = |calls: f64| Quantity::per_second(calls * as_f64(PAIRS));
    let all = as_f64(overloaded.good + overloaded.refusals());
    let mut figures = vec![
        Figure::told(format!("{when}, four times the peak, pairs answered"), pairs(overloaded.rate()))
            .beside(pairs(peak), "peak")
            .times_at_least(0.8),
        Figure::told(format!("{when}, offered"), pairs(all / overloaded.elapsed.as_secs_f64())),
        Figure::told(format!("{when}, p95 of what was answered"), Quantity::seconds(overloaded.quantile(0.95))),
    ];
    for (why, count) in &overloaded.refused {
        figures.push(Figure::told(format!("{when}, refused: {why}"), Quantity::share(as_f64(*count) / all)));
    }
    let answered = as_f64(after.good) / as_f64(after.good + after.refusals());
    figures.push(Figure::at_least(
        format!("{when}, half the peak, in the second after: answered"),
        Quantity::share(answered),
        Quantity::share(0.99),
    ));
    Ok(figures)
}
