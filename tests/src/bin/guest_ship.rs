//! Runs in the guest as root: the package as a technician installs it, and what becomes of the service when things go
//! wrong. The first boot installs; the second begins with the service enabled and no network. Prints a table; the
//! first broken promise ends it with exit code 1.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use fieldmark_tests::stage::{Failure, Heard, Listener, Table, shell, wait_for_node, write};
use serde_json::Value;

const SHARE: &str = "/mnt/host";
const CONFIG: &str = "/etc/fieldmark/fieldmark.toml";
const STATE: &str = "/var/lib/fieldmark";
const LOAD_VIVID: &str = "modprobe vivid n_devs=1";
const WEBCAM: &str = "vivid-000-vid-cap";
/// Emulation is slow, and the machine is shared.
const PATIENCE: Duration = Duration::from_secs(240);
/// The watchdog's time during the tests that let it bite.
const WATCHDOG: Duration = Duration::from_secs(10);
/// What a stop may take.
const STOP: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut table = Table::default();
    let second = std::env::args().nth(1).as_deref() == Some("second");
    let done = if second { second_boot(&mut table) } else { first_boot(&mut table) };
    let written = write(&format!("{SHARE}/ship-{}.md", if second { 2 } else { 1 }), &table.to_string());
    println!("\n{table}");
    match done.and(written) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("FAIL  {failure}");
            let _ = shell("systemctl status fieldmarkd --no-pager").map(|status| println!("{status}"));
            ExitCode::FAILURE
        }
    }
}

fn first_boot(table: &mut Table) -> Result<(), Failure> {
    hardened(table)?;
    let listener = ready_when_the_camera_streams(table)?;
    journal(table, &listener)?;
    watchdog(table, &listener)?;
    kills(table, &listener)?;
    out_of_memory(table, &listener)?;
    reloads(table, &listener)?;
    full_disk(table, &listener)?;
    nothing_lost(table, &listener, "all of that")?;
    stops(table)?;
    packages(table)?;
    prepare_second_boot()
}

/// The configuration the tests run with: a toy model, every frame an event, a broker of its own.
fn configure(more: &str) -> Result<(), Failure> {
    write(
        CONFIG,
        &format!(
            "node = \"guest\"\n[model]\npackage = \"/usr/share/fieldmark/models/toy.fieldmark\"\nthreshold = 0.6\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:1883\"\nmetrics_s = 1\n[outbox]\nfolder = \"{STATE}\"\n{more}\n\
             [camera.webcam]\nsource = \"v4l\"\ndevice = \"platform:vivid-000\"\nwidth = 640\nheight = 360\nfps = 5\n\
             format = \"yuyv\"\ntracks = false\n"
        ),
    )
}

fn property(name: &str) -> Result<String, Failure> {
    Ok(shell(&format!("systemctl show -p {name} --value fieldmarkd"))?.trim().to_owned())
}

fn restarts() -> Result<u64, Failure> {
    Ok(property("NRestarts")?.parse()?)
}

/// Waits until `right`, which is asked again and again.
fn wait_until(what: &str, mut right: impl FnMut() -> Result<bool, Failure>) -> Result<Duration, Failure> {
    let begun = Instant::now();
    while !right()? {
        if begun.elapsed() > PATIENCE {
            return Err(format!("waited in vain: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(begun.elapsed())
}

fn event(listener: &Listener, from: Instant) -> Result<Heard, Failure> {
    listener.wait_for(PATIENCE, "webcam/detection", from, |_| true)
}

/// An event the daemon decided after `from`, not one that waited.
fn fresh_event(listener: &Listener, from: Instant) -> Result<Heard, Failure> {
    listener.wait_for(PATIENCE, "webcam/detection", from, |event| event["replay"] == false)
}

fn exposure() -> Result<f64, Failure> {
    let told =
        shell("systemctl daemon-reload; systemd-analyze security --no-pager fieldmarkd.service | tail -1")?;
    let number =
        told.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("no exposure in {told:?}").into())
}

fn hardened(table: &mut Table) -> Result<(), Failure> {
    let complaints =
        shell("systemd-analyze verify fieldmarkd.service 2>&1 | grep -v 'man fieldmarkd' || true")?;
    if !complaints.trim().is_empty() {
        return Err(format!("systemd-analyze verify: {complaints}").into());
    }
    table.add("systemd-analyze verify", "nothing to say", None, None);
    let drop_in = "/etc/systemd/system/fieldmarkd.service.d/cpu-only.conf";
    shell(&format!("rm -f {drop_in}"))?;
    let with_gpu = exposure()?;
    shell(&format!("install -D -m644 /usr/share/fieldmark/cpu-only.conf {drop_in}"))?;
    let cpu_only = exposure()?;
    if with_gpu > 1.8 || cpu_only > 1.2 {
        return Err(format!("exposure {with_gpu}, with cpu-only.conf {cpu_only}").into());
    }
    table.add("systemd-analyze security", &format!("{with_gpu}, with cpu-only.conf {cpu_only}"), None, None);
    Ok(())
}

/// Puts the watchdog's and other times of the tests in force, with more lines of a drop-in.
fn short_times(more: &str) -> Result<(), Failure> {
    write(
        "/etc/systemd/system/fieldmarkd.service.d/test.conf",
        &format!("{more}[Service]\nWatchdogSec={}s\nMemoryMax=600M\n", WATCHDOG.as_secs()),
    )?;
    shell("systemctl daemon-reload").map(drop)
}

fn ready_when_the_camera_streams(table: &mut Table) -> Result<Listener, Failure> {
    shell("rmmod vivid 2>/dev/null || true; systemctl start mosquitto")?;
    configure("")?;
    // Short times, so that they can be waited for.
    short_times("[Unit]\nJobRunningTimeoutSec=15s\n")?;
    shell("systemctl stop fieldmarkd; systemctl reset-failed fieldmarkd 2>/dev/null || true")?;
    let begun = Instant::now();
    let start = shell("systemctl start fieldmarkd 2>&1");
    let (took, state, status) = (begun.elapsed(), property("ActiveState")?, property("StatusText")?);
    if start.is_ok() || state != "activating" || !status.contains("waiting for camera webcam") {
        return Err(format!("without its camera: {start:?}, {state}, {status:?}").into());
    }
    table.add(
        "start without the camera, 15 s for the job",
        &format!("the job ends, the service is {state}: \"{status}\""),
        Some(took),
        None,
    );
    // Under emulation a reload takes longer than that.
    short_times("")?;
    let listener = Listener::lasting("first-boot")?;
    let plugged = Instant::now();
    shell(LOAD_VIVID)?;
    wait_for_node(WEBCAM)?;
    wait_until("active", || Ok(property("ActiveState")? == "active"))?;
    event(&listener, plugged)?;
    table.add(
        "the camera's driver is loaded",
        "ready, and the first event published",
        None,
        Some(plugged.elapsed()),
    );
    wait_until("dev-video0.device", || {
        Ok(shell("systemctl is-active dev-video0.device || true")?.trim() == "active")
    })?;
    Ok(listener)
}

/// Fields of their own in the journal.
fn journal(table: &mut Table, listener: &Listener) -> Result<(), Failure> {
    // Decisions without tracks are told at debug only.
    configure("[log]\nlevel = \"debug\"")?;
    let begun = Instant::now();
    shell("systemctl reload fieldmarkd")?;
    event(listener, begun)?;
    let found = wait_until("fields in the journal", || {
        let lines = shell("journalctl -u fieldmarkd -o json FIELDMARK_CAMERA=webcam --no-pager | tail -400")?;
        let whole = |line: &str| {
            let entry: Value = serde_json::from_str(line).unwrap_or_default();
            ["FIELDMARK_CAMERA", "FIELDMARK_TRACK", "FIELDMARK_MODEL", "FIELDMARK_SEQ"]
                .iter()
                .all(|field| entry[*field].is_string())
        };
        Ok(lines.lines().any(whole))
    })?;
    configure("")?;
    shell("systemctl reload fieldmarkd")?;
    table.add(
        "log.level = \"debug\" by reload",
        "entries with FIELDMARK_CAMERA, _TRACK, _MODEL, _SEQ",
        Some(found),
        None,
    );
    Ok(())
}

fn watchdog(table: &mut Table, listener: &Listener) -> Result<(), Failure> {
    let (before, pid) = (restarts()?, property("MainPID")?);
    let begun = Instant::now();
    shell(&format!("kill -STOP {pid}"))?;
    let bitten = wait_until("a restart by the watchdog", || Ok(restarts()? > before))?;
    let back = fresh_event(listener, Instant::now())?;
    let log = shell("journalctl -b --no-pager -u fieldmarkd | grep -i watchdog | tail -1")?;
    if !log.to_lowercase().contains("watchdog") {
        return Err("the journal knows of no watchdog".into());
    }
    table.add(
        &format!("SIGSTOP, WatchdogSec={} s", WATCHDOG.as_secs()),
        "killed by the watchdog and started again",
        Some(bitten),
        Some(back.at - begun),
    );
    Ok(())
}

fn kills(table: &mut Table, listener: &Listener) -> Result<(), Failure> {
    let mut slowest = Duration::ZERO;
    for round in 0..5 {
        let before = restarts()?;
        // Every other time there is a backlog that has to survive.
        if round % 2 == 0 {
            shell("systemctl stop mosquitto")?;
            std::thread::sleep(Duration::from_secs(3));
        }
        let begun = Instant::now();
        shell("systemctl kill -s KILL fieldmarkd")?;
        wait_until("a restart", || Ok(restarts()? > before && property("ActiveState")? == "active"))?;
        slowest = slowest.max(begun.elapsed());
        shell("systemctl start mosquitto")?;
        fresh_event(listener, Instant::now())?;
    }
    table.add(
        "kill -9, five times, three of them with a backlog",
        "started again; slowest until ready",
        None,
        Some(slowest),
    );
    nothing_lost(table, listener, "kill -9")
}

/// In what was delivered of each start of the daemon no number is missing, and none came with two ids.
fn nothing_lost(table: &mut Table, listener: &Listener, what: &str) -> Result<(), Failure> {
    shell("systemctl stop fieldmarkd")?;
    shell("systemctl start fieldmarkd")?;
    fresh_event(listener, Instant::now())?;
    let waiting = |metrics: &Value| metrics["queue"]["waiting"].as_u64().unwrap_or(1) < 3;
    listener.wait_for(PATIENCE, "metrics", Instant::now(), waiting)?;
    // What was decided before there was a connection comes after what was decided since.
    let begun = Instant::now();
    let told = loop {
        match arrived(listener) {
            Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(200)),
            found => break found?,
        }
    };
    table.add(&format!("{what}: what arrived"), &told, None, None);
    Ok(())
}

/// What came of each start: an error while a number before the last is missing, or if one has two ids.
fn arrived(listener: &Listener) -> Result<String, Failure> {
    let mut boots: std::collections::BTreeMap<String, std::collections::BTreeMap<u64, String>> =
        Default::default();
    let mut duplicates = 0_u64;
    for heard in listener.all().iter().filter(|heard| heard.topic == "webcam/detection") {
        let (boot, id) = (heard.message["boot"].to_string(), heard.message["id"].to_string());
        let seq = heard.message["seq"].as_u64().ok_or("no seq")?;
        match boots.entry(boot).or_default().insert(seq, id.clone()) {
            Some(other) if other != id => return Err(format!("{seq} came with two ids").into()),
            Some(_) => duplicates += 1,
            None => {}
        }
    }
    let mut events = 0;
    for (boot, numbers) in &boots {
        let (first, last) = (numbers.keys().next().ok_or("none")?, numbers.keys().last().ok_or("none")?);
        if *first != 0 || *last + 1 != numbers.len() as u64 {
            return Err(format!("of {boot} came {} events of {first} to {last}", numbers.len()).into());
        }
        events += numbers.len();
    }
    Ok(format!("{events} events of {} starts, none missing, {duplicates} duplicates", boots.len()))
}

fn out_of_memory(table: &mut Table, listener: &Listener) -> Result<(), Failure> {
    let before = restarts()?;
    let begun = Instant::now();
    shell("systemctl set-property --runtime fieldmarkd MemoryHigh=infinity MemoryMax=2M")?;
    let killed = wait_until("a restart for want of memory", || Ok(restarts()? > before))?;
    let result = shell("journalctl -b --no-pager -u fieldmarkd | grep -c oom-kill || true")?;
    shell("systemctl set-property --runtime fieldmarkd MemoryHigh=500M MemoryMax=600M")?;
    shell("systemctl reset-failed fieldmarkd 2>/dev/null || true; systemctl start fieldmarkd")?;
    let back = fresh_event(listener, Instant::now())?;
    if result.trim() == "0" {
        return Err("the journal knows of no oom-kill".into());
    }
    table.add(
        "memory limit of 2 MB: out of memory",
        "killed, started again",
        Some(killed),
        Some(back.at - begun),
    );
    Ok(())
}

fn reloads(table: &mut Table, listener: &Listener) -> Result<(), Failure> {
    let pid = property("MainPID")?;
    let threshold = |wanted: f64| {
        move |event: &Value| event["threshold"].as_f64().is_some_and(|value| (value - wanted).abs() < 1e-9)
    };
    let text = std::fs::read_to_string(CONFIG)?;
    write(CONFIG, &text.replace("threshold = 0.6", "threshold = 0.3"))?;
    let begun = Instant::now();
    shell("systemctl reload fieldmarkd")?;
    let heard = listener.wait_for(PATIENCE, "webcam/detection", begun, threshold(0.3))?;
    table.add(
        "reload of a good file (model.threshold)",
        "in force, same process",
        None,
        Some(heard.at - begun),
    );
    write(CONFIG, &text.replace("threshold = 0.6", "threshold = 6"))?;
    let refused = shell("systemctl reload fieldmarkd 2>&1");
    if refused.is_ok() {
        return Err("a bad file was reloaded".into());
    }
    // And straight to the daemon, which checks for itself.
    shell(&format!("kill -HUP {pid}"))?;
    wait_until("the refusal in the status", || {
        Ok(property("StatusText")?.contains("the new configuration is refused"))
    })?;
    let status = property("StatusText")?;
    let since = Instant::now();
    listener.wait_for(PATIENCE, "webcam/detection", since, threshold(0.3))?;
    if property("MainPID")? != pid || property("ActiveState")? != "active" {
        return Err("a reload ended the process".into());
    }
    let told = status.split("; ").next().unwrap_or_default();
    table.add(
        "reload of a bad file",
        &format!("systemctl reload fails, the old one stays: \"{told}\""),
        None,
        None,
    );
    write(CONFIG, &text)?;
    shell("systemctl reload fieldmarkd")?;
    listener.wait_for(PATIENCE, "webcam/detection", since, threshold(0.6)).map(drop)
}

fn full_disk(table: &mut Table, listener: &Listener) -> Result<(), Failure> {
    shell("systemctl stop fieldmarkd")?;
    shell(&format!(
        "mount -t tmpfs -o size=4m,mode=750,uid=$(id -u fieldmark),gid=$(id -g fieldmark) small {STATE}"
    ))?;
    shell("systemctl start fieldmarkd")?;
    fresh_event(listener, Instant::now())?;
    let filled = Instant::now();
    shell(&format!("dd if=/dev/zero of={STATE}/filler bs=64k 2>/dev/null || true"))?;
    let durable = |wanted: bool| move |metrics: &Value| metrics["queue"]["durable"] == wanted;
    let told = listener.wait_for(PATIENCE, "metrics", filled, durable(false))?;
    let while_full = fresh_event(listener, told.at)?;
    shell(&format!("rm {STATE}/filler"))?;
    let freed = Instant::now();
    let back = listener.wait_for(PATIENCE, "metrics", freed, durable(true))?;
    table.add(
        "disk full, then room again",
        "events go on from memory, metrics say durable: false, then true",
        Some(told.at - filled),
        Some(back.at - freed),
    );
    if while_full.message["replay"] != false {
        return Err("nothing was published while the disk was full".into());
    }
    shell(&format!("systemctl stop fieldmarkd; umount {STATE}; systemctl start fieldmarkd"))?;
    fresh_event(listener, Instant::now()).map(drop)
}

fn stops(table: &mut Table) -> Result<(), Failure> {
    for (how, before) in
        [("with its broker", "true"), ("with the broker away", "systemctl stop mosquitto; sleep 3")]
    {
        shell("systemctl start mosquitto fieldmarkd")?;
        wait_until("active", || Ok(property("ActiveState")? == "active"))?;
        shell(before)?;
        let begun = Instant::now();
        shell("systemctl stop fieldmarkd")?;
        let (took, result) = (begun.elapsed(), property("Result")?);
        if took > STOP || result != "success" {
            return Err(format!("a stop {how} took {took:?} and ended with {result}").into());
        }
        table.add(&format!("stop {how}"), "in order", None, Some(took));
    }
    shell("systemctl start mosquitto").map(drop)
}

/// Upgrade, removal, purge.
fn packages(table: &mut Table) -> Result<(), Failure> {
    shell("systemctl start fieldmarkd")?;
    let listener = Listener::start()?;
    fresh_event(&listener, Instant::now())?;
    let (pid, number) = (property("MainPID")?, shell(&format!("stat -c %i {STATE}/outbox-guest.sqlite"))?);
    let begun = Instant::now();
    shell(&format!("dpkg --force-confold -i {SHARE}/newer/fieldmark_*.deb 2>&1"))?;
    wait_until("another process", || {
        let now = property("MainPID")?;
        Ok(now != pid && now != "0" && property("ActiveState")? == "active")
    })?;
    fresh_event(&listener, begun)?;
    let kept = shell(&format!("stat -c %i {STATE}/outbox-guest.sqlite"))? == number;
    if !kept || !std::fs::read_to_string(CONFIG)?.contains("node = \"guest\"") {
        return Err("an upgrade lost state or configuration".into());
    }
    table.add(
        "upgrade while it runs",
        "started as the new version; outbox and configuration kept",
        None,
        Some(begun.elapsed()),
    );
    drop(listener);
    shell("dpkg -r fieldmark 2>&1")?;
    let gone = shell("systemctl is-active fieldmarkd || true")?;
    let (state, config) = (std::path::Path::new(STATE).exists(), std::path::Path::new(CONFIG).exists());
    if gone.trim() == "active" || !state || !config {
        return Err(format!("after removal: {gone}, state {state}, configuration {config}").into());
    }
    table.add("dpkg -r", "service stopped and gone, state and configuration kept", None, None);
    shell("dpkg -P fieldmark 2>&1")?;
    let left = shell(&format!(
        "ls -d {STATE} /etc/fieldmark /var/cache/fieldmark /usr/bin/fieldmarkd 2>/dev/null || true"
    ))?;
    if !left.trim().is_empty() {
        return Err(format!("after purge there is still {left}").into());
    }
    table.add("dpkg -P", "nothing of it left", None, None);
    Ok(())
}

/// The service enabled, a camera that is there at boot, and a broker that no network leads to.
fn prepare_second_boot() -> Result<(), Failure> {
    shell(&format!("dpkg -i {SHARE}/fieldmark_*.deb 2>&1"))?;
    configure("")?;
    let text = std::fs::read_to_string(CONFIG)?;
    write(CONFIG, &text.replace("mqtt://127.0.0.1:1883", "mqtt://broker.example.org:1883"))?;
    write("/etc/modules-load.d/vivid.conf", "vivid\n")?;
    write("/etc/modprobe.d/vivid.conf", "options vivid n_devs=1\n")?;
    shell("rm -f /etc/systemd/system/fieldmarkd.service.d/test.conf")?;
    shell("systemctl disable mosquitto; systemctl enable fieldmarkd; sync").map(drop)
}

fn second_boot(table: &mut Table) -> Result<(), Failure> {
    wait_until("active", || Ok(property("ActiveState")? == "active"))?;
    let ready = seconds("ActiveEnterTimestampMonotonic")?;
    let started = seconds("ExecMainStartTimestampMonotonic")?;
    let online = shell("systemctl is-active network-online.target || true")?;
    let told = format!(
        "ready {:.1} s after the kernel started, {:.1} s after its own start; network-online is {}",
        ready,
        ready - started,
        online.trim()
    );
    table.add("boot, enabled, without any network", &told, None, None);
    wait_until("events in the queue", || Ok(!property("StatusText")?.contains(" 0 events waiting")))?;
    let status = property("StatusText")?;
    table.add("events meanwhile", &format!("\"{status}\""), None, None);
    // The network comes: here, the broker's name leads to this machine.
    write("/etc/hosts", "127.0.0.1 localhost broker.example.org guest\n")?;
    let begun = Instant::now();
    shell("systemctl start mosquitto")?;
    // What the broker kept for the listener of the first boot is that one's.
    let listener = Listener::lasting("second-boot")?;
    let first = listener.wait_for(PATIENCE, "webcam/detection", begun, |event| event["seq"] == 0)?;
    let booted: f64 = shell("awk '/btime/ {print $2}' /proc/stat")?.trim().parse()?;
    let decided = shell(&format!("date -d {} +%s.%N", first.message["time"].as_str().unwrap_or_default()))?;
    let decided: f64 = decided.trim().parse::<f64>()? - booted;
    table.add(
        "first event",
        &format!("decided {decided:.1} s after the kernel started; delivered when there was a broker"),
        None,
        Some(first.at - begun),
    );
    nothing_lost(table, &listener, "boot without network")?;
    cold_start(table, &listener)
}

/// Seconds after the kernel's start.
fn seconds(name: &str) -> Result<f64, Failure> {
    Ok(property(name)?.parse::<f64>()? / 1e6)
}

/// From the start of the service to its first event at a broker, with the toy and with the shipped model.
fn cold_start(table: &mut Table, listener: &Listener) -> Result<(), Failure> {
    let text = std::fs::read_to_string(CONFIG)?;
    for (name, package) in [("toy", "toy.fieldmark"), ("shipped", "")] {
        shell("systemctl stop fieldmarkd; echo 3 > /proc/sys/vm/drop_caches")?;
        let with = if package.is_empty() {
            text.replace("package = \"/usr/share/fieldmark/models/toy.fieldmark\"\n", "")
        } else {
            text.clone()
        };
        write(CONFIG, &with)?;
        let begun = Instant::now();
        shell("systemctl start --no-block fieldmarkd")?;
        let boot = listener.wait_for(4 * PATIENCE, "info", begun, |info| info["model"]["name"] != "")?;
        let boot = boot.message["boot"].clone();
        let first =
            listener.wait_for(4 * PATIENCE, "webcam/detection", begun, |event| event["boot"] == boot)?;
        table.add(
            &format!("cold start with the {name} model"),
            "first event at the broker",
            None,
            Some(first.at - begun),
        );
    }
    Ok(())
}
