//! Tokens that were verified, remembered by their hash until they expire: checking a signature costs five times the call
//! that it guards.
//!
//! What must stay true: bounded memory, and nothing outlives its token or the keys it was verified with. The keys' set
//! has a generation; a token remembered under another one is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Caller;

/// Shards, so that threads seldom meet on one lock.
const SHARDS: usize = 16;

/// How many tokens each shard keeps in its younger half.
const YOUNG_MOST: usize = 2_048;

/// SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

/// Whoever a token speaks for, and for how long that holds.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(super) caller: Arc<Caller>,
    /// Seconds since the epoch, leeway included.
    pub(super) until: i64,
    /// Of the key set that it was verified with.
    pub(super) generation: u64,
}

impl Verified {
    /// Whoever the token speaks for.
    #[must_use]
    pub const fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Whether it holds at `now`, with this generation of keys in force.
    pub(super) const fn holds(&self, now: i64, generation: u64) -> bool {
        now < self.until && self.generation == generation
    }
}

/// Two halves: what is used moves to the young one; when that is full, the old one is dropped.
#[derive(Default)]
struct Shard {
    young: HashMap<TokenHash, Verified>,
    old: HashMap<TokenHash, Verified>,
}

impl Shard {
    fn put(&mut self, hash: TokenHash, verified: Verified) {
        if self.young.len() >= YOUNG_MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, verified);
    }

    fn get(&mut self, hash: &TokenHash) -> Option<&Verified> {
        if let Some(verified) = self.old.remove(hash) {
            self.put(*hash, verified);
        }
        self.young.get(hash)
    }
}

#[derive(Default)]
pub(super) struct Remembered {
    shards: [Mutex<Shard>; SHARDS],
}

impl Remembered {
    fn shard(&self, hash: &TokenHash) -> MutexGuard<'_, Shard> {
        // A panic cannot leave a shard half changed: each change is one insert or remove.
        self.shards[usize::from(hash[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, hash: &TokenHash, now: i64, generation: u64) -> Option<Verified> {
        let mut shard = self.shard(hash);
        let verified = shard.get(hash)?;
        if verified.holds(now, generation) {
            return Some(verified.clone());
        }
        shard.young.remove(hash);
        None
    }

    pub(super) fn put(&self, hash: TokenHash, verified: Verified) {
        self.shard(&hash).put(hash, verified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Permissions;

    fn verified(generation: u64) -> Verified {
        let caller = Caller { sub: "s".into(), tenant: None, permissions: Permissions::default() };
        Verified { caller: Arc::new(caller), until: 100, generation }
    }

    fn hash(n: usize) -> TokenHash {
        let mut hash = [0; 32];
        hash[1..9].copy_from_slice(&n.to_be_bytes());
        hash
    }

    #[test]
    fn nothing_is_remembered_past_its_time_or_its_keys() {
        let remembered = Remembered::default();
        remembered.put(hash(1), verified(7));
        assert!(remembered.get(&hash(1), 99, 7).is_some());
        assert!(remembered.get(&hash(2), 99, 7).is_none());
        assert!(remembered.get(&hash(1), 99, 8).is_none(), "the keys changed");
        remembered.put(hash(1), verified(8));
        assert!(remembered.get(&hash(1), 100, 8).is_none(), "it expired");
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let remembered = Remembered::default();
        for n in 0..YOUNG_MOST * 5 {
            remembered.put(hash(n), verified(1));
            assert!(remembered.get(&hash(0), 1, 1).is_some());
        }
        let shard = remembered.shard(&hash(0));
        assert!(shard.young.len() + shard.old.len() <= 2 * YOUNG_MOST);
    }
}
