//! What the pages are made of, compiled in, and the headers that keep them to themselves.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

/// Nothing from elsewhere, nothing written into the page, nobody around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Name, type, content.
const ASSETS: &[(&str, &str, &str)] = &[
    ("look.css", CSS, include_str!("assets/look.css")),
    ("node.css", CSS, include_str!("assets/node.css")),
    ("fleet.css", CSS, include_str!("assets/fleet.css")),
    ("draw.js", SCRIPT, include_str!("assets/draw.js")),
    ("login.js", SCRIPT, include_str!("assets/login.js")),
    ("node.js", SCRIPT, include_str!("assets/node.js")),
    ("camera.js", SCRIPT, include_str!("assets/camera.js")),
    ("drift.js", SCRIPT, include_str!("assets/drift.js")),
    ("fleet.js", SCRIPT, include_str!("assets/fleet.js")),
    ("live.js", SCRIPT, include_str!("assets/live.js")),
    ("regions.js", SCRIPT, include_str!("assets/regions.js")),
    ("session.js", SCRIPT, include_str!("assets/session.js")),
    ("controls.js", SCRIPT, include_str!("assets/controls.js")),
    ("mark.svg", SVG, include_str!("assets/mark.svg")),
];

/// The page of a node.
pub(super) const NODE: &str = include_str!("assets/node.html");
/// The page of a fleet.
pub(super) const FLEET: &str = include_str!("assets/fleet.html");
/// Where the token is given.
pub(super) const LOGIN: &str = include_str!("assets/login.html");

/// A page.
pub(super) fn html(text: &'static str) -> Response {
    ([(CONTENT_TYPE, HTML)], text).into_response()
}

/// The asset called `name`.
pub(super) fn asset(name: &str, headers: &HeaderMap) -> Response {
    let Some((_, kind, content)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return (StatusCode::NOT_FOUND, "there is no such asset\n").into_response();
    };
    // Each build has its own: a browser asks again, and is told that nothing is new.
    let tag = format!("\"{}-{}\"", env!("CARGO_PKG_VERSION"), digest(content));
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let cached = (CACHE_CONTROL, "no-cache");
    ([(CONTENT_TYPE, *kind), cached, (ETAG, &tag)], *content).into_response()
}

/// A short name of a content (FNV-1a).
fn digest(content: &str) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:x}", content.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Off to where the token is given.
pub(super) fn to_login() -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, "/login")]).into_response()
}

/// Adds what every answer carries.
pub(super) fn protect(headers: &mut HeaderMap) {
    let own = HeaderName::from_static("cross-origin-resource-policy");
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (own, "same-origin"),
        (opener, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_everything_named_is_there() {
        let all = ASSETS.iter().map(|(name, _, content)| (*name, *content));
        for (name, content) in all.chain([("node.html", NODE), ("fleet.html", FLEET), ("login.html", LOGIN)])
        {
            let elsewhere = content.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{name}");
            for (at, opening) in content.match_indices("/assets/") {
                let rest = &content[at + opening.len()..];
                let named = rest.split(['"', '\'', ')']).next().unwrap_or_default();
                assert!(ASSETS.iter().any(|(known, ..)| *known == named), "{name} names {named}");
            }
            // What the policy would not let run.
            assert!(
                !content.contains("<style")
                    && !content.contains(" style=\"")
                    && !content.contains("onclick="),
                "{name}"
            );
        }
    }
}
