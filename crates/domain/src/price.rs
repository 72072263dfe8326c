//! Money: a decimal amount in a currency, never a float.

use rust_decimal::Decimal;

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
