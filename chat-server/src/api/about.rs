//! `GET /app`: what this server is, and its limits.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use wire::limits;

use super::{Answer, Call};
use crate::app::App;

/// The answer to `GET /app`.
#[derive(Debug, Serialize)]
pub(crate) struct AppAnswer {
    app: Value,
    pub(super) duration: String,
}

/// Describes the app.
pub(crate) async fn app(State(app): State<Arc<App>>, call: Call) -> Answer {
    let config = &app.config;
    let about = json!({
        "name": "throng",
        "version": env!("CARGO_PKG_VERSION"),
        "permanent": config.data_dir.is_some(),
        "limits": {
            "message_text": limits::MESSAGE_TEXT, "custom_data": limits::CUSTOM_DATA, "body": limits::BODY,
            "client_frame": limits::CLIENT_FRAME, "sync_cids": limits::SYNC_CIDS, "page": limits::PAGE,
            "outbox_bytes": config.outbox_bytes_max, "throttle_watchers": config.throttle_watchers,
            "silence_ms": u64::try_from(config.silence_max.as_millis()).unwrap_or(u64::MAX),
        },
        "rates": {
            "window_s": config.rates.window.as_secs(), "per_app": config.rates.per_app, "per_user": config.rates.per_user,
        },
    });
    call.ok(AppAnswer { app: about, duration: String::new() })
}
