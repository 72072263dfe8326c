//! US-NUM-005 and the grace of US-NUM-012, with a billing service at the other end of real HTTP, and time in seconds.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client as Database;

use crate::faults::books;
use crate::support::billing::{Billing, HeldLine};
use crate::support::{Client, PATIENCE, TestApp, until};

/// Terms of seconds, which may be renewed from their beginning on: each once, as the next one begins where it ends. Where a
/// test needs something to come before something else does, seconds lie between the two.
const SECONDS: [(&str, &str); 4] = [
    ("NUMBERING_POLICY__SHORT_TERMS", "true"),
    ("NUMBERING_POLICY__RENEWAL_WINDOW", "1h"),
    ("NUMBERING_POLICY__RENEWAL_RETRY", "1s"),
    ("NUMBERING_BILLING__TIMEOUT", "5s"),
];

async fn start(billing_url: &str, more: &[(&str, &str)]) -> TestApp {
    TestApp::start_with(&settings(billing_url, more)).await
}

/// [`SECONDS`], but for what `more` has otherwise.
fn settings<'a>(billing_url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = SECONDS.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    usual.chain(more.iter().copied()).chain([("NUMBERING_BILLING__URL", billing_url)]).collect()
}

/// Leases a number that is to be renewed.
async fn lease(app: &TestApp, tenant: &str, number: &str, term: &str, vanity: bool) -> Value {
    let body = json!({ "tenantId": tenant, "term": term, "autoRenew": true, "vanityFlag": vanity });
    app.admin().post(&format!("/v1/numbers/{number}/lease"), &body).await.expect(201)
}

/// What is told of a number with this type of event, once there are so many.
async fn told(database: &Database, number: &str, event: &str, count: usize) -> Vec<Value> {
    let look = async {
        loop {
            let sql = "SELECT data || jsonb_build_object('at', at) FROM numbering.journal
                WHERE subject = $1 AND type = $2 ORDER BY version";
            let rows = database.query(sql, &[&number, &event]).await.unwrap();
            if rows.len() >= count {
                return rows.iter().map(|row| row.get(0)).collect();
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{number}: {event} does not come {count} times"))
}

async fn count(database: &Database, sql: &str) -> i64 {
    database.query_one(sql, &[]).await.unwrap().get(0)
}

async fn metrics(app: &TestApp) -> String {
    reqwest::get(format!("http://{}/metrics", app.http)).await.unwrap().text().await.unwrap()
}

/// The value of one series.
async fn metric(app: &TestApp, series: &str) -> i64 {
    let text = metrics(app).await;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

fn moment(member: &Value) -> Timestamp {
    member.as_str().unwrap().parse().unwrap()
}

/// When an entry was written, by PostgreSQL's own form of a time.
fn written_at(entry: &Value) -> Timestamp {
    moment(&entry["at"])
}

#[tokio::test]
async fn an_approved_lease_goes_on_without_a_gap_under_a_new_id_and_is_charged_once() {
    let billing = Billing::start().await;
    let app = start(billing.url(), &[("NUMBERING_POLICY__RENEWAL_WINDOW", "30h")]).await;
    let (database, number) = (app.superuser().await, app.stock_numbers(1).await.remove(0));
    let old = lease(&app, "tenant-a", &number, "30h", false).await;
    let renewed = told(&database, &number, "numbering.lease.renewed", 1).await.remove(0);

    assert_eq!(renewed["priorLeaseId"], old["leaseId"]);
    assert_ne!(renewed["leaseId"], old["leaseId"]);
    assert_eq!(moment(&renewed["effectiveFrom"]), moment(&old["effectiveUntil"]));
    let length = moment(&renewed["effectiveUntil"]).duration_since(moment(&renewed["effectiveFrom"]));
    assert_eq!(length, SignedDuration::from_hours(30));
    let charges = billing.charges().await;
    assert_eq!(charges.len(), 1, "{charges:?}");
    // 2.50 a month: 30 hours of 8,760 in twelve of them.
    let paid = (&charges[0]["leaseId"], &charges[0]["tenantId"], &charges[0]["identifier"], &charges[0]["amount"]);
    assert_eq!(paid, (&old["leaseId"], &json!("tenant-a"), &json!(number), &json!("0.1027")));

    let history = "SELECT jsonb_agg(jsonb_build_array(lease_id, prior_lease_id, charge_id) ORDER BY effective_from)
        FROM numbering.lease_history WHERE identifier = $1";
    let history: Value = database.query_one(history, &[&number]).await.unwrap().get(0);
    let expected = json!([[old["leaseId"], null, null], [renewed["leaseId"], old["leaseId"], renewed["chargeId"]],]);
    assert_eq!(history, expected);
    let before = app.tenant("tenant-a").get(&format!("/v1/leases/{}", old["leaseId"].as_str().unwrap())).await;
    assert_eq!(before.expect(200)["state"], "RENEWED");
    let verdict = app.validate(&number, "tenant-a").await;
    assert!(verdict.valid && verdict.lease_id == renewed["leaseId"].as_str().unwrap(), "{verdict:?}");

    // A second run has nothing to do, and asks nothing.
    let run = app.admin().post("/v1/admin/numbering/jobs/renew_leases/run", &json!({})).await.expect(200);
    assert_eq!((&run["schedule"], &run["lastResult"]["result"]["renewed"]), (&json!("0 2 * * *"), &json!(0)));
    assert_eq!(billing.charges().await.len(), 1);
    assert_eq!(count(&database, "SELECT count(*) FROM numbering.renewal_requests").await, 0);
    assert_eq!(metric(&app, r#"numbering_renewals_total{outcome="renewed"}"#).await, 1);
    let event = app.events(2).await.remove(1).event;
    assert_eq!((&event["type"], &event["data"]["chargeId"]), (&json!("numbering.lease.renewed"), &renewed["chargeId"]));
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn only_leases_within_the_window_and_with_auto_renew_are_renewed() {
    let billing = Billing::start().await;
    let app = start(billing.url(), &[("NUMBERING_POLICY__RENEWAL_WINDOW", "10s")]).await;
    let (database, numbers) = (app.superuser().await, app.stock_numbers(3).await);
    lease(&app, "tenant-a", &numbers[0], "1h", false).await;
    let off = json!({ "tenantId": "tenant-a", "term": "2s", "autoRenew": false });
    app.admin().post(&format!("/v1/numbers/{}/lease", numbers[1]), &off).await.expect(201);
    let soon = lease(&app, "tenant-a", &numbers[2], "12s", false).await;
    let renewed = told(&database, &numbers[2], "numbering.lease.renewed", 1).await.remove(0);
    assert_eq!(renewed["priorLeaseId"], soon["leaseId"]);
    let opens = moment(&soon["effectiveUntil"]) - SignedDuration::from_secs(10);
    assert!(written_at(&renewed) >= opens, "renewed at {}, before its window opened", written_at(&renewed));
    told(&database, &numbers[1], "numbering.lease.expired", 1).await;
    let charges = billing.charges().await;
    assert!(charges.iter().all(|charge| charge["identifier"] == numbers[2].as_str()), "{charges:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_rejected_lease_is_asked_about_again_and_ends_at_its_end() {
    let billing = Billing::start().await;
    billing.mode("reject").await;
    let app = start(billing.url(), &[("NUMBERING_POLICY__RENEWAL_RETRY", "4s")]).await;
    let (database, numbers) = (app.superuser().await, app.stock_numbers(2).await);
    let [short, long] = numbers.as_slice() else { panic!("{numbers:?}") };
    // One ends before it would be asked about again, whenever that was; the other goes on for as long as it takes.
    let ends = lease(&app, "tenant-a", short, "4s", false).await;
    let goes_on = lease(&app, "tenant-a", long, "1h", false).await;
    let failed = told(&database, long, "numbering.lease.renewal_failed", 3).await;
    for (attempt, next) in failed.iter().zip(failed.iter().skip(1)) {
        assert_eq!((&attempt["reason"], &attempt["leaseId"]), (&json!("BILLING_REJECTED"), &goes_on["leaseId"]));
        let retry_at = moment(&attempt["retryAt"]);
        assert!(written_at(next) >= retry_at, "asked again at {}, before {retry_at}", written_at(next));
    }
    let expired = told(&database, short, "numbering.lease.expired", 1).await.remove(0);
    assert_eq!(moment(&expired["endedAt"]), moment(&ends["effectiveUntil"]));
    let failed = told(&database, short, "numbering.lease.renewal_failed", 1).await;
    let [last] = failed.as_slice() else { panic!("asked once: {failed:#?}") };
    assert_eq!((&last["reason"], &last["leaseId"]), (&json!("BILLING_REJECTED"), &ends["leaseId"]));
    assert_eq!(last.get("retryAt"), None, "none comes before the lease's end");
    told(&database, short, "numbering.identifier.quarantined", 1).await;
    assert_eq!(app.validate(short, "tenant-a").await.reason().as_str_name(), "LEASE_EXPIRED");
    app.tenant("tenant-a").recall(long, "TENANT_INITIATED", None).await.expect(200);
    let open = "SELECT count(*) FROM numbering.renewal_requests";
    until("no question is open", async || count(&database, open).await == 0).await;
    assert!(billing.charges().await.is_empty());
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn a_suspended_tenant_s_lease_is_not_renewed_and_billing_is_not_asked() {
    let billing = Billing::start().await;
    let app = start(billing.url(), &[("NUMBERING_POLICY__RENEWAL_WINDOW", "6s")]).await;
    let (database, number) = (app.superuser().await, app.stock_numbers(1).await.remove(0));
    // It is suspended long before the window opens.
    let old = lease(&app, "tenant-a", &number, "12s", false).await;
    let suspended = json!({ "plan": "starter", "status": "SUSPENDED", "operatorAllowlist": null });
    app.admin().put("/v1/admin/numbering/tenants/tenant-a", &suspended).await.expect(200);
    let failed = told(&database, &number, "numbering.lease.renewal_failed", 1).await.remove(0);
    assert_eq!((&failed["reason"], &failed["leaseId"]), (&json!("TENANT_SUSPENDED"), &old["leaseId"]));
    told(&database, &number, "numbering.lease.expired", 1).await;
    assert!(!metrics(&app).await.contains("numbering_billing_duration_seconds_count"), "billing was asked");
    assert!(metric(&app, r#"numbering_renewals_total{outcome="tenant_suspended"}"#).await >= 1);
    assert!(billing.charges().await.is_empty());
    app.stop().await;
}

#[tokio::test]
async fn an_outage_is_no_rejection_and_the_lease_is_renewed_once_billing_is_back() {
    let billing = Billing::start().await;
    let app = start(billing.url(), &[("NUMBERING_BILLING__TIMEOUT", "500ms")]).await;
    let (database, number) = (app.superuser().await, app.stock_numbers(1).await.remove(0));
    let unavailable = r#"numbering_renewals_total{outcome="unavailable"}"#;
    billing.mode("fail").await;
    lease(&app, "tenant-a", &number, "1h", false).await;
    until("billing has failed", async || metric(&app, unavailable).await >= 1).await;
    billing.mode("stall").await;
    let failed = metric(&app, unavailable).await;
    until("billing has stalled", async || metric(&app, unavailable).await > failed).await;
    assert_eq!(count(&database, "SELECT count(*) FROM numbering.journal WHERE type LIKE '%renew%'").await, 0);
    assert!(app.validate(&number, "tenant-a").await.valid);
    billing.mode("approve").await;
    told(&database, &number, "numbering.lease.renewed", 1).await;
    assert_eq!(billing.charges().await.len(), 1);
    assert_eq!(count(&database, "SELECT count(*) FROM numbering.journal WHERE type LIKE '%renewal_failed'").await, 0);
    app.stop().await;
}

#[tokio::test]
async fn many_due_leases_do_not_hammer_a_billing_service_that_is_away_and_all_are_renewed_when_it_is_back() {
    const LEASES: usize = 30;
    let mut billing = Billing::absent();
    let app = start(billing.url(), &[("NUMBERING_BILLING__IN_FLIGHT", "2")]).await;
    let (database, numbers) = (app.superuser().await, app.stock_numbers(30).await);
    for number in &numbers {
        lease(&app, "tenant-a", number, "1h", false).await;
    }
    let admin = app.admin();
    let stopped = async || {
        let jobs = admin.get("/v1/admin/numbering/jobs").await.expect(200);
        let job = jobs["items"].as_array().unwrap().iter().find(|job| job["name"] == "renew_leases").unwrap().clone();
        let runs = job["recentRuns"].as_array().unwrap().clone();
        runs.into_iter().find_map(|run| Some(run["result"]["stopped"].as_str()?.to_owned()))
    };
    until("the job says that billing is away", async || stopped().await.is_some()).await;
    assert!(stopped().await.unwrap().starts_with("billing is away: it cannot be reached: "), "{:?}", stopped().await);
    let asked = metric(&app, r#"numbering_renewals_total{outcome="unavailable"}"#).await;
    assert!(asked < 12, "asked {asked} times about {LEASES} leases");
    billing.appear().await;
    for number in &numbers {
        told(&database, number, "numbering.lease.renewed", 1).await;
    }
    let mut charged: Vec<String> =
        billing.charges().await.iter().map(|charge| charge["identifier"].as_str().unwrap().to_owned()).collect();
    charged.sort();
    assert_eq!(charged, numbers, "each once");
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn a_renewal_over_today_s_quota_is_grandfathered_with_a_warning() {
    let billing = Billing::start().await;
    let app = start(billing.url(), &[("NUMBERING_POLICY__RENEWAL_WINDOW", "6s")]).await;
    let (database, numbers) = (app.superuser().await, app.stock_numbers(2).await);
    // The quota is lowered long before the window opens.
    for number in &numbers {
        lease(&app, "tenant-a", number, "12s", false).await;
    }
    app.admin().put("/v1/admin/numbering/tenants/tenant-a/quotas", &json!({ "MSISDN": 1 })).await.expect(200);
    for number in &numbers {
        let renewed = told(&database, number, "numbering.lease.renewed", 1).await.remove(0);
        let warning = told(&database, number, "numbering.lease.renewal_over_quota", 1).await.remove(0);
        assert_eq!((&warning["quota"], &warning["current"]), (&json!(1), &json!(2)));
        assert_eq!(warning["leaseId"], renewed["leaseId"]);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_renewal_takes_the_price_of_its_day_and_leaves_the_old_term_s_as_it_was_agreed() {
    let billing = Billing::start().await;
    let app = start(billing.url(), &[("NUMBERING_POLICY__RENEWAL_WINDOW", "6s")]).await;
    let (database, number) = (app.superuser().await, app.stock_numbers(1).await.remove(0));
    let old = lease(&app, "tenant-a", &number, "12s", false).await;
    // Long before the window opens the price rises for all, and differently for the tenant's plan.
    app.raise_price("MSISDN", "standard", "99999999").await;
    app.price("MSISDN", "standard", "31536000", json!({ "plan": "starter", "per": "year" })).await;
    let renewed = told(&database, &number, "numbering.lease.renewed", 1).await.remove(0);
    assert_eq!(renewed["price"], json!({ "amount": "31536000", "currency": "USD", "per": "year" }));
    assert_eq!(billing.charges().await[0]["amount"], "12.00", "a second of a year for each second");
    let sql = "SELECT price_amount::float8 FROM numbering.lease_history WHERE identifier = $1 ORDER BY effective_from";
    let terms: Vec<f64> = database.query(sql, &[&number]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(terms, [2.5, 31_536_000.0]);
    assert_eq!(old["price"]["amount"], "2.50");
    app.stop().await;
}

#[tokio::test]
async fn a_lock_survives_the_renewal_of_its_lease() {
    let billing = Billing::start().await;
    let app = start(billing.url(), &[("NUMBERING_POLICY__RENEWAL_WINDOW", "6s")]).await;
    let (database, number) = (app.superuser().await, app.stock_numbers(1).await.remove(0));
    let tenant = app.tenant("tenant-a");
    let old = lease(&app, "tenant-a", &number, "12s", false).await;
    let path = |lease: &Value| format!("/v1/leases/{}", lease["leaseId"].as_str().unwrap());
    tenant.patch(&path(&old), &json!({ "locked": true })).await.expect(200);
    let renewed = told(&database, &number, "numbering.lease.renewed", 1).await.remove(0);
    assert_ne!(renewed["leaseId"], old["leaseId"]);
    assert_eq!(tenant.get(&path(&renewed)).await.expect(200)["locked"], true);
    let refused = tenant.recall(&number, "TENANT_INITIATED", None).await.problem(409, "INVALID_STATE");
    assert_eq!(refused["reason"], "LEASE_LOCKED");
    app.stop().await;
}

#[tokio::test]
async fn a_crash_leaves_the_words_to_ask_again_in_although_the_price_list_has_changed() {
    let billing = Billing::start().await;
    let line = HeldLine::to(billing.url()).await;
    let window = ("NUMBERING_POLICY__RENEWAL_WINDOW", "730h");
    let mut app = start(&line.url(), &[window, ("NUMBERING_BILLING__TIMEOUT", "30s")]).await;
    let (database, number) = (app.superuser().await, app.stock_numbers(1).await.remove(0));
    lease(&app, "tenant-a", &number, "730h", false).await;
    line.until_answered(1).await;
    // The answer never comes: as if the replica had died with it on the way.
    drop(line);
    app.raise_price("MSISDN", "standard", "99").await;
    app.stop_serving().await;
    let replica = app.replica(&settings(billing.url(), &[window])).await;
    let renewed = told(&database, &number, "numbering.lease.renewed", 1).await.remove(0);
    assert_eq!(renewed["price"]["amount"], "2.5", "the price that was charged is the price of the term");
    let charges = billing.charges().await;
    assert_eq!((charges.len(), &charges[0]["amount"]), (1, &json!("2.50")));
    replica.stop().await;
}

#[tokio::test]
async fn a_recall_that_comes_before_the_approved_renewal_wins_and_finance_is_told_of_the_charge() {
    let billing = Billing::start().await;
    let line = HeldLine::to(billing.url()).await;
    let app = start(&line.url(), &[("NUMBERING_BILLING__TIMEOUT", "30s")]).await;
    let (database, number) = (app.superuser().await, app.stock_numbers(1).await.remove(0));
    let old = lease(&app, "tenant-a", &number, "1h", false).await;
    line.until_answered(1).await;
    app.tenant("tenant-a").recall(&number, "TENANT_INITIATED", None).await.expect(200);
    line.let_go();
    let in_vain = r#"numbering_renewals_total{outcome="charged_in_vain"}"#;
    until("the charge in vain is counted", async || metric(&app, in_vain).await == 1).await;
    until("it is there for alerts", async || metric(&app, "numbering_charges_without_renewal").await == 1).await;

    let row = database.query_one("SELECT lease_id::text, tenant_id, amount::text, currency, charge_id FROM numbering.charges_without_renewal", &[]).await.unwrap();
    let found: (String, String, String, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
    let expected =
        (old["leaseId"].as_str().unwrap().to_owned(), "tenant-a".to_owned(), "0.0034".to_owned(), "USD".to_owned());
    assert_eq!(found, expected);
    assert!(row.get::<_, Option<String>>(4).is_some(), "the charge is known");
    assert_eq!(count(&database, "SELECT count(*) FROM numbering.lease_history").await, 1);
    assert_eq!(app.validate(&number, "tenant-a").await.reason().as_str_name(), "LEASE_RECALLED");
    let settled = "UPDATE numbering.renewal_requests SET settled_at = clock_timestamp()";
    database.execute(settled, &[]).await.unwrap();
    until("it is settled", async || metric(&app, "numbering_charges_without_renewal").await == 0).await;
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_recall_and_a_renewal_that_race_one_comes_first_and_every_charge_is_accounted_for() {
    const LEASES: usize = 40;
    let billing = Billing::start().await;
    let line = HeldLine::to(billing.url()).await;
    let mut app = TestApp::start_with(&SECONDS).await;
    let (database, numbers) = (app.superuser().await, app.stock_numbers(40).await);
    for number in &numbers {
        lease(&app, "tenant-a", number, "1h", false).await;
    }
    app.stop_serving().await;
    // All are charged, and all the answers are on the way, when the recalls set out.
    let patient = [("NUMBERING_BILLING__TIMEOUT", "30s"), ("NUMBERING_BILLING__IN_FLIGHT", "40")];
    let replica = app.replica(&settings(&line.url(), &patient)).await;
    until("all are charged", async || billing.charges().await.len() == LEASES).await;
    let admin = app.admin().at(replica.http);
    // One comes before its answer for certain, one after its renewal, and the others race.
    let (first, racing, last) = (&numbers[0], &numbers[1..LEASES - 1], &numbers[LEASES - 1]);
    admin.recall(first, "ABUSE", Some("ABUSE-1")).await.expect(200);
    let mut recalls = tokio::task::JoinSet::new();
    for (place, number) in racing.iter().enumerate() {
        let (admin, number): (Client, String) = (admin.clone(), number.clone());
        recalls.spawn(async move { admin.recall(&number, "ABUSE", Some("ABUSE-1")).await.status.as_u16() });
        if place == LEASES / 4 {
            line.let_go();
        }
    }
    assert!(recalls.join_all().await.iter().all(|status| *status == 200));
    told(&database, last, "numbering.lease.renewed", 1).await;
    admin.recall(last, "ABUSE", Some("ABUSE-1")).await.expect(200);
    let run = admin.send(Method::POST, "/v1/admin/numbering/jobs/renew_leases/run", None, &[]).await;
    assert_eq!(run.status, 200, "what was under way has ended");

    let renewed = count(&database, "SELECT count(*) FROM numbering.lease_history WHERE charge_id IS NOT NULL").await;
    let in_vain =
        count(&database, "SELECT count(*) FROM numbering.charges_without_renewal WHERE charge_id IS NOT NULL").await;
    assert_eq!((renewed + in_vain, billing.charges().await.len()), (40, LEASES), "{renewed} and {in_vain}");
    assert!(renewed > 0 && in_vain > 0, "they raced: {renewed} renewed, {in_vain} in vain");
    let in_force = "SELECT count(*) FROM numbering.leases WHERE state IN ('LEASED', 'SUSPENDED')";
    assert_eq!(count(&database, in_force).await, 0, "every number was recalled, before its renewal or after");
    until("all is published", async || count(&database, "SELECT count(*) FROM numbering.outbox").await == 0).await;
    books::balance(&app).await;
    replica.stop().await;
}

/// Of a grace that lasts for five of its reminders, tests wait for three at most.
const GRACE: [(&str, &str); 3] = [
    ("NUMBERING_POLICY__RENEWAL_WINDOW", "1s"),
    ("NUMBERING_POLICY__VANITY_GRACE", "10s"),
    ("NUMBERING_POLICY__REMINDER_INTERVAL", "2s"),
];

/// None comes before the grace, nor sooner than an interval for each before it.
fn are_not_early(reminders: &[Value], lease: &Value, grace_until: Timestamp) {
    let mut due = moment(&lease["effectiveUntil"]);
    for reminder in reminders {
        assert_eq!((&reminder["leaseId"], moment(&reminder["graceUntil"])), (&lease["leaseId"], grace_until));
        assert!(written_at(reminder) >= due, "reminded at {}, before {due}", written_at(reminder));
        due += SignedDuration::from_secs(2);
    }
}

#[tokio::test]
async fn a_vanity_lease_in_grace_is_valid_and_reminded_of_and_renewed_from_where_it_ended() {
    let billing = Billing::start().await;
    billing.mode("reject").await;
    let app = start(billing.url(), &GRACE).await;
    let database = app.superuser().await;
    app.stock(json!([{ "identifier": "4455", "vanityEligible": true }])).await;
    let old = lease(&app, "tenant-a", "4455", "12s", true).await;
    let grace_until = moment(&old["effectiveUntil"]) + SignedDuration::from_secs(10);
    let reminders = told(&database, "4455", "numbering.lease.grace_reminder", 2).await;
    let verdict = app.validate("4455", "tenant-a").await;
    let valid_until = verdict.effective_until.unwrap();
    assert!(verdict.valid && verdict.lease_id == old["leaseId"].as_str().unwrap());
    let granted = (grace_until.as_second(), grace_until.subsec_nanosecond());
    assert_eq!((valid_until.seconds, valid_until.nanos), granted);
    are_not_early(&reminders, &old, grace_until);
    let failed = told(&database, "4455", "numbering.lease.renewal_failed", 2).await;
    assert!(failed.iter().any(|failed| written_at(failed) >= moment(&old["effectiveUntil"])), "asked in grace too");

    billing.mode("approve").await;
    let renewed = told(&database, "4455", "numbering.lease.renewed", 1).await.remove(0);
    assert_eq!(moment(&renewed["effectiveFrom"]), moment(&old["effectiveUntil"]));
    assert_eq!(renewed["priorLeaseId"], old["leaseId"]);
    assert_eq!(renewed["price"]["amount"], "500", "by the price of vanity");
    until("the lease that goes on is valid", async || {
        let verdict = app.validate("4455", "tenant-a").await;
        verdict.valid && verdict.lease_id == renewed["leaseId"].as_str().unwrap()
    })
    .await;
    assert_eq!(told(&database, "4455", "numbering.lease.expired", 0).await, [] as [Value; 0]);
    books::balance(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn a_vanity_lease_that_is_not_renewed_in_its_grace_ends_with_it_and_rests_for_the_vanity_cool_down() {
    let billing = Billing::start().await;
    billing.mode("reject").await;
    let app = start(billing.url(), &GRACE).await;
    let database = app.superuser().await;
    app.stock(json!([{ "identifier": "4455", "vanityEligible": true }])).await;
    let old = lease(&app, "tenant-a", "4455", "2s", true).await;
    let expired = told(&database, "4455", "numbering.lease.expired", 1).await.remove(0);
    let grace_until = moment(&old["effectiveUntil"]) + SignedDuration::from_secs(10);
    assert_eq!(moment(&expired["endedAt"]), grace_until);
    are_not_early(&told(&database, "4455", "numbering.lease.grace_reminder", 3).await, &old, grace_until);
    let rests = told(&database, "4455", "numbering.identifier.quarantined", 1).await.remove(0);
    assert_eq!(moment(&rests["availableAt"]), grace_until + SignedDuration::from_hours(24 * 365));
    assert_eq!(app.validate("4455", "tenant-a").await.reason().as_str_name(), "LEASE_EXPIRED");
    assert!(billing.charges().await.is_empty());
    app.stop().await;
}

#[tokio::test]
async fn without_billing_nothing_is_renewed() {
    let app = TestApp::start_with(&SECONDS).await;
    let (database, number) = (app.superuser().await, app.stock_numbers(1).await.remove(0));
    lease(&app, "tenant-a", &number, "2s", false).await;
    told(&database, &number, "numbering.lease.expired", 1).await;
    assert_eq!(count(&database, "SELECT count(*) FROM numbering.journal WHERE type LIKE '%renew%'").await, 0);
    app.stop().await;
}
