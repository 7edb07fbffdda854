//! Who asks, and whether it may: before any route.
//!
//! A page on loopback without a token answers to loopback's names alone: otherwise a site elsewhere could have its own
//! name point here, and its scripts would be of the same origin. Whatever changes something has to come from the page
//! itself: `Origin` is compared, and a header carries what only a page of the same origin can have read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::rate::Rate;
use super::session::{Sessions, secret};
use super::{PageError, Token, assets};
use crate::config::{Access, PageConfig, Proxy};

/// Wrong tokens an address may give at once, and how many more in a second.
const WRONG: (f64, f64) = (5.0, 5.0 / 60.0);
/// Requests at once, in seconds of the rate.
const BURST: f64 = 5.0;

/// Name of the session's cookie.
pub(super) const COOKIE_NAME: &str = "fieldmark-session";
/// Header of what changes something.
pub(super) const CSRF_HEADER: &str = "x-fieldmark-csrf";

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Who was let in.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// What changes have to carry; `None` where a token in a header has shown already that no browser was misled.
    pub(crate) csrf: Option<String>,
    /// The session, where there is one.
    pub(super) session: Option<String>,
    /// The user, as a proxy names it.
    pub(crate) user: Option<String>,
}

/// Answers who is looking, and what its changes have to carry.
pub(super) async fn entry(Extension(entry): Extension<Entry>) -> Response {
    let Entry { csrf, user, session } = entry;
    let text = serde_json::json!({ "csrf": csrf, "user": user, "session": session.is_some() }).to_string();
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// Lets in, or not.
pub(crate) struct Guard {
    token: Option<Token>,
    proxy: Option<Proxy>,
    open: bool,
    sessions: Sessions,
    /// For those who have no session of their own.
    csrf: String,
    requests: Rate,
    wrong: Rate,
}

impl Guard {
    /// As `config` says; the token is read here.
    ///
    /// # Errors
    /// If there is no usable token, or the system gives no random numbers.
    pub(crate) fn new(config: &PageConfig) -> Result<Self, PageError> {
        let (token, proxy, open) = match &config.access {
            Access::Loopback => (None, None, true),
            Access::Guarded { token, proxy } => {
                (token.as_deref().map(Token::read).transpose()?, proxy.clone(), false)
            }
        };
        let rate = config.requests_per_second;
        Ok(Self {
            token,
            proxy,
            open,
            sessions: Sessions::default(),
            csrf: secret()?,
            requests: Rate::new(rate, rate * BURST),
            wrong: Rate::new(WRONG.1, WRONG.0),
        })
    }

    /// Whether people can log in with a token.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.address == peer.to_canonical())
    }

    /// Whose requests are counted: behind the proxy, whom it names last.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let forwarded = || {
            let all = headers.get("x-forwarded-for")?.to_str().ok()?;
            all.rsplit(',').next()?.trim().parse().ok()
        };
        if self.is_proxy(peer) { forwarded().unwrap_or(peer) } else { peer }
    }

    /// Whether `given` is the token; a wrong one is counted against `client`.
    pub(super) fn admits(&self, given: &str, client: IpAddr) -> Result<(), Refused> {
        let now = Instant::now();
        if !self.wrong.would_allow(client, now) {
            return Err(Refused::TooOften);
        }
        match &self.token {
            Some(token) if token.is(given) => Ok(()),
            _ => {
                self.wrong.allows(client, now);
                tracing::warn!(%client, "somebody gave a wrong token to the page");
                Err(Refused::Unknown)
            }
        }
    }

    pub(super) fn begin_session(&self) -> Result<String, PageError> {
        self.sessions.begin(Instant::now())
    }

    pub(super) fn end_session(&self, id: &str) {
        self.sessions.end(id);
    }

    /// Who it is that asks from `peer`.
    fn entry(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Entry, Refused> {
        if self.open {
            return Ok(Entry { csrf: Some(self.csrf.clone()), session: None, user: None });
        }
        if let Some(given) = bearer(headers) {
            self.admits(given, self.client(peer, headers))?;
            return Ok(Entry { csrf: None, session: None, user: None });
        }
        if let Some(proxy) = self.proxy.as_ref().filter(|_| self.is_proxy(peer)) {
            let user = headers.get(proxy.header.as_str()).and_then(|value| value.to_str().ok());
            if let Some(user) = user.filter(|user| !user.is_empty()) {
                let (csrf, user) = (Some(self.csrf.clone()), Some(user.to_owned()));
                return Ok(Entry { csrf, session: None, user });
            }
        }
        let session = cookie(headers).ok_or(Refused::Unknown)?;
        let csrf = self.sessions.csrf(session, Instant::now()).ok_or(Refused::Unknown)?;
        Ok(Entry { csrf: Some(csrf), session: Some(session.to_owned()), user: None })
    }

    /// Whether the request comes from a page of this origin.
    fn same_origin(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
            return false;
        }
        let forwarded = text("x-forwarded-host").filter(|_| self.is_proxy(peer));
        let host = forwarded.or_else(|| text(HOST.as_str()));
        let origin = text(ORIGIN.as_str()).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        origin.is_some() && origin == host
    }
}

/// Why somebody is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nobody knows who it is.
    Unknown,
    /// It asks too often.
    TooOften,
    /// It was sent by another site.
    Elsewhere,
    /// It calls this page by a name that is not its own.
    Name,
}

impl Refused {
    pub(super) fn answer(self) -> Response {
        let (status, text) = match self {
            Self::Unknown => (
                StatusCode::UNAUTHORIZED,
                "give the token of this page: log in, or send it as Authorization: Bearer",
            ),
            Self::TooOften => (StatusCode::TOO_MANY_REQUESTS, "too many requests: wait a little"),
            Self::Elsewhere => (StatusCode::FORBIDDEN, "changes are taken from this page only"),
            Self::Name => {
                (StatusCode::MISDIRECTED_REQUEST, "without a token this page answers to localhost only")
            }
        };
        let mut response = (status, format!("{text}\n")).into_response();
        if self == Self::TooOften {
            response.headers_mut().insert("retry-after", axum::http::HeaderValue::from_static("10"));
        }
        response
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

/// Whether `host` is a name of loopback, with any port.
fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What shows nothing of the node: whoever is not let in yet needs it to log in.
fn is_public(method: &Method, uri: &Uri) -> bool {
    let path = uri.path();
    path == "/login" || (method == Method::GET && path.starts_with("/assets/"))
}

/// Stands before every route.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip());
    let outcome = judge(&guard, peer, &mut request);
    let mut response = match outcome {
        Ok(()) => next.run(request).await,
        Err(Refused::Unknown) if wants_a_page(&request) && guard.has_token() => assets::to_login(),
        Err(refused) => refused.answer(),
    };
    assets::protect(response.headers_mut());
    response
}

fn wants_a_page(request: &Request) -> bool {
    request.method() == Method::GET && request.uri().path() == "/"
}

fn judge(guard: &Guard, peer: IpAddr, request: &mut Request) -> Result<(), Refused> {
    let client = guard.client(peer, request.headers());
    if !guard.requests.allows(client, Instant::now()) {
        return Err(Refused::TooOften);
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if guard.open && !is_loopback(host) {
        return Err(Refused::Name);
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if is_public(request.method(), request.uri()) {
        if changes && !guard.same_origin(peer, request.headers()) {
            return Err(Refused::Elsewhere);
        }
        return Ok(());
    }
    let entry = guard.entry(peer, request.headers())?;
    if changes && let Some(csrf) = &entry.csrf {
        let carried = request.headers().get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        let right = carried.is_some_and(|carried| Token::new(csrf).is(carried));
        if !right || !guard.same_origin(peer, request.headers()) {
            return Err(Refused::Elsewhere);
        }
    }
    request.extensions_mut().insert(entry);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_few_names() {
        for name in ["localhost", "LocalHost:8080", "127.0.0.1:8080", "[::1]:80", "[::1]", "127.9.9.9"] {
            assert!(is_loopback(name), "{name}");
        }
        for name in
            ["", "evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"]
        {
            assert!(!is_loopback(name), "{name}");
        }
    }
}
