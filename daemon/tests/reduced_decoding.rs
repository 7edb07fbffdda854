//! What decoding a frame smaller than it is changes in the shipped model's answers, on real photographs.
//!
//! Eight photographs in the ordinary suite; `FIELDMARK_EVERY_PHOTOGRAPH=1` takes all of organisms, as the training table
//! lists them, and `FIELDMARK_EVERY_PICTURE=1` whatever else is in the package: hats, letters, drawings.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::path::{Path, PathBuf};

use fieldmark_daemon::capture::{Colour, Frame, FrameDecoder, FrameImage, Layout};
use fieldmark_daemon::config::PixelFormat;
use fieldmark_daemon::engine::{EngineKind, EngineSettings, Eye, LoadedModel};
use fieldmark_models::picture::{MID_GREY, Picture};
use fieldmark_models::views::{FractionBox, ViewRenderer};

const STAMPS: &str = "/usr/share/tuxpaint/stamps";
const INSTALL: &str = "photographs are needed: apt-get install -y tuxpaint-stamps-default";

/// Photographs of organisms.
fn photographs() -> Vec<PathBuf> {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/training/garden-taxa.csv");
    let table = std::fs::read_to_string(table).expect("the training table");
    let files = table.lines().skip(1).filter_map(|line| line.split(',').next());
    files.map(|file| Path::new(STAMPS).join(file)).collect()
}

/// All that is in the folder, drawings too.
fn pictures(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect(INSTALL).flatten() {
        let path = entry.path();
        if path.is_dir() {
            pictures(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "png") {
            found.push(path);
        }
    }
}

/// The photograph as high as the frame, in its middle, the rest grey.
fn framed(photograph: &Picture, (width, height): (u32, u32)) -> Picture {
    let mut square = vec![0; (height * height * 3) as usize];
    ViewRenderer::new().render(photograph, FractionBox::FRAME, height, &mut square).expect("a square");
    let mut rgb = vec![MID_GREY; (width * height * 3) as usize];
    let left = (width - height) as usize / 2 * 3;
    for (row, pixels) in rgb.chunks_mut(width as usize * 3).zip(square.chunks(height as usize * 3)) {
        row[left..left + pixels.len()].copy_from_slice(pixels);
    }
    Picture::from_rgb(width, height, rgb).expect("a frame")
}

fn mjpg(picture: &Picture) -> Vec<u8> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let format = turbojpeg::PixelFormat::RGB;
    let image = turbojpeg::Image { pixels: picture.rgb(), width, pitch: width * 3, height, format };
    turbojpeg::compress(image, 85, turbojpeg::Subsamp::Sub2x1).expect("a JPEG").to_vec()
}

/// BT.601, limited range.
fn yuyv(picture: &Picture) -> Vec<u8> {
    let luma = |p: &[u8]| {
        16.0 + (65.481 * f64::from(p[0]) + 128.553 * f64::from(p[1]) + 24.966 * f64::from(p[2])) / 255.0
    };
    let blue = |p: &[u8]| {
        128.0 + (-37.797 * f64::from(p[0]) - 74.203 * f64::from(p[1]) + 112.0 * f64::from(p[2])) / 255.0
    };
    let red = |p: &[u8]| {
        128.0 + (112.0 * f64::from(p[0]) - 93.786 * f64::from(p[1]) - 18.214 * f64::from(p[2])) / 255.0
    };
    let pairs = picture.rgb().chunks(6);
    let bytes =
        pairs.flat_map(|p| [luma(&p[..3]), blue(p), luma(&p[3..]), red(p)].map(|value| value.round() as u8));
    bytes.collect()
}

struct Model {
    loaded: LoadedModel,
    eye: Eye,
}

impl Model {
    fn probabilities(&mut self, frame: &Frame, reduction: u32) -> Vec<f32> {
        let mut decoder = FrameDecoder::new();
        let picture = decoder.decode(frame, reduction).expect("a picture");
        let LoadedModel { views, engine, .. } = &mut self.loaded;
        let seen = self.eye.look(views, engine.as_mut(), picture, FractionBox::FRAME, None);
        seen.expect("an answer").to_vec()
    }
}

fn best(probabilities: &[f32]) -> usize {
    (0..probabilities.len())
        .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
        .unwrap_or_default()
}

#[test]
fn a_frame_decoded_smaller_gets_the_same_answer() {
    let set = |name: &str| std::env::var_os(name).is_some();
    let (drawings, every) = (set("FIELDMARK_EVERY_PICTURE"), set("FIELDMARK_EVERY_PHOTOGRAPH"));
    let mut files = if drawings { Vec::new() } else { photographs() };
    if drawings {
        pictures(Path::new(STAMPS), &mut files);
    }
    files.sort();
    let step = if every || drawings { 1 } else { files.len().div_ceil(8) };
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/packages/garden-0.1.0.fieldmark");
    let loaded = LoadedModel::open(&package, &EngineSettings::only(EngineKind::Tract), &mut |_| ());
    let loaded = loaded.expect("the shipped model");
    let eye = Eye::new(&loaded.views, loaded.taxonomy.leaf_count());
    let mut model = Model { loaded, eye };
    let (mut broken, mut reduced) = (Vec::new(), 0);
    for (size, format) in [
        ((1280, 720), PixelFormat::Mjpg),
        ((1280, 720), PixelFormat::Yuyv),
        ((3840, 2160), PixelFormat::Mjpg),
        ((3840, 2160), PixelFormat::Yuyv),
    ] {
        let reduction = model.loaded.views.reduction(FractionBox::FRAME, None, size);
        if reduction == 1 {
            println!("{format} {size:?}: decoded in full");
            continue;
        }
        reduced += 1;
        let (mut same, mut total, mut beyond, mut furthest, mut sum) = (0, 0, 0, 0.0_f32, 0.0_f32);
        for file in files.iter().step_by(step) {
            let photograph = fieldmark_daemon::capture::read_picture(file);
            if drawings && photograph.is_err() {
                continue;
            }
            let photograph = photograph.expect(INSTALL);
            let picture = framed(&photograph, size);
            let bytes = if format == PixelFormat::Mjpg { mjpg(&picture) } else { yuyv(&picture) };
            let image =
                FrameImage::Raw { bytes, layout: Layout::new(format, size.0, size.1, 0, Colour::default()) };
            let frame = Frame {
                image,
                time: jiff::Timestamp::UNIX_EPOCH,
                moment: std::time::Instant::now(),
                sequence: 0,
            };
            let (whole, small) = (model.probabilities(&frame, 1), model.probabilities(&frame, reduction));
            let apart = whole.iter().zip(&small).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            same += usize::from(best(&whole) == best(&small));
            total += 1;
            beyond += usize::from(apart > 0.02);
            if apart > 0.02 || best(&whole) != best(&small) {
                println!("{}: {apart:.4} apart, {} and {}", file.display(), best(&whole), best(&small));
            }
            furthest = furthest.max(apart);
            sum += apart;
        }
        let mean = sum / total as f32;
        println!(
            "{format} {size:?} 1/{reduction}: top-1 same {same} of {total}, furthest {furthest:.4}, mean {mean:.4}, {beyond} beyond 0.02"
        );
        // Of what the model knows nothing of, it says many things with nearly the same small probability.
        let least = if drawings { 98 } else { 99 };
        if same * 100 < total * least || furthest > 0.02 {
            broken.push(format!("{format} {size:?}: top-1 same for {same} of {total}, {furthest} apart"));
        }
    }
    assert!(reduced > 0 && broken.is_empty(), "{reduced} of 4 made smaller, {broken:?}");
}
