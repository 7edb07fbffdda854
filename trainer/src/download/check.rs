//! Whether bytes are a picture that can be trained on.

use std::io::Cursor;
use std::panic::catch_unwind;

use fieldmark_models::picture::Picture;
use image::ImageReader;

/// Most pixels: ten times what cameras make; a picture of more is meant to harm.
const MOST_PIXELS: u64 = 500_000_000;

/// Decodes them in full.
///
/// # Errors
/// What they are instead.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    if reader.format().is_none() {
        let text = String::from_utf8_lossy(bytes.get(..64).unwrap_or(bytes)).trim_start().to_lowercase();
        let what = if text.starts_with("<!doctype") || text.starts_with("<html") {
            "a web page"
        } else {
            "no picture"
        };
        return Err(format!("it is {what}"));
    }
    if reader.format() == Some(image::ImageFormat::Jpeg) && !ends(bytes) {
        return Err("it does not decode: it ends early".into());
    }
    let (width, height) = reader.into_dimensions().map_err(|error| format!("it does not decode: {error}"))?;
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!("it claims {width} x {height} pixels: a decompression bomb"));
    }
    // A decoder that panics on one picture must not end the fetching of all others.
    catch_unwind(|| Picture::decode(bytes).map(|_| ()).map_err(|error| error.to_string()))
        .unwrap_or_else(|_| Err("the decoder failed".into()))
        .map_err(|error| format!("it does not decode: {error}"))
}

/// Whether the marker of a JPEG's end stands in its second half: decoders paint grey what is missing. One of a thumbnail
/// stands near the beginning.
fn ends(bytes: &[u8]) -> bool {
    bytes[bytes.len() / 2..].windows(2).any(|pair| pair == [0xff, 0xd9])
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_picture_cut_anywhere_is_refused() {
        let mut bytes = Cursor::new(Vec::new());
        let noise =
            |x: u32, y: u32| image::Rgb([(x * 97 % 251) as u8, (y * 57 % 253) as u8, (x * y % 255) as u8]);
        image::RgbImage::from_fn(96, 64, noise)
            .write_to(&mut bytes, image::ImageFormat::Jpeg)
            .expect("a picture");
        let bytes = bytes.into_inner();
        assert_eq!(check(&bytes), Ok(()));
        for end in (1..20).map(|part| bytes.len() * part / 20) {
            assert!(check(&bytes[..end]).is_err(), "cut at {end} of {}", bytes.len());
        }
    }
}
