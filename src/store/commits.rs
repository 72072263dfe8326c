//! Changes that many callers want at once, committed together: one statement, one flush, one update of a tenant's row.
//!
//! What must stay true: each change moves or does not by itself, as if it had been committed alone; changes of one number never
//! share a statement; and who waits for a lock, or asked for what PostgreSQL refuses, keeps nobody else waiting.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use numbering_domain::{TenantId, Transition};

use super::commit::{Answered, Change, Locks, Origin, Outcome};
use super::idempotency::{Answer, Claim};
use super::{Store, StoreError};
use crate::batches::{Batches, Waiting};
use crate::telemetry::StoreUse;

/// Statements under way at once. The changes of one tenant are all in one of them: its row is locked by each.
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

type Wants = Vec<Waiting<Wanted, Result<bool, StoreError>>>;
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
        let lane = |_| {
            let store = store.clone();
            Batches::start(1, CHANGES_AT_ONCE, move |wants| together(store.clone(), wants))
        };
        Self { store: store.clone(), lanes: std::array::from_fn(lane), hasher: RandomState::new() }
    }

    /// Commits a transition; whether it moved. It does not where its number, tenant or quota is no longer as it was decided on.
    ///
    /// With `answered`, nothing moves unless the idempotency claim is still ours, and the answer is kept with the effect.
    ///
    /// # Errors
    /// When the store could not. Only after [`StoreError::Late`], or when the connection broke, it may have moved all the same.
    pub async fn commit(
        &self,
        transition: Transition,
        origin: Origin,
        answered: Option<(Claim, Answer)>,
    ) -> Result<bool, StoreError> {
        let started = Instant::now();
        let wanted = Wanted { transition, origin, answered };
        let lane = self.lane(&wanted);
        let done = match tokio::time::timeout(self.store.patience, lane.ask(wanted)).await {
            Ok(Some(done)) => done,
            Ok(None) | Err(_) => Err(StoreError::Late(self.store.patience)),
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

    /// Whose row it locks, first of all.
    fn tenant(&self) -> Option<&TenantId> {
        let Transition { before, standing, .. } = &self.transition;
        standing.as_ref().map(|(tenant, _)| tenant).or_else(|| before.state.holder())
    }

    fn key(&self) -> &str {
        self.transition.before.identifier.key()
    }
}

/// Commits what is wanted, each number's changes one after another.
async fn together(store: Store, mut wants: Wants) {
    // Nobody would hear what became of it, and whoever wanted it has been told that it did not happen in time.
    wants.retain(|want| !want.is_left());
    while !wants.is_empty() {
        let (now, later) = of_different_numbers(wants);
        wants = later;
        let moved = pass(&store, now).await;
        // What was decided on the row before is too late.
        let (overtaken, left) = wants.into_iter().partition(|want| {
            moved.get(want.ask.key()).is_some_and(|version| want.ask.transition.before.version <= *version)
        });
        wants = left;
        answer_all(overtaken, || Ok(false));
    }
}

/// The first change of each number, and the others.
fn of_different_numbers(wants: Wants) -> (Wants, Wants) {
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

/// Commits changes of different numbers, nobody waiting for what others have locked: those wait by themselves. Gives the versions
/// that the numbers had which moved.
async fn pass(store: &Store, wants: Wants) -> HashMap<String, i64> {
    let changes: Vec<Change<'_>> = wants.iter().map(|want| want.ask.change()).collect();
    let outcomes = match store.commit_changes(&changes, Locks::PassedBy, None).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            drop(changes);
            each_for_itself(store, wants, error);
            return HashMap::new();
        }
    };
    drop(changes);
    let mut moved = HashMap::new();
    let mut hindered: HashMap<Option<TenantId>, Wants> = HashMap::new();
    for (want, outcome) in wants.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Moved => {
                let Wanted { transition, .. } = want.answer(Ok(true));
                moved.insert(transition.before.identifier.key().to_owned(), transition.before.version);
            }
            Outcome::Overtaken => drop(want.answer(Ok(false))),
            Outcome::Hindered => hindered.entry(want.ask.tenant().cloned()).or_default().push(want),
        }
    }
    for (_, wants) in hindered {
        tokio::spawn(wait_for_locks(store.clone(), wants));
    }
    moved
}

/// Commits changes of different numbers once the locks are to be had.
async fn wait_for_locks(store: Store, wants: Wants) {
    let changes: Vec<Change<'_>> = wants.iter().map(|want| want.ask.change()).collect();
    let done = store.commit_changes(&changes, Locks::Awaited, None).await;
    drop(changes);
    match done {
        Ok(outcomes) => {
            for (want, outcome) in wants.into_iter().zip(outcomes) {
                want.answer(Ok(outcome == Outcome::Moved));
            }
        }
        Err(error) => each_for_itself(&store, wants, error),
    }
}

/// After a statement that failed: what PostgreSQL refused it refused as a whole, and each change is tried alone. Of a statement that
/// it did not answer nobody knows what became of it.
fn each_for_itself(store: &Store, wants: Wants, error: StoreError) {
    if wants.len() == 1 || !error.is_refusal() {
        let error = Arc::new(error);
        return answer_all(wants, || Err(StoreError::Shared(Arc::clone(&error))));
    }
    for want in wants {
        tokio::spawn(wait_for_locks(store.clone(), vec![want]));
    }
}

fn answer_all(wants: Wants, answer: impl Fn() -> Result<bool, StoreError>) {
    for want in wants {
        want.answer(answer());
    }
}

#[cfg(test)]
mod tests;
