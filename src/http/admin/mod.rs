//! The operations desk's and compliance's side.

pub mod alerts;
pub mod audit;
pub mod blocks;
pub mod capacity;
pub mod cascades;
pub mod history;
pub mod inventory;
pub mod jobs;
pub mod lifecycle;
pub mod operators;
pub mod prices;
pub mod reports;
pub mod tenants;
mod upload;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(lifecycle::suspend))
        .routes(routes!(lifecycle::reinstate))
        .routes(routes!(lifecycle::override_quarantine))
        .routes(routes!(history::history))
        .routes(routes!(audit::audit))
        .routes(routes!(alerts::list_alerts))
        .routes(routes!(capacity::pool_capacity))
        .routes(routes!(reports::quarantine_overrides))
        .routes(routes!(tenants::read_tenant, tenants::put_tenant))
        .routes(routes!(tenants::put_quotas))
        .routes(routes!(cascades::list_cascades))
        .routes(routes!(cascades::confirm_cascade))
        .routes(routes!(operators::read_operator, operators::put_operator))
        .routes(routes!(operators::add_key))
        .routes(routes!(operators::revoke_key))
        .routes(routes!(prices::list_prices, prices::add_price))
        .routes(routes!(prices::end_price))
        .routes(routes!(inventory::add_inventory))
        .routes(routes!(jobs::list_jobs))
        .routes(routes!(jobs::run_job))
        .routes(routes!(blocks::list_blocks))
        .routes(routes!(blocks::read_block))
        .routes(routes!(blocks::list_rejects))
}

/// With a time limit and body limit of their own.
pub(super) fn uploads() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(blocks::import_block))
}
