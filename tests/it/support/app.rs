//! The service in this process, on servers that `script/test` started, with a part of them of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use numbering::app::App;
use numbering::config::Config;
use numbering::devstack::{Part, SharedStack};
use numbering::store::{Store, StoreSettings, migrate};
use numbering_proto::v1::lease_validation_client::LeaseValidationClient;
use numbering_proto::v1::{ValidateLeaseRequest, ValidateLeaseResponse};
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;

use super::answer::Answer;
use super::events::Received;
use super::tokens::{AUDIENCE, ISSUER, Issuer};

/// The template that each test's database is made from: migrated once.
const TEMPLATE: &str = "numbering_template";
/// How long the service may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running service.
pub(crate) struct TestApp {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) part: Part,
    pub(crate) stack: SharedStack,
    pub(crate) issuer: Issuer,
    http_client: reqwest::Client,
    directory: TempDir,
    replica: Option<Replica>,
}

/// One service in this process.
#[must_use = "it is to be stopped, and its end to be seen"]
pub(crate) struct Replica {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    async fn start(config: Config) -> Self {
        let app = App::bind(config).await.unwrap();
        let (http, grpc) = (app.http_address(), app.grpc_address());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(app.run(shutdown.clone()));
        Self { http, grpc, shutdown, running }
    }

    /// Stops it in good order, and waits for its end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

/// A caller of the REST interface.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl TestApp {
    /// A service with the default settings.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A service with settings of the environment's kind (`NUMBERING_POLICY__RESERVATION_TTL`).
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_on(SharedStack::from_env().unwrap(), settings).await
    }

    /// A service on a part of this stack, such as one of the test's own.
    pub(crate) async fn start_on(stack: SharedStack, settings: &[(&str, &str)]) -> Self {
        // The HTTP client of the tests takes the process's provider; another test may have set it.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let databases = stack.databases();
        databases.ensure_template(TEMPLATE, async |url| Ok(migrate::migrate(url).await.map(drop)?)).await.unwrap();
        let part = stack.take_part().await.unwrap();
        databases.create(&part.database, TEMPLATE).await.unwrap();
        let directory = TempDir::new().unwrap();
        let issuer = Issuer::new(directory.path());
        let config = config(&stack, &part, directory.path(), &issuer, settings);
        let replica = Replica::start(config).await;
        let (http, grpc) = (replica.http, replica.grpc);
        let http_client = reqwest::Client::new();
        let this = Self { http, grpc, part, stack, issuer, http_client, directory, replica: Some(replica) };
        this.until_ready().await;
        this
    }

    /// Waits until the service says that it is ready.
    pub(crate) async fn until_ready(&self) {
        let ready = async {
            while !self.is_ready().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, ready).await.expect("the service becomes ready");
    }

    /// Whether the service says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.http_client.get(format!("http://{}/readyz", self.http)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Another replica over the same servers, with settings of its own.
    pub(crate) async fn replica(&self, settings: &[(&str, &str)]) -> Replica {
        Replica::start(config(&self.stack, &self.part, self.directory.path(), &self.issuer, settings)).await
    }

    /// Stops it in good order; what it had to do by then is done.
    pub(crate) async fn stop(mut self) {
        self.stop_serving().await;
    }

    /// Stops the service in this process in good order; the servers and what they hold stay.
    pub(crate) async fn stop_serving(&mut self) {
        if let Some(replica) = self.replica.take() {
            replica.stop().await;
        }
    }

    pub(crate) fn client(&self, token: String) -> Client {
        Client { base: format!("http://{}", self.http), token, http: self.http_client.clone() }
    }

    /// A tenant's portal.
    pub(crate) fn tenant(&self, tenant: &str) -> Client {
        let sub = format!("{tenant}-portal");
        self.client(self.issuer.token(&sub, Some(tenant), &["numbers.read", "numbers.write"]))
    }

    /// The operations desk.
    pub(crate) fn admin(&self) -> Client {
        let permissions = ["numbering.admin", "numbers.read", "numbers.write", "numbers.lease.bypass"];
        self.client(self.issuer.token("ops", None, &permissions))
    }

    pub(crate) fn compliance(&self) -> Client {
        self.client(self.issuer.token("compliance-officer", None, &["numbering.compliance", "numbers.read"]))
    }

    /// Asks over gRPC, as the SMS path does.
    pub(crate) async fn validate(&self, identifier: &str, tenant: &str) -> ValidateLeaseResponse {
        self.try_validate(identifier, tenant).await.unwrap()
    }

    pub(crate) async fn try_validate(
        &self,
        identifier: &str,
        tenant: &str,
    ) -> Result<ValidateLeaseResponse, tonic::Status> {
        let token = self.issuer.token("sms-orchestrator", None, &["leases.validate"]);
        let mut client = LeaseValidationClient::connect(format!("http://{}", self.grpc)).await.unwrap();
        let mut request = tonic::Request::new(ValidateLeaseRequest {
            identifier: identifier.to_owned(),
            tenant_id: tenant.to_owned(),
        });
        let bearer: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        client.validate_lease(request).await.map(tonic::Response::into_inner)
    }

    /// The settings of this service, for a replica in another process.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        usual(&self.stack, &self.part, self.directory.path(), &self.issuer)
    }

    /// The service's own store, over a few connections.
    pub(crate) fn store(&self) -> Store {
        let patience = Duration::from_secs(5);
        Store::new(&StoreSettings {
            url: self.stack.databases().app_url(&self.part.database),
            pool_size: 4,
            acquire_timeout: patience,
            connect_timeout: patience,
            lock_timeout: patience,
            statement_timeout: patience,
        })
        .unwrap()
    }

    /// A connection with every right, to look behind the scenes.
    pub(crate) async fn superuser(&self) -> tokio_postgres::Client {
        let url = self.stack.databases().superuser_url(&self.part.database);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Gives a job's role to nobody, for a minute at most or until [`TestApp::let_job_run`].
    pub(crate) async fn keep_job_from_running(&self, job: &str) {
        // A role that is held for much longer counts as written by a clock that was ahead, and is taken.
        let sql = "INSERT INTO numbering.leaderships (role, holder, term, expires_at)
            VALUES ('job:' || $1::text, gen_random_uuid(), 1000, clock_timestamp() + interval '1 minute')
            ON CONFLICT (role) DO UPDATE
            SET holder = gen_random_uuid(), term = leaderships.term + 1000, expires_at = excluded.expires_at";
        self.superuser().await.execute(sql, &[&job]).await.unwrap();
    }

    /// Any replica may take the role of a job that was kept from running.
    pub(crate) async fn let_job_run(&self, job: &str) {
        let sql = "UPDATE numbering.leaderships SET expires_at = clock_timestamp() WHERE role = 'job:' || $1::text";
        self.superuser().await.execute(sql, &[&job]).await.unwrap();
    }

    /// Waits until the database's clock has passed `moment`.
    pub(crate) async fn until_database_time(&self, moment: jiff::Timestamp) {
        let sql = "SELECT pg_sleep(greatest(0, extract(epoch FROM $1::timestamptz - clock_timestamp())) + 0.001)";
        self.superuser().await.query(sql, &[&moment]).await.unwrap();
    }

    /// Short codes or alphanumeric sender IDs for the inventory.
    pub(crate) async fn stock(&self, items: Value) {
        let answer = self.admin().post("/v1/admin/numbering/inventory", &json!({ "items": items })).await;
        assert_eq!(answer.json()["invalid"], 0, "{}", answer.text);
    }

    /// Mobile numbers +93700000000 and on, straight into the inventory, as a block of AWCC's would bring them.
    pub(crate) async fn stock_numbers(&self, count: i64) -> Vec<String> {
        let inserted = self
            .superuser()
            .await
            .query(
                "INSERT INTO numbering.numbers (identifier, identifier_class, shown)
                 SELECT n, 'MSISDN', n FROM (SELECT '+93' || 700000000 + i AS n FROM generate_series(0, $1::bigint - 1) AS i) x
                 RETURNING identifier",
                &[&count],
            )
            .await
            .unwrap();
        inserted.iter().map(|row| row.get(0)).collect()
    }

    /// How many events are published.
    pub(crate) async fn published(&self) -> u64 {
        super::events::published(&self.part.nats_url).await
    }

    /// The first `count` events published, in their order.
    pub(crate) async fn events(&self, count: usize) -> Vec<Received> {
        super::events::first(&self.part.nats_url, count).await
    }
}

fn config(stack: &SharedStack, part: &Part, directory: &Path, issuer: &Issuer, settings: &[(&str, &str)]) -> Config {
    let mut all = usual(stack, part, directory, issuer);
    all.retain(|(name, _)| settings.iter().all(|(other, _)| other != name));
    all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Config::load(None, all.iter().map(|(name, value)| (*name, value.as_str()))).unwrap()
}

/// The settings of a test's service.
fn usual<'a>(stack: &SharedStack, part: &Part, directory: &Path, issuer: &Issuer) -> Vec<(&'a str, String)> {
    vec![
        ("NUMBERING_HTTP__LISTEN", "127.0.0.1:0".to_owned()),
        ("NUMBERING_GRPC__LISTEN", "127.0.0.1:0".to_owned()),
        ("NUMBERING_DATABASE__URL", stack.databases().app_url(&part.database)),
        ("NUMBERING_REDIS__URL", part.redis_url.clone()),
        ("NUMBERING_REDIS__TIMERS_URL", part.timers_url.clone()),
        ("NUMBERING_NATS__URL", part.nats_url.clone()),
        ("NUMBERING_AUTH__ISSUER", ISSUER.to_owned()),
        ("NUMBERING_AUTH__AUDIENCE", AUDIENCE.to_owned()),
        ("NUMBERING_AUTH__JWKS", issuer.jwks.display().to_string()),
        (
            "NUMBERING_SECURITY__CURSOR_KEY",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".to_owned(),
        ),
        // Tests browse more than people do.
        ("NUMBERING_BROWSE__RATE_LIMIT", "100000".to_owned()),
        ("NUMBERING_BROWSE__RATE_LIMIT_WITHOUT_REDIS", "100000".to_owned()),
        ("NUMBERING_ALLOCATE__RATE_LIMIT", "100000".to_owned()),
        ("NUMBERING_ALLOCATE__RATE_LIMIT_WITHOUT_REDIS", "100000".to_owned()),
        // What is said of pools is said in the tests of that: elsewhere the events are those of what the test does.
        ("NUMBERING_CAPACITY__LOOK_EVERY", "1h".to_owned()),
        ("NUMBERING_JOBS__CAPACITY", "0 0 1 1 *".to_owned()),
        ("NUMBERING_IMPORT__SPOOL_DIR", directory.display().to_string()),
    ]
}

impl Client {
    /// The same caller at another replica.
    pub(crate) fn at(&self, replica: SocketAddr) -> Self {
        Self { base: format!("http://{replica}"), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body), &[]).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body), &[]).await
    }

    /// An action on a number that needs no input.
    pub(crate) async fn act(&self, number: &str, action: &str) -> Answer {
        self.send(Method::POST, &format!("/v1/numbers/{number}/{action}"), None, &[]).await
    }

    pub(crate) async fn lease(&self, number: &str, term: &str) -> Answer {
        self.post(&format!("/v1/numbers/{number}/lease"), &json!({ "term": term, "autoRenew": false })).await
    }

    pub(crate) async fn recall(&self, number: &str, reason: &str, ticket: Option<&str>) -> Answer {
        let mut body = json!({ "reason": reason });
        if let Some(ticket) = ticket {
            body["ticketId"] = ticket.into();
        }
        self.post(&format!("/v1/numbers/{number}/recall"), &body).await
    }

    /// Sends a body as it is.
    pub(crate) async fn raw(&self, path: &str, body: String, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    /// Sends a form.
    pub(crate) async fn upload(&self, path: &str, form: Form, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token).multipart(form);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.try_send(method, path, body, headers).await.unwrap()
    }

    /// Like [`Client::send`], where there may be nobody to answer.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::try_read(request.send().await?).await
    }
}
