//! The daemon from start to clean stop.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use fieldmark_models::taxonomy::NameError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, watch};

use super::inference::{Gear, Inference};
use super::machine::{cpu_seconds, rss_bytes, temperatures, time_source};
use super::node::Node;
use super::notify::ServiceManager;
use super::pulse::Pulse;
use super::reload::Reloader;
use super::repeats;
use super::updating::{Surroundings, Updates, Updating};
use crate::alert::{Alerts, Novelty};
use crate::capture::{self, CaptureThread, LatestFrames, SourceError};
use crate::command::{Desk, Ending, Equipment, Kept, Settings, SettingsCell, Vocabulary, VocabularyCell};
use crate::config::{CameraConfig, Config, GroundConfig, PositionConfig, PositionSource, Written};
use crate::decide::Decider;
use crate::flight::LogWriter;
use crate::observe::{DriftWatch, Observer, Watched};
use crate::page::PageError;
use crate::page::node::{Machine, NodePage, Sources};
use crate::position::source::PositionThread;
use crate::position::{Ground, Locator, PoseBuffer, Terrain, TerrainError};
use crate::publish::broker::{EmbeddedBroker, EmbeddedBrokerError};
use crate::publish::line::LineError;
use crate::publish::outbox::{Outbox, StoreError};
use crate::publish::session::{Farewell, Session, client_id};
use crate::publish::snapshot::Snapshots;
use crate::publish::topics::HOME_ASSISTANT_BIRTH;
use crate::region::{Detector, DetectorError};

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system gives no thread or no signal.
    #[error("the system refuses {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// No embedded broker.
    #[error(transparent)]
    Broker(#[from] EmbeddedBrokerError),
    /// No line to a broker.
    #[error(transparent)]
    Line(#[from] LineError),
    /// No outbox.
    #[error(transparent)]
    Outbox(#[from] StoreError),
    /// No page.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Two cameras have one name.
    #[error("the counters of the node cannot be set up: {0}; please report this with the configuration")]
    Counters(#[from] prometheus::Error),
    /// No terrain model.
    #[error("position.terrain: {0}")]
    Terrain(#[from] TerrainError),
    /// The watch list names something the model does not know.
    #[error("watch.taxa: {0}")]
    Watch(NameError),
    /// No detector.
    #[error("camera {camera}: {source}")]
    Detector {
        /// Name of the camera.
        camera: String,
        /// What is wrong.
        source: DetectorError,
    },
    /// No source.
    #[error("camera {camera}: {source}")]
    Source {
        /// Name of the camera.
        camera: String,
        /// What is wrong.
        source: SourceError,
    },
}

/// Runs until SIGTERM or SIGINT, reads what is `written` again at SIGHUP, then stops in order: cameras, inference, the session when everything that
/// was decided is acknowledged or time is up, and the outbox, which keeps the rest. A broker or a camera that is away
/// is waited for. The service manager hears of all of it.
///
/// # Errors
/// If something is missing that waiting will not bring.
pub async fn run(
    config: &Config,
    written: Written,
    decider: Decider,
    updating: Option<Updating>,
) -> Result<Ending, RunError> {
    let mut signals = Signals::new()?;
    let manager = ServiceManager::from_environment();
    repeats::limit();
    let broker = match &config.broker {
        Some(broker) => Some(EmbeddedBroker::start(broker).await?),
        None => None,
    };
    let boot = ulid::Ulid::generate().to_string();
    let outbox = Arc::new(Outbox::open(&config.outbox, &boot)?);
    let observer = Arc::new(observer(config)?);
    let node = Arc::new(Node::new(config, &decider, Arc::clone(&outbox), boot, Arc::clone(&observer)));
    let seen = Novelty::new(outbox.seen());
    let alerts = Alerts::new(decider.taxonomy(), &config.watch, seen).map_err(RunError::Watch)?;
    let mut subscriptions = vec![node.topics().commands()];
    if config.home_assistant {
        subscriptions.push(HOME_ASSISTANT_BIRTH.into());
    }
    let (session, commands) = Session::start(&config.mqtt, &config.node, Arc::clone(&outbox), subscriptions)?;
    let (connection, asking) = (session.connection(), session.commands());
    let (stop, stopped) = watch::channel(false);
    let session = tokio::spawn(session.run(stopped, config.mqtt.stop_timeout));
    let (snapshots, developer) =
        Snapshots::new(&config.snapshot, node.snapshot_topics(), Arc::clone(&outbox));
    let developing = tokio::spawn(developer.run());
    let settings = SettingsCell::new(Settings::new(config));
    let (ending, mut ended) = watch::channel(Ending::Running);
    let vocabulary: VocabularyCell = Arc::new(ArcSwap::from_pointee(Vocabulary::of(&decider)));
    let frames = Arc::new(LatestFrames::new(config.cameras.len()));
    let around = Surroundings {
        config,
        decider: &decider,
        node: &node,
        settings: &settings,
        frames: &frames,
        ending: &ending,
    };
    let updates = match config.update.as_ref().zip(updating) {
        Some((update, updating)) => Updates::start(update, updating, &around)?,
        None => None,
    };
    let exchange = updates.as_ref().map(|updates| Arc::clone(&updates.exchange));
    let mut equipment = equipment(config, &node, &outbox, &snapshots, &settings, &vocabulary);
    equipment.install = updates.as_ref().map(|updates| updates.install.clone());
    let desk = Desk::new(equipment, ending);
    let carried_out_with = desk.equipment();
    let page = match &config.page {
        Some(page) => {
            let sources = Sources {
                node: config.node.as_str().into(),
                equipment: Arc::clone(&carried_out_with),
                observer: Arc::clone(&observer),
                frames: Arc::clone(&frames),
                folder: config.outbox.folder().map(Into::into),
                connection,
                commands: asking,
                machine: Box::new(machine),
            };
            Some(NodePage::start(page, sources).await?)
        }
        None => None,
    };
    let desk = tokio::spawn(desk.run(commands));
    let drift_watch = drift_watch(config, &node, &observer, &vocabulary);
    let (locator, position) = locate(&config.position)?;
    let gear = Gear {
        frames,
        node: Arc::clone(&node),
        alerts,
        snapshots,
        settings,
        vocabulary,
        exchange,
        observer,
        locator,
        flight: flight_log(config, &node)?,
        detectors: config.cameras.iter().map(detector).collect::<Result<_, _>>()?,
    };
    let path = FramePath::start(config, decider, gear, position)?;
    let drifting = tokio::spawn(drift_watch.run());
    let measuring = tokio::spawn(measure(Arc::clone(&node), Arc::clone(&path.frames), config.mqtt.metrics));

    let pulse = Pulse::new(manager, &config.cameras, Arc::clone(&node), Arc::clone(&path.frames));
    let standing = pulse.standing();
    let pulse = tokio::spawn(pulse.run());
    let reloader = Reloader { manager, written, equipment: carried_out_with, standing };
    wait_for_the_end(&mut signals, &mut ended, &reloader).await;
    pulse.abort();
    if let Some(page) = page {
        page.stop().await;
    }
    manager.stopping("stopping: what was decided is sent or kept");
    let ending = *ended.borrow();
    measuring.abort();
    drifting.abort();
    // Before the inference thread ends: a change of models is brought to its end.
    if let Some(updates) = updates {
        updates.stop(config.mqtt.stop_timeout).await;
    }
    let frames = Arc::clone(&path.frames);
    // Waits for the frame in the engine; the network goes on meanwhile.
    let _ = tokio::task::spawn_blocking(move || path.stop()).await;
    node.measured(frames.counts(node.camera_names()));
    stop.send_replace(true);
    let unknown = Farewell { acknowledged: 0, kept: 0, lost: 0, announced: false };
    let mut farewell = session.await.unwrap_or(unknown);
    let closing = Arc::clone(&outbox);
    let _ = tokio::task::spawn_blocking(move || closing.close()).await;
    farewell.lost = outbox.at_risk();
    desk.abort();
    developing.abort();
    if let Some(broker) = broker {
        broker.stop(&client_id(&config.node)).await;
    }
    let Farewell { acknowledged, kept, lost, announced } = farewell;
    repeats::tell_left_out(true);
    tracing::info!(acknowledged, kept, lost, announced, "stopped");
    if ending == Ending::Restart {
        manager.absence("starting again by command");
    }
    Ok(ending)
}

/// Until somebody wants the daemon to end.
async fn wait_for_the_end(signals: &mut Signals, ended: &mut watch::Receiver<Ending>, reloader: &Reloader) {
    let mut sweeps = tokio::time::interval(std::time::Duration::from_secs(10));
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Asked::ToReload => reloader.reload(),
                Asked::ToStop(signal) => return tracing::info!("{signal}: stopping"),
            },
            _ = ended.wait_for(|ending| *ending == Ending::Restart) => {
                return tracing::info!("restart by command: stopping");
            }
            _ = sweeps.tick() => repeats::tell_left_out(false),
        }
    }
}

/// Without a page live pictures have no rate of their own.
fn observer(config: &Config) -> prometheus::Result<Observer> {
    let names: Vec<_> = config.cameras.iter().map(|camera| camera.name.as_str().to_owned()).collect();
    let every = config.page.as_ref().map_or(std::time::Duration::ZERO, |page| page.live_every);
    Observer::new(&names, every, config.page.is_some(), config.drift_spread)
}

fn drift_watch(
    config: &Config,
    node: &Arc<Node>,
    observer: &Arc<Observer>,
    vocabulary: &VocabularyCell,
) -> DriftWatch {
    let camera = |camera: &crate::config::CameraConfig| Watched {
        name: camera.name.as_str().to_owned(),
        topic: node.topics().drift(&camera.name),
        tracked: camera.tracks.is_some(),
    };
    let name = config.node.as_str();
    DriftWatch {
        observer: Arc::clone(observer),
        vocabulary: Arc::clone(vocabulary),
        outbox: node.outbox(),
        node: name.into(),
        cameras: config.cameras.iter().map(camera).collect(),
        file: config.outbox.folder().map(|folder| folder.join(format!("usual-{name}.json"))),
    }
}

fn machine() -> Machine {
    Machine {
        time_source: time_source(),
        temperatures_c: temperatures(),
        rss_bytes: rss_bytes(),
        cpu_seconds: cpu_seconds(),
    }
}

fn equipment(
    config: &Config,
    node: &Arc<Node>,
    outbox: &Arc<Outbox>,
    snapshots: &Arc<Snapshots>,
    settings: &SettingsCell,
    vocabulary: &VocabularyCell,
) -> Equipment {
    let (changed, paused) = (Arc::clone(node), Arc::clone(node));
    Equipment {
        allow: arc_swap::ArcSwap::from_pointee(config.commands.clone()),
        settings: settings.clone(),
        vocabulary: Arc::clone(vocabulary),
        install: None,
        cameras: node.camera_names().to_vec(),
        moves: config.position.moves(),
        kept: Kept::path(config),
        snapshots: Arc::clone(snapshots),
        outbox: Arc::clone(outbox),
        topics: node.topics().clone(),
        replies: broadcast::Sender::new(64),
        cut_off_changed: Box::new(move |cut_off| changed.cut_off_changed(cut_off)),
        pause_changed: Box::new(move |camera, is_paused| paused.pause_changed(camera, is_paused)),
    }
}

/// The threads between cameras and outbox.
struct FramePath {
    frames: Arc<LatestFrames>,
    captures: Vec<CaptureThread>,
    inference: JoinHandle<()>,
    position: Option<PositionThread>,
}

/// The detector a camera's regions come from, where they do.
fn detector(camera: &CameraConfig) -> Result<Option<Detector>, RunError> {
    let opened = camera.regions.detector().map(|(file, score)| Detector::open(file, score)).transpose();
    opened.map_err(|source| RunError::Detector { camera: camera.name.as_str().into(), source })
}

/// What logs flights, where they are to be logged.
fn flight_log(config: &Config, node: &Node) -> Result<Option<LogWriter>, RunError> {
    let folder = config.position.flight_log.as_ref();
    let log = folder.map(|folder| LogWriter::start(folder, config.node.as_str(), node.boot())).transpose();
    log.map_err(|source| RunError::System { what: "a thread", source })
}

/// What knows where the node is, and the thread that listens for it.
fn locate(config: &PositionConfig) -> Result<(Locator, Option<PositionThread>), RunError> {
    let (protocol, address) = match &config.source {
        PositionSource::None => return Ok((Locator::none(), None)),
        PositionSource::Station(station) => return Ok((Locator::station(*station), None)),
        PositionSource::Link(protocol, address) => (*protocol, address.clone()),
    };
    let ground = match &config.ground {
        GroundConfig::Home => Ground::Flat(None),
        GroundConfig::Level(metres) => Ground::Flat(Some(*metres)),
        GroundConfig::Terrain(file) => Ground::Terrain(Arc::new(Terrain::read(file)?)),
    };
    let poses = Arc::new(Mutex::new(PoseBuffer::new(config.max_age)));
    let thread = PositionThread::start(protocol, address, config.delay, Arc::clone(&poses));
    let thread = thread.map_err(|source| RunError::System { what: "a thread", source })?;
    Ok((Locator::moving(poses, ground, config.budget), Some(thread)))
}

impl FramePath {
    fn start(
        config: &Config,
        decider: Decider,
        gear: Gear,
        position: Option<PositionThread>,
    ) -> Result<Self, RunError> {
        let failed = |source| RunError::System { what: "a thread", source };
        let (frames, node) = (Arc::clone(&gear.frames), Arc::clone(&gear.node));
        let inference = Inference::new(decider, gear, &config.cameras);
        let inference = std::thread::Builder::new().name("inference".into()).spawn(move || inference.run());
        let mut captures = Vec::new();
        for (number, camera) in config.cameras.iter().enumerate() {
            let name = camera.name.as_str();
            let source =
                capture::open(camera).map_err(|source| RunError::Source { camera: name.into(), source })?;
            let node = Arc::clone(&node);
            let tell = move |change| node.camera_changed(change);
            let capture =
                CaptureThread::start(number, name, source, camera.stall_timeout, Arc::clone(&frames), tell);
            captures.push(capture.map_err(failed)?);
        }
        Ok(Self { frames, captures, inference: inference.map_err(failed)?, position })
    }

    fn stop(self) {
        self.captures.into_iter().for_each(CaptureThread::stop);
        self.frames.close();
        if self.inference.join().is_err() {
            tracing::error!("the inference thread had panicked; the lines above say where");
        }
        if let Some(position) = self.position {
            position.stop();
        }
    }
}

async fn measure(node: Arc<Node>, frames: Arc<LatestFrames>, period: std::time::Duration) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    // The first tick comes at once, before there is anything to tell.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        node.measured(frames.counts(node.camera_names()));
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

/// What a signal asks for.
enum Asked {
    ToReload,
    ToStop(&'static str),
}

impl Signals {
    fn new() -> Result<Self, RunError> {
        let on = |kind| signal(kind).map_err(|source| RunError::System { what: "signal handling", source });
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::ToStop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::ToStop("SIGINT"),
            _ = self.hang_up.recv() => Asked::ToReload,
        }
    }
}
