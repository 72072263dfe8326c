//! What a pool is called and how it is counted, and on a real PostgreSQL that what is new is found by the index.

use tokio_postgres::Client;

use super::*;
use crate::store::testing::TestDatabase;

/// How the service has it planned once it has run it a few times.
async fn plan(client: &Client, types: &str, sql: &str, values: &str) -> String {
    client.batch_execute(&format!("PREPARE planned ({types}) AS {sql}")).await.unwrap();
    let rows = client.query(&format!("EXPLAIN EXECUTE planned ({values})"), &[]).await.unwrap();
    client.batch_execute("DEALLOCATE planned").await.unwrap();
    rows.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<&str>>().join("\n")
}

#[tokio::test]
async fn what_the_counts_lack_is_found_by_the_index_however_long_the_journal_is() {
    let client = TestDatabase::make().await.superuser().await;
    let journal = "INSERT INTO numbering.journal (subject, subject_kind, version, event_id, type, data, actor, request_id, xid)
                   SELECT '+937' || v % 1000, 'number', v, gen_random_uuid(), 'numbering.lease.created', '{}', 'test', 'test',
                          (v / 10 + 3)::text::xid8
                   FROM generate_series(1, 200000) AS v;
                   SET plan_cache_mode = force_generic_plan; SET search_path = numbering";
    client.batch_execute(journal).await.unwrap();
    for analysed in [false, true] {
        if analysed {
            client.batch_execute("ANALYZE numbering.journal").await.unwrap();
        }
        let look = plan(&client, "bigint", include_str!("../capacity_look.sql"), "5000").await;
        let types = "text, uuid, bigint, text, text, text[], text, text, text[]";
        let values = "'r', '00000000-0000-0000-0000-000000000000', 1, '3:3:', '9:9:', '{}', '3', '9', '{}'";
        let fold = plan(&client, types, include_str!("../capacity_fold.sql"), values).await;
        for (found, by_xid) in [(look, 3), (fold, 2)] {
            assert!(!found.contains("Seq Scan on journal"), "{found}");
            assert!(found.matches("journal_by_xid").count() >= by_xid, "{found}");
        }
    }
}

#[test]
fn a_pool_is_read_from_what_alerts_call_it() {
    for (class, operator, prefix, subject) in [
        (IdentifierClass::Msisdn, "awcc", "+9370", "MSISDN/awcc/+9370"),
        (IdentifierClass::ShortCode, "", "4xxx", "SHORT_CODE/4xxx"),
    ] {
        let pool = Pool { class, operator: operator.to_owned(), prefix: prefix.to_owned() };
        assert_eq!(pool.subject(), subject);
        assert_eq!(Pool::of_subject(subject), Some(pool));
    }
}

#[test]
fn parts_cover_every_prefix_of_today_and_before_once() {
    let strings = |prefixes: &[&str]| prefixes.iter().map(ToString::to_string).collect();
    let recount = Recount {
        operator: "awcc".to_owned(),
        prefixes: strings(&["+9370", "+93701", "+9371"]),
        counted_in: strings(&["+93", "+9370"]),
    };
    let parts = recount.parts();
    assert_eq!(parts.len(), 10);
    assert_eq!(parts[0], ("+93".to_owned(), "+931".to_owned()));
    assert_eq!(parts[9], ("+939".to_owned(), "+93:".to_owned()));
    for pair in parts.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "no gap, no overlap");
    }
    assert_eq!((recount.prefix_of("+93701"), recount.prefix_of("+93709")), ("+93701", "+9370"));
    assert_eq!(recount.prefix_of("+93720"), NO_PREFIX);
}

#[test]
fn a_batch_ends_between_two_transactions_and_holds_one_at_least() {
    let look = |next: u64, beyond: Option<u64>| {
        let (seen, now) = (Seen::parse("90:100:90").unwrap(), Seen::parse("105:200:105,150").unwrap());
        let look = CapacityLook { seen, now, next: Some(next), beyond, late: false };
        look.next_stop(&look.now).to_string()
    };
    assert_eq!(look(101, None), "105:200:105,150", "all there is");
    assert_eq!(look(101, Some(140)), "105:140:105");
    assert_eq!(look(101, Some(101)), "102:102:", "one large transaction");
}
