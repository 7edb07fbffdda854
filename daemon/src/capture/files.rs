//! A camera that shows picture files, at its own rate.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Captured, Delivery, Frame, FrameImage, Source, SourceError, read_picture};
use crate::config::{FilesConfig, Pace};

const EXTENSIONS: [&str; 13] =
    ["bmp", "gif", "jpe", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"];

/// Shows the files of a folder in name order, or those of a list as given.
#[derive(Debug)]
pub struct FilesSource {
    config: FilesConfig,
    files: Vec<PathBuf>,
    position: usize,
    sequence: u64,
    due: Option<Instant>,
    taken: Option<jiff::Timestamp>,
}

impl FilesSource {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(config: FilesConfig) -> Self {
        Self { config, files: Vec::new(), position: 0, sequence: 0, due: None, taken: None }
    }

    /// The pictures there are now, as far as their names tell.
    ///
    /// # Errors
    /// If a folder cannot be read or holds no picture, or a listed file is not there.
    pub fn list(&self) -> Result<Vec<PathBuf>, SourceError> {
        let mut files = Vec::new();
        for path in &self.config.paths {
            let failed = |source| SourceError::Path { path: path.clone(), source };
            if !std::fs::metadata(path).map_err(failed)?.is_dir() {
                files.push(path.clone());
                continue;
            }
            let mut inside = Vec::new();
            for entry in std::fs::read_dir(path).map_err(failed)? {
                let entry = entry.map_err(failed)?.path();
                if is_picture(&entry) {
                    inside.push(entry);
                }
            }
            if inside.is_empty() {
                return Err(SourceError::NoPictures(path.clone()));
            }
            inside.sort();
            files.append(&mut inside);
        }
        Ok(files)
    }

    /// The next file, or `None` after the last. The folder is read again at the start of every round, so that
    /// pictures copied into it while the daemon runs are shown.
    fn advance(&mut self) -> Result<Option<PathBuf>, SourceError> {
        if self.position >= self.files.len() {
            let finished = !self.files.is_empty() && !self.config.repeat;
            if finished {
                return Ok(None);
            }
            self.files = self.list()?;
            self.position = 0;
        }
        let file = self.files.get(self.position).cloned();
        self.position += 1;
        Ok(file)
    }

    /// Sleeps until the picture at `path` is due, and returns when it was taken. A slow disk delays pictures, it
    /// does not make them come in bursts.
    fn wait(&mut self, path: &Path) -> Result<jiff::Timestamp, String> {
        let now = Instant::now();
        let (due, taken) = match self.config.pace {
            Pace::Every(period) => {
                let due = self.due.map_or(now, |due| due.max(now));
                std::thread::sleep(due - now);
                self.due = Some(due + period);
                return Ok(jiff::Timestamp::now());
            }
            Pace::Recorded => {
                let taken = recorded(path)
                    .ok_or("its name does not begin with a time such as 20261123T053207.123Z")?;
                let since = self.taken.map(|before| taken.duration_since(before).unsigned_abs());
                // The beginning of another round is no journey back in time.
                let forward = self.taken.is_none_or(|before| taken >= before);
                let pause = since.filter(|_| forward).unwrap_or_default();
                (self.due.map_or(now, |due| (due + pause).max(now)), taken)
            }
        };
        std::thread::sleep(due - now);
        (self.due, self.taken) = (Some(due), Some(taken));
        Ok(taken)
    }
}

/// The time a name such as `20261123T053207.123Z-pond.jpg` begins with.
fn recorded(path: &Path) -> Option<jiff::Timestamp> {
    let name = path.file_stem()?.to_str()?;
    let (time, _) = name.split_once('Z')?;
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S%.f", time)
        .ok()?
        .in_tz("UTC")
        .ok()
        .map(|zoned| zoned.timestamp())
}

impl Source for FilesSource {
    fn next(&mut self, _buffer: Vec<u8>) -> Result<Captured, SourceError> {
        let Some(path) = self.advance()? else { return Ok(Captured::End) };
        let skipped = |why: String| Captured::Skipped(format!("{}: {why}", path.display()), Vec::new());
        let time = match self.wait(&path) {
            Ok(time) => time,
            Err(why) => return Ok(skipped(why)),
        };
        let moment = Instant::now();
        match read_picture(&path) {
            Ok(picture) => {
                let sequence = self.sequence;
                self.sequence += 1;
                let image = FrameImage::Picture(picture);
                Ok(Captured::Frame(Frame { image, time, moment, sequence }))
            }
            Err(error) => Ok(skipped(error.to_string())),
        }
    }

    fn delivery(&self) -> Delivery {
        let fps = match self.config.pace {
            Pace::Every(period) => Some(1.0 / period.as_secs_f64()),
            Pace::Recorded => None,
        };
        Delivery { format: "files".into(), size: None, fps, device: None }
    }
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    EXTENSIONS.contains(&extension.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn source(folder: &Path, repeat: bool) -> FilesSource {
        let paths = vec![folder.to_owned()];
        let pace = Pace::Every(Duration::from_micros(1));
        FilesSource::new(FilesConfig { paths, repeat, pace })
    }

    fn width(captured: &Captured) -> Option<u32> {
        match captured {
            Captured::Frame(frame) => Some(frame.size().0),
            _ => None,
        }
    }

    fn picture(path: &Path) {
        image::RgbImage::from_pixel(8, 6, image::Rgb([10, 20, 30])).save(path).expect("a picture");
    }

    #[test]
    fn a_folder_is_shown_once_in_name_order_and_bad_files_are_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        picture(&folder.path().join("b.png"));
        std::fs::write(folder.path().join("a.JPG"), b"no picture").expect("write");
        std::fs::write(folder.path().join("notes.txt"), b"ignored").expect("write");
        let mut source = source(folder.path(), false);
        assert!(
            matches!(source.next(Vec::new()), Ok(Captured::Skipped(why, _)) if why.contains("a.JPG: cannot decode"))
        );
        assert_eq!(source.next(Vec::new()).ok().as_ref().and_then(width), Some(8));
        assert!(matches!(source.next(Vec::new()), Ok(Captured::End)));
    }

    #[test]
    fn a_cmyk_jpeg_from_a_print_shop_is_shown_in_its_colours() {
        let folder = tempfile::tempdir().expect("a folder");
        // As Adobe's programs write it: ink upside down, so that 255 is none.
        let (width, height, format) = (32, 16, turbojpeg::PixelFormat::CMYK);
        let pixels = [255, 0, 0, 255].repeat(width * height);
        let image = turbojpeg::Image { pixels: &pixels[..], width, pitch: width * 4, height, format };
        let jpeg = turbojpeg::compress(image, 90, turbojpeg::Subsamp::None).expect("a JPEG");
        std::fs::write(folder.path().join("red.jpg"), &*jpeg).expect("write");
        let Ok(Captured::Frame(frame)) = source(folder.path(), false).next(Vec::new()) else {
            panic!("a frame")
        };
        assert_eq!(frame.size(), (32, 16));
        let rgb = frame.into_buffer();
        let red = |pixel: &[u8]| pixel[0] > 240 && pixel[1] < 15 && pixel[2] < 15;
        assert!(rgb.chunks(3).all(red), "{:?}", &rgb[..6]);
    }

    #[test]
    fn an_empty_folder_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = source(folder.path(), true).next(Vec::new()).expect_err("nothing there").to_string();
        assert!(error.contains("holds no picture: put BMP"), "{error}");
    }

    #[test]
    fn recorded_frames_come_at_their_own_pace_and_with_their_own_time() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["20261123T053207.000Z.png", "20261123T053207.300Z-b.png", "noon.png"] {
            picture(&folder.path().join(name));
        }
        let paths = vec![folder.path().to_owned()];
        let mut source = FilesSource::new(FilesConfig { paths, repeat: true, pace: Pace::Recorded });
        let begun = Instant::now();
        let mut next = || match source.next(Vec::new()) {
            Ok(Captured::Frame(frame)) => frame.time.to_string(),
            Ok(Captured::Skipped(why, _)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(next(), "2026-11-23T05:32:07Z");
        assert_eq!(next(), "2026-11-23T05:32:07.3Z");
        assert!(begun.elapsed() >= Duration::from_millis(300));
        assert!(next().contains("noon.png: its name does not begin with a time"));
        assert_eq!(next(), "2026-11-23T05:32:07Z", "another round");
    }

    #[test]
    fn a_looping_folder_begins_again() {
        let folder = tempfile::tempdir().expect("a folder");
        picture(&folder.path().join("a.png"));
        let mut source = source(folder.path(), true);
        for expected in 0..3 {
            assert!(
                matches!(source.next(Vec::new()), Ok(Captured::Frame(frame)) if frame.sequence == expected)
            );
        }
    }
}
