//! Where metadata are read from: messages a broker keeps, a web server, a folder. The verifying library asks for files
//! by URL and does not know which.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tough::{FilesystemTransport, Transport, TransportError, TransportErrorKind, TransportStream};
use url::Url;

/// Most metadata files that are held.
const MAX_FILES: usize = 512;
/// Largest metadata file that is held or read.
pub(crate) const MAX_FILE: usize = 4 << 20;
/// A server that does not answer is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A place that cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}: give a path, file:///path, http://host/path or https://host/path")]
pub struct ShelfError(String);

/// Metadata to be read.
#[derive(Clone)]
pub enum Shelf {
    /// Files that came as messages.
    Gathered(Arc<BTreeMap<String, Bytes>>),
    /// A folder with `metadata/` and `targets/`.
    Folder(PathBuf),
    /// The same below a URL.
    Web(Url, Arc<ureq::Agent>),
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gathered(files) => write!(f, "Gathered({} files)", files.len()),
            Self::Folder(folder) => write!(f, "Folder({})", folder.display()),
            Self::Web(url, _) => write!(f, "Web({url})"),
        }
    }
}

impl Shelf {
    /// Of `files` that came as messages; more or larger ones than any fleet has are left out.
    #[must_use]
    pub fn gathered(files: BTreeMap<String, Bytes>) -> Self {
        let fits = files.into_iter().filter(|(_, bytes)| bytes.len() <= MAX_FILE).take(MAX_FILES);
        Self::Gathered(Arc::new(fits.collect()))
    }

    /// At a path or URL.
    ///
    /// # Errors
    /// If it is neither.
    pub fn at(place: &str) -> Result<Self, ShelfError> {
        let Ok(url) = Url::parse(place) else { return Ok(Self::Folder(absolute(Path::new(place)))) };
        match url.scheme() {
            "http" | "https" => {
                let mut url = url;
                if !url.path().ends_with('/') {
                    url.set_path(&format!("{}/", url.path()));
                }
                Ok(Self::Web(url, Arc::new(web_agent())))
            }
            "file" => url.to_file_path().map(Self::Folder).map_err(|()| ShelfError(place.into())),
            _ => Err(ShelfError(place.into())),
        }
    }

    /// URLs of metadata and targets, as the library joins file names to them.
    #[must_use]
    pub fn bases(&self) -> (Url, Url) {
        let base = match self {
            Self::Gathered(_) => nowhere(),
            Self::Folder(folder) => Url::from_directory_path(folder).unwrap_or_else(|()| nowhere()),
            Self::Web(url, _) => url.clone(),
        };
        let below = |name: &str| base.join(name).unwrap_or_else(|_| base.clone());
        (below("metadata/"), below("targets/"))
    }
}

/// A client for mirrors.
#[must_use]
pub fn web_agent() -> ureq::Agent {
    patient(PATIENCE)
}

fn patient(patience: Duration) -> ureq::Agent {
    // Of a body, each read for itself: slow links may take as long as they need, a dead one not.
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(patience))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience));
    ureq::Agent::new_with_config(config.build())
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// No file is ever read from there.
#[allow(clippy::expect_used, reason = "a constant")]
fn nowhere() -> Url {
    Url::parse("mqtt:///fieldmark/release/").expect("a URL")
}

#[async_trait::async_trait]
impl Transport for Shelf {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        match self {
            Self::Gathered(files) => {
                let name =
                    url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
                match files.get(name) {
                    Some(bytes) => Ok(whole(bytes.clone())),
                    None => Err(TransportError::new(TransportErrorKind::FileNotFound, &url)),
                }
            }
            Self::Folder(_) => FilesystemTransport.fetch(url).await,
            Self::Web(_, agent) => {
                let agent = Arc::clone(agent);
                let asked = url.clone();
                let read = tokio::task::spawn_blocking(move || get(&agent, &asked)).await;
                let broken = |error: tokio::task::JoinError| {
                    TransportError::new_with_cause(TransportErrorKind::Other, &url, error)
                };
                read.map_err(broken)?.map(whole)
            }
        }
    }
}

fn get(agent: &ureq::Agent, url: &Url) -> Result<Bytes, TransportError> {
    let missing = |error: ureq::Error| {
        let kind = match error {
            ureq::Error::StatusCode(403 | 404 | 410) => TransportErrorKind::FileNotFound,
            _ => TransportErrorKind::Other,
        };
        TransportError::new_with_cause(kind, url, error)
    };
    let mut answer = agent.get(url.as_str()).call().map_err(missing)?;
    let body = answer.body_mut().with_config().limit(MAX_FILE as u64).read_to_vec().map_err(missing)?;
    Ok(body.into())
}

fn whole(bytes: Bytes) -> TransportStream {
    Box::pin(futures::stream::once(std::future::ready(Ok(bytes))))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_mirror_that_falls_silent_in_the_middle_of_a_file_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let silent = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthe beginning").expect("sent");
            // Until the other end is gone.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let agent = patient(Duration::from_millis(300));
        let response = agent.get(format!("http://127.0.0.1:{port}/")).call().expect("headers");
        let error = response.into_body().read_to_vec().expect_err("silence").to_string();
        assert!(error.contains("timeout"), "{error}");
        drop(agent);
        silent.join().expect("no panic");
    }
}
