//! Random histories: commands of several tenants and the authority over several numbers, time passing between them and
//! during them, tenants suspended and quotas changed. The invariants are looked at in [`crate::world`].

use std::collections::BTreeSet;

use jiff::SignedDuration;
use numbering_domain::event::RenewalFailure;
use numbering_domain::number::State;
use numbering_domain::{Command, Counter, RecallReason, TenantStatus};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::given::{charge_id, lease_id, price, reservation_id, term, ticket};
use crate::world::{Actor, Commit, TICK, World};

const NUMBERS: usize = 5;
const TENANTS: usize = 3;
const TERMS: [&str; 6] = ["18s", "25s", "60s", "1y", "2y", "3y"];

/// What is asked, before ids are known.
#[derive(Clone, Debug)]
enum Asked {
    Reserve,
    Extend,
    Hold,
    Release,
    Lease { term: &'static str, auto_renew: bool, vanity: bool, may_bypass: bool },
    Recall(RecallReason),
    Suspend,
    Reinstate,
    UpdateLease { auto_renew: Option<bool>, locked: Option<bool> },
    Renew,
    FailRenewal(RenewalFailure),
    RemindOfGrace,
    Revoke,
    ExpireReservation,
    ExpireLease,
    EndQuarantine,
    OverrideQuarantine,
}

impl Asked {
    /// Whether the contract's table has a line for it from this state.
    fn is_for(&self, state: &State) -> bool {
        match self {
            Self::Reserve => matches!(state, State::Available),
            Self::Extend | Self::Hold => matches!(state, State::Reserved(_)),
            Self::Release | Self::Revoke | Self::ExpireReservation => {
                matches!(state, State::Reserved(_) | State::Held(_))
            }
            Self::Lease { .. } => matches!(state, State::Available | State::Reserved(_) | State::Held(_)),
            Self::Suspend => matches!(state, State::Leased(_)),
            Self::Renew | Self::FailRenewal(_) => matches!(state, State::Leased(lease) if lease.auto_renew),
            Self::RemindOfGrace => state.lease().is_some_and(|lease| lease.ends_at > lease.effective_until),
            Self::Recall(_) | Self::UpdateLease { .. } | Self::ExpireLease => state.lease().is_some(),
            Self::Reinstate => matches!(state, State::Suspended(_)),
            Self::EndQuarantine | Self::OverrideQuarantine => matches!(state, State::Quarantine(_)),
        }
    }
}

/// A moment of a number that is worth being at.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Deadline,
    Renewal,
    Reminder,
    TermEnd,
    BarEnd,
    ValidFrom,
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// `fitting`: of the next number from there whose state it is for, if there is one.
    Ask {
        number: usize,
        fitting: bool,
        actor: Actor,
        asked: Asked,
        of_another: bool,
        commit: Commit,
    },
    Wait {
        seconds: i64,
    },
    WaitFor {
        number: usize,
        moment: Moment,
        short_by_a_tick: bool,
    },
    Standing {
        tenant: usize,
        status: TenantStatus,
    },
    Limit {
        tenant: usize,
        counter: Counter,
        limit: i32,
    },
}

fn asked() -> impl Strategy<Value = Asked> {
    let reasons = prop_oneof![
        3 => Just(RecallReason::TenantInitiated(None)),
        1 => Just(RecallReason::Abuse(ticket())),
        1 => Just(RecallReason::TenantSuspended(None)),
    ];
    let lease = (prop::sample::select(&TERMS), prop::bool::weighted(0.7), prop::bool::weighted(0.3), any::<bool>())
        .prop_map(|(term, auto_renew, vanity, may_bypass)| Asked::Lease { term, auto_renew, vanity, may_bypass });
    prop_oneof![
        5 => Just(Asked::Reserve),
        3 => Just(Asked::Extend),
        3 => Just(Asked::Hold),
        1 => Just(Asked::Release),
        8 => lease,
        2 => reasons.prop_map(Asked::Recall),
        1 => Just(Asked::Suspend),
        1 => Just(Asked::Reinstate),
        2 => any::<(Option<bool>, Option<bool>)>()
            .prop_map(|(auto_renew, locked)| Asked::UpdateLease { auto_renew, locked }),
        10 => Just(Asked::Renew),
        1 => Just(Asked::FailRenewal(RenewalFailure::BillingRejected)),
        1 => Just(Asked::FailRenewal(RenewalFailure::TenantSuspended)),
        2 => Just(Asked::RemindOfGrace),
        1 => Just(Asked::Revoke),
        1 => Just(Asked::ExpireReservation),
        1 => Just(Asked::ExpireLease),
        1 => Just(Asked::EndQuarantine),
        2 => Just(Asked::OverrideQuarantine),
    ]
}

/// Mostly who it is for, now and then anybody.
fn actor(asked: &Asked) -> impl Strategy<Value = Actor> + use<> {
    let (holder, authority) = match asked {
        Asked::Reserve => (1, 1),
        Asked::Extend
        | Asked::Hold
        | Asked::Release
        | Asked::Lease { .. }
        | Asked::UpdateLease { .. }
        | Asked::Renew => (12, 1),
        Asked::Recall(RecallReason::TenantInitiated(_)) => (4, 4),
        Asked::Recall(_)
        | Asked::Suspend
        | Asked::Reinstate
        | Asked::OverrideQuarantine
        | Asked::FailRenewal(_)
        | Asked::RemindOfGrace
        | Asked::Revoke => (1, 12),
        Asked::ExpireReservation | Asked::ExpireLease | Asked::EndQuarantine => (1, 6),
    };
    prop_oneof![
        holder => Just(Actor::Holder),
        4 => (0..TENANTS).prop_map(Actor::Tenant),
        authority => Just(Actor::Authority),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let asked = asked().prop_flat_map(|asked| (actor(&asked), Just(asked)));
    let commit = prop_oneof![
        16 => Just(Commit::AtOnce),
        1 => (1..20_i64).prop_map(Commit::Later),
        1 => Just(Commit::JustBeforeTheDeadline),
        1 => Just(Commit::AtTheDeadline),
    ];
    let moment = prop_oneof![
        1 => Just(Moment::Deadline),
        3 => Just(Moment::Renewal),
        2 => Just(Moment::Reminder),
        1 => Just(Moment::TermEnd),
        1 => Just(Moment::BarEnd),
        1 => Just(Moment::ValidFrom),
    ];
    prop_oneof![
        16 => (0..NUMBERS, prop::bool::weighted(0.8), asked, prop::bool::weighted(0.05), commit).prop_map(
            |(number, fitting, (actor, asked), of_another, commit)| {
                Happening::Ask { number, fitting, actor, asked, of_another, commit }
            },
        ),
        1 => (0..20_i64).prop_map(|seconds| Happening::Wait { seconds }),
        2 => (0..NUMBERS, moment, any::<bool>()).prop_map(
            |(number, moment, short_by_a_tick)| Happening::WaitFor { number, moment, short_by_a_tick },
        ),
        1 => (0..TENANTS, prop::bool::weighted(0.2)).prop_map(|(tenant, suspended)| Happening::Standing {
            tenant,
            status: if suspended { TenantStatus::Suspended } else { TenantStatus::Active },
        }),
        1 => (0..TENANTS, prop::sample::select(&Counter::ALL), 0..3_i32)
            .prop_map(|(tenant, counter, limit)| Happening::Limit { tenant, counter, limit }),
    ]
}

fn history() -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(happening(), 1..200)
}

/// Lets it all happen; the place of each happening makes the ids.
fn live(history: &[Happening]) -> World {
    let mut world = World::new();
    for (happening, id) in history.iter().zip(1000_u128..) {
        match happening {
            Happening::Ask { number, fitting, actor, asked, of_another, commit } => {
                let mut from_there = (*number..NUMBERS).chain(0..*number);
                let state_now = |place: usize| world.numbers[place].at(world.now, &world.policy).state;
                let fits = from_there.find(|place| *fitting && asked.is_for(&state_now(*place)));
                let number = fits.unwrap_or(*number);
                let command = command(&world.numbers[number].state, asked, *of_another, id);
                world.ask(number, *actor, &command, *commit);
            }
            Happening::Wait { seconds } => world.now += SignedDuration::from_secs(*seconds),
            Happening::WaitFor { number, moment, short_by_a_tick } => {
                wait_for(&mut world, *number, *moment, *short_by_a_tick);
            }
            Happening::Standing { tenant, status } => {
                world.tenants[*tenant].status = *status;
                world.tenants[*tenant].revision += 1;
            }
            Happening::Limit { tenant, counter, limit } => {
                *world.tenants[*tenant].limits.get_mut(*counter) = *limit;
                world.tenants[*tenant].revision += 1;
            }
        }
    }
    world
}

fn wait_for(world: &mut World, number: usize, moment: Moment, short_by_a_tick: bool) {
    let number = &world.numbers[number];
    let settled = number.at(world.now, &world.policy);
    let moment = match moment {
        Moment::Deadline => settled.state.deadline(),
        Moment::Renewal => settled.state.lease().and_then(|lease| lease.renewal_due_at(&world.policy)),
        Moment::Reminder => settled.state.lease().and_then(|lease| lease.reminder_due_at(&world.policy)),
        Moment::TermEnd => settled.state.lease().map(|lease| lease.effective_until),
        Moment::BarEnd => settled.bars.iter().map(|bar| bar.until).max(),
        Moment::ValidFrom => settled.valid_from,
    };
    if let Some(moment) = moment {
        let moment = if short_by_a_tick { moment - TICK } else { moment };
        world.now = world.now.max(moment);
    }
}

/// The command, about the claim or lease that is there, or about one that never was.
fn command(state: &State, kind: &Asked, of_another: bool, id: u128) -> Command {
    let lease = match state.lease() {
        Some(lease) if !of_another => lease.lease_id,
        Some(_) | None => lease_id(1),
    };
    match kind {
        Asked::Reserve => Command::Reserve { reservation_id: reservation_id(id) },
        Asked::Extend => Command::Extend,
        Asked::Hold => Command::Hold,
        Asked::Release => Command::Release,
        Asked::Lease { term: asked_for, auto_renew, vanity, may_bypass } => Command::Lease {
            lease_id: lease_id(id),
            term: term(asked_for),
            auto_renew: *auto_renew,
            vanity: *vanity,
            may_bypass: *may_bypass,
            price: price(),
        },
        Asked::Recall(reason) => Command::Recall { reason: reason.clone(), stated_actor: None },
        Asked::Suspend => Command::Suspend,
        Asked::Reinstate => Command::Reinstate,
        Asked::UpdateLease { auto_renew, locked } => {
            Command::UpdateLease { lease_id: lease, auto_renew: *auto_renew, locked: *locked }
        }
        Asked::Renew => {
            Command::Renew { lease_id: lease, renewed_lease_id: lease_id(id), price: price(), charge_id: charge_id() }
        }
        Asked::FailRenewal(reason) => Command::FailRenewal { lease_id: lease, reason: *reason },
        Asked::RemindOfGrace => Command::RemindOfGrace { lease_id: lease },
        Asked::Revoke => Command::Revoke { ticket: Some(ticket()) },
        Asked::ExpireReservation => Command::ExpireReservation {
            reservation_id: match state {
                State::Reserved(claim) | State::Held(claim) if !of_another => claim.reservation_id,
                State::Available
                | State::Reserved(_)
                | State::Held(_)
                | State::Leased(_)
                | State::Suspended(_)
                | State::Quarantine(_) => reservation_id(1),
            },
        },
        Asked::ExpireLease => Command::ExpireLease { lease_id: lease },
        Asked::EndQuarantine => Command::EndQuarantine,
        Asked::OverrideQuarantine => Command::OverrideQuarantine { justification: "a wrong recall".into() },
    }
}

proptest! {
    #[test]
    fn every_history_keeps_the_invariants(history in history()) {
        live(&history);
    }
}

#[test]
fn random_histories_meet_every_event_and_every_refusal() {
    let mut runner = TestRunner::deterministic();
    let mut met = BTreeSet::new();
    for _ in 0..300 {
        met.extend(live(&history().new_tree(&mut runner).unwrap().current()).met);
    }
    for name in [
        // Every event.
        "numbering.reservation.held",
        "numbering.reservation.released",
        "numbering.lease.created",
        "numbering.lease.renewed",
        "numbering.lease.renewal_over_quota",
        "numbering.lease.renewal_failed",
        "numbering.lease.grace_reminder",
        "numbering.lease.updated",
        "numbering.lease.suspended",
        "numbering.lease.reinstated",
        "numbering.lease.recalled",
        "numbering.lease.expired",
        "numbering.identifier.quarantined",
        "numbering.identifier.released",
        "numbering.quarantine.overridden",
        // Every refusal that `decide` gives, but for a justification's: those here have one.
        "FORBIDDEN",
        "INVALID_TERM",
        "TENANT_SUSPENDED",
        "OPERATOR_NOT_ALLOWED",
        "NOT_VANITY_ELIGIBLE",
        "QUARANTINE_ACTIVE",
        "NOT_AVAILABLE",
        "RESERVED_BY_OTHER_TENANT",
        "HELD_BY_OTHER_TENANT",
        "ALREADY_LEASED",
        "USE_RECALL_FOR_LEASES",
        "NOT_LEASED",
        "NOT_LEASE_HOLDER",
        "INVALID_STATE",
        "BYPASS_REQUIRED",
        "QUOTA_EXCEEDED",
        "RESERVATION_QUOTA",
        "HOLD_QUOTA",
    ] {
        assert!(met.contains(name), "{name} never came up");
    }
}
