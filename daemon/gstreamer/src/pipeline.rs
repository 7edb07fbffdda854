//! A running pipeline, from its description to its last frame.

use std::time::{Duration, Instant};

use gstreamer::glib::object::Cast as _;
use gstreamer::prelude::{ElementExt as _, GstBinExt as _, GstObjectExt as _};
use gstreamer::{MessageType, MessageView, State, StateChangeSuccess};
use gstreamer_app::AppSink;

use crate::sample::{FrameFormat, Reader, accepted};

/// Name of the sink that is put at the end.
const SINK: &str = "fieldmark_frames";
/// How often it is looked whether the pipeline failed while no frame comes.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// GStreamer does not start.
    #[error("GStreamer does not start: {0}; is it installed with its plugins?")]
    Start(String),
    /// The description is none.
    #[error(
        "the pipeline cannot be made: {0}; try it with `gst-launch-1.0 … ! videoconvert ! fakesink`, and end it before the sink"
    )]
    Description(String),
    /// An element gave up.
    #[error("the pipeline failed: {element}: {reason}")]
    Failed {
        /// Name of the element.
        element: String,
        /// What it said.
        reason: String,
    },
    /// A live source ended.
    #[error("the live source ended its stream")]
    Ended,
    /// Nothing came.
    #[error("the pipeline gave no frame for {} s", .0.as_secs_f64())]
    Stalled(Duration),
    /// A frame that is not what was agreed.
    #[error("the pipeline gave a frame that cannot be read: {0}")]
    Frame(String),
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pulled {
    /// A frame; its bytes are in the buffer.
    Frame(FrameFormat),
    /// The last frame of a recording was given before.
    End,
}

/// A pipeline that plays until it is dropped.
#[derive(Debug)]
pub struct Pipeline {
    pipeline: gstreamer::Pipeline,
    sink: AppSink,
    live: bool,
    reader: Reader,
}

impl Pipeline {
    /// Makes the pipeline of `description`, as `gst-launch-1.0` takes it but without a sink, and starts it. Raw video
    /// is converted where its format is none that is read; an end in `image/jpeg` is taken as it is. Waits at most
    /// `patience` for a recording to be ready; a live source shows its frames as soon as there are some, the newest
    /// only, a recording at its own pace.
    ///
    /// # Errors
    /// If GStreamer is not there, the description is wrong, or an element fails at once.
    pub fn open(description: &str, patience: Duration) -> Result<Self, PipelineError> {
        let (pipeline, sink) = make(description)?;
        let mut opened = Self { pipeline, sink, live: false, reader: Reader::default() };
        opened.live = opened.prepare(patience)?;
        opened.sink.set_sync(!opened.live);
        opened.start()?;
        Ok(opened)
    }

    /// Whether the source is live: it has no end of its own and does not wait.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Waits at most `patience` for a frame and copies it into `buffer`, whatever that held.
    ///
    /// # Errors
    /// If none comes, an element fails, or a live source ends. The pipeline is of no more use then.
    pub fn next(&mut self, patience: Duration, buffer: &mut Vec<u8>) -> Result<Pulled, PipelineError> {
        let begun = Instant::now();
        loop {
            let left = patience.saturating_sub(begun.elapsed());
            let wait = gstreamer::ClockTime::from_nseconds(left.min(LOOK).as_nanos() as u64);
            if let Some(sample) = self.sink.try_pull_sample(wait) {
                return self.reader.read(&sample, buffer).map(Pulled::Frame).map_err(PipelineError::Frame);
            }
            self.check()?;
            if self.sink.is_eos() {
                return if self.live { Err(PipelineError::Ended) } else { Ok(Pulled::End) };
            }
            if left.is_zero() {
                return Err(PipelineError::Stalled(patience));
            }
        }
    }

    /// Opens the source; whether it is live.
    fn prepare(&self, patience: Duration) -> Result<bool, PipelineError> {
        let refused =
            |_| PipelineError::Failed { element: "pipeline".into(), reason: "it does not start".into() };
        let begun = self.pipeline.set_state(State::Paused);
        let mut change = begun.or_else(|error| self.check().and(Err(refused(error))))?;
        let since = Instant::now();
        while change == StateChangeSuccess::Async && since.elapsed() < patience {
            self.check()?;
            let wait = gstreamer::ClockTime::from_nseconds(LOOK.as_nanos() as u64);
            change = self.pipeline.state(wait).0.or_else(|error| self.check().and(Err(refused(error))))?;
        }
        Ok(change == StateChangeSuccess::NoPreroll)
    }

    fn start(&self) -> Result<(), PipelineError> {
        let refused =
            |_| PipelineError::Failed { element: "pipeline".into(), reason: "it does not play".into() };
        let playing = self.pipeline.set_state(State::Playing);
        playing.map(|_| ()).or_else(|error| self.check().and(Err(refused(error))))
    }

    /// An error that an element told since it was last asked.
    fn check(&self) -> Result<(), PipelineError> {
        let message = self.pipeline.bus().and_then(|bus| bus.pop_filtered(&[MessageType::Error]));
        let Some(message) = message else { return Ok(()) };
        let MessageView::Error(error) = message.view() else { return Ok(()) };
        // The debugging text begins with a place in GStreamer's source; what follows says which file or address.
        let debug = error.debug().unwrap_or_default().to_string();
        let detail = debug.lines().skip(1).collect::<Vec<_>>().join(" ");
        let reason = format!("{} {detail}", error.error()).trim().to_owned();
        let element = error.src().map_or_else(|| "pipeline".into(), |source| source.name().to_string());
        Err(PipelineError::Failed { element, reason })
    }
}

/// Makes the pipeline of `description` without playing it.
///
/// # Errors
/// If GStreamer is not there, or the description is wrong.
pub fn check(description: &str) -> Result<(), PipelineError> {
    make(description).map(|_| ())
}

fn make(description: &str) -> Result<(gstreamer::Pipeline, AppSink), PipelineError> {
    gstreamer::init().map_err(|error| PipelineError::Start(error.to_string()))?;
    let wrong = |reason: String| PipelineError::Description(reason);
    let last = description.rsplit('!').next().unwrap_or_default().trim();
    let is_jpeg = last.starts_with("image/jpeg") || last.starts_with("jpegparse");
    let convert = if is_jpeg { "" } else { "! videoconvert" };
    let whole = format!("{description} {convert} ! appsink name={SINK} max-buffers=1 drop=true");
    let made = gstreamer::parse::launch(&whole).map_err(|error| wrong(error.to_string()))?;
    let pipeline =
        made.downcast::<gstreamer::Pipeline>().map_err(|_| wrong("it is one element only".into()))?;
    let sink = pipeline.by_name(SINK).and_then(|element| element.downcast::<AppSink>().ok());
    let sink = sink.ok_or_else(|| wrong("its end has no sink".into()))?;
    sink.set_caps(Some(&accepted()));
    Ok((pipeline, sink))
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // A pipeline that is not stopped lives on without its owner.
        let _ = self.pipeline.set_state(State::Null);
    }
}
