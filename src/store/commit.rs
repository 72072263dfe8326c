//! The only writer of number state.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use numbering_domain::transition::Step;
use numbering_domain::{Counter, Event, Lease, LeaseId, Number, State, TenantId, Transition};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::idempotency::{Answer, Claim};
use super::leadership::Leadership;
use super::{Store, StoreError};
use crate::clock::Expected;
use crate::events::payload;

/// Who makes a change, for the journal.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The token's `sub`, or the part of the service that acts.
    pub actor: String,
    /// The request that it came in.
    pub request_id: String,
}

/// The actor, in the journal, of what time alone brought about.
pub const TIME: &str = "numbering";

/// An answer to keep under an idempotency claim, in the same commit as the effect.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The claim, which must still be ours.
    pub claim: &'a Claim,
    /// What was answered.
    pub answer: &'a Answer,
}

/// One transition, and what is written down with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub(super) transition: &'a Transition,
    pub(super) origin: &'a Origin,
    /// Several changes may have one.
    pub(super) answered: Option<Answered<'a>>,
}

/// What to do about numbers and tenants that others have locked: wait for them, or pass by what needs them, which does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locks {
    /// All are waited for.
    Awaited,
    /// Tenants are waited for, numbers passed by.
    TenantsAwaited,
    /// All are passed by.
    PassedBy,
}

impl Locks {
    pub(super) fn statement(self) -> &'static str {
        match self {
            Self::Awaited => COMMIT,
            Self::TenantsAwaited => &COMMIT_PASSING_NUMBERS_BY,
            Self::PassedBy => &COMMIT_PASSING_BY,
        }
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is committed.
    Moved,
    /// The number has moved on since it was decided on.
    Outdated,
    /// The tenant or quota is no longer as it was decided on, its time is over, or the claim or role is no longer ours.
    Overtaken,
    /// The number is not to be locked: another has it, or where it was waited for there is none.
    NumberLocked,
    /// So is a tenant that it counts for.
    TenantLocked,
}

impl Outcome {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "MOVED" => Self::Moved,
            "OUTDATED" => Self::Outdated,
            "NUMBER_LOCKED" => Self::NumberLocked,
            "TENANT_LOCKED" => Self::TenantLocked,
            _ => return None,
        })
    }
}

#[derive(Debug, Serialize)]
struct InputRow<'a> {
    identifier: &'a str,
    expected_version: i64,
    commit_before: Option<Timestamp>,
    standing_tenant: Option<&'a str>,
    standing_revision: Option<i64>,
    version: i64,
    state: &'static str,
    tenant_id: Option<&'a str>,
    reservation_id: Option<Uuid>,
    lease_id: Option<Uuid>,
    deadline: Option<Timestamp>,
    effective_until: Option<Timestamp>,
    ended_by: Option<&'static str>,
    bars: Vec<BarColumn<'a>>,
    claim_before: Option<Uuid>,
    claim_after: Option<Uuid>,
    claimed_at: Option<Timestamp>,
    steps: Vec<StepRow<'a>>,
    usage: Vec<UsageRow<'a>>,
    ended: Vec<EndedRow>,
    lease: Option<LeaseRow<'a>>,
    lease_is_new: bool,
    charge_id: Option<&'a str>,
    actor: &'a str,
    request_id: &'a str,
    /// The owner of the claim.
    asked_under: Option<Uuid>,
}

#[derive(Debug, Serialize)]
struct AnswerRow<'a> {
    scope: &'a str,
    route: &'a str,
    key: &'a str,
    owner: Uuid,
    status: u16,
    body: &'a str,
}

#[derive(Debug, Serialize)]
struct BarColumn<'a> {
    tenant: &'a str,
    until: Timestamp,
}

#[derive(Debug, Serialize)]
struct StepRow<'a> {
    version: i64,
    event_id: Uuid,
    #[serde(rename = "type")]
    event_type: &'static str,
    state: &'static str,
    tenant_id: Option<&'a str>,
    lease_id: Option<Uuid>,
    deadline: Option<Timestamp>,
    data: Value,
    /// Another than the origin's.
    actor: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct UsageRow<'a> {
    tenant_id: &'a str,
    msisdn: i32,
    short_code: i32,
    alpha: i32,
    reservations: i32,
    holds: i32,
}

#[derive(Debug, Serialize)]
struct EndedRow {
    lease_id: Uuid,
    state: &'static str,
    ended_at: Timestamp,
}

#[derive(Debug, Serialize)]
struct LeaseRow<'a> {
    prior_lease_id: Option<Uuid>,
    identifier_class: &'static str,
    shown: &'a str,
    effective_from: Timestamp,
    ends_at: Timestamp,
    term: String,
    auto_renew: bool,
    renewal_retry_at: Option<Timestamp>,
    reminded_at: Option<Timestamp>,
    vanity: bool,
    locked: bool,
    price_amount: String,
    price_currency: &'a str,
    price_per: &'a str,
}

impl<'a> InputRow<'a> {
    fn of(change: &Change<'a>) -> Self {
        let Change { transition, origin, answered } = *change;
        let Transition { before, after, .. } = transition;
        let state = Columns::of(&after.state);
        let lease = after.state.lease();
        Self {
            identifier: before.identifier.key(),
            expected_version: before.version,
            commit_before: transition.commit_before,
            standing_tenant: transition.standing.as_ref().map(|(tenant, _)| tenant.as_str()),
            standing_revision: transition.standing.as_ref().map(|(_, revision)| *revision),
            version: after.version,
            state: after.state.name().as_str(),
            tenant_id: after.state.holder().map(TenantId::as_str),
            reservation_id: state.reservation_id,
            lease_id: state.lease_id,
            deadline: after.state.deadline(),
            effective_until: lease.map(|lease| lease.effective_until),
            ended_by: state.ended_by,
            bars: after.bars.iter().map(|bar| BarColumn { tenant: bar.tenant.as_str(), until: bar.until }).collect(),
            claim_before: claim_id(&before.state),
            claim_after: claim_id(&after.state),
            claimed_at: claimed_at(&after.state),
            steps: steps(transition),
            usage: usage(&transition.usage),
            ended: transition
                .ended
                .iter()
                .map(|ended| EndedRow {
                    lease_id: ended.lease.lease_id.0,
                    state: ended.state.as_str(),
                    ended_at: ended.at,
                })
                .collect(),
            lease: lease.map(|lease| LeaseRow::of(after, lease)),
            lease_is_new: lease.map(|lease| lease.lease_id) != before.state.lease().map(|lease| lease.lease_id)
                && lease.is_some(),
            charge_id: transition.steps.iter().find_map(charge_id),
            actor: &origin.actor,
            request_id: &origin.request_id,
            asked_under: answered.map(|answered| answered.claim.owner),
        }
    }
}

impl<'a> AnswerRow<'a> {
    fn of(answered: Answered<'a>) -> Self {
        let Answered { claim, answer } = answered;
        Self {
            scope: &claim.scope,
            route: &claim.route,
            key: &claim.key,
            owner: claim.owner,
            status: answer.status,
            body: &answer.body,
        }
    }
}

impl<'a> LeaseRow<'a> {
    fn of(number: &'a Number, lease: &'a Lease) -> Self {
        Self {
            prior_lease_id: lease.prior_lease_id.map(|id| id.0),
            identifier_class: number.identifier.class().as_str(),
            shown: &number.shown,
            effective_from: lease.effective_from,
            ends_at: lease.ends_at,
            term: lease.term.to_string(),
            auto_renew: lease.auto_renew,
            renewal_retry_at: lease.renewal_retry_at,
            reminded_at: lease.reminded_at,
            vanity: lease.vanity,
            locked: lease.locked,
            price_amount: lease.price.amount.to_string(),
            price_currency: &lease.price.currency,
            price_per: &lease.price.per,
        }
    }
}

/// The columns of a number that only some states fill.
#[derive(Default)]
struct Columns {
    reservation_id: Option<Uuid>,
    lease_id: Option<Uuid>,
    ended_by: Option<&'static str>,
}

impl Columns {
    fn of(state: &State) -> Self {
        match state {
            State::Available => Self::default(),
            State::Reserved(claim) | State::Held(claim) => {
                Self { reservation_id: Some(claim.reservation_id.0), ..Self::default() }
            }
            State::Leased(lease) | State::Suspended(lease) => {
                Self { lease_id: Some(lease.lease_id.0), ..Self::default() }
            }
            State::Quarantine(rest) => {
                Self { lease_id: Some(rest.lease_id.0), ended_by: Some(rest.ended_by.as_str()), ..Self::default() }
            }
        }
    }
}

/// What a step says that a term was paid with.
fn charge_id(step: &Step) -> Option<&str> {
    match &step.event {
        Event::LeaseRenewed { charge_id, .. } => Some(charge_id.as_str()),
        _ => None,
    }
}

/// The id under which a state stands in the table of claims.
fn claim_id(state: &State) -> Option<Uuid> {
    match state {
        State::Available | State::Quarantine(_) => None,
        State::Reserved(claim) | State::Held(claim) => Some(claim.reservation_id.0),
        State::Leased(lease) | State::Suspended(lease) => Some(lease.lease_id.0),
    }
}

/// Since when a reservation or hold is its tenant's.
fn claimed_at(state: &State) -> Option<Timestamp> {
    match state {
        State::Reserved(claim) | State::Held(claim) => Some(claim.since),
        State::Available | State::Leased(_) | State::Suspended(_) | State::Quarantine(_) => None,
    }
}

fn steps(transition: &Transition) -> Vec<StepRow<'_>> {
    transition
        .steps
        .iter()
        .map(|step| StepRow {
            version: step.version,
            event_id: Uuid::now_v7(),
            event_type: step.event.type_name(),
            state: step.state.as_str(),
            tenant_id: step.holder.as_ref().map(TenantId::as_str),
            lease_id: step.lease_id.map(|LeaseId(id)| id),
            deadline: step.deadline,
            data: payload::data(step, &transition.after),
            actor: step.by_time.then_some(TIME),
        })
        .collect()
}

fn usage(changes: &BTreeMap<(TenantId, Counter), i32>) -> Vec<UsageRow<'_>> {
    let tenants: HashSet<&TenantId> = changes.keys().map(|(tenant, _)| tenant).collect();
    let change = |tenant: &TenantId, counter| changes.get(&(tenant.clone(), counter)).copied().unwrap_or(0);
    tenants
        .into_iter()
        .map(|tenant| UsageRow {
            tenant_id: tenant.as_str(),
            msisdn: change(tenant, Counter::Msisdn),
            short_code: change(tenant, Counter::ShortCode),
            alpha: change(tenant, Counter::Alpha),
            reservations: change(tenant, Counter::Reservations),
            holds: change(tenant, Counter::Holds),
        })
        .collect()
}

/// The statement, which waits for locks.
const COMMIT: &str = include_str!("commit.sql");
/// The same, passing by numbers that others have locked. Not one statement with a parameter for it: PostgreSQL would plan it anew each
/// time, which takes longer than running it, as with the value known half of it falls away.
static COMMIT_PASSING_NUMBERS_BY: LazyLock<String> =
    LazyLock::new(|| COMMIT.replace("UPDATE -- number, or passed by", "UPDATE SKIP LOCKED"));
/// The same, passing tenants by too.
static COMMIT_PASSING_BY: LazyLock<String> =
    LazyLock::new(|| COMMIT_PASSING_NUMBERS_BY.replace("UPDATE -- tenant, or passed by", "UPDATE SKIP LOCKED"));
/// How often a statement that PostgreSQL asks to repeat (40001, 40P01) is tried.
const ATTEMPTS: u32 = 3;
/// The pause before the second attempt; it grows with each, with jitter.
const PAUSE: Duration = Duration::from_millis(10);

impl Store {
    /// Commits transitions of *different* numbers: all their rows, journal entries, events and counters at once. Those
    /// whose number, tenant or quota is no longer as it was decided on do not move; `true` marks those that did, in order.
    pub async fn commit(&self, transitions: &[Transition], origin: &Origin) -> Result<Vec<bool>, StoreError> {
        self.commit_changes(&changes(transitions, origin, None), Locks::Awaited, None).await.map(moved)
    }

    /// Like [`Store::commit`], on the strength of a role: nothing moves once the role's term is over, so that a holder that
    /// was frozen changes nothing when it thaws.
    pub async fn commit_as(
        &self,
        role: &Leadership,
        transitions: &[Transition],
        origin: &Origin,
    ) -> Result<Vec<bool>, StoreError> {
        self.commit_changes(&changes(transitions, origin, None), Locks::Awaited, Some(role)).await.map(moved)
    }

    /// Commits changes of *different* numbers that may have been asked for by different callers. An answer is kept with the
    /// effect, and without its claim nothing moves.
    pub(super) async fn commit_changes(
        &self,
        changes: &[Change<'_>],
        locks: Locks,
        role: Option<&Leadership>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut parameters = Parameters::of(changes, role, self.clock().expected());
        let mut attempt = 1;
        let rows = loop {
            match self.query(locks.statement(), &parameters.in_order()).await {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    tokio::time::sleep(jittered(PAUSE * attempt)).await;
                    attempt += 1;
                    parameters.expected = self.clock().expected();
                }
                done => break done?,
            }
        };
        outcomes(changes, &rows)
    }

    /// Like [`Store::commit`], in a transaction that is under way and is yet to be committed; with `answered`, nothing moves
    /// unless the idempotency claim is still ours, and the answer is kept with the effect. What PostgreSQL asks to repeat is not
    /// repeated here: it is the whole transaction that has failed.
    pub(super) async fn commit_within(
        &self,
        transaction: &Transaction<'_>,
        transitions: &[Transition],
        origin: &Origin,
        answered: Option<Answered<'_>>,
    ) -> Result<Vec<bool>, StoreError> {
        let changes = changes(transitions, origin, answered);
        let parameters = Parameters::of(&changes, None, self.clock().expected());
        let statement = transaction.prepare_cached(COMMIT).await?;
        outcomes(&changes, &transaction.query(&statement, &parameters.in_order()).await?).map(moved)
    }
}

fn changes<'a>(transitions: &'a [Transition], origin: &'a Origin, answered: Option<Answered<'a>>) -> Vec<Change<'a>> {
    transitions.iter().map(|transition| Change { transition, origin, answered }).collect()
}

/// What the statement says of each of the changes, in order.
fn outcomes(changes: &[Change<'_>], rows: &[Row]) -> Result<Vec<Outcome>, StoreError> {
    let told = |row: &'_ Row| -> Result<(String, Outcome), StoreError> {
        let identifier: String = row.try_get(0)?;
        match Outcome::parse(row.try_get(1)?) {
            Some(outcome) => Ok((identifier, outcome)),
            None => Err(StoreError::Impossible { subject: identifier, what: "the outcome of its commit" }),
        }
    };
    let told = rows.iter().map(told).collect::<Result<HashMap<String, Outcome>, StoreError>>()?;
    let of = |change: &Change<'_>| told.get(change.transition.before.identifier.key()).copied();
    Ok(changes.iter().map(|change| of(change).unwrap_or(Outcome::Overtaken)).collect())
}

fn moved(outcomes: Vec<Outcome>) -> Vec<bool> {
    outcomes.into_iter().map(|outcome| outcome == Outcome::Moved).collect()
}

/// What the statement is given.
struct Parameters<'a> {
    input: Json<Vec<InputRow<'a>>>,
    answers: Json<Vec<AnswerRow<'a>>>,
    role: Option<&'a str>,
    holder: Option<Uuid>,
    term: Option<i64>,
    expected: Expected,
}

impl<'a> Parameters<'a> {
    fn of(changes: &[Change<'a>], role: Option<&'a Leadership>, expected: Expected) -> Self {
        let mut owners = HashSet::new();
        let answers = changes.iter().filter_map(|change| change.answered);
        Self {
            input: Json(changes.iter().map(InputRow::of).collect()),
            answers: Json(answers.filter(|answered| owners.insert(answered.claim.owner)).map(AnswerRow::of).collect()),
            role: role.map(|held| held.role),
            holder: role.map(|held| held.holder),
            term: role.map(|held| held.term),
            expected,
        }
    }

    fn in_order(&self) -> [&(dyn ToSql + Sync); 7] {
        [
            &self.input,
            &self.answers,
            &self.role,
            &self.holder,
            &self.term,
            &self.expected.now,
            &self.expected.tolerance_seconds,
        ]
    }
}

/// Between half and the whole of `pause`, so that those who collided do not meet again.
fn jittered(pause: Duration) -> Duration {
    let random = Uuid::new_v4().as_u128() % 1000;
    let thousandths = u32::try_from(random).unwrap_or(0);
    pause / 2 + pause * thousandths / 2000
}
