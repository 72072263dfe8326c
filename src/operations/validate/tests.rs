//! The criteria of US-NUM-002 on real servers, some of them frozen or dead.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::lease::{Facts, Refusal, Snapshot, Verdict};
use numbering_domain::{Identifier, IdentifierClass, LeaseId};
use tokio::time::Instant;

use super::redis_reads::{ASKED_MOST, QUESTION_COST};
use super::testing::{Bench, directory, eventually};
use super::{Answer, Layer, Question, Unavailable};
use crate::devstack::Home;

const MSISDN: &str = "+93701234567";

fn refused(refusal: Refusal) -> Verdict {
    Verdict::Refused(refusal)
}

fn valid() -> Verdict {
    Verdict::Valid {
        lease_id: LeaseId("01900000-0000-7000-8000-000000000001".parse().unwrap()),
        until: "2100-01-01T00:00:00Z".parse().unwrap(),
    }
}

/// Every reason there is, by identifier and tenant.
fn table() -> Vec<(&'static str, &'static str, Verdict)> {
    vec![
        (MSISDN, "tenant-a", valid()),
        (MSISDN, "tenant-b", refused(Refusal::WrongTenant)),
        (MSISDN, "tenant-nobody-knows", refused(Refusal::WrongTenant)),
        (MSISDN, "", refused(Refusal::WrongTenant)),
        (MSISDN, "no tenant can be called so", refused(Refusal::WrongTenant)),
        ("+93709999999", "tenant-a", refused(Refusal::NotRegistered)),
        ("+93709999999", "", refused(Refusal::NotRegistered)),
        ("+9370123456", "tenant-a", refused(Refusal::InvalidIdentifier)),
        ("119", "tenant-a", refused(Refusal::InvalidIdentifier)),
        ("", "", refused(Refusal::InvalidIdentifier)),
        ("free", "tenant-a", refused(Refusal::NotLeased)),
        ("Reserved", "tenant-a", refused(Refusal::NotLeased)),
        ("Rested", "tenant-a", refused(Refusal::NotLeased)),
        ("Recalled", "tenant-a", refused(Refusal::LeaseRecalled)),
        ("Recalled", "", refused(Refusal::LeaseRecalled)),
        ("Expired", "tenant-a", refused(Refusal::LeaseExpired)),
        ("Overdue", "tenant-a", refused(Refusal::LeaseExpired)),
        ("Overdue", "tenant-b", refused(Refusal::LeaseExpired)),
        ("Paused", "tenant-a", refused(Refusal::LeaseSuspended)),
        ("Paused", "tenant-b", refused(Refusal::WrongTenant)),
        ("Paused", "", refused(Refusal::WrongTenant)),
        ("Barred", "tenant-b", refused(Refusal::TenantSuspended)),
        ("Barred", "tenant-a", refused(Refusal::WrongTenant)),
    ]
}

fn msisdn() -> Identifier {
    Identifier::from_canonical(IdentifierClass::Msisdn, MSISDN)
}

impl Bench {
    async fn ask(&self, identifier: &str, tenant: &str) -> Result<Answer, Unavailable> {
        self.validation.validate(identifier, tenant).await
    }

    async fn layer(&self) -> Layer {
        self.ask(MSISDN, "tenant-a").await.unwrap().layer
    }

    async fn until_remembered(&self) {
        eventually("it is told from memory", async || self.layer().await == Layer::Process).await;
    }

    /// A number of which nobody has heard, for which every cache is asked in vain.
    async fn ask_for_a_new_one(&self, n: usize) -> Answer {
        self.ask(&format!("+93799{n:06}"), "tenant-a").await.unwrap()
    }

    async fn is_in_redis(&self, identifier: &Identifier) -> bool {
        self.cache.snapshots().get(identifier).await.is_some()
    }

    fn now(&self) -> Timestamp {
        self.trusted().unwrap().now()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reason_is_told_the_same_by_each_layer() {
    let bench = Bench::start().await;
    let questions: Vec<Question<'_>> =
        table().iter().map(|&(identifier, tenant, _)| Question { identifier, tenant }).collect();
    let first = bench.validation.validate_many(&questions).await.unwrap();
    for ((identifier, tenant, verdict), answer) in table().into_iter().zip(first) {
        assert_eq!(answer.verdict, verdict, "{identifier:?} {tenant:?}");
        assert_ne!(answer.layer, Layer::Redis, "nothing was cached");
    }
    for (identifier, tenant, verdict) in table() {
        let needs_none = verdict == refused(Refusal::InvalidIdentifier);
        let layer = if needs_none { Layer::None } else { Layer::Process };
        eventually("it is told from memory", async || {
            let answer = bench.ask(identifier, tenant).await.unwrap();
            assert_eq!(answer.verdict, verdict, "{identifier:?} {tenant:?}");
            answer.layer == layer
        })
        .await;
    }
    eventually("what was looked up is in Redis", async || bench.is_in_redis(&msisdn()).await).await;
    let second = bench.other.validate_many(&questions).await.unwrap();
    for ((identifier, tenant, verdict), answer) in table().into_iter().zip(second) {
        let layer = match verdict {
            Verdict::Refused(Refusal::InvalidIdentifier) => Layer::None,
            // Whether it has come into the inventory since, Redis does not know.
            Verdict::Refused(Refusal::NotRegistered) => Layer::Postgres,
            _ => Layer::Redis,
        };
        assert_eq!(answer, Answer { verdict, layer }, "{identifier:?} {tenant:?}");
    }
    let other = &bench.other;
    eventually("what Redis had is remembered", async || {
        other.validate(MSISDN, "tenant-a").await.unwrap().layer == Layer::Process
    })
    .await;
    let text = bench.metrics.encode();
    assert!(text.contains(r#"numbering_validation_duration_seconds_count{layer="process",verdict="VALID"}"#), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_frozen_or_dead_postgresql_answers_and_nobody_waits() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.layer().await, Layer::Postgres);
    let absent = Answer { verdict: refused(Refusal::NotRegistered), layer: Layer::Postgres };

    bench.redis.freeze();
    let frozen_at = Instant::now();
    for n in 0..20 {
        let asked_at = Instant::now();
        assert_eq!(bench.ask_for_a_new_one(n).await, absent);
        assert!(asked_at.elapsed() < Duration::from_millis(400), "one call's limit, and PostgreSQL");
        bench.until_remembered().await;
    }
    assert!(!bench.cache.snapshots().link().is_up(), "the breaker has opened");
    assert!(frozen_at.elapsed() < Duration::from_secs(2), "and then nobody waits: {:?}", frozen_at.elapsed());
    assert!(bench.metrics.encode().contains(r#"numbering_redis_up{database="snapshots"} 0"#));

    bench.redis.thaw();
    eventually("a probe has found Redis again", async || bench.cache.snapshots().link().is_up()).await;

    bench.redis.kill().await;
    for n in 20..40 {
        assert_eq!(bench.ask_for_a_new_one(n).await, absent);
    }
    bench.redis.start().await.unwrap();
    eventually("it is connected again", async || bench.cache.snapshots().link().is_up()).await;
    let free = Identifier::from_canonical(IdentifierClass::Alpha, "FREE");
    assert_eq!(bench.ask("free", "tenant-a").await.unwrap().layer, Layer::Postgres);
    eventually("an empty Redis is filled again", async || bench.is_in_redis(&free).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgresql_frozen_nothing_is_guessed() {
    let directory = directory();
    let (postgres, bench) = Bench::start_private(&Home::open(directory.path()).unwrap()).await;
    assert_eq!(bench.layer().await, Layer::Postgres);
    bench.until_remembered().await;
    postgres.freeze();
    eventually("caches are trusted no more", async || bench.trusted().is_none()).await;
    let asked_at = Instant::now();
    assert_eq!(bench.ask(MSISDN, "tenant-a").await, Err(Unavailable::Database));
    assert_eq!(
        bench.ask("bad", "tenant-a").await,
        Err(Unavailable::Database),
        "whether it is registered nobody can say"
    );
    assert!(asked_at.elapsed() < Duration::from_secs(3), "{:?}", asked_at.elapsed());
    assert_eq!(
        bench.ask("119", "tenant-a").await.map(|answer| answer.verdict),
        Ok(refused(Refusal::InvalidIdentifier)),
        "this needs no facts"
    );
    postgres.thaw();
    eventually("it answers again", async || bench.ask(MSISDN, "tenant-a").await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_tenant_is_refused_within_a_second_though_its_leases_are_cached() {
    let bench = Bench::start().await;
    bench.layer().await;
    for (status, verdict) in [("SUSPENDED", refused(Refusal::TenantSuspended)), ("ACTIVE", valid())] {
        let change = "UPDATE numbering.tenants SET status = $1 WHERE tenant_id = 'tenant-a'";
        bench.superuser.execute(change, &[&status]).await.unwrap();
        let changed_at = Instant::now();
        eventually(status, async || bench.ask(MSISDN, "tenant-a").await.unwrap().verdict == verdict).await;
        assert!(changed_at.elapsed() < Duration::from_secs(1), "{:?}", changed_at.elapsed());
        bench.until_remembered().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_from_before_a_change_does_not_undo_it() {
    let bench = Bench::start().await;
    bench.layer().await;
    eventually("the lease is in Redis", async || bench.is_in_redis(&msisdn()).await).await;
    let snapshots = bench.cache.snapshots();
    let before = snapshots.get(&msisdn()).await.unwrap();
    let after = Snapshot { version: before.snapshot.version + 1, facts: Facts::Unleased };
    snapshots.put(&msisdn(), &after, bench.now()).await.unwrap();
    snapshots.put(&msisdn(), &before.snapshot, bench.now()).await.unwrap();
    let answer = bench.other.validate(MSISDN, "tenant-a").await.unwrap();
    assert_eq!(answer, Answer { verdict: refused(Refusal::NotLeased), layer: Layer::Redis });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_misses_at_once_share_a_few_queries() {
    let bench = Bench::start().await;
    let queries = async || {
        let counted =
            "SELECT coalesce(sum(xact_commit), 0)::bigint FROM pg_stat_database WHERE datname = current_database()";
        bench.superuser.query_one(counted, &[]).await.unwrap().get::<_, i64>(0)
    };
    let before = queries().await;
    let asked: Vec<_> = (0..1000)
        .map(|n| {
            let validation = bench.validation.clone();
            tokio::spawn(async move { validation.validate(&format!("+93700{n:06}"), "tenant-a").await })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().unwrap().verdict, refused(Refusal::NotRegistered));
    }
    // The counts come in about once a second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let made = queries().await - before;
    assert!(made < 200, "{made} transactions for 1000 misses");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_those_who_look_up_at_once_is_told_of_its_own_numbers() {
    let bench = Bench::start().await;
    let plan = &bench.validation.plan;
    let identifiers: Vec<Identifier> = table()
        .into_iter()
        .filter_map(|(identifier, _, _)| {
            let (class, key) = plan.canonical(identifier).ok()?;
            Some(Identifier::from_canonical(class, &key))
        })
        .collect();
    let mut alone = Vec::new();
    for identifier in &identifiers {
        alone.push(bench.validation.postgres.load(vec![identifier.clone()]).await.unwrap().remove(0).snapshot);
    }
    let asked = (0..400).map(|turn| {
        // One, two or three, in any order, the same more than once.
        let places: Vec<usize> = (0..=turn % 3).map(|place| (turn * 7 + place * 5) % identifiers.len()).collect();
        let (validation, identifiers) = (Arc::clone(&bench.validation), identifiers.clone());
        tokio::spawn(async move {
            let some = places.iter().map(|place| identifiers[*place].clone()).collect();
            let found = validation.postgres.load(some).await.unwrap();
            (places, found)
        })
    });
    for told in asked.collect::<Vec<_>>() {
        let (places, found) = told.await.unwrap();
        assert_eq!(found.len(), places.len());
        for (place, found) in places.into_iter().zip(found) {
            assert_eq!(found.snapshot, alone[place], "{:?}", identifiers[place]);
        }
    }
}

/// What is asked of many at once, and how it is told that there is no room.
impl Bench {
    fn shed(&self) -> u64 {
        self.metrics.validations_shed.get()
    }

    async fn ask_many(&self, identifiers: &[&str]) -> Result<Vec<Layer>, Unavailable> {
        let questions: Vec<Question<'_>> =
            identifiers.iter().map(|identifier| Question { identifier, tenant: "tenant-a" }).collect();
        let answers = self.validation.validate_many(&questions).await?;
        Ok(answers.into_iter().map(|answer| answer.layer).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_more_can_be_looked_up_what_is_remembered_is_answered_and_the_rest_refused() {
    let mut bench = Bench::start().await;
    bench.layer().await;
    bench.until_remembered().await;
    bench.redis.kill().await;
    eventually("Redis is known to be away", async || !bench.cache.snapshots().link().is_up()).await;
    let full = bench.validation.postgres.room.take(usize::MAX / 2).unwrap();
    assert_eq!(bench.ask_many(&[MSISDN, "119", MSISDN]).await, Ok(vec![Layer::Process, Layer::None, Layer::Process]));
    assert_eq!(bench.shed(), 0);
    let missing = ["+93700000001", "+93700000002", "+93700000003"];
    assert_eq!(bench.ask_many(&[&[MSISDN], missing.as_slice()].concat()).await, Err(Unavailable::Overloaded));
    assert_eq!(bench.shed(), 1, "a call is counted once");
    assert_eq!(bench.ask(missing[0], "tenant-a").await, Err(Unavailable::Overloaded));
    assert_eq!(bench.shed(), 2);
    assert!(bench.validation.is_full());
    let ahead = |identifier| bench.validation.look_ahead(&Question { identifier, tenant: "tenant-a" });
    assert_eq!([ahead(MSISDN), ahead("119"), ahead(missing[0])], [Ok(()), Ok(()), Err(Unavailable::Overloaded)]);
    assert_eq!(bench.shed(), 3);
    drop(full);
    assert_eq!(ahead(missing[0]), Ok(()), "there is room again");
    assert_eq!(bench.ask_many(&missing).await, Ok(vec![Layer::Postgres; 3]));
    assert_eq!(bench.shed(), 3);
    eventually("the room is given back", async || bench.validation.postgres.room.taken() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_knows_is_answered_though_postgresql_has_no_room_and_too_much_for_redis_is_refused() {
    let mut bench = Bench::start().await;
    bench.ask_many(&[MSISDN, "free", "Paused"]).await.unwrap();
    for key in ["FREE", "PAUSED"] {
        let alpha = Identifier::from_canonical(IdentifierClass::Alpha, key);
        eventually("it is in Redis", async || bench.is_in_redis(&alpha).await).await;
    }
    let other = Arc::clone(&bench.other);
    let layer = async |identifier| other.validate(identifier, "tenant-a").await.map(|answer| answer.layer);
    let shed = || other.metrics.validations_shed.get();

    let full = other.postgres.room.take(usize::MAX / 2).unwrap();
    let questions = ["free", "nobody"].map(|identifier| Question { identifier, tenant: "tenant-a" });
    assert_eq!(other.validate_many(&questions).await, Err(Unavailable::Overloaded), "one of them nobody can look up");
    assert_eq!(shed(), 1);
    assert_eq!(layer("free").await, Ok(Layer::Process), "Redis has told of it all the same");
    drop(full);

    let full = other.redis.room.take(usize::MAX / 2).unwrap();
    assert_eq!(layer("Paused").await, Err(Unavailable::Overloaded), "PostgreSQL has no time for what Redis knows");
    let questions = ["free", "Paused"].map(|identifier| Question { identifier, tenant: "tenant-a" });
    assert_eq!(other.validate_many(&questions).await, Err(Unavailable::Overloaded));
    assert_eq!(shed(), 3);
    assert_eq!(layer("free").await, Ok(Layer::Process));
    bench.redis.kill().await;
    eventually("Redis is known to be away", async || layer("Paused").await == Ok(Layer::Postgres)).await;
    drop(full);

    bench.redis.start().await.unwrap();
    eventually("Redis is back", async || other.cache.snapshots().link().is_up()).await;
    eventually("caches are trusted", async || other.trust().trusted().is_some()).await;
    assert_eq!(layer(MSISDN).await, Ok(Layer::Postgres), "it came back empty");
    assert_eq!(other.redis.room.taken(), 0);
    eventually("the room is given back", async || other.postgres.room.taken() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_a_turn_at_redis_and_take_room_for_each_identifier_once() {
    let bench = Bench::start().await;
    let validation = &bench.validation;
    let busy = validation.redis.turns.acquire_many(u32::try_from(ASKED_MOST).unwrap()).await.unwrap();
    let asked: Vec<_> = (0..40)
        .map(|_| {
            let validation = Arc::clone(validation);
            tokio::spawn(async move {
                let question = Question { identifier: "free", tenant: "tenant-a" };
                validation.validate_many(&vec![question; 1_000]).await
            })
        })
        .collect();
    let waiting = |calls: usize| validation.redis.room.taken() == calls * (QUESTION_COST + 1);
    eventually("all wait", async || waiting(40)).await;
    asked[0].abort();
    eventually("who has gone waits no more", async || waiting(39)).await;
    drop(busy);
    for answers in asked.into_iter().skip(1) {
        let answers = answers.await.unwrap().expect("there is room");
        assert_eq!(answers.len(), 1_000);
        assert!(answers.iter().all(|answer| answer.verdict == refused(Refusal::NotLeased)));
    }
    eventually("all have had their turn", async || {
        waiting(0) && validation.redis.turns.available_permits() == ASKED_MOST
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_for_a_frozen_redis_go_on_to_postgresql() {
    let bench = Bench::start().await;
    bench.redis.freeze();
    let frozen_at = Instant::now();
    let asked: Vec<_> = (0..1_000)
        .map(|n| {
            let validation = Arc::clone(&bench.validation);
            tokio::spawn(async move { validation.validate(&format!("+93700{n:06}"), "tenant-a").await })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().map(|answer| answer.layer), Ok(Layer::Postgres));
    }
    // Each turn ends after the 100 ms that a call has here, and at the second the breaker opens.
    assert!(frozen_at.elapsed() < Duration::from_secs(3), "{:?}", frozen_at.elapsed());
    assert!(!bench.cache.snapshots().link().is_up());
    assert_eq!(bench.validation.redis.room.taken(), 0);
    bench.redis.thaw();
}
