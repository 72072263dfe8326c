//! Look-ups in PostgreSQL for what no cache has: many at once in one query, and never more than PostgreSQL can take.
//!
//! What must stay true: a look-up rests on a query that was sent after it was asked for, so that it never gets an answer from
//! before its question; at most [`QUERIES_AT_ONCE`] run, and what comes meanwhile shares the next; beyond
//! [`WAITING_MOST`] identifiers, or as many look-ups as may wait, more are turned away at once, so that who waits for
//! PostgreSQL leaves room for who need not; a look-up that nobody waits for any more is not made.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::Identifier;
use numbering_domain::lease::Snapshot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::Unavailable;
use crate::cache::{Cache, Inventory, Kept};
use crate::store::Store;
use crate::store::snapshot::LoadedSnapshot;

/// Queries under way at once, a few of the pool's connections: the others are for the changes.
const QUERIES_AT_ONCE: usize = 4;

/// The most look-ups, each of one call's identifiers, that one query answers.
const LOOK_UPS_IN_A_QUERY: usize = 256;

/// The most identifiers that may wait or be asked for: a second's work.
const WAITING_MOST: usize = 16_384;

/// How long a query may take.
const QUERY_LIMIT: Duration = Duration::from_secs(1);

type Loaded = HashMap<Identifier, LoadedSnapshot>;

struct LookUp {
    identifiers: Vec<Identifier>,
    reply: oneshot::Sender<Result<Loaded, Unavailable>>,
    /// Go with the look-up, not with who asked, who may have gone: they bound the channel.
    _room: [OwnedSemaphorePermit; 2],
}

/// The way to PostgreSQL.
pub(super) struct Reads {
    look_ups: mpsc::UnboundedSender<LookUp>,
    /// For look-ups.
    turns: Arc<Semaphore>,
    /// For their identifiers.
    room: Arc<Semaphore>,
}

impl Reads {
    /// Starts to look up, and to keep in `cache` what was found. It ends when this is dropped.
    /// At most `most` look-ups wait or are made.
    pub(super) fn start(store: Store, cache: Cache, most: usize) -> Self {
        let (look_ups, waiting) = mpsc::unbounded_channel();
        tokio::spawn(look_up(Arc::new(Source { store, cache }), waiting));
        Self { look_ups, turns: Arc::new(Semaphore::new(most)), room: Arc::new(Semaphore::new(WAITING_MOST)) }
    }

    /// What PostgreSQL says of these numbers.
    pub(super) async fn load(&self, identifiers: &[&Identifier]) -> Result<Loaded, Unavailable> {
        let weight = u32::try_from(identifiers.len()).map_err(|_| Unavailable::Overloaded)?;
        let turn = Arc::clone(&self.turns).try_acquire_owned().map_err(|_| Unavailable::Overloaded)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(weight).map_err(|_| Unavailable::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        let identifiers = identifiers.iter().map(|identifier| (*identifier).clone()).collect();
        self.look_ups.send(LookUp { identifiers, reply, _room: [turn, room] }).map_err(|_| Unavailable::Database)?;
        answer.await.map_err(|_| Unavailable::Database)?
    }
}

struct Source {
    store: Store,
    cache: Cache,
}

async fn look_up(source: Arc<Source>, mut waiting: mpsc::UnboundedReceiver<LookUp>) {
    let queries = Arc::new(Semaphore::new(QUERIES_AT_ONCE));
    let mut some = Vec::new();
    // The turn comes first: what arrives while all queries are busy gathers in the channel and goes in one.
    while let Ok(turn) = Arc::clone(&queries).acquire_owned().await {
        if waiting.recv_many(&mut some, LOOK_UPS_IN_A_QUERY).await == 0 {
            return;
        }
        let (source, some) = (Arc::clone(&source), std::mem::take(&mut some));
        tokio::spawn(async move {
            let loaded = source.answer(some).await;
            drop(turn);
            source.keep(&loaded).await;
        });
    }
}

impl Source {
    async fn answer(&self, mut some: Vec<LookUp>) -> Loaded {
        some.retain(|look_up| !look_up.reply.is_closed());
        let mut identifiers: Vec<&Identifier> = some.iter().flat_map(|look_up| &look_up.identifiers).collect();
        identifiers.sort_unstable();
        identifiers.dedup();
        if identifiers.is_empty() {
            return Loaded::new();
        }
        let inventory = self.cache.trust().inventory();
        match self.store.load_snapshots(&identifiers, QUERY_LIMIT).await {
            Ok(loaded) => {
                // Before it is told, so that who comes next finds it.
                self.remember(&loaded, inventory);
                for LookUp { identifiers, reply, _room } in some {
                    let found = identifiers.into_iter().filter_map(|identifier| {
                        let snapshot = loaded.get(&identifier)?.clone();
                        Some((identifier, snapshot))
                    });
                    // Who has gone needs no answer.
                    let _: Result<(), _> = reply.send(Ok(found.collect()));
                }
                loaded
            }
            Err(error) => {
                tracing::warn!(%error, look_ups = some.len(), "leases could not be looked up");
                for look_up in some {
                    let _: Result<(), _> = look_up.reply.send(Err(Unavailable::Database));
                }
                Loaded::new()
            }
        }
    }

    fn remember(&self, loaded: &Loaded, inventory: Inventory) {
        let trust = self.cache.trust();
        for (identifier, loaded) in loaded {
            match &loaded.snapshot {
                Some(snapshot) => {
                    trust.remember(identifier, Kept { snapshot: snapshot.clone(), as_of: loaded.as_of });
                }
                None => trust.remember_absent(identifier, loaded.as_of, inventory),
            }
        }
    }

    async fn keep(&self, loaded: &Loaded) {
        let puts: Vec<(&Identifier, &Snapshot, Timestamp)> = loaded
            .iter()
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
        let (look_ups, mut waiting) = mpsc::unbounded_channel();
        let (turns, room) = (Arc::new(Semaphore::new(turns)), Arc::new(Semaphore::new(room)));
        let before = turns.available_permits() + room.available_permits();
        let reads = Reads { look_ups, turns, room };
        let identifier = Identifier::from_canonical(IdentifierClass::ShortCode, "4455");
        for _ in 0..2 {
            let given_up = tokio::time::timeout(Duration::ZERO, reads.load(&[&identifier])).await;
            assert!(given_up.is_err(), "nothing answers");
        }
        assert!(matches!(reads.load(&[&identifier]).await, Err(Unavailable::Overloaded)));
        assert!(waiting.try_recv().unwrap().reply.is_closed());
        let left = reads.turns.available_permits() + reads.room.available_permits();
        assert_eq!(left, before - 2, "of the two the first has had its turn");
    }
}
