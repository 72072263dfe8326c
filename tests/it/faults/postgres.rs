//! PostgreSQL is killed, and stands still, in the middle of traffic.

use std::time::{Duration, Instant};

use numbering::devstack::{SharedStack, Stack, StackOptions};
use tokio::time::timeout;

use super::traffic::{Play, SHORT_REST, Told, Traffic};
use super::{books, directory, until};
use crate::support::TestApp;

/// Servers of the test's own, with a NATS account.
async fn stack(directory: &tempfile::TempDir) -> Stack {
    Stack::start(directory.path(), StackOptions { nats_accounts: 1, ..StackOptions::default() }).await.unwrap()
}

/// Every failure says that it passes, and when to come again.
fn failures_are_said_to_pass(told: &[Told]) -> usize {
    let failed = told.iter().filter(|told| told.answer.as_ref().is_none_or(|answer| answer.status.is_server_error()));
    let mut count = 0;
    for told in failed {
        let answer = told.answer.as_ref().unwrap_or_else(|| panic!("the service itself has not gone: {told:?}"));
        answer.problem(503, "UNAVAILABLE");
        assert!(answer.headers.contains_key("retry-after"), "{told:?}");
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_killed_in_the_middle_of_traffic_and_nothing_acknowledged_is_lost() {
    let directory = directory();
    let mut stack = stack(&directory).await;
    let app = TestApp::start_on(SharedStack::of(&stack), &[SHORT_REST]).await;
    let play = Play { clients: 8, ..Play::quiet(app.stock_numbers(60).await) };
    let traffic = Traffic::start(&app, app.http, &play);
    for _ in 0..2 {
        traffic.until_more_succeeded(40).await;
        stack.postgres.kill().await;
        until("readiness follows PostgreSQL", async || !app.is_ready().await).await;
        stack.postgres.start().await.unwrap();
        app.until_ready().await;
    }
    traffic.until_more_succeeded(40).await;
    let told = traffic.stop().await;
    assert!(failures_are_said_to_pass(&told) > 0, "somebody was in the middle of something");
    books::agree_with(&app.superuser().await, &told).await;
    books::balance(&app).await;
    app.stop().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_stands_still_and_everybody_is_told_so_in_time() {
    /// More than a connection and a statement may take in these settings, on a busy machine.
    const ANSWER_WITHIN: Duration = Duration::from_secs(5);
    let settings = [
        SHORT_REST,
        ("NUMBERING_DATABASE__ACQUIRE_TIMEOUT", "500ms"),
        ("NUMBERING_DATABASE__CONNECT_TIMEOUT", "500ms"),
        ("NUMBERING_DATABASE__LOCK_TIMEOUT", "500ms"),
        ("NUMBERING_DATABASE__STATEMENT_TIMEOUT", "1s"),
    ];
    let directory = directory();
    let stack = stack(&directory).await;
    let app = TestApp::start_on(SharedStack::of(&stack), &settings).await;
    let mut numbers = app.stock_numbers(60).await;
    let (a, leased) = (app.tenant("tenant-a"), numbers.remove(0));
    a.act(&leased, "reserve").await.expect(200);
    a.lease(&leased, "1m").await.expect(201);
    assert!(app.validate(&leased, "tenant-a").await.valid);
    let traffic = Traffic::start(&app, app.http, &Play::quiet(numbers));
    traffic.until_more_succeeded(20).await;

    stack.postgres.freeze();
    let frozen_at = Instant::now();
    let unready = async {
        until("readiness follows PostgreSQL", async || !app.is_ready().await).await;
        frozen_at.elapsed()
    };
    let unvalidated = async {
        // Longer than a snapshot is trusted for.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked_at = Instant::now();
        let refused = timeout(ANSWER_WITHIN, app.try_validate(&leased, "tenant-a")).await.expect("in time");
        (refused.unwrap_err().code(), asked_at.elapsed())
    };
    let reader = async {
        let asked_at = Instant::now();
        let answer = timeout(ANSWER_WITHIN, a.get(&format!("/v1/numbers/{leased}"))).await.expect("in time");
        (answer, asked_at.elapsed())
    };
    let (unready_after, (code, refused_after), (read, read_after)) = tokio::join!(unready, unvalidated, reader);
    assert!(unready_after < ANSWER_WITHIN, "unready after {unready_after:?}");
    assert_eq!(code, tonic::Code::Unavailable);
    assert!(refused_after < Duration::from_secs(2), "validation is refused after {refused_after:?}");
    read.problem(503, "UNAVAILABLE");
    assert!(read_after < ANSWER_WITHIN, "a reader is told after {read_after:?}");
    tokio::time::sleep(Duration::from_secs(6).saturating_sub(frozen_at.elapsed())).await;
    stack.postgres.thaw();

    app.until_ready().await;
    traffic.until_more_succeeded(20).await;
    let told = traffic.stop().await;
    let slowest = told.iter().max_by_key(|told| told.took).unwrap();
    assert!(slowest.took < ANSWER_WITHIN, "{slowest:?}");
    assert!(failures_are_said_to_pass(&told) > 0, "somebody was in the middle of something");
    assert!(app.validate(&leased, "tenant-a").await.valid);
    books::agree_with(&app.superuser().await, &told).await;
    books::balance(&app).await;
    app.stop().await;
    stack.stop().await;
}
