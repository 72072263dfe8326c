//! `numbering openapi`: the description of the REST interface, as served at `/openapi.json`.

use super::print_out;

pub(super) fn run() -> anyhow::Result<()> {
    print_out(&format!("{}\n", serde_json::to_string_pretty(&crate::http::openapi())?))
}
