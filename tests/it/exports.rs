//! Lists as files: whole, bounded, and never somebody else's.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, TestApp, until};

const NUMBERS: &str = "/v1/exports/numbers";
const LEASES: &str = "/v1/exports/leases";
const AUDIT: &str = "/v1/admin/numbering/exports/audit";

/// The rows of a CSV file, each by its column.
fn rows(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut lines = answer.text.lines().map(cells);
    let header = lines.next().unwrap();
    lines
        .map(|row| {
            assert_eq!(row.len(), header.len());
            header.iter().cloned().zip(row.into_iter().map(Value::from)).collect::<serde_json::Map<_, _>>().into()
        })
        .collect()
}

/// The cells of a line: quoted ones hold commas, and quotes doubled.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let cell = cells.last_mut().unwrap();
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => cell.push(characters.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cell.push(other),
        }
    }
    cells
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl TestApp {
    /// Leases of `tenant-a`'s, straight into the books, of +93700000000 and on.
    async fn leased(&self, count: i64) {
        self.tenant("tenant-a").get("/v1/quota").await.expect(200);
        self.stock_numbers(count).await;
        self.superuser()
            .await
            .batch_execute(
                "UPDATE numbering.numbers SET state = 'LEASED', tenant_id = 'tenant-a', lease_id = gen_random_uuid(),
                     deadline = '2100-01-01Z', effective_until = '2100-01-01Z', version = 1;
                 INSERT INTO numbering.leases (identifier, lease_id, identifier_class, shown, tenant_id, state, effective_from,
                     effective_until, ends_at, term, auto_renew, vanity, price_amount, price_currency, price_per)
                 SELECT identifier, lease_id, identifier_class, shown, tenant_id, state, '2026-01-01Z', effective_until,
                     deadline, '1y', false, false, 2.5, 'USD', 'month'
                 FROM numbering.numbers;
                 INSERT INTO numbering.claims (identifier, claim_id, tenant_id, state, deadline)
                 SELECT identifier, lease_id, tenant_id, state, deadline FROM numbering.numbers;",
            )
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_tenant_exports_its_own_numbers_and_leases_as_csv_and_as_lines_of_json_and_nobody_else_s() {
    let app = TestApp::start().await;
    let (a, b) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    let numbers = app.stock_numbers(4).await;
    app.stock(json!([{ "identifier": "-Bank" }])).await;
    a.act(&numbers[0], "reserve").await.expect(200);
    a.act("-Bank", "reserve").await.expect(200);
    a.act(&numbers[1], "reserve").await.expect(200);
    let lease = a.lease(&numbers[1], "1m").await.expect(201);
    b.act(&numbers[2], "reserve").await.expect(200);
    b.lease(&numbers[2], "1m").await.expect(201);

    let answer = a.get(NUMBERS).await;
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8; header=present");
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"numbers.csv\"");
    let listed = a.get("/v1/numbers").await.expect(200)["items"].as_array().unwrap().clone();
    let exported = rows(&answer);
    assert_eq!(exported.len(), 3);
    // What a spreadsheet would take for a formula has an apostrophe before it; it goes in again without.
    let identifiers: Vec<&str> = exported.iter().map(|row| row["identifier"].as_str().unwrap()).collect();
    assert_eq!(identifiers, [&format!("'{}", numbers[0]), &format!("'{}", numbers[1]), "'-Bank"]);
    for (row, item) in exported.iter().zip(&listed) {
        assert_eq!(row["identifier"].as_str().unwrap().trim_start_matches('\''), item["identifier"].as_str().unwrap());
        for member in ["state", "tenantId", "priceTier", "expiresAt", "leaseId", "operatorId"] {
            assert_eq!(row[member].as_str(), Some(item[member].as_str().unwrap_or_default()), "{member} {row} {item}");
        }
        assert_eq!(row["version"].as_str().unwrap(), item["version"].to_string());
    }
    let answer = a.get(&format!("{NUMBERS}?format=jsonl")).await;
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"numbers.jsonl\"");
    assert_eq!(lines(&answer), listed, "the list's items, to the member");
    assert_eq!(rows(&a.get(&format!("{NUMBERS}?state=LEASED")).await).len(), 1);

    let leases = rows(&a.get(LEASES).await);
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0]["leaseId"], lease["leaseId"]);
    assert_eq!((&leases[0]["price.amount"], &leases[0]["autoRenew"]), (&json!("2.50"), &json!("false")));
    let listed = a.get("/v1/leases").await.expect(200)["items"].as_array().unwrap().clone();
    assert_eq!(lines(&a.get(&format!("{LEASES}?format=jsonl")).await), listed);
    assert_eq!(lines(&app.admin().get(&format!("{LEASES}?format=jsonl")).await).len(), 2, "an admin's are all");
    app.stop().await;
}

#[tokio::test]
async fn the_audit_trail_is_exported_by_the_list_s_filters() {
    let app = TestApp::start().await;
    let (a, compliance) = (app.tenant("tenant-a"), app.compliance());
    let numbers = app.stock_numbers(2).await;
    a.act(&numbers[0], "reserve").await.expect(200);
    a.act(&numbers[0], "hold").await.expect(200);
    a.lease(&numbers[0], "1m").await.expect(201);
    app.admin().recall(&numbers[0], "ABUSE", Some("=T-1")).await.expect(200);
    a.act(&numbers[1], "reserve").await.expect(200);
    for query in [
        String::new(),
        format!("subject={}", numbers[0].replace('+', "%2B")),
        "type=numbering.reservation.held".to_owned(),
        "actor=ops".to_owned(),
        "tenantId=tenant-a".to_owned(),
        "from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z".to_owned(),
        "to=2026-01-01T00:00:00Z".to_owned(),
    ] {
        let list = compliance.get(&format!("/v1/admin/numbering/audit?limit=200&{query}")).await.expect(200);
        let listed = list["items"].as_array().unwrap();
        let exported = lines(&compliance.get(&format!("{AUDIT}?format=jsonl&{query}")).await);
        assert_eq!(exported, *listed, "{query}");
        let exported = rows(&compliance.get(&format!("{AUDIT}?{query}")).await);
        assert_eq!(exported.len(), listed.len(), "{query}");
        for (row, item) in exported.iter().zip(listed) {
            assert_eq!(row["type"], item["type"]);
            assert_eq!(serde_json::from_str::<Value>(row["data"].as_str().unwrap()).unwrap(), item["data"]);
        }
    }
    a.get(AUDIT).await.problem(403, "FORBIDDEN");
    app.stop().await;
}

#[tokio::test]
async fn thousands_of_rows_come_whole_and_in_order_in_a_stream() {
    const COUNT: usize = 5_500;
    let app = TestApp::start().await;
    app.leased(COUNT.try_into().unwrap()).await;
    let a = app.tenant("tenant-a");
    let numbers = rows(&a.get(NUMBERS).await);
    assert_eq!(numbers.len(), COUNT);
    let identifiers: Vec<String> = (0..COUNT).map(|n| format!("'+93{}", 700_000_000 + n)).collect();
    assert!(numbers.iter().zip(&identifiers).all(|(row, identifier)| row["identifier"] == identifier.as_str()));
    let leases = lines(&a.get(&format!("{LEASES}?format=jsonl")).await);
    assert_eq!(leases.len(), COUNT);
    assert!(leases.is_sorted_by(|one, next| one["leaseId"].as_str() > next["leaseId"].as_str()));
    let journal = "INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id)
        SELECT 'subject-' || i % 7, 'operator', gen_random_uuid(), 'numbering.operator.changed', '{}', 'actor-' || i % 3000, 'r'
        FROM generate_series(1, 45000) AS i";
    app.superuser().await.batch_execute(journal).await.unwrap();
    let compliance = app.compliance();
    // Found where it is, with stretches between that have nothing.
    assert_eq!(lines(&compliance.get(&format!("{AUDIT}?format=jsonl&actor=actor-7")).await).len(), 15);
    assert_eq!(lines(&compliance.get(&format!("{AUDIT}?format=jsonl&actor=nobody")).await).len(), 0);
    assert_eq!(lines(&compliance.get(&format!("{AUDIT}?format=jsonl&subject=subject-3")).await).len(), 6_429);
    let all = lines(&compliance.get(&format!("{AUDIT}?format=jsonl")).await);
    assert!(all.len() >= 45_000, "{}", all.len());
    app.stop().await;
}

#[tokio::test]
async fn what_an_export_does_not_know_is_refused() {
    let app = TestApp::start().await;
    let (a, compliance) = (app.tenant("tenant-a"), app.compliance());
    for (client, path) in [(&a, NUMBERS), (&a, LEASES), (&compliance, AUDIT)] {
        for query in ["limit=5", "page=x", "format=xml", "format=CSV", "unknown=1", "format=csv&format=csv"] {
            client.get(&format!("{path}?{query}")).await.problem(400, "MALFORMED_REQUEST");
        }
    }
    a.get(&format!("{NUMBERS}?state=AVAILABLE")).await.problem(400, "MALFORMED_REQUEST");
    compliance.get(&format!("{AUDIT}?from=yesterday")).await.problem(400, "MALFORMED_REQUEST");
    app.stop().await;
}

/// Asks for an export over a connection of its own, and reads only its head.
fn begun(app: &TestApp, path: &str) -> TcpStream {
    begun_by(app, &app.issuer.token("slow", Some("tenant-a"), &["numbers.read"]), path)
}

fn begun_by(app: &TestApp, token: &str, path: &str) -> TcpStream {
    let mut connection = TcpStream::connect(app.http).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut head = [0; 12];
    connection.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    connection
}

/// Reads on to the end; whether the body came to its own.
fn rest(mut connection: TcpStream) -> bool {
    let mut text = Vec::new();
    let read = connection.read_to_end(&mut text);
    read.is_ok() && text.ends_with(b"0\r\n\r\n")
}

/// More than the system's buffers take while nobody reads.
const MUCH: i64 = 60_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_hold_no_connection_to_the_database_and_there_are_so_many_at_once() {
    let app =
        TestApp::start_with(&[("NUMBERING_EXPORT__MAX_CONCURRENT", "2"), ("NUMBERING_DATABASE__POOL_SIZE", "2")]).await;
    app.leased(MUCH).await;
    let ops = app.issuer.token("ops", None, &["numbering.admin", "numbers.read"]);
    let first = begun(&app, NUMBERS);
    let a = app.tenant("tenant-a");
    let refused = a.get(LEASES).await;
    refused.problem(503, "UNAVAILABLE");
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(app.tenant("tenant-b").get(NUMBERS).await.status, 200, "one tenant does not have them all");
    let slow = [first, begun_by(&app, &ops, LEASES)];
    app.tenant("tenant-b").get(NUMBERS).await.problem(503, "UNAVAILABLE");
    let database = app.superuser().await;
    let busy =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'numbering'
        AND (state <> 'idle' OR xact_start IS NOT NULL)";
    until("they read no more", async || database.query_one(busy, &[]).await.unwrap().get::<_, i64>(0) == 0).await;
    // Nor do they keep others from theirs.
    a.get("/v1/quota").await.expect(200);
    drop(slow);
    until("the places are free again", async || a.get(LEASES).await.status == 200).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_cannot_go_on_breaks_off_before_its_end() {
    let app = TestApp::start_with(&[("NUMBERING_EXPORT__TIMEOUT", "3s")]).await;
    app.leased(MUCH).await;
    let database = app.superuser().await;
    let whole = begun(&app, &format!("{NUMBERS}?state=HELD"));
    assert!(tokio::task::spawn_blocking(move || rest(whole)).await.unwrap(), "this one is whole");

    let broken = begun(&app, NUMBERS);
    database.batch_execute("ALTER TABLE numbering.claims RENAME TO claims_away").await.unwrap();
    assert!(
        !tokio::task::spawn_blocking(move || rest(broken)).await.unwrap(),
        "the connection breaks, it does not end"
    );
    database.batch_execute("ALTER TABLE numbering.claims_away RENAME TO claims").await.unwrap();

    let late = begun(&app, LEASES);
    let past = "SELECT pg_sleep(3.1)";
    database.batch_execute(past).await.unwrap();
    assert!(!tokio::task::spawn_blocking(move || rest(late)).await.unwrap(), "its time is over");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_is_cut_off_when_its_time_is_over() {
    // The system cuts off whoever reads nothing for so long; here it is the export's own time that is over.
    let settings = [("NUMBERING_EXPORT__TIMEOUT", "2s"), ("NUMBERING_HTTP__REQUEST_TIMEOUT", "5m")];
    let app = TestApp::start_with(&settings).await;
    app.leased(MUCH).await;
    let unread = begun(&app, NUMBERS);
    let a = app.tenant("tenant-a");
    a.get(NUMBERS).await.problem(503, "UNAVAILABLE");
    until("its place is free again", async || a.get(&format!("{NUMBERS}?state=HELD")).await.status == 200).await;
    assert!(!tokio::task::spawn_blocking(move || rest(unread)).await.unwrap(), "and it does not look complete");
    app.stop().await;
}
