//! The stack against real servers, each test in a data directory of its own.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::events::jetstream::credentials;

use super::{Home, Stack, StackOptions, nats, postgres, process_table, redis};

/// A directory that PostgreSQL's own user may pass through when the tests run as root.
fn directory() -> TempDir {
    tempfile::Builder::new().prefix("numbering-devstack-").tempdir_in("/var/tmp").unwrap()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn nothing_runs_in(directory: &TempDir) -> bool {
    process_table::at_work_in(&directory.path().canonicalize().unwrap()).is_empty()
}

#[tokio::test]
async fn a_stack_starts_again_on_its_data_and_ports() {
    let dir = directory();
    let stack = Stack::start(dir.path(), StackOptions::default()).await.unwrap();
    let ports = [stack.postgres.port(), stack.redis.port(), stack.nats.port()];
    assert_eq!(BTreeSet::from(ports).len(), 3, "each server has a port of its own");
    let owner = connect(&stack.databases().owner_url("numbering")).await;
    owner.batch_execute("CREATE TABLE kept AS SELECT 7 AS number").await.unwrap();
    for name in ["postgres", "redis", "nats"] {
        let pid: u32 = fs::read_to_string(stack.home().pid_file(name)).unwrap().trim().parse().unwrap();
        assert!(fs::exists(format!("/proc/{pid}")).unwrap(), "the pid file of {name} names a process");
    }
    stack.stop().await;
    assert!(nothing_runs_in(&dir));
    assert!(fs::read_dir(dir.path().join("pids")).unwrap().next().is_none(), "no pid file is left");

    let stack = Stack::start(dir.path(), StackOptions::default()).await.unwrap();
    assert_eq!([stack.postgres.port(), stack.redis.port(), stack.nats.port()], ports);
    let owner = connect(&stack.databases().owner_url("numbering")).await;
    assert_eq!(owner.query_one("SELECT number FROM kept", &[]).await.unwrap().get::<_, i32>(0), 7);
    drop(stack);
    assert!(nothing_runs_in(&dir), "dropping a stack ends it too");
}

#[tokio::test]
async fn a_second_start_on_the_same_directory_is_refused_and_says_why() {
    let dir = directory();
    let held = Home::open(dir.path()).unwrap();
    let refused = Home::open(dir.path()).unwrap_err();
    assert!(refused.to_string().contains(&format!("in use by process {}", std::process::id())), "{refused}");
    drop(held);
    Home::open(dir.path()).unwrap();
}

#[tokio::test]
async fn killed_postgresql_keeps_what_it_acknowledged_and_returns_on_its_port() {
    let dir = directory();
    let home = Home::open(dir.path()).unwrap();
    let (mut server, databases) = postgres::start(&home).await.unwrap();
    let (port, pid) = (server.port(), server.pid().unwrap());
    let owner = connect(&databases.owner_url("numbering")).await;
    owner.batch_execute("CREATE TABLE kept (number int); INSERT INTO kept VALUES (7)").await.unwrap();

    server.kill().await;
    assert_eq!(server.pid(), None);
    assert!(nothing_runs_in(&dir), "its backends die with it");
    assert!(owner.query_one("SELECT number FROM kept", &[]).await.is_err());

    server.start().await.unwrap();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid().unwrap(), pid);
    let owner = connect(&databases.owner_url("numbering")).await;
    assert_eq!(owner.query_one("SELECT number FROM kept", &[]).await.unwrap().get::<_, i32>(0), 7);
    server.stop().await;
    assert!(nothing_runs_in(&dir));
}

#[tokio::test]
async fn frozen_postgresql_answers_nobody_until_it_thaws() {
    let dir = directory();
    let home = Home::open(dir.path()).unwrap();
    let (mut server, databases) = postgres::start(&home).await.unwrap();
    let client = connect(&databases.app_url("numbering")).await;
    client.check_connection().await.unwrap();

    server.freeze();
    let answer = client.check_connection();
    tokio::pin!(answer);
    assert!(timeout(Duration::from_millis(300), &mut answer).await.is_err(), "an open connection stands still too");
    server.thaw();
    timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();

    server.freeze();
    server.stop().await;
    assert!(nothing_runs_in(&dir), "a frozen server can be stopped");
}

#[tokio::test]
async fn redis_and_nats_return_on_their_ports() {
    let dir = directory();
    let home = Home::open(dir.path()).unwrap();
    let mut redis = redis::start(&home).await.unwrap();
    let mut nats = nats::start(&home, 3).await.unwrap();
    for server in [&mut redis, &mut nats] {
        let (port, pid) = (server.port(), server.pid().unwrap());
        server.kill().await;
        server.start().await.unwrap();
        assert_eq!(server.port(), port);
        assert_ne!(server.pid().unwrap(), pid);
        server.restart().await.unwrap();
        server.stop().await;
        assert_eq!(server.exited().await, None);
    }
    assert!(nothing_runs_in(&dir));
}

#[tokio::test]
async fn each_account_of_nats_is_closed_to_whoever_has_no_credentials() {
    let dir = directory();
    let home = Home::open(dir.path()).unwrap();
    let server = nats::start(&home, 2).await.unwrap();
    let own = nats::test_account_url(1, server.port());
    for url in [server.url(), own.as_str()] {
        credentials(url).connect(url).await.unwrap();
        async_nats::connect(url).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_template_is_made_once_and_copied_for_each_test() {
    let dir = directory();
    let home = Home::open(dir.path()).unwrap();
    let (_server, databases) = postgres::start(&home).await.unwrap();
    let migrate = async |url: &str| {
        let migration =
            "CREATE ROLE numbering_service NOLOGIN; CREATE TABLE t (n int); GRANT SELECT ON t TO numbering_service";
        Ok(connect(url).await.batch_execute(migration).await?)
    };
    let (first, second) = tokio::join!(
        databases.ensure_template("template_t", migrate),
        databases.ensure_template("template_t", migrate)
    );
    first.unwrap();
    second.unwrap();
    databases.create("test_1", "template_t").await.unwrap();
    databases.create("test_2", "template_t").await.unwrap();
    let app = connect(&databases.app_url("test_2")).await;
    assert!(app.query("SELECT n FROM t", &[]).await.unwrap().is_empty());
    assert!(app.batch_execute("DROP TABLE t").await.is_err(), "the role that serves owns nothing");
    databases.drop("test_2").await.unwrap();
    databases.drop("test_2").await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_start_tells_its_last_words() {
    let dir = directory();
    let home = Home::open(dir.path()).unwrap();
    let (mut server, _) = postgres::start(&home).await.unwrap();
    server.stop().await;
    fs::write(dir.path().join("postgres/data/postgresql.auto.conf"), "no_such_setting = 1\n").unwrap();
    let error = format!("{:#}", server.start().await.unwrap_err());
    assert!(error.contains("no_such_setting"), "{error}");
    assert!(nothing_runs_in(&dir));
}
