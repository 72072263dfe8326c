//! How many numbers of each pool are in which state, kept by a follower of the journal (US-NUM-013).
//!
//! What must stay true: no commit of numbers writes here. The counts stand at a snapshot ([`Seen`]) and are exactly what the rows
//! were at it; they are brought on in one statement with the snapshot, by whoever holds the job's role; counts that are
//! made anew take the place of those that stand at the same snapshot, and of no others.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use numbering_domain::{IdentifierClass, StateName};
use serde_json::Value;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

use super::alerts::{self, Alert, NewAlert};
use super::commit::Origin;
use super::leadership::Leadership;
use super::rows::Reading;
use super::seen::Seen;
use super::{Store, StoreError};

/// The most entries of the journal that are counted in one statement, but for those of one transaction.
const BATCH: i64 = 5_000;
/// How long counting a part of a pool may take.
const COUNT_PATIENCE: Duration = Duration::from_mins(2);
/// The prefix of numbers whose operator owns no prefix any more that they fall under.
const NO_PREFIX: &str = "+";

/// What falls under one prefix of an operator, or a range of short codes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pool {
    /// `MSISDN` or `SHORT_CODE`.
    pub class: IdentifierClass,
    /// The operator; empty for short codes, which have none.
    pub operator: String,
    /// The prefix, such as `+9370`, or the range, such as `4xxx`.
    pub prefix: String,
}

impl Pool {
    /// What alerts and events call it: `MSISDN/awcc/+9370`, `SHORT_CODE/4xxx`.
    #[must_use]
    pub fn subject(&self) -> String {
        let Self { class, operator, prefix } = self;
        let operator = if operator.is_empty() { String::new() } else { format!("{operator}/") };
        format!("{}/{operator}{prefix}", class.as_str())
    }

    /// Reads a [`Pool::subject`].
    #[must_use]
    pub fn of_subject(subject: &str) -> Option<Self> {
        let (class, rest) = subject.split_once('/')?;
        let (operator, prefix) = rest.rsplit_once('/').unwrap_or(("", rest));
        Some(Self { class: IdentifierClass::parse(class)?, operator: operator.to_owned(), prefix: prefix.to_owned() })
    }
}

/// How many numbers of a pool are in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// How many are in each state; states without any are left out.
    pub by_state: BTreeMap<&'static str, u64>,
    /// How many of those AVAILABLE are not valid yet.
    pub not_yet_valid: u64,
}

impl PoolCounts {
    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_state.values().sum()
    }

    /// How many are valid, whoever has them: what a share of the pool is a share of. A block that is valid next month makes no pool
    /// exhausted that it comes into, and no pool less exhausted.
    #[must_use]
    pub fn valid(&self) -> u64 {
        self.total().saturating_sub(self.not_yet_valid)
    }

    /// How many may be leased now.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        let available = self.by_state.get(StateName::Available.as_str()).copied().unwrap_or_default();
        available.saturating_sub(self.not_yet_valid)
    }
}

/// Every pool, as counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pools {
    /// The snapshot that the counts stand at, as PostgreSQL writes it.
    pub seen: String,
    /// The pools.
    pub counts: BTreeMap<Pool, PoolCounts>,
}

/// What happened in a pool on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolDay {
    /// The day (UTC).
    pub day: Date,
    /// Numbers that came in.
    pub imported: i64,
    /// Numbers taken, less those that came back without a rest.
    pub demand: i64,
    /// Numbers that went to rest.
    pub rested: i64,
}

/// What is known of a pool's past, for its projection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolPast {
    /// Since which day (UTC) it has been followed.
    pub followed_since: Option<Date>,
    /// The days on which something happened, in their order.
    pub days: Vec<PoolDay>,
}

/// When numbers come into a pool by themselves, in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolReturns {
    /// Those that rest.
    pub rested: Vec<(Timestamp, u64)>,
    /// Those that are not valid yet.
    pub becoming_valid: Vec<(Timestamp, u64)>,
}

/// An operator whose pools are to be counted anew; without a name, the short codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recount {
    /// The operator; empty for the short codes.
    pub operator: String,
    prefixes: Vec<String>,
    counted_in: Vec<String>,
}

/// Counts that were made anew.
#[derive(Debug)]
pub struct Recounted {
    at: Seen,
    class: IdentifierClass,
    counts: BTreeMap<(String, String, String), i64>,
}

/// Where the counts of pools stand, and what of the journal they lack.
#[derive(Debug)]
pub struct CapacityLook {
    seen: Seen,
    now: Seen,
    next: Option<u64>,
    beyond: Option<u64>,
    late: bool,
}

impl CapacityLook {
    /// Whether the journal has entries that the counts lack.
    #[must_use]
    pub const fn has_news(&self) -> bool {
        self.next.is_some() || self.late
    }

    /// Whether the counts stand at a snapshot that this PostgreSQL has not come to, so that it was taken by another.
    #[must_use]
    pub const fn is_of_another_cluster(&self) -> bool {
        self.now.end() < self.seen.end()
    }

    /// Whether one batch takes all that there was.
    #[must_use]
    pub const fn is_within_a_batch(&self) -> bool {
        self.beyond.is_none()
    }

    /// How far to go at once on the way to `goal`: all of it, or less where that would be more than a batch. Whole transactions, one
    /// at least.
    fn next_stop(&self, goal: &Seen) -> Seen {
        match (self.beyond, self.next) {
            (Some(beyond), Some(next)) => goal.before(beyond.max(next + 1)),
            _ => goal.clone(),
        }
    }
}

impl Store {
    /// Looks where the counts of pools stand.
    pub async fn look_at_capacity(&self) -> Result<CapacityLook, StoreError> {
        let row = self.query_opt(include_str!("capacity_look.sql"), &[&BATCH]).await?;
        let row = row.ok_or_else(|| impossible("it has one row"))?;
        let xid = |name| -> Result<Option<u64>, StoreError> {
            let written: Option<&str> = row.try_get(name)?;
            written.map(|xid| xid.parse().map_err(|_| impossible("xid"))).transpose()
        };
        Ok(CapacityLook {
            seen: seen(row.try_get("seen")?)?,
            now: seen(row.try_get("now")?)?,
            next: xid("next")?,
            beyond: xid("beyond")?,
            late: row.try_get("late")?,
        })
    }

    /// Brings the counts on by the next batch; gives how many entries that were. `None` where the role is over, or another has
    /// brought them on.
    pub async fn fold_capacity(&self, role: &Leadership, look: &CapacityLook) -> Result<Option<i64>, StoreError> {
        self.fold(role, &look.seen, &look.next_stop(&look.now)).await
    }

    async fn fold(&self, role: &Leadership, from: &Seen, to: &Seen) -> Result<Option<i64>, StoreError> {
        let written = |xids: &[u64]| xids.iter().map(ToString::to_string).collect::<Vec<String>>();
        let row = self
            .query_opt(
                include_str!("capacity_fold.sql"),
                &[
                    &role.role,
                    &role.holder,
                    &role.term,
                    &from.to_string(),
                    &to.to_string(),
                    &written(&from.ended_by(to)),
                    &from.end().to_string(),
                    &to.end().to_string(),
                    &written(to.running()),
                ],
            )
            .await?;
        row.map(|row| Ok(row.try_get("entries")?)).transpose()
    }

    /// Has every pool counted anew, from what there is to see now.
    pub async fn restart_capacity(&self, role: &Leadership, look: &CapacityLook) -> Result<(), StoreError> {
        let (from, to) = (look.seen.to_string(), look.now.to_string());
        self.query(include_str!("capacity_restart.sql"), &[&role.role, &role.holder, &role.term, &from, &to])
            .await
            .map(drop)
    }

    /// Whose pools are to be counted anew: those that never were, whose prefixes have changed, whose counts are in doubt, and one
    /// after the other all, within `every`.
    pub async fn due_recounts(&self, every: SignedDuration) -> Result<Vec<Recount>, StoreError> {
        let now = self.moment().await?;
        let rows = self.query(include_str!("capacity_recounts.sql"), &[&now, &every.as_secs_f64()]).await?;
        rows.iter()
            .map(|row| {
                Ok(Recount {
                    operator: row.try_get("operator_id")?,
                    prefixes: row.try_get("prefixes")?,
                    counted_in: row.try_get("counted_in")?,
                })
            })
            .collect()
    }

    /// Counts an operator's numbers, all at one snapshot, a part at a time, as long as `may_go_on` says so; nothing is locked.
    pub async fn recount(
        &self,
        recount: &Recount,
        may_go_on: impl Fn() -> bool,
    ) -> Result<Option<Recounted>, StoreError> {
        let mut connection = self.lent().await?;
        let transaction = connection
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let patience = COUNT_PATIENCE.as_millis().to_string();
        transaction.query(include_str!("capacity_count_settings.sql"), &[&patience]).await?;
        let at: String = transaction.query_one("SELECT pg_current_snapshot()::text", &[]).await?.try_get(0)?;
        let mut recounted = Recounted { at: seen(&at)?, class: recount.class(), counts: BTreeMap::new() };
        if recount.class() == IdentifierClass::ShortCode {
            let rows = transaction.query(include_str!("capacity_count_short_codes.sql"), &[]).await?;
            recounted.take(&rows, str::to_owned)?;
        }
        let head = recount.prefixes.iter().map(String::len).max().unwrap_or(1);
        let head = i32::try_from(head).map_err(|_| impossible("a prefix is short"))?;
        let count = transaction.prepare_cached(include_str!("capacity_count.sql")).await?;
        for (first, beyond) in recount.parts() {
            if !may_go_on() {
                transaction.rollback().await?;
                connection.give_back();
                return Ok(None);
            }
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&recount.operator, &first, &beyond, &head];
            let rows = transaction.query(&count, &parameters).await?;
            recounted.take(&rows, |head| recount.prefix_of(head).to_owned())?;
        }
        transaction.commit().await?;
        connection.give_back();
        Ok(Some(recounted))
    }

    /// Brings the counts on to the snapshot that these were made at, and puts these in their place. Gives by how many numbers the kept
    /// ones were wrong; `None` where the role is over.
    pub async fn install_recount(
        &self,
        role: &Leadership,
        recount: &Recount,
        recounted: &Recounted,
    ) -> Result<Option<i64>, StoreError> {
        let at = &recounted.at;
        loop {
            let look = self.look_at_capacity().await?;
            if look.seen == *at {
                break;
            }
            if self.fold(role, &look.seen, &look.next_stop(at)).await?.is_none() {
                return Ok(None);
            }
        }
        let now = self.moment().await?;
        let (mut prefixes, mut states, mut dues, mut numbers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ((prefix, state, due), count) in &recounted.counts {
            prefixes.push(prefix.as_str());
            states.push(state.as_str());
            dues.push(due.as_str());
            numbers.push(*count);
        }
        let row = self
            .query_opt(
                include_str!("capacity_install.sql"),
                &[
                    &role.role,
                    &role.holder,
                    &role.term,
                    &at.to_string(),
                    &recount.operator,
                    &recount.prefixes,
                    &recounted.class.as_str(),
                    &now,
                    &prefixes,
                    &states,
                    &dues,
                    &numbers,
                ],
            )
            .await?;
        row.map(|row| Ok(row.try_get("drift")?)).transpose()
    }

    /// Every pool, as counted; `now` decides what is valid by then.
    pub async fn pools(&self, now: Timestamp) -> Result<Pools, StoreError> {
        let mut pools = Pools::default();
        for row in self.query(include_str!("capacity_read.sql"), &[&now]).await? {
            pools.seen = row.try_get("seen")?;
            if row.try_get::<_, Option<&str>>("identifier_class")?.is_none() {
                continue;
            }
            let counts = pools.counts.entry(pool(&row)?).or_default();
            let number = |name| row.try_get::<_, i64>(name).map(|number| u64::try_from(number).unwrap_or(0));
            let state: &str = row.try_get("state")?;
            let state = StateName::parse(state).ok_or_else(|| impossible("state"))?;
            counts.not_yet_valid += number("waiting")?;
            if let numbers @ 1.. = number("numbers")? {
                counts.by_state.insert(state.as_str(), numbers);
            }
        }
        pools.counts.retain(|_, counts| counts.total() > 0);
        Ok(pools)
    }

    /// What happened in every pool on the days from `since` on and before `today`.
    pub async fn past_of_pools(&self, since: Date, today: Date) -> Result<BTreeMap<Pool, PoolPast>, StoreError> {
        let mut pasts: BTreeMap<Pool, PoolPast> = BTreeMap::new();
        for row in self.query(include_str!("capacity_days.sql"), &[&since, &today]).await? {
            let past = pasts.entry(pool(&row)?).or_default();
            let (taken, given_back): (i64, i64) = (row.try_get("taken")?, row.try_get("given_back")?);
            past.followed_since = row.try_get("followed_since")?;
            past.days.push(PoolDay {
                day: row.try_get("day")?,
                imported: row.try_get("imported")?,
                demand: taken - given_back,
                rested: row.try_get("rested")?,
            });
        }
        Ok(pasts)
    }

    /// When numbers come into every pool by themselves.
    pub async fn returns_of_pools(&self, now: Timestamp) -> Result<BTreeMap<Pool, PoolReturns>, StoreError> {
        let mut returns: BTreeMap<Pool, PoolReturns> = BTreeMap::new();
        for row in self.query(include_str!("capacity_rests.sql"), &[&now]).await? {
            let numbers: i64 = row.try_get("numbers")?;
            let due = (row.try_get("due")?, u64::try_from(numbers).unwrap_or(0));
            let of_pool = returns.entry(pool(&row)?).or_default();
            if row.try_get("rests")? { of_pool.rested.push(due) } else { of_pool.becoming_valid.push(due) }
        }
        Ok(returns)
    }

    /// Forgets what happened before this day, and counts of nothing.
    pub async fn forget_old_days(&self, before: Date) -> Result<(), StoreError> {
        self.query(include_str!("capacity_forget.sql"), &[&before]).await.map(drop)
    }

    /// The open alerts of these names.
    pub async fn open_alerts(&self, names: &[&str]) -> Result<Vec<Alert>, StoreError> {
        let rows = self.query(include_str!("pool_alerts.sql"), &[&names]).await?;
        rows.iter().map(alerts::alert).collect()
    }

    /// Raises an alert about a pool, with the pool's own event where it has one; `false` where one is open already, or the counts that
    /// it was decided on stand no longer.
    pub async fn raise_pool_alert(
        &self,
        decided: &DecidedOn<'_>,
        alert: &NewAlert<'_>,
        told: Option<(&'static str, &Value)>,
    ) -> Result<bool, StoreError> {
        let DecidedOn { role, seen, origin } = decided;
        let NewAlert { name, severity, subject, summary, runbook } = *alert;
        let (event_type, data) = told.unzip();
        let row = self
            .query_opt(
                include_str!("pool_alert_raise.sql"),
                &[
                    &role.role,
                    &role.holder,
                    &role.term,
                    seen,
                    &Uuid::now_v7(),
                    &name,
                    &severity.as_str(),
                    &subject,
                    &summary,
                    &runbook,
                    &Uuid::now_v7(),
                    &Uuid::now_v7(),
                    &event_type,
                    &data,
                    &origin.actor,
                    &origin.request_id,
                ],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Resolves the open alert of this name about a pool, with the pool's own event where it has one; `false` where there is none, or
    /// the counts that it was decided on stand no longer.
    pub async fn resolve_pool_alert(
        &self,
        decided: &DecidedOn<'_>,
        name: &str,
        subject: &str,
        told: Option<(&'static str, &Value)>,
    ) -> Result<bool, StoreError> {
        let DecidedOn { role, seen, origin } = decided;
        let (event_type, data) = told.unzip();
        let row = self
            .query_opt(
                include_str!("pool_alert_resolve.sql"),
                &[
                    &role.role,
                    &role.holder,
                    &role.term,
                    seen,
                    &name,
                    &subject,
                    &Uuid::now_v7(),
                    &Uuid::now_v7(),
                    &event_type,
                    &data,
                    &origin.actor,
                    &origin.request_id,
                ],
            )
            .await?;
        Ok(row.is_some())
    }
}

/// On whose strength, and on which counts, something is said about a pool.
#[derive(Clone, Copy, Debug)]
pub struct DecidedOn<'a> {
    /// The role of the job.
    pub role: &'a Leadership,
    /// The snapshot that the counts stood at.
    pub seen: &'a str,
    /// Who says it.
    pub origin: &'a Origin,
}

impl Recount {
    fn class(&self) -> IdentifierClass {
        if self.operator.is_empty() { IdentifierClass::ShortCode } else { IdentifierClass::Msisdn }
    }

    /// The prefix that a number falls under.
    fn prefix_of(&self, number: &str) -> &str {
        let under = self.prefixes.iter().filter(|prefix| number.starts_with(prefix.as_str()));
        under.max_by_key(|prefix| prefix.len()).map_or(NO_PREFIX, String::as_str)
    }

    /// Ranges of identifiers, from the first to before the second, that its numbers are in: each prefix of today and of the pools
    /// that it was counted in, in eleven parts by the digit that follows. None overlap.
    fn parts(&self) -> Vec<(String, String)> {
        let mut prefixes: Vec<&str> = self.prefixes.iter().chain(&self.counted_in).map(String::as_str).collect();
        prefixes.retain(|prefix| prefix.starts_with('+'));
        prefixes.sort_unstable();
        let mut outermost: Vec<&str> = Vec::new();
        for prefix in prefixes {
            if outermost.last().is_none_or(|outer| !prefix.starts_with(outer)) {
                outermost.push(prefix);
            }
        }
        outermost.into_iter().flat_map(parts_of).collect()
    }
}

/// The range of what begins with this, in parts.
fn parts_of(prefix: &str) -> impl Iterator<Item = (String, String)> {
    // In ASCII `:` comes after the digits, and what begins with the prefix and a digit is all that begins with it.
    let bounds = std::iter::once(prefix.to_owned()).chain(('1'..=':').map(move |next| format!("{prefix}{next}")));
    let bounds: Vec<String> = bounds.collect();
    let after = bounds.clone().into_iter().skip(1);
    bounds.into_iter().zip(after)
}

impl Recounted {
    fn take(&mut self, rows: &[Row], prefix_of: impl Fn(&str) -> String) -> Result<(), StoreError> {
        for row in rows {
            let key = (prefix_of(row.try_get("head")?), row.try_get("state")?, row.try_get("due")?);
            *self.counts.entry(key).or_default() += row.try_get::<_, i64>("numbers")?;
        }
        Ok(())
    }
}

fn pool(row: &Row) -> Result<Pool, StoreError> {
    Ok(Pool {
        class: Reading::new(row, "a pool").class()?,
        operator: row.try_get("operator_id")?,
        prefix: row.try_get("block_prefix")?,
    })
}

fn seen(text: &str) -> Result<Seen, StoreError> {
    Seen::parse(text).ok_or_else(|| impossible("seen"))
}

fn impossible(what: &'static str) -> StoreError {
    StoreError::Impossible { subject: "the counts of pools".to_owned(), what }
}

#[cfg(test)]
mod tests;
