//! Who we are and whom we believe: passwords, certificates.

use std::path::{Path, PathBuf};

use crate::config::{MqttConfig, Transport};

/// The system's certificates on Debian and Ubuntu.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where systemd puts what `LoadCredential=` names, and the names looked for there.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
const USERNAME: &str = "mqtt-username";
const PASSWORD: &str = "mqtt-password";
const AUTHORITY: &str = "mqtt-ca";
const CERTIFICATE: &str = "mqtt-cert";
const KEY: &str = "mqtt-key";

/// Why a broker cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// A file is not to be had.
    #[error("cannot read {key} {path}: {source}; {advice}")]
    File {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// Settings that do not go together.
    #[error("the MQTT client refuses its settings: {0}; check [mqtt]")]
    Options(String),
}

/// Whether passwords and certificates can be read, without connecting.
///
/// # Errors
/// With the first one that cannot.
pub fn check_secrets(mqtt: &MqttConfig) -> Result<(), LineError> {
    certificates(mqtt)?;
    credentials(mqtt).map(drop)
}

/// Certificates as PEM: whom to believe, and our own with its key where there is one.
pub(super) struct Certificates {
    pub(super) authority: Vec<u8>,
    pub(super) own: Option<(Vec<u8>, Vec<u8>)>,
}

/// What TLS needs; `None` where the broker is reached without.
pub(super) fn certificates(mqtt: &MqttConfig) -> Result<Option<Certificates>, LineError> {
    let folder = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    certificates_in(mqtt, folder.as_deref())
}

/// The credential called `name`. The unit names all of them; those nobody wants are empty files.
fn given(folder: Option<&Path>, name: &str) -> Option<PathBuf> {
    let path = folder?.join(name);
    std::fs::metadata(&path).is_ok_and(|file| file.len() > 0).then_some(path)
}

fn certificates_in(mqtt: &MqttConfig, folder: Option<&Path>) -> Result<Option<Certificates>, LineError> {
    if !matches!(mqtt.url.transport, Transport::Tls | Transport::SecureWebSocket) {
        return Ok(None);
    }
    let authority = match mqtt.ca_file.clone().or_else(|| given(folder, AUTHORITY)) {
        Some(path) => read("mqtt.ca_file", &path, "give a file of PEM certificates")?,
        None => read(
            "the system's certificates",
            Path::new(SYSTEM_CERTIFICATES),
            "install the package ca-certificates, or set mqtt.ca_file",
        )?,
    };
    let certificate = mqtt.cert_file.clone().or_else(|| given(folder, CERTIFICATE));
    let key = mqtt.key_file.clone().or_else(|| given(folder, KEY));
    let own = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((
            read("mqtt.cert_file", &certificate, "give this node's certificate in PEM")?,
            read("mqtt.key_file", &key, "give the key of mqtt.cert_file in PEM")?,
        )),
        (None, None) => None,
        (Some(_), None) => {
            return Err(half("a certificate", "its key: set mqtt.key_file, or fill the credential mqtt-key"));
        }
        (None, Some(_)) => {
            return Err(half(
                "a key",
                "its certificate: set mqtt.cert_file, or fill the credential mqtt-cert",
            ));
        }
    };
    Ok(Some(Certificates { authority, own }))
}

/// User name and password: from the configuration, or as credentials from systemd.
pub(super) fn credentials(mqtt: &MqttConfig) -> Result<Option<(String, String)>, LineError> {
    let folder = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    credentials_in(mqtt, folder.as_deref())
}

fn credentials_in(mqtt: &MqttConfig, folder: Option<&Path>) -> Result<Option<(String, String)>, LineError> {
    let given = |name| given(folder, name);
    let advice = "put it into the file's first line";
    let username = match (&mqtt.username, given(USERNAME)) {
        (Some(username), _) => username.clone(),
        (None, Some(path)) => first_line("the credential mqtt-username", &path, advice)?,
        (None, None) if mqtt.password_file.is_some() || given(PASSWORD).is_some() => {
            return Err(half(
                "a password",
                "a user name: set mqtt.username, or fill the credential mqtt-username",
            ));
        }
        (None, None) => return Ok(None),
    };
    let password = match (&mqtt.password_file, given(PASSWORD)) {
        (Some(path), _) => first_line("mqtt.password_file", path, advice)?,
        (None, Some(path)) => first_line("the credential mqtt-password", &path, advice)?,
        (None, None) => String::new(),
    };
    Ok(Some((username, password)))
}

fn half(given: &str, missing: &str) -> LineError {
    LineError::Options(format!("there is {given} and not {missing}"))
}

fn first_line(key: &'static str, path: &Path, advice: &'static str) -> Result<String, LineError> {
    let text = read(key, path, advice)?;
    Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned())
}

fn read(key: &'static str, path: &Path, advice: &'static str) -> Result<Vec<u8>, LineError> {
    std::fs::read(path).map_err(|source| LineError::File { key, path: path.into(), source, advice })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn mqtt(lines: &str) -> MqttConfig {
        let text = format!(
            "node = \"n\"\n[mqtt]\nurl = \"mqtt://h\"\n{lines}\n[outbox]\ndurable = false\n\
             [camera.c]\nsource = \"files\"\nfolder = \"x\"\n"
        );
        load_text(&text).expect("a configuration").mqtt
    }

    #[test]
    fn credentials_of_systemd_are_used_where_the_configuration_has_none() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(USERNAME), "pond\n").expect("write");
        std::fs::write(folder.path().join(PASSWORD), "secret\nnot this\n").expect("write");
        let found = |lines| credentials_in(&mqtt(lines), Some(folder.path())).expect("credentials");
        assert_eq!(found(""), Some(("pond".into(), "secret".into())));
        assert_eq!(found("username = \"me\""), Some(("me".into(), "secret".into())));
        assert_eq!(credentials_in(&mqtt(""), None).expect("none"), None);
    }

    #[test]
    fn half_of_a_pair_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(PASSWORD), "secret\n").expect("write");
        let error = credentials_in(&mqtt(""), Some(folder.path())).expect_err("half").to_string();
        assert!(
            error.contains("a password and not a user name") && error.contains("mqtt-username"),
            "{error}"
        );
        assert!(credentials_in(&mqtt("username = \"me\""), Some(folder.path())).is_ok());
    }

    #[test]
    fn empty_credentials_are_none_and_certificates_come_as_credentials_too() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [USERNAME, PASSWORD, AUTHORITY, CERTIFICATE, KEY] {
            std::fs::write(folder.path().join(name), "").expect("write");
        }
        assert_eq!(credentials_in(&mqtt(""), Some(folder.path())).expect("none"), None);
        let secure = load_text(
            "node = \"n\"\n[mqtt]\nurl = \"mqtts://h\"\n[outbox]\ndurable = false\n\
             [camera.c]\nsource = \"files\"\nfolder = \"x\"\n",
        )
        .expect("a configuration")
        .mqtt;
        for name in [AUTHORITY, CERTIFICATE, KEY] {
            std::fs::write(folder.path().join(name), name).expect("write");
        }
        let found = certificates_in(&secure, Some(folder.path())).expect("certificates").expect("TLS");
        assert_eq!(found.authority, AUTHORITY.as_bytes());
        assert_eq!(found.own, Some((CERTIFICATE.into(), KEY.into())));
    }

    #[test]
    fn a_password_file_that_is_not_there_is_named() {
        let error = credentials_in(&mqtt("username = \"me\"\npassword_file = \"/nowhere\""), None);
        let error = error.expect_err("a refusal").to_string();
        assert!(error.contains("mqtt.password_file /nowhere") && error.contains("first line"), "{error}");
    }
}
