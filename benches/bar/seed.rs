//! What the measured services find in their databases, written there by SQL: by REST it would take hours.
//!
//! What must stay true: the rows are what the service's own commits would have left, so that every CHECK holds and the counters of
//! quotas equal the rows.

use anyhow::Context as _;
use tokio_postgres::Client;
use uuid::Uuid;

/// Where the inventories of AVAILABLE numbers begin, as `seed/inventory.sql` has it: `+93700000000`.
pub(crate) const INVENTORY_FROM: u64 = 700_000_000;
/// Where leased numbers begin, beyond every inventory: `+93750000000`.
pub(crate) const LEASES_FROM: u64 = 750_000_000;
/// Where reservations begin that run out.
pub(crate) const RESERVATIONS_FROM: i64 = 770_000_000;
/// The tenants of a site.
pub(crate) const TENANTS: usize = 32;

/// So many rows of leases are written in one statement: a multiple of [`TENANTS`], so that they take turns throughout.
const LEASES_AT_ONCE: i64 = 51_200;

/// The name of a tenant, by number.
pub(crate) fn tenant(number: usize) -> String {
    format!("tenant-{:02}", number % TENANTS)
}

/// A place among `count` that is far from its neighbours'; each is met once before one is met again. What is asked for in the order of
/// the keys finds its neighbours' pages in memory.
pub(crate) const fn scattered(place: u64, count: u64) -> u64 {
    place % count * SCATTER % count
}

/// A prime, so that it divides no count of these measurements.
pub(crate) const SCATTER: u64 = 7_919;

/// The `number`th of the leased numbers, and its tenant.
pub(crate) fn leased(number: u64) -> (String, String) {
    let holder = tenant(usize::try_from(number % TENANTS as u64).unwrap_or_default());
    (format!("+93{}", LEASES_FROM + number), holder)
}

/// All [`TENANTS`].
pub(crate) async fn tenants(client: &Client) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = (0..TENANTS).map(tenant).collect();
    client.execute(include_str!("seed/tenants.sql"), &[&names]).await.context("tenants cannot be written")?;
    Ok(names)
}

/// An inventory of `count` numbers, each `step` after the one before.
///
/// Indexes are made after the rows, which is several times faster; they and the planner's statistics are as after any other load.
pub(crate) async fn inventory(client: &Client, count: u64, step: u64) -> anyhow::Result<()> {
    let (count, step) = (i64::try_from(count)?, i64::try_from(step)?);
    let rows = client.query(include_str!("seed/indexes.sql"), &[]).await?;
    let indexes: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (_, drop) in &indexes {
        client.batch_execute(drop).await.context("an index cannot be dropped")?;
    }
    client.execute(include_str!("seed/inventory.sql"), &[&count, &step]).await.context("numbers cannot be written")?;
    client.batch_execute("SET maintenance_work_mem = '512MB'").await?;
    for (make, _) in &indexes {
        client.batch_execute(make).await.context("an index cannot be made again")?;
    }
    settle(client).await
}

/// `count` leased numbers from `first` on, held in turn by `tenants`; with `publish` their events are still to be published.
pub(crate) async fn leases(
    client: &Client,
    first: u64,
    count: u64,
    tenants: &[String],
    publish: bool,
) -> anyhow::Result<()> {
    let (first, count) = (i64::try_from(first)?, i64::try_from(count)?);
    let mut done = 0;
    while done < count {
        let some = (count - done).min(LEASES_AT_ONCE);
        let from = first + done;
        let written = client.execute(include_str!("seed/leases.sql"), &[&from, &some, &tenants, &publish]).await;
        written.context("leases cannot be written")?;
        done += some;
    }
    settle(client).await
}

/// A reservation that runs out: its number, its id, and when its timer does, in milliseconds since 1970.
pub(crate) type Running = (String, Uuid, i64);

/// `count` reservations from `first` on that run out evenly over the second that begins `seconds` from now.
pub(crate) async fn reservations(
    client: &Client,
    first: i64,
    count: i64,
    tenants: &[String],
    seconds: f64,
) -> anyhow::Result<Vec<Running>> {
    let rows = client.query(include_str!("seed/reservations.sql"), &[&first, &count, &tenants, &seconds]).await;
    Ok(rows.context("reservations cannot be written")?.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// Gives the planner its statistics, and PostgreSQL the work now that it would do at some later moment by itself.
pub(crate) async fn settle(client: &Client) -> anyhow::Result<()> {
    client.batch_execute("VACUUM ANALYZE").await.context("the database cannot be vacuumed")?;
    client.batch_execute("CHECKPOINT").await.context("PostgreSQL makes no checkpoint")
}

/// Fails when a tenant's counters are not what the rows say.
pub(crate) async fn check_balance(client: &Client) -> anyhow::Result<()> {
    let off: i64 = client.query_one(include_str!("seed/unbalanced.sql"), &[]).await?.get(0);
    anyhow::ensure!(off == 0, "the counters of {off} tenants are not what their rows say");
    Ok(())
}
