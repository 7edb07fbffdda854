//! Which library goes with which shim. TensorRT itself does not refuse a caller of another major version: its tables of
//! virtual functions are read at the wrong places and something else is called.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A line of TensorRT in which tables of virtual functions only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flavour {
    /// TensorRT for RTX, which counts anew.
    pub rtx: bool,
    /// Major version.
    pub major: u32,
}

impl Flavour {
    /// Names of the library and of its ONNX parser.
    pub(super) fn libraries(self) -> [String; 2] {
        let major = self.major;
        if self.rtx {
            [format!("libtensorrt_rtx.so.{major}"), format!("libtensorrt_onnxparser_rtx.so.{major}")]
        } else {
            [format!("libnvinfer.so.{major}"), format!("libnvonnxparser.so.{major}")]
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TensorRT{} {}", if self.rtx { "-RTX" } else { "" }, self.major)
    }
}

/// Version of a library, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Major, minor, patch and build number; the last is 0 where a library does not tell it.
    pub parts: [u32; 4],
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.parts;
        write!(f, "{major}.{minor}.{patch}")?;
        if build > 0 { write!(f, ".{build}") } else { Ok(()) }
    }
}

impl Version {
    /// Of `getInferLibVersion`: 8502 is 8.5.2, 101600 is 10.16.0.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        let base = if number >= 90_000 { 10_000 } else { 1000 };
        Self { parts: [number / base, number % base / 100, number % 100, 0] }
    }

    /// Whether a shim for `flavour` may speak to a library of this version.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn check(&self, flavour: Flavour) -> Result<(), String> {
        let [major, minor, ..] = self.parts;
        if !flavour.rtx && (major < 8 || major == 8 && minor < 5) {
            return Err(format!(
                "TensorRT {self} has no enqueueV3, which came with 8.5: JetPack 4 is not supported, install JetPack \
                 5.1 or newer"
            ));
        }
        if major != flavour.major {
            return Err(format!(
                "the library says it is version {self}, this build speaks to {flavour}: build fieldmark with that \
                 version's headers"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Flavour = Flavour { rtx: false, major: 10 };

    #[test]
    fn versions_of_both_ways_of_counting_are_read() {
        assert_eq!(Version::from_number(8502).to_string(), "8.5.2");
        assert_eq!(Version::from_number(8201).to_string(), "8.2.1");
        assert_eq!(Version::from_number(101_601).to_string(), "10.16.1");
        assert_eq!(Version::from_number(110_400).to_string(), "11.4.0");
    }

    #[test]
    fn a_library_of_another_major_version_and_jetpack_4_are_refused() {
        let refusal = |number, flavour| Version::from_number(number).check(flavour).expect_err("a refusal");
        assert!(Version::from_number(100_300).check(TEN).is_ok());
        assert!(refusal(110_400, TEN).contains("version 11.4.0, this build speaks to TensorRT 10"));
        assert!(refusal(8201, Flavour { rtx: false, major: 8 }).contains("JetPack 4 is not supported"));
        assert!(refusal(8502, TEN).contains("8.5.2"));
    }
}
