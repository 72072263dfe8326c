//! What the service does, free of transport: REST and gRPC parse a request into a call here and turn its outcome into an
//! answer.

pub mod alertmanager;
pub mod alerts;
pub mod billing;
pub mod blocks;
pub mod capacity;
pub mod numbers;
pub mod places;
pub mod quotas;
mod remote;
pub mod renewal;
pub mod signature;
pub mod told;
pub mod validate;
