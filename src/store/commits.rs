//! Changes that many callers want at once, committed together: one statement, one flush, one update of a tenant's row.
//!
//! What must stay true: each change moves or does not by itself; changes of one number never share a statement; who waits for a
//! lock, or asked for what PostgreSQL refuses, keeps no lane waiting; and nothing is begun for a caller who has gone.

mod queues;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use numbering_domain::{TenantId, Transition};

use self::queues::{Queues, Reason};
use super::commit::{Answered, Change, Locks, Origin, Outcome};
use super::idempotency::{Answer, Claim};
use super::{Store, StoreError};
use crate::batches::{Batches, Waiting};
use crate::telemetry::StoreUse;

/// Statements under way at once, more only while they are slow. The changes of one tenant are all in one of them: its row is locked by
/// each.
const LANES: usize = 2;

/// The most changes in one statement.
const CHANGES_AT_ONCE: usize = 128;

/// One change that somebody wants.
#[derive(Debug)]
struct Wanted {
    transition: Transition,
    origin: Origin,
    answered: Option<(Claim, Answer)>,
}

type Want = Waiting<Wanted, Result<bool, StoreError>>;
type Lane = Batches<Wanted, Result<bool, StoreError>>;

/// The way to commit one transition, with whatever others want to commit at the same time.
#[derive(Debug)]
pub struct Commits {
    store: Store,
    lanes: [Lane; LANES],
    hasher: RandomState,
}

impl Commits {
    /// Starts to commit. It ends when this is dropped.
    #[must_use]
    pub fn start(store: &Store) -> Self {
        let queues = Arc::new(Queues::new(store));
        let lane = |_| {
            let (store, queues) = (store.clone(), Arc::clone(&queues));
            Batches::start(1, CHANGES_AT_ONCE, move |wants| pass(store.clone(), Arc::clone(&queues), wants))
        };
        Self { store: store.clone(), lanes: std::array::from_fn(lane), hasher: RandomState::new() }
    }

    /// Commits a transition; whether it moved. It does not where its number, tenant or quota is no longer as it was decided on.
    ///
    /// With `answered`, nothing moves unless the idempotency claim is still ours, and the answer is kept with the effect.
    ///
    /// # Errors
    /// When the store could not. Only where it came late, or the connection broke, it may have moved all the same.
    pub async fn commit(
        &self,
        transition: Transition,
        origin: Origin,
        answered: Option<(Claim, Answer)>,
    ) -> Result<bool, StoreError> {
        let started = Instant::now();
        let wanted = Wanted { transition, origin, answered };
        let subject = wanted.key().to_owned();
        let lane = self.lane(&wanted);
        let done = match tokio::time::timeout(self.store.patience, lane.ask(wanted)).await {
            Ok(Some(done)) => done,
            Ok(None) => Err(StoreError::Impossible { subject, what: "its commit was left without an answer" }),
            Err(_) => Err(StoreError::Late(self.store.patience)),
        };
        StoreUse::record(started.elapsed());
        done
    }

    fn lane(&self, wanted: &Wanted) -> &Lane {
        let hash = self.hasher.hash_one(wanted.tenant());
        &self.lanes[usize::try_from(hash % LANES as u64).unwrap_or_default()]
    }
}

impl Wanted {
    fn change(&self) -> Change<'_> {
        let answered = self.answered.as_ref().map(|(claim, answer)| Answered { claim, answer });
        Change { transition: &self.transition, origin: &self.origin, answered }
    }

    /// By whose row it finds its lane.
    fn tenant(&self) -> Option<&TenantId> {
        let Transition { before, standing, .. } = &self.transition;
        standing.as_ref().map(|(tenant, _)| tenant).or_else(|| before.state.holder())
    }

    fn key(&self) -> &str {
        self.transition.before.identifier.key()
    }

    fn version(&self) -> i64 {
        self.transition.before.version
    }
}

/// What a lane does: commits what can be had at once, and has the rest wait for what others have locked.
async fn pass(store: Store, queues: Arc<Queues>, wants: Vec<Want>) {
    let wants = queues.join(wants);
    for Hindered { reason, wants } in commit(&store, wants, Locks::PassedBy).await {
        queues.wait(&store, reason, wants);
    }
}

/// What could not be had, and for what.
struct Hindered {
    reason: Reason,
    wants: Vec<Want>,
}

/// Commits what is wanted, each number's changes one after another, and answers. Gives what others stood in the way of.
async fn commit(store: &Store, mut wants: Vec<Want>, locks: Locks) -> Vec<Hindered> {
    let mut hindered = Vec::new();
    loop {
        // Nobody would hear what became of it, and whoever wanted it has been told that it did not happen in time.
        wants.retain(|want| !want.is_left());
        if wants.is_empty() {
            return hindered;
        }
        let (now, later) = of_different_numbers(wants);
        wants = later;
        let changes: Vec<Change<'_>> = now.iter().map(|want| want.ask.change()).collect();
        let committed = store.commit_changes(&changes, locks, None).await;
        drop(changes);
        match committed {
            Ok(outcomes) => {
                for (want, outcome) in now.into_iter().zip(outcomes) {
                    heed(want, outcome, &mut wants, &mut hindered);
                }
            }
            Err(error) => one_by_one(store, now, error).await,
        }
    }
}

/// Heeds what became of a change, for the others of its number too.
fn heed(want: Want, outcome: Outcome, others: &mut Vec<Want>, hindered: &mut Vec<Hindered>) {
    match outcome {
        Outcome::Moved | Outcome::Outdated => {
            let Wanted { transition, .. } = want.answer(Ok(outcome == Outcome::Moved));
            // What was decided on this version or one before is too late.
            let (key, version) = (transition.before.identifier.key(), transition.before.version);
            for late in others.extract_if(.., |other| other.ask.key() == key && other.ask.version() <= version) {
                late.answer(Ok(false));
            }
        }
        Outcome::Overtaken => drop(want.answer(Ok(false))),
        Outcome::NumberLocked | Outcome::TenantLocked => {
            let key = want.ask.key().to_owned();
            let tenant = want.ask.tenant().cloned().filter(|_| outcome == Outcome::TenantLocked);
            let reason = tenant.map_or_else(|| Reason::Number(key.clone()), Reason::Tenant);
            let mut wants = vec![want];
            if matches!(reason, Reason::Number(_)) {
                wants.extend(others.extract_if(.., |other| other.ask.key() == key));
            }
            hindered.push(Hindered { reason, wants });
        }
    }
}

/// The first change of each number, and the others.
fn of_different_numbers(wants: Vec<Want>) -> (Vec<Want>, Vec<Want>) {
    let mut first = HashMap::new();
    for (place, want) in wants.iter().enumerate() {
        first.entry(want.ask.key().to_owned()).or_insert(place);
    }
    let mut place = 0;
    wants.into_iter().partition(|want| {
        place += 1;
        first[want.ask.key()] == place - 1
    })
}

/// After a statement that failed: what PostgreSQL refused for what it says, or for a lock that did not come, it refused as a whole,
/// and each change is tried alone, for which no lock is waited for any longer. Of a statement that it did not answer nobody knows what
/// became of it.
async fn one_by_one(store: &Store, wants: Vec<Want>, error: StoreError) {
    let is_alone = wants.len() == 1 || !(error.is_refusal() || error.is_lock_timeout());
    let error = Arc::new(error);
    let shared = || Err(StoreError::Shared(Arc::clone(&error)));
    for want in wants {
        if is_alone || want.is_left() {
            want.answer(shared());
            continue;
        }
        let done = match store.commit_changes(&[want.ask.change()], Locks::PassedBy, None).await {
            Ok(outcomes) => match outcomes.first() {
                Some(Outcome::Moved) => Ok(true),
                Some(Outcome::Outdated | Outcome::Overtaken) => Ok(false),
                Some(Outcome::NumberLocked | Outcome::TenantLocked) | None => shared(),
            },
            Err(own) => Err(own),
        };
        want.answer(done);
    }
}

#[cfg(test)]
mod tests;
