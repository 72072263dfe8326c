//! Where several refusals apply, the order is the contract's: permission, malformed input, unknown number, tenant
//! suspended, state of the number, quotas. Each command's possible refusals are listed in that order, and every subset of
//! them must be answered with its first.

use numbering_domain::event::RenewalFailure;
use numbering_domain::lease::Lease;
use numbering_domain::number::{Bar, EndedBy, Number, State};
use numbering_domain::{
    Acting, Command, IdentifierClass, Policy, RecallReason, TenantStanding, TenantStatus, Term, decide,
};

use crate::given::{
    LEASE, charge_id, claim, days, each, lease, lease_id, minutes, now, number, operator, price, reservation_id, rest,
    standing, tenant, term, ticket,
};

/// The contract's order. What it does not name stands with what it is most like: the allowlist is the tenant's standing,
/// eligibility and the bypass are asked of the number as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Permission,
    Input,
    Standing,
    State,
    Quota,
}

/// A question that nothing speaks against yet.
#[derive(Clone)]
struct Scene {
    number: Number,
    standing: TenantStanding,
    by_authority: bool,
    command: Command,
}

/// One thing that speaks against it.
struct Cause {
    rank: Rank,
    code: &'static str,
    arrange: fn(&mut Scene),
}

const fn cause(rank: Rank, code: &'static str, arrange: fn(&mut Scene)) -> Cause {
    Cause { rank, code, arrange }
}

fn scene(state: State, command: Command) -> Scene {
    Scene {
        number: Number { vanity_eligible: true, ..number(IdentifierClass::Msisdn, state) },
        standing: standing("tenant-a"),
        by_authority: false,
        command,
    }
}

fn by_admin(state: State, command: Command) -> Scene {
    Scene { by_authority: true, ..scene(state, command) }
}

/// Decides every subset of the causes.
fn check(clear: &Scene, causes: &[Cause]) {
    assert!(causes.is_sorted_by_key(|cause| cause.rank), "not the contract's order");
    for subset in 0..1_usize << causes.len() {
        let mut scene = clear.clone();
        let chosen: Vec<_> =
            causes.iter().enumerate().filter(|(place, _)| subset >> place & 1 == 1).map(|(_, cause)| cause).collect();
        for cause in &chosen {
            (cause.arrange)(&mut scene);
        }
        let acting = if scene.by_authority { Acting::Authority } else { Acting::Tenant(&scene.standing) };
        let refused = decide(&scene.number, acting, &scene.command, &Policy::default(), now()).err();
        let codes: Vec<_> = chosen.iter().map(|cause| cause.code).collect();
        let found = refused.as_ref().map(numbering_domain::Rejection::code);
        assert_eq!(found, codes.first().copied(), "{:?} with {codes:?}", scene.command);
    }
}

const NO_TENANT: Cause = cause(Rank::Permission, "FORBIDDEN", |scene| scene.by_authority = true);
const NOT_ADMIN: Cause = cause(Rank::Permission, "FORBIDDEN", |scene| scene.by_authority = false);
const SUSPENDED: Cause =
    cause(Rank::Standing, "TENANT_SUSPENDED", |scene| scene.standing.status = TenantStatus::Suspended);
const OPERATOR: Cause = cause(Rank::Standing, "OPERATOR_NOT_ALLOWED", |scene| {
    scene.standing.operator_allowlist = Some([operator("roshan")].into());
});
const VANITY_TERM: Cause = cause(Rank::Input, "INVALID_TERM", |scene| as_vanity(scene, Some(term("2y"))));
const NOT_ELIGIBLE: Cause = cause(Rank::State, "NOT_VANITY_ELIGIBLE", |scene| {
    scene.number.vanity_eligible = false;
    as_vanity(scene, None);
});
const RESTING: Cause = cause(Rank::State, "QUARANTINE_ACTIVE", |scene| {
    scene.number.state = State::Quarantine(rest(EndedBy::Recall, now() + days(1)));
});
const LEASED: Cause = cause(Rank::State, "ALREADY_LEASED", |scene| {
    scene.number.state = State::Leased(lease("tenant-b", now() + days(1)));
});
const NOT_AVAILABLE: Cause =
    cause(Rank::State, "NOT_AVAILABLE", |scene| scene.number.state = State::Leased(lease("tenant-a", now() + days(1))));
const HELD_BY_OTHER: Cause = cause(Rank::State, "HELD_BY_OTHER_TENANT", |scene| {
    scene.number.state = State::Held(claim("tenant-b", now() + minutes(1)));
});
const RESERVED_BY_OTHER: Cause = cause(Rank::State, "RESERVED_BY_OTHER_TENANT", |scene| {
    scene.number.state = State::Reserved(claim("tenant-b", now() + minutes(1)));
});
const AT_ITS_CEILING: Cause = cause(Rank::State, "INVALID_STATE", |scene| {
    if let State::Reserved(claim) = &mut scene.number.state {
        claim.since = claim.expires_at - minutes(60);
    }
});
const BARRED: Cause = cause(Rank::State, "QUARANTINE_ACTIVE", |scene| {
    scene.number.bars = vec![Bar { tenant: tenant("tenant-a"), until: now() + days(1) }];
});
const NOT_YET_VALID: Cause =
    cause(Rank::State, "NOT_AVAILABLE", |scene| scene.number.valid_from = Some(now() + days(1)));
const NO_BYPASS: Cause = cause(Rank::State, "BYPASS_REQUIRED", |scene| {
    if let Command::Lease { may_bypass, .. } = &mut scene.command {
        *may_bypass = false;
    }
});
const RESERVATION_QUOTA: Cause = cause(Rank::Quota, "RESERVATION_QUOTA", |scene| scene.standing.limits = each(1));
const HOLD_QUOTA: Cause = cause(Rank::Quota, "HOLD_QUOTA", |scene| scene.standing.limits = each(1));
const LEASE_QUOTA: Cause = cause(Rank::Quota, "QUOTA_EXCEEDED", |scene| scene.standing.limits = each(1));
const NOT_LEASED: Cause = cause(Rank::State, "NOT_LEASED", |scene| scene.number.state = State::Available);
const OTHERS_LEASE: Cause = cause(Rank::State, "NOT_LEASE_HOLDER", |scene| scene.standing.tenant = tenant("tenant-c"));
const LOCKED: Cause = cause(Rank::State, "INVALID_STATE", |scene| {
    if let State::Leased(lease) | State::Suspended(lease) = &mut scene.number.state {
        lease.locked = true;
    }
});
const STALE_LEASE: Cause = cause(Rank::State, "INVALID_STATE", |scene| {
    if let Command::UpdateLease { lease_id: named, .. }
    | Command::Renew { lease_id: named, .. }
    | Command::FailRenewal { lease_id: named, .. }
    | Command::RemindOfGrace { lease_id: named } = &mut scene.command
    {
        *named = lease_id(1);
    }
});

fn as_vanity(scene: &mut Scene, other_term: Option<Term>) {
    if let Command::Lease { vanity, term, .. } = &mut scene.command {
        *vanity = true;
        *term = other_term.unwrap_or(*term);
    }
}

fn own_lease() -> Lease {
    lease("tenant-a", now() + days(3))
}

fn to_lease() -> Command {
    Command::Lease {
        lease_id: lease_id(99),
        term: term("1y"),
        auto_renew: false,
        vanity: false,
        may_bypass: true,
        price: price(),
    }
}

#[test]
fn refusals_of_reserve_come_in_order() {
    let reserve = Command::Reserve { reservation_id: reservation_id(99) };
    let available = scene(State::Available, reserve);
    check(&available, &[NO_TENANT, SUSPENDED, OPERATOR, BARRED, NOT_YET_VALID, RESERVATION_QUOTA]);
    check(&available, &[NO_TENANT, SUSPENDED, OPERATOR, NOT_AVAILABLE, RESERVATION_QUOTA]);
    check(&available, &[NO_TENANT, SUSPENDED, OPERATOR, RESTING, BARRED, NOT_YET_VALID, RESERVATION_QUOTA]);
}

#[test]
fn refusals_of_hold_come_in_order() {
    let reserved = scene(State::Reserved(claim("tenant-a", now() + minutes(1))), Command::Hold);
    for state in [RESERVED_BY_OTHER, HELD_BY_OTHER, LEASED, RESTING] {
        check(&reserved, &[NO_TENANT, SUSPENDED, OPERATOR, state, HOLD_QUOTA]);
    }
}

#[test]
fn refusals_of_extend_come_in_order_and_ask_for_no_quota() {
    let mut reserved = scene(State::Reserved(claim("tenant-a", now() + minutes(1))), Command::Extend);
    reserved.standing.limits = each(0);
    for state in [RESERVED_BY_OTHER, HELD_BY_OTHER, LEASED, RESTING, AT_ITS_CEILING] {
        check(&reserved, &[NO_TENANT, SUSPENDED, OPERATOR, state]);
    }
}

#[test]
fn refusals_of_lease_come_in_order() {
    let available = scene(State::Available, to_lease());
    check(
        &available,
        &[NO_TENANT, VANITY_TERM, SUSPENDED, OPERATOR, NOT_ELIGIBLE, BARRED, NOT_YET_VALID, NO_BYPASS, LEASE_QUOTA],
    );
    for state in [RESERVED_BY_OTHER, HELD_BY_OTHER, LEASED, RESTING] {
        check(&available, &[NO_TENANT, VANITY_TERM, SUSPENDED, OPERATOR, NOT_ELIGIBLE, state, NO_BYPASS, LEASE_QUOTA]);
    }
}

#[test]
fn refusals_of_release_come_in_order_and_a_suspended_tenant_may_let_go() {
    let mut held = scene(State::Held(claim("tenant-a", now() + minutes(1))), Command::Release);
    held.standing.status = TenantStatus::Suspended;
    check(&held, &[NO_TENANT, cause(Rank::State, "HELD_BY_OTHER_TENANT", HELD_BY_OTHER.arrange)]);
    check(&held, &[NO_TENANT, cause(Rank::State, "USE_RECALL_FOR_LEASES", LEASED.arrange)]);
}

#[test]
fn refusals_of_recall_come_in_order_and_a_suspended_tenant_may_give_back() {
    let mut own = scene(
        State::Leased(own_lease()),
        Command::Recall { reason: RecallReason::TenantInitiated(None), stated_actor: None },
    );
    own.standing.status = TenantStatus::Suspended;
    let for_abuse = cause(Rank::Permission, "FORBIDDEN", |scene| {
        scene.command = Command::Recall { reason: RecallReason::Abuse(ticket()), stated_actor: None };
    });
    check(&own, &[for_abuse, NOT_LEASED, OTHERS_LEASE, LOCKED]);
}

#[test]
fn refusals_of_what_admins_do_come_in_order() {
    let no_reason = cause(Rank::Input, "JUSTIFICATION_REQUIRED", |scene| {
        scene.command = Command::OverrideQuarantine { justification: " \n".into() };
    });
    let not_resting = cause(Rank::State, "INVALID_STATE", NOT_LEASED.arrange);
    let overriding = Command::OverrideQuarantine { justification: "a wrong recall".into() };
    let resting = State::Quarantine(rest(EndedBy::Recall, now() + days(1)));
    check(&by_admin(resting, overriding), &[NOT_ADMIN, no_reason, not_resting]);
    check(&by_admin(State::Leased(own_lease()), Command::Suspend), &[NOT_ADMIN, NOT_LEASED]);
    check(&by_admin(State::Suspended(own_lease()), Command::Reinstate), &[NOT_ADMIN, NOT_LEASED]);
    let held = State::Held(claim("tenant-a", now() + minutes(1)));
    check(
        &by_admin(held, Command::Revoke { ticket: Some(ticket()) }),
        &[NOT_ADMIN, cause(Rank::State, "INVALID_STATE", LEASED.arrange)],
    );
}

#[test]
fn refusals_of_renewal_come_in_order() {
    let renewal = Command::Renew {
        lease_id: lease_id(LEASE),
        renewed_lease_id: lease_id(99),
        price: price(),
        charge_id: charge_id(),
    };
    check(&scene(State::Leased(own_lease()), renewal), &[NO_TENANT, SUSPENDED, NOT_LEASED, OTHERS_LEASE, STALE_LEASE]);
    let failing = Command::FailRenewal { lease_id: lease_id(LEASE), reason: RenewalFailure::BillingRejected };
    check(&by_admin(State::Leased(own_lease()), failing), &[NOT_ADMIN, NOT_LEASED, STALE_LEASE]);
    let in_grace = Lease { ends_at: now() + days(13), ..lease("tenant-a", now() - days(1)) };
    let reminding = Command::RemindOfGrace { lease_id: lease_id(LEASE) };
    check(&by_admin(State::Leased(in_grace), reminding), &[NOT_ADMIN, NOT_LEASED, STALE_LEASE]);
    let switch = Command::UpdateLease { lease_id: lease_id(LEASE), auto_renew: Some(false), locked: None };
    check(&scene(State::Leased(own_lease()), switch), &[NOT_LEASED, OTHERS_LEASE, STALE_LEASE]);
}

#[test]
fn a_recall_by_the_regulator_or_for_abuse_needs_its_ticket() {
    for word in RecallReason::WORDS {
        let needs_ticket = matches!(word, "REGULATOR_ORDER" | "ABUSE");
        let without = RecallReason::parse(word, None).unwrap();
        assert_eq!(without.err().map(|refused| refused.code()), needs_ticket.then_some("TICKET_REQUIRED"), "{word}");
        let with = RecallReason::parse(word, Some(ticket())).unwrap().unwrap();
        assert_eq!((with.as_str(), with.ticket()), (word, Some(&ticket())));
    }
    assert_eq!(RecallReason::parse("BECAUSE", Some(ticket())), None);
}
