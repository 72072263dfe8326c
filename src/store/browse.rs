//! The available pool, as a tenant browses it (US-NUM-014).

use numbering_domain::{IdentifierClass, OperatorId, Price, TenantId};

use super::rows::Reading;
use super::{Store, StoreError};

/// What to look for; filters combine.
#[derive(Clone, Debug)]
pub struct BrowseFilter {
    /// Only this class.
    pub class: Option<IdentifierClass>,
    /// Only this operator's.
    pub operator: Option<OperatorId>,
    /// Only identifiers that start like this, in canonical form.
    pub prefix: String,
    /// Only those that are, or are not, eligible for a vanity lease.
    pub vanity: Option<bool>,
}

/// A number on offer.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The canonical key, which the sort and the cursor go by.
    pub key: String,
    /// As registered.
    pub shown: String,
    /// The class.
    pub class: IdentifierClass,
    /// The operator it comes from.
    pub operator: Option<OperatorId>,
    /// Whether it may be leased as vanity.
    pub vanity_eligible: bool,
    /// What the price list says.
    pub price: Price,
}

/// Sorts after every identifier, all of which are ASCII.
const AFTER_EVERY_IDENTIFIER: &str = "\u{7f}";

impl Store {
    /// The numbers that `tenant` may take now, after the key `after`, at most `most`.
    pub async fn browse(
        &self,
        filter: &BrowseFilter,
        tenant: Option<&TenantId>,
        never_leasable: &[String],
        after: &str,
        most: i64,
    ) -> Result<Vec<Offered>, StoreError> {
        let beyond = format!("{}{AFTER_EVERY_IDENTIFIER}", filter.prefix);
        let operator = filter.operator.as_ref().map(OperatorId::as_str);
        let tenant = tenant.map(TenantId::as_str);
        let class = filter.class.map(IdentifierClass::as_str);
        let expected = self.clock().expected();
        let rows = self
            .query(
                include_str!("browse.sql"),
                &[
                    &class,
                    &after,
                    &filter.prefix,
                    &beyond,
                    &operator,
                    &filter.vanity,
                    &tenant,
                    &never_leasable,
                    &most,
                    &expected.now,
                    &expected.tolerance_seconds,
                ],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let reading = Reading::new(row, "the available pool");
                Ok(Offered {
                    key: reading.get("identifier")?,
                    shown: reading.get("shown")?,
                    class: reading.class()?,
                    operator: reading.operator("operator_id")?,
                    vanity_eligible: reading.get("vanity_eligible")?,
                    price: reading.price("list_amount", "list_currency", "list_per")?,
                })
            })
            .collect()
    }
}
