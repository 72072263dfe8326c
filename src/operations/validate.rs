//! May this tenant send as this identifier, now? (US-NUM-002)
//!
//! What must stay true: a verdict is taken by the pure [`lease::validate`] on facts that can be vouched for, at a moment of the
//! database's clock. Facts come from Redis only while [`Suspended::trusted`] says so, else from the PostgreSQL primary. Where
//! neither can be had the answer is [`Unavailable`]: never a guess.

mod reads;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use numbering_domain::lease::{self, Facts, Refusal, Snapshot, Verdict};
use numbering_domain::{Identifier, NumberingPlan, TenantId};

use crate::cache::{Snapshots, Suspended};
use crate::store::Store;
use crate::store::snapshot::LoadedSnapshot;
use crate::telemetry::{Metrics, Validated};
use reads::Reads;

/// Where the facts of an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// None were needed.
    None,
    /// The snapshot in Redis.
    Redis,
    /// PostgreSQL.
    Postgres,
}

impl Layer {
    /// The layer's name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

/// An answer, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no.
    pub verdict: Verdict,
    /// Where the facts came from.
    pub layer: Layer,
}

/// No answer can be vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// PostgreSQL does not answer, and there is nothing fresh.
    #[error("the lease cannot be looked up at the moment")]
    Database,
    /// Too many look-ups are waiting already.
    #[error("too many look-ups are waiting")]
    Overloaded,
}

impl Unavailable {
    /// When to ask again.
    #[must_use]
    pub const fn retry_after(self) -> Duration {
        match self {
            Self::Database => Duration::from_millis(500),
            Self::Overloaded => Duration::from_millis(100),
        }
    }
}

/// What is asked: an identifier and a tenant, as the caller wrote them.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The identifier.
    pub identifier: &'a str,
    /// The tenant.
    pub tenant: &'a str,
}

/// Answers questions about leases.
pub struct Validation {
    plan: NumberingPlan,
    snapshots: Snapshots,
    suspended: Arc<Suspended>,
    reads: Reads,
    metrics: Arc<Metrics>,
    nobody: TenantId,
}

impl fmt::Debug for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validation").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// What a verdict is taken on.
struct Known {
    snapshot: Snapshot,
    holder_suspended: bool,
    now: Timestamp,
    layer: Layer,
}

impl Validation {
    /// Starts the look-ups in PostgreSQL, which end when this is dropped. Must be called within a Tokio runtime.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn start(
        plan: NumberingPlan,
        store: Store,
        snapshots: Snapshots,
        suspended: Arc<Suspended>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let reads = Reads::start(store, snapshots.clone());
        let nobody = TenantId::parse("nobody").expect("a plain word is a tenant's name");
        Self { plan, snapshots, suspended, reads, metrics, nobody }
    }

    /// Answers one question. A text that no tenant can bear holds nothing: where a tenant would decide it gets
    /// `WRONG_TENANT`, and before that the reason that anybody gets.
    ///
    /// # Errors
    /// When no answer can be vouched for.
    pub async fn validate(&self, identifier: &str, tenant: &str) -> Result<Answer, Unavailable> {
        let answers = self.validate_many(&[Question { identifier, tenant }]).await?;
        answers.first().copied().ok_or(Unavailable::Database)
    }

    /// Answers some questions, in their order.
    ///
    /// # Errors
    /// When not all answers can be vouched for.
    pub async fn validate_many(&self, questions: &[Question<'_>]) -> Result<Vec<Answer>, Unavailable> {
        let asked_at = Instant::now();
        let parsed: Vec<Option<Identifier>> = questions
            .iter()
            .map(|question| self.plan.parse(question.identifier).ok().map(|parsed| parsed.identifier))
            .collect();
        let mut missing: Vec<&Identifier> = parsed.iter().flatten().collect();
        missing.sort_unstable();
        missing.dedup();

        let mut known = self.known_to_redis(&missing).await;
        missing.retain(|identifier| !known.contains_key(identifier));
        if !missing.is_empty() {
            known.extend(self.known_to_postgres(&missing).await?);
        }

        let answers: Vec<Answer> = questions
            .iter()
            .zip(&parsed)
            .map(|(question, identifier)| self.answer(identifier.as_ref(), question.tenant, &known))
            .collect();
        self.measure(&answers, asked_at.elapsed());
        Ok(answers)
    }

    async fn known_to_redis(&self, identifiers: &[&Identifier]) -> HashMap<Identifier, Known> {
        let Some(trusted) = self.suspended.trusted() else { return HashMap::new() };
        let found = self.snapshots.get_many(identifiers, trusted.now()).await;
        // Asked again: time has passed, and trust may have.
        let Some(trusted) = self.suspended.trusted() else { return HashMap::new() };
        let known = |snapshot: Snapshot| Known {
            holder_suspended: match &snapshot.facts {
                Facts::Leased { tenant, .. } => trusted.is_suspended(tenant),
                Facts::Unleased | Facts::Resting { .. } => false,
            },
            snapshot,
            now: trusted.now(),
            layer: Layer::Redis,
        };
        identifiers
            .iter()
            .zip(found)
            .filter_map(|(identifier, snapshot)| Some(((*identifier).clone(), known(snapshot?))))
            .collect()
    }

    async fn known_to_postgres(&self, identifiers: &[&Identifier]) -> Result<HashMap<Identifier, Known>, Unavailable> {
        let loaded = self.reads.load(identifiers).await.inspect_err(|unavailable| {
            if *unavailable == Unavailable::Overloaded {
                self.metrics.validations_shed.inc();
            }
        })?;
        let known = |(identifier, loaded): (Identifier, LoadedSnapshot)| {
            let known = Known {
                snapshot: loaded.snapshot,
                holder_suspended: loaded.holder_suspended,
                now: loaded.now,
                layer: Layer::Postgres,
            };
            (identifier, known)
        };
        Ok(loaded.into_iter().map(known).collect())
    }

    fn answer(&self, identifier: Option<&Identifier>, tenant: &str, known: &HashMap<Identifier, Known>) -> Answer {
        let Some(identifier) = identifier else {
            return Answer { verdict: Verdict::Refused(Refusal::InvalidIdentifier), layer: Layer::None };
        };
        match known.get(identifier) {
            Some(known) => Answer { verdict: self.verdict(known, tenant), layer: known.layer },
            None => Answer { verdict: Verdict::Refused(Refusal::NotRegistered), layer: Layer::Postgres },
        }
    }

    fn verdict(&self, known: &Known, tenant: &str) -> Verdict {
        let tenant = TenantId::parse(tenant).ok();
        let asking = tenant.as_ref().unwrap_or(&self.nobody);
        match lease::validate(&known.snapshot, asking, known.holder_suspended, known.now) {
            // Whoever is really called that: it is not who asks.
            Verdict::Valid { .. } | Verdict::Refused(Refusal::TenantSuspended | Refusal::LeaseSuspended)
                if tenant.is_none() =>
            {
                Verdict::Refused(Refusal::WrongTenant)
            }
            verdict => verdict,
        }
    }

    fn measure(&self, answers: &[Answer], took: Duration) {
        for answer in answers {
            let labels = Validated { layer: answer.layer.as_str(), verdict: verdict_name(&answer.verdict) };
            self.metrics.validation_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        }
    }
}

const fn verdict_name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Valid { .. } => "VALID",
        Verdict::Refused(refusal) => match refusal {
            Refusal::InvalidIdentifier => "INVALID_IDENTIFIER",
            Refusal::NotRegistered => "NOT_REGISTERED",
            Refusal::NotLeased => "NOT_LEASED",
            Refusal::LeaseRecalled => "LEASE_RECALLED",
            Refusal::LeaseExpired => "LEASE_EXPIRED",
            Refusal::WrongTenant => "WRONG_TENANT",
            Refusal::TenantSuspended => "TENANT_SUSPENDED",
            Refusal::LeaseSuspended => "LEASE_SUSPENDED",
        },
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
