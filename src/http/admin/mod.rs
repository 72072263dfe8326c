//! The operations desk's and compliance's side.

pub mod audit;
pub mod history;
pub mod lifecycle;
pub mod tenants;
