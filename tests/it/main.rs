//! The service as its users meet it, on real PostgreSQL, Redis and JetStream. Each test has a database, two Redis databases
//! and a NATS account of its own; `script/test` starts the servers around them.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without, it fails without")]

mod support;

mod alerts;
mod allocate;
mod browse;
mod capacity;
mod concurrency;
mod consume;
mod development;
mod expiry;
mod exports;
mod faults;
mod idempotency;
mod import;
mod import_atomicity;
mod import_command;
mod inventory;
mod lifecycle;
mod model;
mod operators;
mod override_report;
mod prices;
mod quotas;
mod renewal;
mod security;
mod validate_lease;
mod vanity;
