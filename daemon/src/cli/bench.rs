//! `fieldmarkd bench`: what a frame costs here, stage by stage.

use std::path::{Path, PathBuf};

use clap::Args;
use fieldmark_models::picture::Picture;

use super::engine::EngineArguments;
use super::{Failure, run};
use crate::capture::read_picture;
use crate::config::ModelConfig;
use crate::decide::{Dial, Expected, Sureness};
use crate::service::{BenchFrame, BenchReport, bench, bench_config};

/// Sides of the frame that is drawn where no folder is given.
const DRAWN: (u32, u32) = (3840, 2160);
const QUALITY: i32 = 90;

#[derive(Debug, Args)]
pub(super) struct BenchArguments {
    /// Package; the shipped one when absent.
    #[arg(long, value_name = "PACKAGE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArguments,
    /// Folder of pictures; those that are no JPEG are made one, as a camera would send it. A drawn 4K frame when absent.
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
    /// Frames to measure.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Regions in a call when the engine is measured alone; what the engine gains from when absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    regions: Option<u8>,
    /// Folder for the outbox that events go to, to measure a certain disk; a temporary one when absent.
    #[arg(long, value_name = "FOLDER")]
    outbox: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &BenchArguments) -> Result<(), Failure> {
    let frames = match &arguments.frames {
        Some(folder) => read(folder)?,
        None => vec![encoded(&drawn()?)?],
    };
    let everywhere = Dial::everywhere(Sureness::Target(0.9));
    let model =
        ModelConfig { package: arguments.model.clone(), dial: everywhere, expected: Expected::default() };
    let decider = run::decider(&model, &arguments.engine.settings())?;
    let place = Place::new(arguments.outbox.as_deref())?;
    let config = bench_config(&place.folder)?;
    let (count, regions) = (arguments.count as usize, arguments.regions.map(usize::from));
    let report = bench(&config, decider, &frames, count, regions)?;
    if arguments.json {
        // Texts and numbers always become JSON.
        println!("{}", serde_json::to_string(&report).unwrap_or_default());
    } else {
        print(&report);
    }
    Ok(())
}

/// The outbox's folder; removed afterwards with what is in it.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn new(folder: Option<&Path>) -> Result<Self, Failure> {
        let above = folder.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = above.join(format!("fieldmark-bench-{}", ulid::Ulid::generate()));
        let made = std::fs::create_dir(&folder);
        made.map_err(|error| {
            anyhow::anyhow!("cannot make {}: {error}; name another --outbox", folder.display())
        })?;
        Ok(Self { folder })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn read(folder: &Path) -> Result<Vec<BenchFrame>, Failure> {
    let failed = |error| anyhow::anyhow!("cannot read {}: {error}", folder.display());
    let mut files: Vec<_> =
        std::fs::read_dir(folder).map_err(failed)?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort();
    let frames: Vec<_> = files.iter().filter_map(|file| frame(file)).collect();
    if frames.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!("{} holds no picture", folder.display())));
    }
    Ok(frames)
}

fn frame(file: &Path) -> Option<BenchFrame> {
    let jpeg = std::fs::read(file).ok()?;
    match turbojpeg::read_header(&jpeg) {
        Ok(header) => {
            let (width, height) = (u32::try_from(header.width).ok()?, u32::try_from(header.height).ok()?);
            Some(BenchFrame { jpeg, width, height })
        }
        Err(_) => encoded(&read_picture(file).ok()?).ok(),
    }
}

fn encoded(picture: &Picture) -> anyhow::Result<BenchFrame> {
    let (width, height) = (picture.width(), picture.height());
    let image = turbojpeg::Image {
        pixels: picture.rgb(),
        width: width as usize,
        pitch: width as usize * 3,
        height: height as usize,
        format: turbojpeg::PixelFormat::RGB,
    };
    let jpeg = turbojpeg::compress(image, QUALITY, turbojpeg::Subsamp::Sub2x1)?.to_vec();
    Ok(BenchFrame { jpeg, width, height })
}

/// Leaves of light, as dense in detail as a photograph of foliage.
fn drawn() -> anyhow::Result<Picture> {
    let (width, height) = DRAWN;
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            let wave =
                (f64::from(x) / 31.0).sin() * (f64::from(y) / 17.0).cos() + (f64::from(x * y % 977) / 977.0);
            let light = (110.0 + 60.0 * wave) as u8;
            rgb.extend([light / 2, light, light / 3]);
        }
    }
    Ok(Picture::from_rgb(width, height, rgb)?)
}

fn print(report: &BenchReport) {
    println!("{} on {}, {} frames", report.model, report.engine, report.frames);
    println!("{:<10} {:>9} {:>9} {:>9} {:>9}", "stage", "p50 ms", "p90 ms", "p99 ms", "mean ms");
    for spread in &report.stages {
        println!(
            "{:<10} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
            spread.stage, spread.p50_ms, spread.p90_ms, spread.p99_ms, spread.mean_ms
        );
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "{:.2} frames a second, {:.1} ms of processor time a frame, {:.0} MB (most {:.0} MB, loading included)",
        report.frames_per_second,
        report.cpu_ms_per_frame,
        megabytes(report.rss_bytes),
        megabytes(report.peak_rss_bytes)
    );
    let alone = &report.alone;
    println!(
        "engine alone: p50 {:.2} ms, p99 {:.2} ms, {:.1} ms of processor time; {:.2} regions a second in calls of {}",
        alone.p50_ms, alone.p99_ms, alone.cpu_ms, alone.regions_per_second, alone.batch
    );
}
