//! What is new in the journal, as every replica follows it to keep its caches honest.
//!
//! What must stay true: nothing that was committed is passed over, however late its transaction commits and however long
//! another one runs. So the place in the journal is no number of an entry, but a snapshot of PostgreSQL's: which transactions
//! had ended when it was last read. It holds for one incarnation of the server: after a crash or a failover the ids of
//! transactions that were lost are given out again.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::TenantId;

use super::rows::Reading;
use super::seen::Seen;
use super::{Store, StoreError};

/// How far the journal was read: what a snapshot of PostgreSQL's has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    incarnation: String,
    seen: Seen,
}

impl Place {
    /// Reads a `pg_snapshot` of this incarnation of the server.
    pub(crate) fn parse(incarnation: &str, text: &str) -> Option<Self> {
        Some(Self { incarnation: incarnation.to_owned(), seen: Seen::parse(text)? })
    }

    /// Whether what was read up to `earlier`, and what is read from there on, is all there is.
    fn goes_on_from(&self, earlier: &Self) -> bool {
        self.incarnation == earlier.incarnation && self.seen.end() >= earlier.seen.end()
    }
}

/// What the journal has got since the place it was read to before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// How far it is read now.
    pub place: Place,
    /// The database's clock, when it answered.
    pub now: Timestamp,
    /// The numbers that changed, by key, with their newest versions.
    pub changed: Vec<(String, i64)>,
    /// Whether numbers came into the inventory.
    pub inventory_grew: bool,
    /// The tenants that are suspended.
    pub suspended: HashSet<TenantId>,
    /// Whether that is all. It is not when it was read for the first time, when there were more entries than was asked for, or
    /// when the server has been restarted, or another has taken over.
    pub complete: bool,
}

impl Store {
    /// Reads what is new in the journal since `place`, at most `most` entries of it.
    ///
    /// # Errors
    /// When the database did not answer within `deadline`, or could not.
    pub async fn journal_news(&self, place: Option<&Place>, most: i64, deadline: Duration) -> Result<News, StoreError> {
        let running: Vec<String> =
            place.map_or_else(Vec::new, |place| place.seen.running().iter().map(ToString::to_string).collect());
        let end = place.map(|place| place.seen.end().to_string());
        let asked_for = most.saturating_add(1);
        let rows = self.query_within(include_str!("journal_tail.sql"), &[&running, &end, &asked_for], deadline).await?;
        let reading = rows.first().map(|row| Reading::new(row, "the journal's tail")).ok_or_else(|| {
            StoreError::Impossible { subject: "the journal's tail".into(), what: "the query gives one row" }
        })?;
        let reached = Place::parse(reading.get("incarnation")?, reading.get("snapshot")?)
            .ok_or_else(|| reading.impossible("a snapshot is written otherwise"))?;
        let names: Vec<&str> = reading.get("suspended")?;
        let suspended = names
            .into_iter()
            .map(|name| TenantId::parse(name).map_err(|_| reading.impossible("no tenant's name")))
            .collect::<Result<_, _>>()?;
        let numbers: Vec<String> = reading.get("numbers")?;
        let versions: Vec<i64> = reading.get("versions")?;
        let complete = place.is_some_and(|place| reached.goes_on_from(place)) && reading.get::<i64>("entries")? <= most;
        Ok(News {
            place: reached,
            now: self.clock().vouched(reading.get("now")?),
            changed: numbers.into_iter().zip(versions).collect(),
            inventory_grew: reading.get("inventory_grew")?,
            suspended,
            complete,
        })
    }
}

#[cfg(test)]
mod tests;
