//! PostgreSQL's clock jumps ahead by a quarter and comes back: libfaketime turns that of a server of the test's own, while the
//! clock of the machine and of the service goes on as ever.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use numbering::devstack::{SharedStack, Stack, StackOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_postgres::Client as Database;

use super::{directory, until};
use crate::support::{Client, TestApp};

const ALERTS: &str = "/v1/admin/numbering/alerts";
const OFFERED: &str = "/v1/numbers/available?identifierClass=MSISDN";

/// A stack whose PostgreSQL has a clock that can be turned.
struct Turned {
    stack: Stack,
    offset: PathBuf,
    _directory: TempDir,
}

impl Turned {
    async fn start() -> Self {
        let directory = directory();
        let offset = directory.path().join("offset");
        turn(&offset, "+0");
        let set = |name: &str, value: OsString| (OsString::from(name), value);
        let postgres_environment = vec![
            set("LD_PRELOAD", libfaketime().into()),
            set("FAKETIME_TIMESTAMP_FILE", offset.clone().into()),
            // Read again each time that anybody asks what time it is.
            set("FAKETIME_NO_CACHE", "1".into()),
            set("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            set("FAKETIME_DISABLE_SHM", "1".into()),
        ];
        let options = StackOptions { nats_accounts: 1, postgres_environment, ..StackOptions::default() };
        let stack = Stack::start(directory.path(), options).await.unwrap();
        Self { stack, offset, _directory: directory }
    }
}

/// In one step, so that nobody reads half of it.
fn turn(offset: &Path, to: &str) {
    let next = offset.with_extension("next");
    fs::write(&next, to).unwrap();
    fs::rename(next, offset).unwrap();
}

fn libfaketime() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut found = libraries.map(|place| place.join("faketime/libfaketime.so.1")).filter(|library| library.exists());
    found.next().expect("the package libfaketime is installed, as script/test does")
}

async fn clock_of(database: &Database) -> Timestamp {
    database.query_one("SELECT clock_timestamp()", &[]).await.unwrap().get(0)
}

async fn metric(app: &TestApp, name: &str) -> String {
    let text = reqwest::get(format!("http://{}/metrics", app.http)).await.unwrap().text().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().to_owned()
}

async fn open_alerts(admin: &Client) -> Vec<Value> {
    let open = admin.get(&format!("{ALERTS}?state=OPEN")).await.expect(200);
    open["items"].as_array().unwrap().clone()
}

async fn end_quarantine(admin: &Client) -> Value {
    admin.post("/v1/admin/numbering/jobs/end_quarantine/run", &json!({})).await.expect(200)["lastResult"].clone()
}

async fn leased(tenant: &Client, number: &str) {
    tenant.act(number, "reserve").await.expect(200);
    tenant.act(number, "hold").await.expect(200);
    tenant.lease(number, "1m").await.expect(201);
}

/// The number rests, for whoever asks.
async fn rests(tenant: &Client, number: &str) {
    assert_eq!(tenant.act(number, "reserve").await.problem(409, "QUARANTINE_ACTIVE")["state"], "QUARANTINE");
    assert_eq!(tenant.get(&format!("/v1/numbers/{number}")).await.expect(200)["state"], "QUARANTINE");
    let offered = tenant.get(OFFERED).await.expect(200);
    assert_eq!(offered["items"], json!([]), "it is not on offer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_clock_that_jumps_a_quarter_ahead_frees_nothing_and_is_trusted_again_when_it_is_back() {
    let turned = Turned::start().await;
    let app = TestApp::start_on(SharedStack::of(&turned.stack), &[]).await;
    let (a, b, admin, database) = (app.tenant("tenant-a"), app.tenant("tenant-b"), app.admin(), app.superuser().await);
    let numbers = app.stock_numbers(3).await;
    let [resting, reserved, held] = numbers.as_slice() else { panic!("{numbers:?}") };
    leased(&a, resting).await;
    a.recall(resting, "TENANT_INITIATED", None).await.expect(200);
    leased(&a, held).await;
    let expires_at = a.act(reserved, "reserve").await.expect(200)["expiresAt"].clone();
    until("the clock is trusted", async || metric(&app, "numbering_clock_trusted").await == "1").await;
    let before = clock_of(&database).await;

    turn(&turned.offset, "+91d");
    assert!(clock_of(&database).await.duration_since(before) > SignedDuration::from_hours(90 * 24), "it has jumped");
    rests(&b, resting).await;
    assert!(app.validate(held, "tenant-a").await.valid, "a lease of a month is not over");
    let own = a.get("/v1/numbers?state=RESERVED").await.expect(200);
    assert_eq!(own["items"][0]["expiresAt"], expires_at, "a reservation has not run out");
    assert_eq!(a.get("/v1/quota").await.expect(200)["quotas"]["RESERVATIONS"]["current"], 1);
    let promoted = a.act(reserved, "hold").await.expect(200);
    let until_then: Timestamp = promoted["expiresAt"].as_str().unwrap().parse().unwrap();
    assert!(until_then.duration_since(before) < SignedDuration::from_hours(25), "{promoted}");

    until("an alert is raised", async || !open_alerts(&admin).await.is_empty()).await;
    let alerts = open_alerts(&admin).await;
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert_eq!((&alert["name"], &alert["severity"]), (&json!("numbering_clock_skew"), &json!("CRITICAL")));
    assert!(alert["summary"].as_str().unwrap().contains("s ahead of "), "{alert}");
    assert_eq!(metric(&app, "numbering_clock_trusted").await, "0");
    let skew: f64 = metric(&app, "numbering_clock_skew_seconds").await.parse().unwrap();
    assert!(skew > 90.0 * 86_400.0, "{skew}");
    let waits = end_quarantine(&admin).await;
    assert_eq!(waits["outcome"], "INTERRUPTED", "{waits}");
    assert!(waits["result"]["error"].as_str().unwrap().contains("is not trusted"), "{waits}");
    let late = app.replica(&[]).await;
    until("another replica, started now, serves", async || {
        reqwest::get(format!("http://{}/readyz", late.http)).await.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    rests(&b.at(late.http), resting).await;
    rests(&b, resting).await;
    let sql =
        "SELECT (SELECT high_water FROM numbering.clock), max(at) FROM numbering.journal WHERE subject_kind = 'number'";
    let row = database.query_one(sql, &[]).await.unwrap();
    for (what, seen) in [("the high-water mark", row.get::<_, Timestamp>(0)), ("the journal", row.get(1))] {
        assert!(seen.duration_since(before) < SignedDuration::from_hours(1), "{what} has not jumped: {seen}");
    }

    turn(&turned.offset, "+0");
    until("the alerts are resolved", async || open_alerts(&admin).await.is_empty()).await;
    assert_eq!(metric(&app, "numbering_clock_trusted").await, "1");
    let done = end_quarantine(&admin).await;
    assert_eq!((&done["outcome"], &done["result"]["released"]), (&json!("DONE"), &json!(0)));
    rests(&b, resting).await;
    let terms = "SELECT max(expires_at) - clock_timestamp() < interval '1 minute' FROM numbering.leaderships";
    until("no term lasts for a quarter", async || database.query_one(terms, &[]).await.unwrap().get(0)).await;
    late.stop().await;
    app.stop().await;
    turned.stack.stop().await;
}
