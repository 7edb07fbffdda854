//! What is kept of a source. Defaults are the paper's (section 4).

use std::str::FromStr;

use clap::ValueEnum;
use fieldmark_tables::SplitBy;
use serde::Serialize;

use super::Licence;

/// Settings of a preparation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rules {
    /// Formats of pictures that are taken.
    pub formats: Vec<PictureFormat>,
    /// Pictures that a species needs; a taxon above needs as many where no species below it has enough.
    pub min_images: u64,
    /// Most pictures of a taxon.
    pub cap: Option<u64>,
    /// What becomes of hybrid formulas and provisional names.
    pub odd_taxonomy: OddTaxonomy,
    /// Whether observations have to be of research grade, where a source says of which they are.
    pub research_grade: bool,
    /// Licences of pictures that are taken; none: all.
    pub licences: Vec<Licence>,
    /// Share that is kept for validation.
    pub validation: f64,
    /// What stays on one side of the split.
    pub split_by: SplitKey,
    /// Decides split and cap.
    pub seed: u64,
    /// Which of its sizes a picture of iNaturalist Open Data is fetched in.
    pub photo_size: PhotoSize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            formats: vec![PictureFormat::Jpeg],
            min_images: 5,
            cap: None,
            odd_taxonomy: OddTaxonomy::Drop,
            research_grade: true,
            licences: Vec::new(),
            validation: 0.2,
            split_by: SplitKey::Observation,
            seed: 1,
            photo_size: PhotoSize::Large,
        }
    }
}

/// A format of pictures that the trainer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PictureFormat {
    /// JPEG, the paper's choice.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
    /// GIF, its first frame.
    Gif,
    /// TIFF.
    Tiff,
}

impl PictureFormat {
    /// Of a file name, a URL or a media type.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let text = text.split(['?', '#']).next().unwrap_or(text);
        let ending = text.rsplit(['.', '/']).next().unwrap_or(text);
        Some(match ending.to_ascii_lowercase().as_str() {
            "jpg" | "jpeg" | "jpe" | "pjpeg" => Self::Jpeg,
            "png" => Self::Png,
            "webp" => Self::Webp,
            "gif" => Self::Gif,
            "tif" | "tiff" => Self::Tiff,
            _ => return None,
        })
    }
}

/// What becomes of names that stand for no species: hybrid formulas (`A b × A c`), provisional names (`A sp. 1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OddTaxonomy {
    /// Dropped, as in the paper.
    Drop,
    /// Kept as labels of their genus.
    Mend,
}

/// What stays on one side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SplitKey {
    /// All pictures of an observation: no burst of one animal stands on both sides.
    Observation,
    /// All pictures of an observer.
    Observer,
}

impl From<SplitKey> for SplitBy {
    fn from(key: SplitKey) -> Self {
        match key {
            SplitKey::Observation => Self::Observation,
            SplitKey::Observer => Self::Observer,
        }
    }
}

/// Sizes that iNaturalist Open Data keeps of a photo, by the longer side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PhotoSize {
    /// 500 pixels.
    Medium,
    /// 1024 pixels: the crop view of 299 needs 600.
    Large,
    /// Up to 2048 pixels.
    Original,
}

impl PhotoSize {
    /// As it stands in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::Large => "large",
            Self::Original => "original",
        }
    }
}

impl Rules {
    /// Whether a picture of this media type or name is taken; where both are known the media type speaks.
    #[must_use]
    pub fn takes_format(&self, media_type: &str, name: &str) -> bool {
        let format = PictureFormat::of(if media_type.is_empty() { name } else { media_type });
        format.is_some_and(|format| self.formats.contains(&format))
    }

    /// Whether a picture of this licence is taken.
    #[must_use]
    pub fn takes_licence(&self, licence: &str) -> bool {
        self.licences.is_empty() || self.licences.iter().any(|wanted| wanted.covers(licence))
    }
}

impl FromStr for Licence {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_speaks_before_a_name() {
        let rules = Rules::default();
        assert!(rules.takes_format("image/jpeg", "http://x/1.png"));
        assert!(rules.takes_format("", "http://x/photos/1/original.JPG?1593"));
        assert!(!rules.takes_format("image/png", "http://x/1.jpg"));
        assert!(!rules.takes_format("", "http://x/photos/1"));
        assert!(!rules.takes_format("audio/mpeg", "1.mp3"));
    }

    #[test]
    fn defaults_are_the_papers() {
        let rules = Rules::default();
        assert_eq!((rules.min_images, rules.cap, rules.validation), (5, None, 0.2));
        assert_eq!((rules.formats.as_slice(), rules.research_grade), (&[PictureFormat::Jpeg][..], true));
    }
}
