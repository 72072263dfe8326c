//! Places for work that costs much: so many at a time on a replica, and of these so many for one caller.
//!
//! What must stay true: no caller holds more than its share, however often it asks, so that there is always a place that others
//! can have, unless others have them all; and a place is given back when whoever holds it is dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The places. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    each: usize,
    /// The share of each caller that holds a place or waits for one.
    shares: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

/// A place, given back when dropped.
#[derive(Debug)]
#[must_use = "dropped, the place is given back"]
pub struct Place {
    _of_the_share: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    /// `all` places, of which one caller has `each` at most.
    #[must_use]
    pub fn new(all: usize, each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), each, shares: Arc::default() }
    }

    /// A place for `who`, where there is one now.
    #[must_use]
    pub fn take(&self, who: &str) -> Option<Place> {
        let of_the_share = self.share(who).try_acquire_owned().ok()?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place { _of_the_share: of_the_share, _of_all: of_all })
    }

    /// A place for `who`, waited for until `late`; all wait in line.
    pub async fn take_by(&self, who: &str, late: Instant) -> Option<Place> {
        let waited = async {
            let of_the_share = self.share(who).acquire_owned().await.ok()?;
            let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Place { _of_the_share: of_the_share, _of_all: of_all })
        };
        tokio::time::timeout_at(late, waited).await.ok().flatten()
    }

    fn share(&self, who: &str) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(who).and_then(Weak::upgrade) {
            return share;
        }
        // Those that nobody uses any more go, so that there are no more than requests under way.
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.each));
        shares.insert(who.to_owned(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_caller_has_its_share_and_the_others_the_rest() {
        let places = Places::new(3, 2);
        let of_a = [places.take("a").unwrap(), places.take("a").unwrap()];
        assert!(places.take("a").is_none(), "its share is two");
        let of_b = places.take("b").unwrap();
        assert!(places.take("b").is_none(), "there are three");
        drop(of_a);
        let again = places.take("a").unwrap();
        assert_eq!(places.shares.lock().unwrap().len(), 2);
        drop((of_b, again));
        drop(places.take("c").unwrap());
        assert_eq!(places.shares.lock().unwrap().len(), 1, "who has gone is forgotten");
    }

    #[tokio::test]
    async fn who_waits_has_the_place_that_becomes_free_and_waits_no_longer_than_it_said() {
        let places = Places::new(1, 1);
        let held = places.take("a").unwrap();
        let late = |patience| Instant::now() + Duration::from_millis(patience);
        assert!(places.take_by("b", late(20)).await.is_none());
        let waiting = tokio::spawn({
            let (places, late) = (places.clone(), late(20_000));
            async move { places.take_by("b", late).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert!(waiting.await.unwrap());
    }
}
