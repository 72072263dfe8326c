//! What is in the database, to show that a request left nothing behind.

use std::collections::BTreeMap;

use tokio_postgres::Client;

/// Tables that move by themselves: the clock, when jobs run next and what their runs did, what waits to be published, who
/// leads, and what follows the journal.
const RESTLESS: [&str; 9] = [
    "clock",
    "job_runs",
    "jobs",
    "leaderships",
    "outbox",
    "pool_counts",
    "pool_days",
    "pool_operators",
    "pool_position",
];

/// Every table with the count and the hash of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Traces(BTreeMap<String, (i64, String)>);

impl Traces {
    pub(super) async fn of(database: &Client) -> Self {
        let sql = "SELECT t.table_name::text,
                          (xpath('count(/*/*)', t.content))[1]::text::bigint,
                          md5(t.content::text)
                   FROM (SELECT table_name, table_to_xml(format('numbering.%I', table_name)::regclass, true, false, '')
                         FROM information_schema.tables
                         WHERE table_schema = 'numbering' AND table_type = 'BASE TABLE' AND table_name <> ALL ($1)
                   ) AS t (table_name, content)";
        let rows = database.query(sql, &[&RESTLESS.as_slice()]).await.unwrap();
        Self(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
    }
}
