//! The rows, table by table.

use super::{Key, Kind};

const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key { name, kind, default, meaning, source: "", live: false }
}

const fn number(
    name: &'static str,
    default: Option<f64>,
    (least, most): (f64, f64),
    unit: &'static str,
    meaning: &'static str,
) -> Key {
    key(name, Kind::Number { default, least, most, unit }, "", meaning)
}

const fn whole(
    name: &'static str,
    default: i64,
    (least, most): (u32, u32),
    unit: &'static str,
    meaning: &'static str,
) -> Key {
    key(name, Kind::Whole { default, least, most, unit }, "", meaning)
}

const fn choice(
    name: &'static str,
    default: &'static str,
    words: &'static [&'static str],
    meaning: &'static str,
) -> Key {
    key(name, Kind::Choice(words), default, meaning)
}

const fn switch(name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    key(name, Kind::Switch, default, meaning)
}

const fn other(
    name: &'static str,
    default: &'static str,
    allowed: &'static str,
    meaning: &'static str,
) -> Key {
    key(name, Kind::Other(allowed), default, meaning)
}

impl Key {
    /// A running daemon takes it over.
    const fn reload(self) -> Self {
        Self { live: true, ..self }
    }

    /// Only cameras of this source have it.
    const fn of(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    /// What it is when nobody sets it, where that depends on other keys.
    const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }
}

const SECONDS: &str = "seconds";

pub(super) static KEYS: &[Key] = &[
    other("node", "", "1 to 64 letters, digits, - _ .", "Name of this node in topics; the host's name where none is given."),
    choice("engine", "\"auto\"", &["auto", "tensorrt", "onnxruntime", "tract"], "Which engine runs the model; auto takes the first that works ([engines.md](engines.md))."),
    other("model.package", "", "path", "Package file; the shipped model where none is given."),
    number("model.target_accuracy", None, (0.01, 0.999), "an accuracy", "How often answers must be right; the model's calibration gives the threshold.").or("0.9").reload(),
    number("model.threshold", None, (0.0, 1.0), "probability", "Confidence cut-off, instead of a target.").reload(),
    choice("model.guarantee", "\"none\"", &["none", "average", "confident"], "What a target's threshold promises ([specificity.md](specificity.md)).").reload(),
    other("model.subtree", "", "tables of taxon and target_accuracy or threshold", "Other targets or thresholds at and below taxa: `[[model.subtree]]`.").reload(),
    other("model.priors", "", "list of taxon names or ids", "The only taxa to expect.").reload(),
    other("model.checklist", "", "path of CSV or TSV", "Taxa to expect, with their places and months; read again at each reload.").reload(),
    number("model.unlisted_weight", Some(0.0), (0.0, 1e6), "a weight", "Weight of taxa the checklist does not name.").reload(),
    other("model.subtree.taxon", "", "taxon name or id", "The taxon at the top of the subtree.").reload(),
    number("model.subtree.target_accuracy", None, (0.01, 0.999), "an accuracy", "How often answers at and below it must be right.").reload(),
    number("model.subtree.threshold", None, (0.0, 1.0), "probability", "Confidence cut-off, instead of a target.").reload(),
    whole("tract.threads", 0, (0, 64), "threads", "Of tract; 0 is one for each view, as far as there are cores."),
    other("onnxruntime.library", "", "path", "ONNX Runtime's library; `ORT_DYLIB_PATH`, then the system's, where none is given."),
    whole("onnxruntime.threads", 0, (0, 64), "threads", "Of ONNX Runtime; 0 is one for each core."),
    other("onnxruntime.providers", "", "list of \"openvino\", \"xnnpack\", \"cuda\"", "Who computes, before its own kernels; the library must have been built with it."),
    choice("onnxruntime.precision", "\"f32\"", &["f32", "int8"], "Which of the package's models it runs."),
    other("tensorrt.libraries", "", "path", "Folder of TensorRT's libraries; the system's where none is given."),
    other("tensorrt.cache", "\"/var/cache/fieldmark\"", "path", "Folder of compiled models; only root may be able to write in it."),
    choice("tensorrt.precision", "\"auto\"", &["auto", "f32", "fp16", "int8"], "auto is int8 where the package has it, else fp16, else f32."),
    whole("tensorrt.workspace_mb", 1024, (16, 1_048_576), "megabytes", "Most memory that compiling may use."),
    whole("tensorrt.batch", 1, (1, 64), "regions", "Regions in one call."),
    number("place.latitude", None, (-90.0, 90.0), "degrees", "North, WGS 84; for the checklist.").reload(),
    number("place.longitude", None, (-180.0, 180.0), "degrees", "East, WGS 84.").reload(),
    choice("position.source", "\"none\"", &["mavlink", "nmea", "gpsd", "station", "none"], "Where the node learns where it is ([field.md](field.md))."),
    other("position.address", "", "udp://address:port, tcp://host:port, serial:/dev/…:baud", "Where to listen, or what to connect to or open; each source has its usual one."),
    whole("position.system", 1, (1, 255), "a system", "MAVLink: the system to listen to.").or("the first that tells a position"),
    number("position.accuracy_m", Some(5.0), (0.0, 100_000.0), "metres", "Station: the radius within which it is with 95 %."),
    number("position.max_age_ms", None, (10.0, 60_000.0), "milliseconds", "From a frame within which a fix is used.").or("1000; nmea, gpsd: 2500"),
    number("position.delay_ms", Some(0.0), (0.0, 5000.0), "milliseconds", "That every message is on its way at least."),
    number("position.ground_m", None, (-500.0, 9000.0), "metres above sea level", "Level ground.").or("as high as the place of take-off"),
    other("position.terrain", "", "path of a GeoTIFF in degrees or an SRTM tile", "Terrain model, instead of a level."),
    number("position.attitude_error_deg", Some(1.0), (0.0, 45.0), "degrees", "Standard deviation of roll and pitch, boresight included."),
    number("position.yaw_error_deg", Some(3.0), (0.0, 45.0), "degrees", "Standard deviation of yaw."),
    number("position.height_error_m", Some(1.5), (0.0, 1000.0), "metres", "Standard deviation of the height above the ground."),
    number("position.time_error_ms", Some(20.0), (0.0, 10_000.0), "milliseconds", "Standard deviation of the time between frame and pose."),
    other("position.flight_log", "", "path", "Folder for a GeoJSON of each flight."),
    other("mqtt.url", "", "mqtt://, mqtts://, ws://, wss:// host:port", "The broker; the embedded one where none is given and `broker.embedded` is true."),
    choice("mqtt.version", "\"5\"", &["5", "3.1.1"], "Version of the protocol."),
    other("mqtt.username", "", "text", "User name; else the credential `mqtt-username`."),
    other("mqtt.password_file", "", "path", "File whose first line is the password; else the credential `mqtt-password`."),
    other("mqtt.ca_file", "", "path of PEM", "Certificates to believe; else the credential `mqtt-ca`, else the system's."),
    other("mqtt.cert_file", "", "path of PEM", "This node's certificate; else the credential `mqtt-cert`."),
    other("mqtt.key_file", "", "path of PEM", "Its key; else the credential `mqtt-key`."),
    whole("mqtt.keep_alive_s", 30, (5, 3600), SECONDS, "Time between pings."),
    whole("mqtt.connect_timeout_s", 15, (1, 300), SECONDS, "Time an attempt to connect may take."),
    whole("mqtt.session_expiry_s", 0, (0, 30 * 86_400), SECONDS, "How long the broker keeps commands for this node while it is away."),
    whole("mqtt.in_flight", 100, (1, 1000), "messages", "Sent and not acknowledged at one time."),
    whole("mqtt.max_packet_kb", 1024, (4, 65_536), "kilobytes", "Largest packet sent or taken."),
    number("mqtt.max_kbit_s", Some(0.0), (0.0, 1e7), "kilobits a second", "Most that is sent; 0 is no limit."),
    switch("mqtt.metered", "false", "The link costs money or power: no pictures of events, detections in batches."),
    number("mqtt.batch_s", None, (0.0, 3600.0), SECONDS, "Time over which detections are gathered and sent together.").or("0, 15 when metered"),
    number("mqtt.stop_timeout_s", Some(4.0), (0.1, 300.0), SECONDS, "How long a stop waits for acknowledgements, a quarter of it while the broker is away; what is left is kept for the next start."),
    number("mqtt.metrics_s", Some(10.0), (0.1, 3600.0), SECONDS, "Time between two `metrics` messages."),
    switch("outbox.durable", "true", "Whether events survive the process."),
    other("outbox.folder", "", "path", "Folder of the queue's file; `$STATE_DIRECTORY` (the service: `/var/lib/fieldmark`) or `~/.local/state/fieldmark` where none is given."),
    whole("outbox.max_mb", 256, (1, 1_048_576), "megabytes", "Largest size of the file; the oldest events make room, alerts last."),
    number("outbox.max_age_h", Some(720.0), (0.001, 87_600.0), "hours", "After which an event is not worth sending."),
    whole("outbox.memory", 4096, (16, 1_000_000), "events", "Held in memory while the disk is behind or full."),
    choice("outbox.disk_full", "\"publish\"", &["publish", "hold"], "What becomes of events the disk does not take: sent from memory, or held."),
    other("watch.taxa", "", "list of taxon names or ids", "What to alert on; any answer at or below fires.").reload(),
    other("watch.novelty", "", "list of \"first_ever\", \"first_today\", \"first_this_season\"", "Firsts to alert on."),
    number("watch.cooldown_s", Some(600.0), (0.0, 604_800.0), SECONDS, "Silence on a taxon after an alert."),
    number("snapshot.every_s", Some(0.0), (0.0, 86_400.0), SECONDS, "Least time between two pictures of events of a camera; 0 takes them on command only."),
    whole("snapshot.width", 640, (48, 8192), "pixels", "Greatest width."),
    whole("snapshot.max_kb", 100, (2, 65_536), "kilobytes", "Greatest size."),
    other("commands.allow", "", "list of \"snapshot\", \"target\", \"threshold\", \"prior\", \"region\", \"gate\", \"watch\", \"pause\", \"resume\", \"restart\", \"install\"", "Commands that are carried out; all others are refused.").reload(),
    switch("home_assistant.discovery", "false", "Announce the node to Home Assistant ([home-assistant.md](home-assistant.md))."),
    other("update.group", "", "letters, digits, - _ .", "Group whose desired model this node follows; without one nothing is ever updated ([fleet.md](fleet.md))."),
    other("update.root", "", "path", "The `root.json` of the fleet's release repository."),
    other("update.repository", "\"mqtt\"", "\"mqtt\", path, file://, http(s)://", "Where releases come from: the broker, or a mirror."),
    switch("update.automatic", "true", "Follow rollouts; otherwise only `install` updates."),
    other("update.folder", "", "path", "Where releases and what is trusted are kept; beside the outbox where none is given."),
    number("update.shadow_s", Some(600.0), (0.0, 604_800.0), SECONDS, "How long a model looks on before it answers."),
    number("update.probation_s", Some(1800.0), (0.0, 604_800.0), SECONDS, "How long it answers before it is confirmed."),
    whole("update.probation_frames", 20, (0, 1_000_000), "frames", "Frames it must have answered by then."),
    whole("update.max_failures", 5, (1, 1_000_000), "frames", "Frames without an answer that end it."),
    number("update.max_latency_ms", None, (0.1, 1e6), "milliseconds", "Longest mean time from pixels to decision."),
    number("update.max_latency_factor", Some(3.0), (1.0, 1000.0), "times", "The same, in that of the model before."),
    number("update.max_drift", Some(0.6), (0.0, 1.0), "share", "Largest difference of the rank mixes, to the model before."),
    number("update.max_memory_mb", None, (0.1, 1e6), "megabytes", "Most memory the self-test may take."),
    number("update.selftest_timeout_s", Some(600.0), (0.0, 86_400.0), SECONDS, "How long the self-test may take."),
    whole("update.max_tries", 5, (1, 1000), "tries", "Times a release is tried."),
    whole("update.max_starts", 5, (1, 1000), "starts", "Times the daemon may die on probation."),
    whole("update.free_mb", 256, (0, 1_000_000), "megabytes", "Room on the disk that stays free."),
    switch("broker.embedded", "false", "Run a broker inside the daemon."),
    other("broker.listen", "\"127.0.0.1:1883\"", "address:port", "Where it listens; anybody who reaches it may read and write."),
    switch("broker.persistence", "", "Keep what it retains, sessions and what waits for them over a restart, beside the outbox; as `outbox.durable` where it is not said."),
    other("page.listen", "", "address:port", "Where the page listens; without it there is none ([page.md](page.md)). Beyond loopback it needs a token or a proxy."),
    other("page.token_file", "", "path", "File whose first line is the token that lets people in; else the credential `page-token`."),
    other("page.proxy_header", "", "name of a header", "By which a reverse proxy names the user it let in."),
    other("page.proxy", "\"127.0.0.1\"", "address", "Where that proxy connects from; nobody else is believed."),
    switch("page.read_only", "false", "Nothing can be changed on the page, whatever `commands.allow` says."),
    number("page.live_fps", Some(4.0), (0.1, 30.0), "pictures a second", "Most live pictures of a camera."),
    whole("page.live_width", 640, (64, 4096), "pixels", "Least width of live pictures, where the camera gives it; they are less than twice as wide."),
    whole("page.max_viewers", 32, (1, 1000), "viewers", "That watch at one time."),
    number("page.requests_per_s", Some(20.0), (1.0, 10_000.0), "requests a second", "Of one address."),
    number("drift.spread_s", Some(3600.0), (0.0, 43_200.0), SECONDS, "Least time that a day's answers of a camera are spread over before they are judged ([page.md](page.md#drift)); what is usual takes 24 times as long."),
    other("log.level", "\"info\"", "error, warn, info, debug, trace, or a list of module=level", "What is logged.").reload(),
    choice("camera.NAME.source", "", &["files", "v4l", "gstreamer"], "Where frames come from. NAME: a-z, 0-9, - and _."),
    switch("camera.NAME.optional", "false", "Whether the service is ready without this camera ever having streamed."),
    other("camera.NAME.folder", "", "path", "Folder of pictures, shown in the order of their names.").of("files"),
    other("camera.NAME.files", "", "list of paths", "Pictures, in this order, instead of a folder.").of("files"),
    switch("camera.NAME.loop", "true; gstreamer: false", "Begin again after the last picture.").of("files, gstreamer"),
    number("camera.NAME.rate_hz", Some(1.0), (0.001, 1000.0), "pictures a second", "How fast pictures follow each other.").of("files"),
    choice("camera.NAME.pace", "\"rate\"", &["rate", "recorded"], "By `rate_hz`, or by the times that names begin with.").of("files"),
    other("camera.NAME.device", "\"/dev/video0\"", "path, by-path, by-id, or bus info", "Which device ([cameras.md](cameras.md)).").of("v4l"),
    whole("camera.NAME.width", 1280, (16, 16_384), "pixels", "Width asked for; the smallest size that covers is taken.").of("v4l"),
    whole("camera.NAME.height", 720, (16, 16_384), "pixels", "Height asked for.").of("v4l"),
    whole("camera.NAME.fps", 10, (1, 240), "frames a second", "Rate asked for.").of("v4l"),
    choice("camera.NAME.format", "\"auto\"", &["auto", "mjpg", "yuyv", "uyvy", "nv12", "rgb3", "grey"], "Pixel format; `auto` takes the cheapest that gives size and rate.").of("v4l"),
    other("camera.NAME.controls", "", "table of control = number or switch", "Values of the device's controls, as `fieldmarkd cameras` names them.").of("v4l"),
    other("camera.NAME.pipeline", "", "as gst-launch-1.0 takes it, without a sink", "The pipeline.").of("gstreamer"),
    number("camera.NAME.stall_timeout_s", Some(5.0), (0.1, 3600.0), SECONDS, "Without a usable frame for so long the camera is lost, and opened again.").of("v4l, gstreamer"),
    other("camera.NAME.region", "", "[left, top, right, bottom] in fractions", "Part of the frame to classify; the whole frame where none is given.").reload(),
    other("camera.NAME.focus", "", "[left, top, right, bottom] in fractions", "What magnifying views show instead of a region's middle.").reload(),
    choice("camera.NAME.regions.kind", "\"whole\"", &["whole", "centre", "boxes", "tiles", "motion", "detector"], "What regions that part is made into ([field.md](field.md)); all of them are classified.").reload(),
    number("camera.NAME.regions.share", None, (0.01, 1.0), "share", "Centre: of each side.").or("0.5").reload(),
    other("camera.NAME.regions.boxes", "", "table of name = [left, top, right, bottom] in fractions", "Boxes: the regions by name.").reload(),
    number("camera.NAME.regions.tile_px", None, (16.0, 16_384.0), "pixels", "Tiles, detector: side of a tile.").reload(),
    number("camera.NAME.regions.tile_m", None, (0.01, 10_000.0), "metres", "Tiles: side on the ground at the present height, instead of pixels.").reload(),
    number("camera.NAME.regions.overlap", None, (0.0, 0.9), "share", "Tiles, detector: of a side that a neighbour shows too.").or("0.5").reload(),
    whole("camera.NAME.regions.level", 12, (1, 255), "grey levels", "Motion: by which a part has to change.").reload(),
    other("camera.NAME.regions.detector", "", "path of an ONNX", "Detector: boxes out.").reload(),
    number("camera.NAME.regions.score", None, (0.0, 1.0), "a score", "Detector: least score of a box.").or("0.3").reload(),
    number("camera.NAME.regions.margin", None, (1.0, 8.0), "factor", "Motion, detector: sides of a region over those of the box it is drawn around.").or("1.5; detector: 1.2").reload(),
    whole("camera.NAME.regions.most", 64, (1, 1024), "regions", "Most of a frame; tiles are larger where there would be more.").reload(),
    number("camera.NAME.optics.fov_deg", None, (1.0, 170.0), "degrees", "That the camera sees across its frame; without, places are the receiver's own."),
    number("camera.NAME.optics.roll_deg", Some(0.0), (-180.0, 180.0), "degrees", "Mount against the vehicle: right side down."),
    number("camera.NAME.optics.pitch_deg", Some(-90.0), (-180.0, 180.0), "degrees", "Mount: -90 looks straight down with the frame's top towards the nose, 0 ahead."),
    number("camera.NAME.optics.yaw_deg", Some(0.0), (-180.0, 180.0), "degrees", "Mount: to the right of the nose."),
    other("camera.NAME.optics.centre", "[0.5, 0.5]", "[x, y] in fractions", "Where the axis meets the frame."),
    other("camera.NAME.optics.radial", "[0, 0]", "[k1, k2], -2 to 2", "Radial distortion."),
    number("camera.NAME.optics.range_m", Some(10.0), (0.1, 10_000.0), "metres", "Without `fov_deg`: from the camera within which an organism is."),
    switch("camera.NAME.optics.released", "false", "Frames are released by the autopilot: one was taken at the release before it."),
    choice("camera.NAME.gate", "\"off\"", &["off", "motion", "novelty"], "Which frames are looked at: a still scene costs no inference.").reload(),
    whole("camera.NAME.gate_level", 10, (0, 255), "grey levels", "By which a part of the picture has to change.").reload(),
    number("camera.NAME.gate_area", Some(0.002), (0.0001, 1.0), "share", "Of the region that has to change.").reload(),
    number("camera.NAME.gate_hold_s", Some(2.0), (0.0, 3600.0), SECONDS, "After a change in which every frame is looked at.").reload(),
    number("camera.NAME.gate_refresh_s", Some(300.0), (0.0, 86_400.0), SECONDS, "After which a still scene is looked at anyway; 0 for never.").reload(),
    switch("camera.NAME.tracks", "true; files: false", "Follow organisms over frames; otherwise every decision is an event."),
    number("camera.NAME.track_gap_s", None, (0.05, 86_400.0), SECONDS, "Without its organism after which a track ends.").or("3; over moving ground: 600"),
    number("camera.NAME.track_max_s", None, (0.1, 86_400.0), SECONDS, "After which a track ends in any case.").or("300; over moving ground: 86400"),
];
