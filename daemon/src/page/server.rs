//! Accepts connections: so many at a time, none that takes its time to say what it wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::header::{CONNECTION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::guard::{COOKIE_NAME, Entry, guard};
use super::session::LASTS;
use super::{Guard, PageError, Peer, assets};

/// Connections beside those of viewers.
const CONNECTIONS: usize = 64;
/// Time a client has to say what it wants.
const HEADERS: Duration = Duration::from_secs(10);
/// Largest body of a request, bytes.
const BODY: usize = 32 << 10;

/// A page that is being served.
pub(crate) struct Server {
    /// Where.
    pub(crate) listen: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Closes all connections.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.task.await;
    }
}

/// Serves `routes` at `listen` to whom `guard` lets in, with `viewers` connections that may last.
///
/// # Errors
/// If the address cannot be had.
pub(crate) async fn serve(
    listen: SocketAddr,
    routes: Router,
    guarding: Arc<Guard>,
    viewers: usize,
) -> Result<Server, PageError> {
    let listener = TcpListener::bind(listen).await.map_err(|source| PageError::Listen { listen, source })?;
    let listen = listener.local_addr().unwrap_or(listen);
    let entrance = Router::new()
        .route("/login", get(async || assets::html(assets::LOGIN)).post(log_in))
        .route("/logout", post(log_out))
        .route(
            "/assets/{name}",
            get(async |Path(name): Path<String>, headers: HeaderMap| assets::asset(&name, &headers)),
        )
        .with_state(Arc::clone(&guarding));
    let routes = entrance
        .merge(routes)
        .layer(axum::middleware::from_fn(whole))
        .layer(axum::middleware::from_fn_with_state(guarding, guard));
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(accept(listener, routes, CONNECTIONS + 2 * viewers, stopped));
    Ok(Server { listen, stop, task })
}

async fn accept(listener: TcpListener, routes: Router, most: usize, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(most));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: those that are open may end.
                tracing::debug!("the page took no connection: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (routes, mut stopped) = (routes.clone(), stopped.clone());
        tokio::spawn(async move {
            let with_peer = tower_service(routes, Peer(peer));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(16 << 10);
            let connection = http.serve_connection(TokioIo::new(stream), with_peer);
            tokio::select! {
                // A client that leaves in the middle is no news.
                _ = connection => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
            drop(place);
        });
    }
}

/// The routes, told where the connection comes from.
fn tower_service(routes: Router, peer: Peer) -> TowerToHyperService<Router> {
    TowerToHyperService::new(routes.layer(Extension(peer)))
}

/// A request with its body: one that does not come in time would hold its place for ever.
async fn whole(request: Request, next: axum::middleware::Next) -> Response {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(HEADERS, axum::body::to_bytes(body, BODY)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, body.into())).await,
        Ok(Err(_)) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => (StatusCode::REQUEST_TIMEOUT, [(CONNECTION, "close")]).into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    token: String,
}

async fn log_in(
    State(guard): State<Arc<Guard>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let peer = peer.map_or([0, 0, 0, 0].into(), |peer| peer.0.0.ip());
    let client = guard.client(peer, &headers);
    let secure = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let Ok(Given { token }) = serde_json::from_slice(&body) else {
        return (StatusCode::BAD_REQUEST, "give JSON such as {\"token\":\"…\"}\n").into_response();
    };
    if let Err(refused) = guard.admits(token.trim(), client) {
        return refused.answer();
    }
    let Ok(session) = guard.begin_session() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (secure, lasts) = (if secure { "; Secure" } else { "" }, LASTS.as_secs());
    let cookie =
        format!("{COOKIE_NAME}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={lasts}{secure}");
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}

async fn log_out(State(guard): State<Arc<Guard>>, Extension(entry): Extension<Entry>) -> Response {
    if let Some(session) = &entry.session {
        guard.end_session(session);
    }
    let cookie = format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}
