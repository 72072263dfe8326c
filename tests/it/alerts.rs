//! Alerts that the service raises and resolves by itself.

use std::sync::Arc;

use futures_util::future::join_all;
use numbering::operations::alerts::{AlertKind, Alerts};
use numbering::store::commit::Origin;
use serde_json::{Value, json};

use crate::support::TestApp;

const PATH: &str = "/v1/admin/numbering/alerts";

fn origin() -> Origin {
    Origin { actor: "numbering".to_owned(), request_id: "a-test".to_owned() }
}

#[tokio::test]
async fn an_alert_is_raised_once_shown_resolved_once_and_told_as_events() {
    let app = TestApp::start().await;
    let (alerts, admin) = (Alerts::new(app.store(), Arc::default()), app.admin());
    assert_eq!(admin.get(PATH).await.expect(200), json!({ "items": [], "nextPage": null }));

    let (kind, origin) = (AlertKind::DeadLetter, origin());
    let at_once = (0..8).map(|_| alerts.raise(kind, "compliance", "A message is no JSON.", &origin));
    let new = join_all(at_once).await.into_iter().filter(|new| *new.as_ref().unwrap()).count();
    assert_eq!(new, 1, "of many at once one raises it");
    assert!(!alerts.resolve(kind, "billing", &origin).await.unwrap());
    let open = admin.get(&format!("{PATH}?state=OPEN")).await.expect(200)["items"][0].clone();
    let expected = json!({
        "alertId": open["alertId"], "name": "numbering_dead_letter", "severity": "CRITICAL", "subject": "compliance",
        "summary": "A message is no JSON.", "runbook": "docs/runbooks/dead-letter.md", "raisedAt": open["raisedAt"],
        "resolvedAt": null,
    });
    assert_eq!(open, expected);
    assert_eq!(admin.get(&format!("{PATH}?state=RESOLVED")).await.expect(200)["items"], json!([]));

    let at_once = (0..8).map(|_| alerts.resolve(kind, "compliance", &origin));
    let resolved = join_all(at_once).await.into_iter().filter(|was_open| *was_open.as_ref().unwrap()).count();
    assert_eq!(resolved, 1);
    assert_eq!(admin.get(&format!("{PATH}?state=OPEN")).await.expect(200)["items"], json!([]));
    let resolved = admin.get(&format!("{PATH}?state=RESOLVED")).await.expect(200)["items"][0].clone();
    assert_eq!((&resolved["alertId"], resolved["resolvedAt"].is_string()), (&open["alertId"], true), "{resolved}");
    assert!(alerts.raise(kind, "compliance", "Again.", &origin).await.unwrap(), "it is a new one after its end");

    let events = app.events(3).await;
    let types: Vec<&str> = events.iter().map(|received| received.subject.as_str()).collect();
    assert_eq!(types, ["numbering.alert.raised", "numbering.alert.resolved", "numbering.alert.raised"]);
    for received in &events {
        assert_eq!(received.event["subject"], "numbering_dead_letter/compliance");
    }
    let instant = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let data = &events[1].event["data"];
    assert_eq!((&data["alertId"], &data["summary"]), (&open["alertId"], &open["summary"]));
    assert_eq!(instant(&data["raisedAt"]), instant(&open["raisedAt"]));
    assert_eq!(instant(&data["resolvedAt"]), instant(&resolved["resolvedAt"]));
    let audit = "/v1/admin/numbering/audit?subject=numbering_dead_letter/compliance";
    assert_eq!(app.compliance().get(audit).await.expect(200)["items"].as_array().unwrap().len(), 3);
    app.stop().await;
}

#[tokio::test]
async fn alerts_come_in_pages_the_newest_first() {
    let app = TestApp::start().await;
    let (alerts, admin, origin) = (Alerts::new(app.store(), Arc::default()), app.admin(), origin());
    for subject in ["first", "second", "third"] {
        assert!(alerts.raise(AlertKind::DeadLetter, subject, "It failed.", &origin).await.unwrap());
    }
    let first = admin.get(&format!("{PATH}?state=OPEN&limit=2")).await.expect(200);
    let cursor = first["nextPage"].as_str().unwrap();
    let second = admin.get(&format!("{PATH}?state=OPEN&limit=2&page={cursor}")).await.expect(200);
    let subjects: Vec<&str> = [&first, &second]
        .iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .map(|alert| alert["subject"].as_str().unwrap())
        .collect();
    assert_eq!((subjects, &second["nextPage"]), (vec!["third", "second", "first"], &Value::Null));
    admin.get(&format!("{PATH}?limit=2&page={cursor}")).await.problem(400, "INVALID_CURSOR");
    let problem = admin.get(&format!("{PATH}?state=open")).await.problem(400, "MALFORMED_REQUEST");
    assert_eq!(problem["parameter"], "state");
    app.stop().await;
}
