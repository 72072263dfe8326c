//! What PostgreSQL plans for the statements of the hot path, and keeps.

use serde_json::Value;

use super::Bench;
use crate::store::commit::Locks;

/// A plan is kept while tables grow, whether PostgreSQL knew nothing of them when it made it, or that they were small.
#[tokio::test]
async fn no_plan_is_kept_that_reads_a_table_whole() {
    let bench = Bench::start().await;
    plans_begin_in_an_index(&bench).await;
    let tenants: Vec<String> = (0..300).map(|number| format!("tenant-{number}")).collect();
    let superuser = &bench.superuser;
    superuser.execute(include_str!("../../../../benches/bar/seed/tenants.sql"), &[&tenants]).await.unwrap();
    let (many, soon) = (300_i64, 3_600.0);
    let reservations = include_str!("../../../../benches/bar/seed/reservations.sql");
    superuser.execute(reservations, &[&770_000_000_i64, &many, &tenants, &soon]).await.unwrap();
    let leases = include_str!("../../../../benches/bar/seed/leases.sql");
    superuser.execute(leases, &[&750_000_000_i64, &many, &tenants, &true]).await.unwrap();
    let keys = "INSERT INTO numbering.idempotency_keys (scope, route, key, request_hash, owner, claimed_until)
        SELECT 'tenant-a', 'POST /', n::text, '', gen_random_uuid(), clock_timestamp() FROM generate_series(1, $1::bigint) AS n";
    superuser.execute(keys, &[&many]).await.unwrap();
    superuser.batch_execute("VACUUM ANALYZE").await.unwrap();
    plans_begin_in_an_index(&bench).await;
}

async fn plans_begin_in_an_index(bench: &Bench) {
    let null = |count: usize| vec!["NULL"; count].join(", ");
    let client = bench.store.connection().await.unwrap();
    client.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    let commit = "jsonb, jsonb, text, uuid, bigint, timestamptz, float8";
    for (sql, types, values) in [
        (Locks::Awaited.statement(), commit, 7),
        (Locks::TenantsAwaited.statement(), commit, 7),
        (Locks::PassedBy.statement(), commit, 7),
        (include_str!("../../load.sql"), "jsonb, timestamptz, float8", 3),
        (include_str!("../../load_snapshots.sql"), "jsonb", 1),
    ] {
        client.batch_execute(&format!("PREPARE planned ({types}) AS {sql}")).await.unwrap();
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE planned ({})", null(values));
        let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
        client.batch_execute("DEALLOCATE planned").await.unwrap();
        let whole = read_whole(&plan);
        assert!(whole.is_empty(), "{whole:#?}");
    }
}

/// The parts of a plan that read a table, and begin nowhere in an index.
fn read_whole(plan: &Value) -> Vec<&Value> {
    let below: Vec<&Value> = match plan {
        Value::Array(parts) => parts.iter().flat_map(read_whole).collect(),
        Value::Object(members) => members.values().flat_map(read_whole).collect(),
        _ => Vec::new(),
    };
    // A bitmap's index is a part of its own.
    let is_bitmap = plan["Node Type"] == "Bitmap Heap Scan";
    let is_scan = plan["Node Type"].as_str().is_some_and(|kind| kind.ends_with("Scan"));
    let reads = is_scan && !is_bitmap && (plan["Relation Name"].is_string() || plan["Index Name"].is_string());
    // There are few tenants, and who is suspended among them has an index of its own, of which all is wanted. What billing is asked at
    // a time is little.
    let is_small = ["tenants", "renewal_requests"].iter().any(|table| plan["Relation Name"] == *table);
    if reads && !is_small && !plan["Index Cond"].is_string() { [below, vec![plan]].concat() } else { below }
}
