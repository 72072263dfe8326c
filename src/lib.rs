//! Numbering keeps every identity a messaging platform can send from, and decides who may use which, when.
//!
//! The rules are in the pure crate `numbering-domain`; this package is the service around them.

pub mod app;
pub mod auth;
pub(crate) mod batches;
pub mod boot_clock;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod devstack;
pub mod events;
pub mod grpc;
pub mod http;
pub mod jobs;
pub mod operations;
pub mod store;
pub mod telemetry;
