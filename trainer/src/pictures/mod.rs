//! Training pictures: cut-outs laid on backgrounds, streamed one photograph at a time.

mod augment;
mod compose;

use std::fs;
use std::path::PathBuf;

use fieldmark_models::picture::{Picture, PictureError, decode_cutout};
use image::RgbaImage;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::recipe::PictureSettings;
pub use augment::Augmentation;
pub use compose::Backgrounds;
use compose::{Placement, compose};

/// What a picture is laid on, and so what it may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The cut-out as it is, on mid-grey: what `fieldmarkd classify` sees.
    Plain,
    /// For training: mirrored, moved, recoloured, on any training background.
    Training,
    /// For evaluation only: on a background no training picture has.
    HeldOutBackground,
}

/// A photograph or background could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    /// The file.
    #[error("cannot read picture {path}: {source}{hint}")]
    File {
        /// Path of the picture.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
        /// How to get it, where that is known.
        hint: String,
    },
    /// Its content.
    #[error("{path}: {source}")]
    Decode {
        /// Path of the picture.
        path: PathBuf,
        /// What is wrong.
        source: PictureError,
    },
    /// A rendered picture is no picture.
    #[error("cannot render a picture: {0}")]
    Rendered(PictureError),
}

/// All pictures made of the photograph at `path`, always the same ones for the same `seed`.
///
/// # Errors
/// If the photograph cannot be read.
pub fn pictures_of(
    path: &std::path::Path,
    settings: &PictureSettings,
    backgrounds: &Backgrounds,
    seed: u64,
) -> Result<Vec<(Kind, Picture)>, PicturesError> {
    let cutout = read_cutout(path)?;
    let mirrored = image::imageops::flip_horizontal(&cutout);
    let mut random = StdRng::seed_from_u64(seed);
    let plain = |cutout| Picture::on_mid_grey(cutout).map_err(PicturesError::Rendered);
    let mut pictures = vec![(Kind::Plain, plain(&cutout)?), (Kind::Training, plain(&mirrored)?)];
    let counts = [
        (Placement::Grey, settings.on_grey),
        (Placement::Rendered, settings.on_rendered),
        (Placement::Photograph, settings.on_photographs),
    ];
    for (placement, count) in counts {
        for number in 0..count {
            let source = if number % 2 == 0 { &cutout } else { &mirrored };
            let laid = compose(source, placement, backgrounds, &mut random)?;
            let colours = Augmentation { hue: settings.hue, ..Augmentation::default() };
            pictures.push((Kind::Training, colours.recolour(laid, &mut random)));
        }
    }
    let held_out = compose(&cutout, Placement::HeldOut, backgrounds, &mut random)?;
    pictures.push((Kind::HeldOutBackground, held_out));
    Ok(pictures)
}

/// The photograph at `path` as it is, alpha on mid-grey.
///
/// # Errors
/// If it cannot be read.
pub fn read_picture(path: &std::path::Path) -> Result<Picture, PicturesError> {
    let failed = |source| PicturesError::File { path: path.into(), source, hint: String::new() };
    let bytes = fs::read(path).map_err(failed)?;
    Picture::decode(&bytes).map_err(|source| PicturesError::Decode { path: path.into(), source })
}

fn read_cutout(path: &std::path::Path) -> Result<RgbaImage, PicturesError> {
    let failed = |source| PicturesError::File { path: path.into(), source, hint: String::new() };
    let bytes = fs::read(path).map_err(failed)?;
    decode_cutout(&bytes).map_err(|source| PicturesError::Decode { path: path.into(), source })
}
