//! The newest tracks, and how they looked when they began.

use std::collections::VecDeque;

use fieldmark_models::picture::Picture;
use serde::Serialize;

use crate::decide::{BestLeaf, TaxonAnswer};
use crate::publish::messages::Detection;
use crate::track::EventType;

/// Tracks kept.
const KEPT: usize = 60;
/// Longer side of a thumbnail, pixels.
const SIDE: u32 = 160;
/// Pixels that are averaged for one of a thumbnail, along each side.
const TAPS: u32 = 3;

/// A small picture of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// `[height, width, 3]`.
    pub rgb: Vec<u8>,
}

impl Thumbnail {
    /// Of the part of `picture` between `edges` (`[left, top, right, bottom]` in fractions).
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "fractions of a picture's side, clamped"
    )]
    pub fn new(picture: &Picture, edges: [f64; 4]) -> Self {
        let (wide, high) = (picture.width(), picture.height());
        let place =
            |fraction: f64, side: u32| ((fraction.clamp(0.0, 1.0) * f64::from(side)) as u32).min(side);
        let (left, top) = (place(edges[0], wide).min(wide - 1), place(edges[1], high).min(high - 1));
        let (right, bottom) = (place(edges[2], wide).max(left + 1), place(edges[3], high).max(top + 1));
        let (part_wide, part_high) = (right - left, bottom - top);
        let longer = part_wide.max(part_high);
        let shrunk = |side: u32| (u64::from(side) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
        let (width, height) =
            if longer <= SIDE { (part_wide, part_high) } else { (shrunk(part_wide), shrunk(part_high)) };
        let mut rgb = Vec::with_capacity((width * height * 3) as usize);
        // The middle of each of TAPS x TAPS cells of a pixel.
        let at = |pixel: u32, tap: u32, side: u32, part: u32| {
            (u64::from(pixel * TAPS + tap) * 2 + 1) * u64::from(part) / (2 * u64::from(side * TAPS))
        };
        for y in 0..height {
            for x in 0..width {
                let mut sums = [0u32; 3];
                for (dy, dx) in (0..TAPS).flat_map(|dy| (0..TAPS).map(move |dx| (dy, dx))) {
                    let row = u64::from(top) + at(y, dy, height, part_high);
                    let column = u64::from(left) + at(x, dx, width, part_wide);
                    let start = ((row * u64::from(wide) + column) * 3) as usize;
                    if let Some(pixel) = picture.rgb().get(start..start + 3) {
                        sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += u32::from(value));
                    }
                }
                rgb.extend(sums.map(|sum| (sum / (TAPS * TAPS)) as u8));
            }
        }
        Self { width, height, rgb }
    }
}

/// A track as its latest event tells it.
#[derive(Debug, Clone, Serialize)]
pub struct RecentTrack {
    /// Name of the camera.
    pub camera: String,
    /// Number of the track at its camera.
    pub id: u64,
    /// Frames in it so far.
    pub hits: u64,
    /// When the first event of it was.
    pub begun: String,
    /// When its organism was last told of.
    pub time: String,
    /// What its latest event was.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The answer.
    pub taxon: TaxonAnswer,
    /// Its probability.
    pub probability: f64,
    /// The cut-off it was held against.
    pub threshold: f64,
    /// The most probable leaf.
    pub best_leaf: BestLeaf,
    /// Entries of the watch list it fired.
    pub watch: Vec<String>,
    /// Whether there is a picture.
    pub pictured: bool,
    #[serde(skip)]
    pub(super) thumbnail: Option<Thumbnail>,
}

/// The newest of all cameras, the newest first.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    recent: VecDeque<RecentTrack>,
}

impl Tracks {
    /// Takes an event in.
    pub(super) fn told(&mut self, detection: &Detection, thumbnail: Option<Thumbnail>) {
        let same = |track: &RecentTrack| track.camera == detection.camera && track.id == detection.track.id;
        let place = self.recent.iter().position(same);
        let known = place.and_then(|place| self.recent.remove(place));
        let (begun, older) = match known {
            Some(known) => (known.begun, known.thumbnail),
            None => (detection.time.clone(), None),
        };
        let thumbnail = thumbnail.or(older);
        let mut watch = detection.watch.clone();
        watch.dedup();
        let track = RecentTrack {
            camera: detection.camera.clone(),
            id: detection.track.id,
            hits: detection.track.hits,
            begun,
            time: detection.time.clone(),
            kind: detection.kind,
            taxon: detection.taxon.clone(),
            probability: detection.probability,
            threshold: detection.threshold,
            best_leaf: detection.best_leaf.clone(),
            watch,
            pictured: thumbnail.is_some(),
            thumbnail,
        };
        // A track keeps its place: a list that jumps cannot be read.
        self.recent.insert(place.unwrap_or(0), track);
        self.recent.truncate(KEPT);
    }

    pub(super) fn newest(&self, count: usize) -> Vec<RecentTrack> {
        let bare = |track: &RecentTrack| RecentTrack { thumbnail: None, ..track.clone() };
        self.recent.iter().take(count).map(bare).collect()
    }

    pub(super) fn thumbnail(&self, camera: &str, id: u64) -> Option<Thumbnail> {
        let same = |track: &&RecentTrack| track.camera == camera && track.id == id;
        self.recent.iter().find(same)?.thumbnail.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbnail_shows_its_region_and_no_more() {
        let row = |y: u32| {
            (0..400u32).flat_map(move |x| if x < 200 && y < 100 { [200u8, 0, 0] } else { [0, 0, 200] })
        };
        let picture = Picture::from_rgb(400, 200, (0..200).flat_map(row).collect()).expect("a picture");
        let red = Thumbnail::new(&picture, [0.0, 0.0, 0.5, 0.5]);
        assert_eq!((red.width, red.height), (160, 80));
        assert!(red.rgb.chunks(3).all(|pixel| pixel == [200, 0, 0]));
        let whole = Thumbnail::new(&picture, [0.0, 0.0, 1.0, 1.0]);
        assert_eq!((whole.width, whole.height), (160, 80));
        assert_eq!(
            (&whole.rgb[..3], &whole.rgb[whole.rgb.len() - 3..]),
            (&[200, 0, 0][..], &[0, 0, 200][..])
        );
    }

    #[test]
    fn any_edges_give_a_picture() {
        let picture = Picture::from_rgb(3, 2, vec![9; 18]).expect("a picture");
        for edges in [[0.9, 0.9, 0.1, 0.1], [1.0, 1.0, 1.0, 1.0], [-1.0, f64::NAN, 2.0, 0.0]] {
            let thumbnail = Thumbnail::new(&picture, edges);
            assert_eq!(thumbnail.rgb.len(), (thumbnail.width * thumbnail.height * 3) as usize);
        }
    }
}
