//! US-NUM-012: a short code leased as vanity, for years, by a price and a cool-down of its own. Its grace is in `renewal`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestApp, until};

const CODE: &str = "4455";

async fn stocked(settings: &[(&str, &str)]) -> TestApp {
    let app = TestApp::start_with(settings).await;
    app.stock(json!([
        { "identifier": CODE, "vanityEligible": true }, { "identifier": "4466", "vanityEligible": true },
        { "identifier": "4477" },
    ]))
    .await;
    app
}

async fn lease_as_vanity(client: &Client, code: &str, term: &str) -> Answer {
    let body = json!({ "vanityFlag": true, "term": term, "autoRenew": true });
    client.post(&format!("/v1/numbers/{code}/lease"), &body).await
}

fn moment(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_vanity_short_code_is_leased_for_one_year_or_three_by_the_vanity_tier_s_price() {
    let app = stocked(&[]).await;
    let tenant = app.tenant("tenant-a");
    for (code, term, years) in [(CODE, "1y", 1), ("4466", "3y", 3)] {
        tenant.act(code, "reserve").await.expect(200);
        let lease = lease_as_vanity(&tenant, code, term).await.expect(201);
        assert_eq!((&lease["vanity"], &lease["autoRenew"], &lease["term"]), (&json!(true), &json!(true), &json!(term)));
        assert_eq!(lease["price"], json!({ "amount": "500.00", "currency": "USD", "per": "month" }));
        let from = moment(&lease["effectiveFrom"]).to_zoned(jiff::tz::TimeZone::UTC);
        let span = jiff::Span::new().years(years);
        assert_eq!(moment(&lease["effectiveUntil"]), from.checked_add(span).unwrap().timestamp());
        let sql = "SELECT vanity, auto_renew FROM numbering.leases WHERE identifier = $1";
        let row = app.superuser().await.query_one(sql, &[&code]).await.unwrap();
        assert_eq!((row.get::<_, bool>(0), row.get::<_, bool>(1)), (true, true));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_plan_s_vanity_price_counts_for_its_tenants_and_the_number_s_own_tier_for_a_plain_lease() {
    let app = stocked(&[]).await;
    app.price("SHORT_CODE", "vanity", "400", json!({ "plan": "premium" })).await;
    app.admin().put("/v1/admin/numbering/tenants/tenant-a", &json!({ "plan": "premium" })).await.expect(200);
    let (premium, starter) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    premium.act(CODE, "reserve").await.expect(200);
    assert_eq!(lease_as_vanity(&premium, CODE, "1y").await.expect(201)["price"]["amount"], "400.00");
    starter.act("4466", "reserve").await.expect(200);
    assert_eq!(lease_as_vanity(&starter, "4466", "1y").await.expect(201)["price"]["amount"], "500.00");
    premium.act("4477", "reserve").await.expect(200);
    let plain = premium.lease("4477", "1y").await.expect(201);
    assert_eq!((&plain["price"]["amount"], &plain["vanity"]), (&json!("150.00"), &json!(false)));
    app.stop().await;
}

#[tokio::test]
async fn other_terms_are_422_invalid_term_and_other_codes_422_not_vanity_eligible() {
    let app = stocked(&[]).await;
    let tenant = app.tenant("tenant-a");
    for code in [CODE, "4477"] {
        tenant.act(code, "reserve").await.expect(200);
    }
    for term in ["2y", "6m", "12m", "365d", "36m", "4y", "30d"] {
        lease_as_vanity(&tenant, CODE, term).await.problem(422, "INVALID_TERM");
    }
    for term in ["1y", "3y"] {
        lease_as_vanity(&tenant, "4477", term).await.problem(422, "NOT_VANITY_ELIGIBLE");
    }
    for code in [CODE, "4477"] {
        assert_eq!(tenant.get(&format!("/v1/numbers/{code}")).await.expect(200)["state"], "RESERVED");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_recalled_vanity_code_rests_for_365_days() {
    let app = stocked(&[]).await;
    let tenant = app.tenant("tenant-a");
    for (code, vanity, days) in [(CODE, true, 365), ("4466", false, 30)] {
        tenant.act(code, "reserve").await.expect(200);
        let body = json!({ "vanityFlag": vanity, "term": "1y" });
        tenant.post(&format!("/v1/numbers/{code}/lease"), &body).await.expect(201);
        let before = app.store().moment().await.unwrap();
        let recalled = app.admin().recall(code, "REGULATOR_ORDER", Some("ATRA-1")).await.expect(200);
        let after = app.store().moment().await.unwrap();
        let rests = SignedDuration::from_hours(24 * days);
        let available_at = moment(&recalled["availableAt"]);
        assert!((before + rests..=after + rests).contains(&available_at), "{code}: {available_at}");
        app.tenant("tenant-b").act(code, "reserve").await.problem(409, "QUARANTINE_ACTIVE");
    }
    app.stop().await;
}

#[tokio::test]
async fn how_long_a_vanity_code_rests_is_a_setting() {
    let app = stocked(&[("NUMBERING_POLICY__QUARANTINE__VANITY", "3s")]).await;
    let (tenant, other) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    tenant.act(CODE, "reserve").await.expect(200);
    lease_as_vanity(&tenant, CODE, "3y").await.expect(201);
    tenant.recall(CODE, "TENANT_INITIATED", None).await.expect(200);
    until("the code is free again", async || other.act(CODE, "reserve").await.status == 200).await;
    app.stop().await;
}
