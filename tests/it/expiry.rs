//! What time ends, and who writes it down: reservations within two seconds, rests, leases; whatever happens to Redis.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{Client, TestApp, until};

/// US-NUM-010: from the deadline to the row.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

const SECONDS: [(&str, &str); 3] = [
    ("NUMBERING_POLICY__RESERVATION_TTL", "1s"),
    ("NUMBERING_POLICY__HOLD_TTL", "1s"),
    ("NUMBERING_POLICY__SHORT_TERMS", "true"),
];

/// The row as it is written, whatever time says.
async fn written_state(database: &tokio_postgres::Client, number: &str) -> String {
    let sql = "SELECT state FROM numbering.numbers WHERE identifier = $1";
    database.query_one(sql, &[&number]).await.unwrap().get(0)
}

async fn until_written(database: &tokio_postgres::Client, number: &str, state: &str) {
    let written = async {
        while written_state(database, number).await != state {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, written).await.unwrap_or_else(|_| panic!("{number} does not become {state}"));
}

fn moment(member: &Value) -> Timestamp {
    member.as_str().unwrap().parse().unwrap()
}

/// Checks that the number is let go by its deadline and says so, not before and within two seconds after.
async fn is_released_in_time(app: &TestApp, number: &str, claim: &Value) {
    let database = app.superuser().await;
    until_written(&database, number, "AVAILABLE").await;
    let sql = "SELECT at, data FROM numbering.journal WHERE subject = $1 AND type = 'numbering.reservation.released'";
    let row = database.query_one(sql, &[&number]).await.unwrap();
    let (at, data): (Timestamp, Value) = (row.get(0), row.get(1));
    assert_eq!((&data["reason"], &data["reservationId"]), (&json!("TTL_EXPIRED"), &claim["reservationId"]));
    let late = at.duration_since(moment(&claim["expiresAt"]));
    assert!(!late.is_negative(), "released {late} before its time");
    assert!(Duration::try_from(late).unwrap() <= RELEASED_WITHIN, "released {late} late");
}

async fn job(admin: &Client, name: &str) -> Option<Value> {
    let jobs = admin.get("/v1/admin/numbering/jobs").await.expect(200);
    jobs["items"].as_array().unwrap().iter().find(|job| job["name"] == name).cloned()
}

/// Runs a job, once the service that has just started has made it known.
async fn run(admin: &Client, name: &str) -> Value {
    until("the job is known", async || job(admin, name).await.is_some()).await;
    admin.post(&format!("/v1/admin/numbering/jobs/{name}/run"), &json!({})).await.expect(200)
}

#[tokio::test]
async fn a_reservation_and_a_hold_are_released_within_two_seconds_and_the_events_say_so() {
    let app = TestApp::start_with(&SECONDS).await;
    let numbers = app.stock_numbers(2).await;
    let tenant = app.tenant("tenant-a");
    let reserved = tenant.act(&numbers[0], "reserve").await.expect(200);
    tenant.act(&numbers[1], "reserve").await.expect(200);
    let held = tenant.act(&numbers[1], "hold").await.expect(200);
    is_released_in_time(&app, &numbers[0], &reserved).await;
    is_released_in_time(&app, &numbers[1], &held).await;
    let released: Vec<_> = app
        .events(5)
        .await
        .into_iter()
        .filter(|event| event.subject == "numbering.reservation.released")
        .map(|event| (event.event["data"]["identifier"].clone(), event.event["data"]["kind"].clone()))
        .collect();
    for (number, kind) in [(&numbers[0], "RESERVE"), (&numbers[1], "HOLD")] {
        assert!(released.contains(&(json!(number), json!(kind))), "{released:?}");
    }
    app.tenant("tenant-b").act(&numbers[0], "reserve").await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn thousands_that_run_out_together_are_released_in_one_run_also_one_that_somebody_changes_meanwhile() {
    let app = TestApp::start().await;
    let (database, mut other) = (app.superuser().await, app.superuser().await);
    // Nobody sweeps until all are due.
    app.keep_job_from_running("release_expired").await;
    let tenants = ["tenant-a", "tenant-b"];
    database.execute(include_str!("../../benches/bar/seed/tenants.sql"), &[&tenants.as_slice()]).await.unwrap();
    // Two whole batches, and nothing after them.
    let (reservations, many) = (include_str!("../../benches/bar/seed/reservations.sql"), 2_000_i64);
    let rows = database.query(reservations, &[&770_000_000_i64, &many, &tenants.as_slice(), &0.0]).await.unwrap();
    app.until_database_time(Timestamp::from_millisecond(rows[rows.len() - 1].get(2)).unwrap()).await;

    // The run meets this one among the first thousand, and does not move it.
    let changed: String = rows[500].get(0);
    let changing = other.transaction().await.unwrap();
    let sql = "UPDATE numbering.numbers SET version = version + 1 WHERE identifier = $1";
    changing.execute(sql, &[&changed]).await.unwrap();
    let backend: i32 = changing.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    app.let_job_run("release_expired").await;
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))";
    until("the run waits for it", async || database.query_one(waits, &[&backend]).await.unwrap().get(0)).await;
    changing.commit().await.unwrap();

    let claims = "SELECT NOT EXISTS (SELECT FROM numbering.claims)";
    until("all are released", async || database.query_one(claims, &[]).await.unwrap().get(0)).await;
    let written = "SELECT (SELECT count(*) FROM numbering.numbers WHERE state = 'AVAILABLE'),
            (SELECT count(DISTINCT subject) FROM numbering.journal WHERE type = 'numbering.reservation.released'),
            (SELECT count(*) FROM numbering.journal WHERE type = 'numbering.reservation.released'),
            (SELECT sum(used_reservations) FROM numbering.tenants)";
    let row = database.query_one(written, &[]).await.unwrap();
    assert_eq!([0, 1, 2, 3].map(|column| row.get::<_, i64>(column)), [many, many, many, 0]);
    let admin = app.admin();
    until("a run has said that it did all", async || {
        let runs = job(&admin, "release_expired").await.unwrap()["recentRuns"].clone();
        runs.as_array().unwrap().iter().any(|run| run["result"]["released"] == many)
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn an_extended_reservation_is_let_go_at_its_new_end_and_not_at_the_old_one() {
    let settings = [("NUMBERING_POLICY__RESERVATION_TTL", "2s"), ("NUMBERING_POLICY__RESERVATION_CEILING", "5s")];
    let app = TestApp::start_with(&settings).await;
    let number = app.stock_numbers(1).await.remove(0);
    let tenant = app.tenant("tenant-a");
    let reserved = tenant.act(&number, "reserve").await.expect(200);
    let first = tenant.act(&number, "extend").await.expect(200);
    let last = tenant.act(&number, "extend").await.expect(200);
    let ends = [&reserved, &first, &last].map(|answer| moment(&answer["expiresAt"]));
    let seconds = |more| jiff::SignedDuration::from_secs(more);
    assert_eq!(ends, [ends[0], ends[0] + seconds(2), ends[0] + seconds(3)], "once more, then what the ceiling leaves");
    assert_eq!(last["reservationId"], reserved["reservationId"]);
    let problem = tenant.act(&number, "extend").await.problem(409, "INVALID_STATE");
    assert_eq!((&problem["reason"], &problem["state"]), (&json!("RESERVATION_CEILING"), &json!("RESERVED")));
    app.tenant("tenant-b").act(&number, "extend").await.problem(409, "RESERVED_BY_OTHER_TENANT");
    assert_eq!(tenant.get("/v1/quota").await.expect(200)["quotas"]["RESERVATIONS"]["current"], 1);

    // The sweep, woken by the timer or by itself, leaves it alone past its old ends.
    app.until_database_time(ends[1] + jiff::SignedDuration::from_millis(500)).await;
    run(&app.admin(), "release_expired").await;
    assert_eq!(written_state(&app.superuser().await, &number).await, "RESERVED");
    is_released_in_time(&app, &number, &last).await;
    let told: Vec<_> = app.events(4).await.into_iter().map(|received| received.event["data"].clone()).collect();
    for (told, answer) in told.iter().zip([&reserved, &first, &last]) {
        assert_eq!(told["kind"], "RESERVE");
        assert_eq!(moment(&told["expiresAt"]), moment(&answer["expiresAt"]));
        assert_eq!((&told["reservationId"], &told["version"]), (&reserved["reservationId"], &answer["version"]));
    }
    assert_eq!(told[3]["reason"], "TTL_EXPIRED");
    crate::faults::books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn only_a_reservation_is_extended_and_a_hold_keeps_its_beginning() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(2).await;
    let tenant = app.tenant("tenant-a");
    tenant.act(&numbers[0], "extend").await.problem(409, "INVALID_STATE");
    tenant.act(&numbers[0], "reserve").await.expect(200);
    tenant.act(&numbers[0], "hold").await.expect(200);
    tenant.act(&numbers[0], "extend").await.problem(409, "INVALID_STATE");
    app.tenant("tenant-b").act(&numbers[0], "extend").await.problem(409, "HELD_BY_OTHER_TENANT");
    tenant.lease(&numbers[0], "1m").await.expect(201);
    tenant.act(&numbers[0], "extend").await.problem(409, "ALREADY_LEASED");
    tenant.act("+93799999999", "extend").await.problem(404, "NOT_REGISTERED");
    app.stop().await;
}

#[tokio::test]
async fn an_old_notice_does_not_free_a_newer_reservation() {
    let app = TestApp::start_with(&[("NUMBERING_POLICY__RESERVATION_TTL", "15m")]).await;
    let number = app.stock_numbers(1).await.remove(0);
    let tenant = app.tenant("tenant-a");
    tenant.act(&number, "reserve").await.expect(200);
    tenant.act(&number, "release").await.expect(200);
    let newer = tenant.act(&number, "reserve").await.expect(200);
    // The timer of a reservation that is long gone, as a Redis that was restored from yesterday's copy would have it.
    let mut redis =
        redis::Client::open(app.part.timers_url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let key = format!("num:reserve:{number}");
    redis::cmd("SET").arg(&key).arg("old").arg("PX").arg(1).exec_async(&mut redis).await.unwrap();
    let gone = async {
        while redis::cmd("EXISTS").arg(&key).query_async::<i64>(&mut redis).await.unwrap() == 1 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    run(&app.admin(), "release_expired").await;
    let still = tenant.get(&format!("/v1/numbers/{number}")).await.expect(200);
    assert_eq!((&still["state"], &still["reservationId"]), (&json!("RESERVED"), &newer["reservationId"]));
    app.stop().await;
}

#[tokio::test]
async fn rests_and_leases_end_by_themselves() {
    let mut settings = SECONDS.to_vec();
    settings.push(("NUMBERING_POLICY__QUARANTINE__MSISDN", "1s"));
    let app = TestApp::start_with(&settings).await;
    let numbers = app.stock_numbers(2).await;
    let database = app.superuser().await;
    let tenant = app.tenant("tenant-a");
    for number in &numbers {
        tenant.act(number, "reserve").await.expect(200);
    }
    tenant.lease(&numbers[0], "1s").await.expect(201);
    tenant.lease(&numbers[1], "30d").await.expect(201);
    app.admin().recall(&numbers[1], "ABUSE", Some("ABUSE-1")).await.expect(200);
    for number in &numbers {
        until_written(&database, number, "AVAILABLE").await;
    }
    let types = async |number: &str| -> Vec<String> {
        let sql = "SELECT type FROM numbering.journal WHERE subject = $1 ORDER BY version";
        database.query(sql, &[&number]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let expired = [
        "numbering.reservation.held",
        "numbering.lease.created",
        "numbering.lease.expired",
        "numbering.identifier.quarantined",
        "numbering.identifier.released",
    ];
    assert_eq!(types(&numbers[0]).await, expired);
    assert_eq!(types(&numbers[1]).await.last().unwrap(), "numbering.identifier.released");
    let quota = tenant.get("/v1/quota").await.expect(200);
    assert_eq!(quota["quotas"]["MSISDN"]["current"], 0);
    app.stop().await;
}

#[tokio::test]
async fn jobs_are_shown_with_their_holder_and_latest_runs_and_run_when_asked_to() {
    let app = TestApp::start_with(&[("NUMBERING_INSTANCE__NAME", "replica-of-test")]).await;
    let admin = app.admin();
    let done = run(&admin, "end_quarantine").await;
    assert_eq!((&done["holder"], &done["lastResult"]["outcome"]), (&json!("replica-of-test"), &json!("DONE")));
    assert_eq!(
        (&done["lastResult"]["trigger"], &done["lastResult"]["result"]["released"]),
        (&json!("REQUEST"), &json!(0))
    );
    assert_eq!(done["lastRun"], done["lastResult"]["startedAt"]);
    assert!(moment(&done["nextRun"]) > moment(&done["lastRun"]));
    assert_eq!(job(&admin, "end_quarantine").await.unwrap()["schedule"], "*/5 * * * *");
    admin.post("/v1/admin/numbering/jobs/no_such_job/run", &json!({})).await.problem(404, "NOT_FOUND");
    app.stop().await;
}

#[tokio::test]
async fn a_job_is_taken_over_when_its_holder_vanishes() {
    let app =
        TestApp::start_with(&[("NUMBERING_INSTANCE__NAME", "first"), ("NUMBERING_POLICY__RESERVATION_TTL", "1s")])
            .await;
    let (admin, database) = (app.admin(), app.superuser().await);
    let number = app.stock_numbers(1).await.remove(0);
    // A holder that will never be heard of again: it has the role, by its row, for a few seconds more.
    let sql = "UPDATE numbering.leaderships SET holder = gen_random_uuid(), holder_name = 'gone', term = term + 1,
                   expires_at = clock_timestamp() + interval '4 seconds'
               WHERE role = 'job:release_expired'
               RETURNING expires_at";
    run(&admin, "release_expired").await;
    let gone_until: Timestamp = database.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(job(&admin, "release_expired").await.unwrap()["holder"], "gone");
    app.tenant("tenant-a").act(&number, "reserve").await.expect(200);
    until_written(&database, &number, "AVAILABLE").await;
    let sql = "SELECT at FROM numbering.journal WHERE subject = $1 AND type = 'numbering.reservation.released'";
    let released_at: Timestamp = database.query_one(sql, &[&number]).await.unwrap().get(0);
    assert!(released_at >= gone_until, "released at {released_at}, while another had the role until {gone_until}");
    until("the job is held by the replica that is left", async || {
        job(&admin, "release_expired").await.unwrap()["holder"] == "first"
    })
    .await;
    app.stop().await;
}
