//! What other services tell, as they tell it, and what becomes of it.

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::stream::Stream;
use serde_json::{Value, json};
use uuid::Uuid;

use super::events::connect;
use super::{TestApp, until};

pub(crate) const CASCADES: &str = "/v1/admin/numbering/cascades";

/// A message that could not be taken.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub(crate) subject: String,
    pub(crate) payload: String,
    headers: HeaderMap,
}

impl DeadLetter {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("{name} in {:?}", self.headers)).as_str()
    }
}

/// An event as another service sends it.
pub(crate) fn event(event_type: &str, id: &str, data: &Value) -> Value {
    let source = format!("/{}", event_type.split('.').next().unwrap());
    json!({ "specversion": "1.0", "id": id, "source": source, "type": event_type, "data": data })
}

impl TestApp {
    async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(connect(&self.part.nats_url).await)
    }

    async fn stream(&self, name: &str) -> Stream {
        let jetstream = self.jetstream().await;
        until(&format!("there is a stream {name}"), async || jetstream.get_stream(name).await.is_ok()).await;
        jetstream.get_stream(name).await.unwrap()
    }

    /// Publishes a message on one of the streams that the service takes in; its place there.
    pub(crate) async fn send_in(&self, subject: &str, payload: String) -> u64 {
        let stream = subject.split('.').next().unwrap().to_uppercase();
        self.stream(&stream).await;
        let jetstream = self.jetstream().await;
        jetstream.publish(subject.to_owned(), payload.into()).await.unwrap().await.unwrap().sequence
    }

    /// Tells an event under an id of its own, which is given back.
    pub(crate) async fn tell(&self, event_type: &str, data: Value) -> String {
        let id = Uuid::now_v7().to_string();
        self.send_in(event_type, event(event_type, &id, &data).to_string()).await;
        id
    }

    /// How far the service has come with a stream.
    pub(crate) async fn taken_in(&self, stream: &str) -> Info {
        let stream = self.stream(stream).await;
        until("the service has its consumer", async || stream.consumer_info("numbering").await.is_ok()).await;
        stream.consumer_info("numbering").await.unwrap()
    }

    /// Waits until everything on a stream is taken.
    pub(crate) async fn until_taken_in(&self, stream: &str) {
        until("all messages are taken", async || {
            let info = self.taken_in(stream).await;
            info.num_pending == 0 && info.num_ack_pending == 0
        })
        .await;
    }

    /// Every dead letter, once there are `count`.
    pub(crate) async fn dead_letters(&self, count: u64) -> Vec<DeadLetter> {
        let mut stream = self.stream("NUMBERING_DEAD_LETTERS").await;
        until(&format!("there are {count} dead letters"), async || {
            stream.info().await.unwrap().state.messages == count
        })
        .await;
        let mut letters = Vec::new();
        for sequence in 1..=count {
            let letter = stream.get_raw_message(sequence).await.unwrap();
            let payload = String::from_utf8_lossy(&letter.payload).into_owned();
            letters.push(DeadLetter { subject: letter.subject.to_string(), payload, headers: letter.headers });
        }
        letters
    }

    /// Removes all dead letters, as an operator does.
    pub(crate) async fn purge_dead_letters(&self) {
        self.stream("NUMBERING_DEAD_LETTERS").await.purge().await.unwrap();
    }

    /// The open alerts of this name.
    pub(crate) async fn open_alerts(&self, name: &str) -> Vec<Value> {
        let open = self.admin().get("/v1/admin/numbering/alerts?state=OPEN&limit=200").await.expect(200);
        open["items"].as_array().unwrap().iter().filter(|alert| alert["name"] == name).cloned().collect()
    }

    /// The tenant's latest cascade, once there is one in this state.
    pub(crate) async fn cascade(&self, tenant: &str, state: &str) -> Value {
        let latest = async || {
            let cascades = self.admin().get(CASCADES).await.expect(200);
            cascades["items"].as_array().unwrap().iter().find(|cascade| cascade["tenantId"] == tenant).cloned()
        };
        until(&format!("the cascade of {tenant} is {state}"), async || {
            latest().await.is_some_and(|cascade| cascade["state"] == state)
        })
        .await;
        latest().await.unwrap()
    }

    /// A tenant that is suspended and whose cascade waits to be confirmed, which the operators have been told of.
    pub(crate) async fn cascade_that_waits(&self, tenant: &str) -> String {
        let path = format!("/v1/admin/numbering/tenants/{tenant}");
        self.admin().put(&path, &json!({ "plan": "starter", "status": "SUSPENDED" })).await.expect(200);
        let cascade_id = Uuid::now_v7();
        self.superuser()
            .await
            .execute(
                "INSERT INTO numbering.cascades
                     (cascade_id, tenant_id, ticket_id, source, event_id, state, leases, reservations)
                 VALUES ($1, $2, 'T-1', '/compliance', 'e-1', 'AWAITING_CONFIRMATION', 0, 0)",
                &[&cascade_id, &tenant],
            )
            .await
            .unwrap();
        let told = async || !self.open_alerts("numbering_cascade_waiting").await.is_empty();
        until("the cascade that waits is told of", told).await;
        cascade_id.to_string()
    }

    /// Leases of a tenant's on so many mobile numbers, which are new: straight into the rows that commits would have written.
    pub(crate) async fn stock_leases(&self, tenant: &str, count: i32) {
        self.superuser()
            .await
            .batch_execute(&LEASED.replace("TENANT", tenant).replace("COUNT", &count.to_string()))
            .await
            .unwrap();
    }
}

/// `COUNT` numbers, each leased to `TENANT` in one step.
const LEASED: &str = "
    INSERT INTO numbering.tenants (
        tenant_id, plan, limit_msisdn, limit_short_code, limit_alpha, limit_reservations, limit_holds, used_msisdn)
    VALUES ('TENANT', 'premium', 200000, 100, 250, 1000, 500, COUNT);
    CREATE TEMPORARY TABLE leased AS
    SELECT '+93' || 790000000 + i AS identifier, gen_random_uuid() AS lease_id, now() AS since, now() + interval '30 days' AS until
    FROM generate_series(1, COUNT) AS i;
    INSERT INTO numbering.numbers (
        identifier, identifier_class, shown, version, state, tenant_id, lease_id, deadline, effective_until)
    SELECT identifier, 'MSISDN', identifier, 1, 'LEASED', 'TENANT', lease_id, until, until FROM leased;
    INSERT INTO numbering.claims SELECT identifier, lease_id, 'TENANT', 'LEASED', until FROM leased;
    INSERT INTO numbering.leases (
        identifier, lease_id, identifier_class, shown, tenant_id, state, effective_from, effective_until, ends_at, term,
        auto_renew, vanity, price_amount, price_currency, price_per)
    SELECT identifier, lease_id, 'MSISDN', identifier, 'TENANT', 'LEASED', since, until, until, '30d', false, false, 2.5, 'USD',
           'month'
    FROM leased;
    INSERT INTO numbering.lease_history
    SELECT identifier, lease_id, NULL, 'TENANT', since, until, '30d', 2.5, 'USD', 'month', since FROM leased;
    INSERT INTO numbering.journal (
        subject, subject_kind, version, event_id, type, state, tenant_id, lease_id, deadline, data, actor, request_id)
    SELECT identifier, 'number', 1, gen_random_uuid(), 'numbering.lease.created', 'LEASED', 'TENANT', lease_id, until,
           jsonb_build_object('identifier', identifier, 'version', 1, 'leaseId', lease_id, 'tenantId', 'TENANT'), 'test', 'test'
    FROM leased;
    INSERT INTO numbering.outbox SELECT j.subject, j.seq FROM numbering.journal j JOIN leased ON j.subject = leased.identifier;
    ANALYZE numbering.numbers, numbering.claims, numbering.leases;
    DROP TABLE leased";
