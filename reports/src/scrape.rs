//! `GET /metrics`: the open runs for Prometheus, where the data plane is told to listen for it.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tls::Incoming;

use crate::exposition::Exposition;
use crate::store::Store;

/// The format that Prometheus knows by this type.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves scrapes; without a listener, waits for ever.
///
/// # Errors
/// When serving ends by itself.
pub(crate) async fn serve(incoming: Option<Incoming>, store: Arc<Store>) -> anyhow::Result<()> {
    let Some(incoming) = incoming else { return std::future::pending().await };
    let routes = Router::new().route("/metrics", get(metrics)).with_state(store);
    axum::serve(incoming, routes).await.context("the server of /metrics ended")
}

async fn metrics(State(store): State<Arc<Store>>) -> Response {
    let text = tokio::task::spawn_blocking(move || {
        let mut exposition = Exposition::default();
        for cell in store.open_runs() {
            // One that was closed meanwhile is in no scrape any more.
            let _ = cell.with(|run| {
                exposition.add(&run.state);
                Ok(())
            });
        }
        exposition.to_string()
    });
    match text.await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
