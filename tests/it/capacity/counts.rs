//! That what is counted is what the rows are, whatever commits late, however much there is, and whoever was frozen.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::SignedDuration;
use numbering::store::leadership::Replica;
use serde_json::json;
use tokio_postgres::Client;

use super::{FOLLOWING, act, file, import, pool, premium, until_alerts, until_remaining};
use crate::support::{TestApp, until};

/// Pools and states with how many numbers are in them, as the rows are and as they are counted.
type Counts = BTreeMap<(String, String), i64>;

async fn counts(database: &Client, sql: &str) -> Counts {
    let rows = database.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect()
}

async fn counted(database: &Client) -> Counts {
    let sql = "SELECT block_prefix || ' ' || state, due::text, sum(numbers)::bigint FROM numbering.pool_counts
               GROUP BY 1, 2 HAVING sum(numbers) <> 0";
    counts(database, sql).await
}

async fn true_counts(database: &Client) -> Counts {
    let sql = "SELECT coalesce((SELECT p.prefix FROM numbering.operator_prefixes p
                                WHERE p.operator_id = n.operator_id AND starts_with(n.identifier, p.prefix)
                                ORDER BY length(p.prefix) DESC LIMIT 1), '+') || ' ' || n.state,
                      CASE WHEN n.state = 'QUARANTINE' THEN numbering.day_end(n.deadline) ELSE timestamptz 'epoch' END::text,
                      count(*)
               FROM numbering.numbers n WHERE n.identifier_class = 'MSISDN' GROUP BY 1, 2";
    counts(database, sql).await
}

async fn until_exact(database: &Client) -> Counts {
    let (mut kept, mut found) = (Counts::new(), Counts::new());
    until("the counts are what the rows are", async || {
        (kept, found) = (counted(database).await, true_counts(database).await);
        kept == found
    })
    .await;
    kept
}

async fn drift(app: &TestApp) -> String {
    let metrics = app.admin().get("/metrics").await.text;
    let line = metrics.lines().find(|line| line.starts_with("numbering_block_capacity_drift_total")).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// While tenants take and give back, counts are made anew over and over at whatever snapshot there is, and held against those that
/// were kept by the journal up to the same snapshot. A transaction that began early commits late.
#[tokio::test]
async fn counts_are_exact_at_every_snapshot_and_no_long_transaction_is_waited_for() {
    let always = [
        ("NUMBERING_CAPACITY__LOOK_EVERY", "20ms"),
        ("NUMBERING_CAPACITY__RECOUNT_EVERY", "1ms"),
        ("NUMBERING_JOBS__CAPACITY", "* * * * *"),
    ];
    let app = TestApp::start_with(&always).await;
    let signer = app.operator("awcc", &["+9370", "+93700001", "+9371"]).await;
    import(&app, &signer, &file(400, 50)).await;
    let database = app.superuser().await;
    let late = app.superuser().await;
    // What `commit.sql` does for a reservation, slowly.
    let reservation = "BEGIN;
        UPDATE numbering.numbers SET version = 1, state = 'RESERVED', tenant_id = 't', deadline = 'infinity',
            reservation_id = gen_random_uuid() WHERE identifier = '+93710000000';
        INSERT INTO numbering.journal (subject, subject_kind, version, event_id, type, state, deadline, data, actor, request_id)
        VALUES ('+93710000000', 'number', 1, gen_random_uuid(), 'numbering.reservation.held', 'RESERVED', 'infinity', '{}', 'a', 'b')";
    late.batch_execute(reservation).await.unwrap();

    let tenants = join_all(["tenant-a", "tenant-b", "tenant-c"].map(|tenant| premium(&app, tenant))).await;
    let admin = app.admin();
    let writers = tenants.iter().zip(0..).map(|(tenant, first)| {
        let (app, admin, signer) = (&app, &admin, &signer);
        async move {
            for round in 0..10 {
                let numbers = first * 100 + round * 10..first * 100 + round * 10 + 10;
                act(tenant, "reserve", numbers.clone()).await;
                act(tenant, "release", numbers.start..numbers.start + 4).await;
                let leased = format!("+93{}", 700_000_000 + numbers.start + 5);
                tenant.lease(&leased, "1m").await.expect(201);
                if round % 2 == 0 {
                    admin.recall(&leased, "ABUSE", Some("T-1")).await.expect(200);
                }
            }
            import(app, signer, &file(400 + 40 * (first + 1), 50)).await;
        }
    });
    join_all(writers).await;
    let before = until_remaining(&admin, "+9371", 50).await;
    assert_eq!(before["byState"]["RESERVED"], 0, "what is not committed is not counted");
    until_exact(&database).await;
    late.batch_execute("COMMIT").await.unwrap();
    let exact = until_exact(&database).await;
    let late = exact.iter().find(|((counted, _), _)| counted == "+9371 RESERVED");
    assert_eq!(late.map(|(_, numbers)| *numbers), Some(1), "what commits late is not missed");
    assert_eq!(drift(&app).await, "0");
    let recounted = "SELECT sum((result->>'recounted')::bigint)::bigint FROM numbering.job_runs WHERE job = 'capacity'";
    until("they were compared many times", async || {
        let recounted: i64 = database.query_one(recounted, &[]).await.unwrap().get(0);
        recounted > 5
    })
    .await;
    assert_eq!(drift(&app).await, "0");
    app.stop().await;
}

#[tokio::test]
async fn a_large_backlog_is_counted_in_whole_transactions() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    import(&app, &signer, &file(14_000, 0)).await;
    let admin = app.admin();
    until_remaining(&admin, "+9370", 14_000).await;
    let database = app.superuser().await;
    for (first, last) in [(0, 2_999), (3_000, 9_999), (10_000, 10_009), (10_010, 13_999)] {
        // What one commit of so many numbers leaves.
        let moved = format!(
            "WITH moved AS (
                 UPDATE numbering.numbers SET version = 1, state = 'RESERVED', tenant_id = 't', deadline = 'infinity',
                     reservation_id = gen_random_uuid()
                 WHERE identifier BETWEEN '+93{}' AND '+93{}' RETURNING identifier)
             INSERT INTO numbering.journal (
                 subject, subject_kind, version, event_id, type, state, deadline, data, actor, request_id)
             SELECT identifier, 'number', 1, gen_random_uuid(), 'numbering.reservation.held', 'RESERVED', 'infinity', '{{}}', 'a', 'b'
             FROM moved",
            700_000_000 + first,
            700_000_000 + last,
        );
        database.batch_execute(&moved).await.unwrap();
    }
    admin.post("/v1/admin/numbering/jobs/capacity/run", &json!({})).await.expect(200);
    until_exact(&database).await;
    assert_eq!(pool(&admin, "+9370").await.unwrap()["byState"]["RESERVED"], 14_000);
    app.stop().await;
}

#[tokio::test]
async fn pools_follow_the_prefixes_of_their_operator() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370"]).await);
    let tens = (0..30).map(|n| format!("+93{}\n", 700_000_000 + n * 1_000_000 / 3));
    import(&app, &signer, &std::iter::once("msisdn\n".to_owned()).chain(tens).collect::<String>()).await;
    until_remaining(&admin, "+9370", 30).await;
    let database = app.superuser().await;
    for (prefixes, expected) in [
        (vec!["+9370", "+93705"], vec![("+9370", 27), ("+93705", 3)]),
        (vec!["+93705"], vec![("+", 27), ("+93705", 3)]),
        (vec!["+937"], vec![("+937", 30)]),
    ] {
        let operator = json!({ "name": "AWCC", "prefixes": prefixes });
        admin.put("/v1/admin/numbering/operators/awcc", &operator).await.expect(200);
        for (prefix, remaining) in &expected {
            until_remaining(&admin, prefix, *remaining).await;
        }
        assert_eq!(until_exact(&database).await.len(), expected.len());
        // A block that comes now is counted by the prefixes of now.
        assert_eq!(drift(&app).await, "0");
    }
    let more = "msisdn\n+93711111111\n+93700000009\n";
    import(&app, &signer, more).await;
    until_remaining(&admin, "+937", 32).await;
    app.stop().await;
}

#[tokio::test]
async fn what_was_written_past_the_commit_is_found_and_mended() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370"]).await);
    import(&app, &signer, &file(20, 0)).await;
    until_remaining(&admin, "+9370", 20).await;
    let database = app.superuser().await;
    let past_the_commit = "DELETE FROM numbering.numbers WHERE identifier < '+93700000003';
                           UPDATE numbering.pool_operators SET counted_at = '2000-01-01'";
    database.batch_execute(past_the_commit).await.unwrap();
    until_remaining(&admin, "+9370", 17).await;
    until("it is told", async || drift(&app).await == "3").await;
    app.stop().await;
}

#[tokio::test]
async fn an_inventory_that_was_there_before_is_counted_when_the_job_first_runs() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    import(&app, &signer, &file(20, 0)).await;
    let database = app.superuser().await;
    // As a release without counts leaves it: no heads, nobody followed, and the journal before the migration.
    let before =
        "DELETE FROM numbering.pool_operators; DELETE FROM numbering.pool_counts; DELETE FROM numbering.block_heads;
                  UPDATE numbering.pool_position SET seen = pg_current_snapshot()";
    until_remaining(&app.admin(), "+9370", 20).await;
    database.batch_execute(before).await.unwrap();
    app.admin().post("/v1/admin/numbering/jobs/capacity/run", &json!({})).await.expect(200);
    until_remaining(&app.admin(), "+9370", 20).await;
    app.stop().await;
}

#[tokio::test]
async fn a_block_of_a_release_that_kept_no_heads_is_counted_all_the_same() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let signer = app.operator("awcc", &["+9370"]).await;
    import(&app, &signer, &file(20, 0)).await;
    let admin = app.admin();
    until_remaining(&admin, "+9370", 20).await;
    let block = "WITH block AS (
                     INSERT INTO numbering.blocks (block_id, operator_id, inserted, duplicates, invalid, imported_by)
                     VALUES (gen_random_uuid(), 'awcc', 5, 0, 0, 'x') RETURNING block_id),
                 numbers AS (
                     INSERT INTO numbering.numbers (identifier, identifier_class, shown, operator_id, block_id)
                     SELECT '+9370999000' || n, 'MSISDN', '+9370999000' || n, 'awcc', block_id
                     FROM block, generate_series(1, 5) AS n)
                 INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id)
                 SELECT block_id::text, 'block', gen_random_uuid(), 'numbering.block.imported', '{}', 'x', 'y' FROM block";
    app.superuser().await.batch_execute(block).await.unwrap();
    until_remaining(&admin, "+9370", 25).await;
    app.stop().await;
}

#[tokio::test]
async fn a_holder_that_was_frozen_counts_nothing_twice() {
    let mut app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    import(&app, &signer, &file(20, 0)).await;
    until_remaining(&app.admin(), "+9370", 20).await;
    act(&premium(&app, "tenant-a").await, "reserve", 0..5).await;
    app.stop_serving().await;

    let (store, database) = (app.store(), app.superuser().await);
    let length = Duration::from_mins(1);
    let frozen = store.acquire_leadership("job:capacity", &Replica::new("frozen"), length).await.unwrap().unwrap();
    let look = store.look_at_capacity().await.unwrap();
    assert!(look.has_news());
    let over = "UPDATE numbering.leaderships SET expires_at = clock_timestamp() WHERE role = 'job:capacity'";
    database.batch_execute(over).await.unwrap();
    let next = store.acquire_leadership("job:capacity", &Replica::new("next"), length).await.unwrap().unwrap();
    assert_eq!(store.fold_capacity(&frozen, &look).await.unwrap(), None, "its term is over");
    assert!(store.fold_capacity(&next, &look).await.unwrap().is_some_and(|entries| entries >= 5));
    let exact = until_exact(&database).await;
    assert_eq!(store.fold_capacity(&next, &look).await.unwrap(), None, "the counts stand elsewhere by now");
    assert_eq!(counted(&database).await, exact);
}

/// As the migration leaves it that began to count, while others wrote: it was itself the first that ran, and is not listed.
#[tokio::test]
async fn counts_follow_from_a_snapshot_whose_first_transaction_is_the_one_that_took_it() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370"]).await);
    import(&app, &signer, &file(20, 0)).await;
    until_remaining(&admin, "+9370", 20).await;
    let tenant = premium(&app, "tenant-a").await;
    let taken = "UPDATE numbering.pool_position SET seen = regexp_replace(
                     pg_current_snapshot()::text, '^[0-9]+',
                     (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text)::pg_snapshot";
    app.superuser().await.batch_execute(taken).await.unwrap();
    act(&tenant, "reserve", 0..5).await;
    until_remaining(&admin, "+9370", 15).await;
    app.stop().await;
}

/// The journal comes along with numbers of transactions that have not begun here, and that are reached by and by.
#[tokio::test]
async fn after_a_restore_into_another_cluster_pools_are_counted_anew_and_what_came_along_is_no_news() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370"]).await);
    import(&app, &signer, &file(20, 0)).await;
    let tenant = premium(&app, "tenant-a").await;
    act(&tenant, "reserve", 0..5).await;
    until_remaining(&admin, "+9370", 15).await;
    let database = app.superuser().await;
    let of_days = async || {
        let sql = "SELECT coalesce(sum(imported), 0)::bigint, coalesce(sum(taken), 0)::bigint
                   FROM numbering.pool_days WHERE block_prefix = '+9370'";
        let row = database.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let (imported, taken) = of_days().await;
    let restored = "BEGIN;
        UPDATE numbering.journal SET xid = (xid::text::bigint + 20000)::text::xid8;
        UPDATE numbering.pool_position
        SET seen = (SELECT format('%1$s:%1$s:', max(xid::text::bigint) + 1) FROM numbering.journal)::pg_snapshot;
        COMMIT";
    database.batch_execute(restored).await.unwrap();
    until("it is noticed, and all is counted anew", async || {
        let sql = "SELECT EXISTS (SELECT FROM numbering.pool_position WHERE restored > 0)
                          AND NOT EXISTS (SELECT FROM numbering.pool_operators WHERE stale)";
        database.query_one(sql, &[]).await.unwrap().get(0)
    })
    .await;
    act(&tenant, "reserve", 5..10).await;
    until_remaining(&admin, "+9370", 10).await;
    let store = app.store();
    until("there is nothing to do", async || !store.look_at_capacity().await.unwrap().has_news()).await;

    // As many transactions begin as it takes to come to the numbers of those that came along.
    let begun = "DO $$ BEGIN FOR i IN 1..21000 LOOP
                     BEGIN PERFORM pg_current_xact_id(); CREATE TEMP TABLE t (); RAISE 'no'; EXCEPTION WHEN OTHERS THEN END;
                 END LOOP; END $$";
    database.batch_execute(begun).await.unwrap();
    act(&tenant, "reserve", 10..12).await;
    until_remaining(&admin, "+9370", 8).await;
    until("the journal's numbers are behind", async || {
        let sql = "SELECT pg_snapshot_xmax(p.seen) > ALL (SELECT j.xid FROM numbering.journal j) FROM numbering.pool_position p";
        database.query_one(sql, &[]).await.unwrap().get(0)
    })
    .await;
    until_exact(&database).await;
    assert_eq!(of_days().await, (imported, taken + 7), "nothing was counted twice");
    app.stop().await;
}

#[tokio::test]
async fn a_recount_that_fails_keeps_nothing_from_being_said_and_no_other_from_its_turn() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370"]).await);
    import(&app, &signer, &file(100, 0)).await;
    until_remaining(&admin, "+9370", 100).await;
    let tenant = premium(&app, "tenant-a").await;
    let database = app.superuser().await;
    let fault = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
                 CREATE TRIGGER no BEFORE INSERT ON numbering.pool_operators
                 FOR EACH ROW WHEN (NEW.operator_id = 'aaa') EXECUTE FUNCTION no()";
    database.batch_execute(fault).await.unwrap();
    app.operator("aaa", &["+9379"]).await;
    act(&tenant, "reserve", 0..96).await;
    until_alerts(&admin, "+9370", &["numbering_pool_exhausted"]).await;
    until("it is told", async || {
        let metrics = admin.get("/metrics").await.text;
        metrics.lines().any(|line| line == "numbering_block_capacity_recount_failures_total 1")
    })
    .await;
    let doubt = "UPDATE numbering.pool_operators SET stale = true WHERE operator_id = 'awcc'";
    database.batch_execute(doubt).await.unwrap();
    until("the other is counted anew", async || {
        let sql = "SELECT NOT stale FROM numbering.pool_operators WHERE operator_id = 'awcc'";
        database.query_one(sql, &[]).await.unwrap().get(0)
    })
    .await;
    let failed = "SELECT sum((result->>'failed')::bigint)::bigint, count(*) FILTER (WHERE outcome = 'FAILED')
                  FROM numbering.job_runs WHERE job = 'capacity'";
    let row = database.query_one(failed, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 0), "the run says so, and is done");
    app.stop().await;
}

#[tokio::test]
async fn operators_are_counted_anew_one_after_the_other_over_the_day() {
    let mut app = TestApp::start().await;
    for operator in ["aaa", "bbb", "ccc"] {
        app.operator(operator, &[&format!("+937{}", operator.as_bytes()[0] - b'a')]).await;
    }
    app.stop_serving().await;
    let (store, database) = (app.store(), app.superuser().await);
    let due = async |counted: &str| {
        database.batch_execute(counted).await.unwrap();
        let due = store.due_recounts(SignedDuration::from_hours(24)).await.unwrap();
        due.into_iter().map(|recount| recount.operator).collect::<Vec<String>>()
    };
    let known = "DELETE FROM numbering.pool_operators;
                 INSERT INTO numbering.pool_operators (operator_id, prefixes, followed_since, counted_at)
                 SELECT o.operator_id,
                        ARRAY(SELECT p.prefix FROM numbering.operator_prefixes p WHERE p.operator_id = o.operator_id),
                        now(), now() - interval '11 hours'
                 FROM (SELECT operator_id FROM numbering.operators UNION ALL SELECT '') AS o";
    assert_eq!(due(known).await, [""; 0], "less than half the time has gone");
    let half = "UPDATE numbering.pool_operators SET counted_at = now() - interval '13 hours'";
    assert_eq!(due(half).await, ["", "aaa", "bbb", "ccc"], "the first of these may come");
    let first = "UPDATE numbering.pool_operators SET counted_at = now() - interval '5 hours' WHERE operator_id = ''";
    assert_eq!(due(first).await, [""; 0], "the next waits for its share of the time, six hours of four");
    let share = "UPDATE numbering.pool_operators SET counted_at = now() - interval '7 hours' WHERE operator_id = ''";
    assert_eq!(due(share).await, ["aaa", "bbb", "ccc"]);
    let late = "UPDATE numbering.pool_operators SET counted_at = now() WHERE operator_id = '';
                UPDATE numbering.pool_operators SET counted_at = now() - interval '25 hours' WHERE operator_id = 'bbb'";
    assert_eq!(due(late).await, ["bbb"], "what is late waits for nobody");
}

/// A replica that cannot read the counts must not go on telling what was left.
#[tokio::test]
async fn what_is_left_is_told_no_longer_where_it_is_not_known() {
    let app = TestApp::start_with(&FOLLOWING).await;
    let (admin, signer) = (app.admin(), app.operator("awcc", &["+9370"]).await);
    import(&app, &signer, &file(20, 0)).await;
    let told = async || {
        let metrics = admin.get("/metrics").await.text;
        metrics.lines().any(|line| line.starts_with("numbering_block_capacity_remaining{"))
    };
    until("what is left is told", told).await;
    let database = app.superuser().await;
    database.batch_execute("REVOKE SELECT ON numbering.pool_counts FROM numbering_service").await.unwrap();
    until("nothing is told", async || !told().await).await;
    database.batch_execute("GRANT SELECT ON numbering.pool_counts TO numbering_service").await.unwrap();
    until("it is told again", told).await;
    app.stop().await;
}
