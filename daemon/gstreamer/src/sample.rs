//! What a pipeline's samples hold, and their bytes without gaps.

use gstreamer::{BufferRef, Caps, SampleRef, Structure};
use gstreamer_video::VideoFrameExt as _;
use gstreamer_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrameRef, VideoInfo};

/// GStreamer's formats that are read, with the four characters Video4Linux has for them and bytes a pixel of the
/// first plane.
const FORMATS: [(VideoFormat, [u8; 4], usize); 5] = [
    (VideoFormat::Nv12, *b"NV12", 1),
    (VideoFormat::Yuy2, *b"YUYV", 2),
    (VideoFormat::Uyvy, *b"UYVY", 2),
    (VideoFormat::Rgb, *b"RGB3", 3),
    (VideoFormat::Gray8, *b"GREY", 1),
];

/// What the numbers of YUV mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// ITU-R BT.709, not BT.601.
    pub bt709: bool,
    /// From 0 to 255, not from 16 to 235.
    pub full_range: bool,
}

/// A frame's bytes: rows without gaps, of NV12 first those of luma.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameFormat {
    /// As Video4Linux names it; `MJPG` for a JPEG.
    pub fourcc: [u8; 4],
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames a second, where the source says.
    pub fps: Option<f64>,
    /// What YUV means.
    pub scale: Scale,
}

/// Caps of everything that is read.
pub(crate) fn accepted() -> Caps {
    let raw = FORMATS.map(|(format, ..)| {
        Structure::builder("video/x-raw").field("format", format.to_str().as_str()).build()
    });
    let mut caps = Caps::new_empty();
    for structure in raw.into_iter().chain([Structure::new_empty("image/jpeg")]) {
        if let Some(caps) = caps.get_mut() {
            caps.append_structure(structure);
        }
    }
    caps
}

/// Reads samples; what their caps mean is found out once.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    known: Option<(Caps, Kind)>,
}

#[derive(Debug, Clone)]
enum Kind {
    Raw(VideoInfo, FrameFormat, usize),
    Jpeg(FrameFormat),
}

impl Reader {
    /// Copies the sample's bytes into `buffer`.
    pub(crate) fn read(&mut self, sample: &SampleRef, buffer: &mut Vec<u8>) -> Result<FrameFormat, String> {
        let caps = sample.caps().ok_or("a sample without caps")?;
        let memory = sample.buffer().ok_or("a sample without a buffer")?;
        let known = self.known.take().filter(|(known, _)| known.as_ref() == caps);
        let (_, kind) = match known {
            Some(known) => self.known.insert(known),
            None => {
                let kind = kind(&caps.to_owned())?;
                self.known.insert((caps.to_owned(), kind))
            }
        };
        buffer.clear();
        match kind {
            Kind::Raw(info, format, pixel) => {
                copy(memory, info, format, *pixel, buffer)?;
                Ok(*format)
            }
            Kind::Jpeg(format) => {
                let map = memory.map_readable().map_err(|error| error.to_string())?;
                buffer.extend_from_slice(map.as_slice());
                Ok(*format)
            }
        }
    }
}

fn kind(caps: &Caps) -> Result<Kind, String> {
    let structure = caps.structure(0).ok_or("empty caps")?;
    if structure.name() == "image/jpeg" {
        let side = |name: &str| structure.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok());
        let (width, height) = side("width").zip(side("height")).ok_or("a JPEG without its size")?;
        let rate = structure.get::<gstreamer::Fraction>("framerate").ok();
        let fps = rate.and_then(|rate| fps(rate.numer(), rate.denom()));
        let scale = Scale { bt709: false, full_range: true };
        return Ok(Kind::Jpeg(FrameFormat { fourcc: *b"MJPG", width, height, fps, scale }));
    }
    let info = VideoInfo::from_caps(caps).map_err(|error| error.to_string())?;
    let known = FORMATS.into_iter().find(|(format, ..)| *format == info.format());
    let (_, fourcc, pixel) = known.ok_or_else(|| format!("{:?} is not read", info.format()))?;
    let colour = info.colorimetry();
    let scale = Scale {
        bt709: colour.matrix() == VideoColorMatrix::Bt709,
        full_range: colour.range() == VideoColorRange::Range0_255,
    };
    let fps = fps(info.fps().numer(), info.fps().denom());
    let format = FrameFormat { fourcc, width: info.width(), height: info.height(), fps, scale };
    Ok(Kind::Raw(info, format, pixel))
}

fn fps(numerator: i32, denominator: i32) -> Option<f64> {
    (numerator > 0 && denominator > 0).then(|| f64::from(numerator) / f64::from(denominator))
}

/// Copies the rows of every plane without what stands between them.
fn copy(
    memory: &BufferRef,
    info: &VideoInfo,
    format: &FrameFormat,
    pixel: usize,
    buffer: &mut Vec<u8>,
) -> Result<(), String> {
    let frame = VideoFrameRef::from_buffer_ref_readable(memory, info).map_err(|error| error.to_string())?;
    let (row_bytes, height) = (format.width as usize * pixel, format.height as usize);
    for plane in 0..frame.n_planes() {
        let stride = frame.plane_stride().get(plane as usize).copied().unwrap_or_default();
        let stride = usize::try_from(stride).map_err(|_| "a frame that stands upside down")?;
        let data = frame.plane_data(plane).map_err(|error| error.to_string())?;
        let rows = if plane == 0 { height } else { height / 2 };
        for row in 0..rows {
            let row = data.get(row * stride..).and_then(|rest| rest.get(..row_bytes));
            buffer.extend_from_slice(row.ok_or("a frame with too few bytes")?);
        }
    }
    Ok(())
}
