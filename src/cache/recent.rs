//! The newest versions of numbers that this replica knows of: from the journal, and from what it committed itself.
//!
//! What must stay true: a version is remembered for longer than any snapshot is used, so that whatever brings an older snapshot
//! (a fill that was overtaken, a Redis that lost what it was told, a writer that told nobody) is recognised. Memory is bounded:
//! what does not fit is told, and then everything cached so far is given up.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::boot_clock::BootInstant;

/// Shards, so that threads seldom meet on one lock.
const SHARDS: usize = 16;

/// The most versions in one half of a shard: a million over all, 16 bytes each.
const HALF_MOST: usize = 1 << 16;

/// Versions by the hash of the identifier. Two identifiers of one hash share the higher version: the snapshot of the other is
/// then refused more often than it need be, never less.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<u64, i64>,
    old: HashMap<u64, i64>,
}

/// The newest versions.
#[derive(Debug)]
pub(super) struct Recent {
    hashing: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// For how long a version is remembered at least.
    keep: Duration,
    turned_at: Mutex<BootInstant>,
}

impl Recent {
    /// Remembers each version for `keep` at least, and for twice as long at most.
    pub(super) fn new(keep: Duration) -> Self {
        Self {
            hashing: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            keep,
            turned_at: Mutex::new(BootInstant::now()),
        }
    }

    /// A number has this version, or a newer one. Gives whether there was room to remember it.
    pub(super) fn learn(&self, key: &str, version: i64) -> bool {
        let hash = self.hashing.hash_one(key);
        let mut shard = self.shard(hash);
        if let Some(known) = shard.young.get_mut(&hash) {
            *known = (*known).max(version);
            return true;
        }
        let fits = shard.young.len() < HALF_MOST;
        if fits {
            shard.young.insert(hash, version);
        }
        fits
    }

    /// Whether no newer version of the number is known than this one.
    pub(super) fn is_newest(&self, key: &str, version: i64) -> bool {
        self.if_newest(key, version, || ()).is_some()
    }

    /// Does `work` where no newer version of the number is known than this one. Whoever learns of one waits until it is done.
    pub(super) fn if_newest<T>(&self, key: &str, version: i64, work: impl FnOnce() -> T) -> Option<T> {
        let hash = self.hashing.hash_one(key);
        let shard = self.shard(hash);
        let known = [&shard.young, &shard.old].into_iter().filter_map(|half| half.get(&hash)).max();
        known.is_none_or(|known| *known <= version).then(work)
    }

    /// Forgets what has been remembered for long enough. To be called several times in `keep`.
    pub(super) fn grow_old(&self) {
        let mut turned_at = self.turned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if turned_at.elapsed() >= self.keep {
            *turned_at = BootInstant::now();
            for shard in &self.shards {
                let mut shard = unpoisoned(shard);
                shard.old = std::mem::take(&mut shard.young);
            }
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        for shard in &self.shards {
            *unpoisoned(shard) = Shard::default();
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        unpoisoned(&self.shards[usize::try_from(hash >> 60).unwrap_or_default() % SHARDS])
    }
}

/// A panic cannot leave a shard half changed: each change is one insert.
fn unpoisoned(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_than_one_that_is_known_is_recognised() {
        let recent = Recent::new(Duration::from_mins(1));
        assert!(recent.is_newest("4040", 0), "nothing is known of it");
        assert!(recent.learn("4040", 7));
        assert!(recent.learn("4040", 5));
        assert!(!recent.is_newest("4040", 6));
        assert!(recent.is_newest("4040", 7) && recent.is_newest("4040", 8));
        assert!(recent.is_newest("4041", 0));
        recent.forget();
        assert!(recent.is_newest("4040", 0));
    }

    #[test]
    fn a_version_is_remembered_through_one_turn_and_not_through_two() {
        let recent = Recent::new(Duration::ZERO);
        recent.learn("4040", 7);
        recent.grow_old();
        assert!(!recent.is_newest("4040", 6));
        recent.learn("4040", 3);
        assert!(!recent.is_newest("4040", 6), "what the old half knows counts beside the young one");
        recent.grow_old();
        assert!(recent.is_newest("4040", 6) && !recent.is_newest("4040", 2));
        recent.grow_old();
        assert!(recent.is_newest("4040", 0));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let recent = Recent::new(Duration::from_mins(1));
        let learnt = (0..SHARDS * HALF_MOST * 2).filter(|n| recent.learn(&n.to_string(), 1)).count();
        assert_eq!(learnt, SHARDS * HALF_MOST);
        assert!(recent.learn("0", 2), "what is known is learnt anew");
    }
}
