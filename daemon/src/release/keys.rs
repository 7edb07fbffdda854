//! Ed25519 keys as files: the private one as PEM (PKCS #8, as `openssl genpkey -algorithm ed25519` writes it), the
//! public one as the JSON that stands in `root.json`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::{Ed25519Key, Ed25519Scheme, Key};

const PEM_TAG: &str = "PRIVATE KEY";

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} key {path}: {reason}")]
pub struct KeyError {
    attempt: &'static str,
    path: PathBuf,
    reason: String,
}

impl KeyError {
    fn new(attempt: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self { attempt, path: path.into(), reason: reason.to_string() }
    }
}

/// A key that signs. It never leaves the machine it lies on.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// A key that signatures are checked with, and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The key as it stands in `root.json`.
    pub key: Key,
    /// SHA-256 of its canonical JSON.
    pub id: Decoded<Hex>,
}

impl PublicKey {
    fn new(key: Key) -> Result<Self, String> {
        let id = key.key_id().map_err(|error| error.to_string())?;
        Ok(Self { key, id })
    }

    /// Reads the public half from a file of either half.
    ///
    /// # Errors
    /// If it is neither.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read(path).map_err(|error| KeyError::new("read", path, &error))?;
        if text.first() != Some(&b'{') {
            return SigningKey::parse(&text).map(|key| key.public).map_err(|reason| {
                KeyError::new("use", path, &format!("{reason}; give a private key in PEM, or its .pub.json"))
            });
        }
        let key = serde_json::from_slice(&text).map_err(|error| KeyError::new("understand", path, &error))?;
        Self::new(key).map_err(|reason| KeyError::new("use", path, &reason))
    }

    /// The id as text.
    #[must_use]
    pub fn id(&self) -> String {
        hex(self.id.as_ref())
    }
}

impl SigningKey {
    /// A new key, written to `path` (readable by its owner alone), its public half beside it as `PATH.pub.json`.
    ///
    /// # Errors
    /// If `path` is there already or cannot be written.
    pub fn generate(path: &Path) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|error| KeyError::new("make", path, &error))?;
        let document = pair.to_pkcs8().map_err(|error| KeyError::new("make", path, &error))?;
        let text = pem::encode(&pem::Pem::new(PEM_TAG, document.as_ref()));
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| KeyError::new("write", path, &error))?;
        let key = Self::of(pair).map_err(|reason| KeyError::new("make", path, &reason))?;
        let public = public_path(path);
        let json = serde_json::to_string_pretty(&key.public.key).unwrap_or_default();
        std::fs::write(&public, json + "\n").map_err(|error| KeyError::new("write", &public, &error))?;
        Ok(key)
    }

    /// Reads the private key at `path`.
    ///
    /// # Errors
    /// If it is no Ed25519 key in PEM.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read(path).map_err(|error| KeyError::new("read", path, &error))?;
        Self::parse(&text).map_err(|reason| {
            KeyError::new("use", path, &format!("{reason}; give an Ed25519 private key in PEM (PKCS #8)"))
        })
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let pem = pem::parse(text).map_err(|error| error.to_string())?;
        if pem.tag() != PEM_TAG {
            return Err(format!("this is a {}", pem.tag()));
        }
        // OpenSSL leaves the public half out.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pem.contents());
        Self::of(pair.map_err(|error| error.to_string())?)
    }

    fn of(pair: Ed25519KeyPair) -> Result<Self, String> {
        let keyval = Ed25519Key {
            public: pair.public_key().as_ref().to_vec().into(),
            _extra: std::collections::HashMap::new(),
        };
        let key =
            Key::Ed25519 { keyval, scheme: Ed25519Scheme::Ed25519, _extra: std::collections::HashMap::new() };
        Ok(Self { pair, public: PublicKey::new(key)? })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// Where the public half of the key at `path` goes.
fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub.json");
    name.into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_again_from_either_half_and_never_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("root.pem");
        let made = SigningKey::generate(&path).expect("a key");
        assert_eq!(SigningKey::read(&path).expect("read").public(), made.public());
        assert_eq!(&PublicKey::read(&path).expect("private"), made.public());
        assert_eq!(&PublicKey::read(&public_path(&path)).expect("public"), made.public());
        assert!(SigningKey::generate(&path).is_err());
        let error = SigningKey::read(&public_path(&path)).err().expect("a refusal").to_string();
        assert!(error.contains("root.pem.pub.json") && error.contains("private key in PEM"), "{error}");
    }

    #[test]
    fn a_key_of_openssl_is_taken() {
        // `openssl genpkey -algorithm ed25519`, the test key of RFC 8410.
        let text = "-----BEGIN PRIVATE KEY-----\n\
                    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                    -----END PRIVATE KEY-----\n";
        let key = SigningKey::parse(text.as_bytes()).expect("a key");
        assert_eq!(key.sign(b"x").len(), 64);
    }
}
