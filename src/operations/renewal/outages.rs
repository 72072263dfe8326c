//! What whoever renews remembers of billing's silence: when to ask again about each lease, and whether to ask at all.
//!
//! What must stay true: a billing service that is away is asked by one request at a time, less and less often; one lease
//! that it will not hear of never keeps the others from being asked; and the memory is bounded.

use std::collections::HashMap;
use std::time::Duration;

use numbering_domain::LeaseId;
use tokio::time::Instant;
use uuid::Uuid;

/// So many answers in a row without a decision shut the door.
const SHUT_AFTER: u32 = 5;
/// The pause after the first failure; it doubles with each.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_mins(10);
/// The most leases that are remembered one by one; when more would have to be, the door is shut.
const LEASES_MOST: usize = 10_000;

/// How often something failed, and when it may be tried again.
#[derive(Clone, Copy, Debug)]
struct Backoff {
    failures: u32,
    until: Instant,
}

impl Backoff {
    /// One failure more than `before`.
    fn after(before: Option<Self>, now: Instant) -> Self {
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let doubled = PAUSE_MIN.saturating_mul(1 << (failures - 1).min(16)).min(PAUSE_MAX);
        Self { failures, until: now + jittered(doubled) }
    }
}

/// Between three quarters and the whole of `pause`, so that what failed together is not tried again together.
fn jittered(pause: Duration) -> Duration {
    let thousandths = u32::try_from(Uuid::new_v4().as_u128() % 1_000).unwrap_or(0);
    pause * 3 / 4 + pause * thousandths / 4_000
}

/// The memory.
#[derive(Debug, Default)]
pub(super) struct Outages {
    leases: HashMap<LeaseId, Backoff>,
    in_a_row: u32,
    door: Option<Backoff>,
}

impl Outages {
    /// Whether billing is taken to be away: then it is asked about one lease alone, until it decides.
    pub(super) const fn is_shut(&self) -> bool {
        self.in_a_row >= SHUT_AFTER
    }

    /// For how long billing is not asked at all.
    pub(super) fn shut_for(&self, now: Instant) -> Duration {
        self.door.map_or(Duration::ZERO, |door| door.until.saturating_duration_since(now))
    }

    /// The leases that are not asked about yet.
    pub(super) fn resting(&self, now: Instant) -> Vec<LeaseId> {
        self.leases.iter().filter(|(_, backoff)| backoff.until > now).map(|(lease, _)| *lease).collect()
    }

    /// In how long the first of these may be asked about.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        self.leases.values().map(|backoff| backoff.until).filter(|until| *until > now).min().map(|until| until - now)
    }

    /// Billing decided about a lease: it is there.
    pub(super) fn decided(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
        self.opened();
    }

    /// Billing was there, but did not decide about this one lease.
    pub(super) fn passed_over(&mut self, lease: LeaseId, now: Instant) {
        self.opened();
        self.rest(lease, now);
    }

    /// Billing was not there.
    pub(super) fn was_away(&mut self, lease: LeaseId, now: Instant) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.rest(lease, now);
    }

    /// A run has ended with the door shut: it stays so for a while, each time longer.
    pub(super) fn leave_shut(&mut self, now: Instant) {
        self.door = Some(Backoff::after(self.door, now));
    }

    /// All that was due by `since` has been asked about: what should have been and was not, is due no more.
    pub(super) fn forget_before(&mut self, since: Instant) {
        self.leases.retain(|_, backoff| backoff.until > since);
    }

    fn opened(&mut self) {
        self.in_a_row = 0;
        self.door = None;
    }

    /// The lease is not asked about for a while.
    pub(super) fn rest(&mut self, lease: LeaseId, now: Instant) {
        let before = self.leases.get(&lease).copied();
        if before.is_none() && self.leases.len() >= LEASES_MOST {
            self.in_a_row = SHUT_AFTER;
            return;
        }
        self.leases.insert(lease, Backoff::after(before, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(id: u128) -> LeaseId {
        LeaseId(Uuid::from_u128(id))
    }

    #[test]
    fn several_outages_in_a_row_shut_the_door_and_a_decision_opens_it() {
        let (mut outages, now) = (Outages::default(), Instant::now());
        for id in 1..u128::from(SHUT_AFTER) {
            outages.was_away(lease(id), now);
        }
        assert!(!outages.is_shut());
        outages.was_away(lease(99), now);
        assert!(outages.is_shut());
        assert_eq!(outages.shut_for(now), Duration::ZERO, "until the run has ended");
        outages.leave_shut(now);
        let pause = outages.shut_for(now);
        assert!(pause >= PAUSE_MIN * 3 / 4 && pause <= PAUSE_MIN, "{pause:?}");
        outages.was_away(lease(1), now);
        outages.leave_shut(now);
        assert!(outages.shut_for(now) > pause);
        outages.decided(lease(1));
        assert!(!outages.is_shut() && outages.shut_for(now).is_zero());
        assert_eq!(outages.resting(now).len(), 4);
    }

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let (mut outages, now) = (Outages::default(), Instant::now());
        let mut before = Duration::ZERO;
        for doubled in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600].map(Duration::from_secs) {
            outages.was_away(lease(1), now);
            let pause = outages.next(now).unwrap();
            assert!(pause >= doubled * 3 / 4 && pause <= doubled, "{pause:?} of {doubled:?}");
            assert!(pause > before || doubled == PAUSE_MAX);
            before = pause;
        }
        for _ in 0..100 {
            outages.was_away(lease(1), now);
        }
        assert!(outages.next(now).unwrap() <= PAUSE_MAX);
    }

    #[test]
    fn one_lease_that_billing_will_not_hear_of_rests_alone() {
        let (mut outages, now) = (Outages::default(), Instant::now());
        for _ in 0..3 * SHUT_AFTER {
            outages.passed_over(lease(1), now);
        }
        assert!(!outages.is_shut());
        assert_eq!(outages.resting(now), [lease(1)]);
        assert_eq!(outages.resting(now + PAUSE_MAX), []);
        for id in 0..u128::from(SHUT_AFTER) {
            outages.was_away(lease(id), now);
        }
        assert!(outages.is_shut());
        outages.passed_over(lease(1), now);
        assert!(!outages.is_shut(), "it answers");
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_what_is_due_no_more() {
        let (mut outages, now) = (Outages::default(), Instant::now());
        for id in 0..LEASES_MOST as u128 {
            outages.passed_over(lease(id), now);
        }
        assert!(!outages.is_shut());
        outages.passed_over(lease(u128::MAX), now);
        assert!(outages.is_shut());
        assert_eq!(outages.leases.len(), LEASES_MOST);
        outages.was_away(lease(1), now + PAUSE_MAX);
        outages.forget_before(now + PAUSE_MAX);
        assert_eq!(outages.resting(now), [lease(1)]);
    }
}
