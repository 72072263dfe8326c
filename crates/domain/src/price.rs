//! Money: a decimal amount in a currency, never a float.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::term::Term;

/// What a lease costs, as agreed when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// The amount in units of `currency`.
    pub amount: Decimal,
    /// ISO 4217 code.
    pub currency: String,
    /// The time that one `amount` pays for, such as `month` or `year`.
    pub per: String,
}

/// The decimal places of an amount: those that the price list keeps.
const DECIMAL_PLACES: u32 = 4;

impl Price {
    /// What a whole term costs: `amount`, times the number of months or years in the term.
    ///
    /// Months and years are whole, whatever their days: `1y` at a price per month is twelve of it. Days are parts of a year
    /// of 365, and a month is a twelfth of that, so that `365d` costs what `1y` does. The amount is exact but for one
    /// rounding at the end, to four places, half up; no place is kept for a zero. `None` where `per` is neither `month` nor
    /// `year`, or the amount is beyond reckoning.
    #[must_use]
    pub fn for_term(&self, term: Term) -> Option<Decimal> {
        let (months, parts) = term.months();
        let parts = match self.per.as_str() {
            "month" => parts,
            "year" => parts * MONTHS_PER_YEAR,
            _ => return None,
        };
        let amount = self.amount.checked_mul(months.into())?.checked_div(parts.into())?;
        Some(amount.round_dp_with_strategy(DECIMAL_PLACES, RoundingStrategy::MidpointAwayFromZero).normalize())
    }
}

/// An amount as it is written to others: no zeros at its end beyond two decimal places.
#[must_use]
pub fn written(amount: Decimal) -> String {
    let mut written = amount.normalize();
    if written.scale() < DECIMALS_LEAST {
        written.rescale(DECIMALS_LEAST);
    }
    written.to_string()
}

/// Amounts are written with at least this many decimals.
const DECIMALS_LEAST: u32 = 2;

/// Months in a year.
pub(crate) const MONTHS_PER_YEAR: u64 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(amount: &str, per: &str, term: &str) -> String {
        let price = Price { amount: amount.parse().unwrap(), currency: "USD".to_owned(), per: per.to_owned() };
        price.for_term(Term::parse(term, true).unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_term_of_months_or_years_costs_whole_multiples() {
        for (amount, per, term, cost) in [
            ("2.5", "month", "1m", "2.5"),
            ("2.5000", "month", "6m", "15"),
            ("500", "month", "1y", "6000"),
            ("500", "month", "3y", "18000"),
            ("120", "year", "1y", "120"),
            ("120", "year", "18m", "180"),
            ("100", "year", "1m", "8.3333"),
            ("0", "month", "1y", "0"),
            ("99999999.9999", "month", "10y", "11999999999.988"),
        ] {
            assert_eq!(costs(amount, per, term), cost, "{amount} a {per} for {term}");
        }
    }

    #[test]
    fn days_cost_their_part_of_a_year_of_365() {
        for (amount, per, term, cost) in [
            ("2.5", "month", "365d", "30"),
            ("2.5", "month", "30d", "2.4658"),
            ("365", "year", "1d", "1"),
            ("365", "year", "30d", "30"),
            ("8760", "year", "24h", "24"),
            ("2.5", "month", "8760h", "30"),
            ("31536000", "year", "20s", "20"),
            ("2.5", "month", "20s", "0"),
        ] {
            assert_eq!(costs(amount, per, term), cost, "{amount} a {per} for {term}");
        }
    }

    #[test]
    fn half_of_the_last_place_is_rounded_up() {
        for (amount, cost) in [("0.0006", "0.0001"), ("0.0005", "0"), ("0.0018", "0.0002"), ("0.003", "0.0003")] {
            assert_eq!(costs(amount, "year", "1m"), cost, "{amount}");
        }
    }

    #[test]
    fn amounts_are_written_with_two_decimals_or_more() {
        for (amount, text) in
            [("0", "0.00"), ("15", "15.00"), ("2.5000", "2.50"), ("0.1027", "0.1027"), ("1.230", "1.23")]
        {
            assert_eq!(written(amount.parse().unwrap()), text);
        }
    }

    #[test]
    fn what_has_no_known_unit_has_no_cost() {
        let price = Price { amount: Decimal::ONE, currency: "USD".to_owned(), per: "week".to_owned() };
        assert_eq!(price.for_term(Term::parse("1m", false).unwrap()), None);
        let price = Price { amount: Decimal::MAX, currency: "USD".to_owned(), per: "month".to_owned() };
        assert_eq!(price.for_term(Term::parse("2m", false).unwrap()), None);
    }
}
