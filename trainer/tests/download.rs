//! Fetching pictures with the program itself, from a server that does all that servers do.

#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Cursor, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const TRAINER: &str = env!("CARGO_BIN_EXE_fieldmark-trainer");

/// Requests by path, and how many were being answered at once.
#[derive(Default)]
struct Seen {
    requests: BTreeMap<String, Vec<Instant>>,
    active: usize,
    most: usize,
}

/// Answers as the last part of a path says.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

fn jpeg(number: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(32, 24, image::Rgb([number, 90, 40]))
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .expect("a picture");
    bytes.into_inner()
}

/// A PNG of a few bytes that claims 60 000 by 60 000 pixels.
fn bomb() -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend_from_slice(&60_000u32.to_be_bytes());
    header.extend_from_slice(&60_000u32.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&crc.sum().to_be_bytes());
    let mut data = b"IDAT".to_vec();
    data.extend_from_slice(b"\x78\x9c\x03\0\0\0\0\x01");
    let mut crc = flate2::Crc::new();
    crc.update(&data);
    bytes.extend_from_slice(&8u32.to_be_bytes());
    bytes.extend_from_slice(&data);
    bytes.extend_from_slice(&crc.sum().to_be_bytes());
    bytes.extend_from_slice(b"\0\0\0\0IEND\xae\x42\x60\x82");
    bytes
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, seen) = (stream.expect("a connection"), Arc::clone(&shared));
                thread::spawn(move || {
                    let _ = answer(stream, &seen);
                });
            }
        });
        Self { address, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}.jpg", self.address)
    }

    fn asked(&self, path: &str) -> usize {
        self.seen.lock().expect("no panic").requests.get(&format!("/{path}.jpg")).map_or(0, Vec::len)
    }

    fn total(&self) -> usize {
        self.seen.lock().expect("no panic").requests.values().map(Vec::len).sum()
    }
}

fn answer(mut stream: TcpStream, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let times = {
            let mut seen = seen.lock().expect("no panic");
            seen.active += 1;
            seen.most = seen.most.max(seen.active);
            let times = seen.requests.entry(path.clone()).or_default();
            times.push(Instant::now());
            times.len()
        };
        let kept = reply(&mut stream, path.trim_matches('/').trim_end_matches(".jpg"), times);
        seen.lock().expect("no panic").active -= 1;
        if !kept? {
            return Ok(());
        }
    }
}

/// Whether the connection stays open.
fn reply(stream: &mut TcpStream, name: &str, times: usize) -> std::io::Result<bool> {
    let whole = |stream: &mut TcpStream, status: &str, extra: &str, body: &[u8]| {
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{extra}\r\n", body.len())?;
        stream.write_all(body)?;
        Ok(true)
    };
    let good = jpeg(name.bytes().fold(0, u8::wrapping_add));
    match name.split('-').next().unwrap_or_default() {
        "slow" => {
            thread::sleep(Duration::from_millis(40));
            whole(stream, "200 OK", "", &good)
        }
        // Half a picture, and then nothing for longer than anybody waits.
        "stall" if times < 3 => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", good.len())?;
            stream.write_all(&good[..good.len() / 2])?;
            thread::sleep(Duration::from_secs(5));
            Ok(false)
        }
        "cut" if times < 3 => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", good.len())?;
            stream.write_all(&good[..good.len() / 2])?;
            Ok(false)
        }
        "busy" if times < 2 => whole(stream, "429 Too Many Requests", "Retry-After: 1\r\n", b""),
        "error" if times < 3 => whole(stream, "502 Bad Gateway", "", b"<html>"),
        "broken" => whole(stream, "500 Internal Server Error", "", b""),
        "gone" => whole(stream, "404 Not Found", "", b"<html>not here</html>"),
        "page" => whole(stream, "200 OK", "Content-Type: image/jpeg\r\n", b"<!DOCTYPE html><p>log in</p>"),
        "torn" => whole(stream, "200 OK", "", &good[..good.len() / 3]),
        "bomb" => whole(stream, "200 OK", "", &bomb()),
        "huge" => whole(stream, "200 OK", "", &vec![0xff; 3 << 20]),
        "moved" => whole(stream, "302 Found", "Location: /plain-moved.jpg\r\n", b""),
        "loop" => whole(stream, "302 Found", &format!("Location: /{name}.jpg\r\n"), b""),
        _ => whole(stream, "200 OK", "", &good),
    }
}

/// A prepared set of the pictures at `urls`.
fn set(folder: &Path, urls: &[String]) -> PathBuf {
    let mut table =
        String::from("file,kingdom,phylum,class,order,family,genus,species,licence,attribution\n");
    for (number, url) in urls.iter().enumerate() {
        let species = ["Turdus merula", "Turdus philomelos"][number % 2];
        table.push_str(&format!("{url},Animalia,,,,,Turdus,{species},CC-BY-4.0,Ada Rowan\n"));
    }
    fs::create_dir_all(folder).expect("a folder");
    let path = folder.join("taxa.csv");
    fs::write(&path, table).expect("written");
    let out = folder.join("set");
    let status = Command::new(TRAINER)
        .arg("prepare")
        .arg(&path)
        .args(["--min-images", "1", "--out"])
        .arg(&out)
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("the trainer").success());
    out
}

fn command(set: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(TRAINER);
    command.arg("download").arg(set).args(["--pause-ms", "20", "--timeout-s", "1"]).args(arguments);
    command
}

fn download(set: &Path, arguments: &[&str]) -> Output {
    command(set, arguments).output().expect("the trainer")
}

fn images(set: &Path) -> Vec<PathBuf> {
    let Ok(folders) = fs::read_dir(set.join("images")) else { return Vec::new() };
    let files = folders.flat_map(|folder| fs::read_dir(folder.expect("an entry").path()).expect("a folder"));
    let mut files: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    // What a kill left of a file that was being written has another name, and is no picture of the set.
    files.retain(|path| !path.file_name().expect("a name").to_string_lossy().starts_with('.'));
    files.sort();
    files
}

#[test]
fn every_picture_that_can_be_had_is_and_the_others_are_told_with_their_reason() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let good = ["plain", "stall", "cut", "busy", "error", "moved"];
    let bad = ["gone", "page", "torn", "bomb", "huge", "broken", "loop"];
    let urls: Vec<String> = good.iter().chain(&bad).map(|name| server.url(name)).collect();
    let set = set(folder.path(), &urls);
    let output = download(&set, &["--max-mb", "2"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("0 pictures there before, 6 fetched, 7 cannot be had"), "{said}");
    assert_eq!(images(&set).len(), good.len());
    assert!(images(&set).iter().all(|path| image::open(path).is_ok()));
    let failed = fs::read_to_string(set.join("failed.jsonl")).expect("a list");
    for (name, reason) in [
        ("gone", "status 404"),
        ("page", "it is a web page"),
        ("torn", "it does not decode"),
        ("bomb", "decompression bomb"),
        ("huge", "it has more than 2097152 bytes"),
        ("broken", "status 500, asked 5 times"),
        ("loop", "redirects"),
    ] {
        let line =
            failed.lines().find(|line| line.contains(&server.url(name))).unwrap_or_else(|| panic!("{name}"));
        assert!(line.contains(reason), "{line}");
    }
    assert_eq!((server.asked("gone"), server.asked("page"), server.asked("broken")), (1, 1, 5));
    assert_eq!((server.asked("stall"), server.asked("cut"), server.asked("error")), (3, 3, 3));
    let quarantined = fs::read_dir(set.join("quarantine")).expect("a folder").count();
    assert_eq!(quarantined, 3, "page, torn picture and bomb are kept apart");
    let asked = server.total();
    let said = String::from_utf8(download(&set, &[]).stdout).expect("text");
    assert!(said.starts_with("6 pictures there before, 0 fetched, 0 cannot be had, 7 known"), "{said}");
    assert_eq!(server.total(), asked, "nothing was asked for again");
    let attribution = fs::read_to_string(set.join("attribution.tsv")).expect("a table");
    assert_eq!(attribution.lines().count(), 1 + good.len());
    assert!(attribution.contains(&format!("{}\tCC-BY-4.0\tAda Rowan", server.url("plain"))), "{attribution}");
}

#[test]
fn a_host_that_asks_for_a_pause_gets_it() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let set = set(folder.path(), &[server.url("busy")]);
    assert!(download(&set, &[]).status.success());
    let seen = server.seen.lock().expect("no panic");
    let times = &seen.requests["/busy.jpg"];
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= Duration::from_secs(1), "{:?}", times[1] - times[0]);
}

#[test]
fn no_host_is_asked_for_more_at_once_than_it_was_promised() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let urls: Vec<String> = (0..40).map(|number| server.url(&format!("slow-{number}"))).collect();
    let set = set(folder.path(), &urls);
    assert!(download(&set, &["--connections", "12", "--per-host", "3"]).status.success());
    assert_eq!(images(&set).len(), 40);
    let most = server.seen.lock().expect("no panic").most;
    assert!((2..=3).contains(&most), "{most}");
}

#[test]
fn a_download_killed_goes_on_without_fetching_a_finished_picture_again() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let names: Vec<String> = (0..60).map(|number| format!("slow-{number}")).collect();
    let urls: Vec<String> = names.iter().map(|name| server.url(name)).collect();
    let set = set(folder.path(), &urls);
    let mut child = command(&set, &["--per-host", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the trainer");
    let start = Instant::now();
    while images(&set).len() < 15 {
        assert!(start.elapsed() < Duration::from_secs(60), "it fetches nothing");
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    let finished = images(&set);
    assert!(finished.len() < 60, "it was killed on the way");
    assert!(finished.iter().all(|path| image::open(path).is_ok()), "no half picture is there");
    let before: usize = names.iter().map(|name| server.asked(name)).sum();
    assert!(download(&set, &["--per-host", "2"]).status.success());
    assert_eq!(images(&set).len(), 60);
    let after: usize = names.iter().map(|name| server.asked(name)).sum();
    assert_eq!(after - before, 60 - finished.len(), "what was there was not asked for");
}

/// A file system of a megabyte, taken away at the end.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).ok()?;
        let options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(path).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_it_and_leaves_no_half_picture() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let disk = folder.path().join("disk");
    let Some(small) = Small::mount(&disk) else {
        let may_not = std::env::var_os("FIELDMARK_NO_MOUNT").is_some_and(|value| value == "1");
        assert!(
            may_not,
            "cannot mount a tmpfs: run as root, or set FIELDMARK_NO_MOUNT=1 to go without full disks"
        );
        return;
    };
    let urls: Vec<String> = (0..40).map(|number| server.url(&format!("plain-{number}"))).collect();
    let set = set(&small.0.join("work"), &urls);
    // All but some twenty kilobytes.
    let filler = small.0.join("filler");
    let mut file = fs::File::create(&filler).expect("a file");
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);
    let length = fs::metadata(&filler).expect("a file").len();
    let file = fs::OpenOptions::new().write(true).open(&filler).expect("a file");
    file.set_len(length - (24 << 10)).expect("shorter");
    // Space of a file that is open does not come free.
    drop(file);
    let output = download(&set, &[]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the disk is full") && error.contains("goes on where it stopped"), "{error}");
    assert!(images(&set).iter().all(|path| image::open(path).is_ok()), "no half picture is there");
    fs::remove_file(&filler).expect("removed");
    let output = download(&set, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(images(&set).len(), 40);
}

#[test]
fn what_is_no_set_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = download(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no prepared set"));
}
