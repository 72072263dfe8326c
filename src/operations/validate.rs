//! May this tenant send as this identifier, now? (US-NUM-002)
//!
//! What must stay true: a verdict is taken by the pure [`lease::validate`] on facts that can be vouched for, at a moment of the
//! database's clock. Facts come from the memory of this process or from Redis only where [`Trust`] believes them, else from the
//! PostgreSQL primary. Where neither can be had the answer is [`Unavailable`]: never a guess.

mod measured;
mod postgres_reads;
mod redis_reads;
mod room;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indexmap::IndexSet;
use jiff::Timestamp;
use numbering_domain::lease::{self, Facts, Refusal, Snapshot, Verdict};
use numbering_domain::{Identifier, NumberingPlan};

use crate::cache::{Cache, Found, Kept, Trust, Trusted};
use crate::store::Store;
use crate::store::snapshot::LoadedSnapshot;
use crate::telemetry::Metrics;
use measured::Measured;
use postgres_reads::PostgresReads;
use redis_reads::RedisReads;

/// Where the facts of an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// None were needed.
    None,
    /// What this process remembers.
    Process,
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
            Self::Process => "process",
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
    cache: Cache,
    redis: RedisReads,
    postgres: PostgresReads,
    metrics: Arc<Metrics>,
    measured: Measured,
}

impl fmt::Debug for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validation").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// What a verdict is taken on.
struct Known {
    /// `None` where the number is not in the inventory.
    snapshot: Option<Snapshot>,
    holder_suspended: bool,
    now: Timestamp,
    layer: Layer,
}

/// A question that can be answered at once, or what has to be looked up for it.
enum Answerable {
    Now(Answer),
    LookUp(Identifier),
}

/// One of many questions, once what is remembered has been looked at.
enum Begun {
    Answered(Answer),
    /// Its identifier's place among those that are missing.
    Missing(usize),
}

impl Validation {
    /// Starts the look-ups in PostgreSQL, which end when this is dropped; at most `look_ups_most` wait or are made at once, and
    /// more are shed. Must be called within a Tokio runtime.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn start(plan: NumberingPlan, store: Store, cache: Cache, look_ups_most: usize, metrics: Arc<Metrics>) -> Self {
        let redis = RedisReads::new(cache.clone());
        let postgres = PostgresReads::start(store, cache.clone(), look_ups_most, Arc::clone(&metrics));
        Self { plan, cache, redis, postgres, metrics, measured: Measured::default() }
    }

    /// Answers one question. A text that no tenant can bear holds nothing: where a tenant would decide it gets
    /// `WRONG_TENANT`, and before that the reason that anybody gets.
    ///
    /// # Errors
    /// When no answer can be vouched for.
    pub async fn validate(&self, identifier: &str, tenant: &str) -> Result<Answer, Unavailable> {
        let asked_at = Instant::now();
        let question = Question { identifier, tenant };
        let answerable = self.answerable(&question, self.trust().trusted().as_ref());
        let answer = match answerable {
            Answerable::Now(answer) => answer,
            Answerable::LookUp(identifier) => {
                let known = self.look_up(vec![identifier]).await?;
                known.first().ok_or(Unavailable::Database)?.answer(tenant)
            }
        };
        self.measured.record(&self.metrics, &answer, asked_at.elapsed());
        Ok(answer)
    }

    /// Answers some questions, in their order: what is remembered in one pass, and all the rest in one look-up.
    ///
    /// # Errors
    /// When not all answers can be vouched for.
    pub async fn validate_many(&self, questions: &[Question<'_>]) -> Result<Vec<Answer>, Unavailable> {
        let asked_at = Instant::now();
        let (begun, missing) = self.begun(questions)?;
        let known = self.look_up(missing).await?;
        let answers = begun
            .into_iter()
            .zip(questions)
            .map(|(begun, question)| match begun {
                Begun::Answered(answer) => Ok(answer),
                Begun::Missing(place) => Ok(known.get(place).ok_or(Unavailable::Database)?.answer(question.tenant)),
            })
            .collect::<Result<Vec<Answer>, Unavailable>>()?;
        self.measured.record_many(&self.metrics, &answers, asked_at.elapsed());
        Ok(answers)
    }

    /// Refuses many questions that begin with this one, where it has to be looked up and nothing can be: an overloaded service does not
    /// spend on a call that it will refuse.
    ///
    /// # Errors
    /// [`Unavailable::Overloaded`].
    pub fn look_ahead(&self, first: &Question<'_>) -> Result<(), Unavailable> {
        let trusted = self.trust().trusted();
        let is_hopeless = self.may_look_up_nothing(trusted.as_ref())
            && matches!(self.answerable(first, trusted.as_ref()), Answerable::LookUp(_));
        if is_hopeless { Err(self.counted(Unavailable::Overloaded)) } else { Ok(()) }
    }

    /// Whether nothing more can be looked up.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.may_look_up_nothing(self.trust().trusted().as_ref())
    }

    fn may_look_up_nothing(&self, trusted: Option<&Trusted>) -> bool {
        if self.redis.may_be_asked(trusted) { self.redis.are_full() } else { self.postgres.are_full() }
    }

    /// What needs no look-up is answered; what is missing for the others, each once. Where nothing can be looked up, the first that
    /// is missing ends it.
    fn begun(&self, questions: &[Question<'_>]) -> Result<(Vec<Begun>, Vec<Identifier>), Unavailable> {
        let trusted = self.trust().trusted();
        let hopeless = self.may_look_up_nothing(trusted.as_ref());
        let mut missing = IndexSet::new();
        let look_at = |question| match self.answerable(question, trusted.as_ref()) {
            Answerable::Now(answer) => Ok(Begun::Answered(answer)),
            Answerable::LookUp(_) if hopeless => Err(self.counted(Unavailable::Overloaded)),
            Answerable::LookUp(identifier) => Ok(Begun::Missing(missing.insert_full(identifier).0)),
        };
        let begun = questions.iter().map(look_at).collect::<Result<Vec<Begun>, Unavailable>>()?;
        Ok((begun, missing.into_iter().collect()))
    }

    fn trust(&self) -> &Trust {
        self.cache.trust()
    }

    /// What this process remembers is looked at under a trust that was there before.
    fn answerable(&self, question: &Question<'_>, trusted: Option<&Trusted>) -> Answerable {
        let Ok((class, key)) = self.plan.canonical(question.identifier) else {
            let verdict = Verdict::Refused(Refusal::InvalidIdentifier);
            return Answerable::Now(Answer { verdict, layer: Layer::None });
        };
        let remembered = trusted.and_then(|trusted| Some((trusted, self.trust().recall(&key, trusted)?)));
        let Some((trusted, found)) = remembered else {
            return Answerable::LookUp(Identifier::from_canonical(class, &key));
        };
        let verdict = match found {
            Found::Number(kept) => {
                let suspended = is_holder_suspended(&kept.snapshot, trusted);
                lease::validate(&kept.snapshot, question.tenant, suspended, trusted.now())
            }
            Found::Absent => Verdict::Refused(Refusal::NotRegistered),
        };
        Answerable::Now(Answer { verdict, layer: Layer::Process })
    }

    /// What Redis and PostgreSQL know of some numbers, each once, in their order.
    async fn look_up(&self, identifiers: Vec<Identifier>) -> Result<Vec<Known>, Unavailable> {
        if identifiers.is_empty() {
            return Ok(Vec::new());
        }
        let (identifiers, found) = self.known_to_redis(identifiers).await?;
        let missing: Vec<Identifier> = identifiers
            .into_iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(missing, _)| missing)
            .collect();
        let mut loaded = self.known_to_postgres(missing).await?.into_iter();
        found.into_iter().map(|found| found.or_else(|| loaded.next()).ok_or(Unavailable::Database)).collect()
    }

    /// The identifiers again, and for each what Redis knows that is to be believed.
    async fn known_to_redis(
        &self,
        identifiers: Vec<Identifier>,
    ) -> Result<(Vec<Identifier>, Vec<Option<Known>>), Unavailable> {
        let (identifiers, found) = self.redis.load(identifiers).await.map_err(|error| self.counted(error))?;
        // Asked after the answer: time has passed, and trust may have.
        let trusted = self.trust().trusted();
        let believed = |(identifier, kept): (&Identifier, Option<Kept>)| {
            let (kept, trusted) = kept.zip(trusted.as_ref())?;
            if !self.trust().believes(identifier, &kept, trusted) {
                return None;
            }
            let known = Known {
                holder_suspended: is_holder_suspended(&kept.snapshot, trusted),
                snapshot: Some(kept.snapshot.clone()),
                now: trusted.now(),
                layer: Layer::Redis,
            };
            self.trust().remember(identifier, kept);
            Some(known)
        };
        let known = identifiers.iter().zip(found).map(believed).collect();
        Ok((identifiers, known))
    }

    async fn known_to_postgres(&self, identifiers: Vec<Identifier>) -> Result<Vec<Known>, Unavailable> {
        if identifiers.is_empty() {
            return Ok(Vec::new());
        }
        let loaded = self.postgres.load(identifiers).await.map_err(|error| self.counted(error))?;
        let known = |loaded: LoadedSnapshot| Known {
            snapshot: loaded.snapshot,
            holder_suspended: loaded.holder_suspended,
            now: loaded.now,
            layer: Layer::Postgres,
        };
        Ok(loaded.into_iter().map(known).collect())
    }

    /// Counts a call that is turned away.
    fn counted(&self, why: Unavailable) -> Unavailable {
        if why == Unavailable::Overloaded {
            self.metrics.validations_shed.inc();
        }
        why
    }
}

impl Known {
    fn answer(&self, tenant: &str) -> Answer {
        let verdict = match &self.snapshot {
            Some(snapshot) => lease::validate(snapshot, tenant, self.holder_suspended, self.now),
            None => Verdict::Refused(Refusal::NotRegistered),
        };
        Answer { verdict, layer: self.layer }
    }
}

fn is_holder_suspended(snapshot: &Snapshot, trusted: &Trusted) -> bool {
    match &snapshot.facts {
        Facts::Leased { tenant, .. } => trusted.is_suspended(tenant),
        Facts::Unleased | Facts::Resting { .. } => false,
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
