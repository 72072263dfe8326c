//! Subjects whose next event JetStream refuses for itself (too large, say): they wait, longer each time, so that the
//! events of all others go on.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// The first wait; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug)]
struct Wait {
    length: Duration,
    until: Instant,
}

/// The subjects that wait. They are as many as there are refused events in the outbox, which an alert on the age of its
/// oldest entry brings to light.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    waits: HashMap<String, Wait>,
}

impl HeldBack {
    /// The subjects that are to be left alone at `now`.
    pub(super) fn at(&self, now: Instant) -> Vec<&str> {
        self.waits.iter().filter(|(_, wait)| now < wait.until).map(|(subject, _)| subject.as_str()).collect()
    }

    /// Holds a subject back whose event was refused at `now`.
    pub(super) fn refused(&mut self, subject: &str, now: Instant) {
        let length = self.waits.get(subject).map_or(FIRST_WAIT, |wait| (wait.length * 2).min(LONGEST_WAIT));
        self.waits.insert(subject.to_owned(), Wait { length, until: now + length });
    }

    /// Forgets what was held against a subject: an event of it went through.
    pub(super) fn published(&mut self, subject: &str) {
        if !self.waits.is_empty() {
            self.waits.remove(subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_subject_waits_twice_as_long_each_time() {
        let start = Instant::now();
        let mut held_back = HeldBack::default();
        held_back.refused("a", start);
        assert_eq!(held_back.at(start), ["a"]);
        assert!(held_back.at(start + FIRST_WAIT).is_empty());
        held_back.refused("a", start);
        assert_eq!(held_back.at(start + FIRST_WAIT), ["a"]);
        for _ in 0..20 {
            held_back.refused("a", start);
        }
        assert!(held_back.at(start + LONGEST_WAIT).is_empty());
        held_back.published("a");
        assert!(held_back.at(start).is_empty());
    }
}
