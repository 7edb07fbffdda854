//! Boxes that an ONNX detector finds, in the frame or tile by tile.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, ViewRenderer};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid as _;

use super::gather::Gather;
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

/// A detector ready to look.
pub struct Detector {
    path: PathBuf,
    plan: Arc<TypedRunnableModel>,
    side: u32,
    bytes_in: bool,
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
        let pixels = vec![0; side as usize * side as usize * 3];
        Ok(Self {
            path: path.into(),
            plan,
            side,
            bytes_in,
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
        let side = self.side as usize;
        self.renderer
            .render(picture, tile, self.side, &mut self.pixels)
            .map_err(|error| error.to_string())?;
        let input = if self.bytes_in {
            Tensor::from_shape(&[1, side, side, 3], &self.pixels)
        } else {
            let plane = |channel: usize| {
                self.pixels.iter().skip(channel).step_by(3).map(|&byte| f32::from(byte) / 255.0)
            };
            let planes: Vec<f32> = (0..3).flat_map(plane).collect();
            Tensor::from_shape(&[1, 3, side, side], &planes)
        };
        let told = |error: TractError| format!("{error:#}");
        let outputs = self.plan.run(tvec!(input.map_err(told)?.into())).map_err(told)?;
        let numbers = |output: &TValue| -> Result<Vec<f32>, String> {
            let output = output.cast_to::<f32>().map_err(told)?;
            let view = output.to_plain_array_view::<f32>().map_err(told)?;
            Ok(view.iter().copied().collect())
        };
        let found = match &outputs[..] {
            [boxes, scores, ..] => corners(&numbers(boxes)?, &numbers(scores)?),
            [one] => {
                let shape: Vec<usize> = one.shape().into();
                let &[1, rows, count] = &shape[..] else { return Err(format!("its output is {shape:?}")) };
                centres(&numbers(one)?, rows, count)
            }
            [] => None,
        };
        let found = found.ok_or("its output is no boxes")?;
        let [left, top, right, bottom] = tile.edges();
        let pixel = f64::from(self.side);
        self.found.clear();
        for (edges, score) in found {
            if f64::from(score) < self.score {
                continue;
            }
            let share = edges.map(|edge| (f64::from(edge) / pixel).clamp(0.0, 1.0));
            let x = |share: f64| (left + (right - left) * share).clamp(0.0, 1.0);
            let y = |share: f64| (top + (bottom - top) * share).clamp(0.0, 1.0);
            if let Ok(found) = FractionBox::new(x(share[0]), y(share[1]), x(share[2]), y(share[3])) {
                self.found.push((found, f64::from(score)));
            }
        }
        self.found.sort_by(|one, other| other.1.total_cmp(&one.1));
        self.found.truncate(MOST);
        Ok(())
    }
}

type Scored = ([f32; 4], f32);

/// Left, top, right and bottom in pixels, and as many scores.
fn corners(boxes: &[f32], scores: &[f32]) -> Option<Vec<Scored>> {
    let (boxes, rest) = boxes.as_chunks::<4>();
    let fits = rest.is_empty() && boxes.len() == scores.len();
    fits.then(|| boxes.iter().copied().zip(scores.iter().copied()).collect())
}

/// Rows of centre x, centre y, width, height in pixels and of each class's score, a column a box.
fn centres(numbers: &[f32], rows: usize, count: usize) -> Option<Vec<Scored>> {
    if rows < 5 || numbers.len() != rows * count {
        return None;
    }
    let at = |row: usize, column: usize| numbers[row * count + column];
    let one = |column: usize| {
        let (x, y, width, height) = (at(0, column), at(1, column), at(2, column), at(3, column));
        let score = (4..rows).map(|row| at(row, column)).fold(f32::NEG_INFINITY, f32::max);
        ([x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0], score)
    };
    Some((0..count).map(one).collect())
}
