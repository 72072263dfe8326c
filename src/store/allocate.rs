//! Numbers for a tenant that does not mind which: found without a lock, then locked, decided on and committed together.
//!
//! What must stay true: a search locks nothing, however long it takes, and what it says of how many there are is of one moment;
//! what is locked is locked for one short transaction, by identifier, or without waiting for anybody.

use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use numbering_domain::{IdentifierClass, Number, OperatorId, TenantId, TenantStanding, Transition};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::browse::{AFTER_EVERY_IDENTIFIER, BrowseFilter, Ranges};
use super::commit::{Answered, Origin};
use super::idempotency::{Answer, Claim};
use super::rows::Reading;
use super::{Store, StoreError};

/// How many numbers the first stretch of a search looks at; each further one is longer.
const FIRST_STRETCH: i64 = 1_000;
/// How much longer.
const LONGER: i64 = 4;
/// The most that one statement looks at.
const LONGEST_STRETCH: i64 = 64_000;

/// How often the place where a search begins is chosen more closely.
const NARROWED: usize = 3;
/// By how many characters more closely each time.
const LONGER_BY: usize = 2;

/// What a search came to.
#[derive(Clone, Debug)]
pub enum Searched<R> {
    /// Canonical identifiers of what the tenant may take, of one moment: enough of them, or all there are.
    Found(Vec<String>),
    /// The tenant was not admitted, and nothing was looked at.
    Refused(R),
    /// The tenant has not been seen before.
    Unknown,
}

/// Which of the numbers that are asked for are locked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// At most so many that are to be had and that nobody else has locked, in the order given.
    Free(usize),
    /// At most so many that are to be had, by identifier; whoever has one locked is waited for.
    ToBeHad(usize),
    /// All of them, by identifier; whoever has one locked is waited for.
    All,
}

/// Numbers, locked where that is said, and the standing of the tenant that wants them, of one moment.
#[derive(Clone, Debug)]
pub struct Locked {
    /// The database's moment.
    pub now: Timestamp,
    /// By canonical identifier.
    pub numbers: BTreeMap<String, Number>,
    /// The tenant's standing, where it has been seen before.
    pub standing: Option<TenantStanding>,
}

/// What is to be committed of locked numbers.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Of different numbers among those that are locked. All move, or none does.
    pub transitions: Vec<Transition>,
    /// What is answered, to be kept under the claim of the request.
    pub answer: Option<Answer>,
}

/// What became of numbers that were locked.
#[derive(Clone, Debug)]
pub enum Done<R> {
    /// Committed, with the moment that it was decided at.
    Committed(Vec<Transition>, Timestamp),
    /// Not decided to be committed, for this reason.
    Refused(R),
    /// What it was decided on had changed, so nothing was committed.
    Changed,
}

impl Store {
    /// What `tenant` may take now of what the filter finds: `enough`, or all there is where that is less, and up to `most` where
    /// more lies beside them. `admit` says whether there is anything to look for, by the tenant's standing alone.
    ///
    /// What is not eligible for vanity comes first. Each search starts at a random place, so that those who search at the same
    /// time find different numbers.
    pub async fn search<R>(
        &self,
        filter: &BrowseFilter,
        tenant: &TenantId,
        never_leasable: &[String],
        enough: usize,
        most: usize,
        admit: impl FnOnce(&TenantStanding) -> Result<(), R>,
    ) -> Result<Searched<R>, StoreError> {
        // One snapshot: where there are not enough, there was one moment at which that was so.
        self.snapshot(async |transaction| {
            query(&transaction, include_str!("allocate_settings.sql"), &[]).await?;
            let Locked { standing, .. } = self.load_many(&transaction, &[], tenant).await?;
            let Some(standing) = standing else { return Ok(Searched::Unknown) };
            if let Err(refused) = admit(&standing) {
                return Ok(Searched::Refused(refused));
            }
            let mut search =
                Search { store: self, transaction, tenant, never_leasable, enough, most, found: Vec::new() };
            for branch in branches(filter, &standing) {
                search.branch(&branch).await?;
            }
            search.overdue(filter, &standing).await?;
            let Search { transaction, found, .. } = search;
            transaction.commit().await?;
            Ok(Searched::Found(found))
        })
        .await
    }

    /// Numbers and the tenant's standing as they are, nothing locked.
    pub async fn look(&self, identifiers: &[String], tenant: &TenantId) -> Result<Locked, StoreError> {
        self.transaction(async |transaction| {
            let seen = self.load_many(&transaction, identifiers, tenant).await?;
            transaction.commit().await?;
            Ok(seen)
        })
        .await
    }

    /// Locks numbers, has `decide` decide on them, and commits what it decided as a whole or not at all. The claim, where there
    /// is one, must still be ours; the answer is kept with the effect, or by itself where there is none.
    pub async fn commit_locked<R>(
        &self,
        identifiers: &[String],
        lock: Lock,
        tenant: &TenantId,
        origin: &Origin,
        claim: Option<&Claim>,
        decide: impl FnOnce(Locked) -> Result<Decided, R>,
    ) -> Result<Done<R>, StoreError> {
        self.transaction(async |transaction| {
            if let Some(claim) = claim {
                claim.hold(&transaction).await?;
            }
            let locked = self.lock(&transaction, identifiers, lock).await?;
            let locked = self.load_many(&transaction, &locked, tenant).await?;
            let now = locked.now;
            let Decided { transitions, answer } = match decide(locked) {
                Ok(decided) => decided,
                Err(refused) => return Ok(Done::Refused(refused)),
            };
            let answered = claim.zip(answer.as_ref()).map(|(claim, answer)| Answered { claim, answer });
            if transitions.is_empty() {
                if let Some(Answered { claim, answer }) = answered {
                    claim.keep(&transaction, answer).await?;
                }
            } else if self.commit_within(&transaction, &transitions, origin, answered).await?.contains(&false) {
                return Ok(Done::Changed);
            }
            transaction.commit().await?;
            Ok(Done::Committed(transitions, now))
        })
        .await
    }

    async fn lock(
        &self,
        transaction: &Transaction<'_>,
        identifiers: &[String],
        lock: Lock,
    ) -> Result<Vec<String>, StoreError> {
        let expected = self.clock().expected();
        let most = |most: usize| i64::try_from(most).unwrap_or(i64::MAX);
        let rows = match lock {
            Lock::All => query(transaction, include_str!("lock_numbers.sql"), &[&identifiers]).await?,
            Lock::Free(wanted) => {
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&identifiers, &most(wanted), &expected.now, &expected.tolerance_seconds];
                query(transaction, include_str!("lock_free_numbers.sql"), &parameters).await?
            }
            Lock::ToBeHad(wanted) => {
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&identifiers, &most(wanted), &expected.now, &expected.tolerance_seconds];
                query(transaction, include_str!("lock_numbers_to_be_had.sql"), &parameters).await?
            }
        };
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn load_many(
        &self,
        transaction: &Transaction<'_>,
        identifiers: &[String],
        tenant: &TenantId,
    ) -> Result<Locked, StoreError> {
        let rows = query(transaction, include_str!("load_many.sql"), &[&identifiers, &tenant.as_str()]).await?;
        let Some(first) = rows.first() else {
            return Err(StoreError::Impossible { subject: tenant.to_string(), what: "load_many gives a row" });
        };
        let mut numbers = BTreeMap::new();
        for row in &rows {
            let reading = Reading::new(row, tenant.as_str());
            if reading.get::<Option<&str>>("identifier")?.is_some() {
                let number = reading.number()?;
                numbers.insert(number.identifier.key().to_owned(), number);
            }
        }
        let reading = Reading::new(first, tenant.as_str());
        let seen = reading.get::<Option<&str>>("standing_tenant")?.is_some();
        Ok(Locked {
            now: self.clock().vouched(reading.get("now")?),
            numbers,
            standing: seen.then(|| reading.standing()).transpose()?,
        })
    }
}

async fn query(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.query(&statement, parameters).await?)
}

/// One range of one index.
#[derive(Debug)]
struct Branch {
    class: &'static str,
    eligible: bool,
    operator: Option<String>,
    from: String,
    before: String,
    like: Option<String>,
}

/// The ranges that the filter means for this tenant.
fn branches(filter: &BrowseFilter, standing: &TenantStanding) -> Vec<Branch> {
    let ranges = Ranges::of(filter);
    let mut branches = Vec::new();
    for (place, class) in ranges.classes.iter().enumerate() {
        let operators = match operators(filter, standing) {
            Some(operators) if *class == IdentifierClass::Msisdn.as_str() => operators.into_iter().map(Some).collect(),
            Some(_) | None => vec![None],
        };
        for eligible in eligibilities(filter) {
            for operator in &operators {
                branches.push(Branch {
                    class,
                    eligible,
                    operator: operator.clone(),
                    from: ranges.from[place].clone(),
                    before: ranges.before[place].clone(),
                    like: ranges.like[place].clone(),
                });
            }
        }
    }
    branches
}

/// What is not eligible for vanity first.
fn eligibilities(filter: &BrowseFilter) -> Vec<bool> {
    filter.vanity.map_or(vec![false, true], |eligible| vec![eligible])
}

/// The operators whose mobile numbers are meant, where it is not all.
fn operators(filter: &BrowseFilter, standing: &TenantStanding) -> Option<Vec<String>> {
    let asked = filter.operator.as_ref();
    match (&standing.operator_allowlist, asked) {
        (None, None) => None,
        (None, Some(operator)) => Some(vec![operator.to_string()]),
        (Some(allowed), asked) => {
            let meant = |operator: &&OperatorId| asked.is_none_or(|asked| *operator == asked);
            Some(allowed.iter().filter(meant).map(OperatorId::to_string).collect())
        }
    }
}

/// A search under way.
struct Search<'a> {
    store: &'a Store,
    transaction: Transaction<'a>,
    tenant: &'a TenantId,
    never_leasable: &'a [String],
    enough: usize,
    most: usize,
    found: Vec<String>,
}

impl Search<'_> {
    const fn has_enough(&self) -> bool {
        self.found.len() >= self.enough
    }

    fn room(&self) -> i64 {
        i64::try_from(self.most.saturating_sub(self.found.len())).unwrap_or(i64::MAX)
    }

    /// Looks through a range from a random place on, and round again from its beginning.
    async fn branch(&mut self, branch: &Branch) -> Result<(), StoreError> {
        if self.has_enough() {
            return Ok(());
        }
        let Some(start) = self.start(branch).await? else { return Ok(()) };
        let before_it = self.found.len();
        self.stretches(branch, &start, &branch.before).await?;
        self.stretches(branch, &branch.from, &start).await?;
        // Those who find the same begin at different ones of them.
        let found = &mut self.found[before_it..];
        let to_spare = (before_it + found.len()).saturating_sub(self.enough).min(found.len());
        found.rotate_left(random_below(to_spare + 1));
        Ok(())
    }

    /// Where to begin: a random place among the numbers that there are. `None` where there is none.
    ///
    /// Numbers come in blocks with much space between, so a random place in a whole range is most often in none, and what comes
    /// next is always some block's first. So it is chosen again between the first and the last number that begin like that one,
    /// with more and more characters.
    async fn start(&self, branch: &Branch) -> Result<Option<String>, StoreError> {
        let (mut from, mut before) = (branch.from.clone(), branch.before.clone());
        let Some((mut first, mut last)) = self.bounds(branch, &from, &before).await? else { return Ok(None) };
        let mut start = random_place(&first, &last);
        for _ in 0..NARROWED {
            // What was there may only have been before the place.
            let next = self.bounds(branch, &start, &before).await?.map_or_else(|| first.clone(), |(next, _)| next);
            let common = first.bytes().zip(last.bytes()).take_while(|(one, other)| one == other).count();
            let Some(begins) = next.get(..common + LONGER_BY) else { break };
            from = from.max(begins.to_owned());
            before = before.min(format!("{begins}{AFTER_EVERY_IDENTIFIER}"));
            let Some(bounds) = self.bounds(branch, &from, &before).await? else { break };
            (first, last) = bounds;
            start = random_place(&first, &last);
        }
        Ok(Some(start))
    }

    /// The first and the last number from `from` on and before `before`.
    async fn bounds(&self, branch: &Branch, from: &str, before: &str) -> Result<Option<(String, String)>, StoreError> {
        let Branch { class, eligible, operator, .. } = branch;
        let sql = include_str!("allocate_bounds.sql");
        let rows = query(&self.transaction, sql, &[class, eligible, operator, &from, &before]).await?;
        let bound = |name: &str| Ok::<_, StoreError>(rows.first().map(|row| row.try_get(name)).transpose()?.flatten());
        Ok(bound("first")?.zip(bound("last")?))
    }

    async fn stretches(&mut self, branch: &Branch, from: &str, before: &str) -> Result<(), StoreError> {
        let Branch { class, eligible, operator, like, .. } = branch;
        let (mut from, mut length) = (from.to_owned(), FIRST_STRETCH);
        while from.as_str() < before && !self.has_enough() {
            let expected = self.store.clock().expected();
            let rows = query(
                &self.transaction,
                include_str!("allocate_search.sql"),
                &[
                    class,
                    eligible,
                    operator,
                    &from,
                    &before,
                    like,
                    &self.tenant.as_str(),
                    &self.never_leasable,
                    &self.room(),
                    &length,
                    &expected.now,
                    &expected.tolerance_seconds,
                ],
            )
            .await?;
            let Some(row) = rows.first() else { break };
            self.found.extend(row.try_get::<_, Vec<String>>("found")?);
            from = row.try_get("ends")?;
            length = (length * LONGER).min(LONGEST_STRETCH);
        }
        Ok(())
    }

    /// What has run out and is not written down, where what is AVAILABLE is not enough.
    async fn overdue(&mut self, filter: &BrowseFilter, standing: &TenantStanding) -> Result<(), StoreError> {
        let ranges = Ranges::of(filter);
        let eligibilities = eligibilities(filter);
        for (place, class) in ranges.classes.iter().enumerate() {
            if self.has_enough() {
                return Ok(());
            }
            let mobile = *class == IdentifierClass::Msisdn.as_str();
            let operators = operators(filter, standing).filter(|_| mobile);
            let expected = self.store.clock().expected();
            let rows = query(
                &self.transaction,
                include_str!("allocate_overdue.sql"),
                &[
                    class,
                    &eligibilities,
                    &operators,
                    &ranges.from[place],
                    &ranges.before[place],
                    &ranges.like[place],
                    &self.tenant.as_str(),
                    &self.never_leasable,
                    &self.room(),
                    &expected.now,
                    &expected.tolerance_seconds,
                ],
            )
            .await?;
            for row in &rows {
                self.found.push(row.try_get(0)?);
            }
        }
        Ok(())
    }
}

/// A place from the first to the last identifier of a range, each as likely as another where all are digits; else the first.
fn random_place(first: &str, last: &str) -> String {
    let sign = if first.starts_with('+') { "+" } else { "" };
    let digits = |text: &str| text.strip_prefix(sign).unwrap_or(text).to_owned();
    let (first_digits, last_digits) = (digits(first), digits(last));
    // Texts sort as fractions do: what is shorter is filled up behind.
    let places = first_digits.len().max(last_digits.len());
    let number = |digits: &str| format!("{digits:0<places$}").parse::<u64>();
    let (Ok(low), Ok(high)) = (number(&first_digits), number(&last_digits)) else { return first.to_owned() };
    let span = u128::from(high.saturating_sub(low)) + 1;
    let place = u128::from(low) + Uuid::new_v4().as_u128() % span;
    format!("{sign}{place:0>places$}")
}

/// Any of 0 to less than `many`.
fn random_below(many: usize) -> usize {
    usize::try_from(Uuid::new_v4().as_u128() % many.max(1) as u128).unwrap_or(0)
}

/// The identifiers of a list, each once, for a lock.
#[must_use]
pub fn each_once<'a>(identifiers: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let once: HashSet<&str> = identifiers.into_iter().collect();
    once.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_starts_anywhere_between_the_first_and_the_last() {
        for (first, last) in [("+93700000000", "+93700000003"), ("000", "999999"), ("4041", "4043"), ("500", "50001")] {
            let mut met = HashSet::new();
            for _ in 0..200 {
                let place = random_place(first, last);
                assert!(
                    place.as_str() >= first && place.as_str() <= format!("{last}0").as_str(),
                    "{first} {place} {last}"
                );
                met.insert(place);
            }
            assert!(met.len() > 1, "{first} {last}: {met:?}");
        }
        assert_eq!(random_place("BANK-1", "ZBANK"), "BANK-1");
        assert_eq!(random_place("4041", "4041"), "4041");
    }
}
