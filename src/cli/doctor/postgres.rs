//! PostgreSQL: reachable, new enough, migrated, with the right role, and with a clock that agrees with this machine's.

use std::cmp::Ordering;
use std::error::Error as _;

use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, Row};

use super::{Findings, PATIENCE};
use crate::auth::machine_clock;
use crate::config::Database;
use crate::store::migrate::newest_migration;

const SUBJECT: &str = "PostgreSQL";
const FACTS: &str = include_str!("postgres.sql");
const MIGRATION: &str = include_str!("migration.sql");

/// The oldest version that the service is tested with.
const OLDEST_VERSION: i32 = 150_000;

/// Tokens carry this machine's time and stored deadlines PostgreSQL's: people notice from here on.
const SKEW_WARN_SECONDS: f64 = 1.0;

/// From here on tokens are refused though they are good, and taken though they are not (their leeway is 30 s at most).
const SKEW_FAIL_SECONDS: f64 = 30.0;

pub(super) async fn examine(database: &Database, findings: &mut Findings) {
    let connecting = timeout(PATIENCE, tokio_postgres::connect(database.url.as_str(), NoTls));
    let (client, connection) = match connecting.await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return unreachable(&error, findings),
        Err(_) => {
            let hint = "see that database.url names the right host, and that no firewall drops the packets";
            return findings.fail(SUBJECT, format!("does not answer within {} s", PATIENCE.as_secs()), hint);
        }
    };
    tokio::spawn(connection);
    match timeout(PATIENCE, look(&client, findings)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => findings.fail(SUBJECT, told(&error), "see PostgreSQL's own log"),
        Err(_) => findings.fail(SUBJECT, "lets in, but does not answer", "see PostgreSQL's own log"),
    }
}

async fn look(client: &Client, findings: &mut Findings) -> Result<(), tokio_postgres::Error> {
    let asked = Instant::now();
    let facts = client.query_one(FACTS, &[]).await?;
    let answered_in = asked.elapsed().as_secs_f64();
    server(&facts, findings);
    clock(facts.get("now"), answered_in, findings);
    if facts.get("has_history") {
        let applied: Option<i32> = client.query_one(MIGRATION, &[]).await?.get(0);
        schema(applied.and_then(|version| u32::try_from(version).ok()), findings);
        role(&facts, findings);
    } else {
        schema(None, findings);
    }
    Ok(())
}

fn server(facts: &Row, findings: &mut Findings) {
    let version: &str = facts.get("version");
    if facts.get::<_, i32>("version_number") < OLDEST_VERSION {
        let found = format!("is of version {version}; the service is tested with 15 and later");
        findings.warn(SUBJECT, found, "plan an upgrade of PostgreSQL");
    } else {
        findings.ok(SUBJECT, format!("answers, version {version}"));
    }
    if facts.get("is_standby") {
        let hint = "point database.url at the primary: validation and writes need it";
        findings.fail(SUBJECT, "is a standby, which takes no writes", hint);
    }
    if !facts.get::<_, bool>("is_durable") {
        let found = "has fsync or full_page_writes off: a crash may lose what was acknowledged";
        findings.warn(SUBJECT, found, "switch both on, unless the data is for trying things out");
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are far below 2^52")]
fn clock(theirs: f64, answered_in: f64, findings: &mut Findings) {
    let ours = machine_clock().as_millisecond() as f64 / 1_000.0;
    // Theirs was read somewhere within the round trip; half of it is the best guess.
    let skew = (ours - answered_in / 2.0 - theirs).abs();
    let found = format!("differs from PostgreSQL's by {skew:.3} s");
    let hint = "keep both machines on network time (timedatectl, chronyc tracking)";
    match skew {
        skew if skew > SKEW_FAIL_SECONDS => findings.fail("clock", found, hint),
        skew if skew > SKEW_WARN_SECONDS => findings.warn("clock", found, hint),
        _ => findings.ok("clock", found),
    }
}

fn schema(applied: Option<u32>, findings: &mut Findings) {
    let newest = newest_migration();
    let shown = |version: Option<u32>| version.map_or_else(|| "none".to_owned(), |version| format!("V{version}"));
    let (has, knows) = (shown(applied), shown(newest));
    match applied.cmp(&newest) {
        Ordering::Equal => findings.ok("schema", format!("is up to date ({has})")),
        Ordering::Less => {
            let found = format!("is behind: the database has {has}, this program needs {knows}");
            findings.fail("schema", found, "run `numbering migrate` as the role that owns the schema");
        }
        Ordering::Greater => {
            let found = format!("is ahead: the database has {has}, this program knows {knows}");
            findings.warn("schema", found, "run the newer program, which migrated it");
        }
    }
}

fn role(facts: &Row, findings: &mut Findings) {
    let role: &str = facts.get("role");
    if !facts.get::<_, bool>("may_write_journal") {
        let hint = format!("as a superuser: GRANT numbering_service TO {role}");
        findings.fail("role", format!("{role} may not read and append to the journal"), hint);
    } else if facts.get("is_superuser") || facts.get("may_change_journal") {
        let found = format!("{role} may change or delete what stands in the journal, the audit trail");
        let hint = "serve as a role that has no more than numbering_service, and migrate as another";
        findings.warn("role", found, hint);
    } else {
        findings.ok("role", format!("{role} may append to the journal and change nothing in it"));
    }
}

fn unreachable(error: &tokio_postgres::Error, findings: &mut Findings) {
    let refused_who = [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION];
    let hint = match error.code() {
        Some(code) if refused_who.contains(code) => "see that role and password in database.url are right",
        Some(&SqlState::UNDEFINED_DATABASE) => {
            "make the database, owned by the role that migrates, then `numbering migrate`"
        }
        Some(&SqlState::TOO_MANY_CONNECTIONS) => "raise max_connections, or lower database.pool_size of the replicas",
        Some(&SqlState::CANNOT_CONNECT_NOW) => "it is starting, stopping or recovering: wait, or see its log",
        _ => "see that it runs, and that database.url names its host and port",
    };
    findings.fail(SUBJECT, format!("lets nobody in: {}", told(error)), hint);
}

fn told(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(db), _) => db.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
