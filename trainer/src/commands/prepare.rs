//! `prepare`: a set of pictures to train on, from what people have or rendered.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use fieldmark_trainer::prepare::{
    self, Format, FormatError, Input, Licence, OddTaxonomy, PhotoSize, PictureFormat, Rules, SourceError,
    SplitKey,
};
use fieldmark_trainer::{run, synthetic};

use crate::Failure;

/// Shown below the help.
pub(crate) const EXAMPLES: &str = "Examples:
  fieldmark-trainer prepare 0012345-download.zip --out work/sets/birds
  fieldmark-trainer prepare taxa.csv --photos /data/photos --picture-format jpeg,png --min-images 1 --out work/sets/mine
  fieldmark-trainer prepare --synthetic work/synthetic";

#[derive(Args)]
#[command(group = ArgGroup::new("from").required(true).args(["source", "synthetic"]))]
pub(crate) struct PrepareArgs {
    /// Darwin Core Archive of GBIF or iNaturalist (ZIP or folder), GBIF's simple table, folder of iNaturalist Open Data,
    /// JSON of an iNaturalist competition, CSV of files with a column for each rank, or folders named by taxa.
    source: Option<PathBuf>,
    /// Folder of the prepared set: taxonomy.tsv, samples/, dropped.parquet, report.json.
    #[arg(long, value_name = "FOLDER", required_unless_present = "synthetic")]
    out: Option<PathBuf>,
    /// What the source is; told by its files when absent.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Table of pictures that belongs to a source without one: multimedia.txt.
    #[arg(long, value_name = "TABLE")]
    media: Option<PathBuf>,
    /// Folder that paths of pictures start from; where the source lies when absent.
    #[arg(long, value_name = "FOLDER")]
    photos: Option<PathBuf>,
    /// Beginnings of file names that show the same individual each.
    #[arg(long, value_name = "BEGINNING", value_delimiter = ',')]
    individuals: Vec<String>,
    /// Formats of pictures that are taken.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "jpeg")]
    picture_format: Vec<PictureFormat>,
    /// Pictures that a species needs; a taxon above needs as many where nothing below it has enough.
    #[arg(long, default_value_t = 5)]
    min_images: u64,
    /// Most pictures of a taxon; all when absent.
    #[arg(long)]
    cap: Option<u64>,
    /// Hybrid formulas and provisional names: dropped, or kept as labels of their genus.
    #[arg(long, value_enum, default_value = "drop")]
    odd_taxonomy: OddTaxonomy,
    /// Take observations of any grade.
    #[arg(long)]
    any_grade: bool,
    /// Licences of pictures that are taken, of any version where none is named: cc0,cc-by,cc-by-nc-4.0. All when absent.
    #[arg(long, value_delimiter = ',')]
    licence: Vec<Licence>,
    /// Share of observations that is kept for validation.
    #[arg(long, default_value_t = 0.2)]
    validation: f64,
    /// What stays on one side of the split.
    #[arg(long, value_enum, default_value = "observation")]
    split_by: SplitKey,
    /// Size that photos of iNaturalist Open Data are fetched in.
    #[arg(long, value_enum, default_value = "large")]
    photo_size: PhotoSize,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Folder for generated pictures in which it is known what decides a taxon.
    #[arg(long, value_name = "FOLDER", conflicts_with = "out")]
    synthetic: Option<PathBuf>,
    /// Species, with --synthetic.
    #[arg(long, default_value_t = 48)]
    species: usize,
    /// Pictures of the commonest species; the n-th commonest has an n-th of them, with --synthetic.
    #[arg(long, default_value_t = 160)]
    most: usize,
    /// Pictures of the rarest, with --synthetic.
    #[arg(long, default_value_t = 12)]
    fewest: usize,
    /// The same seed gives the same split, cap and pictures.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl PrepareArgs {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        match (&self.synthetic, &self.source, &self.out) {
            (Some(folder), ..) => self.render(folder),
            (None, Some(source), Some(out)) => self.prepare(source, out),
            _ => Err(Failure::Usage(anyhow::anyhow!("give a source and --out, or --synthetic"))),
        }
    }

    fn render(&self, folder: &Path) -> Result<(), Failure> {
        let size = synthetic::Size { species: self.species, most: self.most, fewest: self.fewest };
        let bar = run::progress("pictures", 0);
        let table = synthetic::write(folder, size, self.seed, &bar)?;
        bar.finish();
        println!("{}", table.display());
        Ok(())
    }

    fn prepare(&self, source: &Path, out: &Path) -> Result<(), Failure> {
        let rules = self.rules()?;
        let input = Input::new(source, self.format).map_err(|error| match error {
            SourceError::Format(FormatError::Unknown { .. } | FormatError::Read { .. }) => {
                Failure::Usage(error.into())
            }
            error => Failure::Work(error.into()),
        })?;
        let input = input
            .with_media(self.media.clone())
            .with_photos(self.photos.clone())
            .with_individuals(self.individuals.clone());
        let bar = run::byte_progress("rows");
        let report = prepare::prepare(&input, &rules, out, &|read, total| {
            bar.set_length(total);
            bar.set_position(read);
        })?;
        bar.finish_and_clear();
        if self.json {
            println!("{}", serde_json::to_string(&report).map_err(anyhow::Error::from)?);
        } else {
            print!("{report}");
            println!("{}", out.display());
        }
        Ok(())
    }

    fn rules(&self) -> Result<Rules, Failure> {
        if !(0.0..1.0).contains(&self.validation) {
            return Err(Failure::Usage(anyhow::anyhow!(
                "--validation: {} is no share from 0 to below 1",
                self.validation
            )));
        }
        Ok(Rules {
            formats: self.picture_format.clone(),
            min_images: self.min_images,
            cap: self.cap,
            odd_taxonomy: self.odd_taxonomy,
            research_grade: !self.any_grade,
            licences: self.licence.clone(),
            validation: self.validation,
            split_by: self.split_by,
            seed: self.seed,
            photo_size: self.photo_size,
        })
    }
}
