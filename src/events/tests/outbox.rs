//! The statements of the outbox: what they give, and to whom.

use super::*;
use crate::events::relay::ROLE;
use crate::events::republish::republish_since;

#[tokio::test]
async fn a_wave_is_read_and_settled_only_under_the_leadership() {
    let servers = Servers::start().await;
    let (store, sql) = (servers.store(), servers.sql().await);
    let held = store.acquire_leadership(ROLE, &Replica::new("test"), TERM).await.unwrap().unwrap();
    let empty = store.next_outbox_wave(&held, TERM, 10, &[]).await.unwrap().unwrap();
    assert!(empty.entries.is_empty());

    sql.execute(HAPPEN, &[&numbers(3), &1_i64, &0_i32]).await.unwrap();
    let wave = store.next_outbox_wave(&held, TERM, 2, &[]).await.unwrap().unwrap();
    let subjects: Vec<&str> = wave.entries.iter().map(|entry| entry.subject.as_str()).collect();
    assert_eq!(subjects, ["+93700000000", "+93700000001"], "in order, up to the limit");
    let others = store.next_outbox_wave(&held, TERM, 10, &subjects).await.unwrap().unwrap();
    assert_eq!(others.entries.len(), 1, "subjects that are held back are left alone");

    sleep(TERM / 2).await;
    let renewed = store.next_outbox_wave(&held, TERM, 10, &[]).await.unwrap().unwrap().leadership;
    assert!(renewed.until().remaining() > TERM / 2, "reading prolongs it");
    sleep(TERM).await;
    assert!(store.next_outbox_wave(&renewed, TERM, 10, &[]).await.unwrap().is_none(), "the term is over");

    let successor = store.acquire_leadership(ROLE, &Replica::new("test"), TERM).await.unwrap().unwrap();
    let published: Vec<_> = wave.entries.into_iter().map(|entry| (entry.subject, entry.seq)).collect();
    store.settle_published(&renewed, &published).await.unwrap();
    assert_eq!(waiting(&sql).await, 3, "who is relay no more settles nothing");
    store.settle_published(&successor, &published).await.unwrap();
    assert_eq!(waiting(&sql).await, 1);
}

#[tokio::test]
async fn what_was_published_can_be_put_back_since_a_moment() {
    let servers = Servers::start().await;
    let (store, sql) = (servers.store(), servers.sql().await);
    let now = async || -> jiff::Timestamp { sql.query_one("SELECT clock_timestamp()", &[]).await.unwrap().get(0) };
    assert_eq!(republish_since(&store, now().await).await.unwrap(), 0, "an empty journal");

    sql.execute(HAPPEN, &[&numbers(12_000), &1_i64, &0_i32]).await.unwrap();
    let since = now().await;
    for version in 2..=3_i64 {
        sql.execute(HAPPEN, &[&numbers(12_000), &version, &0_i32]).await.unwrap();
    }
    let audit = "INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id)
        VALUES ('tenant-a', 'tenant', gen_random_uuid(), 'numbering.tenant.updated', '{}', 'test', 'test')";
    sql.execute(audit, &[]).await.unwrap();
    sql.execute("DELETE FROM numbering.outbox o WHERE o.seq % 4 > 0", &[]).await.unwrap();
    let kept = waiting(&sql).await;

    assert_eq!(republish_since(&store, since).await.unwrap(), 18_000);
    assert_eq!(
        waiting(&sql).await,
        kept + 18_000,
        "all of the two later versions waits again, and nothing of the audit"
    );
    assert_eq!(republish_since(&store, since).await.unwrap(), 0, "what waits is not put back twice");
    assert_eq!(republish_since(&store, now().await).await.unwrap(), 0);
}

#[tokio::test]
async fn the_backlog_is_counted_and_aged() {
    let servers = Servers::start().await;
    let (store, sql) = (servers.store(), servers.sql().await);
    assert_eq!(store.outbox_backlog().await.unwrap().entries, 0);
    sql.execute(HAPPEN, &[&numbers(7), &1_i64, &0_i32]).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    let backlog = store.outbox_backlog().await.unwrap();
    assert_eq!(backlog.entries, 7);
    assert!((0.3..30.0).contains(&backlog.oldest_age_seconds), "{backlog:?}");
}

#[tokio::test]
async fn what_was_planned_for_an_empty_outbox_is_not_kept_for_a_full_one() {
    let servers = Servers::start().await;
    let (store, sql) = (servers.store(), servers.sql().await);
    let (superuser, connection) =
        tokio_postgres::connect(&servers.databases.superuser_url("numbering"), NoTls).await.unwrap();
    tokio::spawn(connection);
    superuser.batch_execute("VACUUM ANALYZE numbering.outbox").await.unwrap();
    let held = store.acquire_leadership(ROLE, &Replica::new("test"), Duration::from_mins(1)).await.unwrap().unwrap();
    for _ in 0..10 {
        store.settle_published(&held, &[("nobody".to_owned(), 1)]).await.unwrap();
    }
    sql.execute(HAPPEN, &[&numbers(10_000), &1_i64, &0_i32]).await.unwrap();
    let wave = store.next_outbox_wave(&held, TERM, 500, &[]).await.unwrap().unwrap();
    let published: Vec<_> = wave.entries.into_iter().map(|entry| (entry.subject, entry.seq)).collect();
    store.settle_published(&held, &published).await.unwrap();
    assert_eq!(waiting(&sql).await, 9_500);
    // Sessions tell what they read when they end, if not before.
    drop(store);
    let read = "SELECT coalesce(max(seq_tup_read), 0) FROM pg_stat_user_tables WHERE relname = 'outbox'";
    until("the sessions have told what they read", async || {
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'numbering'";
        superuser.query_one(sessions, &[]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
    let read: i64 = superuser.query_one(read, &[]).await.unwrap().get(0);
    assert!(read < 500 * 10_000 / 10, "{read} entries were read to take 500 out of 10,000");
}
