//! How much of a pool is left, when that is an alert, and when it will be nothing (US-NUM-013).
//!
//! What must stay true: a threshold is held in whole numbers, so that no rounding decides; what was raised below one share is over
//! only at a greater one, so that a pool that wavers about the threshold does not flap; and a projection is a band that says how
//! little is known, or nothing.
//!
//! # The statistics of a projection
//!
//! The demand of a day is what was taken out of AVAILABLE less what came back without a rest (reservations given up or run out). The
//! days are taken as independent draws with mean `m` and variance `v`, both estimated from the `n` whole days that were
//! seen. A count of independent events varies by its own mean at least (Poisson), so `v` is never taken as less than `m`: a week of equal
//! days is no proof that the next one is equal.
//!
//! After `t` days the demand is `m·t` on average, and its standard error has two parts: the days to come vary (`v·t`), and the
//! mean itself is known only so well (`v·t²/n`). What comes back is known: each resting number has its day. Numbers that go to
//! rest from now on come back later than any that rests now, at the rate at which they went. The pool is exhausted when
//! what is left and what has come back no longer covers the demand: `likely` by the mean, `earliest` and `latest` with two standard
//! errors more or less of it, which holds for nineteen in twenty. It looks ahead to a horizon: what may as well be later, or never,
//! is `latest` at the horizon.

/// A share in hundredths of a percent: 500 is 5 %.
pub type BasisPoints = u32;

/// The whole, in [`BasisPoints`].
pub const WHOLE: BasisPoints = 10_000;

/// Fewer whole days than these say nothing of the days to come.
pub const DAYS_LEAST: usize = 3;

/// How far a projection looks ahead, in days. What would be later is as good as never.
pub const HORIZON_DAYS: u32 = 3_650;

/// The band on each side, in standard errors.
const BAND: f64 = 2.0;

/// When something is to be said about a pool, and when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Raised where less than this share is left.
    pub below: BasisPoints,
    /// Over where this share is left, which is no less.
    pub until: BasisPoints,
}

/// What a look at a pool says of one threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It has fallen below.
    Raise,
    /// It has come back.
    Resolve,
    /// Nothing has changed.
    Stay,
}

/// Judges a pool of `total` numbers of which `remaining` may be leased now. `raised` is what was said last. A pool that has no
/// numbers is not exhausted: there is nothing to ask more of.
#[must_use]
pub fn judge(total: u64, remaining: u64, threshold: Threshold, raised: bool) -> Judgement {
    let left = u128::from(remaining) * u128::from(WHOLE);
    let of = |share: BasisPoints| u128::from(total) * u128::from(share);
    if raised && (total == 0 || left >= of(threshold.until)) {
        Judgement::Resolve
    } else if !raised && left < of(threshold.below) {
        Judgement::Raise
    } else {
        Judgement::Stay
    }
}

/// The share of a pool that cannot be leased now, from 0 to 1, to the hundredth of a percent; rounded so that only an exhausted pool
/// is at 1.
#[must_use]
pub fn utilisation(total: u64, remaining: u64) -> f64 {
    let taken = u128::from(total.saturating_sub(remaining));
    let points = (taken * u128::from(WHOLE)).checked_div(u128::from(total)).unwrap_or_default();
    f64::from(u32::try_from(points).unwrap_or(WHOLE)) / f64::from(WHOLE)
}

/// What a projection rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// How many numbers may be leased now.
    pub remaining: u64,
    /// Net demand of each whole day that was seen.
    pub demand: Vec<i64>,
    /// How many numbers come back from their rest, each with in how many days, in ascending order.
    pub returns: Vec<(f64, u64)>,
    /// How many numbers become valid that nobody has had yet, each with in how many days, in ascending order.
    pub becoming_valid: Vec<(f64, u64)>,
    /// How many numbers went to rest on a day, on average: so many come back on a day once the known returns are over.
    pub rested_a_day: f64,
}

/// In how many days a pool is exhausted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    /// Hardly sooner.
    pub earliest: f64,
    /// By what is known.
    pub likely: f64,
    /// Hardly later; [`HORIZON_DAYS`] where it may as well be later than that, or never.
    pub latest: f64,
}

impl Outlook {
    /// When the pool is exhausted; `None` where it does not shrink, or too little was seen of it.
    #[must_use]
    pub fn project(&self) -> Option<Projection> {
        if self.remaining == 0 {
            return Some(Projection { earliest: 0.0, likely: 0.0, latest: 0.0 });
        }
        let demand = Demand::estimate(&self.demand)?;
        let likely = self.exhausted_when(|days| demand.by(days, 0.0))?;
        let earliest = self.exhausted_when(|days| demand.by(days, BAND)).unwrap_or(likely);
        let latest = self.exhausted_when(|days| demand.by(days, -BAND)).unwrap_or(f64::from(HORIZON_DAYS));
        Some(Projection { earliest: earliest.min(likely), likely, latest })
    }

    /// The first moment, in days from now, at which the demand by then is no longer covered.
    fn exhausted_when(&self, demanded: impl Fn(f64) -> f64) -> Option<f64> {
        let shortfall = |days: f64| demanded(days) - self.supply(days);
        let mut before = shortfall(0.0);
        for day in 1..=HORIZON_DAYS {
            let days = f64::from(day);
            let after = shortfall(days);
            if after >= 0.0 {
                // Within the day it is taken to fall evenly.
                let part = if after > before { -before / (after - before) } else { 1.0 };
                return Some(days - 1.0 + part.clamp(0.0, 1.0));
            }
            before = after;
        }
        None
    }

    /// How many numbers are there to be taken until then.
    fn supply(&self, days: f64) -> f64 {
        let by_then = |due: &[(f64, u64)]| -> u64 {
            due.iter().take_while(|(due, _)| *due <= days).map(|(_, numbers)| numbers).sum()
        };
        // Of numbers that go to rest from now on, the first come back after the last that rests now, whatever else comes in later.
        let known = by_then(&self.returns).saturating_add(by_then(&self.becoming_valid));
        let known_until = self.returns.last().map_or(0.0, |(due, _)| *due);
        let later = (days - known_until).max(0.0) * self.rested_a_day;
        count(self.remaining) + count(known) + later
    }
}

/// Net demand, as far as it is known.
#[derive(Clone, Copy, Debug)]
struct Demand {
    mean: f64,
    variance: f64,
    days: f64,
}

impl Demand {
    /// `None` where the days are too few, or nothing is taken on average.
    fn estimate(of_days: &[i64]) -> Option<Self> {
        if of_days.len() < DAYS_LEAST {
            return None;
        }
        let days = f64::from(u32::try_from(of_days.len()).ok()?);
        let values = || of_days.iter().map(|demand| signed(*demand));
        let mean = values().sum::<f64>() / days;
        if mean <= 0.0 {
            return None;
        }
        let spread = values().map(|value| (value - mean).powi(2)).sum::<f64>() / (days - 1.0);
        Some(Self { mean, variance: spread.max(mean), days })
    }

    /// The demand by then, with so many standard errors more.
    fn by(self, days: f64, errors: f64) -> f64 {
        let error = (self.variance * (days + days * days / self.days)).sqrt();
        self.mean * days + errors * error
    }
}

/// Counts are far below the 2^53 up to which this is exact.
#[expect(clippy::cast_precision_loss, reason = "counts of numbers are far below 2^53")]
const fn count(numbers: u64) -> f64 {
    numbers as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of numbers are far below 2^53")]
const fn signed(numbers: i64) -> f64 {
    numbers as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXHAUSTED: Threshold = Threshold { below: 500, until: 600 };

    fn outlook(remaining: u64, demand: &[i64]) -> Outlook {
        Outlook { remaining, demand: demand.to_vec(), ..Outlook::default() }
    }

    #[test]
    fn less_than_the_threshold_raises_and_only_the_greater_share_resolves() {
        for (remaining, raised, expected) in [
            (50, false, Judgement::Stay),
            (49, false, Judgement::Raise),
            (49, true, Judgement::Stay),
            (50, true, Judgement::Stay),
            (59, true, Judgement::Stay),
            (60, true, Judgement::Resolve),
            (60, false, Judgement::Stay),
            (0, false, Judgement::Raise),
        ] {
            assert_eq!(judge(1_000, remaining, EXHAUSTED, raised), expected, "{remaining} {raised}");
        }
    }

    #[test]
    fn a_pool_that_wavers_about_the_threshold_is_raised_once() {
        let (mut raised, mut said) = (false, Vec::new());
        for remaining in [51, 49, 50, 49, 51, 48, 59, 49, 60, 59, 51, 50, 49] {
            match judge(1_000, remaining, EXHAUSTED, raised) {
                Judgement::Stay => continue,
                verdict => said.push((remaining, verdict)),
            }
            raised = !raised;
        }
        assert_eq!(said, [(49, Judgement::Raise), (60, Judgement::Resolve), (49, Judgement::Raise)]);
    }

    #[test]
    fn an_empty_pool_is_not_exhausted_and_no_count_is_too_large() {
        assert_eq!(judge(0, 0, EXHAUSTED, false), Judgement::Stay);
        assert_eq!(judge(0, 0, EXHAUSTED, true), Judgement::Resolve, "its numbers went to another pool");
        assert_eq!(judge(u64::MAX, u64::MAX / 2, EXHAUSTED, false), Judgement::Stay);
        assert_eq!(judge(u64::MAX, u64::MAX / 100, EXHAUSTED, false), Judgement::Raise);
    }

    #[test]
    fn utilisation_is_the_share_that_is_taken() {
        for (total, remaining, expected) in
            [(0, 0, 0.0), (10, 10, 0.0), (10, 0, 1.0), (1_000, 49, 0.951), (100_000_000, 1, 0.9999), (3, 1, 0.6666)]
        {
            assert!((utilisation(total, remaining) - expected).abs() < 1e-12, "{total} {remaining}");
        }
    }

    #[test]
    fn a_steady_demand_is_projected_with_a_band() {
        let projected = outlook(1_000, &[100; 10]).project().unwrap();
        assert!((projected.likely - 10.0).abs() < 1e-9, "{projected:?}");
        // At ten days the error of ten days' Poisson demand and of its mean: sqrt(100 * (10 + 10)) = 45 numbers, twice that is a day.
        assert!((9.0..9.4).contains(&projected.earliest), "{projected:?}");
        assert!((10.6..11.1).contains(&projected.latest), "{projected:?}");
    }

    #[test]
    fn the_band_widens_with_the_spread_and_narrows_with_the_days() {
        let width = |demand: &[i64]| {
            let projected = outlook(1_000, demand).project().unwrap();
            assert!((projected.likely - 20.0).abs() < 1e-9, "{projected:?}");
            projected.latest - projected.earliest
        };
        let wild = width(&[0, 100].repeat(14));
        let calm = width(&[45, 55].repeat(14));
        let short = width(&[45, 55, 45, 55]);
        assert!(calm < wild && calm < short, "{calm} {wild} {short}");
    }

    #[test]
    fn what_may_never_happen_is_latest_at_the_horizon_and_what_does_not_shrink_has_no_projection() {
        let projected = outlook(100, &[40, -38, 30, -28]).project().unwrap();
        assert!((projected.latest - f64::from(HORIZON_DAYS)).abs() < 1e-9, "{projected:?}");
        assert!(projected.earliest < projected.likely && projected.likely < projected.latest, "{projected:?}");
        assert_eq!(outlook(100, &[-1, 0, 0, 1]).project(), None);
        assert_eq!(outlook(100, &[0; 28]).project(), None);
        assert_eq!(outlook(100, &[-5; 28]).project(), None);
        assert_eq!(outlook(100, &[50, 50]).project(), None, "two days say nothing");
        assert_eq!(outlook(u64::from(HORIZON_DAYS) * 2, &[1; 28]).project(), None, "beyond the horizon");
    }

    #[test]
    fn an_exhausted_pool_is_exhausted_now_whatever_was_seen() {
        let now = Projection { earliest: 0.0, likely: 0.0, latest: 0.0 };
        assert_eq!(outlook(0, &[]).project(), Some(now));
    }

    #[test]
    fn numbers_that_come_back_put_it_off() {
        let alone = outlook(100, &[10; 14]).project().unwrap();
        let with = Outlook { returns: vec![(5.0, 50), (30.0, 1_000)], ..outlook(100, &[10; 14]) }.project().unwrap();
        assert!((alone.likely - 10.0).abs() < 1e-9 && (with.likely - 15.0).abs() < 1e-9, "{alone:?} {with:?}");
        let in_time = Outlook { returns: vec![(9.5, 100)], ..outlook(100, &[10; 14]) }.project().unwrap();
        assert!((in_time.likely - 20.0).abs() < 1e-9, "{in_time:?}");
    }

    #[test]
    fn a_pool_in_balance_is_not_projected_to_end_when_its_known_returns_do() {
        // As many go to rest each day as are taken, and ninety days of them come back.
        let returns: Vec<(f64, u64)> = (1..=90).map(|day| (f64::from(day), 10)).collect();
        let balanced = Outlook { returns, rested_a_day: 10.0, ..outlook(500, &[10; 28]) };
        assert_eq!(balanced.project(), None);
    }

    #[test]
    fn a_block_that_is_valid_next_year_puts_off_no_return() {
        let returns: Vec<(f64, u64)> = (1..=90).map(|day| (f64::from(day), 10)).collect();
        let becoming_valid = vec![(365.0, 1_000)];
        let balanced = Outlook { returns, becoming_valid, rested_a_day: 10.0, ..outlook(500, &[10; 28]) };
        assert_eq!(balanced.project(), None);
        let in_time = Outlook { becoming_valid: vec![(5.0, 50)], ..outlook(100, &[10; 14]) }.project().unwrap();
        assert!((in_time.likely - 15.0).abs() < 1e-9, "{in_time:?}");
    }

    #[test]
    fn the_band_holds_what_happens_about_nineteen_times_in_twenty() {
        // Independent days with mean 20 and a spread beyond Poisson's, from a small generator with a fixed seed.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            i64::try_from(state % 41).unwrap()
        };
        let (mut held, rounds) = (0, 2_000);
        for _ in 0..rounds {
            let demand: Vec<i64> = (0..28).map(|_| draw()).collect();
            let projected = outlook(600, &demand).project().unwrap();
            let (mut left, mut day) = (600, 0.0);
            while left > 0 {
                left -= draw();
                day += 1.0;
            }
            held += i32::from((projected.earliest..=projected.latest + 1.0).contains(&day));
        }
        assert!((rounds * 90 / 100..=rounds * 99 / 100).contains(&held), "{held} of {rounds}");
    }
}
