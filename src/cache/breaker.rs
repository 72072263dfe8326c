//! Stops calling what does not answer: after some failures in a row, nobody waits for it until a probe has succeeded.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// So many failures in a row open the breaker.
const FAILURES_IN_A_ROW: u32 = 5;

/// Open while the other side is taken to be away. It starts open: nothing has succeeded yet.
#[derive(Debug)]
pub(super) struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
}

impl Breaker {
    pub(super) const fn new() -> Self {
        Self { open: AtomicBool::new(true), failures: AtomicU32::new(0) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// A call succeeded. It does not close an open breaker: only a probe does, for an answer may be of long ago.
    pub(super) fn succeeded(&self) {
        // Loads are cheap on the hot path; a store by every call is not.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A call failed. Returns whether that opened the breaker.
    pub(super) fn failed(&self) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_IN_A_ROW && self.opened()
    }

    /// The connection is gone for certain. Returns whether that opened the breaker.
    pub(super) fn opened(&self) -> bool {
        !self.open.swap(true, Ordering::AcqRel)
    }

    /// A probe succeeded.
    pub(super) fn closed(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.open.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_a_probe() {
        let breaker = Breaker::new();
        assert!(breaker.is_open(), "nothing has succeeded yet");
        breaker.closed();
        for _ in 1..FAILURES_IN_A_ROW {
            assert!(!breaker.failed());
        }
        assert!(!breaker.is_open());
        assert!(breaker.failed(), "the last one opens it");
        assert!(breaker.is_open());
        assert!(!breaker.failed(), "only the first time is told");
        breaker.succeeded();
        assert!(breaker.is_open(), "a late answer closes nothing");
        breaker.closed();
        assert!(!breaker.is_open() && !breaker.failed());
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let breaker = Breaker::new();
        breaker.closed();
        for _ in 0..10 * FAILURES_IN_A_ROW {
            breaker.failed();
            breaker.succeeded();
        }
        assert!(!breaker.is_open());
        assert!(breaker.opened() && breaker.is_open(), "a lost connection opens it at once");
    }
}
