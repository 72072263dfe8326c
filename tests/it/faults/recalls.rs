//! A recall is heard of within a second on every replica, whatever breaks meanwhile (US-NUM-004).
//!
//! One replica recalls, in each test another one is asked all the while: what it remembers, and what Redis has, is of before the
//! recall, and nobody tells it but the journal.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use numbering::devstack::{Home, Server, SharedStack, Stack, StackOptions, redis as server};
use numbering_proto::v1::ValidateLeaseRequest;
use numbering_proto::v1::lease_validation_client::LeaseValidationClient;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tonic::Code;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::replica::Replica as Process;
use super::{directory, until};
use crate::support::{Replica, TestApp};

/// How soon a recall is heard of.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// For how long it is watched whether it is forgotten again.
const WATCHED_FOR: Duration = Duration::from_millis(2_500);
const ASKED_EVERY: Duration = Duration::from_millis(20);
/// A Redis where nobody listens.
const NOWHERE: [(&str, &str); 2] =
    [("NUMBERING_REDIS__URL", "redis://127.0.0.1:1/0"), ("NUMBERING_REDIS__TIMERS_URL", "redis://127.0.0.1:1/1")];
const HOLDER: &str = "tenant-a";

/// A question to a replica, and what it said.
#[derive(Debug)]
struct Asked {
    at: Instant,
    said: Result<String, Code>,
}

/// Asks one replica the same question, over and over, whether or not the one before is answered.
struct Watch {
    stop: oneshot::Sender<()>,
    asking: JoinHandle<Vec<Asked>>,
}

/// Who is asked about one number.
#[derive(Clone)]
struct Witness {
    client: LeaseValidationClient<Channel>,
    bearer: MetadataValue<Ascii>,
    number: String,
}

impl Witness {
    async fn new(app: &TestApp, replica: SocketAddr, number: &str) -> Self {
        let token = app.issuer.token("sms-orchestrator", None, &["leases.validate"]);
        Self {
            client: LeaseValidationClient::connect(format!("http://{replica}")).await.unwrap(),
            bearer: format!("Bearer {token}").parse().unwrap(),
            number: number.to_owned(),
        }
    }

    async fn ask(&self) -> Asked {
        let mut request =
            tonic::Request::new(ValidateLeaseRequest { identifier: self.number.clone(), tenant_id: HOLDER.to_owned() });
        request.metadata_mut().insert("authorization", self.bearer.clone());
        let at = Instant::now();
        let said = self.client.clone().validate_lease(request).await;
        let said = said.map(tonic::Response::into_inner).map_err(|status| status.code());
        let said = said.map(|said| if said.valid { "VALID".into() } else { said.reason().as_str_name().into() });
        Asked { at, said }
    }

    /// It says yes, and in the end from memory.
    async fn knows_the_lease(&self, metrics: SocketAddr) {
        let metrics = format!("http://{metrics}/metrics");
        until("it remembers the lease", async || {
            assert_eq!(self.ask().await.said.as_deref(), Ok("VALID"));
            let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
            text.contains(r#"numbering_validations_total{layer="process",verdict="VALID"}"#)
        })
        .await;
    }

    fn watch(self) -> Watch {
        let (stop, mut stopped) = oneshot::channel();
        let asking = tokio::spawn(async move {
            let mut asked = JoinSet::new();
            let mut ticks = interval(ASKED_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            while stopped.try_recv().is_err() {
                ticks.tick().await;
                let witness = self.clone();
                asked.spawn(async move { witness.ask().await });
            }
            asked.join_all().await
        });
        Watch { stop, asking }
    }
}

impl Watch {
    /// From a second after the recall's answer on, nobody is told yes (a busy replica may tell nothing), and the recall is told.
    async fn expect_the_recall(self, recalled_at: Instant) {
        let asked = self.end(recalled_at + WATCHED_FOR).await;
        let heard = asked.iter().filter(|asked| asked.said.as_deref() == Ok("LEASE_RECALLED")).count();
        for asked in &asked {
            let is_late = asked.at > recalled_at + HEARD_WITHIN;
            let may_be = matches!(asked.said.as_deref(), Ok("LEASE_RECALLED") | Err(Code::Unavailable));
            assert!(may_be || !is_late, "{asked:?}, {:?} after the recall", asked.at - recalled_at);
        }
        assert!(heard > 20, "it was heard of {heard} times only");
    }

    async fn end(self, at: Instant) -> Vec<Asked> {
        tokio::time::sleep_until(at.into()).await;
        self.stop.send(()).unwrap();
        self.asking.await.unwrap()
    }
}

struct Stage {
    app: TestApp,
    redis: Server,
    _directory: TempDir,
}

impl Stage {
    /// A replica in this process, over a Redis of the test's own.
    async fn set() -> Self {
        let directory = directory();
        let redis = server::start(&Home::open(directory.path()).unwrap()).await.unwrap();
        let app = TestApp::start_with(&settings(&redis).each_ref().map(|(name, url)| (*name, url.as_str()))).await;
        let this = Self { app, redis, _directory: directory };
        this.until_connected(this.app.http).await;
        this
    }

    /// Another replica in this process, over the same servers but for what is set otherwise.
    async fn replica(&self, other: &[(&str, &str)]) -> Replica {
        let usual = settings(&self.redis);
        let mut all: Vec<(&str, &str)> = usual.iter().map(|(name, url)| (*name, url.as_str())).collect();
        all.retain(|(name, _)| other.iter().all(|(changed, _)| changed != name));
        all.extend(other);
        self.app.replica(&all).await
    }

    async fn until_connected(&self, replica: SocketAddr) {
        let metrics = format!("http://{replica}/metrics");
        until("the service is connected to Redis", async || {
            let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
            text.contains("numbering_redis_up{database=\"snapshots\"} 1")
        })
        .await;
    }

    async fn leased(&self) -> String {
        leased(&self.app).await
    }

    async fn watched(&self, number: &str) -> Watch {
        watched(&self.app, self.app.http, self.app.grpc, number).await
    }

    /// What Redis has of a number.
    async fn in_redis(&self, number: &str) -> Vec<u8> {
        let there: Vec<u8> = self.connection().await.get(key(number)).await.unwrap();
        assert!(!there.is_empty(), "{number} is in Redis");
        there
    }

    /// Redis has what was there before the recall, as if whoever read it then had written it down only now; and a replica that
    /// has been there all the time is asked for the first time, and looks into Redis.
    async fn expect_that_nobody_is_misled(&self, newly_asked: &Replica, number: &str, before: &[u8]) {
        self.until_connected(newly_asked.http).await;
        self.connection().await.set_ex::<_, _, ()>(key(number), before, 60).await.unwrap();
        let witness = Witness::new(&self.app, newly_asked.grpc, number).await;
        assert_eq!(witness.ask().await.said.as_deref(), Ok("LEASE_RECALLED"));
    }

    async fn connection(&self) -> MultiplexedConnection {
        redis::Client::open(self.redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    async fn end(mut self) {
        self.app.stop().await;
        self.redis.stop().await;
    }
}

fn key(number: &str) -> String {
    format!("num:snapshot:{number}")
}

fn settings(redis: &Server) -> [(&'static str, String); 2] {
    [
        ("NUMBERING_REDIS__URL", format!("{}/0", redis.url())),
        ("NUMBERING_REDIS__TIMERS_URL", format!("{}/1", redis.url())),
    ]
}

async fn leased(app: &TestApp) -> String {
    let number = app.stock_numbers(1).await.remove(0);
    app.tenant(HOLDER).act(&number, "reserve").await.expect(200);
    app.tenant(HOLDER).lease(&number, "1m").await.expect(201);
    number
}

/// A replica that knows a lease, and is asked about it from now on.
async fn watched(app: &TestApp, http: SocketAddr, grpc: SocketAddr, number: &str) -> Watch {
    let witness = Witness::new(app, grpc, number).await;
    witness.knows_the_lease(http).await;
    witness.watch()
}

/// Recalls a number through a replica; gives when that was answered.
async fn recall(app: &TestApp, replica: SocketAddr, number: &str) -> Instant {
    app.admin().at(replica).recall(number, "ABUSE", Some("T-1")).await.expect(200);
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_cut_off_from_the_writer_alone() {
    let stage = Stage::set().await;
    let writer = stage.replica(&NOWHERE).await;
    let number = stage.leased().await;
    let watch = stage.watched(&number).await;
    let recalled_at = recall(&stage.app, writer.http, &number).await;
    watch.expect_the_recall(recalled_at).await;
    writer.stop().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_frozen_and_gone_on_with_what_it_knew() {
    let stage = Stage::set().await;
    let (writer, newly_asked) = (stage.replica(&NOWHERE).await, stage.replica(&[]).await);
    let number = stage.leased().await;
    let watch = stage.watched(&number).await;
    let before = stage.in_redis(&number).await;
    stage.redis.freeze();
    let recalled_at = recall(&stage.app, writer.http, &number).await;
    tokio::time::sleep(HEARD_WITHIN).await;
    stage.redis.thaw();
    stage.expect_that_nobody_is_misled(&newly_asked, &number, &before).await;
    watch.expect_the_recall(recalled_at).await;
    newly_asked.stop().await;
    writer.stop().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_killed_and_restarted_empty_and_a_slow_fill_that_was_overtaken() {
    let mut stage = Stage::set().await;
    let (writer, newly_asked) = (stage.replica(&[]).await, stage.replica(&[]).await);
    let number = stage.leased().await;
    let watch = stage.watched(&number).await;
    let before = stage.in_redis(&number).await;
    stage.redis.kill().await;
    let recalled_at = recall(&stage.app, writer.http, &number).await;
    stage.redis.start().await.unwrap();
    stage.until_connected(stage.app.http).await;
    stage.expect_that_nobody_is_misled(&newly_asked, &number, &before).await;
    watch.expect_the_recall(recalled_at).await;
    newly_asked.stop().await;
    // A replica that has only come since has not heard of the recall, and believes nothing that is from before it came.
    let newcomer = stage.replica(&[]).await;
    let witness = Witness::new(&stage.app, newcomer.grpc, &number).await;
    assert_eq!(witness.ask().await.said.as_deref(), Ok("LEASE_RECALLED"));
    newcomer.stop().await;
    writer.stop().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nats_dead() {
    let stage = Stage::set().await;
    let [snapshots, timers] = NOWHERE;
    let nowhere = [snapshots, timers, ("NUMBERING_NATS__URL", "nats://127.0.0.1:1")];
    let (writer, reader) = (stage.replica(&nowhere).await, stage.replica(&nowhere).await);
    let number = stage.leased().await;
    let watch = watched(&stage.app, reader.http, reader.grpc, &number).await;
    let recalled_at = recall(&stage.app, writer.http, &number).await;
    watch.expect_the_recall(recalled_at).await;
    writer.stop().await;
    reader.stop().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_writer_killed_right_after_its_commit() {
    let stage = Stage::set().await;
    // It cannot tell Redis, and dies before it has answered or soon after.
    let mut writer = Process::start(&stage.app, &NOWHERE).await;
    let number = stage.leased().await;
    let watch = stage.watched(&number).await;
    let database = stage.app.superuser().await;
    let client = stage.app.admin().at(writer.http);
    let recalled = tokio::spawn({
        let number = number.clone();
        async move { client.recall(&number, "ABUSE", Some("T-1")).await }
    });
    let recalled_yet = "SELECT state FROM numbering.numbers WHERE identifier = $1";
    until("the recall has committed", async || {
        database.query_one(recalled_yet, &[&number]).await.unwrap().get::<_, &str>(0) == "QUARANTINE"
    })
    .await;
    let recalled_at = Instant::now();
    writer.kill().await;
    recalled.abort();
    watch.expect_the_recall(recalled_at).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_replica_frozen_and_thawed() {
    let stage = Stage::set().await;
    let urls = settings(&stage.redis);
    let reader = Process::start(&stage.app, &urls.each_ref().map(|(name, url)| (*name, url.as_str()))).await;
    let number = stage.leased().await;
    // Asked while it stands still too: these it answers first when it goes on.
    let watch = watched(&stage.app, reader.http, reader.grpc, &number).await;
    reader.freeze();
    let recalled_at = recall(&stage.app, stage.app.http, &number).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    reader.thaw();
    let asked = watch.end(Instant::now() + HEARD_WITHIN).await;
    let late: Vec<&Asked> = asked.iter().filter(|asked| asked.at > recalled_at + HEARD_WITHIN).collect();
    assert!(late.len() > 100, "{} questions", late.len());
    for asked in &late {
        assert_ne!(asked.said.as_deref(), Ok("VALID"), "{:?} after the recall", asked.at - recalled_at);
    }
    assert_eq!(late.last().unwrap().said.as_deref(), Ok("LEASE_RECALLED"));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgresql_frozen_nobody_vouches_for_what_is_remembered() {
    let directory = directory();
    let options = StackOptions { nats_accounts: 1, ..StackOptions::default() };
    let stack = Stack::start(directory.path(), options).await.unwrap();
    let app = TestApp::start_on(SharedStack::of(&stack), &[]).await;
    let number = leased(&app).await;
    let watch = watched(&app, app.http, app.grpc, &number).await;
    stack.postgres.freeze();
    let frozen_at = Instant::now();
    let asked = watch.end(frozen_at + WATCHED_FOR).await;
    let late: Vec<&Asked> = asked.iter().filter(|asked| asked.at > frozen_at + HEARD_WITHIN).collect();
    assert!(late.len() > 20, "{} questions", late.len());
    for asked in late {
        assert!(
            matches!(asked.said, Err(Code::Unavailable | Code::DeadlineExceeded)),
            "{asked:?}, {:?} after PostgreSQL was last heard of",
            asked.at - frozen_at
        );
    }
    stack.postgres.thaw();
    let witness = Witness::new(&app, app.grpc, &number).await;
    until("it answers again", async || witness.ask().await.said.as_deref() == Ok("VALID")).await;
    app.stop().await;
    stack.stop().await;
}
