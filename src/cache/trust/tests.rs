//! Without servers: what is heeded, in which order, and what is believed after it.

use numbering_domain::IdentifierClass;
use numbering_domain::lease::{Facts, Snapshot};

use super::*;

const KEEP: Duration = Duration::from_mins(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn number() -> Identifier {
    Identifier::from_canonical(IdentifierClass::ShortCode, "4040")
}

fn kept(version: i64, as_of: i64) -> Kept {
    Kept { snapshot: Snapshot { version, facts: Facts::Unleased }, as_of: at(as_of) }
}

/// Nothing new as of `now`, after a place that was known.
fn quiet(now: i64) -> News {
    News {
        place: Place::parse("1", "10:20:").unwrap(),
        now: at(now),
        changed: Vec::new(),
        inventory_grew: false,
        suspended: HashSet::new(),
        complete: true,
    }
}

fn changed(now: i64, version: i64) -> News {
    News { changed: vec![("4040".to_owned(), version)], ..quiet(now) }
}

/// Followed without a gap since second 0.
fn followed() -> Trust {
    let trust = Trust::new(100, KEEP, &Arc::default());
    trust.learn(BootInstant::now(), News { complete: false, ..quiet(0) });
    trust
}

fn recalled(trust: &Trust) -> Option<i64> {
    match trust.recall("4040", &trust.trusted().unwrap())? {
        Found::Number(kept) => Some(kept.snapshot.version),
        Found::Absent => Some(-1),
    }
}

fn believes(trust: &Trust, version: i64, as_of: i64) -> bool {
    trust.believes(&number(), &kept(version, as_of), &trust.trusted().unwrap())
}

#[test]
fn nothing_is_trusted_before_the_journal_was_read_or_long_after() {
    let trust = Trust::new(100, KEEP, &Arc::default());
    assert!(trust.trusted().is_none());
    trust.learn(BootInstant::now(), quiet(0));
    assert!(trust.trusted().is_some());
    std::thread::sleep(TRUSTED_FOR);
    assert!(trust.trusted().is_none());
}

#[test]
fn the_database_s_clock_goes_on_between_readings_and_is_never_early() {
    let trust = followed();
    let asked_at = BootInstant::now();
    std::thread::sleep(Duration::from_millis(5));
    trust.learn(asked_at, News { suspended: [TenantId::parse("tenant-b").unwrap()].into(), ..quiet(0) });
    let trusted = trust.trusted().unwrap();
    assert!(trusted.now().duration_since(at(0)) >= SignedDuration::from_millis(5));
    assert!(trusted.is_suspended(&TenantId::parse("tenant-b").unwrap()));
    assert!(!trusted.is_suspended(&TenantId::parse("tenant-a").unwrap()));
}

#[test]
fn what_is_older_than_the_journal_was_followed_or_than_it_is_kept_is_not_believed() {
    let trust = followed();
    assert!(!believes(&trust, 1, 0), "it may be of before that");
    assert!(believes(&trust, 1, 1));
    trust.learn(BootInstant::now(), quiet(30));
    trust.remember(&number(), kept(1, 1));
    assert!(believes(&trust, 1, 1) && recalled(&trust) == Some(1));
    trust.learn(BootInstant::now(), quiet(61));
    assert!(!believes(&trust, 1, 1) && recalled(&trust).is_none());
    assert!(!believes(&trust, 1, 130), "of a future that the clock has gone back from");
}

#[test]
fn a_change_is_heeded_wherever_the_older_snapshot_is() {
    let trust = followed();
    trust.learn(BootInstant::now(), quiet(2));
    trust.remember(&number(), kept(4, 1));
    trust.learn(BootInstant::now(), changed(2, 5));
    assert_eq!(recalled(&trust), None, "it was remembered");
    assert!(!believes(&trust, 4, 2), "it is in Redis");
    trust.remember(&number(), kept(4, 2));
    assert_eq!(recalled(&trust), None, "it was on its way");
    trust.remember(&number(), kept(5, 2));
    trust.remember(&number(), kept(4, 2));
    assert_eq!(recalled(&trust), Some(5), "it came late");
    trust.learn(BootInstant::now(), changed(2, 5));
    assert_eq!(recalled(&trust), Some(5), "what it tells of is known");
}

#[test]
fn a_gap_in_the_journal_gives_up_all_that_was_cached_before() {
    let trust = followed();
    trust.learn(BootInstant::now(), quiet(2));
    trust.remember(&number(), kept(4, 1));
    trust.remember_absent(&Identifier::from_canonical(IdentifierClass::ShortCode, "5050"), at(1), trust.inventory());
    trust.learn(BootInstant::now(), News { complete: false, ..quiet(10) });
    assert_eq!(recalled(&trust), None);
    assert!(trust.recall("5050", &trust.trusted().unwrap()).is_none());
    assert!(!believes(&trust, 4, 9) && believes(&trust, 4, 11));
    trust.remember(&number(), kept(4, 9));
    assert_eq!(recalled(&trust), None, "what was looked up before the gap came late");
    trust.learn(BootInstant::now(), quiet(11));
    assert!(!believes(&trust, 4, 9), "and it stays so");
}

#[test]
fn what_is_absent_is_so_until_the_inventory_grows() {
    let trust = followed();
    trust.learn(BootInstant::now(), quiet(2));
    let before = trust.inventory();
    trust.remember_absent(&number(), at(1), before);
    assert_eq!(recalled(&trust), Some(-1));
    trust.learn(BootInstant::now(), News { inventory_grew: true, ..quiet(2) });
    assert_eq!(recalled(&trust), None);
    trust.remember_absent(&number(), at(2), before);
    assert_eq!(recalled(&trust), None, "it was looked up before the inventory grew");
    trust.remember_absent(&number(), at(1), trust.inventory());
    assert_eq!(recalled(&trust), Some(-1));
    trust.inventory_grew();
    assert_eq!(recalled(&trust), None, "this replica's own import");
    trust.remember_absent(&number(), at(1), trust.inventory());
    trust.learn(BootInstant::now(), quiet(61));
    assert_eq!(recalled(&trust), None, "it is asked for again in time");
}

#[test]
fn memory_is_bounded_and_made_up_numbers_push_out_none_that_is_used() {
    let trust = followed();
    trust.learn(BootInstant::now(), quiet(2));
    trust.remember(&number(), kept(1, 1));
    for n in 0..200_000 {
        let made_up = Identifier::from_canonical(IdentifierClass::Msisdn, &format!("+93{n:09}"));
        trust.remember_absent(&made_up, at(1), trust.inventory());
    }
    // That may have taken longer than the journal's word is trusted.
    trust.learn(BootInstant::now(), quiet(2));
    assert_eq!(recalled(&trust), Some(1));
    for n in 0..1_000 {
        let other = Identifier::from_canonical(IdentifierClass::Msisdn, &format!("+93{n:09}"));
        trust.remember(&other, kept(1, 1));
    }
    assert!(trust.local.len() <= 100 + 65_536, "{}", trust.local.len());
}
