//! What this replica itself remembers of numbers, so that most validations need no other server (US-NUM-002).
//!
//! What must stay true: memory is bounded, whatever is asked for; and what is found here is used only under a [`Trusted`], which
//! says that the journal has been followed up to less than a second ago. Following it takes out of here what has changed.
//!
//! - Snapshots of numbers that are in the inventory, until a newer version is heard of.
//! - That a number is *not* in the inventory, until the inventory grows. These are apart, so that no one who asks for
//!   made-up numbers can push out those that are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use numbering_domain::Identifier;
use numbering_domain::lease::Snapshot;
use quick_cache::sync;

use super::trust::Trusted;

/// The most numbers of which it is remembered that they are not in the inventory.
const ABSENT_MOST: usize = 1 << 16;

/// A snapshot, and a moment that its facts are of, or of a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The facts.
    pub snapshot: Snapshot,
    /// They are of no earlier a moment, by the database's clock.
    pub as_of: Timestamp,
}

/// That a number was not in the inventory.
#[derive(Clone, Copy, Debug)]
struct Absent {
    as_of: Timestamp,
    inventory: Inventory,
}

/// How often the inventory had grown, as far as this replica knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inventory(u64);

/// What is remembered of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is in the inventory.
    Number(Arc<Kept>),
    /// It is not.
    Absent,
}

/// The memory of this replica.
#[derive(Debug)]
pub(super) struct Local {
    numbers: sync::Cache<Box<str>, Arc<Kept>>,
    absent: sync::Cache<Box<str>, Absent>,
    inventory: AtomicU64,
    keep: SignedDuration,
}

impl Local {
    /// For `most` numbers, each used for `keep`.
    pub(super) fn new(most: usize, keep: SignedDuration) -> Self {
        Self {
            numbers: sync::Cache::new(most),
            absent: sync::Cache::new(ABSENT_MOST),
            inventory: AtomicU64::new(0),
            keep,
        }
    }

    /// What is known of the number with this key. `trusted` must be of before the call: what was heard of by then is heeded.
    pub(super) fn get(&self, key: &str, trusted: &Trusted) -> Option<Found> {
        if let Some(kept) = self.numbers.get(key) {
            return trusted.vouches_for(kept.as_of, self.keep).then_some(Found::Number(kept));
        }
        let absent = self.absent.get(key)?;
        let is_so = absent.inventory == self.inventory() && trusted.vouches_for(absent.as_of, self.keep);
        is_so.then_some(Found::Absent)
    }

    pub(super) fn put(&self, identifier: &Identifier, kept: Kept) {
        self.numbers.insert(identifier.key().into(), Arc::new(kept));
    }

    /// A number was not in the inventory when it was looked up, and the inventory was this one before.
    pub(super) fn put_absent(&self, identifier: &Identifier, as_of: Timestamp, inventory: Inventory) {
        self.absent.insert(identifier.key().into(), Absent { as_of, inventory });
    }

    /// Whether a newer version of a number is remembered than this one.
    pub(super) fn has_newer(&self, key: &str, version: i64) -> bool {
        self.numbers.peek(key).is_some_and(|kept| kept.snapshot.version > version)
    }

    /// Forgets what is older than this version of a number.
    pub(super) fn forget_before(&self, key: &str, version: i64) {
        self.numbers.remove_if(key, |kept| kept.snapshot.version < version);
    }

    /// Forgets all numbers.
    pub(super) fn forget(&self) {
        self.numbers.clear();
        self.inventory_grew();
    }

    /// What to look a number up under, before it is looked up.
    pub(super) fn inventory(&self) -> Inventory {
        Inventory(self.inventory.load(Ordering::Acquire))
    }

    /// Numbers have come into the inventory: none is known to be absent any more.
    pub(super) fn inventory_grew(&self) {
        self.inventory.fetch_add(1, Ordering::AcqRel);
    }

    /// How many numbers are remembered.
    pub(super) fn len(&self) -> usize {
        self.numbers.len() + self.absent.len()
    }
}
