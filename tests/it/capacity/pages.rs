//! That a page reaches whoever is on duty: by Alertmanager's interface, and by Alertmanager itself.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use numbering::operations::alerts::{AlertKind, Alerts};
use numbering::store::commit::Origin;
use serde_json::{Value, json};

use super::{FOLLOWING, act, file, import, premium, until_alerts};
use crate::support::pager::{Alertmanager, Receiver};
use crate::support::{TestApp, until};

async fn start(url: &str) -> TestApp {
    let settings = [("NUMBERING_ALERTMANAGER__URL", url), ("NUMBERING_ALERTMANAGER__REPEAT_EVERY", "1s")];
    let all: Vec<(&str, &str)> = FOLLOWING.into_iter().chain(settings).collect();
    TestApp::start_with(&all).await
}

fn alerts(app: &TestApp) -> Alerts {
    Alerts::new(app.store(), Arc::default())
}

fn origin() -> Origin {
    Origin { actor: "numbering".to_owned(), request_id: "a-test".to_owned() }
}

/// Of what was told about alerts of this name, which had an end.
fn ends(receiver: &Receiver, name: &str) -> Vec<bool> {
    let of_name = |alert: &&Value| alert["labels"]["alertname"] == name;
    receiver.alerts().iter().filter(of_name).map(|alert| alert["endsAt"].is_string()).collect()
}

#[tokio::test]
async fn an_open_alert_is_told_again_and_again_and_its_end_until_it_is_acknowledged() {
    let receiver = Receiver::start().await;
    let app = start(&receiver.url()).await;
    let (alerts, origin, name) = (alerts(&app), origin(), AlertKind::DeadLetter.name());
    assert!(alerts.raise(AlertKind::DeadLetter, "billing", "A message is no JSON.", &origin).await.unwrap());
    until("it is told three times", async || ends(&receiver, name).len() >= 3).await;
    assert!(ends(&receiver, name).iter().all(|over| !over), "it is open");
    let told = receiver.alerts()[0].clone();
    assert_eq!(told["annotations"]["subject"], "billing");
    assert_eq!(told["labels"]["severity"], "CRITICAL");

    receiver.answers(|_| StatusCode::SERVICE_UNAVAILABLE);
    assert!(alerts.resolve(AlertKind::DeadLetter, "billing", &origin).await.unwrap());
    until("its end is tried again", async || ends(&receiver, name).iter().filter(|over| **over).count() >= 2).await;
    let metrics = app.admin().get("/metrics").await.text;
    assert!(metrics.contains(r#"numbering_alertmanager_pushes_total{outcome="failed"}"#), "{metrics}");
    receiver.answers(|_| StatusCode::OK);
    let database = app.superuser().await;
    until("it is acknowledged", async || {
        let row = database.query_one("SELECT bool_and(end_acknowledged) FROM numbering.alerts", &[]).await.unwrap();
        row.get(0)
    })
    .await;
    receiver.forget();
    assert!(alerts.raise(AlertKind::ClockSkew, "replica-7", "It is off.", &origin).await.unwrap());
    until("others are told", async || ends(&receiver, AlertKind::ClockSkew.name()).len() >= 3).await;
    assert!(ends(&receiver, name).is_empty(), "what is acknowledged is not told again");
    app.stop().await;
}

#[tokio::test]
async fn an_alert_that_is_refused_does_not_hold_up_the_others() {
    let receiver = Receiver::start().await;
    receiver.answers(|body| {
        let refused = |alert: &Value| alert["annotations"]["subject"] == "poison";
        if body.as_array().unwrap().iter().any(refused) { StatusCode::BAD_REQUEST } else { StatusCode::OK }
    });
    let app = start(&receiver.url()).await;
    let (alerts, origin) = (alerts(&app), origin());
    for subject in ["poison", "billing"] {
        assert!(alerts.raise(AlertKind::DeadLetter, subject, "It failed.", &origin).await.unwrap());
        assert!(alerts.resolve(AlertKind::DeadLetter, subject, &origin).await.unwrap());
    }
    let database = app.superuser().await;
    until("the other's end is acknowledged", async || {
        let sql = "SELECT array_agg(subject ORDER BY subject) FROM numbering.alerts WHERE NOT end_acknowledged";
        let row = database.query_one(sql, &[]).await.unwrap();
        row.get::<_, Option<Vec<String>>>(0) == Some(vec!["poison".to_owned()])
    })
    .await;
    app.stop().await;
}

/// So many alerts of this severity, open or over, as a service leaves them that could not tell.
async fn leave(app: &TestApp, severity: &str, count: i32, over: bool) {
    let sql = "INSERT INTO numbering.alerts (alert_id, name, severity, subject, summary, runbook, resolved_at)
               SELECT gen_random_uuid(), 'numbering_of_test', $1, $1 || n, 'x', 'x', CASE WHEN $3 THEN clock_timestamp() END
               FROM generate_series(1, $2::integer) AS n";
    app.superuser().await.execute(sql, &[&severity, &count, &over]).await.unwrap();
}

fn is_poison(alert: &Value) -> bool {
    alert["labels"]["alertname"] == "numbering_of_test"
}

#[tokio::test]
async fn a_new_page_is_told_first_however_many_alerts_are_open_or_refused_and_each_has_its_turn() {
    let receiver = Receiver::start().await;
    let app = start(&receiver.url()).await;
    leave(&app, "WARNING", 700, false).await;
    leave(&app, "CRITICAL", 600, true).await;
    until("each has its turn", async || {
        let told = receiver.alerts();
        let subjects = told.iter().map(|alert| alert["annotations"]["subject"].to_string());
        subjects.collect::<std::collections::BTreeSet<_>>().len() == 1_300
    })
    .await;
    // From now on Alertmanager takes none of these.
    receiver.answers(|body| {
        if body.as_array().unwrap().iter().any(is_poison) { StatusCode::BAD_REQUEST } else { StatusCode::OK }
    });
    let (alerts, origin, name) = (alerts(&app), origin(), AlertKind::BlockCritical.name());
    assert!(alerts.raise(AlertKind::BlockCritical, "MSISDN/awcc/+9370", "Little is left.", &origin).await.unwrap());
    until("somebody is paged", async || !ends(&receiver, name).is_empty()).await;
    app.stop().await;
}

#[tokio::test]
async fn an_end_that_is_refused_again_and_again_is_given_up() {
    let receiver = Receiver::start().await;
    receiver.answers(|_| StatusCode::BAD_REQUEST);
    let app = start(&receiver.url()).await;
    leave(&app, "CRITICAL", 1, true).await;
    let database = app.superuser().await;
    until("it is given up", async || {
        let row = database.query_one("SELECT bool_and(end_acknowledged) FROM numbering.alerts", &[]).await.unwrap();
        row.get(0)
    })
    .await;
    // Each time with the others, and by itself.
    assert_eq!(ends(&receiver, "numbering_of_test").len(), 20, "not before it was refused ten times");
    let metrics = app.admin().get("/metrics").await.text;
    assert!(metrics.contains(r#"numbering_alertmanager_pushes_total{outcome="given_up"} 1"#), "{metrics}");
    app.stop().await;
}

#[tokio::test]
async fn whoever_tells_one_after_the_other_holds_the_role_all_the_while() {
    let receiver = Receiver::start().await;
    receiver.answers(|body| if body.as_array().unwrap().len() > 1 { StatusCode::BAD_REQUEST } else { StatusCode::OK });
    let app = start(&receiver.url()).await;
    until("a replica has the role", async || app_holds(&app).await).await;
    receiver.takes(Duration::from_millis(500));
    leave(&app, "WARNING", 30, false).await;
    let mut held = Vec::new();
    until("each is told by itself", async || {
        held.push(app_holds(&app).await);
        receiver.bodies().iter().filter(|body| body.as_array().unwrap().len() == 1).count() >= 30
    })
    .await;
    assert!(held.iter().all(|held| *held), "the role was over meanwhile");
    app.stop().await;
}

async fn app_holds(app: &TestApp) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM numbering.leaderships
                              WHERE role = 'alertmanager' AND expires_at > clock_timestamp())";
    app.superuser().await.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_block_below_one_percent_pages_through_alertmanager_and_a_new_block_ends_it() {
    let pager = Receiver::start().await;
    let alertmanager = Alertmanager::start(&pager).await;
    let app = start(alertmanager.url()).await;
    let signer = app.operator("awcc", &["+9370"]).await;
    import(&app, &signer, &file(100, 0)).await;
    let tenant = premium(&app, "tenant-a").await;
    act(&tenant, "reserve", 0..96).await;
    until("the warning fires", async || alertmanager.firing().await == ["numbering_pool_exhausted"]).await;
    assert_eq!(pager.bodies(), Vec::<Value>::new(), "nobody is paged yet");
    act(&tenant, "reserve", 96..100).await;
    let both = ["numbering_block_critical", "numbering_pool_exhausted"];
    until("both fire", async || alertmanager.firing().await == both).await;
    until("somebody is paged", async || !pager.bodies().is_empty()).await;
    let page = pager.bodies()[0].clone();
    assert_eq!((&page["status"], &page["commonLabels"]["severity"]), (&json!("firing"), &json!("SEV1")));
    assert_eq!(page["commonLabels"]["alertname"], "numbering_block_critical");
    let annotations = &page["commonAnnotations"];
    assert_eq!(annotations["subject"], "MSISDN/awcc/+9370");
    assert_eq!(annotations["runbook"], "docs/runbooks/pool-exhausted.md");

    import(&app, &signer, &file(200, 0)).await;
    until_alerts(&app.admin(), "+9370", &[]).await;
    until("none fires", async || alertmanager.firing().await.is_empty()).await;
    until("the page is over", async || pager.bodies().last().unwrap()["status"] == "resolved").await;
    app.stop().await;
}
