//! The operations desk's and compliance's side.

pub mod audit;
pub mod history;
pub mod lifecycle;
pub mod tenants;

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
        .routes(routes!(tenants::read_tenant, tenants::put_tenant))
        .routes(routes!(tenants::put_quotas))
}
