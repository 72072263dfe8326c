//! What time has ended and nobody has written down yet: reservations, leases, rests.
//!
//! What must stay true: PostgreSQL's clock says what is due, at the moment of the question and as far as it is vouched for; whatever told the service to
//! look (a notice, a schedule, a person) is never asked.

use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::Number;
use tokio_postgres::types::ToSql;

use super::rows::Reading;
use super::{Store, StoreError};

/// What can be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// RESERVED and HELD claims past `expiresAt` (US-NUM-010).
    Reservations,
    /// Leases past their end and grace.
    Leases,
    /// Rests past `availableAt` (US-NUM-006).
    Rests,
}

impl Store {
    /// In how long the next is due, nothing where it is overdue; `None` where nothing is to come.
    pub async fn next_due(&self, due: Due) -> Result<Option<Duration>, StoreError> {
        let sql = match due {
            Due::Reservations => include_str!("due_next_reservation.sql"),
            Due::Leases => include_str!("due_next_lease.sql"),
            Due::Rests => include_str!("due_next_resting.sql"),
        };
        let expected = self.clock().expected();
        let parameters: [&(dyn ToSql + Sync); 2] = [&expected.now, &expected.tolerance_seconds];
        let seconds =
            self.query_opt(sql, &parameters).await?.map(|row| row.try_get::<_, Option<f64>>(0)).transpose()?;
        Ok(seconds.flatten().map(remaining))
    }

    /// The numbers that are due, the longest overdue first, at most `most`, each with the moment it was read at; those that come after
    /// `after`, where that is given: one that was due.
    pub async fn load_due(
        &self,
        due: Due,
        most: i64,
        after: Option<&Number>,
    ) -> Result<Vec<(Timestamp, Number)>, StoreError> {
        let sql = match due {
            Due::Reservations => include_str!("due_reservations.sql"),
            Due::Leases => include_str!("due_leases.sql"),
            Due::Rests => include_str!("due_resting.sql"),
        };
        let expected = self.clock().expected();
        let deadline = after.and_then(|after| after.state.deadline());
        let identifier = after.map(|after| after.identifier.key());
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&most, &expected.now, &expected.tolerance_seconds, &deadline, &identifier];
        let rows = self.query(sql, &parameters).await?;
        rows.iter().map(|row| Reading::new(row, "a number that is due").dated_number()).collect()
    }
}

/// Seconds from now, as PostgreSQL says them: nothing once they have passed.
pub(crate) fn remaining(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
