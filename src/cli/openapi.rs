//! `numbering openapi`: the description of the REST interface, as served at `/openapi.json`.

pub(super) fn run() -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(&crate::http::openapi())?);
    Ok(())
}
