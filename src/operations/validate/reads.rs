//! Look-ups in PostgreSQL for what no cache has: many at once in one query, and never more than PostgreSQL can take.
//!
//! What must stay true: a look-up rests on a query that was sent after it was asked for, so that it never gets an answer from
//! before its question; [`QUERIES_AT_ONCE`] run, more only while they are slow, and what comes meanwhile shares the next; beyond
//! [`WAITING_MOST`] identifiers, or as many look-ups as may wait, more are turned away at once, so that who waits for
//! PostgreSQL leaves room for who need not; a look-up that nobody waits for any more is not made.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::Identifier;
use numbering_domain::lease::Snapshot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Unavailable;
use crate::batches::{Batches, Waiting};
use crate::cache::{Cache, Inventory, Kept};
use crate::store::Store;
use crate::store::snapshot::LoadedSnapshot;

/// Queries under way at once, a few of the pool's connections: the others are for the changes. The fewer, the more look-ups share one.
const QUERIES_AT_ONCE: usize = 2;

/// The most look-ups, each of one call's identifiers, that one query answers.
const LOOK_UPS_IN_A_QUERY: usize = 256;

/// The most identifiers that may wait or be asked for: a second's work.
const WAITING_MOST: usize = 16_384;

/// How long a query may take.
const QUERY_LIMIT: Duration = Duration::from_secs(1);

struct LookUp {
    identifiers: Vec<Identifier>,
    /// Go with the look-up, not with who asked, who may have gone: they bound how many wait.
    _room: [OwnedSemaphorePermit; 2],
}

/// What was found, in the order of the look-up's identifiers.
type Found = Result<Vec<LoadedSnapshot>, Unavailable>;

/// The way to PostgreSQL.
pub(super) struct Reads {
    look_ups: Batches<LookUp, Found>,
    /// For look-ups.
    turns: Arc<Semaphore>,
    /// For their identifiers.
    room: Arc<Semaphore>,
}

impl Reads {
    /// Starts to look up, and to keep in `cache` what was found. It ends when this is dropped.
    /// At most `most` look-ups wait or are made.
    pub(super) fn start(store: Store, cache: Cache, most: usize) -> Self {
        let source = Arc::new(Source { store, cache });
        let look_up = move |some| Arc::clone(&source).answer(some);
        Self::with(Batches::start(QUERIES_AT_ONCE, LOOK_UPS_IN_A_QUERY, look_up), most, WAITING_MOST)
    }

    fn with(look_ups: Batches<LookUp, Found>, turns: usize, room: usize) -> Self {
        Self { look_ups, turns: Arc::new(Semaphore::new(turns)), room: Arc::new(Semaphore::new(room)) }
    }

    /// What PostgreSQL says of these numbers, in their order.
    pub(super) async fn load(&self, identifiers: &[&Identifier]) -> Found {
        let weight = u32::try_from(identifiers.len()).map_err(|_| Unavailable::Overloaded)?;
        let turn = Arc::clone(&self.turns).try_acquire_owned().map_err(|_| Unavailable::Overloaded)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(weight).map_err(|_| Unavailable::Overloaded)?;
        let identifiers = identifiers.iter().map(|identifier| (*identifier).clone()).collect();
        self.look_ups.ask(LookUp { identifiers, _room: [turn, room] }).await.ok_or(Unavailable::Database)?
    }
}

struct Source {
    store: Store,
    cache: Cache,
}

impl Source {
    async fn answer(self: Arc<Self>, mut some: Vec<Waiting<LookUp, Found>>) {
        some.retain(|look_up| !look_up.is_left());
        let mut asked: Vec<&Identifier> = some.iter().flat_map(|look_up| &look_up.ask.identifiers).collect();
        asked.sort_unstable();
        asked.dedup();
        if asked.is_empty() {
            return;
        }
        let inventory = self.cache.trust().inventory();
        let loaded = match self.store.load_snapshots(&asked, QUERY_LIMIT).await {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::warn!(%error, look_ups = some.len(), "leases could not be looked up");
                for look_up in some {
                    look_up.answer(Err(Unavailable::Database));
                }
                return;
            }
        };
        // Before it is told, so that who comes next finds it.
        self.remember(&asked, &loaded, inventory);
        let of = |identifier| asked.binary_search(&identifier).ok().and_then(|place| loaded.get(place)).cloned();
        let found: Vec<Option<Vec<LoadedSnapshot>>> =
            some.iter().map(|look_up| look_up.ask.identifiers.iter().map(of).collect()).collect();
        let keep = self.cache.snapshots().link().is_up();
        let asked: Vec<Identifier> = if keep { asked.into_iter().cloned().collect() } else { Vec::new() };
        for (look_up, found) in some.into_iter().zip(found) {
            look_up.answer(found.ok_or(Unavailable::Database));
        }
        if keep {
            // Whoever is next need not wait for it.
            tokio::spawn(async move { self.keep(&asked, &loaded).await });
        }
    }

    fn remember(&self, asked: &[&Identifier], loaded: &[LoadedSnapshot], inventory: Inventory) {
        let trust = self.cache.trust();
        for (identifier, loaded) in asked.iter().zip(loaded) {
            match &loaded.snapshot {
                Some(snapshot) => {
                    trust.remember(identifier, Kept { snapshot: snapshot.clone(), as_of: loaded.as_of });
                }
                None => trust.remember_absent(identifier, loaded.as_of, inventory),
            }
        }
    }

    async fn keep(&self, asked: &[Identifier], loaded: &[LoadedSnapshot]) {
        let puts: Vec<(&Identifier, &Snapshot, Timestamp)> = asked
            .iter()
            .zip(loaded)
            .filter_map(|(identifier, loaded)| Some((identifier, loaded.snapshot.as_ref()?, loaded.as_of)))
            .collect();
        if let Err(error) = self.cache.snapshots().put_many(&puts).await {
            tracing::debug!(%error, "looked-up leases were not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use numbering_domain::IdentifierClass;

    use super::*;

    #[tokio::test]
    async fn a_look_up_that_nobody_waits_for_any_more_takes_room_until_its_turn() {
        for (turns, room) in [(9, 2), (2, 9)] {
            takes_room_until_its_turn(turns, room).await;
        }
    }

    async fn takes_room_until_its_turn(turns: usize, room: usize) {
        let (may_begin, gone) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let look_ups = Batches::start(1, LOOK_UPS_IN_A_QUERY, {
            let (may_begin, gone) = (Arc::clone(&may_begin), Arc::clone(&gone));
            move |some: Vec<Waiting<LookUp, Found>>| {
                let (may_begin, gone) = (Arc::clone(&may_begin), Arc::clone(&gone));
                async move {
                    may_begin.acquire().await.unwrap().forget();
                    let left = some.iter().filter(|look_up| look_up.is_left()).count();
                    drop(some);
                    gone.add_permits(left);
                }
            }
        });
        let reads = Reads::with(look_ups, turns, room);
        let left = || reads.turns.available_permits() + reads.room.available_permits();
        let identifier = Identifier::from_canonical(IdentifierClass::ShortCode, "4455");
        for _ in 0..2 {
            let given_up = tokio::time::timeout(Duration::ZERO, reads.load(&[&identifier])).await;
            assert!(given_up.is_err(), "nothing answers");
        }
        assert!(matches!(reads.load(&[&identifier]).await, Err(Unavailable::Overloaded)));
        assert_eq!(left(), turns + room - 4);
        may_begin.add_permits(2);
        gone.acquire_many(2).await.unwrap().forget();
        assert_eq!(left(), turns + room, "both have had their turn");
    }
}
