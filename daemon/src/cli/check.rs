//! `fieldmarkd check`: everything that can be known before running.

use std::path::PathBuf;

use clap::Args;
use fieldmark_models::taxonomy::Taxonomy;

use super::{Failure, run};
use crate::alert::find_watched;
use crate::capture::{FilesSource, SourceError, read_picture};
#[cfg(feature = "v4l")]
use crate::capture::{Prospect, prospect};
use crate::config::{CameraConfig, CameraSource, Config, FilesConfig, GstreamerConfig, V4lConfig};
use crate::decide::{Expected, List};

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn execute(arguments: &CheckArguments) -> Result<(), Failure> {
    let config = run::configured(&arguments.config)?;
    println!("ok    configuration: node {}, broker {}", config.node.as_str(), config.mqtt.url);
    let mut good = true;
    match run::decider(&config.model) {
        Ok(decider) => {
            let (identity, tested) = (decider.identity(), decider.tested());
            println!(
                "ok    model: {} {} ({} leaves), {} golden pictures on {} within {:.1e} (allowed {:.1e}), threshold {}",
                identity.name,
                identity.version,
                decider.taxonomy().leaf_count(),
                tested.pictures,
                decider.engine_name(),
                tested.largest_difference,
                tested.tolerance,
                decider.cut_off().threshold
            );
            good &= check_checklist(&config.model.expected, decider.taxonomy());
            if let Err(error) = find_watched(decider.taxonomy(), &config.watch.taxa) {
                good = false;
                println!("FAIL  watch.taxa: {error}");
            }
        }
        Err(failure) => {
            good = false;
            println!("FAIL  model: {failure}");
        }
    }
    good &= check_outbox(&config);
    good &= check_cameras(&config);
    if good { Ok(()) } else { Err(Failure::told()) }
}

fn check_checklist(expected: &Expected, taxonomy: &Taxonomy) -> bool {
    let Some(from) = &expected.checklist else { return true };
    match List::read(from, taxonomy) {
        Ok(list) => {
            let (file, rows, unmatched) = (from.file.display(), list.rows(), list.unmatched.len());
            println!("ok    checklist: {file}: {rows} rows, {unmatched} more that this model cannot name");
            for row in &list.unmatched {
                println!("      line {}: {}", row.line, row.reason);
            }
            true
        }
        Err(error) => {
            println!("FAIL  checklist: {error}");
            false
        }
    }
}

/// The folder must take a file; the outbox itself may be in use.
fn check_outbox(config: &Config) -> bool {
    let Some(folder) = config.outbox.folder() else {
        println!("ok    outbox: in memory, nothing survives the process");
        return true;
    };
    let probe = folder.join(".fieldmark-check");
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&probe, b"x"))
        .and_then(|()| std::fs::remove_file(&probe));
    match &written {
        Ok(()) => println!("ok    outbox: {} can be written", folder.display()),
        Err(error) => println!(
            "FAIL  outbox: cannot write in {}: {error}; name another outbox.folder, or let this user write there",
            folder.display()
        ),
    }
    written.is_ok()
}

fn check_cameras(config: &Config) -> bool {
    let mut good = true;
    for camera in &config.cameras {
        let name = camera.name.as_str();
        match check_camera(camera) {
            Ok(found) => println!("ok    camera {name}: {found}"),
            Err(error) => {
                good = false;
                println!("FAIL  camera {name}: {error}");
            }
        }
    }
    good
}

fn check_camera(camera: &CameraConfig) -> Result<String, SourceError> {
    match &camera.source {
        CameraSource::Files(files) => check_files(files),
        CameraSource::V4l(device) => check_device(device),
        CameraSource::Gstreamer(gstreamer) => check_pipeline(gstreamer),
    }
}

#[cfg(feature = "gstreamer")]
fn check_pipeline(gstreamer: &GstreamerConfig) -> Result<String, SourceError> {
    match fieldmark_gstreamer::check(&gstreamer.pipeline) {
        Ok(()) => Ok("its pipeline can be made; it was not played".into()),
        Err(error) => Err(SourceError::Pipeline(error.to_string())),
    }
}

#[cfg(not(feature = "gstreamer"))]
fn check_pipeline(_gstreamer: &GstreamerConfig) -> Result<String, SourceError> {
    Err(SourceError::NoGstreamer)
}

#[cfg(feature = "v4l")]
fn check_device(device: &V4lConfig) -> Result<String, SourceError> {
    let Prospect { path, choice } = prospect(device)?;
    Ok(format!("{} gives {choice}", path.display()))
}

#[cfg(not(feature = "v4l"))]
fn check_device(_device: &V4lConfig) -> Result<String, SourceError> {
    Err(SourceError::NoV4l)
}

fn check_files(files: &FilesConfig) -> Result<String, SourceError> {
    let list = FilesSource::new(files.clone()).list()?;
    let unreadable = list.iter().filter(|path| read_picture(path).is_err()).count();
    Ok(match unreadable {
        0 => format!("{} pictures", list.len()),
        bad => format!("{} pictures, {bad} of them unreadable (they will be skipped)", list.len()),
    })
}
