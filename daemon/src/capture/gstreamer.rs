//! A camera that is a GStreamer pipeline.

use std::time::{Duration, Instant};

use fieldmark_gstreamer::{FrameFormat, Pipeline, PipelineError, Pulled};

use super::jpeg::JpegReader;
use super::layout::{Colour, Layout, Matrix};
use super::{Captured, Delivery, Frame, FrameImage, Source, SourceError};
use crate::config::{GstreamerConfig, PixelFormat};

/// A stream over the network takes its time to begin.
const OPENING: Duration = Duration::from_secs(15);

/// Plays its pipeline when the first frame is asked for, and again after every error.
pub struct GstreamerSource {
    config: GstreamerConfig,
    stall_timeout: Duration,
    playing: Option<Playing>,
    delivery: Delivery,
    sequence: u64,
}

struct Playing {
    pipeline: Pipeline,
    jpeg: Option<JpegReader>,
    /// Frames came already.
    begun: bool,
}

impl GstreamerSource {
    /// Nothing is opened yet. No frame for `stall_timeout` is an error.
    #[must_use]
    pub fn new(config: GstreamerConfig, stall_timeout: Duration) -> Self {
        let delivery = Delivery { format: "gstreamer".into(), size: None, fps: None, device: None };
        Self { config, stall_timeout, playing: None, delivery, sequence: 0 }
    }

    fn pull(&mut self, buffer: &mut Vec<u8>) -> Result<Pulled, PipelineError> {
        let patience = self.stall_timeout.max(OPENING);
        let playing = match &mut self.playing {
            Some(playing) => playing,
            none => {
                let pipeline = Pipeline::open(&self.config.pipeline, patience)?;
                none.insert(Playing { pipeline, jpeg: None, begun: false })
            }
        };
        let pulled =
            playing.pipeline.next(if playing.begun { self.stall_timeout } else { patience }, buffer)?;
        if let Pulled::Frame(format) = &pulled
            && !playing.begun
        {
            playing.begun = true;
            self.delivery.format = String::from_utf8_lossy(&format.fourcc).into_owned();
            (self.delivery.size, self.delivery.fps) = (Some((format.width, format.height)), format.fps);
            tracing::info!(pipeline = %self.config.pipeline, ?format, live = playing.pipeline.is_live(), "plays");
        }
        Ok(pulled)
    }

    fn inspect(&mut self, bytes: Vec<u8>, format: &FrameFormat) -> Captured {
        let Some(layout) = layout(format) else {
            return Captured::Skipped("an unknown format".into(), bytes);
        };
        let jpeg = self.playing.as_mut().map(|playing| &mut playing.jpeg);
        let flawless = match (layout.format, jpeg) {
            (PixelFormat::Mjpg, Some(jpeg)) => {
                super::frame::reader(jpeg).and_then(|jpeg| jpeg.check(&bytes, (layout.width, layout.height)))
            }
            _ => layout.check(&bytes),
        };
        if let Err(flaw) = flawless {
            return Captured::Skipped(flaw.to_string(), bytes);
        }
        let (image, time) = (FrameImage::Raw { bytes, layout }, jiff::Timestamp::now());
        Captured::Frame(Frame { image, time, moment: Instant::now(), sequence: self.sequence })
    }
}

impl Source for GstreamerSource {
    fn next(&mut self, mut buffer: Vec<u8>) -> Result<Captured, SourceError> {
        let mut pulled = self.pull(&mut buffer);
        if matches!(pulled, Ok(Pulled::End)) && self.config.repeat {
            self.playing = None;
            pulled = self.pull(&mut buffer);
        }
        match pulled {
            Ok(Pulled::Frame(format)) => {
                let captured = self.inspect(buffer, &format);
                self.sequence += 1;
                Ok(captured)
            }
            Ok(Pulled::End) => Ok(Captured::End),
            Err(error) => {
                self.playing = None;
                Err(SourceError::Pipeline(error.to_string()))
            }
        }
    }

    fn close(&mut self) {
        self.playing = None;
    }

    fn delivery(&self) -> Delivery {
        self.delivery.clone()
    }
}

fn layout(format: &FrameFormat) -> Option<Layout> {
    let matrix = if format.scale.bt709 { Matrix::Bt709 } else { Matrix::Bt601 };
    let colour = Colour { matrix, full_range: format.scale.full_range };
    let known = PixelFormat::from_fourcc(format.fourcc)?;
    Some(Layout::new(known, format.width, format.height, 0, colour))
}
