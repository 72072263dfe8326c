//! The pages for people: `/docs` from the OpenAPI document, `/docs/errors/{CODE}` from `docs/errors/`.
//!
//! What must stay true: rendered here, once, from what is served; nothing is fetched from anywhere else, and no script runs.

mod html;
mod markdown;
mod reference;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use utoipa::openapi::OpenApi;

use super::AppState;
use super::code::Code;
use super::problem::ApiError;
use html::{Page, escaped};

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = include_str!("style.css");

/// How long a browser may keep a page; it changes with the next release.
const KEPT: &str = "public, max-age=300";

/// The pages, and the document itself.
pub(super) fn routes(document: &OpenApi) -> Router<AppState> {
    let json = Bytes::from(serde_json::to_vec(document).unwrap_or_default());
    let reference = Bytes::from(reference::page(&serde_json::to_value(document).unwrap_or_default()));
    let errors = Bytes::from(errors_page());
    let fixed = |media_type: &'static str, body: Bytes| {
        get(move || async move { ([(CONTENT_TYPE, media_type), (CACHE_CONTROL, KEPT)], body) })
    };
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/openapi.json", fixed("application/json", json))
        .route("/docs", fixed(HTML, reference))
        .route("/docs/style.css", fixed("text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes())))
        .route("/docs/errors", fixed(HTML, errors))
        .route("/docs/errors/{code}", get(error_page))
}

async fn error_page(Path(code): Path<String>) -> Result<Response, ApiError> {
    let code =
        Code::parse(&code).ok_or_else(|| ApiError::not_found("no problem has this code; /docs/errors lists them"))?;
    let page = Page { title: code.as_str(), body: &markdown::to_html(code.page()) };
    Ok(([(CONTENT_TYPE, HTML), (CACHE_CONTROL, KEPT)], page.to_string()).into_response())
}

fn errors_page() -> String {
    let row = |code: &Code| {
        format!(
            "<tr><td>{}</td><td><a href=\"{}\"><code>{}</code></a></td><td>{}</td></tr>\n",
            code.status_number(),
            code.path(),
            code.as_str(),
            escaped(code.title())
        )
    };
    let rows: String = Code::ALL.iter().map(row).collect();
    let body = format!(
        "<h1>Problem codes</h1>\n<p>Every refusal and failure is an RFC 9457 problem; its <code>code</code> is one of these.</p>\n\
         <table><thead><tr><th>Status</th><th>Code</th><th>Meaning</th></tr></thead><tbody>\n{rows}</tbody></table>"
    );
    Page { title: "Problem codes", body: &body }.to_string()
}
