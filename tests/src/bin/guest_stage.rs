//! Runs in the guest as root: does to the daemon's cameras what the field does to them, and checks what it says.
//! Prints a table; the first broken promise ends it with exit code 1.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fieldmark_tests::stage::{
    Background, CameraTable, Daemon, Failure, OpenPage, Table, shell, wait_for_node, wait_for_path, write,
};

const SHARE: &str = "/mnt/host";
const TOY: &str = "/mnt/host/toy.fieldmark";
/// The emulated camera by bus, so that its number may change.
const USB: &str =
    "device = \"usb-vhci_hcd.0-1\"\nwidth = 640\nheight = 360\nfps = 15\nstall_timeout_s = 4\ntracks = false";
/// The same by the link that keeps its name, and by the link of the place it is plugged in.
const USB_BY_ID: &str = "/dev/v4l/by-id/usb-fieldmark_tests_Emulated_camera_0001-video-index0";
const USB_BY_PATH: &str = "/dev/v4l/by-path/platform-vhci_hcd.0-usb-0:1:1.0-video-index0";
const USB_LINES: &str =
    "width = 640\nheight = 360\nfps = 15\nformat = \"mjpg\"\nstall_timeout_s = 4\ntracks = false";
/// Two devices: a webcam, and an HDMI input with the output that is looped into it.
const LOAD_VIVID: &str = "modprobe vivid n_devs=2 node_types=0x1,0x101 num_inputs=1,1 input_types=0x0,0x3 num_outputs=1,1 output_types=0x0,0x1";
/// vivid as a webcam. Links by path are no help here: all of its devices have the same.
const WEBCAM: &str = "device = \"platform:vivid-000\"\nwidth = 640\nheight = 360\nfps = 5\nstall_timeout_s = 4\nformat = \"yuyv\"\ntracks = false\n[camera.webcam.controls]\nbrightness = 100";
const WEBCAM_CARD: &str = "vivid-000-vid-cap";
/// The two ends of its HDMI loop.
const LOOP_IN: &str = "vivid-001-vid-cap";
const LOOP_OUT: &str = "vivid-001-vid-out";
/// In which an open page has to be told that a camera is gone.
const PAGE_PATIENCE: Duration = Duration::from_secs(2);
/// Longer than any model takes under emulation.
const MODEL_PATIENCE: Duration = Duration::from_secs(400);

fn main() -> ExitCode {
    let mut table = Table::default();
    let done = stage(&mut table);
    let written = write(&format!("{SHARE}/table.md"), &table.to_string());
    println!("\n{table}");
    match done.and(written) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("FAIL  {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Both halves, or the one the share's file `only` names.
fn stage(table: &mut Table) -> Result<(), Failure> {
    let only = std::fs::read_to_string(format!("{SHARE}/only")).unwrap_or_default();
    if only.trim() != "pictures" {
        troubles(table)?;
    }
    if only.trim() != "troubles" {
        shell("systemctl stop fieldmarkd")?;
        shell(LOAD_VIVID)?;
        tie_loop()?;
        formats(table)?;
        gate(table)?;
        photographs(table)?;
    }
    Ok(())
}

fn troubles(table: &mut Table) -> Result<(), Failure> {
    let cycles =
        std::fs::read_to_string(format!("{SHARE}/cycles")).ok().and_then(|text| text.trim().parse().ok());
    let usb = Usb::new("colours")?;
    let daemon = absent_at_boot(table, &usb)?;
    two_cameras(&daemon)?;
    usb_moods(table, &daemon, &usb)?;
    unplugging(table, &daemon, &usb, cycles.unwrap_or(10))?;
    renumbering(table, &daemon, &usb)?;
    vivid_errors(table, &daemon)?;
    daemon.check_accounts()?;
    drop(daemon);
    mjpg(table, &usb)?;
    busy(table)?;
    usb.say("unplug")
}

/// The emulated camera's program and the pipe that tells it what to do.
struct Usb {
    pipe: String,
    _program: Background,
}

impl Usb {
    fn new(pictures: &str) -> Result<Self, Failure> {
        shell("modprobe -a vhci-hcd uvcvideo")?;
        let pipe = format!("/run/uvc-{pictures}");
        shell(&format!("rm -f {pipe}; mkfifo {pipe}"))?;
        let line = format!("exec uvc_camera {SHARE}/{pictures} <>{pipe}");
        Ok(Self { _program: Background::start("sh", &["-c", &line])?, pipe })
    }

    fn say(&self, word: &str) -> Result<(), Failure> {
        write(&self.pipe, &format!("{word}\n"))
    }
}

/// Both cameras are configured before they exist.
fn absent_at_boot(table: &mut Table, usb: &Usb) -> Result<Daemon, Failure> {
    let cameras = [CameraTable { name: "usb", lines: USB }, CameraTable { name: "webcam", lines: WEBCAM }];
    let daemon = Daemon::start(TOY, &cameras)?;
    let begun = daemon.started;
    for camera in ["usb", "webcam"] {
        daemon.listener.state(camera, "lost", begun)?;
    }
    let told = begun.elapsed();
    shell(LOAD_VIVID)?;
    wait_for_node(WEBCAM_CARD)?;
    let there = Instant::now();
    let streaming = daemon.listener.state("webcam", "streaming", there)?;
    table.add(
        "camera absent at boot, driver loaded later",
        "lost, then streaming",
        Some(told),
        Some(streaming.at - there),
    );
    let plugged = Instant::now();
    usb.say("plug")?;
    let streaming = daemon.listener.state("usb", "streaming", plugged)?;
    let (format, size) = (&streaming.message["format"], &streaming.message["size"]);
    if format != "YUYV" || size != &serde_json::json!([640, 360]) {
        return Err(format!("negotiated {}", streaming.message).into());
    }
    table.add(
        "USB camera absent at boot, plugged in later",
        "lost, then streaming",
        None,
        Some(streaming.at - plugged),
    );
    Ok(daemon)
}

/// Both cameras' frames are decided on, in turn.
fn two_cameras(daemon: &Daemon) -> Result<(), Failure> {
    let now = Instant::now();
    for camera in ["usb", "webcam"] {
        daemon.listener.wait("metrics", now, |metrics| {
            metrics["cameras"][camera]["inferred"].as_u64().is_some_and(|count| count > 3)
        })?;
    }
    Ok(())
}

/// One thing done to a camera, and undone.
fn disturb(
    table: &mut Table,
    daemon: &Daemon,
    camera: &str,
    injection: &str,
    trouble: impl FnOnce() -> Result<(), Failure>,
    relief: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    trouble()?;
    let lost = daemon.listener.state(camera, "lost", begun)?;
    let over = Instant::now();
    relief()?;
    let back = daemon.listener.state(camera, "streaming", lost.at)?;
    let reason = lost.message["reason"].as_str().unwrap_or_default();
    let reason = reason.split("; ").next().unwrap_or_default();
    let recovered = back.at.saturating_duration_since(over);
    table.add(injection, &format!("lost ({reason}), reopened"), Some(lost.at - begun), Some(recovered));
    Ok(())
}

/// A camera that sends too little.
fn usb_moods(table: &mut Table, yuyv: &Daemon, usb: &Usb) -> Result<(), Failure> {
    disturb(table, yuyv, "usb", "YUYV frames cut short", || usb.say("short"), || usb.say("resume"))?;
    disturb(table, yuyv, "usb", "stall", || usb.say("stall"), || usb.say("resume"))?;
    yuyv.check_accounts()
}

/// Bad JPEGs, and odd ones that are good.
fn mjpg(table: &mut Table, usb: &Usb) -> Result<(), Failure> {
    // Plugged in afresh: on a loaded machine the link of the renumbered device may be gone.
    usb.say("unplug")?;
    std::thread::sleep(Duration::from_secs(2));
    usb.say("plug")?;
    wait_for_path(USB_BY_ID)?;
    let lines = format!("device = {USB_BY_ID:?}\n{USB_LINES}");
    let daemon = Daemon::start(TOY, &[CameraTable { name: "usb", lines: &lines }])?;
    daemon.listener.state("usb", "streaming", daemon.started)?;
    taxon(&daemon, "usb", daemon.started, "Apis mellifera")?;
    table.add("MJPG, a red picture", "published Apis mellifera", None, None);
    for (mood, injection) in [
        ("garbage", "MJPG frames of garbage"),
        ("short", "MJPG frames cut short"),
        ("resized", "MJPG frames of another size"),
    ] {
        disturb(table, &daemon, "usb", injection, || usb.say(mood), || usb.say("resume"))?;
    }
    let begun = Instant::now();
    usb.say("bare")?;
    std::thread::sleep(Duration::from_secs(3));
    let losses =
        daemon.listener.all().iter().filter(|heard| heard.at > begun && heard.topic == "usb/status").count();
    if losses > 0 {
        return Err("MJPEG without tables made the camera lost".into());
    }
    taxon(&daemon, "usb", begun + Duration::from_secs(2), "Apis mellifera")?;
    table.add("MJPG frames without Huffman tables", "streamed on, same taxon published", None, None);
    usb.say("resume")?;
    daemon.check_accounts()
}

/// Pulls the plug. Returns when the camera was told lost, and when that its place is empty: only then has the kernel
/// freed the port.
fn unplug(daemon: &Daemon, usb: &Usb, begun: Instant) -> Result<(Instant, Instant), Failure> {
    usb.say("unplug")?;
    let lost = daemon.listener.state("usb", "lost", begun)?;
    let empty = |status: &serde_json::Value| {
        status["reason"].as_str().is_some_and(|reason| reason.contains("no camera is plugged in there"))
    };
    let gone = daemon.listener.wait("usb/status", begun, empty)?;
    Ok((lost.at, gone.at))
}

/// Many cycles of unplugging leave nothing behind.
fn unplugging(table: &mut Table, daemon: &Daemon, usb: &Usb, cycles: u32) -> Result<(), Failure> {
    let (mut before, mut slowest) = (None, Duration::ZERO);
    let (page, mut slowest_page) = (OpenPage::open()?, Duration::ZERO);
    for cycle in 0..cycles {
        let begun = Instant::now();
        let (lost, gone) = unplug(daemon, usb, begun)?;
        slowest_page = slowest_page.max(page.state("usb", "lost", begun)? - begun);
        let plugged = Instant::now();
        usb.say("plug")?;
        let back = daemon.listener.state("usb", "streaming", gone)?;
        slowest = slowest.max(back.at.saturating_duration_since(plugged));
        if cycle == 1 {
            before = Some(daemon.usage()?);
        }
        if cycle == 0 {
            table.add("unplug, plug in again", "lost, reopened", Some(lost - begun), Some(back.at - plugged));
        }
    }
    let (before, after) = (before.ok_or("too few cycles")?, daemon.usage()?);
    let descriptors = after.descriptors.saturating_sub(before.descriptors);
    let grown = after.resident_kib.saturating_sub(before.resident_kib);
    let did = format!(
        "{} descriptors before and {} after, resident memory {} and {} KiB",
        before.descriptors, after.descriptors, before.resident_kib, after.resident_kib
    );
    // A frame's buffers are a few MiB; what leaks grows with every cycle.
    if descriptors > 2 || grown > 8192 {
        return Err(format!("{cycles} cycles of unplugging leak: {did}").into());
    }
    table.add(&format!("{cycles} cycles of that, slowest"), &did, None, Some(slowest));
    if slowest_page > PAGE_PATIENCE {
        return Err(format!("a pulled plug was on the page after {slowest_page:?}").into());
    }
    table.add("of these, until an open page was told", "lost", Some(slowest_page), None);
    let webcam = daemon.listener.all().into_iter().rev().find(|heard| heard.topic == "webcam/status");
    match webcam {
        Some(heard) if heard.message["state"] == "streaming" => Ok(()),
        _ => Err("one camera's trouble stopped the other".into()),
    }
}

/// The old device file is held open, so the camera comes back under another number.
fn renumbering(table: &mut Table, daemon: &Daemon, usb: &Usb) -> Result<(), Failure> {
    let statuses = daemon.listener.all().into_iter().rev();
    let status = statuses
        .filter(|heard| heard.topic == "usb/status")
        .find(|heard| heard.message["state"] == "streaming");
    let old = status
        .and_then(|heard| heard.message["device"].as_str().map(str::to_owned))
        .ok_or("no device in status")?;
    let holder = std::fs::File::open(&old)?;
    let begun = Instant::now();
    let (lost, gone) = unplug(daemon, usb, begun)?;
    let plugged = Instant::now();
    usb.say("plug")?;
    let back = daemon.listener.state("usb", "streaming", gone)?;
    let new = back.message["device"].as_str().unwrap_or_default();
    if new == old {
        return Err(format!("the camera is {old} again").into());
    }
    table.add(
        "renumbering",
        &format!("lost as {old}, found as {new}"),
        Some(lost - begun),
        Some(back.at - plugged),
    );
    drop(holder);
    Ok(())
}

/// Everything vivid can be asked to do wrong.
fn vivid_errors(table: &mut Table, daemon: &Daemon) -> Result<(), Failure> {
    let set = |control: &str| {
        let node = wait_for_node(WEBCAM_CARD)?;
        shell(&format!("v4l2-ctl -d {node} -c {control}")).map(drop)
    };
    let brightness = shell(&format!("v4l2-ctl -d {} -C brightness", wait_for_node(WEBCAM_CARD)?))?;
    if brightness.trim() != "brightness: 100" {
        return Err(format!("the configured control is not set: {brightness}").into());
    }
    table.add("control brightness = 100 in the configuration", "set when the camera was opened", None, None);
    let fatal = || set("inject_fatal_streaming_error=1");
    let nothing = || Ok(());
    disturb(table, daemon, "webcam", "vivid: fatal streaming error", fatal, nothing)?;
    for (control, injection) in [
        ("inject_vidioc_reqbufs_error=1", "vivid: REQBUFS error at reopening"),
        ("inject_vidioc_streamon_error=1", "vivid: STREAMON error at reopening"),
        ("inject_vidioc_qbuf_error=1", "vivid: QBUF error"),
    ] {
        let trouble = || set(control).and_then(|()| fatal());
        disturb(table, daemon, "webcam", injection, trouble, nothing)?;
    }
    let drop_all = || set("percentage_of_dropped_buffers=100");
    disturb(table, daemon, "webcam", "vivid: every buffer dropped", drop_all, || {
        set("percentage_of_dropped_buffers=0")
    })?;
    disturb(table, daemon, "webcam", "vivid: disconnect", || set("disconnect=1"), nothing)?;
    let driver = |action: &str| write(&format!("/sys/bus/platform/drivers/vivid/{action}"), "vivid.0");
    disturb(table, daemon, "webcam", "driver unbound", || driver("unbind"), || driver("bind"))?;
    let skipped = |metrics: &serde_json::Value| metrics["cameras"]["webcam"]["skipped"].as_u64();
    let before = daemon.listener.wait("metrics", Instant::now(), |metrics| skipped(metrics).is_some())?;
    let before = skipped(&before.message).unwrap_or_default();
    let begun = Instant::now();
    set("inject_v4l2_buf_flag_error=1")?;
    let counted =
        daemon.listener.wait("metrics", begun, |metrics| skipped(metrics).is_some_and(|now| now > before))?;
    table.add(
        "vivid: buffer flagged as damaged",
        "skipped and counted, streamed on",
        Some(counted.at - begun),
        None,
    );
    Ok(())
}

/// Another program has the camera when the daemon starts.
fn busy(table: &mut Table) -> Result<(), Failure> {
    shell("systemctl stop fieldmarkd")?;
    let grabber = Background::start("v4l2-ctl", &["-d", &wait_for_node(WEBCAM_CARD)?, "--stream-mmap"])?;
    std::thread::sleep(Duration::from_secs(2));
    let daemon = Daemon::start(TOY, &[CameraTable { name: "webcam", lines: WEBCAM }])?;
    let lost = daemon.listener.state("webcam", "lost", daemon.started)?;
    let reason = lost.message["reason"].as_str().unwrap_or_default().to_owned();
    if !reason.contains("another program uses the camera") {
        return Err(format!("a busy camera was told as {reason:?}").into());
    }
    let freed = Instant::now();
    drop(grabber);
    let back = daemon.listener.state("webcam", "streaming", freed)?;
    table.add(
        "another program has the camera",
        "lost (busy), reopened",
        Some(lost.at - daemon.started),
        Some(back.at - freed),
    );
    daemon.check_accounts()
}

/// Ties vivid's HDMI output to its input. Timings cannot be changed while somebody streams.
fn tie_loop() -> Result<(), Failure> {
    let (input, output) = (wait_for_node(LOOP_IN)?, wait_for_node(LOOP_OUT)?);
    for node in [&input, &output] {
        shell(&format!("v4l2-ctl -d {node} --set-dv-bt-timings index=0"))?;
    }
    shell(&format!("v4l2-ctl -d {input} -c loop_video=1 -c osd_text_mode=2")).map(drop)
}

/// A still picture into the output, which the input gives back to the pixel.
fn show(picture: &str, format: &str) -> Result<Background, Failure> {
    let output = wait_for_node(LOOP_OUT)?;
    let size = format!("width=640,height=480,pixelformat={format}");
    let from = format!("{SHARE}/frames/{picture}.{format}");
    Background::start(
        "v4l2-ctl",
        &[
            "-d",
            &output,
            "--set-fmt-video-out",
            &size,
            "--stream-out-mmap",
            "--stream-from",
            &from,
            "--stream-loop",
        ],
    )
}

fn loop_lines(format: &str) -> String {
    format!(
        "device = \"platform:vivid-001\"\nwidth = 640\nheight = 480\nformat = {format:?}\ntracks = false\nstall_timeout_s = 5"
    )
}

/// The taxon that `camera` publishes from now on.
fn taxon(daemon: &Daemon, camera: &str, from: Instant, name: &str) -> Result<(), Failure> {
    daemon.listener.wait_for(MODEL_PATIENCE, &format!("{camera}/detection"), from, |event| {
        event["taxon"]["name"] == name
    })?;
    Ok(())
}

/// Pictures of known colour through a capture device, in every format.
fn formats(table: &mut Table) -> Result<(), Failure> {
    shell("systemctl stop fieldmarkd")?;
    for format in ["YUYV", "UYVY", "NV12", "RGB3", "GREY"] {
        let red = show("red", format)?;
        let lines = loop_lines(&format.to_lowercase());
        let daemon = Daemon::start(TOY, &[CameraTable { name: "hdmi", lines: &lines }])?;
        let status = daemon.listener.state("hdmi", "streaming", daemon.started)?;
        if status.message["format"] != format {
            return Err(format!("asked for {format}, got {}", status.message).into());
        }
        // A grey picture is nothing like a red one to the model; that it is grey shows in its being an oak.
        let of_red = if format == "GREY" { "Quercus" } else { "Apis mellifera" };
        taxon(&daemon, "hdmi", daemon.started, of_red)?;
        drop(red);
        let _green = show("green", format)?;
        taxon(&daemon, "hdmi", Instant::now(), "Quercus")?;
        table.add(
            &format!("{format}, a red and then a green picture"),
            &format!("published {of_red}, then Quercus"),
            None,
            None,
        );
        daemon.check_accounts()?;
        drop(daemon);
        shell("systemctl stop fieldmarkd")?;
    }
    Ok(())
}

/// A still picture costs no inference, and the next one is not missed.
fn gate(table: &mut Table) -> Result<(), Failure> {
    // A gate evens brightness out, so that a green frame right behind a red one were none: what is between is dark.
    let dark = show("dark", "YUYV")?;
    let lines =
        format!("{}\ngate = \"novelty\"\ngate_hold_s = 0.0\ngate_refresh_s = 0.0", loop_lines("yuyv"));
    let daemon = Daemon::start(TOY, &[CameraTable { name: "hdmi", lines: &lines }])?;
    let count =
        |metrics: &serde_json::Value, name: &str| metrics["cameras"]["hdmi"][name].as_u64().unwrap_or(0);
    let looked_at = |more: u64| {
        daemon.listener.wait("metrics", daemon.started, move |metrics| count(metrics, "inferred") > more)
    };
    looked_at(0)?;
    drop(dark);
    let shown = Instant::now();
    let red = show("red", "YUYV")?;
    taxon(&daemon, "hdmi", shown, "Apis mellifera")?;
    let quiet = |more: u64| {
        daemon.listener.wait("metrics", daemon.started, move |metrics| count(metrics, "still") >= more)
    };
    // What is between two pictures may be looked at; when ten frames were passed over, it is behind.
    let seen = daemon.listener.wait("metrics", Instant::now(), |_| true)?.message;
    let before = quiet(count(&seen, "still") + 10)?.message;
    let after = quiet(count(&before, "still") + 20)?.message;
    let (looked, still) = (
        count(&after, "inferred") - count(&before, "inferred"),
        count(&after, "still") - count(&before, "still"),
    );
    if looked > 0 {
        return Err(format!("a still picture was looked at {looked} times: {after}").into());
    }
    drop(red);
    let dark = show("dark", "YUYV")?;
    looked_at(count(&after, "inferred"))?;
    drop(dark);
    let shown = Instant::now();
    let _green = show("green", "YUYV")?;
    taxon(&daemon, "hdmi", shown, "Quercus")?;
    let did = format!("{still} frames passed over and none looked at; the next picture published Quercus");
    table.add("a still picture before a gate (novelty)", &did, None, None);
    daemon.check_accounts()?;
    drop(daemon);
    shell("systemctl stop fieldmarkd").map(drop)
}

/// Photographs, the shipped model, two cameras at once.
fn photographs(table: &mut Table) -> Result<(), Failure> {
    if !Path::new(SHARE).join("expected").exists() {
        println!("skip  photographs before cameras: FIELDMARK_GUEST_PHOTOGRAPHS=1 runs them, for minutes");
        return Ok(());
    }
    let expected = |name: &str| -> Result<String, Failure> {
        Ok(std::fs::read_to_string(format!("{SHARE}/expected/{name}"))?.trim().to_owned())
    };
    shell("systemctl stop fieldmarkd")?;
    let (usb_lines, hdmi_lines) = (format!("device = {USB_BY_PATH:?}\n{USB_LINES}"), loop_lines("yuyv"));
    let cameras =
        [CameraTable { name: "usb", lines: &usb_lines }, CameraTable { name: "hdmi", lines: &hdmi_lines }];
    // The model tests itself first, for minutes under emulation; pictures would only be in its way.
    let daemon = Daemon::start(&format!("{SHARE}/garden.fieldmark"), &cameras)?;
    let usb = Usb::new("photograph")?;
    usb.say("plug")?;
    let _owl = show("owl", "YUYV")?;
    for (camera, picture) in [("hdmi", "owl"), ("usb", "rose")] {
        let name = expected(picture)?;
        taxon(&daemon, camera, daemon.started, &name)?;
        table.add(
            &format!("photograph of {picture} before camera {camera}, shipped model"),
            &format!("published {name}"),
            None,
            None,
        );
    }
    daemon.check_accounts()
}
