//! The tenant's side of the inventory: one file an endpoint, or a family of them.

pub mod browse;
pub mod extend;
pub mod hold;
pub mod lease;
pub mod read;
pub mod recall;
pub mod release;
pub mod reserve;
pub mod reserve_many;

use axum::http::StatusCode;
use numbering_domain::Transition;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::command::answer;
use super::shapes::NumberBody;
use crate::auth::Caller;
use crate::store::idempotency::Answer;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(browse::browse))
        .routes(routes!(read::own_numbers))
        .routes(routes!(read::read_number))
        .routes(routes!(reserve::reserve))
        .routes(routes!(reserve_many::reserve_many))
        .routes(routes!(extend::extend))
        .routes(routes!(hold::hold))
        .routes(routes!(release::release))
        .routes(routes!(lease::lease))
        .routes(routes!(recall::recall))
}

/// The body of an action that needs no input.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoInput {}

/// 200 with the number as it became.
pub(crate) fn number_answer(caller: &Caller, done: &Transition) -> Answer {
    answer(StatusCode::OK, &NumberBody::shown_to(caller, &done.after))
}
