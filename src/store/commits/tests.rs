//! On a real PostgreSQL: what many want at once is committed together, and nobody suffers from it.

mod plans;

use std::time::Duration;

use numbering_domain::{
    Acting, Command, Identifier, IdentifierClass, Policy, ReservationId, TenantId, TicketId, decide,
};
use tokio::sync::oneshot::Receiver;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::*;
use crate::store::StoreSettings;
use crate::store::idempotency::Claimed;
use crate::store::testing::TestDatabase;

const PATIENCE: Duration = Duration::from_secs(10);

struct Bench {
    store: Store,
    queues: Arc<Queues>,
    superuser: Client,
    url: String,
    superuser_url: String,
}

type Fate = Receiver<Result<bool, StoreError>>;

impl Bench {
    /// With short codes 4000 to 4019, AVAILABLE, and two tenants that may each reserve three.
    async fn start() -> Self {
        let database = TestDatabase::make().await;
        let superuser = database.superuser().await;
        superuser
            .batch_execute(
                "INSERT INTO numbering.tenants (
                    tenant_id, plan, limit_msisdn, limit_short_code, limit_alpha, limit_reservations, limit_holds)
                 VALUES ('tenant-a', 'starter', 9, 9, 9, 3, 9), ('tenant-b', 'starter', 9, 9, 9, 3, 9);
                 INSERT INTO numbering.numbers (identifier, identifier_class, shown)
                 SELECT v::text, 'SHORT_CODE', v::text FROM generate_series(4000, 4019) AS v",
            )
            .await
            .unwrap();
        let url = database.stack.databases().app_url(&database.name);
        let superuser_url = database.stack.databases().superuser_url(&database.name);
        let store = Store::new(&StoreSettings {
            url: url.clone(),
            pool_size: 4,
            acquire_timeout: PATIENCE,
            connect_timeout: PATIENCE,
            lock_timeout: PATIENCE,
            statement_timeout: PATIENCE,
        })
        .unwrap();
        Self { queues: Arc::new(Queues::new(&store)), store, superuser, url, superuser_url }
    }

    /// Decides on the rows as they are.
    async fn decided(&self, number: &str, tenant: &str, command: &Command) -> Transition {
        let identifier = Identifier::from_canonical(IdentifierClass::ShortCode, number);
        let tenant = TenantId::parse(tenant).unwrap();
        let loaded = self.store.load(&identifier, Some(&tenant), false).await.unwrap();
        let standing = loaded.standing.unwrap();
        decide(&loaded.number.unwrap(), Acting::Tenant(&standing), command, &Policy::default(), loaded.now).unwrap()
    }

    async fn reserve(&self, number: &str, tenant: &str) -> Wanted {
        let command = Command::Reserve { reservation_id: ReservationId(Uuid::now_v7()) };
        wanted(self.decided(number, tenant, &command).await, &format!("request-{number}-{tenant}"))
    }

    async fn text(&self, sql: &str) -> String {
        self.superuser.query_one(sql, &[]).await.unwrap().get::<_, Option<String>>(0).unwrap_or_default()
    }

    async fn state(&self, number: &str) -> String {
        self.text(&format!("SELECT state FROM numbering.numbers WHERE identifier = '{number}'")).await
    }
}

fn wanted(transition: Transition, request: &str) -> Wanted {
    let origin = Origin { actor: format!("actor of {request}"), request_id: request.to_owned() };
    Wanted { transition, origin, answered: None }
}

/// All in one batch.
fn at_once(bench: &Bench, wanted: Vec<Wanted>) -> Vec<Fate> {
    let (wants, fates) = wanted.into_iter().map(Waiting::new).unzip();
    tokio::spawn(pass(bench.store.clone(), Arc::clone(&bench.queues), wants));
    fates
}

/// As soon as the lane comes to it, before anything that is sent later.
async fn alone(bench: &Bench, wanted: Wanted) -> Fate {
    let (want, fate) = Waiting::new(wanted);
    pass(bench.store.clone(), Arc::clone(&bench.queues), vec![want]).await;
    fate
}

async fn is_open(fate: &mut Fate) -> bool {
    tokio::time::timeout(Duration::from_millis(100), fate).await.is_err()
}

async fn of(fate: Fate) -> Result<bool, StoreError> {
    tokio::time::timeout(PATIENCE * 2, fate).await.expect("it is answered").unwrap()
}

async fn all_of(fates: Vec<Fate>) -> Vec<bool> {
    let mut moved = Vec::new();
    for fate in fates {
        moved.push(of(fate).await.unwrap());
    }
    moved
}

/// Has a step twice, which PostgreSQL refuses.
fn make_bad(wanted: &mut Wanted) {
    let twice = wanted.transition.steps[0].clone();
    wanted.transition.steps.push(twice);
}

#[tokio::test]
async fn what_many_want_is_one_transaction_and_each_change_tells_who_asked_for_it() {
    let bench = Bench::start().await;
    let mut wants = Vec::new();
    for (number, tenant) in [("4000", "tenant-a"), ("4001", "tenant-b"), ("4002", "tenant-a")] {
        wants.push(bench.reserve(number, tenant).await);
    }
    assert_eq!(all_of(at_once(&bench, wants)).await, [true; 3]);
    let journal = "SELECT string_agg(concat_ws(' ', subject, tenant_id, actor, request_id), ', ' ORDER BY subject)
                       || '; transactions: ' || count(DISTINCT xid::text)
                   FROM numbering.journal WHERE subject_kind = 'number'";
    assert_eq!(
        bench.text(journal).await,
        "4000 tenant-a actor of request-4000-tenant-a request-4000-tenant-a, \
         4001 tenant-b actor of request-4001-tenant-b request-4001-tenant-b, \
         4002 tenant-a actor of request-4002-tenant-a request-4002-tenant-a; transactions: 1"
    );
    let used = "SELECT string_agg(used_reservations::text, ' ' ORDER BY tenant_id) FROM numbering.tenants";
    assert_eq!(bench.text(used).await, "2 1");
}

#[tokio::test]
async fn who_needs_a_row_that_another_has_locked_keeps_nobody_else_waiting() {
    let bench = Bench::start().await;
    for lock in [
        "SELECT FROM numbering.numbers WHERE identifier = '4000' FOR UPDATE",
        "SELECT FROM numbering.tenants WHERE tenant_id = 'tenant-a' FOR UPDATE",
    ] {
        let free = if lock.contains("numbers") { "4001" } else { "4002" };
        let waiting = if lock.contains("numbers") { "4000" } else { "4003" };
        let (waits, moves) = (bench.reserve(waiting, "tenant-a").await, bench.reserve(free, "tenant-b").await);
        bench.superuser.batch_execute(&format!("BEGIN; {lock}")).await.unwrap();
        let mut fates = at_once(&bench, vec![waits, moves]);
        assert!(of(fates.pop().unwrap()).await.unwrap(), "{lock}");
        let mut waits = fates.pop().unwrap();
        assert!(is_open(&mut waits).await, "{lock}");
        bench.superuser.batch_execute("COMMIT").await.unwrap();
        assert!(of(waits).await.unwrap(), "{lock}");
        assert_eq!([bench.state(waiting).await, bench.state(free).await], ["RESERVED", "RESERVED"]);
    }
}

#[tokio::test]
async fn however_many_want_a_locked_number_they_wait_over_one_connection() {
    let bench = Bench::start().await;
    let mut wants = Vec::new();
    for turn in 0..8 {
        wants.push(bench.reserve("4000", if turn % 2 == 0 { "tenant-a" } else { "tenant-b" }).await);
    }
    let beside = bench.reserve("4001", "tenant-b").await;
    bench
        .superuser
        .batch_execute("BEGIN; SELECT FROM numbering.numbers WHERE identifier = '4000' FOR UPDATE")
        .await
        .unwrap();
    let mut fates = Vec::new();
    for want in wants {
        fates.push(alone(&bench, want).await);
    }
    assert!(of(alone(&bench, beside).await).await.unwrap(), "four connections are enough");
    for fate in &mut fates {
        assert!(is_open(fate).await);
    }
    bench.superuser.batch_execute("COMMIT").await.unwrap();
    assert_eq!(all_of(fates).await, [true, false, false, false, false, false, false, false]);
}

#[tokio::test]
async fn what_a_tenant_wants_while_its_row_is_waited_for_goes_in_one_statement_when_it_is_had() {
    let bench = Bench::start().await;
    let first = bench.reserve("4000", "tenant-a").await;
    let (second, third) = (bench.reserve("4001", "tenant-a").await, bench.reserve("4002", "tenant-a").await);
    let lock = "BEGIN; SELECT FROM numbering.tenants WHERE tenant_id = 'tenant-a' FOR UPDATE";
    bench.superuser.batch_execute(lock).await.unwrap();
    let mut first = alone(&bench, first).await;
    assert!(is_open(&mut first).await, "its statement waits");
    let fates = vec![first, alone(&bench, second).await, alone(&bench, third).await];
    bench.superuser.batch_execute("COMMIT").await.unwrap();
    assert_eq!(all_of(fates).await, [true; 3]);
    let transactions = "SELECT string_agg(subject, ' ' ORDER BY subject) FROM numbering.journal
                        WHERE subject_kind = 'number' GROUP BY xid ORDER BY min(seq) DESC LIMIT 1";
    assert_eq!(bench.text(transactions).await, "4001 4002");
}

#[tokio::test]
async fn who_waits_for_a_tenant_waits_for_no_number_of_it() {
    let bench = Bench::start().await;
    let (locked, free) = (bench.reserve("4000", "tenant-a").await, bench.reserve("4001", "tenant-a").await);
    let (other, connection) = tokio_postgres::connect(&bench.superuser_url, NoTls).await.unwrap();
    tokio::spawn(connection);
    bench
        .superuser
        .batch_execute("BEGIN; SELECT FROM numbering.tenants WHERE tenant_id = 'tenant-a' FOR UPDATE")
        .await
        .unwrap();
    // The queue's statement does not begin, and lock the number, before the other has it.
    let no_turn = bench.queues.turns.acquire_many(2).await.unwrap();
    let (first, second) = (alone(&bench, locked).await, alone(&bench, free).await);
    other.batch_execute("BEGIN; SELECT FROM numbering.numbers WHERE identifier = '4000' FOR UPDATE").await.unwrap();
    drop(no_turn);
    bench.superuser.batch_execute("COMMIT").await.unwrap();
    assert!(of(second).await.unwrap());
    let mut first = first;
    assert!(is_open(&mut first).await);
    other.batch_execute("COMMIT").await.unwrap();
    assert!(of(first).await.unwrap());
}

#[tokio::test]
async fn who_is_hindered_beside_one_who_is_refused_waits_all_the_same() {
    let bench = Bench::start().await;
    let (waits, mut bad) = (bench.reserve("4000", "tenant-a").await, bench.reserve("4001", "tenant-b").await);
    make_bad(&mut bad);
    bench
        .superuser
        .batch_execute("BEGIN; SELECT FROM numbering.numbers WHERE identifier = '4000' FOR UPDATE")
        .await
        .unwrap();
    let mut fates = at_once(&bench, vec![waits, bad]);
    assert!(of(fates.pop().unwrap()).await.unwrap_err().is_refusal());
    let mut waits = fates.pop().unwrap();
    assert!(is_open(&mut waits).await);
    bench.superuser.batch_execute("COMMIT").await.unwrap();
    assert!(of(waits).await.unwrap());
}

#[tokio::test]
async fn nothing_is_committed_for_one_who_went_while_others_were_waited_for() {
    let bench = Bench::start().await;
    let (first, second) = (bench.reserve("4000", "tenant-a").await, bench.reserve("4001", "tenant-a").await);
    let last = bench.reserve("4002", "tenant-a").await;
    let lock = "BEGIN; SELECT FROM numbering.tenants WHERE tenant_id = 'tenant-a' FOR UPDATE";
    bench.superuser.batch_execute(lock).await.unwrap();
    let first = alone(&bench, first).await;
    drop(alone(&bench, second).await);
    let last = alone(&bench, last).await;
    bench.superuser.batch_execute("COMMIT").await.unwrap();
    assert_eq!(all_of(vec![first, last]).await, [true, true]);
    assert_eq!(bench.state("4001").await, "AVAILABLE");
}

#[tokio::test]
async fn a_lock_that_does_not_come_is_told_to_those_who_wait_for_it() {
    let bench = Bench::start().await;
    let impatient = StoreSettings {
        url: bench.url.clone(),
        pool_size: 4,
        acquire_timeout: PATIENCE,
        connect_timeout: PATIENCE,
        lock_timeout: Duration::from_millis(300),
        statement_timeout: PATIENCE,
    };
    let store = Store::new(&impatient).unwrap();
    let bench = Bench { queues: Arc::new(Queues::new(&store)), store, ..bench };
    let (first, second) = (bench.reserve("4000", "tenant-a").await, bench.reserve("4001", "tenant-a").await);
    let lock = "BEGIN; SELECT FROM numbering.tenants WHERE tenant_id = 'tenant-a' FOR UPDATE";
    bench.superuser.batch_execute(lock).await.unwrap();
    for fate in at_once(&bench, vec![first, second]) {
        let late = of(fate).await.unwrap_err();
        assert!(late.is_lock_timeout() && late.is_unavailable(), "{late}");
    }
    bench.superuser.batch_execute("COMMIT").await.unwrap();
    let again = bench.reserve("4000", "tenant-a").await;
    assert_eq!(all_of(at_once(&bench, vec![again])).await, [true], "the queue is no more");
}

#[tokio::test]
async fn whoever_wants_what_has_moved_on_since_is_told_with_the_first() {
    let bench = Bench::start().await;
    let (stale, also_stale) = (bench.reserve("4000", "tenant-a").await, bench.reserve("4000", "tenant-b").await);
    let mut fresh = bench.reserve("4000", "tenant-b").await;
    fresh.transition.before.version += 1;
    let other = bench.reserve("4001", "tenant-b").await;
    let (stale, told) = Waiting::new(stale);
    let (mut others, fates): (Vec<Want>, Vec<Fate>) = [also_stale, fresh, other].into_iter().map(Waiting::new).unzip();
    assert!(heed(stale, Outcome::Outdated, Locks::PassedBy, &mut others).is_none());
    assert_eq!(
        others.iter().map(|want| (want.ask.key(), want.ask.version())).collect::<Vec<_>>(),
        [("4000", 1), ("4001", 0)]
    );
    drop(others);
    assert!(!of(told).await.unwrap());
    assert!(!of(fates.into_iter().next().unwrap()).await.unwrap());
}

#[tokio::test]
async fn a_change_for_one_tenant_waits_for_the_row_of_another_that_it_counts_for_and_not_for_its_quota() {
    let bench = Bench::start().await;
    let mut wants = Vec::new();
    for number in ["4000", "4001", "4002"] {
        wants.push(bench.reserve(number, "tenant-b").await);
    }
    assert_eq!(all_of(at_once(&bench, wants)).await, [true; 3]);
    bench
        .superuser
        .batch_execute(
            "UPDATE numbering.tenants SET limit_reservations = 1 WHERE tenant_id = 'tenant-b';
             UPDATE numbering.numbers SET deadline = clock_timestamp() - interval '1 second' WHERE identifier = '4000';
             UPDATE numbering.claims SET deadline = clock_timestamp() - interval '1 second' WHERE identifier = '4000'",
        )
        .await
        .unwrap();
    // What has run out for the one, the other takes.
    let taken = bench.reserve("4000", "tenant-a").await;
    let lock = "BEGIN; SELECT FROM numbering.tenants WHERE tenant_id = 'tenant-b' FOR UPDATE";
    bench.superuser.batch_execute(lock).await.unwrap();
    let mut fate = alone(&bench, taken).await;
    assert!(is_open(&mut fate).await);
    bench.superuser.batch_execute("COMMIT").await.unwrap();
    assert!(of(fate).await.unwrap());
    let used = "SELECT string_agg(used_reservations::text, ' ' ORDER BY tenant_id) FROM numbering.tenants";
    assert_eq!(bench.text(used).await, "1 2");
}

#[tokio::test]
async fn time_that_passes_while_a_lock_is_waited_for_counts() {
    let bench = Bench::start().await;
    let mut reserve = bench.reserve("4000", "tenant-a").await;
    let now: jiff::Timestamp = bench.superuser.query_one("SELECT clock_timestamp()", &[]).await.unwrap().get(0);
    reserve.transition.commit_before = Some(now + Duration::from_millis(500));
    bench
        .superuser
        .batch_execute("BEGIN; SELECT FROM numbering.numbers WHERE identifier = '4000' FOR UPDATE")
        .await
        .unwrap();
    let mut fate = alone(&bench, reserve).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(is_open(&mut fate).await);
    bench.superuser.batch_execute("COMMIT").await.unwrap();
    assert!(!of(fate).await.unwrap());
    assert_eq!(bench.state("4000").await, "AVAILABLE");
}

#[tokio::test]
async fn an_answer_is_kept_with_the_effect_that_had_to_wait() {
    let bench = Bench::start().await;
    let claim = |number: &str| Claim {
        scope: "tenant-a".to_owned(),
        route: "POST /v1".to_owned(),
        key: number.to_owned(),
        owner: Uuid::now_v7(),
    };
    let mut fates = Vec::new();
    let mut wants = Vec::new();
    for number in ["4000", "4001"] {
        let claimed =
            bench.store.claim_idempotency_key(claim(number), b"hash", PATIENCE, PATIENCE * 100).await.unwrap();
        let Claimed::Ours(claim) = claimed else { panic!("{claimed:?}") };
        let answer = Answer { status: 201, body: "{}".to_owned() };
        wants.push(Wanted { answered: Some((claim, answer)), ..bench.reserve(number, "tenant-a").await });
    }
    let lock = "BEGIN; SELECT FROM numbering.tenants WHERE tenant_id = 'tenant-a' FOR UPDATE";
    bench.superuser.batch_execute(lock).await.unwrap();
    // The queue's statement does not begin, and lock the claims, before the second is taken over.
    let no_turn = bench.queues.turns.acquire_many(2).await.unwrap();
    for want in wants {
        fates.push(alone(&bench, want).await);
    }
    let kept = "SELECT string_agg(concat_ws(' ', key, status), ', ' ORDER BY key) FROM numbering.idempotency_keys";
    assert_eq!(bench.text(kept).await, "4000, 4001");
    // Somebody takes the second over meanwhile.
    let take_over = "UPDATE numbering.idempotency_keys SET owner = gen_random_uuid() WHERE key = '4001'; COMMIT";
    bench.superuser.batch_execute(take_over).await.unwrap();
    drop(no_turn);
    assert_eq!(all_of(fates).await, [true, false]);
    assert_eq!(bench.text(kept).await, "4000 201, 4001");
    assert_eq!([bench.state("4000").await, bench.state("4001").await], ["RESERVED", "AVAILABLE"]);
}

#[tokio::test]
async fn of_what_a_tenant_wants_at_once_as_much_moves_as_its_quota_has_room_for() {
    let bench = Bench::start().await;
    let mut wants = Vec::new();
    for number in 4000..4005 {
        wants.push(bench.reserve(&number.to_string(), "tenant-a").await);
    }
    wants.push(bench.reserve("4010", "tenant-b").await);
    assert_eq!(all_of(at_once(&bench, wants)).await, [true, true, true, false, false, true]);
    let used = "SELECT string_agg(used_reservations::text, ' ' ORDER BY tenant_id) FROM numbering.tenants";
    assert_eq!(bench.text(used).await, "3 1");
}

#[tokio::test]
async fn what_is_given_back_at_the_same_time_makes_no_room_yet() {
    let bench = Bench::start().await;
    let mut first = Vec::new();
    for number in ["4000", "4001"] {
        first.push(bench.reserve(number, "tenant-a").await);
    }
    assert_eq!(all_of(at_once(&bench, first)).await, [true, true]);
    let release = wanted(bench.decided("4000", "tenant-a", &Command::Release).await, "release");
    let (one, other) = (bench.reserve("4002", "tenant-a").await, bench.reserve("4003", "tenant-a").await);
    assert_eq!(all_of(at_once(&bench, vec![release, one, other])).await, [true, true, false]);
    let used = "SELECT used_reservations::text FROM numbering.tenants WHERE tenant_id = 'tenant-a'";
    assert_eq!(bench.text(used).await, "2");
}

#[tokio::test]
async fn of_those_who_want_one_number_the_first_has_it() {
    let bench = Bench::start().await;
    let (first, second) = (bench.reserve("4000", "tenant-b").await, bench.reserve("4000", "tenant-a").await);
    let beside = bench.reserve("4001", "tenant-a").await;
    assert_eq!(all_of(at_once(&bench, vec![first, second, beside])).await, [true, false, true]);
    assert_eq!(bench.text("SELECT tenant_id FROM numbering.numbers WHERE identifier = '4000'").await, "tenant-b",);
}

#[tokio::test]
async fn a_change_of_a_number_that_did_not_move_does_not_stand_in_the_way_of_the_next() {
    let bench = Bench::start().await;
    let (mut stale, fresh) = (bench.reserve("4000", "tenant-a").await, bench.reserve("4000", "tenant-b").await);
    let revision = stale.transition.standing.take().unwrap().1;
    stale.transition.standing = Some((TenantId::parse("tenant-a").unwrap(), revision - 1));
    assert_eq!(all_of(at_once(&bench, vec![stale, fresh])).await, [false, true]);
}

#[tokio::test]
async fn each_answer_is_kept_under_its_own_claim_and_nothing_moves_without_it() {
    let bench = Bench::start().await;
    let mut wants = Vec::new();
    for number in ["4000", "4001", "4002"] {
        let claim = Claim {
            scope: "tenant-a".to_owned(),
            route: "POST /v1".to_owned(),
            key: number.to_owned(),
            owner: Uuid::now_v7(),
        };
        let claimed = bench.store.claim_idempotency_key(claim, b"hash", PATIENCE, PATIENCE * 100).await.unwrap();
        let Claimed::Ours(claim) = claimed else { panic!("{claimed:?}") };
        let answer = Answer { status: 201, body: format!("{{\"number\":\"{number}\"}}") };
        let wanted = bench.reserve(number, "tenant-a").await;
        wants.push(Wanted { answered: Some((claim, answer)), ..wanted });
    }
    // Somebody else has taken this one over.
    wants[1].answered.as_mut().unwrap().0.owner = Uuid::now_v7();
    assert_eq!(all_of(at_once(&bench, wants)).await, [true, false, true]);
    assert_eq!(bench.state("4001").await, "AVAILABLE");
    let kept =
        "SELECT string_agg(concat_ws(' ', key, status, body), ', ' ORDER BY key) FROM numbering.idempotency_keys";
    assert_eq!(bench.text(kept).await, r#"4000 201 {"number":"4000"}, 4001, 4002 201 {"number":"4002"}"#,);
}

#[tokio::test]
async fn what_postgresql_refuses_it_refuses_to_the_one_who_asked_for_it() {
    let bench = Bench::start().await;
    let (good, mut bad) = (bench.reserve("4000", "tenant-a").await, bench.reserve("4001", "tenant-a").await);
    make_bad(&mut bad);
    let mut fates = at_once(&bench, vec![good, bad]);
    let refused = of(fates.pop().unwrap()).await.unwrap_err();
    assert!(refused.is_refusal(), "{refused}");
    assert!(of(fates.pop().unwrap()).await.unwrap());
    assert_eq!([bench.state("4000").await, bench.state("4001").await], ["RESERVED", "AVAILABLE"]);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_committed() {
    let bench = Bench::start().await;
    let (left, wants) = (bench.reserve("4000", "tenant-a").await, bench.reserve("4001", "tenant-a").await);
    let (left, gone) = Waiting::new(left);
    drop(gone);
    let (wants, fate) = Waiting::new(wants);
    pass(bench.store.clone(), Arc::clone(&bench.queues), vec![left, wants]).await;
    assert!(of(fate).await.unwrap());
    assert_eq!(bench.state("4000").await, "AVAILABLE");
}

#[tokio::test]
async fn a_thousand_changes_of_many_tenants_all_move_through_the_lanes() {
    let bench = Bench::start().await;
    bench
        .superuser
        .batch_execute(
            "INSERT INTO numbering.numbers (identifier, identifier_class, shown)
             SELECT v::text, 'SHORT_CODE', v::text FROM generate_series(50000, 50999) AS v;
             INSERT INTO numbering.tenants (
                 tenant_id, plan, limit_msisdn, limit_short_code, limit_alpha, limit_reservations, limit_holds)
             SELECT 'many-' || v, 'starter', 0, 0, 0, 20, 0 FROM generate_series(0, 49) AS v",
        )
        .await
        .unwrap();
    let commits = Arc::new(Commits::start(&bench.store));
    let mut tasks = tokio::task::JoinSet::new();
    let mut all = Vec::new();
    for number in 50_000..51_000 {
        all.push(bench.reserve(&number.to_string(), &format!("many-{}", number % 50)).await);
    }
    for reserve in all {
        let commits = Arc::clone(&commits);
        tasks.spawn(async move { commits.commit(reserve.transition, reserve.origin, None).await.unwrap() });
    }
    assert!(tasks.join_all().await.into_iter().all(|moved| moved));
    let used = "SELECT min(used_reservations) || ' to ' || max(used_reservations) FROM numbering.tenants
                WHERE tenant_id LIKE 'many-%'";
    assert_eq!(bench.text(used).await, "20 to 20");
    let transactions =
        "SELECT (count(DISTINCT xid::text) < 500)::text FROM numbering.journal WHERE subject_kind = 'number'";
    assert_eq!(bench.text(transactions).await, "true", "a thousand changes share statements");
}

#[tokio::test]
async fn postgresql_plans_neither_the_commit_nor_what_it_rests_on_anew_each_time() {
    let database = TestDatabase::make().await;
    let store = database.store(PATIENCE);
    let bench = Bench { queues: Arc::new(Queues::new(&store)), store, ..Bench::start().await };
    let bench = Bench { superuser: database.superuser().await, ..bench };
    bench
        .superuser
        .batch_execute(
            "INSERT INTO numbering.tenants (
                tenant_id, plan, limit_msisdn, limit_short_code, limit_alpha, limit_reservations, limit_holds)
             VALUES ('tenant-a', 'starter', 99, 99, 99, 99, 99);
             INSERT INTO numbering.numbers (identifier, identifier_class, shown)
             SELECT v::text, 'SHORT_CODE', v::text FROM generate_series(4000, 4019) AS v",
        )
        .await
        .unwrap();
    for number in 4000..4010 {
        let wants = bench.reserve(&number.to_string(), "tenant-a").await;
        assert_eq!(all_of(at_once(&bench, vec![wants])).await, [true]);
    }
    for first in ["-- The only writer", "-- What decisions are taken on"] {
        let sql = "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE starts_with(statement, $1)";
        let plans = bench.store.query_opt(sql, &[&first]).await.unwrap().unwrap();
        assert_eq!((plans.get::<_, i64>(0), plans.get::<_, i64>(1)), (5, 5), "{first}");
    }
}

#[tokio::test]
async fn a_change_that_rests_on_no_tenant_finds_its_lane_too() {
    let bench = Bench::start().await;
    let commits = Commits::start(&bench.store);
    let reserve = bench.reserve("4000", "tenant-a").await;
    assert!(commits.commit(reserve.transition, reserve.origin, None).await.unwrap());
    let revoke = Command::Revoke { ticket: TicketId::parse("CASE-1").ok() };
    let identifier = Identifier::from_canonical(IdentifierClass::ShortCode, "4000");
    let loaded = bench.store.load(&identifier, None, false).await.unwrap();
    let revoked = decide(&loaded.number.unwrap(), Acting::Authority, &revoke, &Policy::default(), loaded.now).unwrap();
    let revoked = wanted(revoked, "revoke");
    assert!(commits.commit(revoked.transition, revoked.origin, None).await.unwrap());
    assert_eq!(bench.state("4000").await, "AVAILABLE");
}
