//! How many identifiers may be asked of another server at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Room for identifiers, which is full once so many are there; cheap to clone. The last that comes may go beyond it, so that who
/// asks for many need not hope for more room at once than those leave who ask for few.
#[derive(Clone, Debug)]
pub(super) struct Room {
    taken: Arc<AtomicUsize>,
    most: usize,
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    pub(super) fn is_full(&self) -> bool {
        self.taken() >= self.most
    }

    /// Takes room for so many, unless it is full already.
    pub(super) fn take(&self, many: usize) -> Option<Taken> {
        let take = |taken| (taken < self.most).then(|| taken + many);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Taken { room: self.clone(), many })
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Room that is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Room,
    many: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.many, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_comes_may_take_more_than_there_is() {
        let room = Room::new(10);
        let nearly_all = room.take(9).unwrap();
        let more = room.take(1_000).unwrap();
        assert!(room.is_full());
        assert!(room.take(1).is_none());
        drop(nearly_all);
        assert!(room.is_full());
        drop(more);
        assert!(!room.is_full());
        assert_eq!(room.taken(), 0);
    }
}
