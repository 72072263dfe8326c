//! A replica of the service in a process of its own, which can be killed and stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;

use numbering::devstack::{Home, Launch, Readiness, Server};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::timeout;

use super::{PATIENCE, directory};
use crate::support::TestApp;

/// `numbering serve`, always on the same ports; it ends with this process at the latest.
pub(super) struct Replica {
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    server: Server,
    _directory: TempDir,
}

impl Replica {
    /// Starts it over the servers of `app`, with settings of its own, and waits until it is ready.
    pub(super) async fn start(app: &TestApp, settings: &[(&str, &str)]) -> Self {
        let directory = directory();
        let home = Home::open(directory.path()).unwrap();
        let http = SocketAddr::from(([127, 0, 0, 1], home.port("replica").unwrap()));
        let program = PathBuf::from(env!("CARGO_BIN_EXE_numbering"));
        let mut launch = Launch::new(program, vec!["serve".into()], Readiness::Http);
        let grpc = SocketAddr::from(([127, 0, 0, 1], home.port("replica-grpc").unwrap()));
        let (http_listen, grpc_listen) = (http.to_string(), grpc.to_string());
        let of_its_own = [
            ("NUMBERING_HTTP__LISTEN", http_listen.as_str()),
            ("NUMBERING_GRPC__LISTEN", grpc_listen.as_str()),
            ("NUMBERING_LOG__FILTER", "warn"),
        ];
        for (name, value) in app.settings() {
            launch.environment.push((name.into(), value.into()));
        }
        for (name, value) in of_its_own.iter().chain(settings) {
            launch.environment.push((name.into(), value.into()));
        }
        let mut server = Server::new(&home, "replica", http, format!("http://{http}"), launch).unwrap();
        server.start().await.unwrap();
        Self { http, grpc, server, _directory: directory }
    }

    /// SIGKILL, and started again at once.
    pub(super) async fn kill_and_start(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    /// SIGKILL.
    pub(super) async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Starts it where it was, after its end, and waits until it is ready.
    pub(super) async fn start_again(&mut self) {
        self.server.start().await.unwrap();
    }

    /// SIGSTOP.
    pub(super) fn freeze(&self) {
        self.server.freeze();
    }

    /// SIGCONT.
    pub(super) fn thaw(&self) {
        self.server.thaw();
    }

    /// SIGTERM.
    pub(super) fn terminate(&self) {
        let pid = Pid::from_raw(self.server.pid().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    pub(super) fn is_running(&self) -> bool {
        self.server.pid().is_some()
    }

    /// Waits for its end.
    pub(super) async fn exited(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.server.exited()).await.expect("the replica ends").unwrap()
    }
}
