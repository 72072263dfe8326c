//! What other services tell, while PostgreSQL is away and while replicas die over it.

use std::time::Duration;

use numbering::devstack::{Home, SharedStack, Stack, StackOptions, nats};
use serde_json::json;

use super::replica::Replica;
use super::{books, directory, until};
use crate::support::TestApp;

const SUSPENDED: &str = "compliance.tenant.suspended";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_away_when_an_event_comes_and_it_is_taken_once_it_is_back() {
    let directory = directory();
    let mut stack =
        Stack::start(directory.path(), StackOptions { nats_accounts: 1, ..StackOptions::default() }).await.unwrap();
    let ack_wait = ("NUMBERING_INBOX__ACK_WAIT", "600ms");
    let app = TestApp::start_on(SharedStack::of(&stack), &[ack_wait]).await;
    // It would have the message if the first fell silent.
    let second = app.replica(&[ack_wait]).await;
    until("both wait for messages", async || app.taken_in("COMPLIANCE").await.num_waiting >= 2).await;
    stack.postgres.kill().await;
    app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "T-1" })).await;
    until("somebody works on it", async || app.taken_in("COMPLIANCE").await.num_ack_pending == 1).await;
    // Several times as long as a silent replica keeps a message, and longer than all attempts at one that fails.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let waiting = app.taken_in("COMPLIANCE").await;
    assert_eq!((waiting.num_ack_pending, waiting.num_redelivered), (1, 0), "the server knows that it is worked on");
    stack.postgres.start().await.unwrap();
    app.cascade("tenant-a", "DONE").await;
    app.dead_letters(0).await;
    assert_eq!(app.taken_in("COMPLIANCE").await.delivered.consumer_sequence, 1, "it was given out once");
    books::balance(&app).await;
    second.stop().await;
    app.stop().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_goes_on_where_a_killed_replica_left_it_and_recalls_each_lease_once() {
    const LEASES: i32 = 8_000;
    let mut app = TestApp::start().await;
    app.stop_serving().await;
    app.stock_leases("tenant-a", LEASES).await;
    let database = app.superuser().await;
    let left = async || {
        let claims = "SELECT count(*)::integer FROM numbering.claims WHERE tenant_id = 'tenant-a'";
        database.query_one(claims, &[]).await.unwrap().get::<_, i32>(0)
    };
    let mut replica = Replica::start(&app, &[]).await;
    // However fast it is, it does not come past these numbers before it is killed.
    let (mut in_the_middle, mut at_the_end) = (app.superuser().await, app.superuser().await);
    let mut barriers = Vec::new();
    for (connection, before) in [(&mut in_the_middle, LEASES / 2), (&mut at_the_end, LEASES - 1)] {
        let barrier = connection.transaction().await.unwrap();
        let lock = "SELECT FROM numbering.numbers WHERE identifier = (
                SELECT identifier FROM numbering.claims WHERE tenant_id = 'tenant-a' ORDER BY identifier
                OFFSET $1::integer LIMIT 1)
            FOR UPDATE";
        assert_eq!(barrier.execute(lock, &[&before]).await.unwrap(), 1);
        barriers.push(barrier);
    }
    app.tell(SUSPENDED, json!({ "tenantId": "tenant-a", "ticketId": "AML-9" })).await;
    for barrier in barriers {
        let before = left().await;
        until("some more leases are recalled", async || left().await < before).await;
        replica.kill().await;
        assert!(left().await > 0, "it was killed in the middle");
        barrier.rollback().await.unwrap();
        replica.start_again().await;
    }
    until("the cascade is done", async || {
        let done = "SELECT FROM numbering.cascades WHERE state = 'DONE' AND recalled = $1 AND leases = $1";
        !database.query(done, &[&LEASES]).await.unwrap().is_empty()
    })
    .await;
    let recalls = "SELECT count(*)::integer, count(DISTINCT subject)::integer FROM numbering.journal
        WHERE type = 'numbering.lease.recalled' AND data ->> 'ticketId' = 'AML-9' AND actor = 'compliance'";
    let row = database.query_one(recalls, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (LEASES, LEASES), "each lease is recalled once, with the ticket");
    let ended = "SELECT count(*)::integer FROM numbering.leases WHERE state = 'RECALLED'";
    assert_eq!((left().await, database.query_one(ended, &[]).await.unwrap().get(0)), (0, LEASES));
    replica.terminate();
    replica.exited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_is_away_at_the_start_and_goes_and_comes_and_events_are_taken_whenever_it_is_there() {
    let directory = directory();
    let mut server = nats::start(&Home::open(directory.path()).unwrap(), 1).await.unwrap();
    let url = server.url().to_owned();
    server.kill().await;
    let mut app = TestApp::start_with(&[("NUMBERING_NATS__URL", &url)]).await;
    app.part.nats_url = url;
    for tenant in ["tenant-a", "tenant-b", "tenant-c"] {
        server.start().await.unwrap();
        app.tell(SUSPENDED, json!({ "tenantId": tenant, "ticketId": "T-1" })).await;
        app.cascade(tenant, "DONE").await;
        server.kill().await;
    }
    app.stop().await;
    server.stop().await;
}
