//! Against a real Redis.

use std::sync::Arc;

use numbering_domain::IdentifierClass;
use numbering_domain::lease::Facts;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::devstack::{Home, Server, redis as server};
use crate::operations::validate::testing::{directory, eventually};
use crate::telemetry::Metrics;

const KEEP: Duration = Duration::from_mins(1);

struct Bench {
    server: Server,
    snapshots: Snapshots,
    connection: redis::aio::MultiplexedConnection,
    _stop: DropGuard,
    _directory: TempDir,
}

impl Bench {
    async fn start() -> Self {
        let directory = directory();
        let server = server::start(&Home::open(directory.path()).unwrap()).await.unwrap();
        let link = RedisLink::new("snapshots", server.url(), Duration::from_millis(100), &Arc::new(Metrics::default()))
            .unwrap();
        let snapshots = Snapshots::new(link, KEEP, Duration::from_millis(250));
        let stop = CancellationToken::new();
        tokio::spawn({
            let (snapshots, stop) = (snapshots.clone(), stop.clone());
            async move { snapshots.link().keep_connected(&stop).await }
        });
        eventually("Redis is connected", async || snapshots.link().is_up()).await;
        let client = redis::Client::open(server.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        Self { server, snapshots, connection, _stop: stop.drop_guard(), _directory: directory }
    }

    async fn put(&self, version: i64, as_of: i64) {
        self.snapshots.put(&identifier(), &snapshot(version), at(as_of)).await.unwrap();
    }

    async fn version(&self) -> Option<i64> {
        self.snapshots.get(&identifier()).await.map(|kept| kept.snapshot.version)
    }

    async fn command(&self, command: &[&[u8]]) -> redis::Value {
        let mut built = redis::Cmd::new();
        for part in command {
            built.arg(*part);
        }
        built.query_async(&mut self.connection.clone()).await.unwrap()
    }
}

fn identifier() -> Identifier {
    Identifier::from_canonical(IdentifierClass::ShortCode, "4040")
}

fn snapshot(version: i64) -> Snapshot {
    Snapshot { version, facts: Facts::Unleased }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

#[tokio::test]
async fn an_entry_is_written_only_over_an_older_one() {
    let bench = Bench::start().await;
    assert_eq!(bench.version().await, None);
    bench.put(2, 10).await;
    bench.put(1, 20).await;
    assert_eq!(bench.version().await, Some(2), "an older version never wins");
    bench.put(2, 5).await;
    assert_eq!(bench.version().await, Some(2), "nor does an older look at the same version");
    bench.put(2, 30).await;
    assert_eq!(bench.version().await, Some(2), "a younger look at it does");
    bench.put(3, 0).await;
    assert_eq!(bench.version().await, Some(3));
    bench.put(i64::from(u32::MAX) * 1_000_000, 0).await;
    bench.put(i64::from(u32::MAX) * 1_000_000 - 1, 0).await;
    assert_eq!(bench.version().await, Some(i64::from(u32::MAX) * 1_000_000), "large versions are told apart");
}

#[tokio::test]
async fn an_entry_bears_its_moment_and_goes_when_its_time_is_over() {
    let bench = Bench::start().await;
    bench.put(1, 7).await;
    assert_eq!(bench.snapshots.get(&identifier()).await, Some(Kept { snapshot: snapshot(1), as_of: at(7) }));
    let redis::Value::Int(left) = bench.command(&[b"PTTL", b"num:snapshot:4040"]).await else { panic!() };
    assert!((1..=60_000).contains(&left), "{left}");
}

#[tokio::test]
async fn what_cannot_be_read_is_ignored_and_written_over() {
    let bench = Bench::start().await;
    let newest = [vec![9], vec![0x7f; 40]].concat();
    for wrong in [b"SET num:snapshot:4040 x".as_slice(), b"LPUSH num:snapshot:4040 x", b"HSET num:snapshot:4040 a b"] {
        bench.command(&[b"DEL", b"num:snapshot:4040"]).await;
        let words: Vec<&[u8]> = wrong.split(|byte| *byte == b' ').collect();
        bench.command(&words).await;
        assert_eq!(bench.version().await, None);
        bench.put(1, 0).await;
        assert_eq!(bench.version().await, Some(1));
    }
    bench.command(&[b"SET", b"num:snapshot:4040", &newest]).await;
    assert_eq!(bench.version().await, None, "another format's");
    bench.put(1, 0).await;
    assert_eq!(bench.version().await, Some(1));
}

#[tokio::test]
async fn many_are_read_and_written_in_their_order() {
    let bench = Bench::start().await;
    let identifiers: Vec<Identifier> =
        (0..1_234).map(|n| Identifier::from_canonical(IdentifierClass::Msisdn, &format!("+93700{n:06}"))).collect();
    let snapshots: Vec<Snapshot> = (0..1_234).map(snapshot).collect();
    let puts: Vec<_> = identifiers.iter().zip(&snapshots).map(|(key, value)| (key, value, at(0))).collect();
    bench.snapshots.put_many(&puts[..1_000]).await.unwrap();
    let asked: Vec<Identifier> = identifiers.iter().rev().cloned().collect();
    let found: Vec<Option<Snapshot>> =
        bench.snapshots.get_many(&asked).await.into_iter().map(|kept| Some(kept?.snapshot)).collect();
    let expected: Vec<Option<Snapshot>> =
        snapshots.iter().rev().map(|snapshot| (snapshot.version < 1_000).then(|| snapshot.clone())).collect();
    assert_eq!(found, expected);
    assert!(bench.snapshots.get_many(&[]).await.is_empty());
}

#[tokio::test]
async fn a_redis_that_restarted_or_was_never_there_fails_no_one() {
    let mut bench = Bench::start().await;
    bench.put(1, 0).await;
    bench.server.kill().await;
    eventually("it is seen without traffic", async || !bench.snapshots.link().is_up()).await;
    assert_eq!(bench.version().await, None);
    let refused = bench.snapshots.put(&identifier(), &snapshot(2), at(0)).await;
    assert!(matches!(refused, Err(LinkError::Away)), "{refused:?}");
    bench.server.start().await.unwrap();
    eventually("it is connected again", async || bench.snapshots.link().is_up()).await;
    bench.put(3, 0).await;
    assert_eq!(bench.version().await, Some(3), "scripts are told to it anew");

    let absent = RedisLink::new("absent", "redis://127.0.0.1:1/0", KEEP, &Arc::new(Metrics::default())).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn({
        let (absent, stop) = (absent.clone(), stop.clone());
        async move { absent.keep_connected(&stop).await }
    });
    let answer = absent.command::<()>(&redis::cmd("PING")).await;
    assert!(matches!(answer, Err(LinkError::Away)), "{answer:?}");
    stop.cancel();
}
