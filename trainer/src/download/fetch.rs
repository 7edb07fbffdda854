//! One request, and what its answer means.

use std::time::Duration;

use jiff::Timestamp;
use ureq::Agent;

use super::Settings;

/// Longest pause that a host may ask for.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// Pause of a host that asks for one without saying how long.
const USUAL_REST: Duration = Duration::from_secs(10);

pub(super) struct Fetcher {
    agent: Agent,
    max_bytes: u64,
}

/// What came of a request.
pub(super) enum Fetched {
    Bytes(Vec<u8>),
    /// No other request will fare better.
    Never(String),
    /// Another may; the host asks for a pause.
    Later {
        reason: String,
        host_pause: Option<Duration>,
    },
}

impl Fetcher {
    pub(super) fn new(settings: &Settings) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .max_redirects(5)
            .user_agent(concat!("fieldmark-trainer/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.new_agent(), max_bytes: settings.max_bytes }
    }

    pub(super) fn fetch(&self, url: &str) -> Fetched {
        let later = |reason: String| Fetched::Later { reason, host_pause: None };
        let mut response = match self.agent.get(url).call() {
            Ok(response) => response,
            Err(error @ (ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects)) => {
                return Fetched::Never(error.to_string());
            }
            Err(error) => return later(error.to_string()),
        };
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let status = response.status().as_u16();
        match status {
            200 => {}
            429 | 503 => {
                let pause = header("retry-after").and_then(|text| rest(&text, Timestamp::now()));
                let host_pause = Some(pause.unwrap_or(USUAL_REST).min(LONGEST_REST));
                return Fetched::Later { reason: format!("status {status}"), host_pause };
            }
            408 | 425 | 500..=599 => return later(format!("status {status}")),
            _ => return Fetched::Never(format!("status {status}")),
        }
        let expected = header("content-length").and_then(|text| text.parse::<u64>().ok());
        if expected.is_some_and(|bytes| bytes > self.max_bytes) {
            return Fetched::Never(format!("it has more than {} bytes", self.max_bytes));
        }
        match response.body_mut().with_config().limit(self.max_bytes).read_to_vec() {
            Ok(bytes) if expected.is_some_and(|expected| expected != bytes.len() as u64) => {
                later("it ended early".into())
            }
            Ok(bytes) => Fetched::Bytes(bytes),
            Err(ureq::Error::BodyExceedsLimit(limit)) => {
                Fetched::Never(format!("it has more than {limit} bytes"))
            }
            Err(error) => later(error.to_string()),
        }
    }
}

/// The pause that `Retry-After` asks for: seconds, or a date.
fn rest(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_says_how_long_in_seconds_or_by_a_date() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().expect("a time");
        assert_eq!(rest(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(rest("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(rest("Wed, 21 Oct 2015 07:26:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(rest("soon", now), None);
    }
}
