//! A replica dies or freezes at each step between asking billing and the commit. Whoever goes on: one charge, one renewal.

use serde_json::{Value, json};
use tokio_postgres::Client as Database;

use super::replica::Replica;
use super::{books, until};
use crate::support::TestApp;
use crate::support::billing::{Billing, HeldLine};

/// Terms that are to be renewed at once; and a replica that waits for billing longer than a test lasts.
const SECONDS: [(&str, &str); 3] = [
    ("NUMBERING_POLICY__SHORT_TERMS", "true"),
    ("NUMBERING_POLICY__RENEWAL_WINDOW", "1h"),
    ("NUMBERING_BILLING__TIMEOUT", "60s"),
];

/// The servers, without a service; a number; a billing service, and a line to it that holds its answers back.
struct Scene {
    app: TestApp,
    database: Database,
    number: String,
    billing: Billing,
    line: HeldLine,
}

impl Scene {
    async fn set() -> Self {
        let mut app = TestApp::start().await;
        app.stop_serving().await;
        let billing = Billing::start().await;
        let line = HeldLine::to(billing.url()).await;
        let number = app.stock_numbers(1).await.remove(0);
        Self { database: app.superuser().await, app, number, billing, line }
    }

    async fn replica(&self, name: &str, billing_url: &str) -> Replica {
        let of_its_own = [("NUMBERING_INSTANCE__NAME", name), ("NUMBERING_BILLING__URL", billing_url)];
        let settings: Vec<_> = SECONDS.into_iter().chain(of_its_own).collect();
        Replica::start(&self.app, &settings).await
    }

    /// A replica that is told to lease the number, which it renews over the line.
    async fn first(&self) -> (Replica, Value) {
        let replica = self.replica("first", &self.line.url()).await;
        let body = json!({ "tenantId": "tenant-a", "term": "1h", "autoRenew": true });
        let lease = format!("/v1/numbers/{}/lease", self.number);
        let leased = self.app.admin().at(replica.http).post(&lease, &body).await.expect(201);
        (replica, leased)
    }

    /// Another replica, whose line to billing is open.
    async fn second(&self) -> Replica {
        self.replica("second", self.billing.url()).await
    }

    async fn count(&self, sql: &str) -> i64 {
        self.database.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn until_renewed(&self) {
        until("the lease is renewed", async || {
            self.count("SELECT count(*) FROM numbering.lease_history WHERE charge_id IS NOT NULL").await == 1
        })
        .await;
    }

    /// One charge, one renewal, which tells it, and nothing left for finance.
    async fn is_renewed_once(&self, leased: &Value) {
        self.until_renewed().await;
        let charges = self.billing.charges().await;
        assert_eq!((charges.len(), &charges[0]["leaseId"]), (1, &leased["leaseId"]), "{charges:?}");
        let renewals = "SELECT count(*) FROM numbering.journal WHERE type = 'numbering.lease.renewed'";
        assert_eq!(self.count(renewals).await, 1);
        assert_eq!(self.count("SELECT count(*) FROM numbering.renewal_requests").await, 0);
        books::balance(&self.app).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_billing_decides() {
    let scene = Scene::set().await;
    scene.billing.mode("stall").await;
    let (mut first, leased) = scene.first().await;
    until("billing is going to be asked", async || {
        scene.count("SELECT count(*) FROM numbering.renewal_requests").await == 1
    })
    .await;
    first.kill().await;
    assert!(scene.billing.charges().await.is_empty());
    scene.billing.mode("approve").await;
    let mut second = scene.second().await;
    scene.is_renewed_once(&leased).await;
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_billing_and_the_lease_is_left_to_the_next() {
    let scene = Scene::set().await;
    let (mut first, leased) = scene.first().await;
    scene.line.until_answered(1).await;
    first.terminate();
    assert!(first.exited().await.success(), "it stops in good order, long before billing's answer is late");
    let mut second = scene.second().await;
    scene.is_renewed_once(&leased).await;
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_charge_and_its_answer() {
    let scene = Scene::set().await;
    let (mut first, leased) = scene.first().await;
    scene.line.until_answered(1).await;
    assert_eq!(scene.billing.charges().await.len(), 1, "it is charged already");
    first.kill().await;
    let mut second = scene.second().await;
    scene.is_renewed_once(&leased).await;
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_answer_and_the_commit() {
    let scene = Scene::set().await;
    let (mut first, leased) = scene.first().await;
    scene.line.until_answered(1).await;
    let mut blocker = scene.app.superuser().await;
    let block = blocker.transaction().await.unwrap();
    block.query("SELECT FROM numbering.numbers FOR UPDATE", &[]).await.unwrap();
    scene.line.let_go();
    until("the commit waits for the number", async || {
        let sql = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE NOT l.granted AND a.application_name = 'numbering' AND a.datname = current_database()";
        scene.count(sql).await > 0
    })
    .await;
    first.kill().await;
    // PostgreSQL gives the commit of the dead up after its lock_timeout.
    until("the commit is given up", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'numbering' AND datname = current_database()";
        scene.count(sql).await == 0
    })
    .await;
    block.rollback().await.unwrap();
    assert_eq!(scene.count("SELECT count(*) FROM numbering.renewal_requests").await, 1, "it was not renewed");
    let mut second = scene.second().await;
    scene.is_renewed_once(&leased).await;
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_commit() {
    let scene = Scene::set().await;
    scene.line.let_go();
    let (mut first, leased) = scene.first().await;
    scene.until_renewed().await;
    first.kill().await;
    let mut second = scene.second().await;
    let run = scene.app.admin().at(second.http);
    run.post("/v1/admin/numbering/jobs/renew_leases/run", &json!({})).await.expect(200);
    scene.is_renewed_once(&leased).await;
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_with_the_answer_on_its_way_and_thawed_beside_the_one_that_went_on() {
    let scene = Scene::set().await;
    let (mut first, leased) = scene.first().await;
    scene.line.until_answered(1).await;
    first.freeze();
    let mut second = scene.second().await;
    scene.until_renewed().await;
    // The answer waits for it when it thaws.
    scene.line.let_go();
    first.thaw();
    let first_says = scene.app.admin().at(first.http);
    until("the first has ended its run", async || {
        let metrics = reqwest::get(format!("http://{}/metrics", first.http)).await.unwrap().text().await.unwrap();
        metrics.contains(r#"numbering_billing_duration_seconds_count{answer="approved"} 1"#)
            && metrics.contains(r#"numbering_job_held{job="renew_leases"} 0"#)
    })
    .await;
    first_says.post("/v1/admin/numbering/jobs/renew_leases/run", &json!({})).await.expect(200);
    let metrics = reqwest::get(format!("http://{}/metrics", first.http)).await.unwrap().text().await.unwrap();
    assert!(!metrics.contains(r#"outcome="renewed""#) && !metrics.contains("in_vain\""), "{metrics}");
    scene.is_renewed_once(&leased).await;
    first.kill().await;
    second.kill().await;
}
