//! The service itself is killed, and stopped, in the middle of traffic.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::Client as Database;

use super::replica::Replica;
use super::traffic::{Manner, Play, SHORT_REST, Traffic};
use super::{books, until};
use crate::support::TestApp;

/// The servers of a test, with nobody serving in this process.
async fn servers() -> TestApp {
    let mut app = TestApp::start().await;
    app.stop_serving().await;
    app
}

async fn connections_of_the_service(database: &Database) -> i64 {
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'numbering'";
    database.query_one(connections, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_killed_in_the_middle_of_traffic_and_each_key_has_one_effect_and_one_answer() {
    let app = servers().await;
    // What a killed owner leaves is taken over after this.
    let mut replica = Replica::start(&app, &[SHORT_REST, ("NUMBERING_IDEMPOTENCY__CLAIM", "1s")]).await;
    let play = Play { clients: 8, manner: Manner::UntilAnswered, ..Play::quiet(app.stock_numbers(60).await) };
    let traffic = Traffic::start(&app, replica.http, &play);
    for _ in 0..3 {
        traffic.until_more_succeeded(30).await;
        replica.kill_and_start().await;
    }
    traffic.until_more_succeeded(30).await;
    let told = traffic.stop().await;
    let database = app.superuser().await;
    books::agree_with(&database, &told).await;
    for told in &told {
        let first = told.answer.as_ref().unwrap();
        let again = told.again().await;
        assert_eq!((again.status, again.json()), (first.status, first.json()), "the answer to {told:?}");
        assert_eq!(again.headers.get("idempotent-replayed").unwrap(), "true");
    }
    books::agree_with(&database, &told).await;
    books::balance(&app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_said_then_waited_for_and_loses_no_request_under_way() {
    const UNDER_WAY: usize = 8;
    let app = servers().await;
    let settings = [
        SHORT_REST,
        ("NUMBERING_HTTP__UNREADY_GRACE", "2500ms"),
        ("NUMBERING_DATABASE__LOCK_TIMEOUT", "15s"),
        ("NUMBERING_DATABASE__STATEMENT_TIMEOUT", "20s"),
        ("NUMBERING_HTTP__DRAIN", "20s"),
    ];
    let mut replica = Replica::start(&app, &settings).await;
    let mut numbers = app.stock_numbers(60).await;
    let (database, mut holder) = (app.superuser().await, app.superuser().await);
    let locked = numbers.split_off(numbers.len() - UNDER_WAY);
    let lock = holder.transaction().await.unwrap();
    lock.query("SELECT FROM numbering.numbers WHERE identifier = ANY ($1) FOR UPDATE", &[&locked]).await.unwrap();
    let mut under_way = JoinSet::new();
    for (tenant, number) in locked.into_iter().enumerate() {
        let client = app.tenant(&format!("waiting-{tenant}")).at(replica.http);
        under_way.spawn(async move { client.act(&number, "reserve").await });
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'numbering' AND wait_event_type = 'Lock'";
    until("the requests wait for their numbers", async || {
        database.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == i64::try_from(UNDER_WAY).unwrap()
    })
    .await;
    let traffic = Traffic::start(&app, replica.http, &Play::quiet(numbers));
    traffic.until_more_succeeded(10).await;

    replica.terminate();
    let ready_url = format!("http://{}/readyz", replica.http);
    let probe = async || reqwest::get(&ready_url).await;
    until("it says that it stops", async || probe().await.unwrap().status() == 503).await;
    // A load balancer has noticed: it sends nothing more.
    let told = traffic.stop().await;
    for told in &told {
        let answer = told.answer.as_ref().unwrap_or_else(|| panic!("{told:?} has no answer"));
        assert!(!answer.status.is_server_error(), "{told:?}");
    }
    until("nobody is let in any more", async || probe().await.is_err()).await;
    assert!(replica.is_running(), "requests are still under way");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(under_way.try_join_next().is_none(), "none has been given up");
    lock.rollback().await.unwrap();
    for answer in under_way.join_all().await {
        assert_eq!(answer.expect(200)["state"], "RESERVED");
    }
    assert_eq!(replica.exited().await.code(), Some(0));
    until("PostgreSQL knows it no more", async || connections_of_the_service(&database).await == 0).await;
    let _next = Replica::start(&app, &[]).await;
    books::balance(&app).await;
}
