//! `state_table.md` against `decide`: every cell is looked up by situation, command and actor, so that a situation or
//! command without its cells fails, and a new [`State`] or [`Command`] does not compile before it has a place here.

use std::collections::{BTreeMap, BTreeSet};

use numbering_domain::event::RenewalFailure;
use numbering_domain::lease::Lease;
use numbering_domain::number::{Bar, EndedBy, Number, Reservation, State};
use numbering_domain::{Acting, Command, IdentifierClass, Policy, RecallReason, Rejection, Transition, decide};

use crate::given::{
    LEASE, RESERVATION, charge_id, claim, days, lease, lease_id, minutes, now, number, price, reservation_id, rest,
    standing, tenant, term, ticket,
};

const TABLE: &str = include_str!("state_table.md");
const OWN: &str = "tenant-a";
const OTHER: &str = "tenant-b";

/// The rows' headings, each with the number it speaks of. A deadline that is past is past since this very moment.
fn situations() -> Vec<(&'static str, Number)> {
    let (soon, later) = (now() + minutes(5), now() + days(20));
    let msisdn = |state| number(IdentifierClass::Msisdn, state);
    let alpha = |effective_until| number(IdentifierClass::Alpha, State::Leased(lease(OWN, effective_until)));
    let barred = |until| Number { bars: vec![Bar { tenant: tenant(OWN), until }], ..msisdn(State::Available) };
    let resting = |ended_by, available_at| Number {
        bars: vec![Bar { tenant: tenant(OWN), until: available_at }],
        ..msisdn(State::Quarantine(rest(ended_by, available_at)))
    };
    let without_renewal = Lease { auto_renew: false, ..lease(OWN, now() + days(7)) };
    let in_grace = Lease { vanity: true, term: term("1y"), ends_at: now() + days(13), ..lease(OWN, now() - days(1)) };
    vec![
        ("AVAILABLE", msisdn(State::Available)),
        ("AVAILABLE, its own tenant barred", barred(later)),
        ("AVAILABLE, the bar being over", barred(now())),
        ("AVAILABLE from a later date", Number { valid_from: Some(later), ..msisdn(State::Available) }),
        ("RESERVED", msisdn(State::Reserved(claim(OWN, soon)))),
        (
            "RESERVED up to its ceiling",
            msisdn(State::Reserved(Reservation { since: soon - minutes(60), ..claim(OWN, soon) })),
        ),
        ("RESERVED past expiresAt", msisdn(State::Reserved(claim(OWN, now())))),
        ("HELD", msisdn(State::Held(claim(OWN, soon)))),
        ("HELD past expiresAt", msisdn(State::Held(claim(OWN, now())))),
        ("LEASED, its renewal window to come", msisdn(State::Leased(lease(OWN, later)))),
        ("LEASED in its renewal window", msisdn(State::Leased(lease(OWN, now() + days(7))))),
        ("LEASED in its renewal window without autoRenew", msisdn(State::Leased(without_renewal))),
        ("LEASED and locked", msisdn(State::Leased(Lease { locked: true, ..lease(OWN, later) }))),
        ("LEASED as vanity, in grace", number(IdentifierClass::ShortCode, State::Leased(in_grace))),
        ("LEASED without a cool-down", alpha(later)),
        ("LEASED past its end", msisdn(State::Leased(lease(OWN, now())))),
        ("LEASED past its end and its cool-down", msisdn(State::Leased(lease(OWN, now() - days(90))))),
        ("LEASED without a cool-down, past its end", alpha(now())),
        ("SUSPENDED", msisdn(State::Suspended(lease(OWN, now() + days(3))))),
        ("SUSPENDED past its end", msisdn(State::Suspended(lease(OWN, now())))),
        ("QUARANTINE after a recall", resting(EndedBy::Recall, later)),
        ("QUARANTINE after an expiry", resting(EndedBy::Expiry, later)),
        ("QUARANTINE after a recall, past availableAt", resting(EndedBy::Recall, now())),
        ("QUARANTINE after an expiry, past availableAt", resting(EndedBy::Expiry, now())),
    ]
}

/// The lines of each situation.
fn commands() -> Vec<(&'static str, Command)> {
    let lease = |may_bypass| Command::Lease {
        lease_id: lease_id(99),
        term: term("30d"),
        auto_renew: true,
        vanity: false,
        may_bypass,
        price: price(),
    };
    vec![
        ("reserve", Command::Reserve { reservation_id: reservation_id(99) }),
        ("extend", Command::Extend),
        ("hold", Command::Hold),
        ("release", Command::Release),
        ("lease", lease(false)),
        ("lease with bypass", lease(true)),
        (
            "recall as TENANT_INITIATED",
            Command::Recall { reason: RecallReason::TenantInitiated(None), stated_actor: None },
        ),
        (
            "recall as REGULATOR_ORDER",
            Command::Recall { reason: RecallReason::RegulatorOrder(ticket()), stated_actor: None },
        ),
        ("suspend", Command::Suspend),
        ("reinstate", Command::Reinstate),
        ("set auto-renew", Command::UpdateLease { lease_id: lease_id(LEASE), auto_renew: Some(true), locked: None }),
        (
            "renew",
            Command::Renew {
                lease_id: lease_id(LEASE),
                renewed_lease_id: lease_id(99),
                price: price(),
                charge_id: charge_id(),
            },
        ),
        ("fail renewal", Command::FailRenewal { lease_id: lease_id(LEASE), reason: RenewalFailure::BillingRejected }),
        ("remind of grace", Command::RemindOfGrace { lease_id: lease_id(LEASE) }),
        ("revoke", Command::Revoke { ticket: Some(ticket()) }),
        ("expire reservation", Command::ExpireReservation { reservation_id: reservation_id(RESERVATION) }),
        ("expire another reservation", Command::ExpireReservation { reservation_id: reservation_id(1) }),
        ("expire lease", Command::ExpireLease { lease_id: lease_id(LEASE) }),
        ("expire another lease", Command::ExpireLease { lease_id: lease_id(1) }),
        ("end quarantine", Command::EndQuarantine),
        ("override quarantine", Command::OverrideQuarantine { justification: "returned by mistake".into() }),
    ]
}

/// A new state breaks this, and then misses its place in [`situations`].
const STATES: usize = 6;
const fn place_of_state(state: &State) -> usize {
    match state {
        State::Available => 0,
        State::Reserved(_) => 1,
        State::Held(_) => 2,
        State::Leased(_) => 3,
        State::Suspended(_) => 4,
        State::Quarantine(_) => 5,
    }
}

/// A new command breaks this, and then misses its place in [`commands`].
const COMMANDS: usize = 17;
const fn place_of_command(command: &Command) -> usize {
    match command {
        Command::Reserve { .. } => 0,
        Command::Hold => 1,
        Command::Release => 2,
        Command::Lease { .. } => 3,
        Command::Recall { .. } => 4,
        Command::Suspend => 5,
        Command::Reinstate => 6,
        Command::UpdateLease { .. } => 7,
        Command::Renew { .. } => 8,
        Command::ExpireReservation { .. } => 9,
        Command::ExpireLease { .. } => 10,
        Command::EndQuarantine => 11,
        Command::OverrideQuarantine { .. } => 12,
        Command::FailRenewal { .. } => 13,
        Command::RemindOfGrace { .. } => 14,
        Command::Revoke { .. } => 15,
        Command::Extend => 16,
    }
}

/// What the table says of one situation.
struct Block {
    state_now: &'static str,
    by_time: &'static str,
    cells: BTreeMap<&'static str, [&'static str; 3]>,
}

fn read_table() -> BTreeMap<&'static str, Block> {
    let mut blocks = BTreeMap::new();
    for text in TABLE.split("\n## ").skip(1) {
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let heading = lines.next().unwrap();
        let (state_now, by_time) = {
            let fact = lines.next().unwrap().strip_prefix("Now: ").unwrap();
            fact.split_once(", by ").unwrap_or((fact, ""))
        };
        assert_eq!(cells_of(lines.next().unwrap()), ["command", "own tenant", "another tenant", "authority"]);
        assert!(lines.next().unwrap().starts_with("| --"));
        let mut cells = BTreeMap::new();
        for line in lines {
            let [command, own, other, authority] = cells_of(line);
            let twice = cells.insert(command, [own, other, authority]);
            assert!(twice.is_none(), "{heading}: {command} stands there twice");
        }
        let twice = blocks.insert(heading, Block { state_now, by_time, cells });
        assert!(twice.is_none(), "{heading} stands there twice");
    }
    blocks
}

fn cells_of(line: &'static str) -> [&'static str; 4] {
    let inner = line.strip_prefix('|').and_then(|rest| rest.strip_suffix('|')).unwrap();
    let cells: Vec<_> = inner.split('|').map(str::trim).collect();
    cells.try_into().unwrap_or_else(|cells| panic!("four cells, not {cells:?}"))
}

/// The outcome in the table's words, and the events that time alone came to before.
fn outcome(decided: Result<&Transition, &Rejection>, by_time: usize) -> (String, String) {
    let transition = match decided {
        Err(rejection) => return (rejection.code().to_owned(), String::new()),
        Ok(transition) => transition,
    };
    let events: Vec<_> =
        transition.steps.iter().map(|step| step.event.type_name().strip_prefix("numbering.").unwrap()).collect();
    let (before, added) = events.split_at(by_time.min(events.len()));
    let state = transition.after.state.name().as_str();
    let separator = if added.is_empty() { "" } else { ": " };
    (format!("→ {state}{separator}{}", added.join(", ")), before.join(", "))
}

#[test]
fn the_table_and_the_tests_speak_of_the_same_situations_and_commands() {
    let blocks = read_table();
    let headings: BTreeSet<_> = situations().into_iter().map(|(heading, _)| heading).collect();
    assert_eq!(blocks.keys().copied().collect::<BTreeSet<_>>(), headings);
    let lines: BTreeSet<_> = commands().into_iter().map(|(line, _)| line).collect();
    for (heading, block) in &blocks {
        assert_eq!(block.cells.keys().copied().collect::<BTreeSet<_>>(), lines, "{heading}");
    }
}

#[test]
fn every_state_and_every_command_has_its_place_in_the_table() {
    let states: BTreeSet<_> = situations().iter().map(|(_, number)| place_of_state(&number.state)).collect();
    assert_eq!(states, (0..STATES).collect());
    let asked: BTreeSet<_> = commands().iter().map(|(_, command)| place_of_command(command)).collect();
    assert_eq!(asked, (0..COMMANDS).collect());
}

#[test]
fn decide_does_in_every_state_what_the_table_says() {
    let (own, other) = (standing(OWN), standing(OTHER));
    let actors = [Acting::Tenant(&own), Acting::Tenant(&other), Acting::Authority];
    let blocks = read_table();
    let mut wrong = Vec::new();
    for (heading, number) in situations() {
        let block = &blocks[heading];
        assert_eq!(number.at(now(), &Policy::default()).state.name().as_str(), block.state_now, "{heading}");
        let by_time = if block.by_time.is_empty() { 0 } else { block.by_time.split(", ").count() };
        for (line, command) in commands() {
            for (acting, cell) in actors.into_iter().zip(block.cells[line]) {
                let decided = decide(&number, acting, &command, &Policy::default(), now());
                let (found, passed) = outcome(decided.as_ref(), by_time);
                if found != cell || (decided.is_ok() && passed != block.by_time) {
                    wrong.push(format!("{heading} × {line}: {cell} is expected, {passed} {found} was decided"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_refusal_that_rests_on_the_state_tells_the_state_of_this_moment() {
    let (own, other) = (standing(OWN), standing(OTHER));
    let blocks = read_table();
    for (heading, number) in situations() {
        for (line, command) in commands() {
            for acting in [Acting::Tenant(&own), Acting::Tenant(&other), Acting::Authority] {
                let decided = decide(&number, acting, &command, &Policy::default(), now());
                let Err(rejection) = decided else { continue };
                match (rejection.state(), rejection.code()) {
                    (Some(state), _) => assert_eq!(state.as_str(), blocks[heading].state_now, "{heading} × {line}"),
                    (None, code) => assert_eq!(code, "FORBIDDEN", "{heading} × {line}"),
                }
            }
        }
    }
}
