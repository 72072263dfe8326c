//! Who plays a role that must not be played twice: the relay of events, and each job.
//!
//! What must stay true: a role is a row with a holder and a term, never a session-level lock, so that it works behind a
//! transaction pooler and ends with time when its holder is frozen. PostgreSQL's clock says when a term is over; the
//! holder goes by a clock of its own that counts suspended time and runs out no later. The term fences: it grows with
//! each change of holder, and what a holder writes on the strength of its role checks that its term still stands.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError};
use crate::boot_clock::BootInstant;

/// A replica of the service, as the holder of roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    id: Uuid,
    name: Arc<str>,
}

impl Replica {
    /// A replica that has just started, with the name that operators know it by.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { id: Uuid::now_v7(), name: name.into() }
    }

    /// The name that operators know it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// One holder's hold on a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    pub(super) role: &'static str,
    pub(super) holder: Uuid,
    pub(super) term: i64,
    until: BootInstant,
}

impl Leadership {
    /// The role.
    #[must_use]
    pub const fn role(&self) -> &'static str {
        self.role
    }

    /// The fencing term: greater than that of every holder before.
    #[must_use]
    pub const fn term(&self) -> i64 {
        self.term
    }

    /// When it ends unless it is renewed, as the holder may believe it.
    #[must_use]
    pub const fn until(&self) -> BootInstant {
        self.until
    }

    /// The same hold, lasting as long as PostgreSQL said in answer to a statement sent at `sent_at`.
    pub(super) fn lasting(&self, sent_at: BootInstant, remaining_seconds: f64) -> Self {
        let remaining = Duration::try_from_secs_f64(remaining_seconds).unwrap_or_default();
        Self { until: sent_at.after(remaining), ..self.clone() }
    }
}

impl Store {
    /// Takes the role for `length` if nobody else holds it; `None` while somebody does. A holder that asks again gets a
    /// new term, which fences what it did under the old one.
    pub async fn acquire_leadership(
        &self,
        role: &'static str,
        holder: &Replica,
        length: Duration,
    ) -> Result<Option<Leadership>, StoreError> {
        // Taken before the statement is sent: the holder's own deadline is never later than PostgreSQL's.
        let until = BootInstant::now().after(length);
        let row = self
            .query_opt(
                include_str!("leadership_acquire.sql"),
                &[&role, &holder.id, &length.as_secs_f64(), &holder.name.as_ref()],
            )
            .await?;
        row.map(|row| Ok(Leadership { role, holder: holder.id, term: row.try_get("term")?, until })).transpose()
    }

    /// Prolongs a hold to `length` from now; `None` when it is over.
    pub async fn renew_leadership(
        &self,
        held: &Leadership,
        length: Duration,
    ) -> Result<Option<Leadership>, StoreError> {
        let until = BootInstant::now().after(length);
        let row = self
            .query_opt(
                include_str!("leadership_renew.sql"),
                &[&held.role, &held.holder, &held.term, &length.as_secs_f64()],
            )
            .await?;
        Ok(row.map(|_| Leadership { until, ..held.clone() }))
    }

    /// Lets the role go, so that the next holder need not wait for the term to run out.
    pub async fn resign_leadership(&self, held: Leadership) -> Result<(), StoreError> {
        self.query(include_str!("leadership_resign.sql"), &[&held.role, &held.holder, &held.term]).await?;
        Ok(())
    }
}
