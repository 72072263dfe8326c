//! The service is killed while it reserves numbers by the dozen.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::books;
use super::replica::Replica;
use crate::support::{Answer, Client, TestApp};

const CLIENTS: usize = 8;
const AT_ONCE: usize = 12;

/// One reservation under its key, and its answer.
struct Told {
    key: String,
    client: Client,
    answer: Answer,
}

/// Asks until there is an answer.
async fn reserve(client: &Client, key: &str) -> Answer {
    let body = json!({ "identifierClass": "MSISDN", "count": AT_ONCE });
    loop {
        let headers = [("idempotency-key", key)];
        let answer = client.try_send(Method::POST, "/v1/numbers/reserve", Some(&body), &headers).await;
        match answer {
            Ok(answer) if !answer.status.is_server_error() && answer.json()["code"] != "IDEMPOTENCY_IN_FLIGHT" => {
                return answer;
            }
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_killed_in_the_middle_of_allocations_and_each_key_has_one_answer_and_its_numbers() {
    let mut app = TestApp::start().await;
    for client in 0..CLIENTS {
        let path = format!("/v1/admin/numbering/tenants/tenant-{client}");
        app.admin().put(&path, &json!({ "plan": "premium" })).await.expect(200);
        app.admin().put(&format!("{path}/quotas"), &json!({ "RESERVATIONS": 100_000 })).await.expect(200);
    }
    app.stock_numbers(40_000).await;
    app.stop_serving().await;
    // What a killed owner leaves is taken over after this.
    let mut replica = Replica::start(&app, &[("NUMBERING_IDEMPOTENCY__CLAIM", "1s")]).await;
    let stop = CancellationToken::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for at in 0..CLIENTS {
        let client = app.tenant(&format!("tenant-{at}")).at(replica.http);
        let (tell, stop) = (tell.clone(), stop.clone());
        clients.spawn(async move {
            for turn in 0.. {
                if stop.is_cancelled() {
                    return;
                }
                let key = format!("{at}-{turn}");
                let answer = reserve(&client, &key).await;
                tell.send(Told { key, client: client.clone(), answer }).unwrap();
            }
        });
    }
    drop(tell);
    let mut all = Vec::new();
    for _ in 0..3 {
        for _ in 0..25 {
            all.push(told.recv().await.unwrap());
        }
        replica.kill_and_start().await;
    }
    stop.cancel();
    clients.join_all().await;
    while let Some(last) = told.recv().await {
        all.push(last);
    }

    let mut numbers = BTreeSet::new();
    for Told { key, client, answer } in &all {
        let body: Value = answer.expect(200);
        let items = body["items"].as_array().unwrap();
        assert_eq!(items.len(), AT_ONCE);
        for item in items {
            assert!(numbers.insert(item["identifier"].as_str().unwrap().to_owned()), "{item} was given twice");
        }
        let again = reserve(client, key).await;
        assert_eq!((again.status, &again.text), (answer.status, &answer.text), "{key}");
        assert_eq!(again.headers["idempotent-replayed"], "true");
    }
    let reserved = "SELECT count(*) FROM numbering.numbers WHERE state = 'RESERVED'";
    let reserved: i64 = app.superuser().await.query_one(reserved, &[]).await.unwrap().get(0);
    assert_eq!(usize::try_from(reserved).unwrap(), numbers.len(), "nothing is reserved that nobody was told of");
    books::balance(&app).await;
}
