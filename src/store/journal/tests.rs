//! The audit trail on a real PostgreSQL: how much of the journal is looked at.

use std::time::Duration;

use tokio_postgres::Client;

use super::*;
use crate::store::testing::TestDatabase;

const PATIENCE: Duration = Duration::from_secs(20);

/// A hundred days of a journal, a thousand entries a day about ten subjects.
async fn hundred_days() -> (Store, Client) {
    let database = TestDatabase::make().await;
    let (store, superuser) = (database.store(PATIENCE), database.superuser().await);
    superuser
        .batch_execute(
            "INSERT INTO numbering.journal (subject, subject_kind, version, event_id, type, data, actor, request_id, at)
             SELECT 'subject-' || i % 10, 'number', i, gen_random_uuid(), 'numbering.lease.created', '{}', 'test', 'test',
                    timestamptz '2026-01-01T00:00:00Z' + i * interval '86.4 s'
             FROM generate_series(0, 99999) AS i ORDER BY i",
        )
        .await
        .unwrap();
    (store, superuser)
}

fn from_to(from: &str, to: &str) -> AuditFilter {
    let moment = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    AuditFilter { from: moment(from), to: moment(to), ..AuditFilter::default() }
}

/// All that the filter finds, and in how many stretches.
async fn stretches(store: &Store, filter: &AuditFilter) -> (Vec<Entry>, usize) {
    let (mut entries, mut stretches, mut before) = (Vec::new(), 0, None);
    loop {
        let stretch = store.audit_stretch(filter, before, 5_000).await.unwrap();
        entries.extend(stretch.entries);
        stretches += 1;
        before = stretch.resume_before;
        if before.is_none() {
            return (entries, stretches);
        }
    }
}

#[tokio::test]
async fn an_export_of_some_days_looks_at_these_days_and_not_at_the_whole_journal() {
    let (store, superuser) = hundred_days().await;
    for (from, to, found) in [
        ("2026-01-31T00:00:00Z", "2026-02-02T00:00:00Z", 2_000),
        ("2026-04-09T00:00:00Z", "", 2_000),
        ("", "2026-01-03T00:00:00Z", 2_000),
        ("2027-01-01T00:00:00Z", "", 0),
        ("", "2025-01-01T00:00:00Z", 0),
    ] {
        let (entries, stretches) = stretches(&store, &from_to(from, to)).await;
        assert_eq!(entries.len(), found, "{from} to {to}");
        assert!(entries.is_sorted_by(|one, other| one.seq > other.seq));
        assert_eq!(stretches, 1, "{from} to {to}");
    }
    let (all, _) = stretches(&store, &AuditFilter::default()).await;
    assert_eq!(all.len(), 100_000);

    // A little out of order, as entries of transactions side by side are.
    let swapped =
        "UPDATE numbering.journal SET at = '2026-02-01T12:00:00Z' WHERE at >= '2026-02-02' AND at < '2026-02-02T00:30Z'
                   OR at >= '2026-01-30T23:30Z' AND at < '2026-01-31'";
    let moved = usize::try_from(superuser.execute(swapped, &[]).await.unwrap()).unwrap();
    let filter = from_to("2026-01-31T00:00:00Z", "2026-02-02T00:00:00Z");
    assert_eq!(stretches(&store, &filter).await.0.len(), 2_000 + moved);
}

#[tokio::test]
async fn the_entries_of_subjects_are_read_from_these_subjects_entries_however_few_subjects_there_are() {
    let (store, superuser) = hundred_days().await;
    // As the service plans it once it has run it a few times.
    superuser
        .batch_execute(
            "ANALYZE numbering.journal; SET plan_cache_mode = force_generic_plan; SET search_path = numbering",
        )
        .await
        .unwrap();
    let sql = include_str!("../audit_of_subjects.sql");
    let types = "text[], text, text, text, timestamptz, timestamptz, bigint, bigint";
    superuser.batch_execute(&format!("PREPARE of_subjects ({types}) AS {sql}")).await.unwrap();
    let explain = "EXPLAIN EXECUTE of_subjects ('{nobody}', NULL, NULL, NULL, NULL, NULL, 100001, 1000)";
    let rows = superuser.query(explain, &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("Index Scan Backward using journal_pkey"), "{plan}");

    let two = ["subject-3", "subject-3", "subject-7", "nobody"].map(str::to_owned).to_vec();
    let filter = AuditFilter { subjects: Some(two), ..AuditFilter::default() };
    let (entries, _) = stretches(&store, &filter).await;
    assert_eq!(entries.len(), 20_000, "each once");
    assert!(entries.is_sorted_by(|one, other| one.seq > other.seq));
}
