//! The stories' criteria that turn on a moment or an amount: to the very instant, with the facts that are told.

use jiff::{SignedDuration, Timestamp};
use numbering_domain::event::Event;
use numbering_domain::lease::{Lease, Snapshot, Verdict, validate};
use numbering_domain::number::{Bar, EndedBy, Number, State};
use numbering_domain::transition::Transition;
use numbering_domain::{
    Acting, Command, Counter, IdentifierClass, Policy, RecallReason, Rejection, StateName, TenantStanding, decide,
};

use crate::given::{
    LEASE, charge_id, claim, days, each, lease, lease_id, minutes, now, number, price, reservation_id, rest, standing,
    tenant, term, ticket,
};
use crate::world::TICK;

fn by(standing: &TenantStanding, number: &Number, command: &Command, at: Timestamp) -> Result<Transition, Rejection> {
    decide(number, Acting::Tenant(standing), command, &Policy::default(), at)
}

fn by_authority(number: &Number, command: &Command, at: Timestamp) -> Transition {
    decide(number, Acting::Authority, command, &Policy::default(), at).unwrap()
}

fn reserve() -> Command {
    Command::Reserve { reservation_id: reservation_id(99) }
}

fn lease_for(text: &str, auto_renew: bool, vanity: bool) -> Command {
    let (lease_id, term) = (lease_id(99), term(text));
    Command::Lease { lease_id, term, auto_renew, vanity, may_bypass: true, price: price() }
}

fn renew() -> Command {
    Command::Renew { lease_id: lease_id(LEASE), renewed_lease_id: lease_id(99), price: price(), charge_id: charge_id() }
}

fn msisdn(state: State) -> Number {
    number(IdentifierClass::Msisdn, state)
}

/// A vanity lease of `tenant-a`, to be renewed, with 14 days of grace.
fn vanity(effective_until: Timestamp) -> Lease {
    let term = term("1y");
    Lease { vanity: true, term, ends_at: effective_until + days(14), ..lease("tenant-a", effective_until) }
}

#[test]
fn a_reservation_lasts_15_minutes_and_a_hold_24_hours() {
    let a = standing("tenant-a");
    let reserved = by(&a, &msisdn(State::Available), &reserve(), now()).unwrap().after;
    assert_eq!(reserved.state.deadline(), Some(now() + SignedDuration::from_secs(900)));
    let held = by(&a, &reserved, &Command::Hold, now() + minutes(10)).unwrap().after;
    assert_eq!(held.state.deadline(), Some(now() + minutes(10) + SignedDuration::from_secs(86_400)));
    assert!(by(&a, &reserved, &Command::Hold, now() + minutes(15) - TICK).is_ok());
    assert_eq!(
        by(&a, &reserved, &Command::Hold, now() + minutes(15)),
        Err(Rejection::InvalidState { state: StateName::Available })
    );
}

#[test]
fn a_reservation_is_extended_by_15_minutes_from_its_end_and_lasts_an_hour_at_most() {
    let a = standing("tenant-a");
    let mut reserved = by(&a, &msisdn(State::Available), &reserve(), now()).unwrap().after;
    for (at, until) in [(10, 30), (10, 45), (44, 60)] {
        let extended = by(&a, &reserved, &Command::Extend, now() + minutes(at)).unwrap();
        assert!(extended.usage.is_empty());
        assert_eq!(extended.commit_before, reserved.state.deadline());
        reserved = extended.after;
        assert_eq!(reserved.state.deadline(), Some(now() + minutes(until)));
    }
    let refused = Err(Rejection::ReservationCeiling { state: StateName::Reserved });
    assert_eq!(by(&a, &reserved, &Command::Extend, now() + minutes(59)), refused);
    // An old notice frees nothing before the new end.
    let expire = Command::ExpireReservation { reservation_id: reservation_id(99) };
    let early = decide(&reserved, Acting::Authority, &expire, &Policy::default(), now() + minutes(60) - TICK);
    assert_eq!(early, Err(Rejection::InvalidState { state: StateName::Reserved }));
    assert!(decide(&reserved, Acting::Authority, &expire, &Policy::default(), now() + minutes(60)).is_ok());
    // What is left of an hour is given, and no more.
    let policy = Policy { reservation_ceiling: minutes(20), ..Policy::default() };
    let reserved = decide(&msisdn(State::Available), Acting::Tenant(&a), &reserve(), &policy, now()).unwrap().after;
    let extended = decide(&reserved, Acting::Tenant(&a), &Command::Extend, &policy, now()).unwrap().after;
    assert_eq!(extended.state.deadline(), Some(now() + minutes(20)));
    // As a hold it lasts as long as any.
    let held = by(&a, &extended, &Command::Hold, now() + minutes(19)).unwrap().after;
    assert_eq!(held.state.deadline(), Some(now() + minutes(19) + SignedDuration::from_hours(24)));
}

#[test]
fn a_lease_is_effective_from_now_for_its_term() {
    let leased = by(&standing("tenant-a"), &msisdn(State::Available), &lease_for("6m", true, false), now()).unwrap();
    let lease = leased.after.state.lease().unwrap();
    assert_eq!((lease.effective_from, lease.effective_until), (now(), "2026-12-01T12:00:00Z".parse().unwrap()));
    assert_eq!((lease.ends_at, lease.auto_renew, lease.prior_lease_id), (lease.effective_until, true, None));
}

#[test]
fn the_cool_down_is_90_days_30_days_none_and_365_days_for_vanity_after_recall_and_expiry_alike() {
    for (class, vanity, rests) in [
        (IdentifierClass::Msisdn, false, 90),
        (IdentifierClass::ShortCode, false, 30),
        (IdentifierClass::Alpha, false, 0),
        (IdentifierClass::ShortCode, true, 365),
        (IdentifierClass::Alpha, true, 365),
    ] {
        let leased = number(class, State::Leased(Lease { vanity, ..lease("tenant-a", now() + days(1)) }));
        let recall = Command::Recall { reason: RecallReason::RegulatorOrder(ticket()), stated_actor: None };
        let expire = Command::ExpireLease { lease_id: lease_id(LEASE) };
        for (command, at) in [(recall, now()), (expire, now() + days(1))] {
            let after = by_authority(&leased, &command, at).after;
            let available_at = (rests > 0).then_some(at + days(rests));
            assert_eq!(after.state.deadline(), available_at, "{class} {command:?}");
            assert_eq!(after.barred_until(&tenant("tenant-a"), at), available_at, "{class} {command:?}");
        }
    }
}

#[test]
fn a_recall_passes_recalled_in_the_same_commit() {
    for (class, then) in
        [(IdentifierClass::Msisdn, StateName::Quarantine), (IdentifierClass::Alpha, StateName::Available)]
    {
        let leased = number(class, State::Leased(lease("tenant-a", now() + days(1))));
        let recall = Command::Recall { reason: RecallReason::Abuse(ticket()), stated_actor: None };
        let recalled = by_authority(&leased, &recall, now());
        let states: Vec<_> = recalled.steps.iter().map(|step| step.state).collect();
        assert_eq!(states, [StateName::Recalled, then]);
        let Event::LeaseRecalled { reason, ticket: told, .. } = &recalled.steps[0].event else { panic!() };
        assert_eq!((*reason, told), ("ABUSE", &Some(ticket())));
    }
}

#[test]
fn a_quarantine_ends_at_the_instant_it_was_said_to() {
    let resting = msisdn(State::Quarantine(rest(EndedBy::Recall, now())));
    let refused = by(&standing("tenant-b"), &resting, &reserve(), now() - TICK);
    assert_eq!(refused, Err(Rejection::QuarantineActive { state: StateName::Quarantine, available_at: now() }));
    assert!(by(&standing("tenant-b"), &resting, &reserve(), now()).is_ok());
}

#[test]
fn an_override_does_not_let_the_tenant_back_before_the_original_available_at() {
    let leased = msisdn(State::Leased(lease("tenant-a", now() + days(1))));
    let recall = Command::Recall { reason: RecallReason::TenantInitiated(None), stated_actor: None };
    let recalled = by(&standing("tenant-a"), &leased, &recall, now()).unwrap().after;
    let overriding = Command::OverrideQuarantine { justification: "a wrong recall".into() };
    let overridden = by_authority(&recalled, &overriding, now() + days(1)).after;
    let available_at = now() + days(90);
    let refused = Rejection::QuarantineActive { state: StateName::Available, available_at };
    for command in [reserve(), lease_for("30d", false, false)] {
        assert_eq!(by(&standing("tenant-a"), &overridden, &command, available_at - TICK), Err(refused.clone()));
        assert!(by(&standing("tenant-a"), &overridden, &command, available_at).is_ok());
        assert!(by(&standing("tenant-b"), &overridden, &command, now() + days(1)).is_ok());
    }
}

#[test]
fn a_bar_that_outlasts_the_rest_is_what_its_tenant_is_told() {
    let mut resting = msisdn(State::Quarantine(rest(EndedBy::Recall, now() + days(30))));
    resting.bars = vec![Bar { tenant: tenant("tenant-a"), until: now() + days(300) }];
    for command in [reserve(), Command::Hold, lease_for("30d", false, false)] {
        for (id, available_at) in [("tenant-a", now() + days(300)), ("tenant-b", now() + days(30))] {
            let refused = Rejection::QuarantineActive { state: StateName::Quarantine, available_at };
            assert_eq!(by(&standing(id), &resting, &command, now()), Err(refused));
        }
    }
}

#[test]
fn a_number_is_not_offered_before_its_valid_from() {
    let coming = Number { valid_from: Some(now()), ..msisdn(State::Available) };
    let refused = by(&standing("tenant-a"), &coming, &reserve(), now() - TICK);
    assert_eq!(refused, Err(Rejection::NotYetValid { state: StateName::Available, valid_from: now() }));
    assert!(by(&standing("tenant-a"), &coming, &reserve(), now()).is_ok());
}

#[test]
fn at_quota_the_refusal_tells_quota_and_use_and_a_lowered_quota_takes_nothing_away() {
    for (limit, used) in [(0, 0), (1, 1), (1, 3)] {
        let a = TenantStanding { limits: each(limit), used: each(used), ..standing("tenant-a") };
        let reserved = msisdn(State::Reserved(claim("tenant-a", now() + minutes(1))));
        let (quota, current) = (limit, used);
        assert_eq!(
            by(&a, &msisdn(State::Available), &reserve(), now()),
            Err(Rejection::ReservationQuota { quota, current })
        );
        assert_eq!(by(&a, &reserved, &Command::Hold, now()), Err(Rejection::HoldQuota { quota, current }));
        for class in IdentifierClass::ALL {
            let available = number(class, State::Available);
            let refused = by(&a, &available, &lease_for("30d", false, false), now());
            assert_eq!(refused, Err(Rejection::QuotaExceeded { class, quota, current }));
        }
        assert!(by(&a, &reserved, &Command::Release, now()).is_ok());
    }
}

#[test]
fn a_claim_of_ones_own_that_has_run_out_on_this_number_makes_room_for_the_next() {
    let a = TenantStanding { limits: each(1), ..standing("tenant-a") };
    let run_out = msisdn(State::Reserved(claim("tenant-a", now())));
    let again = by(&a, &run_out, &reserve(), now()).unwrap();
    assert!(again.usage.is_empty(), "one ended, one began");
    let leased = by(&a, &msisdn(State::Held(claim("tenant-b", now()))), &lease_for("30d", false, false), now());
    assert_eq!(leased, Err(Rejection::QuotaExceeded { class: IdentifierClass::Msisdn, quota: 1, current: 1 }));
    let taken_over = by(&a, &msisdn(State::Held(claim("tenant-b", now()))), &reserve(), now());
    assert_eq!(taken_over, Err(Rejection::ReservationQuota { quota: 1, current: 1 }));
}

#[test]
fn what_a_transition_counts_is_net_and_by_tenant() {
    let taken_over = by(&standing("tenant-a"), &msisdn(State::Held(claim("tenant-b", now()))), &reserve(), now());
    let usage: Vec<_> = taken_over.unwrap().usage.into_iter().collect();
    assert_eq!(usage, [((tenant("tenant-a"), Counter::Reservations), 1), ((tenant("tenant-b"), Counter::Holds), -1)]);
}

#[test]
fn a_renewal_goes_on_without_a_gap_under_another_id_from_seven_days_before_the_end() {
    let leased = msisdn(State::Leased(lease("tenant-a", now() + days(7))));
    let a = standing("tenant-a");
    assert_eq!(by(&a, &leased, &renew(), now() - TICK), Err(Rejection::InvalidState { state: StateName::Leased }));
    let renewed = by(&a, &leased, &renew(), now()).unwrap();
    let next = renewed.after.state.lease().unwrap();
    assert_eq!((next.lease_id, next.prior_lease_id), (lease_id(99), Some(lease_id(LEASE))));
    assert_eq!((next.effective_from, next.effective_until), (now() + days(7), now() + days(37)));
    assert!(renewed.usage.is_empty());
}

#[test]
fn a_renewal_over_todays_quota_is_grandfathered_with_a_warning() {
    let leased = msisdn(State::Leased(lease("tenant-a", now() + days(1))));
    for (limit, warns) in [(2, false), (1, true)] {
        let a = TenantStanding { limits: each(limit), used: each(2), ..standing("tenant-a") };
        let renewed = by(&a, &leased, &renew(), now()).unwrap();
        let warning = renewed.steps.iter().find_map(|step| match step.event {
            Event::LeaseRenewalOverQuota { lease_id, quota, current, .. } => Some((lease_id, quota, current)),
            _ => None,
        });
        assert_eq!(warning, warns.then_some((lease_id(99), limit, 2)));
    }
}

#[test]
fn a_vanity_lease_that_was_not_renewed_is_good_for_14_days_more() {
    let a = standing("tenant-a");
    let code = Number { vanity_eligible: true, ..number(IdentifierClass::ShortCode, State::Available) };
    for (auto_renew, grace) in [(true, days(14)), (false, SignedDuration::ZERO)] {
        let leased = by(&a, &code, &lease_for("1y", auto_renew, true), now()).unwrap().after;
        let end: Timestamp = "2027-06-01T12:00:00Z".parse::<Timestamp>().unwrap() + grace;
        let valid =
            |at| matches!(validate(&Snapshot::from(&leased), a.tenant.as_str(), false, at), Verdict::Valid { .. });
        assert!(valid(end - TICK) && !valid(end));
        assert_eq!(leased.state.deadline(), Some(end));
    }
}

#[test]
fn renewal_in_grace_starts_where_the_term_ended() {
    let in_grace = number(IdentifierClass::ShortCode, State::Leased(vanity(now() - days(13))));
    let renewed = by(&standing("tenant-a"), &in_grace, &renew(), now()).unwrap().after;
    assert_eq!(renewed.state.lease().unwrap().effective_from, now() - days(13));
}

#[test]
fn switching_automatic_renewal_off_forgoes_the_grace_but_does_not_end_one_that_has_begun() {
    for (effective_until, ends_at) in [
        (now() + days(1), now() + days(1)),
        (now() + TICK, now() + TICK),
        (now(), now() + days(14)),
        (now() - days(13), now() + days(1)),
    ] {
        let leased = number(IdentifierClass::ShortCode, State::Leased(vanity(effective_until)));
        let off = Command::UpdateLease { lease_id: lease_id(LEASE), auto_renew: Some(false), locked: None };
        let switched = by(&standing("tenant-a"), &leased, &off, now()).unwrap().after;
        assert_eq!(switched.state.deadline(), Some(ends_at));
        let on = Command::UpdateLease { lease_id: lease_id(LEASE), auto_renew: Some(true), locked: None };
        let again = by(&standing("tenant-a"), &switched, &on, now()).unwrap().after;
        assert_eq!(again.state, leased.state);
    }
}
