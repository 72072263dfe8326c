//! The report of quarantines that were ended before their time (US-NUM-006): for a day, and published once for each.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use numbering::store::commit::Origin;
use numbering::store::leadership::Replica;
use numbering::store::reports::Report;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client as Database;

use crate::support::TestApp;

const PATH: &str = "/v1/admin/numbering/reports/quarantine-overrides";
const EVENT: &str = "numbering.quarantine.override_report";
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// As many days as are made up for.
const DAYS: usize = 31;

fn moment(member: &Value) -> Timestamp {
    member.as_str().unwrap().parse().unwrap()
}

fn day_of(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::UTC).date().to_string()
}

#[tokio::test]
async fn the_report_of_a_day_says_who_ended_what_why_and_how_early() {
    let app = TestApp::start().await;
    let number = app.stock_numbers(1).await.remove(0);
    let (a, admin, compliance) = (app.tenant("tenant-a"), app.admin(), app.compliance());
    a.act(&number, "reserve").await.expect(200);
    let lease = a.lease(&number, "6m").await.expect(201);
    let available_at = a.recall(&number, "TENANT_INITIATED", None).await.expect(200)["availableAt"].clone();
    let path = format!("/v1/admin/numbers/{number}/quarantine/release");
    admin.post(&path, &json!({ "justification": "Recalled by mistake." })).await.expect(200);

    let audit = compliance.get("/v1/admin/numbering/audit?type=numbering.quarantine.overridden").await.expect(200);
    let entry = &audit["items"][0];
    let day = day_of(moment(&entry["at"]));
    let report = compliance.get(&format!("{PATH}?date={day}")).await.expect(200);
    let early_by = moment(&available_at).duration_since(moment(&entry["at"])).as_secs();
    let expected = json!({ "date": day, "count": 1, "truncated": false, "items": [{
        "identifier": number, "identifierClass": "MSISDN", "at": entry["at"], "actor": "ops",
        "requestId": entry["requestId"], "justification": "Recalled by mistake.", "availableAt": available_at,
        "earlyBySeconds": early_by, "tenantId": "tenant-a", "leaseId": lease["leaseId"],
    }] });
    assert_eq!(report, expected);
    assert!((7_775_900..=7_776_000).contains(&early_by), "90 days, but for what the test took: {early_by}");

    let before = day_of(Timestamp::from_second(0).unwrap());
    let empty = json!({ "date": before, "count": 0, "items": [], "truncated": false });
    assert_eq!(admin.get(&format!("{PATH}?date={before}")).await.expect(200), empty);
    let today = compliance.get(PATH).await.expect(200);
    assert!(today["date"] != day || today["items"] == report["items"], "{today}");
    for bad in ["", "today", "2026-4-20", "2026-02-29", "20260420", "0000-01-01", "2026-04-20T00:00:00Z"] {
        let problem = compliance.get(&format!("{PATH}?date={bad}")).await.problem(400, "MALFORMED_REQUEST");
        assert_eq!(problem["parameter"], "date", "{bad}");
    }
    app.stop().await;
}

/// An entry of the journal, of so many days ago, as if the service had written it then.
async fn happened(database: &Database, days_ago: i32, number: &str, version: i64, event_type: &str) {
    let sql = "INSERT INTO numbering.journal (subject, subject_kind, version, event_id, type, data, actor, request_id, at)
               SELECT $1::text, 'number', $2, gen_random_uuid(), $3,
                      jsonb_build_object('identifier', $1::text, 'identifierClass', 'MSISDN', 'justification', 'By mistake.',
                                         'availableAt', to_char(m.at + interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')),
                      'ops', 'a-request', m.at AT TIME ZONE 'UTC'
               FROM (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date - $4::integer + interval '12 hours' AS at) AS m";
    assert_eq!(database.execute(sql, &[&number, &version, &event_type, &days_ago]).await.unwrap(), 1);
}

async fn days_reported(database: &Database) -> Vec<Date> {
    let sql = "SELECT (data ->> 'date')::date FROM numbering.journal WHERE type = $1 ORDER BY 1";
    database.query(sql, &[&EVENT]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn each_day_that_is_over_is_published_once_and_so_are_those_that_were_missed() {
    let mut app = TestApp::start().await;
    app.stop_serving().await;
    let database = app.superuser().await;
    let overridden = "numbering.quarantine.overridden";
    happened(&database, 40, "+93700000000", 1, "numbering.reservation.held").await;
    for (days_ago, number) in [(35, "+93700000001"), (5, "+93700000002"), (5, "+93700000003"), (0, "+93700000004")] {
        happened(&database, days_ago, number, 1, overridden).await;
    }

    // Two replicas start and find what was missed while there was none.
    let first = app.replica(&[]).await;
    let second = app.replica(&[]).await;
    let all = async {
        while days_reported(&database).await.len() < DAYS {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, all).await.expect("the days are reported");
    let run = "/v1/admin/numbering/jobs/override_report/run";
    for _ in 0..2 {
        let done = app.admin().at(first.http).post(run, &json!({})).await.expect(200);
        assert_eq!(
            (&done["lastResult"]["outcome"], &done["lastResult"]["result"]),
            (&json!("DONE"), &json!({ "published": 0 }))
        );
    }
    let days = days_reported(&database).await;
    assert_eq!((days.len(), days.iter().collect::<BTreeSet<_>>().len()), (DAYS, DAYS), "{days:?}");

    let events = app.events(DAYS).await;
    let mut counts = Vec::new();
    for received in &events {
        let data = &received.event["data"];
        assert_eq!(received.subject, EVENT);
        assert_eq!(received.event["subject"], format!("quarantine_overrides/{}", data["date"].as_str().unwrap()));
        counts.push((data["count"].as_i64().unwrap(), data["items"].as_array().unwrap().len()));
        if data["count"] == 2 {
            let numbers: Vec<&str> =
                data["items"].as_array().unwrap().iter().map(|item| item["identifier"].as_str().unwrap()).collect();
            assert_eq!(numbers, ["+93700000002", "+93700000003"]);
            assert_eq!(data["items"][0]["earlyBySeconds"], 86_400);
        }
    }
    counts.sort_unstable();
    assert_eq!((counts[DAYS - 1], counts[DAYS - 2]), ((2, 2), (0, 0)), "neither today's nor what is too long ago");
    assert_eq!(app.published().await, DAYS as u64);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_report_is_published_by_whoever_has_the_role_and_only_once() {
    let app = TestApp::start().await;
    let store = app.store();
    let origin = Origin { actor: "numbering".to_owned(), request_id: "a-test".to_owned() };
    let (first, second) = (Replica::new("first"), Replica::new("second"));
    let old = store.acquire_leadership("test", &first, Duration::ZERO).await.unwrap().unwrap();
    let held = store.acquire_leadership("test", &second, Duration::from_mins(1)).await.unwrap().unwrap();
    let (day, at) = ("2026-04-20".parse().unwrap(), "2026-04-21T00:10:00Z".parse().unwrap());
    let data = json!({ "date": "2026-04-20", "count": 0, "items": [], "truncated": false });
    let report = Report { name: "quarantine_overrides", day, event_type: EVENT, data: &data, at };
    assert!(!store.publish_report(&old, &report, &origin).await.unwrap(), "its role has gone to another");
    assert!(store.publish_report(&held, &report, &origin).await.unwrap());
    assert!(!store.publish_report(&held, &report, &origin).await.unwrap(), "it is published already");
    assert_eq!(app.events(1).await[0].event["time"], "2026-04-21T00:10:00.000000Z");
    app.stop().await;
}
