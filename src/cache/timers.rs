//! The timers of reservations and holds in Redis (US-NUM-007, US-NUM-008): `num:reserve:{identifier}` and
//! `num:hold:{identifier}` hold the reservation's id and run out when it does, in a database of their own.
//!
//! What must stay true: a timer is a hint that something may be due, never a fact; PostgreSQL has the deadline. A timer never
//! runs out before its deadline. Removing one reservation's timer never removes the next one's.

use jiff::Timestamp;
use numbering_domain::number::Reservation;
use numbering_domain::{Identifier, Number, State, Transition};
use redis::Pipeline;

use super::{LinkError, RedisLink};

/// So many changes go in one round trip.
const CHANGES_AT_ONCE: usize = 500;

const END: &str = include_str!("end_timer.lua");

/// The timers in Redis.
#[derive(Clone, Debug)]
pub struct Timers {
    link: RedisLink,
    end_hash: String,
}

impl Timers {
    /// Timers over this link, within whose limit each round trip must be done.
    #[must_use]
    pub fn new(link: RedisLink) -> Self {
        Self { link, end_hash: redis::Script::new(END).get_hash().to_owned() }
    }

    /// The connection.
    #[must_use]
    pub const fn link(&self) -> &RedisLink {
        &self.link
    }

    /// Sets and removes what a committed change calls for.
    ///
    /// # Errors
    /// When Redis is away or late.
    pub async fn apply(&self, transition: &Transition) -> Result<(), LinkError> {
        self.apply_many(std::slice::from_ref(transition)).await
    }

    /// Sets and removes what committed changes call for.
    ///
    /// # Errors
    /// When Redis is away or late; the rest is then not tried.
    pub async fn apply_many(&self, transitions: &[Transition]) -> Result<(), LinkError> {
        let changes: Vec<TimerChange<'_>> = transitions.iter().flat_map(changes_of).collect();
        for some in changes.chunks(CHANGES_AT_ONCE) {
            let mut pipeline = Pipeline::with_capacity(some.len() + 1);
            pipeline.cmd("SCRIPT").arg("LOAD").arg(END).ignore();
            for change in some {
                self.add(&mut pipeline, change);
            }
            self.link.pipeline::<()>(&pipeline, self.link.limit()).await?;
        }
        Ok(())
    }

    pub(super) async fn tell(&self, transitions: &[Transition]) {
        if let Err(error) = self.apply_many(transitions).await {
            tracing::warn!(%error, changes = transitions.len(), "timers were not set; the deadlines in PostgreSQL stand");
        }
    }

    fn add(&self, pipeline: &mut Pipeline, change: &TimerChange<'_>) {
        match change {
            TimerChange::Set(timer, expires_at) => {
                pipeline.cmd("SET").arg(timer.key()).arg(timer.reservation());
                pipeline.arg("PXAT").arg(milliseconds_not_before(*expires_at)).ignore();
            }
            TimerChange::End(timer) => {
                pipeline.cmd("EVALSHA").arg(&self.end_hash).arg(1).arg(timer.key()).arg(timer.reservation()).ignore();
            }
        }
    }
}

/// What kind of claim a timer is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reserve,
    Hold,
}

/// One claim's timer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Timer<'a> {
    kind: Kind,
    identifier: &'a Identifier,
    claim: &'a Reservation,
}

impl<'a> Timer<'a> {
    fn of(number: &'a Number) -> Option<Self> {
        let identifier = &number.identifier;
        match &number.state {
            State::Reserved(claim) => Some(Self { kind: Kind::Reserve, identifier, claim }),
            State::Held(claim) => Some(Self { kind: Kind::Hold, identifier, claim }),
            State::Available | State::Leased(_) | State::Suspended(_) | State::Quarantine(_) => None,
        }
    }

    fn key(&self) -> String {
        match self.kind {
            Kind::Reserve => format!("num:reserve:{}", self.identifier.key()),
            Kind::Hold => format!("num:hold:{}", self.identifier.key()),
        }
    }

    fn reservation(&self) -> String {
        self.claim.reservation_id.to_string()
    }

    /// Whether it stands under the same key with the same value, whenever it runs out.
    fn is_replaced_by(&self, after: &Self) -> bool {
        self.kind == after.kind && self.claim.reservation_id == after.claim.reservation_id
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TimerChange<'a> {
    Set(Timer<'a>, Timestamp),
    End(Timer<'a>),
}

fn changes_of(transition: &Transition) -> impl Iterator<Item = TimerChange<'_>> {
    let (before, after) = (Timer::of(&transition.before), Timer::of(&transition.after));
    let ended = before.filter(|before| !after.as_ref().is_some_and(|after| before.is_replaced_by(after)));
    let set = after.map(|after| {
        let expires_at = after.claim.expires_at;
        TimerChange::Set(after, expires_at)
    });
    ended.map(TimerChange::End).into_iter().chain(set)
}

/// Redis counts milliseconds: rounded up, so that the notice does not come before the deadline.
fn milliseconds_not_before(deadline: Timestamp) -> i64 {
    let milliseconds = deadline.as_millisecond();
    if Timestamp::from_millisecond(milliseconds).is_ok_and(|rounded| rounded < deadline) {
        milliseconds + 1
    } else {
        milliseconds
    }
}

#[cfg(test)]
mod tests;
