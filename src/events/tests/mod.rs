//! The relay against a real PostgreSQL and a real NATS server, which each test starts for itself, because it stops them.

mod asyncapi;
mod leadership;
mod outbox;
mod relay;
mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::StreamExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use super::jetstream::STREAM;
use super::{Relay, RelayMetrics, RelaySettings};
use crate::devstack::{Databases, Home, Server, nats, postgres};
use crate::store::leadership::Replica;
use crate::store::{Store, StoreSettings};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);

/// The term of the relays under test.
const TERM: Duration = Duration::from_secs(1);

/// What happens to numbers, short of the numbers themselves: an entry of the journal and its pointer for each of the
/// numbers $1, of the version $2, with $3 characters of ballast.
const HAPPEN: &str = "
    WITH entry AS (
        INSERT INTO numbering.journal (subject, subject_kind, version, event_id, type, data, actor, request_id)
        SELECT number, 'number', $2, gen_random_uuid(), 'numbering.reservation.held',
               jsonb_build_object('identifier', number, 'version', $2::bigint, 'ballast', repeat('x', $3)), 'test', 'test'
        FROM unnest($1::text[]) AS number
        RETURNING subject, seq)
    INSERT INTO numbering.outbox (subject, seq) SELECT subject, seq FROM entry";

/// A PostgreSQL with the schema, and a NATS server.
struct Servers {
    postgres: Server,
    nats: Server,
    databases: Databases,
    _directory: TempDir,
}

impl Servers {
    async fn start() -> Self {
        // PostgreSQL's own user must reach it when the tests run as root.
        let directory = tempfile::Builder::new().prefix("numbering-events-").tempdir_in("/var/tmp").unwrap();
        let home = Home::open(directory.path()).unwrap();
        let (postgres, nats) = tokio::join!(postgres::start(&home), nats::start(&home, 0));
        let ((postgres, databases), nats) = (postgres.unwrap(), nats.unwrap());
        crate::store::migrate::migrate(&databases.owner_url("numbering")).await.unwrap();
        databases.admit_service().await.unwrap();
        Self { postgres, nats, databases, _directory: directory }
    }

    /// A store as each replica has one.
    fn store(&self) -> Store {
        Store::planning_anew(&StoreSettings {
            url: self.databases.app_url("numbering"),
            pool_size: 4,
            acquire_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
        })
        .unwrap()
    }

    /// A connection of the role that serves.
    async fn sql(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.databases.app_url("numbering"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Starts a relay, as each replica runs one.
    async fn relay(&self) -> Running {
        self.relay_of(settings()).await
    }

    async fn relay_of(&self, settings: RelaySettings) -> Running {
        let metrics = RelayMetrics::default();
        let stop = CancellationToken::new();
        let client = super::jetstream::connect(self.nats.url()).await.unwrap();
        let relay =
            Relay::new(self.store(), client, settings, metrics.clone(), Arc::new(Notify::new()), Replica::new("test"));
        let task = tokio::spawn(relay.run(stop.clone()));
        Running { metrics, stop, task }
    }

    /// Every event of the stream, once there are `count`.
    async fn events(&self, count: usize) -> Vec<Value> {
        let client = async_nats::connect(self.nats.url()).await.unwrap();
        let context = jetstream::new(client);
        until("there is a stream", async || context.get_stream(STREAM).await.is_ok()).await;
        let stream = context.get_stream(STREAM).await.unwrap();
        let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let mut events = Vec::new();
        while events.len() < count {
            let message = timeout(PATIENCE, messages.next()).await.expect("all events come").unwrap().unwrap();
            let event: Value = serde_json::from_slice(&message.payload).unwrap();
            let headers = message.headers.as_ref().unwrap();
            assert_eq!(headers.get("Nats-Msg-Id").unwrap().as_str(), event["id"]);
            assert_eq!(message.subject.as_str(), event["type"]);
            events.push(event);
        }
        let more = timeout(Duration::from_millis(200), messages.next()).await;
        assert!(more.is_err(), "no event comes twice or too much: {more:?}");
        events
    }
}

fn settings() -> RelaySettings {
    RelaySettings {
        poll: Duration::from_millis(50),
        batch: 100,
        in_flight: 16,
        leadership: TERM,
        ack_timeout: Duration::from_secs(2),
        source: "/numbering".to_owned(),
    }
}

/// A relay at work.
struct Running {
    metrics: RelayMetrics,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn leads(&self) -> bool {
        self.metrics.leads.get() == 1
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Some numbers of the Afghan plan.
fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("+9370{n:07}")).collect()
}

/// Waits until it holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < patience, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn waiting(sql: &tokio_postgres::Client) -> i64 {
    sql.query_one("SELECT count(*) FROM numbering.outbox", &[]).await.unwrap().get(0)
}

/// The versions of each number, in the order in which they came.
fn versions(events: &[Value]) -> BTreeMap<String, Vec<i64>> {
    let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for event in events {
        let data = &event["data"];
        assert_eq!(event["subject"], data["identifier"]);
        let identifier = data["identifier"].as_str().unwrap().to_owned();
        versions.entry(identifier).or_default().push(data["version"].as_i64().unwrap());
    }
    versions
}
