//! A picture in memory, decoded from bytes that nobody vouches for.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage, RgbaImage};

/// The grey on which transparent pixels are laid: the middle of the byte range, so that the background of a
/// cut-out is "no information" to a network whose inputs are centred.
pub const MID_GREY: u8 = 128;

/// Longest side that is decoded, in pixels.
const MAX_SIDE: u32 = 32_768;

/// Most memory a decoder may ask for: a 100-megapixel RGBA picture with some working room.
const MAX_DECODER_BYTES: u64 = 512 << 20;

/// Why bytes did not become a picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Not a picture, damaged, or larger than is decoded.
    #[error(
        "cannot decode the picture: {0}; give a BMP, GIF, JPEG, PNG, PNM, TIFF or WebP file of at most 32768 pixels a side"
    )]
    Decode(#[from] image::ImageError),
    /// Pixels and size do not agree.
    #[error("{found} bytes are not a picture of {width} x {height} RGB pixels")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes given.
        found: usize,
    },
}

/// An RGB picture: 8 bits a channel, rows from the top, no padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Picture {
    /// Wraps pixels `[height, width, 3]`.
    ///
    /// # Errors
    /// If the length does not fit the size, or a side is zero.
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, PictureError> {
        let needed = (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(3));
        if width == 0 || height == 0 || needed != Some(rgb.len()) {
            return Err(PictureError::Size { width, height, found: rgb.len() });
        }
        Ok(Self { width, height, rgb })
    }

    /// Decodes a picture file: EXIF orientation applied, 16-bit and grey widened or narrowed to 8-bit RGB,
    /// alpha laid on [`MID_GREY`].
    ///
    /// # Errors
    /// If the bytes are no picture in a known format, damaged, or too large.
    pub fn decode(bytes: &[u8]) -> Result<Self, PictureError> {
        let decoded = decode_upright(bytes)?;
        if decoded.color().has_alpha() {
            Self::on_mid_grey(&decoded.into_rgba8())
        } else {
            Self::from_image(decoded.into_rgb8())
        }
    }

    /// Wraps an image.
    ///
    /// # Errors
    /// If a side is zero.
    pub fn from_image(image: RgbImage) -> Result<Self, PictureError> {
        let (width, height) = image.dimensions();
        Self::from_rgb(width, height, image.into_raw())
    }

    /// A cut-out laid on [`MID_GREY`].
    ///
    /// # Errors
    /// If a side is zero.
    pub fn on_mid_grey(cutout: &RgbaImage) -> Result<Self, PictureError> {
        Self::from_rgb(cutout.width(), cutout.height(), on_mid_grey(cutout))
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Pixels `[height, width, 3]`.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The pixels, to be written over and handed back to [`Self::from_rgb`] without a new allocation.
    #[must_use]
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }
}

/// Decodes a picture file with its alpha channel kept (opaque where the file has none), upright.
///
/// # Errors
/// As [`Picture::decode`].
pub fn decode_cutout(bytes: &[u8]) -> Result<RgbaImage, PictureError> {
    Ok(decode_upright(bytes)?.into_rgba8())
}

fn decode_upright(bytes: &[u8]) -> Result<DynamicImage, PictureError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(image::ImageError::from)?;
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // The decoder asks for no more than that beside the pixels; they themselves are asked for here.
    limits.reserve(decoder.total_bytes())?;
    // A picture whose EXIF block is damaged is still a picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut decoded = DynamicImage::from_decoder(decoder)?;
    decoded.apply_orientation(orientation);
    Ok(decoded)
}

fn on_mid_grey(rgba: &RgbaImage) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for pixel in rgba.pixels() {
        let [red, green, blue, alpha] = pixel.0.map(u16::from);
        let lay = |channel: u16| {
            let mixed = channel * alpha + u16::from(MID_GREY) * (255 - alpha);
            // A weighted mean of two bytes is a byte.
            ((mixed + 127) / 255) as u8
        };
        rgb.extend([lay(red), lay(green), lay(blue)]);
    }
    rgb
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgba};

    use super::*;

    fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).expect("encode");
        bytes.into_inner()
    }

    #[test]
    fn transparent_pixels_become_mid_grey() {
        let mut cutout = RgbaImage::from_pixel(2, 1, Rgba([255, 0, 0, 255]));
        cutout.put_pixel(1, 0, Rgba([255, 0, 0, 0]));
        let picture = Picture::decode(&encode(&cutout.into(), ImageFormat::Png)).expect("decode");
        assert_eq!(picture.rgb(), [255, 0, 0, 128, 128, 128]);
    }

    #[test]
    fn sixteen_bits_and_grey_become_eight_bit_rgb() {
        let deep = DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(3, 2, image::Luma([0x8000])));
        let picture = Picture::decode(&encode(&deep, ImageFormat::Png)).expect("decode");
        assert_eq!((picture.width(), picture.height()), (3, 2));
        assert!(picture.rgb().iter().all(|&byte| byte == 128));
    }

    /// A JPEG whose EXIF block says "turn me 90 degrees clockwise".
    fn turned_jpeg() -> Vec<u8> {
        let upright =
            DynamicImage::ImageRgb8(image::ImageBuffer::from_pixel(16, 8, image::Rgb([10, 20, 30])));
        let jpeg = encode(&upright, ImageFormat::Jpeg);
        let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
        exif.extend(b"\0\x06\0\0\0\0\0\0");
        [&jpeg[..2], &exif, &jpeg[2..]].concat()
    }

    #[test]
    fn exif_orientation_is_applied() {
        let picture = Picture::decode(&turned_jpeg()).expect("decode");
        assert_eq!((picture.width(), picture.height()), (8, 16));
    }

    #[test]
    fn truncated_and_foreign_bytes_are_errors() {
        let jpeg = turned_jpeg();
        assert!(Picture::decode(&jpeg[..jpeg.len() / 3]).is_err());
        assert!(Picture::decode(b"no picture at all").is_err());
        assert!(Picture::decode(b"").is_err());
    }

    #[test]
    fn a_small_file_that_claims_to_be_huge_is_refused() {
        // A PNG header that announces 60000 x 60000 pixels.
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\x06\0\0\0".to_vec();
        png.extend([0; 64]);
        assert!(Picture::decode(&png).is_err());
    }

    #[test]
    fn sides_that_are_allowed_do_not_allow_more_memory() {
        // A PNG header that announces 20000 x 20000 pixels of 16 bits and four channels, and an empty picture.
        let header = b"IHDR\0\0\x4e\x20\0\0\x4e\x20\x10\x06\0\0\0";
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        for chunk in [&header[..], b"IDAT", b"IEND"] {
            png.extend((chunk.len() as u32 - 4).to_be_bytes());
            png.extend(chunk);
            png.extend(crc(chunk).to_be_bytes());
        }
        let error = Picture::decode(&png).expect_err("too large").to_string();
        assert!(error.to_lowercase().contains("memory") || error.to_lowercase().contains("limit"), "{error}");
    }

    /// Of a PNG's chunk (ISO 3309).
    fn crc(bytes: &[u8]) -> u32 {
        let step = |crc: u32, &byte: &u8| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        };
        !bytes.iter().fold(!0, step)
    }
}
