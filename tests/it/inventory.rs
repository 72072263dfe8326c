//! Short codes and alphanumeric sender IDs, by an admin's hand.

use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;

const INVENTORY: &str = "/v1/admin/numbering/inventory";

#[tokio::test]
async fn items_come_in_once_and_bad_ones_are_told_with_their_reason() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let items = json!([
        { "identifier": "4455", "vanityEligible": true, "priceTier": "gold" },
        { "identifier": "MyBank", "validFrom": "2020-01-01" },
        { "identifier": "MYBANK" },
        { "identifier": "119" },
        { "identifier": "+93701234567" },
        { "identifier": "4456", "priceTier": "bronze" },
        { "identifier": "4457", "validFrom": "soon" },
        { "identifier": "B" },
    ]);
    let key = [("idempotency-key", "stock-1")];
    let body = json!({ "items": items });
    let added = admin.send(Method::POST, INVENTORY, Some(&body), &key).await.expect(200);
    assert_eq!((&added["inserted"], &added["duplicates"], &added["invalid"]), (&json!(2), &json!(1), &json!(5)));
    assert_eq!(
        added["rejects"],
        json!([
            { "index": 3, "identifier": "119", "value": "119", "reason": "NEVER_LEASABLE" },
            { "index": 4, "identifier": "+93701234567", "value": "+93701234567", "reason": "MSISDN_NEEDS_BLOCK" },
            { "index": 5, "identifier": "4456", "value": "bronze", "reason": "UNKNOWN_PRICE_TIER" },
            { "index": 6, "identifier": "4457", "value": "soon", "reason": "INVALID_VALID_FROM" },
            { "index": 7, "identifier": "B", "value": "B", "reason": "INVALID_IDENTIFIER" },
        ])
    );
    let again = admin.send(Method::POST, INVENTORY, Some(&body), &key).await;
    assert_eq!((again.expect(200), again.headers["idempotent-replayed"].to_str().unwrap()), (added.clone(), "true"));

    let code = admin.get("/v1/numbers/4455").await.expect(200);
    assert_eq!(
        (&code["vanityEligible"], &code["priceTier"], &code["state"]),
        (&json!(true), &json!("gold"), &json!("AVAILABLE"))
    );
    assert_eq!(code["blockId"], added["blockId"]);
    assert!(code.get("operatorId").is_none());
    assert_eq!(admin.get("/v1/numbers/mybank").await.expect(200)["identifier"], "MyBank", "shown as registered");

    let event = &app.events(1).await[0];
    assert_eq!((event.subject.as_str(), &event.event["data"]["count"]), ("numbering.block.imported", &json!(2)));
    assert!(event.event["data"]["operatorId"].is_null());
    app.stop().await;
}

#[tokio::test]
async fn ten_thousand_items_fit_and_one_more_does_not() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let items = |count: u32| {
        (0..count).map(|n| json!({ "identifier": (100_000 + n).to_string(), "vanityEligible": false, "priceTier": "standard", "validFrom": "2026-01-01T00:00:00Z" })).collect::<Vec<_>>()
    };
    let added = admin.post(INVENTORY, &json!({ "items": items(10_000) })).await.expect(200);
    assert_eq!(added["inserted"], 10_000);
    for wrong in [items(10_001), items(0)] {
        let problem = admin.post(INVENTORY, &json!({ "items": wrong })).await.problem(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["pointer"], "/items");
    }
    app.tenant("tenant-a").post(INVENTORY, &json!({ "items": items(1) })).await.problem(403, "FORBIDDEN");
    app.stop().await;
}
