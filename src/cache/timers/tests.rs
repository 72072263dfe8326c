//! What a change does to the timers, and that Redis does it.

use std::sync::Arc;
use std::time::Duration;

use numbering_domain::{IdentifierClass, ReservationId, TenantId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::devstack::{Home, redis as server};
use crate::operations::validate::testing::{directory, eventually};
use crate::telemetry::Metrics;

const RESERVE: &str = "num:reserve:4040";
const HOLD: &str = "num:hold:4040";

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(4_000_000_000_000 + milliseconds).unwrap()
}

fn claim(id: u128, expires_at: Timestamp) -> Reservation {
    let tenant = TenantId::parse("tenant-a").unwrap();
    Reservation { reservation_id: ReservationId(Uuid::from_u128(id)), tenant, since: at(0), expires_at }
}

fn number(state: State) -> Number {
    Number {
        identifier: Identifier::from_canonical(IdentifierClass::ShortCode, "4040"),
        shown: "4040".into(),
        operator: None,
        block: None,
        vanity_eligible: false,
        price_tier: "standard".into(),
        valid_from: None,
        version: 1,
        state,
        bars: Vec::new(),
    }
}

fn change(before: State, after: State) -> Transition {
    Transition {
        before: number(before),
        after: number(after),
        steps: Vec::new(),
        usage: std::collections::BTreeMap::default(),
        ended: Vec::new(),
        standing: None,
        commit_before: None,
    }
}

#[test]
fn a_timer_never_runs_out_before_its_deadline() {
    for (micros, milliseconds) in
        [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (-1, 0), (-1_000, -1), (-1_001, -1)]
    {
        let deadline = Timestamp::from_microsecond(micros).unwrap();
        assert_eq!(milliseconds_not_before(deadline), milliseconds, "{micros}");
    }
}

#[tokio::test]
async fn timers_follow_the_claims() {
    let directory = directory();
    let server = server::start(&Home::open(directory.path()).unwrap()).await.unwrap();
    let link =
        RedisLink::new("timers", server.url(), Duration::from_millis(250), &Arc::new(Metrics::default())).unwrap();
    let timers = Timers::new(link);
    let stop = CancellationToken::new();
    tokio::spawn({
        let (timers, stop) = (timers.clone(), stop.clone());
        async move { timers.link().keep_connected(&stop).await }
    });
    eventually("Redis is connected", async || timers.link().is_up()).await;
    let client = redis::Client::open(server.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let stands = async |key: &str| {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(key).cmd("PEXPIRETIME").arg(key);
        let (value, at): (Option<Uuid128>, i64) = pipeline.query_async(&mut connection.clone()).await.unwrap();
        value.map(|Uuid128(id)| (id, at - 4_000_000_000_000))
    };

    let reserved = |id, expires| State::Reserved(claim(id, at(expires)));
    let held = |id, expires| State::Held(claim(id, at(expires)));
    for (before, after, reserve, hold) in [
        (State::Available, reserved(1, 900), Some((1, 900)), None),
        (reserved(1, 900), held(1, 86_400), None, Some((1, 86_400))),
        (held(1, 86_400), held(1, 99_000), None, Some((1, 99_000))),
        (held(1, 99_000), State::Available, None, None),
        (State::Available, reserved(2, 900), Some((2, 900)), None),
        (reserved(1, 900), State::Available, Some((2, 900)), None),
        (reserved(2, 900), reserved(3, 950), Some((3, 950)), None),
        (reserved(3, 950), reserved(3, 990), Some((3, 990)), None),
        (reserved(3, 990), State::Available, None, None),
        (State::Available, State::Available, None, None),
    ] {
        let change = change(before, after);
        timers.apply(&change).await.unwrap();
        assert_eq!((stands(RESERVE).await, stands(HOLD).await), (reserve, hold), "{change:?}");
    }
    stop.cancel();
}

/// An id as Redis has it.
struct Uuid128(u128);

impl redis::FromRedisValue for Uuid128 {
    fn from_redis_value(value: redis::Value) -> Result<Self, redis::ParsingError> {
        let text = String::from_redis_value(value)?;
        Ok(Self(text.parse::<Uuid>().unwrap().as_u128()))
    }
}
