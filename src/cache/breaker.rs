//! Stops calling what does not answer: where it has answered nobody for some time, nobody waits for it until a probe has succeeded.
//!
//! Failures alone say little: of many calls under way at once all are late when the machine is busy for a moment.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So many failures in a row open the breaker,
const FAILURES_IN_A_ROW: u32 = 5;

/// if nothing has succeeded for so long.
const FAILING_FOR: Duration = Duration::from_millis(100);

/// Open while the other side is taken to be away. It starts open: nothing has succeeded yet.
#[derive(Debug)]
pub(super) struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
    /// When the first failure of the row was, in microseconds after `made`; 0 where none was.
    failing_since: AtomicU64,
    made: Instant,
}

impl Breaker {
    pub(super) fn new() -> Self {
        let (open, failures, failing_since) = (AtomicBool::new(true), AtomicU32::new(0), AtomicU64::new(0));
        Self { open, failures, failing_since, made: Instant::now() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// A call succeeded. It does not close an open breaker: only a probe does, for an answer may be of long ago.
    pub(super) fn succeeded(&self) {
        // Loads are cheap on the hot path; a store by every call is not.
        if self.failing_since.load(Ordering::Relaxed) != 0 {
            self.begin_anew();
        }
    }

    fn begin_anew(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.failing_since.store(0, Ordering::Relaxed);
    }

    /// A call failed at this time. Returns whether that opened the breaker.
    pub(super) fn failed(&self, at: Instant) -> bool {
        let at = u64::try_from(at.saturating_duration_since(self.made).as_micros()).unwrap_or(u64::MAX).max(1);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let since = self.failing_since.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
        let failing_for = Duration::from_micros(at.saturating_sub(since.err().unwrap_or(at)));
        failures >= FAILURES_IN_A_ROW && failing_for >= FAILING_FOR && self.opened()
    }

    /// The connection is gone for certain. Returns whether that opened the breaker.
    pub(super) fn opened(&self) -> bool {
        !self.open.swap(true, Ordering::AcqRel)
    }

    /// A probe succeeded.
    pub(super) fn closed(&self) {
        self.begin_anew();
        self.open.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_where_nothing_has_succeeded_for_some_time_and_closes_after_a_probe() {
        let breaker = Breaker::new();
        assert!(breaker.is_open(), "nothing has succeeded yet");
        breaker.closed();
        let began = Instant::now();
        for _ in 0..100 * FAILURES_IN_A_ROW {
            assert!(!breaker.failed(began), "all at once");
        }
        assert!(!breaker.failed(began + FAILING_FOR / 2));
        assert!(!breaker.is_open());
        assert!(breaker.failed(began + FAILING_FOR), "the last one opens it");
        assert!(breaker.is_open());
        assert!(!breaker.failed(began + 2 * FAILING_FOR), "only the first time is told");
        breaker.succeeded();
        assert!(breaker.is_open(), "a late answer closes nothing");
        breaker.closed();
        assert!(!breaker.is_open() && !breaker.failed(began + 3 * FAILING_FOR));
    }

    #[test]
    fn fewer_failures_do_not_open_it_however_far_apart() {
        let breaker = Breaker::new();
        breaker.closed();
        let began = Instant::now();
        for n in 1..FAILURES_IN_A_ROW {
            assert!(!breaker.failed(began + n * FAILING_FOR));
        }
        assert!(breaker.failed(began + FAILURES_IN_A_ROW * FAILING_FOR));
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let breaker = Breaker::new();
        breaker.closed();
        let began = Instant::now();
        for n in 0..10 * FAILURES_IN_A_ROW {
            breaker.failed(began + n * FAILING_FOR);
            breaker.succeeded();
        }
        assert!(!breaker.is_open());
        assert!(breaker.opened() && breaker.is_open(), "a lost connection opens it at once");
    }
}
