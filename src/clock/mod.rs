//! Whether PostgreSQL's clock is to be believed.
//!
//! That clock decides when a quarantine, a lease or a reservation is over. Should it jump, by a fault of a hypervisor or of a
//! time service, it would free at once what is to rest for months. So each replica holds every moment that PostgreSQL tells
//! against what it expects, and what it expects against three witnesses ([`Witness`]).
//!
//! What must stay true:
//!
//! - The expectation goes on by a clock that cannot be set and that counts suspended time, from a moment that PostgreSQL told
//!   while it was trusted. It follows small steps, so that slewing is no fault, and never follows a large one.
//! - A moment that is too far from the expectation is not used: the expected one is, in decisions and statements alike.
//! - Sweeps wait while the clock is not trusted. Trust comes back by itself when the clock does.
//! - The machine's own clock is a witness, and nothing more: no deadline is held against it while PostgreSQL is believed.

mod watch;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

pub use watch::ClockWatch;

use crate::auth::machine_clock;
use crate::boot_clock::BootInstant;

/// An answer that took longer, because somebody was frozen, leaves too much open to go on from.
const PROMPT: SignedDuration = SignedDuration::from_secs(5);

/// How far the clock may be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// Beyond this an alert is raised; a step up to this is followed.
    pub alert: SignedDuration,
    /// Beyond this the clock is not trusted.
    pub stop: SignedDuration,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { alert: SignedDuration::from_secs(30), stop: SignedDuration::from_secs(60) }
    }
}

/// What the clocks of this machine show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moments {
    /// The one that cannot be set.
    pub boot: BootInstant,
    /// The one that people read.
    pub wall: Timestamp,
}

impl Moments {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        Self { boot: BootInstant::now(), wall: machine_clock() }
    }
}

/// PostgreSQL's answer to the question what time it is.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Before the question was sent.
    pub asked: Moments,
    /// After the answer had come.
    pub answered: Moments,
    /// What PostgreSQL's clock showed in between.
    pub said: Timestamp,
    /// The latest time that any replica saw while it trusted the clock.
    pub high_water: Option<Timestamp>,
}

/// What a told moment is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// What PostgreSQL said before, carried on by the clock that cannot be set.
    Before,
    /// This machine's clock.
    Machine,
    /// The latest time that any replica saw: the clock must not be behind it.
    HighWater,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "what it said before, carried on by a clock that cannot be set",
            Self::Machine => "this machine's clock",
            Self::HighWater => "the latest time that a replica saw while it trusted the clock",
        })
    }
}

/// What came of a told moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The largest deviation from a witness; negative where PostgreSQL is behind.
    pub skew: SignedDuration,
    /// From which witness.
    pub against: Witness,
    /// Whether this machine's clock agrees with PostgreSQL's.
    pub machine_agrees: bool,
    /// What follows.
    pub verdict: Verdict,
}

/// What follows from a skew, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All is well.
    Well,
    /// Off by more than is usual: an alert.
    Off,
    /// Off by too much: not trusted.
    Untrusted,
}

/// What a statement is given to judge the time by, as its last two parameters: it uses PostgreSQL's clock while that is
/// within the tolerance of the expectation, and the expectation otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// What PostgreSQL's clock should show now.
    pub now: Timestamp,
    /// How far it may be off, in seconds.
    pub tolerance_seconds: f64,
}

/// From where the expectation goes on.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    said: Timestamp,
    asked: BootInstant,
    answered: BootInstant,
    /// Taken while the witnesses disagreed, because something must be expected. It bears witness against nobody.
    provisional: bool,
}

#[derive(Debug)]
struct State {
    anchor: Option<Anchor>,
    trusted: bool,
}

type Clocks = Arc<dyn Fn() -> Moments + Send + Sync>;

/// PostgreSQL's clock, as this process may believe it.
pub struct DatabaseClock {
    clocks: Clocks,
    tolerance: Tolerance,
    state: Mutex<State>,
}

impl fmt::Debug for DatabaseClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseClock").field("tolerance", &self.tolerance).finish_non_exhaustive()
    }
}

impl DatabaseClock {
    /// A clock that has been told nothing yet; the machine's clocks are its witnesses.
    #[must_use]
    pub fn new(tolerance: Tolerance) -> Self {
        Self::with_clocks(tolerance, Arc::new(Moments::now))
    }

    /// Like [`DatabaseClock::new`], with these clocks for the machine's.
    #[must_use]
    pub fn with_clocks(tolerance: Tolerance, clocks: Clocks) -> Self {
        Self { clocks, tolerance, state: Mutex::new(State { anchor: None, trusted: true }) }
    }

    /// What the machine's clocks show.
    #[must_use]
    pub fn moments(&self) -> Moments {
        (self.clocks)()
    }

    /// Whether what rests on deadlines may be swept: the last told moment was within the tolerance of every witness. Before the
    /// first is told there is nothing against it, and [`DatabaseClock::vouched`] holds it against this machine's clock.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.state().trusted
    }

    /// The moment to decide by: what PostgreSQL has just `said` while that is within the tolerance of what is expected, else
    /// the expected moment.
    #[must_use]
    pub fn vouched(&self, said: Timestamp) -> Timestamp {
        let expected = self.expectation();
        if said.duration_since(expected).abs() <= self.tolerance.stop { said } else { expected }
    }

    /// What a statement judges the time by.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected { now: self.expectation(), tolerance_seconds: self.tolerance.stop.as_secs_f64() }
    }

    /// What PostgreSQL's clock should show now; what this machine's shows until PostgreSQL has told.
    fn expectation(&self) -> Timestamp {
        let anchor = self.state().anchor;
        let moments = self.moments();
        anchor.map_or(moments.wall, |anchor| later(anchor.said, moments.boot.since(anchor.asked)))
    }

    /// Holds a told moment against the witnesses, and remembers what came of it.
    pub fn judge(&self, told: &Told) -> Judgement {
        let Tolerance { alert, stop } = self.tolerance;
        let mut state = self.state();
        let anchor = state.anchor.filter(|anchor| !anchor.provisional);
        let before = anchor.map_or(SignedDuration::ZERO, |anchor| {
            let earliest = later(anchor.said, told.asked.boot.since(anchor.answered));
            let latest = later(anchor.said, told.answered.boot.since(anchor.asked));
            beyond(told.said, earliest, latest)
        });
        let (asked, answered) = (told.asked.wall, told.answered.wall);
        let machine = beyond(told.said, asked.min(answered), asked.max(answered));
        let behind = told.high_water.map_or(SignedDuration::ZERO, |mark| told.said.duration_since(mark));
        let high_water = behind.min(SignedDuration::ZERO);
        let deviations = [(Witness::Before, before), (Witness::Machine, machine), (Witness::HighWater, high_water)];
        let (against, skew) = deviations
            .into_iter()
            .fold(deviations[0], |most, next| if next.1.abs() > most.1.abs() { next } else { most });
        let verdict = match skew.abs() {
            off if off > stop => Verdict::Untrusted,
            off if off > alert => Verdict::Off,
            _ => Verdict::Well,
        };
        let prompt = told.answered.boot.since(told.asked.boot) <= PROMPT;
        // A large step is not followed: it stays one, also when this machine's clock makes it too.
        if verdict != Verdict::Untrusted && before.abs() <= alert && prompt {
            state.anchor = Some(Anchor::at(told, told.said, false));
        } else if state.anchor.is_none() {
            state.anchor = Some(Anchor::at(told, self.most_credible(told), true));
        }
        state.trusted = verdict != Verdict::Untrusted && state.anchor.is_some_and(|anchor| !anchor.provisional);
        Judgement { skew, against, machine_agrees: machine.abs() <= alert, verdict }
    }

    /// Where the witnesses disagree from the start: the earlier of the two clocks, which frees nothing before its time, unless
    /// it is behind what has been seen already.
    fn most_credible(&self, told: &Told) -> Timestamp {
        let floor = told.high_water.and_then(|mark| mark.checked_sub(self.tolerance.stop).ok());
        let credible = |moment: &Timestamp| floor.is_none_or(|floor| *moment >= floor);
        [told.said, told.answered.wall].into_iter().filter(credible).min().unwrap_or(told.said)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for DatabaseClock {
    fn default() -> Self {
        Self::new(Tolerance::default())
    }
}

impl Anchor {
    fn at(told: &Told, said: Timestamp, provisional: bool) -> Self {
        // A provisional one is this machine's clock after the answer, or as good as that.
        let asked = if provisional { told.answered.boot } else { told.asked.boot };
        Self { said, asked, answered: told.answered.boot, provisional }
    }
}

/// The moment `length` later, held at the end of representable time.
fn later(moment: Timestamp, length: SignedDuration) -> Timestamp {
    moment.checked_add(length).unwrap_or(Timestamp::MAX)
}

/// How far `moment` is outside of `earliest` to `latest`; negative before it.
fn beyond(moment: Timestamp, earliest: Timestamp, latest: Timestamp) -> SignedDuration {
    if moment < earliest {
        moment.duration_since(earliest)
    } else {
        moment.duration_since(latest).max(SignedDuration::ZERO)
    }
}

#[cfg(test)]
mod tests;
