//! What happens by itself goes on happening, in time and once, when Redis or the replica that does it is frozen, killed or cut
//! off.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use numbering::devstack::{Home, redis as server};
use numbering::store::commit::Origin;
use numbering::store::leadership::Replica;
use numbering_domain::{Acting, Command, Identifier, IdentifierClass, Policy, ReservationId, TenantId, decide};
use reqwest::Method;
use tokio_postgres::Client as Database;
use uuid::Uuid;

use super::replica::Replica as Process;
use super::{books, directory, until};
use crate::support::{Client, TestApp};

/// US-NUM-010: from the deadline to the row.
const RELEASED_WITHIN: SignedDuration = SignedDuration::from_secs(2);
/// Longer than a replica stands still on a busy machine without being told to.
const LEADERSHIP_TTL: (&str, &str) = ("NUMBERING_JOBS__LEADERSHIP_TTL", "4s");
/// After its holder fell silent another replica has the job: `jobs.leadership_ttl` and a look.
const TAKEN_OVER_WITHIN: SignedDuration = SignedDuration::from_secs(6);
const TTL: (&str, &str) = ("NUMBERING_POLICY__RESERVATION_TTL", "1s");

/// Reserves the numbers, waits until all are let go, and checks that each was once, not early, and no later than this.
async fn are_released(clients: &Client, database: &Database, numbers: &[String], within: SignedDuration) {
    let before = released(database, numbers).await.len();
    for number in numbers {
        clients.act(number, "reserve").await.expect(200);
    }
    until("all are let go", async || {
        let sql = "SELECT count(*) FROM numbering.numbers WHERE identifier = ANY ($1) AND state <> 'AVAILABLE'";
        database.query_one(sql, &[&numbers]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
    let all = released(database, numbers).await;
    assert_eq!(all.len() - before, numbers.len(), "each is let go once");
    for late in &all[before..] {
        assert!(!late.is_negative() && *late <= within, "released {late} after its time");
    }
}

/// How late each release was, in their order.
async fn released(database: &Database, numbers: &[String]) -> Vec<SignedDuration> {
    let sql = "SELECT r.at, (h.data ->> 'expiresAt')::timestamptz
        FROM numbering.journal r
        JOIN numbering.journal h ON h.subject = r.subject AND h.version = r.version - 1
        WHERE r.subject = ANY ($1) AND r.type = 'numbering.reservation.released'
        ORDER BY r.seq";
    let rows = database.query(sql, &[&numbers]).await.unwrap();
    rows.iter().map(|row| row.get::<_, Timestamp>(0).duration_since(row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reservations_are_released_in_time_whatever_redis_does() {
    let directory = directory();
    let mut redis = server::start(&Home::open(directory.path()).unwrap()).await.unwrap();
    let (snapshots, timers) = (format!("{}/1", redis.url()), format!("{}/0", redis.url()));
    let settings = [TTL, ("NUMBERING_REDIS__URL", &snapshots), ("NUMBERING_REDIS__TIMERS_URL", &timers)];
    let app = TestApp::start_with(&settings).await;
    let (database, tenant) = (app.superuser().await, app.tenant("tenant-a"));
    let numbers = app.stock_numbers(8).await;
    let heard = async |heard: bool| {
        let metrics = format!("http://{}/metrics", app.http);
        until("the service hears of expired keys, or knows that it does not", async || {
            let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
            text.contains(&format!("numbering_expiry_notices_heard {}", i32::from(heard)))
        })
        .await;
    };
    heard(true).await;
    let connect = async |url: &str| redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let notices = async |connection: &mut redis::aio::MultiplexedConnection| -> Vec<String> {
        redis::cmd("CONFIG").arg("GET").arg("notify-keyspace-events").query_async(connection).await.unwrap()
    };
    let mut connection = connect(redis.url()).await;
    assert!(notices(&mut connection).await[1].contains('E'), "the service switches the notices on");
    are_released(&tenant, &database, &numbers, RELEASED_WITHIN).await;

    // Notices lost: Redis is there, and tells nobody.
    redis::cmd("CONFIG").arg("SET").arg("notify-keyspace-events").arg("").exec_async(&mut connection).await.unwrap();
    are_released(&tenant, &database, &numbers, RELEASED_WITHIN).await;

    redis.freeze();
    are_released(&tenant, &database, &numbers, RELEASED_WITHIN).await;
    redis.thaw();

    redis.kill().await;
    heard(false).await;
    are_released(&tenant, &database, &numbers, RELEASED_WITHIN).await;

    // Back, empty, with its settings of before.
    redis.start().await.unwrap();
    heard(true).await;
    assert!(notices(&mut connect(redis.url()).await).await[1].contains('x'), "they are switched on again");
    are_released(&tenant, &database, &numbers, RELEASED_WITHIN).await;
    books::balance(&app).await;
    app.stop().await;
    redis.stop().await;
}

/// The replica that releases reservations, as this one says.
async fn holder(admin: &Client) -> Option<String> {
    let answer = admin.try_send(Method::GET, "/v1/admin/numbering/jobs", None, &[]).await.ok()?;
    let jobs = answer.json();
    let job = jobs["items"].as_array()?.iter().find(|job| job["name"] == "release_expired")?.clone();
    job["holder"].as_str().map(str::to_owned)
}

async fn until_held_by(admin: &Client, name: &str) {
    until("the job is held by the replica that is left", async || holder(admin).await.as_deref() == Some(name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_on_at_another_replica_when_its_holder_is_frozen_or_killed_and_each_due_thing_happens_once() {
    let mut app = TestApp::start_with(&[TTL]).await;
    app.stop_serving().await;
    let database = app.superuser().await;
    let numbers = app.stock_numbers(8).await;
    let mut first = Process::start(&app, &[TTL, LEADERSHIP_TTL, ("NUMBERING_INSTANCE__NAME", "first")]).await;
    let admin_of_first = app.admin().at(first.http);
    until_held_by(&admin_of_first, "first").await;
    let mut second = Process::start(&app, &[TTL, LEADERSHIP_TTL, ("NUMBERING_INSTANCE__NAME", "second")]).await;
    let (admin, tenant) = (app.admin().at(second.http), app.tenant("tenant-a").at(second.http));
    are_released(&tenant, &database, &numbers, RELEASED_WITHIN).await;
    assert_eq!(holder(&admin).await.as_deref(), Some("first"));

    // Frozen: its term runs out, another goes on. Thawed beside its successor it does nothing.
    first.freeze();
    are_released(&tenant, &database, &numbers, RELEASED_WITHIN + TAKEN_OVER_WITHIN).await;
    until_held_by(&admin, "second").await;
    first.thaw();
    until("it serves again", async || holder(&admin_of_first).await.as_deref() == Some("second")).await;
    are_released(&tenant, &database, &numbers, RELEASED_WITHIN).await;
    assert_eq!(holder(&admin).await.as_deref(), Some("second"));

    // Killed: the one that was frozen goes on.
    let tenant = app.tenant("tenant-a").at(first.http);
    second.kill().await;
    are_released(&tenant, &database, &numbers, RELEASED_WITHIN + TAKEN_OVER_WITHIN).await;
    until_held_by(&admin_of_first, "first").await;
    assert_eq!(released(&database, &numbers).await.len(), 4 * numbers.len(), "each reservation was let go once");
    // A run that was killed between its commit and its record says nothing, and none says what it did not do.
    let said = "SELECT coalesce(sum((result ->> 'released')::bigint), 0)::bigint FROM numbering.job_runs
        WHERE job = 'release_expired'";
    let said: i64 = database.query_one(said, &[]).await.unwrap().get(0);
    assert!((1..=4 * 8).contains(&said), "the runs say that they released {said}");
    until("all is published", async || outbox(&database).await == 0).await;
    first.kill().await;
}

async fn outbox(database: &Database) -> i64 {
    database.query_one("SELECT count(*) FROM numbering.outbox", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_holder_that_was_replaced_commits_nothing() {
    let mut app = TestApp::start().await;
    app.stop_serving().await;
    let store = app.store();
    let identifier = Identifier::from_canonical(IdentifierClass::Msisdn, &app.stock_numbers(1).await[0]);
    let tenant = TenantId::parse("tenant-a").unwrap();
    store.meet_tenant(&tenant, "starter").await.unwrap();
    let loaded = store.load(&identifier, Some(&tenant), false).await.unwrap();
    let reserve = Command::Reserve { reservation_id: ReservationId(Uuid::now_v7()) };
    let standing = loaded.standing.unwrap();
    let decided =
        decide(&loaded.number.unwrap(), Acting::Tenant(&standing), &reserve, &Policy::default(), loaded.now).unwrap();
    let origin = Origin { actor: "test".into(), request_id: "test".into() };
    let (first, second, long) = (Replica::new("first"), Replica::new("second"), Duration::from_mins(1));

    let frozen = store.acquire_leadership("job:test", &first, Duration::from_millis(50)).await.unwrap().unwrap();
    let mut successor = None;
    until("its term is over", async || {
        successor = store.acquire_leadership("job:test", &second, long).await.unwrap();
        successor.is_some()
    })
    .await;
    let successor = successor.unwrap();
    let transitions = [decided];
    assert_eq!(store.commit_as(&frozen, &transitions, &origin).await.unwrap(), [false], "its term is over");
    assert_eq!(store.commit_as(&successor, &transitions, &origin).await.unwrap(), [true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_not_taken_from_under_a_commit() {
    let app = TestApp::start_with(&[TTL]).await;
    let (database, tenant) = (app.superuser().await, app.tenant("tenant-a"));
    let number = app.stock_numbers(1).await.remove(0);
    // Its commit waits for the number's row, and meanwhile the role goes to another.
    let mut blocker = app.superuser().await;
    let block = blocker.transaction().await.unwrap();
    tenant.act(&number, "reserve").await.expect(200);
    block.query("SELECT FROM numbering.numbers WHERE identifier = $1 FOR UPDATE", &[&number]).await.unwrap();
    until("a release waits for the row", async || {
        let sql = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE NOT l.granted AND a.application_name = 'numbering' AND a.datname = current_database()";
        database.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0
    })
    .await;
    let usurp = "UPDATE numbering.leaderships SET term = term + 1, holder = gen_random_uuid(), holder_name = 'usurper',
            expires_at = clock_timestamp() + interval '2 seconds'
        WHERE role = 'job:release_expired'";
    // The commit holds the role until it is through: who takes it over waits, and then finds it done.
    let usurped = tokio::spawn(async move { database.execute(usurp, &[]).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!usurped.is_finished(), "the role was taken from under a commit");
    block.rollback().await.unwrap();
    assert_eq!(usurped.await.unwrap(), 1);
    let database = app.superuser().await;
    let versions =
        "SELECT count(*) FROM numbering.journal WHERE subject = $1 AND type = 'numbering.reservation.released'";
    until("it was released", async || database.query_one(versions, &[&number]).await.unwrap().get::<_, i64>(0) == 1)
        .await;
    books::balance(&app).await;
    app.stop().await;
}
