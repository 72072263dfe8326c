//! The books: what must be true of what PostgreSQL and JetStream hold whenever nothing is under way, whatever broke before.
//!
//! A rule is a query for those who offend against it. Beside each stands a fault to plant, which it must find: a rule that
//! finds nothing in any books is worth nothing.

use std::collections::{BTreeMap, HashMap};

use numbering::events::catalogue::PUBLISHED_TYPES;
use tokio_postgres::{Client, Row};

use super::traffic::Told;
use super::until;
use crate::support::TestApp;

struct Rule {
    says: &'static str,
    /// Gives a line for each offender.
    offenders: &'static str,
    /// Breaks the rule.
    fault: &'static str,
}

const RULES: [Rule; 12] = [
    Rule {
        says: "a number has one active claim at most",
        offenders: "SELECT c.identifier FROM numbering.claims c GROUP BY c.identifier HAVING count(*) > 1",
        fault: "DROP INDEX numbering.claims_one_active;
            INSERT INTO numbering.claims
            SELECT c.identifier, gen_random_uuid(), 'intruder', c.state, c.deadline FROM numbering.claims c LIMIT 1",
    },
    Rule {
        says: "the claims are those of the numbers",
        offenders: "SELECT concat_ws(' ', identifier, claim_id, c.state, n.state)
            FROM numbering.claims c
            FULL JOIN (
                SELECT identifier, coalesce(reservation_id, lease_id) AS claim_id, tenant_id, state, deadline
                FROM numbering.numbers WHERE state IN ('RESERVED', 'HELD', 'LEASED', 'SUSPENDED')) AS n
            USING (identifier, claim_id)
            WHERE (c.tenant_id, c.state, c.deadline) IS DISTINCT FROM (n.tenant_id, n.state, n.deadline)",
        fault: "DELETE FROM numbering.claims WHERE identifier = (SELECT min(identifier) FROM numbering.claims)",
    },
    Rule {
        says: "the counters of use equal the rows",
        offenders: "SELECT concat_ws(' ', t.tenant_id, t.used_msisdn, t.used_short_code, t.used_alpha, t.used_reservations,
                t.used_holds, 'but rows', u.msisdn, u.short_code, u.alpha, u.reservations, u.holds)
            FROM numbering.tenants t
            CROSS JOIN LATERAL (
                SELECT count(*) FILTER (WHERE c.state = 'RESERVED') AS reservations,
                       count(*) FILTER (WHERE c.state = 'HELD') AS holds,
                       count(*) FILTER (WHERE c.state IN ('LEASED', 'SUSPENDED') AND n.identifier_class = 'MSISDN') AS msisdn,
                       count(*) FILTER (WHERE c.state IN ('LEASED', 'SUSPENDED') AND n.identifier_class = 'SHORT_CODE')
                           AS short_code,
                       count(*) FILTER (WHERE c.state IN ('LEASED', 'SUSPENDED') AND n.identifier_class = 'ALPHA') AS alpha
                FROM numbering.claims c JOIN numbering.numbers n USING (identifier)
                WHERE c.tenant_id = t.tenant_id) AS u
            WHERE (t.used_msisdn, t.used_short_code, t.used_alpha, t.used_reservations, t.used_holds)
                <> (u.msisdn, u.short_code, u.alpha, u.reservations, u.holds)",
        fault: "UPDATE numbering.tenants SET used_holds = used_holds + 1",
    },
    Rule {
        says: "the versions of a number's journal go from 1 to the number's own, without gaps",
        offenders: "SELECT concat_ws(' ', n.identifier, n.version, count(j.version), min(j.version), max(j.version))
            FROM numbering.numbers n
            LEFT JOIN numbering.journal j ON j.subject = n.identifier AND j.subject_kind = 'number'
            GROUP BY n.identifier, n.version
            HAVING (count(j.version), coalesce(min(j.version), 1), coalesce(max(j.version), 0))
                IS DISTINCT FROM (n.version, 1::bigint, n.version)",
        fault: "DELETE FROM numbering.journal j USING numbering.numbers n
            WHERE j.subject = n.identifier AND n.version > 2 AND j.version = 2",
    },
    Rule {
        says: "a number's journal is written in the order of its versions",
        offenders: "SELECT concat_ws(' ', j.subject, j.version)
            FROM (
                SELECT subject, version, lag(version) OVER (PARTITION BY subject ORDER BY seq) AS before
                FROM numbering.journal WHERE subject_kind = 'number') AS j
            WHERE j.version <> coalesce(j.before, 0) + 1",
        fault: "UPDATE numbering.journal SET seq = DEFAULT WHERE subject_kind = 'number' AND version = 1",
    },
    Rule {
        says: "the last entry of a number's journal tells how the number stands",
        offenders: "SELECT concat_ws(' ', n.identifier, n.state, n.tenant_id, n.deadline, 'told as', j.state, j.tenant_id, j.deadline)
            FROM numbering.numbers n
            JOIN numbering.journal j ON j.subject = n.identifier AND j.subject_kind = 'number' AND j.version = n.version
            WHERE (n.state, n.tenant_id, n.deadline) IS DISTINCT FROM (j.state, j.tenant_id, j.deadline)
               OR (n.state IN ('LEASED', 'SUSPENDED') AND n.lease_id IS DISTINCT FROM j.lease_id)",
        fault: "UPDATE numbering.numbers SET deadline = deadline + interval '1 second'",
    },
    Rule {
        says: "each entry's state follows from the one before, and no holder from another holder",
        offenders: "SELECT concat_ws(' ', j.subject, j.version, j.was, j.was_of, 'then', j.state, j.tenant_id)
            FROM (
                SELECT subject, version, state, tenant_id,
                       coalesce(lag(state) OVER life, 'AVAILABLE') AS was, lag(tenant_id) OVER life AS was_of
                FROM numbering.journal WHERE subject_kind = 'number'
                WINDOW life AS (PARTITION BY subject ORDER BY version)) AS j
            WHERE j.was_of <> j.tenant_id
               OR (j.was, j.state) NOT IN (
                   ('AVAILABLE', 'RESERVED'), ('AVAILABLE', 'LEASED'),
                   ('RESERVED', 'RESERVED'), ('RESERVED', 'HELD'), ('RESERVED', 'LEASED'), ('RESERVED', 'AVAILABLE'),
                   ('HELD', 'LEASED'), ('HELD', 'AVAILABLE'),
                   ('LEASED', 'LEASED'), ('SUSPENDED', 'SUSPENDED'),
                   ('LEASED', 'SUSPENDED'), ('LEASED', 'RECALLED'), ('LEASED', 'QUARANTINE'),
                   ('SUSPENDED', 'LEASED'), ('SUSPENDED', 'RECALLED'), ('SUSPENDED', 'QUARANTINE'),
                   ('LEASED', 'AVAILABLE'), ('SUSPENDED', 'AVAILABLE'), ('AVAILABLE', 'AVAILABLE'),
                   ('RECALLED', 'AVAILABLE'), ('RECALLED', 'QUARANTINE'),
                   ('QUARANTINE', 'QUARANTINE'), ('QUARANTINE', 'AVAILABLE'))",
        fault: "UPDATE numbering.journal SET tenant_id = 'intruder' WHERE state = 'HELD'",
    },
    Rule {
        says: "no grant took a tenant above its quota",
        offenders: "WITH entries AS (
                SELECT seq, subject, state, tenant_id, lag(state) OVER life AS was, lag(tenant_id) OVER life AS was_of
                FROM numbering.journal WHERE subject_kind = 'number'
                WINDOW life AS (PARTITION BY subject ORDER BY version)),
            changes AS (
                SELECT seq, subject, tenant_id, state, 1 AS change FROM entries WHERE tenant_id IS NOT NULL
                UNION ALL SELECT seq, subject, was_of, was, -1 FROM entries WHERE was_of IS NOT NULL),
            counted AS (
                SELECT c.seq, c.tenant_id, k.counter, c.change
                FROM changes c
                JOIN numbering.numbers n ON n.identifier = c.subject
                CROSS JOIN LATERAL (
                    SELECT CASE WHEN c.state IN ('RESERVED', 'HELD') THEN c.state ELSE n.identifier_class END AS counter) AS k),
            used AS (
                SELECT seq, tenant_id, counter, change,
                       sum(change) OVER (PARTITION BY tenant_id, counter ORDER BY seq) AS used
                FROM counted)
            SELECT concat_ws(' ', u.tenant_id, u.counter, u.used, 'at', u.seq)
            FROM used u JOIN numbering.tenants t USING (tenant_id)
            WHERE u.change > 0 AND u.used > CASE u.counter
                WHEN 'RESERVED' THEN t.limit_reservations WHEN 'HELD' THEN t.limit_holds
                WHEN 'MSISDN' THEN t.limit_msisdn WHEN 'SHORT_CODE' THEN t.limit_short_code ELSE t.limit_alpha END",
        fault: "UPDATE numbering.tenants SET limit_msisdn = 0",
    },
    Rule {
        says: "a lease has one row, one term in the history and one event that made it",
        offenders: "SELECT concat_ws(' ', identifier, lease_id)
            FROM (SELECT identifier, lease_id, tenant_id, term, effective_from, effective_until FROM numbering.leases) AS l
            FULL JOIN (
                SELECT identifier, lease_id, tenant_id, term, effective_from, effective_until FROM numbering.lease_history) AS h
            USING (identifier, lease_id, tenant_id, term, effective_from, effective_until)
            FULL JOIN (
                SELECT subject AS identifier, lease_id, tenant_id, count(*) AS made
                FROM numbering.journal WHERE type IN ('numbering.lease.created', 'numbering.lease.renewed')
                GROUP BY subject, lease_id, tenant_id) AS j
            USING (identifier, lease_id, tenant_id)
            WHERE l IS NULL OR h IS NULL OR made IS DISTINCT FROM 1",
        fault: "DELETE FROM numbering.lease_history h WHERE h.lease_id = (SELECT min(l.lease_id::text) FROM numbering.leases l)::uuid",
    },
    Rule {
        says: "a lease is in force exactly while its number is leased under it",
        offenders: "SELECT concat_ws(' ', identifier, lease_id, l.state, n.state)
            FROM (SELECT * FROM numbering.leases WHERE ended_at IS NULL) AS l
            FULL JOIN (SELECT * FROM numbering.numbers WHERE state IN ('LEASED', 'SUSPENDED')) AS n
            USING (identifier, lease_id)
            WHERE (l.state, l.tenant_id, l.effective_until) IS DISTINCT FROM (n.state, n.tenant_id, n.effective_until)",
        fault: "UPDATE numbering.leases SET state = 'RECALLED', ended_at = clock_timestamp() WHERE ended_at IS NULL",
    },
    Rule {
        says: "a term that is a renewal tells its charge, and a charge pays for one term",
        offenders: "SELECT concat_ws(' ', h.identifier, h.lease_id, h.charge_id) FROM numbering.lease_history h
            WHERE (h.prior_lease_id IS NULL) <> (h.charge_id IS NULL)
            UNION ALL
            SELECT c.charge_id FROM (
                SELECT charge_id FROM numbering.lease_history UNION ALL SELECT charge_id FROM numbering.renewal_requests) AS c
            WHERE c.charge_id IS NOT NULL
            GROUP BY c.charge_id HAVING count(*) > 1",
        fault: "UPDATE numbering.lease_history SET charge_id = 'the same for all'",
    },
    Rule {
        says: "an answer that is kept under a key is a whole one",
        offenders: "SELECT k.key FROM numbering.idempotency_keys k WHERE (k.status IS NULL) <> (k.body IS NULL)",
        fault: "INSERT INTO numbering.idempotency_keys (scope, route, key, request_hash, owner, claimed_until, status)
            VALUES ('tenant x', 'POST /', 'k', '', gen_random_uuid(), clock_timestamp(), 200)",
    },
];

async fn offenders(database: &Client, rule: &Rule) -> Vec<String> {
    database.query(rule.offenders, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Nothing is under way any more: everything is written down, published, and agrees.
pub(crate) async fn balance(app: &TestApp) {
    let database = app.superuser().await;
    for rule in &RULES {
        let found = offenders(&database, rule).await;
        assert!(found.is_empty(), "{}, but: {found:#?}", rule.says);
    }
    published(app, &database).await;
}

/// The outbox empties by itself.
async fn drained(database: &Client) {
    until("the outbox is empty", async || {
        database.query_one("SELECT NOT EXISTS (SELECT FROM numbering.outbox)", &[]).await.unwrap().get(0)
    })
    .await;
}

/// The journal's entries that are events, and how many events JetStream holds: of a moment when all were published, and none was added
/// meanwhile. Time goes on when nobody asks for anything, and a rest may end.
async fn events(app: &TestApp, database: &Client) -> (Vec<Row>, u64) {
    let entries = async || {
        let statement = "SELECT subject, event_id::text, type, version FROM numbering.journal
            WHERE type = ANY ($1) ORDER BY seq";
        database.query(statement, &[&PUBLISHED_TYPES.as_slice()]).await.unwrap()
    };
    let mut told = (Vec::new(), 0);
    until("no event is under way", async || {
        let before = entries().await;
        drained(database).await;
        told = (before, app.published().await);
        entries().await.len() == told.0.len()
    })
    .await;
    told
}

/// JetStream holds each entry of the journal that is an event exactly once, in order for each number, and nothing else.
async fn published(app: &TestApp, database: &Client) {
    let mut journal: BTreeMap<String, Vec<(String, String, Option<i64>)>> = BTreeMap::new();
    let (entries, in_stream) = events(app, database).await;
    for row in &entries {
        journal.entry(row.get(0)).or_default().push((row.get(1), row.get(2), row.get(3)));
    }
    let mut stream: BTreeMap<String, Vec<(String, String, Option<i64>)>> = BTreeMap::new();
    for received in app.events(usize::try_from(in_stream).unwrap()).await {
        let event = &received.event;
        assert_eq!(event["type"], received.subject);
        assert_eq!(event["id"], received.message_id);
        let subject = event["subject"].as_str().unwrap().to_owned();
        stream.entry(subject).or_default().push((
            received.message_id,
            received.subject,
            event["data"]["version"].as_i64(),
        ));
    }
    for (subject, entries) in &journal {
        assert_eq!(stream.get(subject), Some(entries), "the events of {subject}, in order");
    }
    assert_eq!(stream.len(), journal.len(), "nothing is published that is not in the journal");
}

/// What the journal says of one request.
#[derive(Debug)]
struct Written {
    number: String,
    event: String,
    reason: Option<String>,
    version: i64,
}

/// What was answered and what is written agree: a 2xx has its one effect, a refusal has none, and where no answer came
/// there is one at most.
pub(crate) async fn agree_with(database: &Client, told: &[Told]) {
    let by_callers = "SELECT request_id, subject, type, data ->> 'reason', version FROM numbering.journal
        WHERE subject_kind = 'number' AND actor <> 'numbering' AND request_id LIKE 'client-%' ORDER BY seq";
    let mut written: HashMap<String, Vec<Written>> = HashMap::new();
    for row in database.query(by_callers, &[]).await.unwrap() {
        let entry = Written { number: row.get(1), event: row.get(2), reason: row.get(3), version: row.get(4) };
        written.entry(row.get(0)).or_default().push(entry);
    }
    for told in told {
        let entries = written.remove(&told.request_id).unwrap_or_default();
        let effects = entries.iter().filter(|entry| {
            entry.number == told.number
                && entry.event == told.act.event()
                && entry.reason.as_deref() != Some("TTL_EXPIRED")
        });
        let effects = effects.count();
        match &told.answer {
            Some(answer) if answer.status.is_success() => {
                assert_eq!(effects, 1, "the effect of {told:?} in {entries:#?}");
                if let Some(version) = answer.json()["version"].as_i64() {
                    assert_eq!(entries.last().unwrap().version, version, "the version that was answered to {told:?}");
                }
            }
            Some(answer) if answer.status.is_client_error() => {
                assert!(entries.is_empty(), "a refusal changes nothing: {told:?} {entries:#?}");
            }
            Some(_) | None => assert!(effects <= 1, "{told:?} {entries:#?}"),
        }
    }
    assert!(written.is_empty(), "the clients were told of everything that they did: {written:#?}");
}

#[tokio::test]
async fn each_rule_finds_the_fault_that_is_planted_against_it() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(5).await;
    let (a, b) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    for number in &numbers[..3] {
        a.act(number, "reserve").await.expect(200);
        a.act(number, "hold").await.expect(200);
        a.lease(number, "1m").await.expect(201);
    }
    a.recall(&numbers[0], "TENANT_INITIATED", None).await.expect(200);
    b.act(&numbers[3], "reserve").await.expect(200);
    b.act(&numbers[4], "reserve").await.expect(200);
    b.act(&numbers[4], "hold").await.expect(200);
    balance(&app).await;
    let mut database = app.superuser().await;
    for rule in &RULES {
        let spoilt = database.transaction().await.unwrap();
        spoilt.batch_execute(rule.fault).await.unwrap();
        let found = offenders(spoilt.client(), rule).await;
        assert!(!found.is_empty(), "the books hold that {}, but the planted fault goes unseen", rule.says);
        spoilt.rollback().await.unwrap();
    }
    balance(&app).await;
    app.stop().await;
}
