//! Boxes that an ONNX detector finds, in the frame or tile by tile.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, ViewRenderer};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid as _;

use super::gather::{Gather, falling};
use super::tiles;

/// Largest file read, bytes.
const LARGEST: u64 = 1 << 30;
/// Most boxes of one tile that are looked at, those with the best scores.
const MOST: usize = 300;

/// Why there is no detector, or no boxes.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot {attempt} detector {path}: {reason}; give an ONNX with one square picture in (uint8 [1, H, W, 3] or float [1, 3, H, W] from 0 to 1) and boxes out (`boxes` [N, 4] and `scores` [N], or one [1, 4 + classes, N])"
)]
pub struct DetectorError {
    path: PathBuf,
    attempt: &'static str,
    reason: String,
}

/// A detector ready to look. The network allocates while it runs, what is around it nothing once warm.
pub struct Detector {
    path: PathBuf,
    plan: Arc<TypedRunnableModel>,
    side: u32,
    /// Shared with the network while it runs.
    input: Arc<Tensor>,
    score: f64,
    renderer: ViewRenderer,
    pixels: Vec<u8>,
    gather: Gather,
    tiles: Vec<FractionBox>,
    found: Vec<(FractionBox, f64)>,
}

/// Where a detector looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Part of the frame.
    pub part: FractionBox,
    /// Side of the tiles it is shown, in pixels; the whole part at once when absent.
    pub tile_px: Option<f64>,
    /// Share of a tile's side that its neighbour shows too.
    pub overlap: f64,
}

impl Detector {
    /// Reads the detector at `path`; boxes with less than `score` are none.
    ///
    /// # Errors
    /// If it cannot be read, or takes or gives something else.
    pub fn open(path: &Path, score: f64) -> Result<Self, DetectorError> {
        let failed = |attempt| move |reason: String| DetectorError { path: path.into(), attempt, reason };
        let size = std::fs::metadata(path).map_err(|error| failed("read")(error.to_string()))?.len();
        if size > LARGEST {
            return Err(failed("read")(format!("{size} bytes are too many")));
        }
        let bytes = std::fs::read(path).map_err(|error| failed("read")(error.to_string()))?;
        let understood = |error: TractError| failed("understand")(format!("{error:#}"));
        let proto = tract_onnx::onnx().proto_model_for_read(&mut &bytes[..]).map_err(understood)?;
        let model = tract_onnx::onnx().with_ignore_output_shapes(true).model_for_proto_model(&proto);
        let model = model.map_err(understood)?;
        let fact = model.input_fact(0).map_err(understood)?.clone();
        let bytes_in = fact.datum_type.concretize() == Some(u8::datum_type());
        let sides: Vec<Option<i64>> =
            fact.shape.dims().map(|dim| dim.concretize().and_then(|dim| dim.to_i64().ok())).collect();
        let (height, width) = match (&sides[..], bytes_in) {
            ([_, height, width, Some(3)], true) | ([_, Some(3), height, width], false) => (*height, *width),
            _ => return Err(failed("use")(format!("its input is {sides:?}"))),
        };
        let side = height.filter(|_| height == width).and_then(|side| u32::try_from(side).ok());
        let Some(side) = side.filter(|side| (16..=4096).contains(side)) else {
            return Err(failed("use")(format!("its picture is {height:?} x {width:?}")));
        };
        let shape = if bytes_in {
            [1, side as usize, side as usize, 3]
        } else {
            [1, 3, side as usize, side as usize]
        };
        let datum = if bytes_in { u8::datum_type() } else { f32::datum_type() };
        let optimise = || {
            model.with_input_fact(0, InferenceFact::dt_shape(datum, shape))?.into_optimized()?.into_runnable()
        };
        let plan = optimise().map_err(|error| failed("optimise")(format!("{error:#}")))?;
        let input = Tensor::zero_dt(datum, &shape).map_err(|error| failed("use")(format!("{error:#}")))?;
        let pixels = vec![0; side as usize * side as usize * 3];
        Ok(Self {
            path: path.into(),
            plan,
            side,
            input: Arc::new(input),
            score,
            renderer: ViewRenderer::new(),
            pixels,
            gather: Gather::default(),
            tiles: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Boxes in `picture`, one a thing.
    ///
    /// # Errors
    /// If the network cannot be run, or gives no boxes.
    pub fn boxes(&mut self, picture: &Picture, look: Look) -> Result<&[FractionBox], DetectorError> {
        self.tiles.clear();
        match look.tile_px {
            Some(side) => {
                let (tiles, size) = (&mut self.tiles, (picture.width(), picture.height()));
                tiles::tile(size, look.part, side, look.overlap, 4096, |_, _, tile| tiles.push(tile));
            }
            None => self.tiles.push(look.part),
        }
        self.gather.clear();
        for number in 0..self.tiles.len() {
            let tile = self.tiles[number];
            self.detect(picture, tile).map_err(|reason| DetectorError {
                path: self.path.clone(),
                attempt: "run",
                reason,
            })?;
            self.found.drain(..).for_each(|(found, score)| self.gather.add(tile, found, score));
        }
        Ok(self.gather.boxes())
    }

    fn detect(&mut self, picture: &Picture, tile: FractionBox) -> Result<(), String> {
        let told = |error: TractError| format!("{error:#}");
        self.renderer
            .render(picture, tile, self.side, &mut self.pixels)
            .map_err(|error| error.to_string())?;
        fill(Arc::make_mut(&mut self.input), &self.pixels).map_err(told)?;
        let outputs = self.plan.run(tvec!(TValue::from_const(Arc::clone(&self.input)))).map_err(told)?;
        self.found.clear();
        let shown = Shown { tile, pixel: f64::from(self.side), score: self.score };
        let fits = match &outputs[..] {
            [boxes, scores, ..] => {
                let (boxes, scores) = (boxes.cast_to::<f32>(), scores.cast_to::<f32>());
                let (boxes, scores) = (boxes.map_err(told)?, scores.map_err(told)?);
                let found = corners(numbers(&boxes).map_err(told)?, numbers(&scores).map_err(told)?);
                found.map(|found| shown.keep(found, &mut self.found))
            }
            [one] => {
                let &[1, rows, count] = one.shape() else {
                    return Err(format!("its output is {:?}", one.shape()));
                };
                let one = one.cast_to::<f32>().map_err(told)?;
                let found = centres(numbers(&one).map_err(told)?, rows, count);
                found.map(|found| shown.keep(found, &mut self.found))
            }
            [] => None,
        };
        fits.ok_or("its output is no boxes")?;
        self.found.sort_unstable_by(|one, other| falling(*one, *other));
        self.found.truncate(MOST);
        Ok(())
    }
}

/// Pixels of a tile as the network takes them: bytes as they are, numbers from 0 to 1 a channel at a time.
fn fill(input: &mut Tensor, pixels: &[u8]) -> TractResult<()> {
    let bytes_in = input.datum_type() == u8::datum_type();
    let mut input = input.try_as_plain_ram_mut()?;
    if bytes_in {
        input.as_slice_mut::<u8>()?.copy_from_slice(pixels);
        return Ok(());
    }
    let planes = input.as_slice_mut::<f32>()?.chunks_exact_mut((pixels.len() / 3).max(1));
    for (channel, plane) in planes.enumerate() {
        let bytes = pixels.iter().skip(channel).step_by(3);
        plane.iter_mut().zip(bytes).for_each(|(number, &byte)| *number = f32::from(byte) / 255.0);
    }
    Ok(())
}

fn numbers(output: &Tensor) -> TractResult<&[f32]> {
    output.try_as_plain_ram()?.as_slice::<f32>()
}

/// A tile as the network was shown it.
#[derive(Clone, Copy)]
struct Shown {
    tile: FractionBox,
    /// Pixels across.
    pixel: f64,
    score: f64,
}

impl Shown {
    /// Keeps those of its boxes that have a score, in fractions of the frame.
    fn keep(self, found: impl Iterator<Item = Scored>, kept: &mut Vec<(FractionBox, f64)>) {
        let [left, top, right, bottom] = self.tile.edges();
        for (edges, score) in found {
            if f64::from(score) < self.score {
                continue;
            }
            let share = edges.map(|edge| (f64::from(edge) / self.pixel).clamp(0.0, 1.0));
            let x = |share: f64| (left + (right - left) * share).clamp(0.0, 1.0);
            let y = |share: f64| (top + (bottom - top) * share).clamp(0.0, 1.0);
            if let Ok(found) = FractionBox::new(x(share[0]), y(share[1]), x(share[2]), y(share[3])) {
                kept.push((found, f64::from(score)));
            }
        }
    }
}

type Scored = ([f32; 4], f32);

/// Left, top, right and bottom in pixels, and as many scores.
fn corners<'a>(boxes: &'a [f32], scores: &'a [f32]) -> Option<impl Iterator<Item = Scored> + 'a> {
    let (boxes, rest) = boxes.as_chunks::<4>();
    let fits = rest.is_empty() && boxes.len() == scores.len();
    fits.then(|| boxes.iter().copied().zip(scores.iter().copied()))
}

/// Rows of centre x, centre y, width, height in pixels and of each class's score, a column a box.
fn centres(numbers: &[f32], rows: usize, count: usize) -> Option<impl Iterator<Item = Scored> + '_> {
    if rows < 5 || numbers.len() != rows * count {
        return None;
    }
    let at = move |row: usize, column: usize| numbers[row * count + column];
    Some((0..count).map(move |column| {
        let (x, y, width, height) = (at(0, column), at(1, column), at(2, column), at(3, column));
        let score = (4..rows).map(|row| at(row, column)).fold(f32::NEG_INFINITY, f32::max);
        ([x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0], score)
    }))
}

/// A detector on its way to the thread that looks at frames, which takes it once.
#[derive(Clone)]
pub struct NewDetector(Arc<Mutex<Option<Detector>>>);

impl NewDetector {
    /// `detector`, to be taken.
    #[must_use]
    pub fn new(detector: Detector) -> Self {
        Self(Arc::new(Mutex::new(Some(detector))))
    }

    /// The detector, where nobody took it yet.
    #[must_use]
    pub fn take(&self) -> Option<Detector> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl PartialEq for NewDetector {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for NewDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewDetector")
    }
}
