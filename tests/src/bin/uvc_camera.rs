//! Plugs an emulated USB camera into this machine's `vhci-hcd` and does what standard input says, a word a line:
//! plug, unplug, resume, stall, garbage, short, bare, resized.

use std::io::BufRead as _;
use std::path::Path;

use fieldmark_tests::uvc::{Camera, Mood};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("usage: uvc_camera FOLDER (with *.jpg of 640 x 360 and small/*.jpg)")?;
    let jpegs = pictures(Path::new(&folder))?;
    let small = pictures(&Path::new(&folder).join("small"))?.pop().ok_or("no JPEG in small/")?;
    let mut camera = Camera::new(jpegs, small);
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "plug" => camera.plug()?,
            "unplug" => camera.unplug(),
            "" => {}
            mood => camera.behave(mood.parse::<Mood>()?),
        }
    }
    Ok(())
}

fn pictures(folder: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut paths =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    paths.sort();
    paths.iter().map(std::fs::read).collect()
}
