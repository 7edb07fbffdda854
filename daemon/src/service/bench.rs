//! What a frame costs, stage by stage: the daemon's own stages, with a real outbox, on frames that are in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde::Serialize;

use super::inference::{Gear, Inference};
use super::machine::{cpu_seconds, peak_rss_bytes, rss_bytes};
use super::node::Node;
use super::run::RunError;
use crate::alert::{Alerts, Novelty};
use crate::capture::{Colour, Frame, FrameImage, LatestFrames, Layout, Outcome, Taken};
use crate::command::{Settings, SettingsCell, Vocabulary};
use crate::config::{Config, PixelFormat};
use crate::decide::Decider;
use crate::engine::{Engine, Shape};
use crate::observe::Observer;
use crate::position::Locator;
use crate::publish::outbox::Outbox;
use crate::publish::snapshot::Snapshots;

/// Frames looked at before any is measured.
const WARM: usize = 3;

/// A JPEG as a camera sends it.
pub struct BenchFrame {
    /// The file.
    pub jpeg: Vec<u8>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// How long a stage took over all frames, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Spread {
    /// What was done.
    pub stage: &'static str,
    /// Half of the frames took no longer.
    pub p50_ms: f64,
    /// Nine tenths.
    pub p90_ms: f64,
    /// 99 of a hundred.
    pub p99_ms: f64,
    /// On average.
    pub mean_ms: f64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct BenchReport {
    /// Model and version.
    pub model: String,
    /// Its engine.
    pub engine: String,
    /// Frames measured.
    pub frames: usize,
    /// Stages in the order a frame walks, then `total`, and `overhead`: the total without decode, views and inference.
    pub stages: Vec<Spread>,
    /// Frames a second, one after the other.
    pub frames_per_second: f64,
    /// Processor time of the whole process for a frame.
    pub cpu_ms_per_frame: f64,
    /// Memory once warm.
    pub rss_bytes: u64,
    /// Most memory, loading included.
    pub peak_rss_bytes: u64,
    /// The engine alone, without frames.
    pub alone: EngineAlone,
}

/// The engine alone.
#[derive(Debug, Clone, Serialize)]
pub struct EngineAlone {
    /// One region.
    pub p50_ms: f64,
    /// One region.
    pub p99_ms: f64,
    /// Processor time for one region.
    pub cpu_ms: f64,
    /// Regions in the calls of the following.
    pub batch: usize,
    /// Regions a second in such calls.
    pub regions_per_second: f64,
}

/// Looks at `frames` in turn, `count` in all, on `decider`'s engine, with the outbox and camera of `config`.
///
/// # Errors
/// If the outbox cannot be opened.
pub fn bench(
    config: &Config,
    mut decider: Decider,
    frames: &[BenchFrame],
    count: usize,
    batch: Option<usize>,
) -> Result<BenchReport, RunError> {
    let shape = Shape::new(decider.views(), decider.taxonomy().leaf_count());
    let alone = alone(decider.engine_mut(), shape, count, batch);
    let identity = decider.identity();
    let (model, engine) =
        (format!("{} {}", identity.name, identity.version), decider.engine_name().to_owned());
    let boot = ulid::Ulid::generate().to_string();
    let outbox = Arc::new(Outbox::open(&config.outbox, &boot)?);
    let names: Vec<_> = config.cameras.iter().map(|camera| camera.name.as_str().to_owned()).collect();
    let observer = Arc::new(Observer::new(&names, Duration::ZERO, false, Duration::ZERO)?);
    let node = Arc::new(Node::new(config, &decider, Arc::clone(&outbox), boot, Arc::clone(&observer)));
    let alerts = Alerts::new(decider.taxonomy(), &config.watch, Novelty::new(outbox.seen()));
    let alerts = alerts.map_err(RunError::Watch)?;
    let (snapshots, _developer) =
        Snapshots::new(&config.snapshot, node.snapshot_topics(), Arc::clone(&outbox));
    let slot = Arc::new(LatestFrames::new(1));
    let settings = SettingsCell::new(Settings::new(config));
    let vocabulary = Arc::new(ArcSwap::from_pointee(Vocabulary::of(&decider)));
    let frames_seen = Arc::clone(&slot);
    let gear = Gear {
        frames: frames_seen,
        node,
        alerts,
        snapshots,
        settings,
        vocabulary,
        exchange: None,
        observer,
        locator: Locator::none(),
        flight: None,
        detectors: config.cameras.iter().map(|_| None).collect(),
    };
    let mut inference = Inference::new(decider, gear, &config.cameras);
    for frame in frames.iter().cycle().take(WARM) {
        walk(&slot, &mut inference, frame);
    }
    let (cpu, begun) = (cpu_seconds().unwrap_or_default(), Instant::now());
    let times: Vec<_> =
        frames.iter().cycle().take(count).map(|frame| walk(&slot, &mut inference, frame)).collect();
    let (elapsed, cpu) = (begun.elapsed(), cpu_seconds().unwrap_or_default() - cpu);
    let rss = rss_bytes().unwrap_or_default();
    drop(inference);
    outbox.close();
    Ok(BenchReport {
        model,
        engine,
        frames: count,
        stages: spreads(&times),
        frames_per_second: count as f64 / elapsed.as_secs_f64(),
        cpu_ms_per_frame: cpu * 1000.0 / count as f64,
        rss_bytes: rss,
        peak_rss_bytes: peak_rss_bytes().unwrap_or_default(),
        alone,
    })
}

/// Milliseconds of each stage of a frame.
type Row = [f64; 8];

const STAGES: [&str; 8] =
    ["capture", "decode", "views", "inference", "decision", "outbox", "total", "overhead"];

fn walk(slot: &LatestFrames, inference: &mut Inference, frame: &BenchFrame) -> Row {
    let begun = Instant::now();
    let mut bytes = slot.buffer(0);
    bytes.clear();
    bytes.extend_from_slice(&frame.jpeg);
    let layout = Layout::new(PixelFormat::Mjpg, frame.width, frame.height, 0, Colour::default());
    let image = FrameImage::Raw { bytes, layout };
    slot.put(0, Frame { image, time: jiff::Timestamp::now(), moment: begun, sequence: 0 });
    let Taken::Frame(camera, taken) = slot.take(Duration::ZERO) else { return [0.0; 8] };
    let capture = begun.elapsed();
    let outcome = inference.look(camera, &taken);
    slot.settle(camera, taken, outcome);
    let total = begun.elapsed();
    if outcome != Outcome::Decided {
        tracing::warn!("a frame was not decided: {outcome:?}");
    }
    let times = inference.times();
    let overhead = total.saturating_sub(times.decode + times.views + times.inference);
    [capture, times.decode, times.views, times.inference, times.decision, times.outbox, total, overhead]
        .map(milliseconds)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn spreads(rows: &[Row]) -> Vec<Spread> {
    let stage = |(number, stage): (usize, &&'static str)| {
        let mut column: Vec<f64> = rows.iter().map(|row| row[number]).collect();
        column.sort_by(f64::total_cmp);
        let mean_ms = column.iter().sum::<f64>() / column.len().max(1) as f64;
        let [p50_ms, p90_ms, p99_ms] = [0.5, 0.9, 0.99].map(|share| quantile(&column, share));
        Spread { stage, p50_ms, p90_ms, p99_ms, mean_ms }
    };
    STAGES.iter().enumerate().map(stage).collect()
}

/// Of ascending numbers the one that `share` of them do not exceed.
pub(crate) fn quantile(ascending: &[f64], share: f64) -> f64 {
    let rank = (ascending.len() as f64 * share).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn alone(engine: &mut dyn Engine, shape: Shape, count: usize, batch: Option<usize>) -> EngineAlone {
    let batch = batch.unwrap_or(engine.batch()).max(1);
    let mut times: Vec<f64> = Vec::with_capacity(count);
    call(engine, shape, 1, WARM, &mut |_| ());
    let cpu = cpu_seconds().unwrap_or_default();
    call(engine, shape, 1, count, &mut |time| times.push(milliseconds(time)));
    let cpu_ms = (cpu_seconds().unwrap_or_default() - cpu) * 1000.0 / count.max(1) as f64;
    times.sort_by(f64::total_cmp);
    call(engine, shape, batch, 1, &mut |_| ());
    let (calls, begun) = (count.div_ceil(batch), Instant::now());
    call(engine, shape, batch, calls, &mut |_| ());
    let regions_per_second = (calls * batch) as f64 / begun.elapsed().as_secs_f64();
    let [p50_ms, p99_ms] = [0.5, 0.99].map(|share| quantile(&times, share));
    EngineAlone { p50_ms, p99_ms, cpu_ms, batch, regions_per_second }
}

fn call(engine: &mut dyn Engine, shape: Shape, regions: usize, times: usize, told: &mut dyn FnMut(Duration)) {
    let views = vec![vec![128; regions * shape.view_bytes()]; shape.views];
    let mut out = vec![0.0; regions * shape.leaves];
    for _ in 0..times {
        let begun = Instant::now();
        if let Err(error) = engine.infer(&views, regions, &mut out) {
            tracing::warn!("{error}");
        }
        told(begun.elapsed());
    }
}

/// The configuration of a measurement: one camera without tracks, so that every frame is published, and an outbox in
/// `folder`.
///
/// # Errors
/// If `folder` cannot stand in a configuration.
pub fn bench_config(folder: &Path) -> Result<Config, crate::config::LoadError> {
    let text = format!(
        "node = \"bench\"\n[broker]\nembedded = true\n[outbox]\nfolder = {folder:?}\n[camera.bench]\n\
         source = \"files\"\nfolder = \"unused\"\ntracks = false\n"
    );
    crate::config::load_text(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_exceeded_by_no_more_than_its_share() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((quantile(&hundred, 0.5) - 50.0).abs() < 1e-9);
        assert!((quantile(&hundred, 0.99) - 99.0).abs() < 1e-9);
        assert!((quantile(&hundred[..1], 0.99) - 1.0).abs() < 1e-9);
        assert!(quantile(&[], 0.5).abs() < 1e-9);
    }
}
