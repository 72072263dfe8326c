//! Billing at the other end of real HTTP: the stand-in, and a line to it that can hold its answers back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use numbering::devstack::{self, Home};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a question may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A billing service of the test's own.
pub(crate) struct Billing {
    home: Arc<Home>,
    stand_in: Option<devstack::Billing>,
    url: String,
    http: reqwest::Client,
    _directory: TempDir,
}

impl Billing {
    /// It approves, until told otherwise.
    pub(crate) async fn start() -> Self {
        let mut this = Self::absent();
        this.appear().await;
        this
    }

    /// It has an address, where nobody listens.
    pub(crate) fn absent() -> Self {
        // The HTTP client of the tests takes the process's provider; another test may have set it.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let directory = TempDir::new().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let url = format!("http://127.0.0.1:{}", home.port("billing").unwrap());
        Self { home, stand_in: None, url, http: reqwest::Client::new(), _directory: directory }
    }

    /// It is there now.
    pub(crate) async fn appear(&mut self) {
        let stand_in = devstack::Billing::start(&self.home).await.unwrap();
        assert_eq!(stand_in.url(), self.url);
        self.stand_in = Some(stand_in);
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How it answers from now on: `approve`, `reject`, `stall` or `fail`.
    pub(crate) async fn mode(&self, mode: &str) {
        let told = self.http.put(format!("{}/v1/mode", self.url)).json(&json!({ "mode": mode })).send().await.unwrap();
        assert_eq!(told.status(), 200, "{mode}");
    }

    pub(crate) async fn charges(&self) -> Vec<Value> {
        let listed: Value =
            self.http.get(format!("{}/v1/charges", self.url)).send().await.unwrap().json().await.unwrap();
        listed["items"].as_array().unwrap().clone()
    }
}

/// A line to another server, which passes on what is asked, and holds back what is answered.
pub(crate) struct HeldLine {
    address: SocketAddr,
    gate: watch::Sender<bool>,
    answered: watch::Sender<usize>,
}

impl HeldLine {
    /// To `url`, an address of this machine. It holds answers back until told otherwise.
    pub(crate) async fn to(url: &str) -> Self {
        let server = url.strip_prefix("http://").unwrap().parse::<SocketAddr>().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (gate, answered) = (watch::Sender::new(false), watch::Sender::new(0));
        let (opened, counted) = (gate.subscribe(), answered.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, server, opened.clone(), counted.clone()));
            }
        });
        Self { address, gate, answered }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until so many answers have come, passed on or not.
    pub(crate) async fn until_answered(&self, count: usize) {
        let mut answered = self.answered.subscribe();
        let come = answered.wait_for(|answered| *answered >= count);
        tokio::time::timeout(PATIENCE, come).await.expect("billing is asked").unwrap();
    }

    /// Passes on what it holds and all that comes.
    pub(crate) fn let_go(&self) {
        self.gate.send_replace(true);
    }
}

async fn pass_on(
    client: TcpStream,
    server: SocketAddr,
    mut gate: watch::Receiver<bool>,
    answered: watch::Sender<usize>,
) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((mut asking, mut to_client), (mut answering, mut to_server)) = (client.into_split(), server.into_split());
    let questions = async {
        tokio::io::copy(&mut asking, &mut to_server).await.ok();
    };
    let answers = async {
        let mut bytes = vec![0; 16_384];
        while let Ok(length @ 1..) = answering.read(&mut bytes).await {
            answered.send_modify(|count| *count += 1);
            if gate.wait_for(|open| *open).await.is_err() || to_client.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = questions => {}
        () = answers => {}
    }
}
