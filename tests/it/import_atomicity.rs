//! An import leaves all of its block or none, also when the service is killed in the middle of it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::timeout;

use crate::support::TestApp;
use crate::support::blocks::{IMPORT, Signer, numbers};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_mins(1);
const ROWS: u32 = 100_000;

/// A replica in a process of its own.
struct Victim {
    process: Child,
    url: String,
}

impl Victim {
    async fn start(app: &TestApp) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listen = port.to_string();
        let process = Command::new(env!("CARGO_BIN_EXE_numbering"))
            .arg("serve")
            .envs(app.settings())
            .env("NUMBERING_HTTP__LISTEN", &listen)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://{listen}");
        let ready = async {
            while !reqwest::get(format!("{url}/readyz")).await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, ready).await.expect("the replica becomes ready");
        Self { process, url }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn kill_in_the_middle(app: &TestApp, signer: &Signer, statement: &str) {
    let mut victim = Victim::start(app).await;
    let database = app.superuser().await;
    let import = reqwest::Client::new()
        .post(format!("{}{IMPORT}", victim.url))
        .bearer_auth(app.issuer.token("ops", None, &["numbering.admin"]))
        .multipart(signer.form("awcc", &numbers(ROWS)))
        .send();
    let import = tokio::spawn(import);
    let under_way = async {
        let running = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid() AND ltrim(query, E' \\n') ILIKE $1";
        while database.query_one(running, &[&statement]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, under_way).await.expect("the statement is seen running");
    victim.process.kill().unwrap();
    victim.process.wait().unwrap();
    assert!(import.await.unwrap().is_err(), "nothing was answered");
    let idle = async {
        let importing = "SELECT count(*) FROM pg_locks WHERE relation = 'numbering.numbers'::regclass AND mode = 'RowExclusiveLock'";
        while database.query_one(importing, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, idle).await.expect("PostgreSQL notices");
    for table in ["numbers", "blocks", "block_rejects"] {
        let left: i64 =
            database.query_one(&format!("SELECT count(*) FROM numbering.{table}"), &[]).await.unwrap().get(0);
        assert_eq!(left, 0, "rows left in {table} after a death during {statement}");
    }
}

#[tokio::test]
async fn a_service_killed_during_an_import_leaves_nothing_of_it() {
    let app = TestApp::start().await;
    let signer = app.operator("awcc", &["+9370"]).await;
    for statement in ["COPY pg_temp.import_rows%", "%INSERT INTO numbering.numbers%"] {
        kill_in_the_middle(&app, &signer, statement).await;
    }
    let imported = app.admin().import(signer.form("awcc", &numbers(ROWS))).await.expect(200);
    assert_eq!(imported["inserted"], ROWS);
    app.stop().await;
}
