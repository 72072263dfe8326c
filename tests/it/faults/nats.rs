//! NATS is away for some seconds in the middle of traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use numbering::devstack::{Home, nats};

use super::traffic::{Play, SHORT_REST, Traffic};
use super::{books, directory};
use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_is_away_during_traffic_and_every_event_arrives_once_and_in_order() {
    let directory = directory();
    let mut server = nats::start(&Home::open(directory.path()).unwrap(), 1).await.unwrap();
    let url = server.url().to_owned();
    let mut app = TestApp::start_with(&[SHORT_REST, ("NUMBERING_NATS__URL", &url)]).await;
    app.part.nats_url = url;
    let play = Play::quiet(app.stock_numbers(60).await);
    let traffic = Traffic::start(&app, app.http, &play);
    let app = Arc::new(app);
    let (watching, looks) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let watch = tokio::spawn({
        let (app, watching, looks) = (Arc::clone(&app), Arc::clone(&watching), Arc::clone(&looks));
        async move {
            while watching.load(Ordering::Relaxed) {
                assert!(app.is_ready().await, "readiness has nothing to do with NATS");
                looks.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    for _ in 0..2 {
        traffic.until_more_succeeded(30).await;
        server.kill().await;
        traffic.until_more_succeeded(30).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.start().await.unwrap();
    }
    traffic.until_more_succeeded(30).await;
    let told = traffic.stop().await;
    watching.store(false, Ordering::Relaxed);
    watch.await.unwrap();
    assert!(looks.load(Ordering::Relaxed) > 20);
    for told in &told {
        let status = told.answer.as_ref().unwrap().status;
        assert!(!status.is_server_error(), "commands have nothing to do with NATS: {told:?}");
    }
    books::agree_with(&app.superuser().await, &told).await;
    books::balance(&app).await;
    Arc::into_inner(app).unwrap().stop().await;
    server.stop().await;
}
