//! Short codes and alphanumeric sender IDs into the inventory, by an admin's hand.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::upload::wrong;
use crate::http::AppState;
use crate::http::command::{Command, answer};
use crate::http::extract::JsonBody;
use crate::http::guard::NumberingAdmin;
use crate::http::problem::ApiError;
use crate::jobs::capacity;
use crate::operations::blocks::{ITEMS_MOST, ImportGuard, Imported, InventoryItem, RenderImported};
use crate::store::idempotency::Answer;

/// The largest body, in bytes: 10,000 items with all their members, generously.
const BODY_MOST_BYTES: usize = 2 * 1024 * 1024;
/// The most characters of a rejected identifier that are shown.
const SHOWN_MOST_CHARS: usize = 80;

/// What is to come in.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct InventoryBody {
    /// 1 to 10,000 items.
    #[schema(min_items = 1, max_items = 10000)]
    pub items: Vec<InventoryItemBody>,
}

/// A short code or sender ID.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct InventoryItemBody {
    /// The short code or sender ID, as it is to be shown.
    #[schema(example = "4455")]
    pub identifier: String,
    /// Whether it may be leased as vanity; false by default.
    pub vanity_eligible: Option<bool>,
    /// Its tier on the price list; `standard` by default.
    #[schema(example = "standard")]
    pub price_tier: Option<String>,
    /// From when it may be used, an RFC 3339 date or time.
    pub valid_from: Option<String>,
}

/// What became of the items.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryAnswer {
    /// The block that they came in as.
    #[schema(required)]
    pub block_id: Option<Uuid>,
    /// New in the inventory, AVAILABLE now.
    pub inserted: i64,
    /// In the inventory, or the list, already.
    pub duplicates: i64,
    /// Turned away.
    pub invalid: i64,
    /// Those turned away.
    pub rejects: Vec<InventoryReject>,
}

/// An item that was turned away.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryReject {
    /// Its place in the list, from 0.
    pub index: u64,
    /// Its identifier, shortened.
    pub identifier: String,
    /// The value at fault, shortened.
    pub value: String,
    /// Why.
    #[schema(example = "NEVER_LEASABLE")]
    pub reason: String,
}

/// Brings short codes and alphanumeric sender IDs into the inventory. Those that are there already stay as they are.
#[utoipa::path(
    post,
    path = "/v1/admin/numbering/inventory",
    tag = "admin",
    request_body = InventoryBody,
    responses((status = 200, description = "What became of the items", body = InventoryAnswer)),
)]
pub async fn add_inventory(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = JsonBody::<InventoryBody>::read_up_to(request, BODY_MOST_BYTES).await?;
    let items = body.value.items;
    if !(1..=ITEMS_MOST).contains(&items.len()) {
        return Err(wrong("items", &format!("must have 1 to {ITEMS_MOST} items")));
    }
    let shown: Arc<[String]> =
        items.iter().map(|item| item.identifier.chars().take(SHOWN_MOST_CHARS).collect()).collect();
    let items = items.into_iter().map(InventoryItem::from).collect();
    let origin = command.origin();
    command
        .once(&state, &body.sha256, async |claim| {
            let render: RenderImported = Arc::new({
                let shown = Arc::clone(&shown);
                move |imported| inventory_answer(imported, &shown)
            });
            let guard = claim.map(|claim| ImportGuard { claim, render });
            let imported = state.blocks.add_inventory(items, origin, guard).await?;
            state.wakes.wake(capacity::NAME);
            Ok(inventory_answer(&imported, &shown))
        })
        .await
}

impl From<InventoryItemBody> for InventoryItem {
    fn from(body: InventoryItemBody) -> Self {
        Self {
            identifier: body.identifier,
            vanity_eligible: body.vanity_eligible.unwrap_or(false),
            price_tier: body.price_tier,
            valid_from: body.valid_from,
        }
    }
}

fn inventory_answer(imported: &Imported, shown: &[String]) -> Answer {
    let rejects = imported.rejects.iter().map(|reject| InventoryReject {
        index: reject.line,
        identifier: usize::try_from(reject.line).ok().and_then(|index| shown.get(index)).cloned().unwrap_or_default(),
        value: reject.value.clone(),
        reason: reject.reason.as_str().to_owned(),
    });
    let body = InventoryAnswer {
        block_id: imported.block.map(|block| block.0),
        inserted: imported.counts.inserted,
        duplicates: imported.counts.duplicates,
        invalid: imported.counts.invalid,
        rejects: rejects.collect(),
    };
    answer(StatusCode::OK, &body)
}
