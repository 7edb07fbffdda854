//! `fieldmarkd snapshot`: one picture of a camera, to see what it sees.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use atomic_write_file::AtomicWriteFile;
use clap::Args;
use turbojpeg::{Image, PixelFormat, Subsamp};

use super::{Failure, run};
use crate::capture::{self, Captured, FrameDecoder, Source};
use crate::config::{CameraConfig, load_text};

const QUALITY: i32 = 95;
/// Most frames that are looked at for a usable one.
const TRIES: u32 = 100;

#[derive(Debug, Args)]
pub(super) struct SnapshotArguments {
    /// Name of a camera in the configuration; without one, a device file or bus info.
    #[arg(long, value_name = "NAME|DEVICE")]
    camera: String,
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Frames to let go by first: cameras need some to find their exposure.
    #[arg(long, value_name = "FRAMES", default_value_t = 5)]
    skip: u32,
    /// JPEG file to write.
    out: PathBuf,
}

pub(super) fn execute(arguments: &SnapshotArguments) -> Result<(), Failure> {
    let camera = match &arguments.config {
        Some(path) => {
            let config = run::configured(path)?;
            let named = config.cameras.into_iter().find(|camera| camera.name.as_str() == arguments.camera);
            named.ok_or_else(|| {
                let (camera, path) = (&arguments.camera, path.display());
                Failure::usage(anyhow::anyhow!(
                    "{path} has no camera {camera:?}: give the name of one of its tables"
                ))
            })?
        }
        None => device(&arguments.camera)?,
    };
    let mut source = capture::open(&camera)?;
    let jpeg = take(source.as_mut(), arguments.skip)?;
    write(&arguments.out, &jpeg).with_context(|| format!("cannot write {}", arguments.out.display()))?;
    Ok(())
}

/// A camera with nothing but a device.
fn device(device: &str) -> Result<CameraConfig, Failure> {
    let text = format!(
        "node = \"n\"\n[broker]\nembedded = true\n[camera.snapshot]\nsource = \"v4l\"\ndevice = {device:?}"
    );
    let config = load_text(&text).map_err(Failure::usage)?;
    config.cameras.into_iter().next().ok_or_else(Failure::told)
}

fn take(source: &mut dyn Source, skip: u32) -> anyhow::Result<Vec<u8>> {
    let (mut decoder, mut buffer, mut last) = (FrameDecoder::new(), Vec::new(), String::new());
    let mut seen = 0;
    for _ in 0..skip + TRIES {
        let frame = match source.next(buffer)? {
            Captured::Frame(frame) => frame,
            Captured::Skipped(reason, unused) => {
                (last, buffer) = (reason, unused);
                continue;
            }
            Captured::End => break,
        };
        seen += 1;
        if seen > skip {
            match decoder.decode(&frame, 1) {
                Ok(picture) => {
                    let (width, height) = (picture.width() as usize, picture.height() as usize);
                    let (pixels, pitch, format) = (picture.rgb(), width * 3, PixelFormat::RGB);
                    let image = Image { pixels, width, pitch, height, format };
                    return Ok(turbojpeg::compress(image, QUALITY, Subsamp::None)?.to_vec());
                }
                Err(error) => last = error.to_string(),
            }
        }
        buffer = frame.into_buffer();
    }
    anyhow::bail!("the camera gave no usable frame: {last}")
}

fn write(path: &Path, jpeg: &[u8]) -> std::io::Result<()> {
    let mut file = AtomicWriteFile::open(path)?;
    file.write_all(jpeg)?;
    file.commit()
}
