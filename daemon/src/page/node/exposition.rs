//! Every number of the node as Prometheus reads it. Names are frozen by a test: dashboards and alert rules hold on to
//! them.

use prometheus::core::{AtomicF64, AtomicU64};
use prometheus::core::{GenericCounter, GenericCounterVec, GenericGauge, GenericGaugeVec};
use prometheus::{Opts, Registry, TextEncoder};

use super::Shared;
use super::state::disk;
use crate::capture::{CameraCounts, CameraState};
use crate::publish::messages::DriftState;

/// What is counted elsewhere, gathered anew at each look.
struct Gathering(Registry);

type Labels<'a> = (&'a [&'a str], Vec<(Vec<String>, f64)>);

impl Gathering {
    fn gauge(&self, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
        let gauge = GenericGauge::<AtomicF64>::new(name, help)?;
        gauge.set(value);
        self.0.register(Box::new(gauge))
    }

    fn counter(&self, name: &str, help: &str, value: u64) -> prometheus::Result<()> {
        let counter = GenericCounter::<AtomicU64>::new(name, help)?;
        counter.inc_by(value);
        self.0.register(Box::new(counter))
    }

    /// Gauges of one name, by labels; none where there are no values.
    fn gauges(&self, name: &str, help: &str, (labels, values): Labels<'_>) -> prometheus::Result<()> {
        let gauges = GenericGaugeVec::<AtomicF64>::new(Opts::new(name, help), labels)?;
        for (of, value) in &values {
            gauges.get_metric_with_label_values(of)?.set(*value);
        }
        self.0.register(Box::new(gauges))
    }

    fn counters(&self, name: &str, help: &str, (labels, values): Labels<'_>) -> prometheus::Result<()> {
        let counters = GenericCounterVec::<AtomicF64>::new(Opts::new(name, help), labels)?;
        for (of, value) in &values {
            counters.get_metric_with_label_values(of)?.inc_by(*value);
        }
        self.0.register(Box::new(counters))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

/// All of it in Prometheus' text format.
pub(super) fn exposition(shared: &Shared) -> prometheus::Result<String> {
    let gathering = Gathering(Registry::new());
    frames(shared, &gathering)?;
    cameras(shared, &gathering)?;
    messages(shared, &gathering)?;
    model(shared, &gathering)?;
    machine(shared, &gathering)?;
    let mut families = gathering.0.gather();
    families.extend(shared.sources.observer.tally().gather());
    // A kind of number that has none yet says nothing.
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|one, other| one.name().cmp(other.name()));
    TextEncoder::new().encode_to_string(&families)
}

fn frames(shared: &Shared, gathering: &Gathering) -> prometheus::Result<()> {
    let counts = shared.sources.frames.counts(&shared.sources.equipment.cameras);
    let of = |count: fn(&CameraCounts) -> u64| {
        counts.iter().map(|(name, counts)| (vec![name.clone()], float(count(counts)))).collect()
    };
    for (name, help, count) in [
        (
            "fieldmark_frames_captured_total",
            "Frames the camera gave or should have given: inferred, dropped, skipped, and those that wait.",
            (|counts| counts.captured) as fn(&CameraCounts) -> u64,
        ),
        ("fieldmark_frames_inferred_total", "Frames that got a decision.", |counts| counts.inferred),
        ("fieldmark_frames_dropped_total", "Frames pushed out by newer ones.", |counts| counts.dropped),
        (
            "fieldmark_frames_skipped_total",
            "Frames that were damaged, not to be decided on, or showed nothing new.",
            |counts| counts.skipped,
        ),
        (
            "fieldmark_frames_still_total",
            "Of the skipped, frames in which the gate saw no change.",
            |counts| counts.still,
        ),
    ] {
        gathering.counters(name, help, (&["camera"], of(count)))?;
    }
    let waiting = of(|counts| counts.waiting);
    gathering.gauges(
        "fieldmark_frames_waiting",
        "Frames in the slot or in the engine.",
        (&["camera"], waiting),
    )
}

fn cameras(shared: &Shared, gathering: &Gathering) -> prometheus::Result<()> {
    let reported = shared.sources.observer.reported();
    let settings = shared.sources.equipment.settings.get();
    let statuses = || shared.sources.equipment.cameras.iter().zip(&reported.cameras);
    let up = statuses().map(|(name, status)| {
        let up = status.as_ref().is_some_and(|status| status.state == CameraState::Streaming);
        (vec![name.clone()], f64::from(u8::from(up)))
    });
    gathering.gauges(
        "fieldmark_camera_up",
        "1 while the camera gives frames.",
        (&["camera"], up.collect()),
    )?;
    let losses = statuses()
        .map(|(name, status)| (vec![name.clone()], float(status.as_ref().map_or(0, |status| status.losses))));
    let help = "Times the camera was lost since the daemon started.";
    gathering.counters("fieldmark_camera_losses_total", help, (&["camera"], losses.collect()))?;
    let paused = shared.sources.equipment.cameras.iter().zip(&settings.cameras);
    let paused = paused.map(|(name, camera)| (vec![name.clone()], f64::from(u8::from(camera.paused))));
    gathering.gauges(
        "fieldmark_camera_paused",
        "1 while frames are passed over.",
        (&["camera"], paused.collect()),
    )?;
    drifts(shared, gathering)
}

fn drifts(shared: &Shared, gathering: &Gathering) -> prometheus::Result<()> {
    let reported = shared.sources.observer.reported();
    let drifts = || shared.sources.equipment.cameras.iter().zip(&reported.drifts);
    let departed = drifts().map(|(name, drift)| {
        let departed = drift.as_ref().is_some_and(|drift| drift.state == DriftState::Departed);
        (vec![name.clone()], f64::from(u8::from(departed)))
    });
    let help = "1 while a camera's answers are not what they are meant to look like.";
    gathering.gauges("fieldmark_drift_departed", help, (&["camera"], departed.collect()))?;
    let distances =
        drifts().filter_map(|(name, drift)| Some((name, drift.as_ref()?))).flat_map(|(name, drift)| {
            let from =
                |from: &str, distance: Option<f64>| Some((vec![name.clone(), from.to_owned()], distance?));
            [from("package", drift.distance_package), from("usual", drift.distance_usual)]
        });
    let help = "Share of the day's answers that would have to be of another rank to be as the package's, or as usual.";
    gathering.gauges("fieldmark_drift_distance", help, (&["camera", "from"], distances.flatten().collect()))
}

fn messages(shared: &Shared, gathering: &Gathering) -> prometheus::Result<()> {
    let counts = shared.sources.equipment.outbox.counts();
    gathering.gauge("fieldmark_outbox_waiting", "Events that wait for the broker.", float(counts.waiting))?;
    gathering.gauge(
        "fieldmark_outbox_in_flight",
        "Messages sent and not acknowledged.",
        float(counts.in_flight),
    )?;
    gathering.gauge(
        "fieldmark_outbox_durable",
        "1 while the disk takes events.",
        f64::from(u8::from(counts.durable)),
    )?;
    gathering.counter(
        "fieldmark_outbox_acknowledged_total",
        "Messages the broker has.",
        counts.acknowledged,
    )?;
    gathering.counter("fieldmark_outbox_replayed_total", "Events sent late or again.", counts.replayed)?;
    let mut dropped = Vec::new();
    for (class, losses) in &counts.dropped {
        dropped.extend(losses.iter().map(|(loss, count)| (vec![word(class), word(loss)], float(*count))));
    }
    let help = "Messages never delivered, by class and reason.";
    gathering.counters("fieldmark_outbox_dropped_total", help, (&["class", "reason"], dropped))?;
    let connection = shared.sources.connection.now();
    let connected = f64::from(u8::from(connection.connected));
    gathering.gauge(
        "fieldmark_broker_connected",
        "1 while there is a connection to the broker.",
        connected,
    )?;
    let again = connection.connections.saturating_sub(1);
    gathering.counter("fieldmark_broker_reconnects_total", "Connections made after the first.", again)?;
    gathering.counter("fieldmark_broker_losses_total", "Connections lost.", connection.losses)
}

fn model(shared: &Shared, gathering: &Gathering) -> prometheus::Result<()> {
    let reported = shared.sources.observer.reported();
    if let Some(info) = &reported.info {
        let labels = ["node", "version", "model", "model_version", "engine"];
        let values = [&info.node, &info.fieldmark, &info.model.name, &info.model.version, &info.engine];
        let values = vec![(values.map(Clone::clone).to_vec(), 1.0)];
        gathering.gauges("fieldmark_info", "What runs, in labels.", (&labels, values))?;
        gathering.gauge("fieldmark_threshold", "The confidence cut-off in force.", info.threshold)?;
        if let Some(target) = info.target {
            gathering.gauge("fieldmark_target", "The accuracy it was measured for.", target)?;
        }
        if let Ok(started) = info.started.parse::<jiff::Timestamp>() {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^52")]
            let seconds = started.as_millisecond() as f64 / 1000.0;
            let help = "When the daemon started, seconds since 1970.";
            gathering.gauge("fieldmark_start_time_seconds", help, seconds)?;
        }
    }
    let phase = reported.model.as_ref().map(|model| word(&model.phase));
    let phase = phase.map(|phase| (vec![phase], 1.0)).into_iter().collect();
    gathering.gauges("fieldmark_model_phase", "How far an update is, in a label.", (&["phase"], phase))
}

fn machine(shared: &Shared, gathering: &Gathering) -> prometheus::Result<()> {
    let machine = (shared.sources.machine)();
    let zones = machine.temperatures_c.iter().map(|(zone, degrees)| (vec![zone.clone()], *degrees));
    let help = "Temperature by the kernel's thermal zone.";
    gathering.gauges("fieldmark_temperature_celsius", help, (&["zone"], zones.collect()))?;
    let set = f64::from(u8::from(machine.time_source != "unsynchronised"));
    gathering.gauge("fieldmark_clock_synchronised", "1 where somebody vouches for the clock.", set)?;
    if let Some(free) = disk(shared)["free_bytes"].as_u64() {
        gathering.gauge("fieldmark_disk_free_bytes", "Room where events are kept.", float(free))?;
    }
    if let Some(rss) = machine.rss_bytes {
        gathering.gauge("process_resident_memory_bytes", "Memory in use.", float(rss))?;
    }
    if let Some(seconds) = machine.cpu_seconds {
        let counter = GenericCounter::<AtomicF64>::new("process_cpu_seconds_total", "Processor time used.")?;
        counter.inc_by(seconds);
        gathering.0.register(Box::new(counter))?;
    }
    let viewers = u32::try_from(shared.live.viewers()).unwrap_or(u32::MAX);
    gathering.gauge("fieldmark_page_viewers", "Live pictures being watched.", f64::from(viewers))?;
    let pictures = shared.live.compressed();
    gathering.counter("fieldmark_page_pictures_total", "Live pictures compressed.", pictures)
}

/// A value's name on the wire.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
