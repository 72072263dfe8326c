//! What a follower of the journal has seen of it: a snapshot of PostgreSQL's, so that nothing that commits late is missed and no
//! long transaction is waited for.
//!
//! What must stay true: a transaction that a snapshot has not seen either ran when it was taken or began after it. So what one
//! snapshot saw that an earlier one did not is two ranges of `journal_by_xid`, and MVCC does the rest: what has committed is
//! there, what rolled back is not. Identity numbers of entries play no part.

use std::fmt;

/// A snapshot: it sees the transactions before `end` but those that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// What PostgreSQL calls the first that ran. It may be none of those that are listed: a transaction that writes down the snapshot
    /// that it sees itself is the first that runs, and sees what it does.
    first: u64,
    /// The first transaction that had not begun.
    end: u64,
    /// Those that ran, in ascending order.
    running: Vec<u64>,
}

impl Seen {
    /// Reads what PostgreSQL writes: `xmin:xmax:xip,xip…`. It is written in just these words again, by which it is known in the
    /// database.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let first = parts.next()?.parse().ok()?;
        let end = parts.next()?.parse().ok()?;
        let listed = parts.next()?.split(',').filter(|xid| !xid.is_empty());
        let running = listed.map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
        let bounds = std::iter::once(&first).chain(&running).chain([&end]);
        (bounds.is_sorted() && running.last().is_none_or(|last| *last < end)).then_some(Self { first, end, running })
    }

    /// The first transaction that it cannot have seen, as it had not begun.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Those that ran.
    pub(super) fn running(&self) -> &[u64] {
        &self.running
    }

    /// The same as far as transactions before `end`: what it has seen of these, and nothing else.
    pub(super) fn before(&self, end: u64) -> Self {
        let running = self.running.iter().copied().filter(|xid| *xid < end).collect();
        Self { first: self.first.min(end), end: end.min(self.end), running }
    }

    /// The transactions that ran when this was taken, and had ended by `later`.
    pub(super) fn ended_by(&self, later: &Self) -> Vec<u64> {
        self.running.iter().copied().filter(|xid| *xid < later.end && !later.running.contains(xid)).collect()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.first, self.end)?;
        for (index, xid) in self.running.iter().enumerate() {
            write!(f, "{}{xid}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Seen {
        Seen::parse(text).unwrap()
    }

    #[test]
    fn it_reads_and_writes_what_postgresql_does() {
        for text in [
            "10:10:",
            "10:20:",
            "9:20:10,14",
            "10:20:10,14,15",
            "18446744073709551000:18446744073709551615:18446744073709551000",
        ] {
            assert_eq!(seen(text).to_string(), text);
        }
        for text in ["", "10:20", "10::", "10:20:x", "10:20:14,11", "10:20:20", "21:20:", "12:20:11", "a:b:"] {
            assert_eq!(Seen::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_cut_has_seen_less_and_leaves_out_nothing_that_ran_before_it() {
        let now = seen("10:40:10,14,30");
        assert_eq!(now.before(20).to_string(), "10:20:10,14");
        assert_eq!(now.before(10).to_string(), "10:10:");
        assert_eq!(now.before(50), now, "it cannot see what it has not seen");
        assert_eq!(seen("8:40:10").before(9).to_string(), "8:9:");
    }

    #[test]
    fn what_has_ended_between_two_is_what_ran_at_the_first_and_not_at_the_second() {
        let first = seen("10:20:10,12,14");
        assert_eq!(first.ended_by(&seen("12:30:12,25")), [10, 14]);
        assert_eq!(first.ended_by(&first), Vec::<u64>::new());
    }
}
