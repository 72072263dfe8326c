//! Whether the counters of quotas are what the rows say. They always are, unless somebody wrote past the commit.

use numbering_domain::Counter;

use super::{Store, StoreError};

/// A counter that is not what the rows say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageDifference {
    /// Whose.
    pub tenant: String,
    /// Which.
    pub counter: Counter,
    /// What the counter says.
    pub counted: i32,
    /// What the rows say.
    pub found: i32,
}

/// What a page of tenants showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsagePage {
    /// The differences, by tenant.
    pub differences: Vec<UsageDifference>,
    /// The last tenant of the page; `None` where there was none.
    pub last: Option<String>,
}

impl Store {
    /// Compares the counters of the tenants after `after`, at most `most` of them, with their claims; nothing is locked.
    pub async fn usage_differences(&self, after: &str, most: i64) -> Result<UsagePage, StoreError> {
        let mut page = UsagePage::default();
        for row in self.query(include_str!("usage_differences.sql"), &[&after, &most]).await? {
            let tenant: String = row.try_get("tenant_id")?;
            let (counted, found): (Vec<i32>, Vec<i32>) = (row.try_get("counted")?, row.try_get("found")?);
            let both = Counter::ALL.into_iter().zip(counted.into_iter().zip(found));
            page.differences.extend(both.filter(|(_, (counted, found))| counted != found).map(
                |(counter, (counted, found))| UsageDifference { tenant: tenant.clone(), counter, counted, found },
            ));
            page.last = Some(tenant);
        }
        Ok(page)
    }
}
