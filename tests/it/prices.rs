//! The price list: which price holds for whom and when, and that what was agreed stays agreed (US-NUM-014, US-NUM-012).

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::prices::PRICES;
use crate::support::{Client, TestApp};

const OF_AWCC: &str = "+93700000001";
const OF_ROSHAN: &str = "+93720000001";

/// Two operators with a few numbers each.
async fn stocked() -> TestApp {
    let app = TestApp::start().await;
    for (operator, prefix) in [("awcc", "+9370"), ("roshan", "+9372")] {
        app.operator(operator, &[prefix]).await;
        let sql = "INSERT INTO numbering.numbers (identifier, identifier_class, shown, operator_id)
            SELECT n, 'MSISDN', n, $1 FROM (SELECT $2::text || '000000' || i AS n FROM generate_series(1, 9) AS i) x";
        app.superuser().await.execute(sql, &[&operator, &prefix]).await.unwrap();
    }
    app
}

async fn on_plan(app: &TestApp, tenant: &str, plan: &str) -> Client {
    let path = format!("/v1/admin/numbering/tenants/{tenant}");
    app.admin().put(&path, &json!({ "plan": plan })).await.expect(200);
    app.tenant(tenant)
}

/// What browse says that one number costs.
async fn browsed(client: &Client, number: &str) -> Value {
    let prefix = number.trim_start_matches('+');
    let page = client.get(&format!("/v1/numbers/available?prefix={prefix}")).await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    page["items"][0]["price"]["amount"].clone()
}

/// Leases a number, and gives what was agreed.
async fn agreed(client: &Client, number: &str) -> Value {
    client.act(number, "reserve").await.expect(200);
    client.lease(number, "1m").await.expect(201)["price"]["amount"].clone()
}

/// The definition itself, at a moment of one's own.
async fn holds_at(app: &TestApp, plan: Option<&str>, operator: Option<&str>, at: Timestamp) -> Option<String> {
    let sql = "SELECT amount::float8::text FROM numbering.price_for('MSISDN', 'standard', $1, $2, $3)";
    app.superuser().await.query_opt(sql, &[&plan, &operator, &at]).await.unwrap().map(|row| row.get(0))
}

async fn listed(app: &TestApp, query: &str) -> Vec<Value> {
    let page = app.admin().get(&format!("{PRICES}?{query}")).await.expect(200);
    assert_eq!(page["nextPage"], Value::Null);
    page["items"].as_array().unwrap().clone()
}

fn moment(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

async fn journalled(app: &TestApp, entry: &str) -> usize {
    let path = format!("/v1/admin/numbering/audit?type=numbering.price.{entry}");
    app.compliance().get(&path).await.expect(200)["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn of_the_prices_that_hold_the_one_for_plan_and_operator_counts_then_the_plan_s_then_the_operator_s() {
    let app = stocked().await;
    let (premium, starter) = (on_plan(&app, "tenant-p", "premium").await, on_plan(&app, "tenant-s", "starter").await);
    // Of each kind one is added, and each time it counts for those only that nothing closer is said of.
    let steps = [
        (json!({}), "", ["2.50", "2.50", "2.50", "2.50"]),
        (json!({ "operatorId": "awcc" }), "2.25", ["2.25", "2.50", "2.25", "2.50"]),
        (json!({ "plan": "premium" }), "1.50", ["1.50", "1.50", "2.25", "2.50"]),
        (json!({ "plan": "premium", "operatorId": "awcc" }), "1", ["1.00", "1.50", "2.25", "2.50"]),
    ];
    for (turn, (whom, amount, expected)) in steps.into_iter().enumerate() {
        if !amount.is_empty() {
            app.price("MSISDN", "standard", amount, whom.clone()).await;
        }
        let pairs = [(&premium, "+9370"), (&premium, "+9372"), (&starter, "+9370"), (&starter, "+9372")];
        for (place, ((client, prefix), price)) in pairs.into_iter().zip(expected).enumerate() {
            // Each step leases numbers of its own, and the plans' tenants do not take each other's.
            let number = format!("{prefix}000000{}", 1 + turn * 2 + place / 2);
            assert_eq!(browsed(client, &number).await, price, "{whom} {number}");
            assert_eq!(agreed(client, &number).await, price, "{whom} {number}");
        }
    }
    // A price for another operator, plan, tier or class is no price for these.
    app.price("MSISDN", "gold", "7", json!({ "plan": "starter", "operatorId": "awcc" })).await;
    app.price("MSISDN", "standard", "8", json!({ "plan": "business" })).await;
    assert_eq!(browsed(&starter, "+93700000009").await, "2.25");
    app.stop().await;
}

#[tokio::test]
async fn a_tenant_never_seen_before_has_the_default_plan_s_price_and_an_admin_sees_that_for_all_plans() {
    let app = stocked().await;
    app.price("MSISDN", "standard", "2.75", json!({ "plan": "starter" })).await;
    let newcomer = app.tenant("tenant-new");
    assert_eq!(browsed(&newcomer, OF_ROSHAN).await, "2.75");
    assert_eq!(browsed(&app.admin(), OF_ROSHAN).await, "2.50");
    assert_eq!(agreed(&newcomer, OF_ROSHAN).await, "2.75");
    app.stop().await;
}

#[tokio::test]
async fn a_price_from_today_on_holds_from_now_and_one_from_this_midnight_or_yesterday_is_refused() {
    let app = stocked().await;
    let tenant = app.tenant("tenant-a");
    let mut now = app.store().moment().await.unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    // A day that ends meanwhile is not today's any more.
    let tomorrow = now.tomorrow().unwrap().start_of_day().unwrap();
    if now.duration_until(&tomorrow) < SignedDuration::from_mins(1) {
        app.until_database_time(tomorrow.timestamp()).await;
        now = tomorrow;
    }
    let old = app.general_price("MSISDN", "standard").await;
    let midnight = now.start_of_day().unwrap().timestamp().to_string();
    for over in [now.yesterday().unwrap().date().to_string(), midnight] {
        let refused = app.try_price("MSISDN", "standard", "3", json!({ "replaces": old, "validFrom": over })).await;
        let problem = refused.problem(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["pointer"], "/validFrom", "{over}: {problem}");
    }
    app.price("MSISDN", "standard", "3", json!({ "replaces": old, "validFrom": now.date().to_string() })).await;
    assert_eq!(browsed(&tenant, OF_AWCC).await, "3.00");
    app.stop().await;
}

#[tokio::test]
async fn a_price_holds_from_its_first_moment_up_to_its_last_and_the_next_takes_over_without_a_gap() {
    let app = stocked().await;
    let tenant = app.tenant("tenant-a");
    assert_eq!(browsed(&tenant, OF_AWCC).await, "2.50");
    let old = app.general_price("MSISDN", "standard").await;
    let now = app.store().moment().await.unwrap();
    let from = (now + SignedDuration::from_secs(3)).round(jiff::Unit::Microsecond).unwrap();
    let until = from + SignedDuration::from_hours(1);
    app.price("MSISDN", "standard", "3", json!({ "replaces": old, "validFrom": from.to_string() })).await;
    app.price(
        "MSISDN",
        "standard",
        "2",
        json!({ "plan": "starter", "validFrom": from.to_string(),
        "validUntil": until.to_string() }),
    )
    .await;
    let just_before = SignedDuration::from_micros(1);
    for (plan, at, amount) in [
        (None, from - just_before, "2.5"),
        (None, from, "3"),
        (Some("starter"), from - just_before, "2.5"),
        (Some("starter"), from, "2"),
        (Some("starter"), until - just_before, "2"),
        (Some("starter"), until, "3"),
        (Some("premium"), from, "3"),
    ] {
        assert_eq!(holds_at(&app, plan, Some("awcc"), at).await.as_deref(), Some(amount), "{plan:?} {at}");
    }
    app.until_database_time(from).await;
    assert_eq!(browsed(&tenant, OF_AWCC).await, "2.00");
    assert_eq!(agreed(&tenant, OF_AWCC).await, "2.00");
    let held = listed(&app, &format!("identifierClass=MSISDN&priceTier=standard&at={}", from - just_before)).await;
    assert_eq!((held.len(), &held[0]["amount"], &held[0]["priceId"]), (1, &json!("2.50"), &json!(old)));
    assert_eq!(moment(&held[0]["validUntil"]), from, "the one that was replaced stays on the list");
    app.stop().await;
}

#[tokio::test]
async fn two_prices_for_the_same_never_hold_at_once() {
    let app = stocked().await;
    let now = app.store().moment().await.unwrap();
    let day = |days: i64| (now + SignedDuration::from_hours(24 * days)).to_string();
    let stretch =
        |from: i64, until: i64| json!({ "plan": "starter", "validFrom": day(from), "validUntil": day(until) });
    app.price("MSISDN", "standard", "3", stretch(10, 20)).await;
    for (from, until) in [(5, 11), (10, 20), (12, 13), (19, 30), (5, 30)] {
        let refused = app.try_price("MSISDN", "standard", "4", stretch(from, until)).await;
        let problem = refused.problem(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["pointer"], "/validFrom", "{from} to {until}: {problem}");
    }
    let open = json!({ "plan": "starter", "validFrom": day(15) });
    app.try_price("MSISDN", "standard", "4", open).await.problem(422, "VALIDATION_FAILED");
    // What only touches it, or is for something else, is no overlap.
    for (from, until) in [(5, 10), (20, 30)] {
        app.price("MSISDN", "standard", "4", stretch(from, until)).await;
    }
    for other in [
        json!({ "plan": "premium" }),
        json!({ "operatorId": "awcc" }),
        json!({ "plan": "starter", "operatorId": "awcc" }),
    ] {
        app.price("MSISDN", "standard", "4", other).await;
    }
    app.price("MSISDN", "gold", "4", stretch(10, 20)).await;
    app.price("ALPHA", "standard", "4", stretch(10, 20)).await;

    let mut racing = tokio::task::JoinSet::new();
    for amount in 1..=8 {
        let admin = app.admin();
        let body = json!({ "identifierClass": "SHORT_CODE", "priceTier": "gold", "plan": "premium", "per": "month",
            "amount": amount.to_string(), "currency": "USD" });
        racing.spawn(async move { admin.post(PRICES, &body).await.status.as_u16() });
    }
    let mut statuses = racing.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[201].as_slice(), &[422; 7]].concat());
    app.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_price_is_named_one_by_one() {
    let app = stocked().await;
    let other = app.general_price("MSISDN", "gold").await;
    for (fault, pointer) in [
        (json!({ "identifierClass": "FAX" }), "/identifierClass"),
        (json!({ "priceTier": "Gold Plus" }), "/priceTier"),
        (json!({ "priceTier": "unheard-of" }), "/priceTier"),
        (json!({ "plan": "platinum" }), "/plan"),
        (json!({ "operatorId": "a b" }), "/operatorId"),
        (json!({ "identifierClass": "ALPHA", "operatorId": "awcc" }), "/operatorId"),
        (json!({ "amount": "-1" }), "/amount"),
        (json!({ "amount": "1.00001" }), "/amount"),
        (json!({ "amount": 1 }), "/amount"),
        (json!({ "currency": "usd" }), "/currency"),
        (json!({ "per": "week" }), "/per"),
        (json!({ "validFrom": "soon" }), "/validFrom"),
        (json!({ "validFrom": "2020-01-01" }), "/validFrom"),
        (json!({ "validUntil": "2020-01-01" }), "/validUntil"),
        (json!({ "validFrom": "2100-01-01", "validUntil": "2100-01-01" }), "/validUntil"),
        (json!({ "replaces": other }), "/replaces"),
        (json!({ "replaces": "019cf5a8-0000-7000-8000-000000000000" }), "/replaces"),
        (json!({ "colour": "red" }), "/colour"),
    ] {
        let mut more = json!({ "plan": "premium" });
        more.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
        let problem = app.try_price("MSISDN", "standard", "1", more).await.problem(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{fault}: {problem}");
    }
    let nobody = app.try_price("MSISDN", "standard", "1", json!({ "operatorId": "nobody" })).await;
    assert_eq!(nobody.problem(422, "UNKNOWN_OPERATOR")["operatorId"], "nobody");
    let none_from_then =
        json!({ "replaces": app.general_price("MSISDN", "standard").await, "validUntil": "2100-01-01" });
    let problem = app.try_price("MSISDN", "standard", "1", none_from_then).await.problem(422, "VALIDATION_FAILED");
    assert_eq!(problem["errors"][0]["pointer"], "/validUntil");
    assert_eq!((listed(&app, "").await.len(), journalled(&app, "added").await), (9, 0), "nothing was changed");
    assert_eq!(listed(&app, "").await.iter().filter(|item| item["validUntil"].is_null()).count(), 9);
    app.stop().await;
}

#[tokio::test]
async fn a_price_that_holds_is_ended_and_kept_and_one_to_come_is_removed() {
    let app = stocked().await;
    let (admin, tenant) = (app.admin(), app.tenant("tenant-a"));
    let end = async |price: &str| admin.send(Method::DELETE, &format!("{PRICES}/{price}"), None, &[]).await;
    let plan_s = app.price("MSISDN", "standard", "2", json!({ "plan": "starter" })).await;
    assert_eq!(agreed(&tenant, OF_AWCC).await, "2.00");
    for _ in 0..2 {
        assert_eq!(end(&plan_s).await.status.as_u16(), 204);
    }
    assert_eq!(browsed(&tenant, OF_ROSHAN).await, "2.50", "what is said for all counts again");
    let kept = listed(&app, "plan=starter").await;
    assert!(moment(&kept[0]["validUntil"]) > moment(&kept[0]["validFrom"]), "{kept:?}");

    let general = app.general_price("MSISDN", "standard").await;
    let refused = end(&general).await.problem(409, "INVALID_STATE");
    assert_eq!((&refused["state"], &refused["reason"]), (&json!("IN_FORCE"), &json!("GENERAL_PRICE")));
    let coming = json!({ "replaces": general, "validFrom": "2100-01-01" });
    let coming = app.price("MSISDN", "standard", "3", coming).await;
    assert_eq!(
        listed(&app, "identifierClass=MSISDN&priceTier=standard&at=2100-01-01T00:00:00Z").await[0]["priceId"],
        coming
    );
    assert_eq!(end(&coming).await.status.as_u16(), 204);
    let left = listed(&app, "identifierClass=MSISDN&priceTier=standard").await;
    let left: Vec<_> = left.iter().map(|item| (item["priceId"].clone(), item["validUntil"].is_null())).collect();
    assert_eq!(left, [(json!(general), true), (json!(plan_s), false)], "the one before goes on");
    end(&coming).await.problem(404, "NOT_FOUND");
    end("019cf5a8-0000-7000-8000-000000000000").await.problem(404, "NOT_FOUND");
    for (entry, count) in [("added", 2), ("ended", 2), ("removed", 1), ("prolonged", 1)] {
        assert_eq!(journalled(&app, entry).await, count, "{entry}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_lease_keeps_what_was_agreed_whatever_the_list_says_later() {
    let app = stocked().await;
    let tenant = app.tenant("tenant-a");
    tenant.act(OF_AWCC, "reserve").await.expect(200);
    let lease = tenant.lease(OF_AWCC, "1y").await.expect(201);
    app.raise_price("MSISDN", "standard", "99").await;
    assert_eq!(browsed(&tenant, OF_ROSHAN).await, "99.00");
    let path = format!("/v1/leases/{}", lease["leaseId"].as_str().unwrap());
    assert_eq!(tenant.get(&path).await.expect(200)["price"], lease["price"]);
    assert_eq!(lease["price"]["amount"], "2.50");
    let patched = tenant.patch(&path, &json!({ "autoRenew": true })).await.expect(200);
    assert_eq!(patched["price"], lease["price"]);
    app.stop().await;
}

#[tokio::test]
async fn a_tier_is_one_that_numbers_may_have_once_its_general_price_holds() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let stock = async |identifier: &str| {
        let items = json!({ "items": [{ "identifier": identifier, "priceTier": "silver" }] });
        admin.post("/v1/admin/numbering/inventory", &items).await.expect(200)["inserted"].clone()
    };
    assert_eq!(stock("4455").await, 0);
    app.price("SHORT_CODE", "silver", "200", json!({ "validFrom": "2100-01-01" })).await;
    assert_eq!(stock("4455").await, 0, "its price is to come");
    let until = json!({ "validUntil": "2100-01-01" });
    app.price("SHORT_CODE", "silver", "180", until).await;
    assert_eq!(stock("4455").await, 1);
    assert_eq!(browsed(&app.tenant("tenant-a"), "4455").await, "180.00");
    app.stop().await;
}

#[tokio::test]
async fn the_list_comes_in_pages_and_a_price_is_added_once_for_a_key() {
    let app = stocked().await;
    let admin = app.admin();
    let body = json!({ "identifierClass": "MSISDN", "priceTier": "standard", "plan": "premium", "operatorId": "roshan",
        "amount": "1.2345", "currency": "EUR", "per": "year" });
    let key = [("idempotency-key", "price-1")];
    let added = admin.send(Method::POST, PRICES, Some(&body), &key).await.expect(201);
    let again = admin.send(Method::POST, PRICES, Some(&body), &key).await;
    assert_eq!((again.expect(201), again.headers["idempotent-replayed"].to_str().unwrap()), (added.clone(), "true"));
    for query in ["operatorId=roshan", "plan=premium", "plan=premium&operatorId=roshan&identifierClass=MSISDN"] {
        assert_eq!(listed(&app, query).await, std::slice::from_ref(&added), "{query}");
    }
    let all = listed(&app, "").await;
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{PRICES}?limit=3{cursor}")).await.expect(200);
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["nextPage"].as_str() else { break };
        admin.get(&format!("{PRICES}?plan=premium&page={next}")).await.problem(400, "INVALID_CURSOR");
        cursor = format!("&page={next}");
    }
    assert_eq!((&paged, all.len()), (&all, 10));
    let order = |item: &Value| {
        ["identifierClass", "priceTier", "plan"].map(|name| item[name].as_str().unwrap_or("").to_owned())
    };
    assert!(all.is_sorted_by_key(order), "{all:?}");
    for (query, parameter) in
        [("identifierClass=FAX", "identifierClass"), ("at=soon", "at"), ("operatorId=a%20b", "operatorId")]
    {
        let problem = admin.get(&format!("{PRICES}?{query}")).await.problem(400, "MALFORMED_REQUEST");
        assert_eq!(problem["parameter"], parameter);
    }
    app.stop().await;
}
