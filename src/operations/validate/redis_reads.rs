//! Look-ups in Redis: no more at once than it answers in time.
//!
//! What must stay true: it is asked only while there is trust, for nothing that it says is believed without, and while it serves; what
//! finds no room is refused, and not asked of PostgreSQL, for which each identifier is dearer: that would take the time that Redis
//! needs to answer; room and turn are taken until Redis has answered, though who asked has gone.

use std::sync::Arc;

use numbering_domain::Identifier;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::Unavailable;
use super::room::Room;
use crate::cache::{Cache, Kept, Trusted};

/// How much is asked at once by this replica, in identifiers: about a millisecond's work, so that Redis answers in time though this
/// replica's load leaves it a fraction of a processor. The others wait for their turn.
pub(super) const ASKED_MOST: usize = 1_024;

/// Nobody more is let in while so much waits or is asked.
const WAITING_MOST: usize = 32_768;

/// What a question costs beside the identifiers that it is about, in identifiers.
pub(super) const QUESTION_COST: usize = 16;

/// The identifiers that were asked about, and for each what Redis has: nothing where it could not be asked.
type Found = (Vec<Identifier>, Vec<Option<Kept>>);

/// The way to Redis.
pub(super) struct RedisReads {
    cache: Cache,
    pub(super) room: Room,
    pub(super) turns: Arc<Semaphore>,
    /// Where Redis is asked: the threads that serve calls may be too busy with them to hear its answer in time.
    runtime: Handle,
}

impl RedisReads {
    /// Asks from this runtime.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub(super) fn new(cache: Cache) -> Self {
        let turns = Arc::new(Semaphore::new(ASKED_MOST));
        Self { cache, room: Room::new(WAITING_MOST), turns, runtime: Handle::current() }
    }

    /// Whether it is worth asking, with this trust.
    pub(super) fn may_be_asked(&self, trusted: Option<&Trusted>) -> bool {
        trusted.is_some() && self.cache.snapshots().link().is_up()
    }

    /// Whether whoever came now would be turned away.
    pub(super) fn are_full(&self) -> bool {
        self.room.is_full()
    }

    /// What Redis has of these numbers, in their order; whether it is to be believed is for the caller to see.
    pub(super) async fn load(&self, identifiers: Vec<Identifier>) -> Result<Found, Unavailable> {
        if !self.may_be_asked_now() {
            return Ok(nothing(identifiers));
        }
        let cost = QUESTION_COST + identifiers.len();
        let room = self.room.take(cost).ok_or(Unavailable::Overloaded)?;
        let turn = u32::try_from(cost.min(ASKED_MOST)).unwrap_or(u32::MAX);
        // It is closed by nobody.
        let turn = Arc::clone(&self.turns).acquire_many_owned(turn).await.map_err(|_| Unavailable::Database)?;
        // While this waited Redis may have gone.
        if !self.may_be_asked_now() {
            return Ok(nothing(identifiers));
        }
        let cache = self.cache.clone();
        let asked = self.runtime.spawn(async move {
            let found = cache.snapshots().get_many(&identifiers).await;
            drop((turn, room));
            (identifiers, found)
        });
        asked.await.map_err(|_| Unavailable::Database)
    }

    fn may_be_asked_now(&self) -> bool {
        self.may_be_asked(self.cache.trust().trusted().as_ref())
    }
}

fn nothing(identifiers: Vec<Identifier>) -> Found {
    let found = identifiers.iter().map(|_| None).collect();
    (identifiers, found)
}
