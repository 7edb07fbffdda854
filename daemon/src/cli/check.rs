//! `fieldmarkd check`: everything that can be known before running.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fieldmark_models::taxonomy::Taxonomy;

use super::{Failure, run};
use crate::alert::find_watched;
use crate::capture::{FilesSource, SourceError, read_picture};
#[cfg(feature = "v4l")]
use crate::capture::{Prospect, prospect};
use crate::config::{
    CameraConfig, CameraSource, Config, FilesConfig, GroundConfig, GstreamerConfig, PositionConfig,
    PositionSource, V4lConfig,
};
use crate::decide::{Expected, List};
use crate::position::{Station, Terrain};
use crate::publish::line::check_secrets;
use crate::region::Detector;
use crate::release::root_version;

/// How long a broker may take to answer a check.
const BROKER_PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The file alone, not model, outbox and cameras: what a reload asks before it asks the daemon.
    #[arg(long)]
    values: bool,
}

pub(super) fn execute(arguments: &CheckArguments) -> Result<(), Failure> {
    let config = run::configured(&arguments.config)?;
    println!("ok    configuration: node {}, broker {}", config.node.as_str(), config.mqtt.url);
    if arguments.values {
        return Ok(());
    }
    let mut good = true;
    match run::decider(&config.model, &config.engine) {
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
            println!("ok    engine: {}", decider.engine_name());
            for passed in decider.passed_over() {
                println!("      {} was passed over: {}", passed.engine, passed.reason);
            }
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
    good &= check_broker(&config);
    good &= check_outbox(&config);
    good &= check_update(&config);
    good &= check_position(&config.position);
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

/// A broker that is away is no mistake in a configuration; a password that cannot be read is.
fn check_broker(config: &Config) -> bool {
    if let Err(error) = check_secrets(&config.mqtt) {
        println!("FAIL  broker: {error}");
        return false;
    }
    let url = &config.mqtt.url;
    if config.broker.is_some() {
        println!("ok    broker: {url}, inside the daemon");
        return true;
    }
    match reach(&url.host, url.port) {
        Ok(()) => println!("ok    broker: {url} can be reached"),
        Err(error) => println!(
            "note  broker: {url} cannot be reached now: {error}; events wait in the outbox until it is; check mqtt.url if it should be"
        ),
    }
    true
}

/// Whether anybody listens; what they speak is found out by connecting.
fn reach(host: &str, port: u16) -> std::io::Result<()> {
    let mut outcome = Err(std::io::Error::other("the name has no address"));
    for address in (host, port).to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, BROKER_PATIENCE).map(drop);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
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

/// What is there must be a root; what the repository holds is looked at when the daemon runs. Without one the daemon
/// runs and is not updated, as a node does that was not given its root yet.
fn check_update(config: &Config) -> bool {
    let Some(update) = &config.update else { return true };
    let (group, root) = (&update.group, update.root.display());
    let read = match std::fs::read(&update.root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!(
                "note  update: group {group}; nothing is updated until {root} is there: copy the root.json of the fleet's release repository to it, and start the daemon again"
            );
            return true;
        }
        read => read.map_err(|error| error.to_string()),
    };
    match read.and_then(|text| root_version(&text)) {
        Ok(version) => {
            println!("ok    update: group {group}, root {root} (version {version})");
            true
        }
        Err(error) => {
            println!(
                "FAIL  update.root {root}: {error}; give the root.json of the fleet's release repository"
            );
            false
        }
    }
}

/// Nothing is opened: whoever speaks there may not be switched on yet.
fn check_position(config: &PositionConfig) -> bool {
    match &config.source {
        PositionSource::None => return true,
        PositionSource::Station(Station { at, accuracy_m }) => {
            println!("ok    position: a station at {}, {} within {accuracy_m} m", at.lat, at.lon);
        }
        PositionSource::Link(protocol, address) => {
            println!("ok    position: {protocol:?} at {address}; it was not opened");
        }
    }
    let GroundConfig::Terrain(file) = &config.ground else { return true };
    let read = Terrain::read(file);
    match &read {
        Ok(_) => println!("ok    terrain: {}", file.display()),
        Err(error) => println!("FAIL  terrain: {error}"),
    }
    read.is_ok()
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
        if let Some((file, score)) = camera.regions.detector() {
            match Detector::open(file, score) {
                Ok(_) => println!("ok    camera {name}: detector {}", file.display()),
                Err(error) => {
                    good = false;
                    println!("FAIL  camera {name}: {error}");
                }
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
