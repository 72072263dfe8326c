//! Every event, once and in order for each number, whatever stops and starts again on the way.

use std::sync::mpsc;
use std::thread;

use super::*;
use crate::events::republish::republish_since;

fn all_in_order(events: &[Value], numbers: usize, last: i64) {
    let versions = versions(events);
    assert_eq!(versions.len(), numbers);
    for (number, versions) in versions {
        assert!(versions.iter().copied().eq(1..=last), "{number}: {versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_stops_during_traffic_and_returns_and_every_event_arrives_in_order() {
    let mut servers = Servers::start().await;
    let (relay, sql) = (servers.relay().await, servers.sql().await);
    for version in 1..=40_i64 {
        sql.execute(HAPPEN, &[&numbers(25), &version, &0_i32]).await.unwrap();
        sleep(Duration::from_millis(10)).await;
        match version {
            15 => servers.nats.kill().await,
            25 => {
                until("with NATS away nobody is the relay", async || !relay.leads()).await;
                assert!(waiting(&sql).await >= 9 * 25, "the outbox keeps what cannot go");
                servers.nats.start().await.unwrap();
            }
            _ => {}
        }
    }
    all_in_order(&servers.events(1_000).await, 25, 40);
    until("the outbox is empty", async || waiting(&sql).await == 0).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_nats_is_given_up_and_taken_up_again() {
    let servers = Servers::start().await;
    let (relay, sql) = (servers.relay().await, servers.sql().await);
    sql.execute(HAPPEN, &[&numbers(25), &1_i64, &0_i32]).await.unwrap();
    until("the first events are published", async || relay.metrics.published.get() == 25).await;
    servers.nats.freeze();
    for version in 2..=3_i64 {
        sql.execute(HAPPEN, &[&numbers(25), &version, &0_i32]).await.unwrap();
    }
    until("acknowledgements are not waited for without end", async || relay.metrics.failures.get() > 0).await;
    servers.nats.thaw();
    all_in_order(&servers.events(75).await, 25, 3);
    until("the outbox is empty", async || waiting(&sql).await == 0).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_killed_during_traffic_and_every_event_arrives_in_order() {
    let mut servers = Servers::start().await;
    let relay = servers.relay().await;
    for round in 0..2_i64 {
        let sql = servers.sql().await;
        for version in 1..=10_i64 {
            sql.execute(HAPPEN, &[&numbers(25), &(10 * round + version), &0_i32]).await.unwrap();
        }
        if round == 0 {
            servers.postgres.kill().await;
            servers.postgres.start().await.unwrap();
        }
    }
    all_in_order(&servers.events(500).await, 25, 20);
    let sql = servers.sql().await;
    until("the outbox is empty", async || waiting(&sql).await == 0).await;
    relay.stop().await;
}

/// A replica in a thread of its own, which can be made to stand still as a frozen process does.
struct Freezable {
    metrics: RelayMetrics,
    freeze: mpsc::Sender<Duration>,
}

impl Freezable {
    fn start(servers: &Servers) -> Self {
        let (store, url) = (servers.store(), servers.nats.url().to_owned());
        let metrics = RelayMetrics::default();
        let (freeze, frozen) = mpsc::channel::<Duration>();
        let own_metrics = metrics.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = crate::events::jetstream::connect(&url).await.unwrap();
                let relay =
                    Relay::new(store, client, settings(), own_metrics, Arc::new(Notify::new()), Replica::new("test"));
                let stop = CancellationToken::new();
                tokio::spawn(relay.run(stop.clone()));
                loop {
                    match frozen.try_recv() {
                        Ok(length) => thread::sleep(length),
                        Err(mpsc::TryRecvError::Empty) => sleep(Duration::from_millis(1)).await,
                        Err(mpsc::TryRecvError::Disconnected) => break,
                    }
                }
            });
        });
        Self { metrics, freeze }
    }

    fn leads(&self) -> bool {
        self.metrics.leads.get() == 1
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_was_frozen_stops_when_it_thaws_beside_its_successor() {
    let servers = Servers::start().await;
    let sql = servers.sql().await;
    let first = Freezable::start(&servers);
    until("the first replica is the relay", async || first.leads()).await;
    let second = servers.relay().await;
    let traffic = tokio::spawn(async move {
        for version in 1..=120_i64 {
            sql.execute(HAPPEN, &[&numbers(25), &version, &0_i32]).await.unwrap();
            sleep(Duration::from_millis(25)).await;
        }
        sql
    });
    sleep(Duration::from_millis(300)).await;
    assert!(!second.leads(), "one relays at a time");
    let before = first.metrics.published.get();
    assert!(before > 0);
    first.freeze.send(TERM * 2).unwrap();
    until("the other replica takes over", async || second.leads()).await;
    let when_frozen = first.metrics.published.get();
    let sql = traffic.await.unwrap();
    all_in_order(&servers.events(3_000).await, 25, 120);
    until("the outbox is empty", async || waiting(&sql).await == 0).await;
    until("the thawed replica is the relay no more", async || !first.leads()).await;
    assert!(second.leads());
    // It still hears that what it had on the wire arrived: no more than one event for each number. It sends no other.
    let by_first = first.metrics.published.get();
    assert!(by_first < 3_000 && by_first - when_frozen <= 25, "{when_frozen} when frozen, {by_first} in the end");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_stops_hands_over_at_once() {
    let servers = Servers::start().await;
    let sql = servers.sql().await;
    let long = RelaySettings { leadership: PATIENCE * 2, ..settings() };
    let first = servers.relay_of(long.clone()).await;
    until("the first is the relay", async || first.leads()).await;
    let second = servers.relay_of(long).await;
    sql.execute(HAPPEN, &[&numbers(25), &1_i64, &0_i32]).await.unwrap();
    first.stop().await;
    until("the second need not wait for the term to run out", async || second.leads()).await;
    all_in_order(&servers.events(25).await, 25, 1);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_published_before_it_is_committed() {
    let servers = Servers::start().await;
    let (relay, mut sql, observer) = (servers.relay().await, servers.sql().await, servers.sql().await);
    let undone = sql.transaction().await.unwrap();
    undone.execute(HAPPEN, &[&numbers(25), &1_i64, &0_i32]).await.unwrap();
    // A later commit overtakes the one that is still open.
    observer.execute(HAPPEN, &[&&numbers(26)[25..], &1_i64, &0_i32]).await.unwrap();
    until("the later one is published", async || relay.metrics.published.get() == 1).await;
    undone.rollback().await.unwrap();

    let late = sql.transaction().await.unwrap();
    late.execute(HAPPEN, &[&numbers(25), &1_i64, &0_i32]).await.unwrap();
    observer.execute(HAPPEN, &[&&numbers(26)[25..], &2_i64, &0_i32]).await.unwrap();
    until("the overtaking one is published", async || relay.metrics.published.get() == 2).await;
    late.commit().await.unwrap();
    let mut events = servers.events(27).await;
    assert_eq!(versions(&events.split_off(2)).len(), 25, "what committed late is published late, and not lost");
    assert_eq!(versions(&events).len(), 1);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_jetstream_refuses_holds_up_its_own_number_only() {
    let servers = Servers::start().await;
    let (relay, sql) = (servers.relay().await, servers.sql().await);
    let numbers = numbers(3);
    sql.execute(HAPPEN, &[&numbers[..1].to_vec(), &1_i64, &2_000_000_i32]).await.unwrap();
    for version in 2..=5_i64 {
        sql.execute(HAPPEN, &[&numbers, &version, &0_i32]).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let events = servers.events(8).await;
    assert_eq!(versions(&events).keys().collect::<Vec<_>>(), [&numbers[1], &numbers[2]]);
    assert!(relay.metrics.failures.get() > 0);
    assert_eq!(waiting(&sql).await, 5, "the refused event and those behind it wait");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_again_within_the_window_comes_once() {
    let servers = Servers::start().await;
    let (relay, sql, store) = (servers.relay().await, servers.sql().await, servers.store());
    for version in 1..=3_i64 {
        sql.execute(HAPPEN, &[&numbers(25), &version, &0_i32]).await.unwrap();
    }
    until("the outbox is empty", async || waiting(&sql).await == 0).await;
    assert_eq!(republish_since(&store, jiff::Timestamp::UNIX_EPOCH).await.unwrap(), 75);
    until("all is published again", async || relay.metrics.published.get() == 150).await;
    all_in_order(&servers.events(75).await, 25, 3);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_starts_while_nats_is_away() {
    let mut servers = Servers::start().await;
    servers.nats.stop().await;
    let (relay, sql) = (servers.relay().await, servers.sql().await);
    sql.execute(HAPPEN, &[&numbers(25), &1_i64, &0_i32]).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    assert!(!relay.leads());
    servers.nats.start().await.unwrap();
    until("the outbox is empty", async || waiting(&sql).await == 0).await;
    all_in_order(&servers.events(25).await, 25, 1);
    relay.stop().await;
}
