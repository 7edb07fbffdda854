//! `views`: what a network is shown, as raw bytes.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fieldmark_models::package::{GOLDEN, GOLDEN_INT8, MODEL, MODEL_FP16, MODEL_INT8, Package};
use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, ViewRenderer};
use fieldmark_trainer::quantise;

#[derive(Args)]
pub(crate) struct ViewsArgs {
    /// The package.
    package: PathBuf,
    /// Folder for the engine files, golden indexes and PICTURE.VIEW.u8 (`[H, W, 3]` RGB).
    #[arg(long)]
    out: PathBuf,
    /// CSV of photographs whose views are written too, with photos.csv: name, side (as `quantise` halves them),
    /// and the outputs that are right: from first_leaf to before end_leaf.
    #[arg(long, value_name = "TABLE")]
    photos: Option<PathBuf>,
    /// Folder that the table's paths start from; the table's own when absent.
    #[arg(long)]
    folder: Option<PathBuf>,
}

impl ViewsArgs {
    pub(crate) fn execute(&self) -> anyhow::Result<()> {
        let package = Package::open(&self.package)?;
        write_views(&package, &self.out)?;
        match &self.photos {
            Some(table) => write_photos(&package, table, self.folder.as_deref(), &self.out),
            None => Ok(()),
        }
    }
}

fn write_photos(package: &Package, table: &Path, folder: Option<&Path>, out: &Path) -> anyhow::Result<()> {
    let (photos, _) = super::photographs(table, folder)?;
    let (calibration, judging) = quantise::samples(package, &photos)?;
    let mut index = String::from("name,side,first_leaf,end_leaf\n");
    for (side, samples) in [("calibration", calibration), ("judging", judging)] {
        for (number, sample) in samples.iter().enumerate() {
            let name = format!("{side}_{number}");
            for (view, bytes) in package.views().views().iter().zip(&sample.views) {
                let path = out.join(format!("{name}.{}.u8", view.name));
                std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
            }
            let leaves = package.taxonomy().taxon(sample.truth).leaves();
            index.push_str(&format!("{name},{side},{},{}\n", leaves.start, leaves.end));
        }
    }
    let path = out.join("photos.csv");
    std::fs::write(&path, index).with_context(|| format!("cannot write {}", path.display()))
}

fn write_views(package: &Package, out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create folder {}", out.display()))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    for file in [MODEL, MODEL_INT8, MODEL_FP16, GOLDEN, GOLDEN_INT8] {
        if let Some(bytes) = package.file(file) {
            write(file.rsplit('/').next().unwrap_or(file), bytes)?;
        }
    }
    let (views, mut renderer) = (package.views(), ViewRenderer::new());
    for golden in &package.golden().picture {
        let picture = Picture::decode(package.file(&golden.file).unwrap_or_default())?;
        for view in views.views() {
            let mut bytes = vec![0; views.view_bytes()];
            let shown = views.shown(view, FractionBox::FRAME, None);
            renderer.render(&picture, shown, views.input_size(), &mut bytes)?;
            write(&format!("{}.{}.u8", golden.file.replace('/', "_"), view.name), &bytes)?;
        }
    }
    Ok(())
}
