//! What the camera shows, and how it misbehaves.

use std::borrow::Cow;
use std::str::FromStr;

use super::descriptors::{HEIGHT, WIDTH};

/// How the camera behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// As it should.
    #[default]
    Well,
    /// It sends nothing.
    Stalled,
    /// Frames of the right length with nothing in them.
    Garbage,
    /// The first third of each frame.
    Short,
    /// JPEGs without Huffman tables, as many real cameras send them.
    Bare,
    /// JPEGs of another size than agreed.
    Resized,
}

impl FromStr for Mood {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "resume" => Self::Well,
            "stall" => Self::Stalled,
            "garbage" => Self::Garbage,
            "short" => Self::Short,
            "bare" => Self::Bare,
            "resized" => Self::Resized,
            other => return Err(format!("{other:?} is no command")),
        })
    }
}

/// Frame number `number` in MJPG: one of `jpegs`, as the mood is.
pub(super) fn mjpg(jpegs: &[Vec<u8>], small: &[u8], number: usize, mood: Mood) -> Vec<u8> {
    let jpeg = jpegs.get(number % jpegs.len().max(1)).map_or(small, Vec::as_slice);
    let frame = match mood {
        Mood::Bare => Cow::Owned(without_tables(jpeg)),
        Mood::Resized => Cow::Borrowed(small),
        _ => Cow::Borrowed(jpeg),
    };
    spoilt(frame.into_owned(), mood)
}

/// Frame number `number` in YUYV: a grey ramp that moves.
pub(super) fn yuyv(number: usize, mood: Mood) -> Vec<u8> {
    let pixels = 0..usize::from(WIDTH) * usize::from(HEIGHT);
    let ramp = pixels.flat_map(|pixel| [(pixel + number * 4) as u8, 128]);
    spoilt(ramp.collect(), mood)
}

fn spoilt(mut frame: Vec<u8>, mood: Mood) -> Vec<u8> {
    match mood {
        Mood::Garbage => frame.fill(0x55),
        Mood::Short => frame.truncate(frame.len() / 3),
        _ => {}
    }
    frame
}

/// The JPEG with its DHT segments left out (ITU-T T.81, B.2.4.2).
fn without_tables(jpeg: &[u8]) -> Vec<u8> {
    let (head, mut rest) = jpeg.split_at(jpeg.len().min(2));
    let mut bare = head.to_vec();
    while let [0xff, marker, high, low, ..] = *rest {
        let length = 2 + usize::from(u16::from_be_bytes([high, low]));
        // Entropy-coded data follows the start of scan.
        if marker == 0xda || length > rest.len() {
            break;
        }
        let (segment, after) = rest.split_at(length);
        if marker != 0xc4 {
            bare.extend(segment);
        }
        rest = after;
    }
    bare.extend(rest);
    bare
}
