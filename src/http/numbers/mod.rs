//! The tenant's side of the inventory: one file an endpoint, or a family of them.

pub mod browse;
pub mod hold;
pub mod lease;
pub mod read;
pub mod recall;
pub mod release;
pub mod reserve;

use axum::http::StatusCode;
use numbering_domain::Transition;
use serde::Deserialize;
use utoipa::ToSchema;

use super::command::answer;
use super::shapes::NumberBody;
use crate::auth::Caller;
use crate::store::idempotency::Answer;

/// The body of an action that needs no input.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoInput {}

/// 200 with the number as it became.
pub(crate) fn number_answer(caller: &Caller, done: &Transition) -> Answer {
    answer(StatusCode::OK, &NumberBody::shown_to(caller, &done.after))
}
