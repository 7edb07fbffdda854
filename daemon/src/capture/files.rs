//! A camera that shows picture files, at its own rate.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Captured, Delivery, Frame, Source, SourceError, read_picture};
use crate::config::FilesConfig;

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
}

impl FilesSource {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(config: FilesConfig) -> Self {
        Self { config, files: Vec::new(), position: 0, sequence: 0, due: None }
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

    /// Sleeps until the next picture is due. A slow disk delays pictures, it does not make them come in bursts.
    fn wait(&mut self) {
        let now = Instant::now();
        let due = self.due.map_or(now, |due| due.max(now));
        std::thread::sleep(due - now);
        self.due = Some(due + self.config.period);
    }
}

impl Source for FilesSource {
    fn next(&mut self, _buffer: Vec<u8>) -> Result<Captured, SourceError> {
        let Some(path) = self.advance()? else { return Ok(Captured::End) };
        self.wait();
        match read_picture(&path) {
            Ok(picture) => {
                let sequence = self.sequence;
                self.sequence += 1;
                Ok(Captured::Frame(Frame { picture, time: jiff::Timestamp::now(), sequence }))
            }
            Err(error) => Ok(Captured::Skipped(format!("{}: {error}", path.display()))),
        }
    }

    fn delivery(&self) -> Delivery {
        Delivery { format: "files".into(), size: None, fps: Some(1.0 / self.config.period.as_secs_f64()) }
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
        FilesSource::new(FilesConfig { paths, repeat, period: Duration::from_micros(1) })
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
            matches!(source.next(Vec::new()), Ok(Captured::Skipped(why)) if why.contains("a.JPG: cannot decode"))
        );
        assert!(matches!(source.next(Vec::new()), Ok(Captured::Frame(frame)) if frame.picture.width() == 8));
        assert!(matches!(source.next(Vec::new()), Ok(Captured::End)));
    }

    #[test]
    fn an_empty_folder_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = source(folder.path(), true).next(Vec::new()).expect_err("nothing there").to_string();
        assert!(error.contains("holds no picture: put BMP"), "{error}");
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
