//! US-NUM-014: a tenant browses the pool by class, operator, prefix, vanity and pattern, page by page, and not too often.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Answer, Client, TestApp, until};

const AVAILABLE: &str = "/v1/numbers/available";
/// The usual settings of tests allow more than anybody does.
const STORY_S_LIMIT: (&str, &str) = ("NUMBERING_BROWSE__RATE_LIMIT", "60");

async fn stocked(settings: &[(&str, &str)]) -> TestApp {
    let app = TestApp::start_with(settings).await;
    app.stock(json!([
        { "identifier": "4455", "vanityEligible": true }, { "identifier": "4456" }, { "identifier": "77077" },
        { "identifier": "BankOne" }, { "identifier": "Bank_Two" }, { "identifier": "MyBank" }, { "identifier": "Bank+3" },
    ]))
    .await;
    let sql = "INSERT INTO numbering.numbers (identifier, identifier_class, shown, operator_id, vanity_eligible)
        SELECT n, 'MSISDN', n, CASE WHEN i % 2 = 0 THEN 'awcc' ELSE 'roshan' END, i % 10 = 0
        FROM (SELECT i, '+93' || 700000000 + i AS n FROM generate_series(0, 99) AS i) x";
    app.superuser().await.execute(sql, &[]).await.unwrap();
    app
}

fn identifiers(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["identifier"].as_str().unwrap().to_owned()).collect()
}

/// All pages of this search, each checked to be in order.
async fn all(client: &Client, query: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{AVAILABLE}?{query}{cursor}")).await.expect(200);
        found.extend(identifiers(&page));
        match page["nextPage"].as_str() {
            Some(next) => cursor = format!("&page={next}"),
            None => break,
        }
    }
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{query}: shown twice");
    found
}

#[tokio::test]
async fn filters_combine_and_patterns_find_what_they_say_in_every_class() {
    let app = stocked(&[]).await;
    let tenant = app.tenant("tenant-a");
    let numbers = |wanted: fn(u32) -> bool| -> Vec<String> {
        (0..100).filter(|i| wanted(*i)).map(|i| format!("+93{}", 700_000_000 + i)).collect()
    };
    for (query, wanted) in [
        ("identifierClass=MSISDN&limit=7", numbers(|_| true)),
        ("operatorId=roshan&limit=7", numbers(|i| i % 2 == 1)),
        ("operatorId=awcc&vanity=true", numbers(|i| i % 10 == 0)),
        (
            "operatorId=awcc&vanity=false&prefix=9370000001&limit=2",
            numbers(|i| (10..20).contains(&i) && i % 2 == 0 && i % 10 != 0),
        ),
        ("identifierClass=MSISDN&pattern=*7", numbers(|i| i % 10 == 7)),
        ("identifierClass=MSISDN&pattern=%2B93*0007?", numbers(|i| (70..80).contains(&i))),
        ("identifierClass=MSISDN&pattern=93*7&operatorId=roshan&limit=3", numbers(|i| i % 10 == 7)),
        ("identifierClass=MSISDN&prefix=937&pattern=9370000005*", numbers(|i| (50..60).contains(&i))),
        ("identifierClass=MSISDN&prefix=9379&pattern=9370*", vec![]),
        ("identifierClass=SHORT_CODE&pattern=44??", vec!["4455".into(), "4456".into()]),
        ("identifierClass=SHORT_CODE&vanity=true", vec!["4455".into()]),
        ("identifierClass=SHORT_CODE&operatorId=awcc", vec![]),
        ("identifierClass=ALPHA&pattern=BANK*", vec!["Bank+3".into(), "BankOne".into(), "Bank_Two".into()]),
        ("identifierClass=ALPHA&pattern=bank_*", vec!["Bank_Two".into()]),
        ("identifierClass=ALPHA&pattern=*bank", vec!["MyBank".into()]),
        ("identifierClass=ALPHA&pattern=BANK%2B*", vec!["Bank+3".into()]),
        ("pattern=*7*&prefix=77", vec!["77077".into()]),
        ("prefix=937000000&pattern=*99", vec!["+93700000099".into()]),
        ("pattern=4455", vec!["4455".into()]),
    ] {
        assert_eq!(all(&tenant, query).await, wanted, "{query}");
    }
    assert_eq!(all(&tenant, "limit=9").await.len(), 107);
    for (pattern, class) in [("", "ALPHA"), ("b%25", "ALPHA"), ("4a*", "SHORT_CODE"), ("*a*b*c*d*e*f*g*h*i", "ALPHA")] {
        let path = format!("{AVAILABLE}?identifierClass={class}&pattern={pattern}");
        assert_eq!(tenant.get(&path).await.problem(422, "INVALID_PATTERN")["parameter"], "pattern");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_allowlist_of_operators_filters_what_is_shown_and_what_may_be_taken() {
    let app = stocked(&[]).await;
    let put = json!({ "plan": "starter", "operatorAllowlist": ["roshan"] });
    app.admin().put("/v1/admin/numbering/tenants/tenant-a", &put).await.expect(200);
    let tenant = app.tenant("tenant-a");
    let shown = all(&tenant, "identifierClass=MSISDN&limit=20").await;
    assert_eq!(shown.len(), 50);
    assert!(shown.iter().all(|number| number.ends_with(['1', '3', '5', '7', '9'])), "{shown:?}");
    assert!(all(&tenant, "operatorId=awcc").await.is_empty());
    assert_eq!(all(&tenant, "identifierClass=ALPHA").await.len(), 4, "what comes from no operator is open to all");
    let refused = tenant.act("+93700000000", "reserve").await.problem(403, "OPERATOR_NOT_ALLOWED");
    assert_eq!(refused["operatorId"], "awcc");
    let none = json!({ "plan": "starter", "operatorAllowlist": [] });
    app.admin().put("/v1/admin/numbering/tenants/tenant-a", &none).await.expect(200);
    assert!(all(&tenant, "identifierClass=MSISDN").await.is_empty());
    app.stop().await;
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_what_did_not_change_while_others_take_and_give_back() {
    let app = stocked(&[]).await;
    let (tenant, other) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    let taken: Vec<String> = (0..10).map(|i| format!("+93{}", 700_000_000 + i * 10 + 3)).collect();
    for number in &taken[..5] {
        other.act(number, "reserve").await.expect(200);
    }
    let (mut found, mut cursor, mut turn) = (Vec::new(), String::new(), 0);
    loop {
        let page = tenant.get(&format!("{AVAILABLE}?identifierClass=MSISDN&limit=10{cursor}")).await.expect(200);
        found.extend(identifiers(&page));
        // One before the cursor and one behind it change hands between any two pages.
        if turn < 5 {
            other.act(&taken[turn], "release").await.expect(200);
            other.act(&taken[9 - turn], "reserve").await.expect(200);
        }
        turn += 1;
        let Some(next) = page["nextPage"].as_str() else { break };
        cursor = format!("&page={next}");
    }
    assert!(found.is_sorted() && found.iter().collect::<BTreeSet<_>>().len() == found.len());
    let unchanged = (0..100).filter(|i| i % 10 != 3).map(|i| format!("+93{}", 700_000_000 + i));
    let found: BTreeSet<String> = found.into_iter().collect();
    assert!(unchanged.into_iter().all(|number| found.contains(&number)));
    app.stop().await;
}

#[tokio::test]
async fn a_search_that_finds_little_gives_short_pages_and_ends() {
    let app = TestApp::start().await;
    let sql = "INSERT INTO numbering.numbers (identifier, identifier_class, shown)
        SELECT n, 'MSISDN', n FROM (SELECT '+93' || 700000000 + i AS n FROM generate_series(0, 59999) AS i) x";
    app.superuser().await.execute(sql, &[]).await.unwrap();
    let tenant = app.tenant("tenant-a");
    let query = "identifierClass=MSISDN&pattern=*59999";
    let first = tenant.get(&format!("{AVAILABLE}?{query}")).await.expect(200);
    assert_eq!((identifiers(&first).len(), first["nextPage"].is_string()), (0, true), "{first}");
    assert_eq!(all(&tenant, query).await, ["+93700059999"]);
    app.stop().await;
}

fn left(answer: &Answer) -> (String, String) {
    let field = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    (field("ratelimit-policy"), field("ratelimit"))
}

#[tokio::test]
async fn sixty_requests_a_minute_are_answered_over_all_replicas_and_the_next_is_told_when_to_come_again() {
    // However busy the machine is, it is Redis that grants the turns here.
    let settings = [STORY_S_LIMIT, ("NUMBERING_REDIS__COMMAND_TIMEOUT", "10s")];
    let app = stocked(&settings).await;
    let replica = app.replica(&settings).await;
    let tenant = app.tenant("tenant-a");
    let elsewhere = tenant.at(replica.http);
    for address in [app.http, replica.http] {
        until("the replica is connected to Redis", async || {
            let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
            metrics.contains("numbering_redis_up{database=\"snapshots\"} 1")
        })
        .await;
    }
    let path = format!("{AVAILABLE}?limit=1");
    let mut answered = 0;
    // A turn comes back every second.
    let refused = loop {
        let client = if answered % 2 == 0 { &tenant } else { &elsewhere };
        let answer = client.get(&path).await;
        let (policy, left) = left(&answer);
        assert_eq!(policy, "\"browse\";q=60;w=60");
        assert!(left.starts_with("\"browse\";r="), "{left}");
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
        assert!(answered < 600, "never refused");
    };
    assert!(answered >= 60, "refused after {answered}");
    refused.problem(429, "RATE_LIMITED");
    assert_eq!(refused.headers["retry-after"], "1");
    app.tenant("tenant-b").get(&path).await.expect(200);
    tenant.get("/v1/quota").await.expect(200);
    replica.stop().await;
    app.stop().await;
}

/// Each kind of search reads ranges of the indexes made for it: what it costs does not grow with the pool.
#[tokio::test]
async fn every_search_reads_its_index_and_nothing_else_of_the_pool() {
    let app = TestApp::start().await;
    let database = app.superuser().await;
    let stock = "INSERT INTO numbering.numbers (identifier, identifier_class, shown, operator_id, vanity_eligible)
        SELECT n, 'MSISDN', n, CASE WHEN i % 2 = 0 THEN 'awcc' ELSE 'roshan' END, i % 10 = 0
        FROM (SELECT i, '+93' || 700000000 + i AS n FROM generate_series(0, 29999) AS i) x";
    database.execute(stock, &[]).await.unwrap();
    priced_for_years(&database).await;
    database.batch_execute("VACUUM ANALYZE numbering.numbers, numbering.price_list").await.unwrap();
    reads_little(&database, "force_custom_plan").await;
    app.stop().await;
}

/// For some minutes after an import the planner knows the pool of before.
#[tokio::test]
async fn after_a_large_import_a_search_reads_its_index_and_nothing_else_of_the_pool() {
    let app = TestApp::start().await;
    let database = app.superuser().await;
    let stock = "INSERT INTO numbering.numbers (identifier, identifier_class, shown, operator_id, vanity_eligible)
        SELECT n, 'MSISDN', n, CASE WHEN i % 2 = 0 THEN 'awcc' ELSE 'roshan' END, i % 10 = 0
        FROM (SELECT i, '+93' || 700000000 + i AS n FROM generate_series($1::bigint, $2::bigint) AS i) x";
    database.execute(stock, &[&0_i64, &999_i64]).await.unwrap();
    priced_for_years(&database).await;
    let known = "VACUUM ANALYZE numbering.numbers, numbering.price_list; ALTER TABLE numbering.numbers SET (autovacuum_enabled = off)";
    for statement in known.split("; ") {
        database.batch_execute(statement).await.unwrap();
    }
    database.execute(stock, &[&1_000_i64, &99_999_i64]).await.unwrap();
    for plans in ["force_custom_plan", "force_generic_plan"] {
        reads_little(&database, plans).await;
    }
    app.stop().await;
}

/// As many prices as have held in the course of years.
async fn priced_for_years(database: &tokio_postgres::Client) {
    let past = "INSERT INTO numbering.price_list
            (price_id, identifier_class, price_tier, plan, amount, currency, per, valid_from, valid_until)
        SELECT gen_random_uuid(), 'MSISDN', 'standard', 'starter', 2, 'USD', 'month', at, at + interval '1 hour'
        FROM generate_series(now() - interval '3000 hours', now() - interval '2 hours', interval '1 hour') AS at";
    database.execute(past, &[]).await.unwrap();
}

/// No search reads more than its page of the indexes made for it.
async fn reads_little(database: &tokio_postgres::Client, plans: &str) {
    let prepare = format!(
        "SET jit = off; SET plan_cache_mode = {plans}; DEALLOCATE ALL;
         PREPARE browse (text[], boolean[], text, text, text[], text[], text, text[], bigint, text[],
             bigint, text, timestamptz, float8) AS {}",
        include_str!("../../src/store/browse.sql")
    );
    database.batch_execute(&prepare).await.unwrap();
    let all = "ARRAY[false, true]";
    let after = "'+93700020000'";
    for (what, classes, eligible, operator, after, from, like, index) in [
        ("a class", "MSISDN", all, "NULL", "''", "+", "NULL", "numbers_available"),
        ("a late page", "MSISDN", all, "NULL", after, "+", "NULL", "numbers_available"),
        ("a prefix", "MSISDN", all, "NULL", "''", "+937000299", "NULL", "numbers_available"),
        ("vanity", "MSISDN", "ARRAY[true]", "NULL", after, "+", "NULL", "numbers_available"),
        ("an operator", "MSISDN", all, "'roshan'", after, "+", "NULL", "numbers_available_of_operator"),
        ("a pattern", "MSISDN", all, "NULL", after, "+", "'%77'", "numbers_available"),
    ] {
        let explain = format!(
            "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE browse ('{{{classes}}}', {eligible}, {operator}, {after}, '{{{from}}}',
             ARRAY['{from}' || chr(127)], 'tenant-a', '{{}}', 51, ARRAY[{like}]::text[],
             51, 'starter', clock_timestamp(), 60)"
        );
        let plan: Value = database.query_one(&explain, &[]).await.unwrap().get(0);
        let mut priced = Vec::new();
        reads_of("price_list", &plan[0]["Plan"], &mut priced);
        priced.retain(|node| node["Relation Name"] == "price_list");
        for node in &priced {
            let (rows, left_out) = (&node["Actual Rows"], node["Rows Removed by Filter"].as_f64().unwrap_or(0.0));
            let few = rows.as_f64().unwrap() + left_out <= 2.0;
            let for_the_page = node["Actual Loops"].as_f64().unwrap() <= 51.0;
            assert!(node["Node Type"] != "Seq Scan" && few && for_the_page, "{what}: {node:#}");
        }
        assert!(!priced.is_empty(), "{what}: the definition of the price is not inlined: {plan:#}");
        let mut read = Vec::new();
        reads_of("numbers", &plan[0]["Plan"], &mut read);
        let read: Vec<_> = read.into_iter().filter(|node| node["Actual Loops"] != 0).collect();
        assert!(read.iter().any(|node| node["Index Name"] == index), "{what}: {read:#?}");
        for node in &read {
            assert!(node["Index Name"].is_string(), "{what}: {node:#}");
            let by_key = node["Index Name"] == "numbers_pkey";
            let of_the_page = node["Index Cond"].as_str().is_some_and(|cond| cond.starts_with("(identifier = "));
            assert!(!by_key || of_the_page, "{what}: {node:#}");
            let rows = node["Actual Rows"].as_f64().unwrap() * node["Actual Loops"].as_f64().unwrap();
            let left_out = node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
            assert!(rows + left_out <= 110.0, "{what} reads {rows} and leaves {left_out} out: {node:#}");
        }
    }
}

/// The nodes of a plan that read a table.
fn reads_of<'a>(table: &str, node: &'a Value, found: &mut Vec<&'a Value>) {
    if node["Relation Name"] == table || node["Node Type"] == "Bitmap Index Scan" {
        found.push(node);
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        reads_of(table, below, found);
    }
}
