//! Who may call an endpoint, said in the handler's signature: `Authorized<NumbersWrite>`.
//!
//! What must stay true: a handler with such a parameter runs only for a verified token with one of the permissions; as the
//! first parameter it also answers before the rest of the request is looked at (authentication, permission, then input).

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::AppState;
use super::problem::ApiError;
use super::request::RequestRecord;
use crate::auth::{Caller, Permission};

/// What an endpoint asks of its caller.
pub trait Demand: Send + Sync + 'static {
    /// Any one of these is enough; the first is named where none is there.
    const ANY_OF: &'static [Permission];
}

macro_rules! demands {
    ($($(#[$doc:meta])* $name:ident = [$($permission:ident),+];)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl Demand for $name {
            const ANY_OF: &'static [Permission] = &[$(Permission::$permission),+];
        }
    )*};
}

demands! {
    /// `numbers.read`.
    NumbersRead = [NumbersRead];
    /// `numbers.write`.
    NumbersWrite = [NumbersWrite];
    /// `numbers.read`, or an admin.
    NumbersReadOrAdmin = [NumbersRead, NumberingAdmin];
    /// `numbers.write`, or an admin acting for a tenant.
    NumbersWriteOrAdmin = [NumbersWrite, NumberingAdmin];
    /// `numbering.admin`.
    NumberingAdmin = [NumberingAdmin];
    /// `numbering.compliance`.
    NumberingCompliance = [NumberingCompliance];
    /// `numbering.compliance`, or an admin.
    ComplianceOrAdmin = [NumberingCompliance, NumberingAdmin];
}

/// The verified caller, who has what the endpoint demands.
#[derive(Debug)]
pub struct Authorized<D> {
    /// Who it is.
    pub caller: Arc<Caller>,
    demand: PhantomData<D>,
}

impl<D: Demand> FromRequestParts<AppState> for Authorized<D> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let values = parts.headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let caller = state.verifier.authenticate(values).await?;
        if let Some(record) = parts.extensions.get::<Arc<RequestRecord>>() {
            record.is_from(Arc::clone(&caller));
        }
        if D::ANY_OF.iter().any(|permission| caller.may(*permission)) {
            return Ok(Self { caller, demand: PhantomData });
        }
        Err(D::ANY_OF
            .first()
            .map_or_else(|| ApiError::internal("a demand without permissions"), |p| ApiError::forbidden(*p)))
    }
}
