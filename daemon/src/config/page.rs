//! Who may look at the page, and from where.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::raw::RawPage;
use super::refusal::{ConfigError, number, refuse, whole};

/// The name of the credential that holds the token where no file is configured.
const CREDENTIAL: &str = "page-token";

/// What guards the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Nothing but that it listens on loopback: whoever is on this machine may look.
    Loopback,
    /// A token, or the word of a reverse proxy; where both are configured, either will do.
    Guarded {
        /// File whose first line is the token.
        token: Option<PathBuf>,
        /// Who else is believed.
        proxy: Option<Proxy>,
    },
}

/// A reverse proxy that has asked people who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Lower-case name of the header that names the user.
    pub header: String,
    /// Where the proxy connects from; nobody else is believed.
    pub address: IpAddr,
}

/// The page.
#[derive(Debug, Clone, PartialEq)]
pub struct PageConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Who may look.
    pub access: Access,
    /// Nothing can be changed on it.
    pub read_only: bool,
    /// Least time between two live pictures of a camera.
    pub live_every: Duration,
    /// Live pictures are at least so wide where the camera gives it, and less than twice as wide.
    pub live_width: u32,
    /// Most live pictures and streams at one time.
    pub max_viewers: usize,
    /// Requests of one address in a second.
    pub requests_per_second: f64,
}

/// The page as `raw` says; `None` where it is to listen nowhere.
pub(crate) fn page(raw: RawPage) -> Result<Option<PageConfig>, ConfigError> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    page_with(raw, folder.as_deref())
}

fn page_with(raw: RawPage, credentials: Option<&Path>) -> Result<Option<PageConfig>, ConfigError> {
    let (live_fps, requests_per_second) =
        (number("page.live_fps", raw.live_fps)?, number("page.requests_per_s", raw.requests_per_s)?);
    let (live_width, max_viewers) =
        (whole("page.live_width", raw.live_width)?, whole("page.max_viewers", raw.max_viewers)?);
    let Some(text) = raw.listen else { return Ok(None) };
    let listen = match text.parse::<SocketAddr>() {
        Ok(listen) if listen.port() > 0 => listen,
        _ => {
            let rule = "give address:port, such as 127.0.0.1:8080, or 0.0.0.0:8080 for every interface";
            return refuse("page.listen", format!("{text:?}"), rule);
        }
    };
    let proxy = proxy(raw.proxy_header, raw.proxy.as_deref())?;
    // The unit names the credential at every start; where nobody wants it, it is an empty file.
    let credential = credentials.map(|folder| folder.join(CREDENTIAL));
    let credential = credential.filter(|path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0));
    let token = raw.token_file.or(credential);
    let access = match (token, proxy) {
        (None, None) if listen.ip().is_loopback() => Access::Loopback,
        (None, None) => {
            let rule = "give page.token_file, the credential page-token (which only the service sees) or page.proxy_header, \
                        or listen on 127.0.0.1: a page without access control is not shown to a network";
            return refuse("page.listen", format!("{text:?}"), rule);
        }
        (token, proxy) => Access::Guarded { token, proxy },
    };
    Ok(Some(PageConfig {
        listen,
        access,
        read_only: raw.read_only.unwrap_or(false),
        live_every: Duration::from_secs_f64(1.0 / live_fps),
        live_width,
        max_viewers: max_viewers as usize,
        requests_per_second,
    }))
}

fn proxy(header: Option<String>, address: Option<&str>) -> Result<Option<Proxy>, ConfigError> {
    let Some(header) = header else {
        return match address {
            Some(address) => refuse(
                "page.proxy",
                format!("{address:?}"),
                "remove it, or say with page.proxy_header how the proxy names users",
            ),
            None => Ok(None),
        };
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if header.is_empty() || !header.chars().all(fits) {
        let rule = "give the name of a header, such as \"X-Remote-User\"";
        return refuse("page.proxy_header", format!("{header:?}"), rule);
    }
    let address = match address.map(str::parse) {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(Ok(address)) => address,
        Some(Err(_)) => {
            let rule = "give the address the proxy connects from, such as \"127.0.0.1\"";
            return refuse("page.proxy", format!("{:?}", address.unwrap_or_default()), rule);
        }
    };
    Ok(Some(Proxy { header: header.to_ascii_lowercase(), address }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(listen: &str) -> RawPage {
        RawPage { listen: Some(listen.into()), ..RawPage::default() }
    }

    #[test]
    fn a_page_without_access_control_is_not_shown_to_a_network() {
        for wide in ["0.0.0.0:8080", "192.168.1.5:8080", "[::]:8080"] {
            let refusal = page_with(listening(wide), None).expect_err("a refusal");
            assert!(refusal.to_string().contains("without access control"), "{refusal}");
            let token = RawPage { token_file: Some("/t".into()), ..listening(wide) };
            assert!(page_with(token, None).is_ok());
            let header = RawPage { proxy_header: Some("X-User".into()), ..listening(wide) };
            assert!(page_with(header, None).is_ok());
        }
        for near in ["127.0.0.1:8080", "127.8.8.8:1", "[::1]:8080"] {
            let page = page_with(listening(near), None).expect("good").expect("a page");
            assert_eq!(page.access, Access::Loopback);
        }
        assert_eq!(page_with(RawPage::default(), None), Ok(None));
    }

    #[test]
    fn a_credential_is_a_token_unless_it_is_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(CREDENTIAL), "").expect("write");
        assert!(page_with(listening("0.0.0.0:80"), Some(folder.path())).is_err());
        std::fs::write(folder.path().join(CREDENTIAL), "a token").expect("write");
        assert!(page_with(listening("0.0.0.0:80"), Some(folder.path())).is_ok());
    }

    #[test]
    fn refusals_say_what_to_write_instead() {
        let refusal = |raw| page_with(raw, None).expect_err("a refusal").to_string();
        insta::assert_snapshot!(refusal(listening("8080")), @r#"page.listen = "8080": give address:port, such as 127.0.0.1:8080, or 0.0.0.0:8080 for every interface"#);
        let proxy = |header: Option<&str>, address: Option<&str>| RawPage {
            proxy_header: header.map(Into::into),
            proxy: address.map(Into::into),
            ..listening("127.0.0.1:8080")
        };
        insta::assert_snapshot!(refusal(proxy(None, Some("10.0.0.1"))), @r#"page.proxy = "10.0.0.1": remove it, or say with page.proxy_header how the proxy names users"#);
        insta::assert_snapshot!(refusal(proxy(Some("a b"), None)), @r#"page.proxy_header = "a b": give the name of a header, such as "X-Remote-User""#);
        insta::assert_snapshot!(refusal(proxy(Some("X-User"), Some("here"))), @r#"page.proxy = "here": give the address the proxy connects from, such as "127.0.0.1""#);
    }
}
