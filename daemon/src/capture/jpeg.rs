//! Motion JPEG: what can be seen of a frame without decoding it, and decoding it as small as the views allow.

use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor};

use super::layout::FrameFlaw;

/// What cheap cameras do in every frame and no pixel suffers from.
const HARMLESS: &str = "extraneous bytes before marker";

/// Reads JPEGs of one camera. Tables live on between frames, so each camera has its own.
///
/// Frames without Huffman tables, as the Motion JPEG of many cameras is, get the standard's (ITU-T T.81 annex K):
/// the library sees to that.
pub struct JpegReader {
    decompressor: Decompressor,
}

impl JpegReader {
    /// # Errors
    /// If there is no memory for it.
    pub fn new() -> Result<Self, FrameFlaw> {
        Ok(Self { decompressor: Decompressor::new().map_err(flaw)? })
    }

    /// Begins anew after an error. The library stays inside the broken header, and would answer the next question
    /// with what the last good frame said.
    fn recover<T>(&mut self, result: Result<T, FrameFlaw>) -> Result<T, FrameFlaw> {
        if let Err(FrameFlaw::Jpeg(_)) = result {
            *self = Self::new()?;
        }
        result
    }

    /// Whether `bytes` look like a whole JPEG of `agreed` width and height. Entropy-coded data is not read.
    ///
    /// # Errors
    /// If they do not.
    pub fn check(&mut self, bytes: &[u8], agreed: (u32, u32)) -> Result<(), FrameFlaw> {
        let header = self.decompressor.read_header(bytes).map_err(flaw);
        let header = self.recover(header)?;
        let found = (header.width, header.height);
        if found != (agreed.0 as usize, agreed.1 as usize) {
            return Err(FrameFlaw::Size { found, agreed });
        }
        if header.is_lossless {
            return Err(FrameFlaw::Jpeg("lossless JPEG, which no camera sends".into()));
        }
        // Drivers pad frames with zeros up to a whole packet.
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        if bytes.get(..end).is_some_and(|bytes| bytes.ends_with(&[0xff, 0xd9])) {
            Ok(())
        } else {
            Err(FrameFlaw::Truncated(bytes.len()))
        }
    }

    /// Decodes `bytes`, `agreed` pixels large, into `rgb` `[height, width, 3]` whatever that held, each side
    /// divided by `reduction` (1, 2, 4 or 8) and rounded up. The size is returned.
    ///
    /// # Errors
    /// If they are no such JPEG, or damaged.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        agreed: (u32, u32),
        reduction: u32,
        rgb: &mut Vec<u8>,
    ) -> Result<(u32, u32), FrameFlaw> {
        self.draw(bytes, agreed, reduction, PixelFormat::RGB, rgb)
    }

    /// The same in grey and at an eighth of the size, which costs little more than reading the bytes:
    /// `[height, width]`.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn glance(
        &mut self,
        bytes: &[u8],
        agreed: (u32, u32),
        grey: &mut Vec<u8>,
    ) -> Result<(u32, u32), FrameFlaw> {
        self.draw(bytes, agreed, 8, PixelFormat::GRAY, grey)
    }

    fn draw(
        &mut self,
        bytes: &[u8],
        agreed: (u32, u32),
        reduction: u32,
        format: PixelFormat,
        pixels: &mut Vec<u8>,
    ) -> Result<(u32, u32), FrameFlaw> {
        self.check(bytes, agreed)?;
        let factor = match reduction {
            1 => ScalingFactor::ONE,
            2 => ScalingFactor::ONE_HALF,
            4 => ScalingFactor::ONE_QUARTER,
            _ => ScalingFactor::ONE_EIGHTH,
        };
        if self.decompressor.scaling_factor() != factor {
            self.decompressor.set_scaling_factor(factor).map_err(flaw)?;
        }
        let (width, height) = (factor.scale(agreed.0 as usize), factor.scale(agreed.1 as usize));
        let pitch = width * format.size();
        pixels.resize(pitch * height, 0);
        let image = Image { pixels: pixels.as_mut_slice(), width, pitch, height, format };
        match self.decompressor.decompress(bytes, image).map_err(flaw) {
            // The library reports a warning as an error after having written the whole picture.
            Err(FrameFlaw::Jpeg(reason)) if reason.contains(HARMLESS) => {}
            decoded => self.recover(decoded)?,
        }
        let reduce = |side: u32| side.div_ceil(factor.denom() as u32);
        Ok((reduce(agreed.0), reduce(agreed.1)))
    }
}

fn flaw(error: turbojpeg::Error) -> FrameFlaw {
    FrameFlaw::Jpeg(match error {
        turbojpeg::Error::TurboJpegError(reason) => reason,
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: (u32, u32) = (64, 48);

    /// Waves: neither flat nor noise.
    fn wave(x: u32, y: u32) -> [u8; 3] {
        let at =
            |a: u32, b: u32| (128.0 + 100.0 * (f64::from(a) / 9.0).sin() * (f64::from(b) / 7.0).cos()) as u8;
        [at(x, y), at(y, x), at(x + y, y)]
    }

    fn jpeg() -> Vec<u8> {
        let picture = image::RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| image::Rgb(wave(x, y)));
        let mut bytes = std::io::Cursor::new(Vec::new());
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90);
        picture.write_with_encoder(encoder).expect("a JPEG");
        bytes.into_inner()
    }

    /// The same JPEG with its segments of this kind left out.
    fn without(jpeg: &[u8], marker: u8) -> Vec<u8> {
        let (mut out, mut at) = (jpeg[..2].to_vec(), 2);
        while jpeg[at + 1] != 0xda {
            let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if jpeg[at + 1] != marker {
                out.extend(&jpeg[at..at + length]);
            }
            at += length;
        }
        out.extend(&jpeg[at..]);
        out
    }

    fn read(bytes: &[u8], reduction: u32) -> Result<Vec<u8>, FrameFlaw> {
        let mut rgb = Vec::new();
        JpegReader::new()?.decode(bytes, SIZE, reduction, &mut rgb).map(|_| rgb)
    }

    #[test]
    fn it_is_the_picture_another_decoder_sees() {
        let picture = fieldmark_models::picture::Picture::decode(&jpeg()).expect("a JPEG");
        let rgb = read(&jpeg(), 1).expect("a JPEG");
        let apart = rgb.iter().zip(picture.rgb()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart.is_some_and(|apart| apart <= 6), "{apart:?} of 255 apart");
    }

    #[test]
    fn reduced_it_is_the_mean_of_blocks() {
        let whole = read(&jpeg(), 1).expect("a JPEG");
        for reduction in [2, 4, 8] {
            let small = read(&jpeg(), reduction).expect("a JPEG");
            let (width, n) = (SIZE.0 as usize / reduction as usize, reduction as usize);
            assert_eq!(small.len(), width * (SIZE.1 as usize / n) * 3);
            for (i, &byte) in small.iter().enumerate() {
                let (x, y, channel) = (i / 3 % width, i / 3 / width, i % 3);
                let block =
                    (0..n * n).map(|k| ((y * n + k / n) * SIZE.0 as usize + x * n + k % n) * 3 + channel);
                let mean = block.map(|at| f64::from(whole[at])).sum::<f64>() / (n * n) as f64;
                assert!((mean - f64::from(byte)).abs() < 8.0, "1/{reduction} at {x}, {y}: {byte} {mean}");
            }
        }
    }

    #[test]
    fn a_glance_sees_the_brightness_of_every_block() {
        let (whole, mut grey) = (read(&jpeg(), 8).expect("a JPEG"), Vec::new());
        let sides = JpegReader::new().expect("a reader").glance(&jpeg(), SIZE, &mut grey);
        assert_eq!(sides, Ok((SIZE.0 / 8, SIZE.1 / 8)));
        assert_eq!(grey.len() * 3, whole.len());
        for (&grey, rgb) in grey.iter().zip(whole.as_chunks::<3>().0) {
            let [red, green, blue] = rgb.map(f64::from);
            let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
            assert!((luma - f64::from(grey)).abs() < 3.0, "{rgb:?} {grey}");
        }
    }

    #[test]
    fn a_frame_without_huffman_tables_gets_the_standard_ones() {
        let bare = without(&jpeg(), 0xc4);
        assert!(bare.len() < jpeg().len() - 300, "the tables were there");
        assert_eq!(read(&bare, 1), read(&jpeg(), 1));
    }

    #[test]
    fn damaged_frames_are_told_apart() {
        let jpeg = jpeg();
        let mut reader = JpegReader::new().expect("a reader");
        let mut check = |bytes: &[u8]| reader.check(bytes, SIZE);
        assert_eq!(check(&jpeg[..jpeg.len() - 20]), Err(FrameFlaw::Truncated(jpeg.len() - 20)));
        assert!(matches!(check(&jpeg[..200]), Err(FrameFlaw::Jpeg(_))));
        assert!(matches!(check(&[0x55; 2000]), Err(FrameFlaw::Jpeg(_))));
        assert!(matches!(check(b""), Err(FrameFlaw::Jpeg(_))));
        assert_eq!(check(&[&jpeg[..], &[0; 500]].concat()), Ok(()), "padded");
        let smaller = reader.check(&jpeg, (640, 480));
        assert_eq!(smaller, Err(FrameFlaw::Size { found: (64, 48), agreed: (640, 480) }));
    }

    #[test]
    fn damage_inside_is_found_when_decoding_and_stray_bytes_are_forgiven() {
        let jpeg = jpeg();
        let half = jpeg.len() / 2;
        let holed = [&jpeg[..half], &[0xff, 0xd9]].concat();
        assert!(matches!(read(&holed, 1), Err(FrameFlaw::Jpeg(_))));
        let (data, end) = jpeg.split_at(jpeg.len() - 2);
        let stray = [data, &[0x12, 0x34], end].concat();
        assert_eq!(read(&stray, 1), read(&jpeg, 1));
    }

    proptest! {
        #[test]
        fn flipped_bits_are_a_picture_or_an_error(
            at in any::<proptest::sample::Index>(), bit in 0..8u8, reduction in 1..9u32,
        ) {
            let mut bytes = jpeg();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(rgb) = read(&bytes, reduction) {
                prop_assert!(!rgb.is_empty());
            }
        }

        #[test]
        fn any_bytes_are_a_jpeg_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&[&[0xff, 0xd8, 0xff, 0xe0], &bytes[..]].concat(), 1);
        }
    }
}
