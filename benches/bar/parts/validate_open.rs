//! The stories' own bounds (US-NUM-002), at a rate that does not wait for answers: a hit, a miss, Redis frozen, Redis dead.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;

use crate::caller::{Ask, Caller, one};
use crate::figures::{Figure, Quantity};
use crate::load::{Outcome, as_f64, open};
use crate::process::until_calm;
use crate::seed;
use crate::stand::Stand;

/// Calls a second that are answered from memory.
const HITS: f64 = 10_000.0;
/// Calls a second that PostgreSQL has to answer.
const MISSES: f64 = 4_000.0;
/// Identifiers that are asked about again and again.
const HOT: u64 = 5_000;
const CONNECTIONS: usize = 8;

/// The leased numbers, to be asked about by their places.
#[derive(Clone)]
struct Leased {
    caller: Caller,
    questions: Arc<Vec<Bytes>>,
}

impl Leased {
    /// Asks `rate` times a second, each time about the place that `place` gives for the number of the call.
    async fn load<P>(&self, rate: f64, span: Duration, place: P) -> anyhow::Result<Outcome>
    where
        P: Fn(u64) -> u64 + Clone + Send + Sync + 'static,
    {
        let Self { caller, questions } = self.clone();
        let ask = move |number: u64| {
            let (caller, questions, place) = (caller.clone(), Arc::clone(&questions), place(number));
            async move {
                let question = questions.get(usize::try_from(place)?).context("no such place")?;
                caller.call(number, question.clone()).await
            }
        };
        open(rate, span, ask).await
    }
}

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let site = stand.leased().await?;
    let replica = stand.replica(&site, &[]).await?;
    let caller = Caller::connect(replica.grpc, CONNECTIONS, &stand.issuer.validator()?, Ask::One).await?;
    let leases = stand.sizes.leases;
    let asked = Leased { caller, questions: Arc::new((0..leases).map(|place| one(seed::leased(place))).collect()) };
    let hot = |number: u64| number % HOT;
    // What is not hot, in three parts, each larger than what is asked about in one measurement: nothing is asked about twice.
    let fresh = |part: u64| {
        let cold = leases - HOT;
        move |number: u64| HOT + seed::scattered(part * (cold / 3) + number, cold)
    };
    let span = stand.sizes.span * 2;

    asked.load(HITS, Duration::from_secs(1), hot).await?.all_good("warming up")?;
    until_calm(replica.pid()?, Duration::from_secs(5)).await?;
    let hit = asked.load(HITS, span, hot).await?;
    let miss = asked.load(MISSES, span, fresh(0)).await?;
    stand.stack.redis.freeze();
    let frozen = asked.load(MISSES, span, fresh(1)).await?;
    stand.stack.redis.thaw();
    stand.stack.redis.kill().await;
    let dead = asked.load(MISSES, span, fresh(2)).await?;
    stand.stack.redis.start().await?;
    replica.stop().await;

    let mut figures = Vec::new();
    for (what, outcome, most) in [
        ("hit, 10,000/s", hit, 0.020),
        ("miss, 4,000/s", miss, 0.050),
        ("Redis frozen, 4,000/s", frozen, 0.080),
        ("Redis dead, 4,000/s", dead, 0.080),
    ] {
        let answered = as_f64(outcome.good) / as_f64(outcome.good + outcome.refusals());
        let p95 = Quantity::seconds(outcome.quantile(0.95));
        figures.extend([
            Figure::at_most(format!("{what}, p95"), p95, Quantity::seconds(most)),
            Figure::told(format!("{what}, p99"), Quantity::seconds(outcome.quantile(0.99))),
            Figure::at_least(format!("{what}, answered"), Quantity::share(answered), Quantity::share(0.999)),
        ]);
    }
    Ok(figures)
}
