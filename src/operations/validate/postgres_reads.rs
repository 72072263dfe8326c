//! Look-ups in PostgreSQL for what no cache has: many at once in one query, and never more than PostgreSQL can take.
//!
//! What must stay true: a look-up rests on a query that was sent after it was asked for, so that it never gets an answer from
//! before its question; [`QUERIES_AT_ONCE`] run, more only while they are slow, and what comes meanwhile shares the next; once
//! [`WAITING_MOST`] identifiers wait, or as many look-ups as may, more are turned away at once, so that who waits for
//! PostgreSQL leaves room for who need not; a look-up that nobody waits for any more is not made. Redis is filled with what was
//! found as far as it has time for that: where all is looked up at once, filling it would keep it from answering.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::Identifier;
use numbering_domain::lease::Snapshot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use super::Unavailable;
use super::room::{Room, Taken};
use crate::batches::{Batches, Waiting};
use crate::cache::{Cache, Inventory, Kept};
use crate::store::Store;
use crate::store::snapshot::LoadedSnapshot;
use crate::telemetry::Metrics;

/// Queries under way at once, a few of the pool's connections: the others are for the changes. The fewer, the more look-ups share one.
const QUERIES_AT_ONCE: usize = 2;

/// A query takes look-ups, each of one call's identifiers, until it asks for so many: it is a few milliseconds' work for
/// PostgreSQL, and its answer for a thread of this process, which others wait for.
const IDENTIFIERS_IN_A_QUERY: usize = 1_024;

/// No look-up is taken while so many identifiers wait or are asked for: well under a second's work. One may go beyond it ([`Room`]).
const WAITING_MOST: usize = 16_384;

/// Leases that are put into Redis at once: a millisecond or two, which those who ask it meanwhile wait for.
const FILLED_AT_ONCE: usize = 100;

/// The most leases that wait to be put into Redis. It does without more: what is needed again will be looked up again.
const FILLS_WAITING_MOST: usize = 4_096;

/// How long a query may take.
const QUERY_LIMIT: Duration = Duration::from_secs(1);

struct LookUp {
    identifiers: Vec<Identifier>,
    /// Go with the look-up, not with who asked, who may have gone: they bound how many wait.
    _room: (OwnedSemaphorePermit, Taken),
}

/// What was found, in the order of the look-up's identifiers.
type Found = Result<Vec<LoadedSnapshot>, Unavailable>;

/// The way to PostgreSQL.
pub(super) struct PostgresReads {
    look_ups: Batches<LookUp, Found>,
    /// For look-ups.
    turns: Arc<Semaphore>,
    /// For their identifiers.
    pub(super) room: Room,
}

impl PostgresReads {
    /// Starts to look up, and to keep in `cache` what was found. It ends when this is dropped.
    /// At most `most` look-ups wait or are made.
    pub(super) fn start(store: Store, cache: Cache, most: usize, metrics: Arc<Metrics>) -> Self {
        let (fills, waiting) = mpsc::channel(FILLS_WAITING_MOST);
        tokio::spawn(fill(cache.clone(), waiting));
        let source = Arc::new(Source { store, cache, fills, metrics });
        let look_up = move |some| Arc::clone(&source).answer(some);
        let weigh = |look_up: &LookUp| look_up.identifiers.len();
        Self::with(Batches::start(QUERIES_AT_ONCE, IDENTIFIERS_IN_A_QUERY, weigh, look_up), most, WAITING_MOST)
    }

    fn with(look_ups: Batches<LookUp, Found>, turns: usize, most: usize) -> Self {
        Self { look_ups, turns: Arc::new(Semaphore::new(turns)), room: Room::new(most) }
    }

    /// Whether whoever came now would be turned away.
    pub(super) fn are_full(&self) -> bool {
        self.turns.available_permits() == 0 || self.room.is_full()
    }

    /// What PostgreSQL says of these numbers, in their order.
    pub(super) async fn load(&self, identifiers: Vec<Identifier>) -> Found {
        let turn = Arc::clone(&self.turns).try_acquire_owned().map_err(|_| Unavailable::Overloaded)?;
        let taken = self.room.take(identifiers.len()).ok_or(Unavailable::Overloaded)?;
        self.look_ups.ask(LookUp { identifiers, _room: (turn, taken) }).await.ok_or(Unavailable::Database)?
    }
}

struct Source {
    store: Store,
    cache: Cache,
    fills: mpsc::Sender<(Identifier, Kept)>,
    metrics: Arc<Metrics>,
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
        self.fill(&asked, &loaded);
        for (look_up, found) in some.into_iter().zip(found) {
            look_up.answer(found.ok_or(Unavailable::Database));
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

    /// Has Redis filled with what was found, as far as there is room.
    fn fill(&self, asked: &[&Identifier], loaded: &[LoadedSnapshot]) {
        if !self.cache.snapshots().link().is_up() {
            return;
        }
        for (identifier, loaded) in asked.iter().zip(loaded) {
            let Some(snapshot) = &loaded.snapshot else { continue };
            let Ok(place) = self.fills.try_reserve() else {
                self.metrics.redis_fills_dropped.inc();
                continue;
            };
            place.send(((*identifier).clone(), Kept { snapshot: snapshot.clone(), as_of: loaded.as_of }));
        }
    }
}

/// Puts into Redis what comes, and leaves half of its time to others. It ends when nothing can come any more.
async fn fill(cache: Cache, mut waiting: mpsc::Receiver<(Identifier, Kept)>) {
    let mut some = Vec::new();
    while waiting.recv_many(&mut some, FILLED_AT_ONCE).await > 0 {
        let began = Instant::now();
        let puts: Vec<(&Identifier, &Snapshot, Timestamp)> =
            some.iter().map(|(identifier, kept)| (identifier, &kept.snapshot, kept.as_of)).collect();
        if let Err(error) = cache.snapshots().put_many(&puts).await {
            tracing::debug!(%error, "looked-up leases were not kept");
        }
        some.clear();
        sleep(began.elapsed()).await;
    }
}

#[cfg(test)]
mod tests {
    use numbering_domain::IdentifierClass;

    use super::super::testing::Bench;
    use super::*;

    #[tokio::test]
    async fn what_finds_no_place_to_wait_is_counted_and_not_put_into_redis() {
        let bench = Bench::start().await;
        let (fills, mut waiting) = mpsc::channel(2);
        let (store, cache, metrics) = (bench.store.clone(), bench.cache.clone(), Arc::clone(&bench.metrics));
        let source = Source { store, cache, fills, metrics };
        // In order, the second is not there.
        let asked = ["BARRED", "NOWHERE", "OVERDUE", "PAUSED"]
            .map(|key| Identifier::from_canonical(IdentifierClass::Alpha, key));
        let asked: Vec<&Identifier> = asked.iter().collect();
        let loaded = bench.store.load_snapshots(&asked, QUERY_LIMIT).await.unwrap();
        source.fill(&asked, &loaded);
        let mut next = || waiting.try_recv().ok().map(|(identifier, _)| identifier);
        assert_eq!([next().as_ref(), next().as_ref(), next().as_ref()], [Some(asked[0]), Some(asked[2]), None]);
        assert_eq!(bench.metrics.redis_fills_dropped.get(), 1);
    }

    fn identifiers(many: usize) -> Vec<Identifier> {
        vec![Identifier::from_canonical(IdentifierClass::ShortCode, "4455"); many]
    }

    #[tokio::test]
    async fn a_look_up_that_nobody_waits_for_any_more_takes_room_until_its_turn() {
        for (turns, room) in [(9, 2), (2, 9)] {
            takes_room_until_its_turn(turns, room).await;
        }
    }

    async fn takes_room_until_its_turn(turns: usize, room: usize) {
        let (may_begin, gone) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let look_ups = Batches::start(1, IDENTIFIERS_IN_A_QUERY, |_| 1, {
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
        let reads = PostgresReads::with(look_ups, turns, room);
        let taken = || turns - reads.turns.available_permits() + reads.room.taken();
        for _ in 0..2 {
            assert!(!reads.are_full());
            let given_up = tokio::time::timeout(Duration::ZERO, reads.load(identifiers(1))).await;
            assert!(given_up.is_err(), "nothing answers");
        }
        assert!(reads.are_full());
        assert!(matches!(reads.load(identifiers(1)).await, Err(Unavailable::Overloaded)));
        assert_eq!(taken(), 4);
        may_begin.add_permits(2);
        gone.acquire_many(2).await.unwrap().forget();
        assert_eq!(taken(), 0, "both have had their turn");
        assert!(!reads.are_full());
    }
}
