//! What can be asked of the page of a node.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use super::live::{NoPicture, STREAM_TYPE, small_jpeg};
use super::{Shared, act, exposition, state};
use crate::page::assets;
use crate::page::guard::entry;

/// How long a single picture is waited for.
const PICTURE: Duration = Duration::from_secs(5);
const JSON: &str = "application/json";
const JPEG: &str = "image/jpeg";

pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(async || assets::html(assets::NODE)))
        .route("/api/entry", get(entry))
        .route("/api/state", get(now))
        .route("/api/events", get(events))
        .route("/api/command/{kind}", post(command))
        .route("/live/{camera}", get(live))
        .route("/picture/{camera}", get(picture))
        .route("/thumbnail/{camera}/{track}", get(thumbnail))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

async fn now(State(shared): State<Arc<Shared>>) -> Response {
    shared.sources.observer.look();
    ([(CONTENT_TYPE, JSON)], state::state(&shared).to_string()).into_response()
}

async fn events(State(shared): State<Arc<Shared>>) -> Response {
    match shared.bulletin.stream() {
        Some(stream) => ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response(),
        None => full(),
    }
}

fn full() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "too many are looking already (page.max_viewers)\n").into_response()
}

fn no_picture(why: NoPicture) -> Response {
    match why {
        NoPicture::Camera => (StatusCode::NOT_FOUND, "there is no such camera\n").into_response(),
        NoPicture::Full => full(),
    }
}

async fn live(State(shared): State<Arc<Shared>>, Path(camera): Path<String>) -> Response {
    match shared.live.stream(&camera) {
        Ok(stream) => ([(CONTENT_TYPE, STREAM_TYPE)], Body::from_stream(stream)).into_response(),
        Err(why) => no_picture(why),
    }
}

async fn picture(State(shared): State<Arc<Shared>>, Path(camera): Path<String>) -> Response {
    match tokio::time::timeout(PICTURE, shared.live.next(&camera)).await {
        Ok(Ok(Some(jpeg))) => ([(CONTENT_TYPE, JPEG)], jpeg).into_response(),
        Ok(Err(why)) => no_picture(why),
        Ok(Ok(None)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the camera gives no picture now\n").into_response()
        }
    }
}

async fn thumbnail(
    State(shared): State<Arc<Shared>>,
    Path((camera, track)): Path<(String, u64)>,
) -> Response {
    let found = shared.sources.observer.thumbnail(&camera, track);
    match found.map(|found| small_jpeg(&found.rgb, found.width, found.height)) {
        Some(Ok(jpeg)) => ([(CONTENT_TYPE, JPEG)], jpeg).into_response(),
        _ => (StatusCode::NOT_FOUND, "there is no such picture\n").into_response(),
    }
}

async fn command(State(shared): State<Arc<Shared>>, Path(kind): Path<String>, body: Bytes) -> Response {
    match act::ask(&shared, &kind, body.into()).await {
        Ok(reply) => {
            let text = serde_json::to_string(&reply).unwrap_or_default();
            ([(CONTENT_TYPE, JSON)], text).into_response()
        }
        Err(why) => why.answer().into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match exposition::exposition(&shared) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
