//! What `ValidateLease` is held against: servers that take the same messages over the same connections and answer a constant.
//!
//! Each runs in a process of its own, this program under another command, so that its CPU time can be told. It ends when its
//! standard input does, so that it never outlives who started it.

mod hand;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;

use anyhow::Context as _;
use numbering_proto::v1::lease_validation_server::{LeaseValidation, LeaseValidationServer};
use numbering_proto::v1::{ValidateLeaseRequest, ValidateLeaseResponse, ValidateLeasesRequest, ValidateLeasesResponse};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// `tonic::transport::Server` as its documentation shows it, on the multi-thread runtime.
    Tonic,
    /// hyper's HTTP/2 server and nothing above it, each connection on one of as many threads as there are cores.
    Hyper,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Tonic => "tonic",
            Self::Hyper => "hyper",
        }
    }
}

/// Serves until standard input ends.
pub(crate) fn serve(kind: Kind) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    std::thread::spawn(|| {
        // Whether it ends or breaks, nobody is there any more.
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok();
        std::process::exit(0);
    });
    match kind {
        Kind::Tonic => tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(tonic(listener)),
        Kind::Hyper => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(hand::serve(listener))
        }
    }
}

/// The answer that is always given: as long as the service's own.
fn constant() -> ValidateLeaseResponse {
    ValidateLeaseResponse {
        valid: true,
        reason: 0,
        lease_id: "01a205cd-c65a-70a5-9ba9-b47f354503dc".to_owned(),
        effective_until: Some(prost_types::Timestamp { seconds: 1_900_000_000, nanos: 468_881_000 }),
    }
}

struct Constant;

#[tonic::async_trait]
impl LeaseValidation for Constant {
    async fn validate_lease(
        &self,
        _: Request<ValidateLeaseRequest>,
    ) -> Result<Response<ValidateLeaseResponse>, Status> {
        Ok(Response::new(constant()))
    }

    async fn validate_leases(
        &self,
        request: Request<ValidateLeasesRequest>,
    ) -> Result<Response<ValidateLeasesResponse>, Status> {
        Ok(Response::new(ValidateLeasesResponse {
            items: request.get_ref().items.iter().map(|_| constant()).collect(),
        }))
    }
}

async fn tonic(listener: TcpListener) -> anyhow::Result<()> {
    let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_service(LeaseValidationServer::new(Constant));
    server.serve_with_incoming(incoming).await.context("tonic does not serve")
}

/// A baseline that runs. Dropping it kills it.
pub(crate) struct Baseline {
    pub(crate) address: SocketAddr,
    process: Child,
    _input: ChildStdin,
}

impl Baseline {
    pub(crate) async fn start(kind: Kind) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command.args(["--baseline", kind.name()]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("a baseline does not start")?;
        let input = process.stdin.take().context("a baseline has no standard input")?;
        let output = process.stdout.take().context("a baseline has no standard output")?;
        let first =
            BufReader::new(output).lines().next_line().await?.context("a baseline does not tell its address")?;
        Ok(Self { address: first.parse()?, process, _input: input })
    }

    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.process.id().context("a baseline has ended")
    }
}
