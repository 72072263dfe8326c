//! Redis is killed, stands still and comes back: nobody waits for it, nothing wrong is answered, and its keys come back too.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use numbering::devstack::{Home, Server, redis as server};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use super::{directory, until};
use crate::support::{Answer, TestApp};

/// How long a change may take, whatever Redis does.
const CHANGE_WITHIN: Duration = Duration::from_secs(2);
/// How soon a recall is heard of (US-NUM-004).
const HEARD_WITHIN: Duration = Duration::from_secs(1);

struct Stage {
    app: TestApp,
    redis: Server,
    numbers: Vec<String>,
    _directory: TempDir,
}

impl Stage {
    async fn set() -> Self {
        let directory = directory();
        let redis = server::start(&Home::open(directory.path()).unwrap()).await.unwrap();
        let (snapshots, timers) = (format!("{}/1", redis.url()), format!("{}/0", redis.url()));
        let settings = [
            ("NUMBERING_REDIS__URL", snapshots.as_str()),
            ("NUMBERING_REDIS__TIMERS_URL", timers.as_str()),
            // On a machine so busy that Redis is late the answers come from PostgreSQL, and what Redis has goes unseen.
            ("NUMBERING_REDIS__CALL_TIMEOUT", "200ms"),
        ];
        let app = TestApp::start_with(&settings).await;
        let numbers = app.stock_numbers(40).await;
        let this = Self { app, redis, numbers, _directory: directory };
        this.until_connected().await;
        this
    }

    async fn until_connected(&self) {
        let metrics = format!("http://{}/metrics", self.app.http);
        until("the service is connected to Redis", async || {
            let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
            ["snapshots", "timers"]
                .iter()
                .all(|database| text.contains(&format!("numbering_redis_up{{database=\"{database}\"}} 1")))
        })
        .await;
    }

    async fn connect(&self) -> MultiplexedConnection {
        redis::Client::open(self.redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    /// A number has the timer of `claim` of this kind, which was just made for so many seconds, and no other; or none.
    async fn expect_timer(&self, number: &str, expected: Option<(&str, &Value, i64)>) {
        let mut redis = self.connect().await;
        for kind in ["reserve", "hold"] {
            let key = format!("num:{kind}:{number}");
            let mut read = redis::pipe();
            read.get(&key).cmd("PEXPIRETIME").arg(&key).pttl(&key);
            let (reservation, runs_out, left): (Option<String>, i64, i64) = read.query_async(&mut redis).await.unwrap();
            let Some((_, claim, seconds)) = expected.filter(|(expected, ..)| *expected == kind) else {
                assert_eq!(reservation, None, "{key}");
                continue;
            };
            assert_eq!(reservation.as_deref(), claim["reservationId"].as_str(), "{key}");
            let expires_at: Timestamp = claim["expiresAt"].as_str().unwrap().parse().unwrap();
            let late_by = runs_out * 1_000 - expires_at.as_microsecond();
            assert!((0..1_000).contains(&late_by), "{key} runs out {late_by} µs after its deadline");
            assert!(((seconds - 60) * 1_000..=seconds * 1_000).contains(&left), "{key} runs out in {left} ms");
        }
    }

    fn number(&mut self) -> String {
        self.numbers.pop().unwrap()
    }

    /// What a tenant does to a number, which takes no longer than it may.
    async fn act(&self, number: &str, action: &str) -> Answer {
        in_time(self.app.tenant("tenant-a").act(number, action)).await
    }

    async fn reason(&self, number: &str) -> String {
        let verdict = in_time(self.app.validate(number, "tenant-a")).await;
        if verdict.valid { "VALID".to_owned() } else { verdict.reason().as_str_name().to_owned() }
    }

    /// A number's life, and another's that ends before it began: each change in time, and validation right after it.
    async fn lives(&mut self) {
        let (number, given_back) = (self.number(), self.number());
        assert_eq!(self.reason(&number).await, "NOT_LEASED");
        for (action, state) in [("reserve", "RESERVED"), ("hold", "HELD"), ("release", "AVAILABLE")] {
            assert_eq!(self.act(&given_back, action).await.expect(200)["state"], state);
        }
        self.act(&number, "reserve").await.expect(200);
        self.act(&number, "hold").await.expect(200);
        in_time(self.app.tenant("tenant-a").lease(&number, "1m")).await.expect(201);
        for _ in 0..2 {
            assert_eq!(self.reason(&number).await, "VALID");
        }
        let admin = self.app.admin();
        let path = |action: &str| format!("/v1/admin/numbers/{number}/{action}");
        in_time(admin.post(&path("suspend"), &json!({}))).await.expect(200);
        assert_eq!(self.reason(&number).await, "LEASE_SUSPENDED");
        in_time(admin.post(&path("reinstate"), &json!({}))).await.expect(200);
        assert_eq!(self.reason(&number).await, "VALID");
        in_time(admin.recall(&number, "ABUSE", Some("T-1"))).await.expect(200);
        assert_eq!(self.reason(&number).await, "LEASE_RECALLED");
    }

    /// The keys of US-NUM-007 and 008 come and go with what they are of.
    async fn keys_come_and_go(&mut self) {
        for end in ["release", "lease"] {
            let number = self.number();
            let reserved = self.act(&number, "reserve").await.expect(200);
            self.expect_timer(&number, Some(("reserve", &reserved, 900))).await;
            let held = self.act(&number, "hold").await.expect(200);
            self.expect_timer(&number, Some(("hold", &held, 86_400))).await;
            match end {
                "lease" => in_time(self.app.tenant("tenant-a").lease(&number, "1m")).await.expect(201),
                end => self.act(&number, end).await.expect(200),
            };
            self.expect_timer(&number, None).await;
        }
        let number = self.number();
        self.act(&number, "reserve").await.expect(200);
        self.act(&number, "release").await.expect(200);
        self.expect_timer(&number, None).await;
    }
}

async fn in_time<T>(change: impl Future<Output = T>) -> T {
    timeout(CHANGE_WITHIN, change).await.expect("nobody waits for Redis")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_frozen_killed_and_restarted_and_changes_and_answers_stay_right() {
    let mut stage = Stage::set().await;
    stage.keys_come_and_go().await;
    stage.lives().await;

    stage.redis.freeze();
    for _ in 0..2 {
        stage.lives().await;
    }
    stage.redis.thaw();
    stage.until_connected().await;
    stage.keys_come_and_go().await;
    stage.lives().await;

    let kept = stage.number();
    stage.act(&kept, "reserve").await.expect(200);
    stage.redis.kill().await;
    for _ in 0..2 {
        stage.lives().await;
    }
    let read = in_time(stage.app.tenant("tenant-a").get(&format!("/v1/numbers/{kept}"))).await.expect(200);
    assert_eq!(read["state"], "RESERVED", "the claim stands without its timer");
    stage.redis.start().await.unwrap();
    stage.until_connected().await;
    let held = stage.act(&kept, "hold").await.expect(200);
    stage.expect_timer(&kept, Some(("hold", &held, 86_400))).await;
    stage.keys_come_and_go().await;
    stage.lives().await;
    stage.app.stop().await;
    stage.redis.stop().await;
}

impl Stage {
    /// A leased number that validation knows from Redis.
    async fn known_to_redis(&mut self) -> String {
        let number = self.number();
        self.act(&number, "reserve").await.expect(200);
        in_time(self.app.tenant("tenant-a").lease(&number, "1m")).await.expect(201);
        for _ in 0..3 {
            assert_eq!(self.reason(&number).await, "VALID");
        }
        number
    }

    /// Recalls a number; gives when that was answered.
    async fn recall(&self, number: &str) -> Instant {
        in_time(self.app.admin().recall(number, "ABUSE", Some("T-1"))).await.expect(200);
        Instant::now()
    }

    /// No validation that begins a second after the recall's answer, or later, says anything else.
    async fn hears_of_the_recall(&self, number: &str, recalled_at: Instant) {
        let watched_until = Instant::now().max(recalled_at + HEARD_WITHIN) + HEARD_WITHIN;
        while Instant::now() < watched_until {
            let asked_after = recalled_at.elapsed();
            let reason = self.reason(number).await;
            let heard = reason == "LEASE_RECALLED";
            assert!(heard || asked_after < HEARD_WITHIN, "{reason} {asked_after:?} after the recall");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Stage {
    async fn alerts(&self, state: &str) -> usize {
        let path = format!("/v1/admin/numbering/alerts?state={state}");
        let alerts = self.app.admin().get(&path).await.expect(200);
        let alerts = alerts["items"].as_array().unwrap();
        alerts.iter().filter(|alert| alert["name"] == "numbering_redis_down").count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_told_within_ten_seconds_that_redis_is_dead_or_frozen_and_when_it_is_back() {
    const TOLD_WITHIN: Duration = Duration::from_secs(10);
    let mut stage = Stage::set().await;
    assert_eq!((stage.alerts("OPEN").await, stage.alerts("RESOLVED").await), (0, 0));
    for outage in 1..=2 {
        let began_at = Instant::now();
        if outage == 1 {
            stage.redis.kill().await;
        } else {
            stage.redis.freeze();
        }
        until("there is an alert", async || stage.alerts("OPEN").await == 1).await;
        assert!(began_at.elapsed() < TOLD_WITHIN, "{:?}", began_at.elapsed());
        if outage == 1 {
            stage.redis.start().await.unwrap();
        } else {
            stage.redis.thaw();
        }
        until("it is resolved", async || stage.alerts("OPEN").await == 0).await;
        assert_eq!(stage.alerts("RESOLVED").await, outage);
    }
    stage.app.stop().await;
    stage.redis.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recall_is_heard_of_within_a_second() {
    let mut stage = Stage::set().await;
    let number = stage.known_to_redis().await;
    let recalled_at = stage.recall(&number).await;
    stage.hears_of_the_recall(&number, recalled_at).await;
    stage.app.stop().await;
    stage.redis.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recall_while_redis_stands_still_is_heard_of_when_it_goes_on_with_what_it_knew() {
    let mut stage = Stage::set().await;
    let (number, other) = (stage.known_to_redis().await, stage.number());
    stage.redis.freeze();
    // Until the service has seen that nobody answers, and tells Redis nothing any more.
    for _ in 0..4 {
        stage.act(&other, "reserve").await.expect(200);
        stage.act(&other, "release").await.expect(200);
    }
    let recalled_at = stage.recall(&number).await;
    stage.redis.thaw();
    stage.until_connected().await;
    stage.hears_of_the_recall(&number, recalled_at).await;
    stage.app.stop().await;
    stage.redis.stop().await;
}

impl Stage {
    /// What is shown of the tenant's reservations: the quota, and how many there are.
    async fn reservations(&self) -> (i64, i64) {
        let shown = in_time(self.app.tenant("tenant-a").get("/v1/quota")).await.expect(200);
        let of = |member: &str| shown["quotas"]["RESERVATIONS"][member].as_i64().unwrap();
        (of("quota"), of("current"))
    }

    /// What is shown follows each change of the quota and of its use.
    async fn quotas_are_right(&mut self, quota: i64) {
        let admin = self.app.admin();
        let number = self.number();
        let path = "/v1/admin/numbering/tenants/tenant-a/quotas";
        in_time(admin.put(path, &json!({ "RESERVATIONS": 1 }))).await.expect(200);
        assert_eq!(self.reservations().await, (1, 0));
        self.act(&number, "reserve").await.expect(200);
        assert_eq!(self.reservations().await, (1, 1));
        let refused = self.number();
        self.act(&refused, "reserve").await.problem(403, "RESERVATION_QUOTA");
        in_time(admin.put(path, &json!({ "RESERVATIONS": quota }))).await.expect(200);
        assert_eq!(self.reservations().await, (quota, 1));
        self.act(&number, "release").await.expect(200);
        assert_eq!(self.reservations().await, (quota, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_tenant_may_have_and_has_is_shown_right_whatever_redis_does() {
    let mut stage = Stage::set().await;
    stage.quotas_are_right(5).await;
    let mut redis = stage.connect().await;
    redis::cmd("SELECT").arg(1).query_async::<()>(&mut redis).await.unwrap();
    let kept: String = redis::cmd("GET").arg("num:quota:tenant-a").query_async(&mut redis).await.unwrap();
    stage.redis.freeze();
    stage.quotas_are_right(6).await;
    // Redis goes on with limits that are no longer true, as if it had never heard that they were to be removed.
    stage.redis.thaw();
    stage.until_connected().await;
    redis::cmd("SET").arg("num:quota:tenant-a").arg(kept).query_async::<()>(&mut redis).await.unwrap();
    assert_eq!(stage.reservations().await, (6, 0));
    stage.quotas_are_right(7).await;
    stage.redis.kill().await;
    stage.quotas_are_right(8).await;
    stage.redis.start().await.unwrap();
    stage.until_connected().await;
    stage.quotas_are_right(9).await;
    stage.app.stop().await;
    stage.redis.stop().await;
}
