//! The height of the ground, from a GeoTIFF in degrees or an SRTM tile.

use std::io::{Read as _, Seek};
use std::path::{Path, PathBuf};

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

use super::Geodetic;

/// Largest file read, bytes: 3601 x 3601 samples of 4 bytes four times over.
const LARGEST: u64 = 256 << 20;
/// SRTM's sample for "nobody measured here".
const SRTM_VOID: f64 = -32_768.0;
/// GeoKeys: what kind of coordinates, where in a pixel they point.
const MODEL_TYPE: u16 = 1024;
const RASTER_TYPE: u16 = 1025;

/// Why there is no terrain.
#[derive(Debug, thiserror::Error)]
pub enum TerrainError {
    /// The file.
    #[error("cannot read terrain {path}: {source}")]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its content.
    #[error("cannot use terrain {path}: {reason}")]
    Content {
        /// Its path.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// Heights above mean sea level on a grid of degrees.
#[derive(Debug, Clone, PartialEq)]
pub struct Terrain {
    heights: Vec<f32>,
    width: usize,
    height: usize,
    /// Where the middle of the first sample is: degrees east and north.
    first: [f64; 2],
    /// Degrees to the next one: east, and south.
    step: [f64; 2],
}

impl Terrain {
    /// Reads `path`: `N47E008.hgt` of SRTM, anything else as a GeoTIFF.
    ///
    /// # Errors
    /// If it cannot be read, or is no such thing.
    pub fn read(path: &Path) -> Result<Self, TerrainError> {
        let file = |source| TerrainError::File { path: path.into(), source };
        let content = |reason| TerrainError::Content { path: path.into(), reason };
        let mut opened = std::fs::File::open(path).map_err(file)?;
        let bytes = opened.metadata().map_err(file)?.len();
        if bytes > LARGEST {
            return Err(content(format!("{bytes} bytes are too many: cut out the survey's area")));
        }
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("hgt")) {
            let mut samples = Vec::new();
            opened.read_to_end(&mut samples).map_err(file)?;
            return Self::srtm(path, &samples).map_err(content);
        }
        Self::geotiff(std::io::BufReader::new(opened)).map_err(content)
    }

    /// Big-endian 16-bit samples, rows from the north; the name says the south-western corner.
    fn srtm(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let corner = || {
            let digits = |range: std::ops::Range<usize>| name.get(range)?.parse::<f64>().ok();
            let sign = |at: usize, plus: char, minus: char| match name.chars().nth(at)? {
                c if c.eq_ignore_ascii_case(&plus) => Some(1.0),
                c if c.eq_ignore_ascii_case(&minus) => Some(-1.0),
                _ => None,
            };
            Some([sign(3, 'E', 'W')? * digits(4..7)?, sign(0, 'N', 'S')? * digits(1..3)?])
        };
        let [west, south] =
            corner().ok_or_else(|| format!("{name:?} does not say where it lies: name it as N47E008.hgt"))?;
        let side = (bytes.len() as f64 / 2.0).sqrt() as usize;
        if side < 2 || side * side * 2 != bytes.len() {
            return Err(format!("{} bytes are no square of 16-bit samples", bytes.len()));
        }
        let samples = bytes.as_chunks::<2>().0.iter().map(|&sample| f32::from(i16::from_be_bytes(sample)));
        let heights = samples.map(|height| if f64::from(height) == SRTM_VOID { f32::NAN } else { height });
        let step = 1.0 / (side - 1) as f64;
        let first = [west, south + 1.0];
        Ok(Self { heights: heights.collect(), width: side, height: side, first, step: [step, step] })
    }

    fn geotiff(file: impl std::io::Read + Seek) -> Result<Self, String> {
        let failed = |error: tiff::TiffError| format!("{error}; give a GeoTIFF of one band");
        let mut limits = Limits::default();
        limits.decoding_buffer_size = LARGEST as usize;
        let mut decoder = Decoder::new(file).map_err(failed)?.with_limits(limits);
        let (width, height) = decoder.dimensions().map_err(failed)?;
        let untied = "it does not say where it lies: a GeoTIFF has ModelPixelScale and ModelTiepoint";
        let scale = decoder.get_tag_f64_vec(Tag::ModelPixelScaleTag).map_err(|_| untied)?;
        let tie = decoder.get_tag_f64_vec(Tag::ModelTiepointTag).map_err(|_| untied)?;
        let keys = decoder.get_tag_u16_vec(Tag::GeoKeyDirectoryTag).map_err(|_| untied)?;
        let key = |wanted: u16| {
            keys.chunks_exact(4)
                .skip(1)
                .find(|entry| entry[0] == wanted && entry[1] == 0)
                .map(|entry| entry[3])
        };
        if key(MODEL_TYPE) != Some(2) {
            return Err(
                "its coordinates are no degrees: bring it to them with gdalwarp -t_srs EPSG:4326".into()
            );
        }
        let nodata = decoder.get_tag_ascii_string(Tag::GdalNodata).ok();
        let nodata = nodata.and_then(|text| text.trim().trim_end_matches('\0').trim().parse::<f64>().ok());
        let heights = samples(decoder.read_image().map_err(failed)?)?;
        let (width, height) = (width as usize, height as usize);
        if heights.len() != width * height || width < 2 || height < 2 {
            return Err("it has several bands, or hardly any samples: give the elevation alone".into());
        }
        let (&[scale_x, scale_y, ..], &[column, row, _, x, y, ..]) = (&scale[..], &tie[..]) else {
            return Err(untied.into());
        };
        // Coordinates point at a pixel's corner unless it says that they point at its middle.
        let half = if key(RASTER_TYPE) == Some(2) { 0.0 } else { 0.5 };
        let first = [x + (half - column) * scale_x, y - (half - row) * scale_y];
        let fits = |value: &f64| value.is_finite() && *value > 0.0;
        if ![scale_x, scale_y].iter().all(fits) || !first.iter().all(|value| value.is_finite()) {
            return Err("its scale is none".into());
        }
        let is_void = |height: f32| nodata.is_some_and(|nodata| f64::from(height) == nodata);
        let heights = heights.into_iter().map(|height| if is_void(height) { f32::NAN } else { height });
        Ok(Self { heights: heights.collect(), width, height, first, step: [scale_x, scale_y] })
    }

    /// Metres above mean sea level at `at`, between the four samples around it; `None` where nobody measured.
    #[must_use]
    pub fn elevation(&self, at: Geodetic) -> Option<f64> {
        let x = (at.lon - self.first[0]) / self.step[0];
        let y = (self.first[1] - at.lat) / self.step[1];
        let inside = |value: f64, count: usize| (-0.5..=count as f64 - 0.5).contains(&value);
        if !inside(x, self.width) || !inside(y, self.height) {
            return None;
        }
        let split = |value: f64, count: usize| {
            let value = value.clamp(0.0, (count - 1) as f64);
            let low = (value as usize).min(count - 2);
            (low, value - low as f64)
        };
        let ((column, across), (row, down)) = (split(x, self.width), split(y, self.height));
        let sample =
            |column: usize, row: usize| self.heights.get(row * self.width + column).copied().map(f64::from);
        let mix = |a: f64, b: f64, share: f64| a + (b - a) * share;
        let upper = mix(sample(column, row)?, sample(column + 1, row)?, across);
        let lower = mix(sample(column, row + 1)?, sample(column + 1, row + 1)?, across);
        Some(mix(upper, lower, down)).filter(|height| height.is_finite())
    }
}

fn samples(image: DecodingResult) -> Result<Vec<f32>, String> {
    Ok(match image {
        DecodingResult::F32(samples) => samples,
        DecodingResult::F64(samples) => samples.into_iter().map(|sample| sample as f32).collect(),
        DecodingResult::I16(samples) => samples.into_iter().map(f32::from).collect(),
        DecodingResult::U16(samples) => samples.into_iter().map(f32::from).collect(),
        DecodingResult::I32(samples) => samples.into_iter().map(|sample| sample as f32).collect(),
        DecodingResult::U8(samples) => samples.into_iter().map(f32::from).collect(),
        _ => return Err("its samples are of a kind that heights are not given in".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_in_an_srtm_tile_is_read_between_its_samples() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("N47E008.hgt");
        // 11 x 11 samples, rising 10 m a column.
        let samples: Vec<u8> = (0..121i16).flat_map(|i| (i % 11 * 10).to_be_bytes()).collect();
        std::fs::write(&path, &samples).expect("write");
        let terrain = Terrain::read(&path).expect("terrain");
        let at = |lat, lon| terrain.elevation(Geodetic { lat, lon });
        assert!(at(47.5, 8.25).is_some_and(|height| (height - 25.0).abs() < 1e-6));
        assert!(at(47.0, 8.0).is_some_and(|height| height.abs() < 1e-6));
        assert_eq!(at(48.5, 8.0), None);
        std::fs::write(folder.path().join("there.hgt"), &samples).expect("write");
        let error = Terrain::read(&folder.path().join("there.hgt")).expect_err("no place").to_string();
        assert!(error.contains("name it as N47E008.hgt"), "{error}");
    }

    /// 4 x 3 samples of float, rising 10 m a column and falling 100 m a row, tied to 8 E 48 N by its first pixel.
    fn geotiff(path: &Path, raster: u16) {
        use tiff::encoder::{TiffEncoder, colortype::Gray32Float};
        let mut encoder = TiffEncoder::new(std::fs::File::create(path).expect("a file")).expect("a TIFF");
        let mut image = encoder.new_image::<Gray32Float>(4, 3).expect("an image");
        let tags = image.encoder();
        tags.write_tag(Tag::ModelPixelScaleTag, &[0.1, 0.2, 0.0][..]).expect("a tag");
        tags.write_tag(Tag::ModelTiepointTag, &[0.0, 0.0, 0.0, 8.0, 48.0, 0.0][..]).expect("a tag");
        let keys = [1u16, 1, 0, 2, MODEL_TYPE, 0, 1, 2, RASTER_TYPE, 0, 1, raster];
        tags.write_tag(Tag::GeoKeyDirectoryTag, &keys[..]).expect("a tag");
        let samples: Vec<f32> =
            (0..12u16).map(|at| f32::from(at % 4 * 10) - f32::from(at / 4 * 100)).collect();
        image.write_data(&samples).expect("written");
    }

    #[test]
    fn a_geotiffs_samples_lie_in_the_middle_of_pixels_or_at_their_corners_as_it_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dem.tif");
        // Areas: the first sample is half a pixel inside; points: at the tie point.
        for (raster, inside) in [(1, 0.5), (2, 0.0)] {
            geotiff(&path, raster);
            let terrain = Terrain::read(&path).expect("terrain");
            let at = |column: f64, row: f64| {
                let (lon, lat) = (8.0 + 0.1 * (column + inside), 48.0 - 0.2 * (row + inside));
                terrain.elevation(Geodetic { lat, lon })
            };
            for (column, row, height) in
                [(0.0, 0.0, 0.0), (3.0, 0.0, 30.0), (1.5, 1.25, -110.0), (3.0, 2.0, -170.0)]
            {
                let found = at(column, row).expect("inside");
                assert!((found - height).abs() < 1e-3, "{raster}: {column} {row}: {found}");
            }
            assert_eq!(at(-1.0, 0.0), None);
        }
    }

    #[test]
    fn what_is_no_terrain_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dem.tif");
        std::fs::write(&path, b"II*\0nothing").expect("write");
        assert!(Terrain::read(&path).is_err());
        image::GrayImage::new(8, 8).save_with_format(&path, image::ImageFormat::Tiff).expect("write");
        let error = Terrain::read(&path).expect_err("no place").to_string();
        assert!(error.contains("does not say where it lies"), "{error}");
    }
}
