//! Changes that many callers want at once, committed together: one statement, one flush, one update of a tenant's row.
//!
//! What must stay true: each change moves or does not by itself; changes of one number never share a statement; who waits for a
//! lock, or asked for what PostgreSQL refuses, keeps no lane waiting; and nothing is begun for a caller who has gone.

mod queues;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use numbering_domain::{TenantId, Transition};

use self::queues::{Queues, Reason};
use super::commit::{Answered, Change, Locks, Origin, Outcome};
use super::idempotency::{Answer, Claim};
use super::{Store, StoreError};
use crate::batches::{Batches, Waiting};

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
            Batches::start(1, CHANGES_AT_ONCE, |_| 1, move |wants| pass(store.clone(), Arc::clone(&queues), wants))
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
        let wanted = Wanted { transition, origin, answered };
        let subject = wanted.key().to_owned();
        self.store.asked(&subject, self.lane(&wanted).ask(wanted)).await
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
    commit(&store, &queues, wants, Locks::PassedBy).await;
}

/// Commits what is wanted, each number's changes one after another, and answers. What needs something that others have locked and that
/// is not waited for here goes to the queue for it.
async fn commit(store: &Store, queues: &Arc<Queues>, mut wants: Vec<Want>, locks: Locks) {
    loop {
        // Nobody would hear what became of it, and whoever wanted it has been told that it did not happen in time.
        wants.retain(|want| !want.is_left());
        if wants.is_empty() {
            return;
        }
        let (now, later) = of_different_numbers(wants);
        wants = later;
        let changes: Vec<Change<'_>> = now.iter().map(|want| want.ask.change()).collect();
        let committed = store.commit_changes(&changes, locks, None).await;
        drop(changes);
        let hindered = match committed {
            Ok(outcomes) => {
                let told = now.into_iter().zip(outcomes);
                told.filter_map(|(want, outcome)| heed(want, outcome, locks, &mut wants)).collect()
            }
            Err(error) => one_by_one(store, now, error, &mut wants).await,
        };
        for Hindered { reason, wants } in hindered {
            queues.wait(store, reason, wants);
        }
    }
}

/// What could not be had, and for what.
struct Hindered {
    reason: Reason,
    wants: Vec<Want>,
}

/// Heeds what became of a change, for the others of its number too. Gives it back where others stand in its way.
fn heed(want: Want, outcome: Outcome, locks: Locks, others: &mut Vec<Want>) -> Option<Hindered> {
    match (outcome, locks) {
        (Outcome::Moved | Outcome::Outdated, _) => {
            let Wanted { transition, .. } = want.answer(Ok(outcome == Outcome::Moved));
            // What was decided on this version or one before is too late.
            let (key, version) = (transition.before.identifier.key(), transition.before.version);
            for late in others.extract_if(.., |other| other.ask.key() == key && other.ask.version() <= version) {
                late.answer(Ok(false));
            }
            None
        }
        (Outcome::Overtaken, _)
        // Waited for, and not there.
        | (Outcome::NumberLocked, Locks::Awaited)
        | (Outcome::TenantLocked, Locks::Awaited | Locks::TenantsAwaited) => {
            want.answer(Ok(false));
            None
        }
        (Outcome::NumberLocked, Locks::TenantsAwaited | Locks::PassedBy) => Some(Hindered::by_number(want, others)),
        (Outcome::TenantLocked, Locks::PassedBy) => Some(Hindered::by_tenant(want, others)),
    }
}

impl Hindered {
    /// With the others that want the number.
    fn by_number(want: Want, others: &mut Vec<Want>) -> Self {
        let key = want.ask.key().to_owned();
        let mut wants = vec![want];
        wants.extend(others.extract_if(.., |other| other.ask.key() == key));
        Self { reason: Reason::Number(key), wants }
    }

    /// Where it counts for another tenant too, that one may be it, and the own tenant need not suffer from that.
    fn by_tenant(want: Want, others: &mut Vec<Want>) -> Self {
        match want.ask.tenant().filter(|own| want.ask.transition.usage.keys().all(|(tenant, _)| tenant == *own)) {
            Some(own) => Self { reason: Reason::Tenant(own.clone()), wants: vec![want] },
            None => Self::by_number(want, others),
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
/// and each change is tried alone. What others stand in the way of waits for that, unless it has waited already. Of a statement that
/// PostgreSQL did not answer nobody knows what became of it.
async fn one_by_one(store: &Store, wants: Vec<Want>, error: StoreError, others: &mut Vec<Want>) -> Vec<Hindered> {
    let (has_waited, error) = (error.is_lock_timeout(), Arc::new(error));
    let is_told_all = wants.len() == 1 || !(error.is_refusal() || has_waited);
    let shared = || Err(StoreError::Shared(Arc::clone(&error)));
    let mut hindered = Vec::new();
    for want in wants {
        let outcome = if is_told_all || want.is_left() {
            None
        } else {
            match store.commit_changes(&[want.ask.change()], Locks::PassedBy, None).await {
                Ok(outcomes) => outcomes.first().copied(),
                Err(own) => {
                    want.answer(Err(own));
                    continue;
                }
            }
        };
        match outcome {
            Some(outcome @ (Outcome::Moved | Outcome::Outdated | Outcome::Overtaken)) => {
                heed(want, outcome, Locks::PassedBy, others);
            }
            Some(outcome) if !has_waited => hindered.extend(heed(want, outcome, Locks::PassedBy, others)),
            Some(_) | None => {
                let key = want.ask.key().to_owned();
                want.answer(shared());
                // Who wants the same number would wait for as long again.
                for other in others.extract_if(.., |other| has_waited && other.ask.key() == key) {
                    other.answer(shared());
                }
            }
        }
    }
    hindered
}

#[cfg(test)]
mod tests;
