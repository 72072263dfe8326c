//! The available pool, as a tenant browses it (US-NUM-014).
//!
//! What must stay true: a page looks at [`LOOKED_AT_MOST`] numbers at most, whatever is searched for and however large the
//! pool is. Where that is not enough to fill it, it is short, and the next one goes on from there.

use numbering_domain::pattern::Pattern;
use numbering_domain::{IdentifierClass, OperatorId, Price, TenantId};
use tokio_postgres::Row;

use super::rows::Reading;
use super::{Store, StoreError};

/// What to look for in one class.
#[derive(Clone, Debug)]
pub struct ClassSearch {
    /// The class.
    pub class: IdentifierClass,
    /// Only identifiers that start like this, in canonical form.
    pub prefix: String,
    /// Only those that this finds.
    pub pattern: Option<Pattern>,
}

/// What to look for; filters combine.
#[derive(Clone, Debug)]
pub struct BrowseFilter {
    /// Where, and by what beginning and pattern.
    pub classes: Vec<ClassSearch>,
    /// Only this operator's.
    pub operator: Option<OperatorId>,
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
    /// What the price list says now, for the tenant.
    pub price: Price,
}

/// Who browses.
#[derive(Clone, Copy, Debug)]
pub struct Customer<'a> {
    /// The tenant; an admin may be none.
    pub tenant: Option<&'a TenantId>,
    /// The plan whose prices a tenant has that was never seen.
    pub default_plan: &'a str,
}

/// A page of the pool.
#[derive(Clone, Debug)]
pub struct Browsed {
    /// The numbers.
    pub offered: Vec<Offered>,
    /// Where the next page goes on; `None` on the last.
    pub resume_after: Option<String>,
}

/// Sorts after every identifier, all of which are ASCII.
pub(super) const AFTER_EVERY_IDENTIFIER: &str = "\u{7f}";
/// The most numbers that one page looks at.
const LOOKED_AT_MOST: i64 = 25_000;
/// How many are looked at first by a search that leaves most out; each further stretch is longer.
const FIRST_STRETCH: i64 = 1_000;
/// How much longer.
const LONGER: i64 = 4;

impl Store {
    /// The numbers that a tenant may take now, each with its price for it, after the key `after`, at most `most`.
    pub async fn browse(
        &self,
        filter: &BrowseFilter,
        customer: Customer<'_>,
        never_leasable: &[String],
        after: &str,
        most: usize,
    ) -> Result<Browsed, StoreError> {
        let ranges = Ranges::of(filter);
        let mut browsed = Browsed { offered: Vec::with_capacity(most), resume_after: None };
        let mut after = after.to_owned();
        let mut budget = LOOKED_AT_MOST;
        // Without a pattern all that are looked at are offered; one more tells whether there is a next page.
        let one_more = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        let mut length = if ranges.leave_some_out() { FIRST_STRETCH } else { one_more };
        while !ranges.classes.is_empty() {
            let given_most = one_more.saturating_sub(i64::try_from(browsed.offered.len()).unwrap_or(i64::MAX));
            let look = Look { after: &after, length, given_most };
            let stretch = self.stretch(&ranges, filter, customer, never_leasable, look).await?;
            for offered in stretch.offered {
                if browsed.offered.len() == most {
                    browsed.resume_after = browsed.offered.last().map(|last: &Offered| last.key.clone());
                    return Ok(browsed);
                }
                browsed.offered.push(offered);
            }
            budget -= stretch.looked_at;
            let Some(last) = stretch.last.filter(|_| stretch.looked_at == length) else { break };
            if budget <= 0 {
                browsed.resume_after = Some(last);
                break;
            }
            after = last;
            length = (length * LONGER).min(budget);
        }
        Ok(browsed)
    }

    async fn stretch(
        &self,
        ranges: &Ranges,
        filter: &BrowseFilter,
        customer: Customer<'_>,
        never_leasable: &[String],
        look: Look<'_>,
    ) -> Result<Stretch, StoreError> {
        let operator = filter.operator.as_ref().map(OperatorId::as_str);
        let tenant = customer.tenant.map(TenantId::as_str);
        let default_plan = tenant.map(|_| customer.default_plan);
        let eligibilities = filter.vanity.map_or(vec![false, true], |eligible| vec![eligible]);
        let expected = self.clock().expected();
        let rows = self
            .query(
                include_str!("browse.sql"),
                &[
                    &ranges.classes,
                    &eligibilities,
                    &operator,
                    &look.after,
                    &ranges.from,
                    &ranges.before,
                    &tenant,
                    &never_leasable,
                    &look.length,
                    &ranges.like,
                    &look.given_most,
                    &default_plan,
                    &expected.now,
                    &expected.tolerance_seconds,
                ],
            )
            .await?;
        let mut stretch = Stretch::default();
        for row in &rows {
            stretch.looked_at = row.try_get("looked_at")?;
            stretch.last = Some(row.try_get("identifier")?);
            if row.try_get("matches")? {
                stretch.offered.push(offered(row)?);
            }
        }
        Ok(stretch)
    }
}

/// A part of the pool to look at.
#[derive(Clone, Copy, Debug)]
struct Look<'a> {
    /// Behind this key.
    after: &'a str,
    /// So many numbers.
    length: i64,
    /// Of which so many are wanted at most.
    given_most: i64,
}

/// A part of the pool that was looked at.
#[derive(Debug, Default)]
struct Stretch {
    offered: Vec<Offered>,
    looked_at: i64,
    last: Option<String>,
}

/// What the filters mean for the order of identifiers, one entry a class.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    pub(super) classes: Vec<&'static str>,
    pub(super) from: Vec<String>,
    pub(super) before: Vec<String>,
    pub(super) like: Vec<Option<String>>,
}

impl Ranges {
    pub(super) fn of(filter: &BrowseFilter) -> Self {
        let mut ranges = Self::default();
        for ClassSearch { class, prefix, pattern } in &filter.classes {
            let searched = pattern.as_ref().map_or("", Pattern::prefix);
            let longer = if searched.len() < prefix.len() { prefix } else { searched };
            // Only mobile numbers come from an operator; and nothing begins in two ways.
            let of_no_operator = filter.operator.is_some() && *class != IdentifierClass::Msisdn;
            if of_no_operator || !longer.starts_with(searched) || !longer.starts_with(prefix) {
                continue;
            }
            ranges.classes.push(class.as_str());
            ranges.from.push(longer.to_owned());
            ranges.before.push(format!("{longer}{AFTER_EVERY_IDENTIFIER}"));
            // What is nothing but a prefix needs no second look.
            let only_a_prefix = |pattern: &&Pattern| pattern.as_str().strip_suffix('*') == Some(searched);
            ranges.like.push(pattern.as_ref().filter(|pattern| !only_a_prefix(pattern)).map(Pattern::like));
        }
        ranges
    }

    /// Whether not all that is looked at is found.
    fn leave_some_out(&self) -> bool {
        self.like.iter().any(Option::is_some)
    }
}

fn offered(row: &Row) -> Result<Offered, StoreError> {
    let reading = Reading::new(row, "the available pool");
    Ok(Offered {
        key: reading.get("identifier")?,
        shown: reading.get("shown")?,
        class: reading.class()?,
        operator: reading.operator("operator_id")?,
        vanity_eligible: reading.get("vanity_eligible")?,
        price: reading.price("list_amount", "list_currency", "list_per")?,
    })
}
