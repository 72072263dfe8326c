//! The place in the journal, and on a real PostgreSQL what is found from it.

use tokio_postgres::Client;

use super::*;
use crate::store::testing::TestDatabase;

const PATIENCE: Duration = Duration::from_secs(5);

fn at(incarnation: &str, snapshot: &str) -> Place {
    Place::parse(incarnation, snapshot).unwrap()
}

#[test]
fn a_database_that_has_gone_back_or_is_another_is_seen() {
    let before = at("1", "10:20:10");
    assert!(at("1", "20:20:").goes_on_from(&before));
    assert!(!at("1", "19:19:").goes_on_from(&before));
    assert!(!at("2", "30:30:").goes_on_from(&before));
}

struct Bench {
    store: Store,
    database: TestDatabase,
    superuser: Client,
}

impl Bench {
    async fn start() -> Self {
        let database = TestDatabase::make().await;
        Self { store: database.store(PATIENCE), superuser: database.superuser().await, database }
    }

    async fn news(&self, place: Option<&Place>) -> News {
        self.store.journal_news(place, 1_000, PATIENCE).await.unwrap()
    }
}

/// Entries of a number, from one version to another.
async fn enter(client: &impl tokio_postgres::GenericClient, subject: &str, from: i64, to: i64) {
    let sql = "INSERT INTO numbering.journal (subject, subject_kind, version, event_id, type, data, actor, request_id)
               SELECT $1, 'number', v, gen_random_uuid(), 'numbering.lease.created', '{}', 'test', 'test'
               FROM generate_series($2::bigint, $3::bigint) v";
    client.execute(sql, &[&subject, &from, &to]).await.unwrap();
}

fn versions(news: &News) -> Vec<(&str, i64)> {
    let mut versions: Vec<_> = news.changed.iter().map(|(key, version)| (key.as_str(), *version)).collect();
    versions.sort_unstable();
    versions
}

#[tokio::test]
async fn nothing_is_passed_over_however_late_it_commits_and_nothing_is_told_twice() {
    let bench = Bench::start().await;
    let (mut long, mut late) = (bench.database.superuser().await, bench.database.superuser().await);
    enter(&bench.superuser, "1111", 1, 1).await;
    let long = long.transaction().await.unwrap();
    enter(&long, "2222", 1, 1).await;

    let first = bench.news(None).await;
    assert!(!first.complete && first.changed.is_empty(), "what was before the first time is not told: {first:?}");

    let late = late.transaction().await.unwrap();
    enter(&late, "3333", 1, 1).await;
    enter(&bench.superuser, "1111", 2, 4).await;
    let second = bench.news(Some(&first.place)).await;
    assert!(second.complete);
    assert_eq!(versions(&second), [("1111", 4)], "the others have not committed");

    enter(&bench.superuser, "4444", 1, 1).await;
    late.commit().await.unwrap();
    let third = bench.news(Some(&second.place)).await;
    assert_eq!(versions(&third), [("3333", 1), ("4444", 1)], "an earlier number in the journal, and a later commit");

    assert_eq!(versions(&bench.news(Some(&third.place)).await), [], "nothing is told twice");
    long.commit().await.unwrap();
    let fifth = bench.news(Some(&third.place)).await;
    assert_eq!(versions(&fifth), [("2222", 1)], "it ran all the while");
    assert_eq!(versions(&bench.news(Some(&fifth.place)).await), []);
}

#[tokio::test]
async fn a_reader_that_was_away_for_long_is_told_that_it_missed_some() {
    let bench = Bench::start().await;
    let place = bench.news(None).await.place;
    enter(&bench.superuser, "1111", 1, 1_000).await;
    let all = bench.news(Some(&place)).await;
    assert!(all.complete && versions(&all) == [("1111", 1_000)], "{all:?}");
    enter(&bench.superuser, "1111", 1_001, 1_001).await;
    let more = bench.news(Some(&place)).await;
    assert!(!more.complete, "{more:?}");
    assert!(bench.news(Some(&more.place)).await.complete, "and goes on from there");
    let end = more.place.seen.end() + 1_000;
    let ahead = at(&more.place.incarnation, &format!("{end}:{end}:"));
    assert!(!bench.news(Some(&ahead)).await.complete, "the database has gone back");
    let of_another = Place { incarnation: "00000002 2026".into(), ..more.place };
    assert!(!bench.news(Some(&of_another)).await.complete, "another server has taken over");
}

#[tokio::test]
async fn what_was_restored_from_another_cluster_is_no_news() {
    let bench = Bench::start().await;
    let place = bench.news(None).await.place;
    enter(&bench.superuser, "1111", 1, 1).await;
    let restored = "UPDATE numbering.journal SET xid = '9000000000' WHERE subject = '1111'";
    bench.superuser.batch_execute(restored).await.unwrap();
    let news = bench.news(Some(&place)).await;
    assert!(news.complete && news.changed.is_empty(), "{news:?}");
}

#[tokio::test]
async fn it_is_told_that_the_inventory_grew_and_who_is_suspended() {
    let bench = Bench::start().await;
    let place = bench.news(None).await.place;
    enter(&bench.superuser, "1111", 1, 1).await;
    let quiet = bench.news(Some(&place)).await;
    assert!(!quiet.inventory_grew && quiet.suspended.is_empty());
    bench
        .superuser
        .batch_execute(
            "INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id)
             VALUES ('b', 'block', gen_random_uuid(), 'numbering.block.imported', '{}', 'test', 'test');
             INSERT INTO numbering.tenants (tenant_id, plan, status, limit_msisdn, limit_short_code, limit_alpha,
                 limit_reservations, limit_holds)
             VALUES ('tenant-b', 'starter', 'SUSPENDED', 9, 9, 9, 9, 9)",
        )
        .await
        .unwrap();
    let news = bench.news(Some(&quiet.place)).await;
    assert!(news.inventory_grew && news.changed.is_empty());
    assert_eq!(news.suspended, HashSet::from([TenantId::parse("tenant-b").unwrap()]));
}

#[tokio::test]
async fn what_is_new_is_found_by_the_index_however_long_the_journal_is() {
    let bench = Bench::start().await;
    enter(&bench.superuser, "1111", 1, 50_000).await;
    for analysed in [false, true] {
        if analysed {
            bench.superuser.batch_execute("ANALYZE numbering.journal").await.unwrap();
        }
        // As the service plans it once it has run it a few times.
        let sql = "SET plan_cache_mode = force_generic_plan; SET search_path = numbering";
        bench.superuser.batch_execute(sql).await.unwrap();
        let tail = include_str!("../journal_tail.sql");
        bench.superuser.batch_execute(&format!("PREPARE tail (text[], text, bigint) AS {tail}")).await.unwrap();
        let rows = bench.superuser.query("EXPLAIN EXECUTE tail ('{}', '0', 50001)", &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan on journal"), "{plan}");
        assert_eq!(plan.matches("journal_by_xid").count(), 2, "{plan}");
        bench.superuser.batch_execute("DEALLOCATE tail").await.unwrap();
    }
}
