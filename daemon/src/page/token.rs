//! The secret that lets people in.

use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use super::PageError;

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;

/// A token, kept as its digest, so that neither its length nor its letters show in the time a comparison takes.
#[derive(Clone)]
pub(crate) struct Token([u8; 32]);

fn digest_of(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    let digest = digest(&SHA256, text.as_bytes());
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(byte, &digested)| *byte = digested);
    bytes
}

impl Token {
    /// The first line of the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or is too short.
    pub(crate) fn read(path: &Path) -> Result<Self, PageError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| PageError::TokenFile { path: path.into(), source })?;
        let token = text.lines().next().unwrap_or_default().trim();
        if token.len() < SHORTEST {
            return Err(PageError::TokenShort { path: path.into() });
        }
        Ok(Self::new(token))
    }

    pub(crate) fn new(text: &str) -> Self {
        Self(digest_of(text))
    }

    /// Whether `text` is it.
    pub(crate) fn is(&self, text: &str) -> bool {
        verify_slices_are_equal(&self.0, &digest_of(text)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_file_s_first_line_and_long_enough() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "0123456789abcdef \nmore\n").expect("write");
        let token = Token::read(&path).expect("a token");
        assert!(token.is("0123456789abcdef") && !token.is("0123456789abcdef ") && !token.is(""));
        std::fs::write(&path, "0123456789abcde\n").expect("write");
        assert!(matches!(Token::read(&path), Err(PageError::TokenShort { .. })));
        assert!(matches!(Token::read(&folder.path().join("none")), Err(PageError::TokenFile { .. })));
    }
}
