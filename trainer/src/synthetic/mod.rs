//! A set of pictures in which it is known what decides a taxon: outline and colour high in the tree, fine texture that
//! only magnification shows in the species. For asking whether the paper's method does what the paper says.
//!
//! Most species have few pictures, objects stand off the centre, and there is clutter.

mod creature;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use atomic_write_file::AtomicWriteFile;
use indicatif::ProgressBar;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rayon::prelude::*;

use creature::{Creature, TEXTURES};

/// Name of the table beside the pictures.
pub const TABLE: &str = "table.csv";

/// How large the set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Species.
    pub species: usize,
    /// Pictures of the commonest species; the n-th commonest has an n-th of them, but at least the fewest.
    pub most: usize,
    /// Pictures of the rarest: the paper drops species with fewer than five.
    pub fewest: usize,
}

/// Children of a taxon from kingdom down to genus; a genus has as many species as there are textures.
const CHILDREN: [usize; 6] = [2, 2, 2, 1, 2, 1];

impl Size {
    /// Pictures of the species that is the `place`-th commonest, from 0.
    #[must_use]
    pub fn pictures(&self, place: usize) -> usize {
        (self.most / (place + 1)).max(self.fewest)
    }
}

/// Writes pictures and [`TABLE`] into `folder`. The same seed gives the same set. Gives the table's path.
///
/// # Errors
/// If something cannot be written.
pub fn write(folder: &Path, size: Size, seed: u64, bar: &ProgressBar) -> anyhow::Result<PathBuf> {
    let creatures = creatures(size.species);
    let mut jobs = Vec::new();
    for (position, creature) in creatures.iter().enumerate() {
        // Common and rare species stand beside each other in the tree.
        let place = position * 7 % creatures.len();
        jobs.extend((0..size.pictures(place)).map(|number| (position, creature, number)));
    }
    bar.set_length(jobs.len() as u64);
    let made = jobs.par_iter().map(|&(position, creature, number)| {
        let file = format!("{position:03}/{number:04}.png");
        let path = folder.join(&file);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create folder {}", parent.display()))?;
        let mut random = StdRng::seed_from_u64(seed ^ ((position as u64) << 32 | number as u64));
        let picture = creature.picture(&mut random);
        picture.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
        bar.inc(1);
        Ok(format!("{file},{},{}\n", creature.species(), creature.lineage().join(",")))
    });
    let rows: Vec<String> = made.collect::<anyhow::Result<_>>()?;
    let path = folder.join(TABLE);
    let writing = || format!("cannot write {}", path.display());
    let mut table = AtomicWriteFile::open(&path).with_context(writing)?;
    table.write_all(b"file,name,kingdom,phylum,class,order,family,genus,species\n").with_context(writing)?;
    table.write_all(rows.concat().as_bytes()).with_context(writing)?;
    table.commit().with_context(writing)?;
    Ok(path)
}

/// The first `count` species in pre-order.
fn creatures(count: usize) -> Vec<Creature> {
    let genera: usize = CHILDREN.iter().product();
    (0..count.min(genera * TEXTURES))
        .map(|species| {
            let (mut rest, texture) = (species / TEXTURES, species % TEXTURES);
            let mut levels = [0; 6];
            for (level, &children) in CHILDREN.iter().enumerate().rev() {
                levels[level] = rest % children;
                rest /= children;
            }
            Creature { levels, texture }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { species: 10, most: 8, fewest: 2 };

    #[test]
    fn the_same_seed_gives_the_same_set_and_its_table_is_read() {
        let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let table = write(one.path(), SIZE, 3, &ProgressBar::hidden()).expect("a set");
        write(two.path(), SIZE, 3, &ProgressBar::hidden()).expect("a set");
        let (photos, dropped) = crate::dataset::read_table(&table, one.path(), &[], "").expect("a table");
        assert!(dropped.is_empty());
        assert_eq!(photos.len(), (0..10).map(|place| SIZE.pictures(place)).sum::<usize>());
        assert!(photos.iter().all(|photo| photo.is_species() && photo.lineage.levels().len() == 7));
        for photo in &photos {
            let twin = two.path().join(photo.path.strip_prefix(one.path()).expect("inside"));
            assert_eq!(std::fs::read(&photo.path).expect("a file"), std::fs::read(twin).expect("a file"));
        }
    }

    #[test]
    fn species_of_a_genus_differ_in_texture_alone() {
        let all = creatures(usize::MAX);
        assert_eq!(all.len(), 16 * TEXTURES);
        assert_eq!(all[0].lineage()[..6], all[1].lineage()[..6]);
        let same = |creature: &Creature| creature.picture(&mut StdRng::seed_from_u64(1));
        let (a, b, other) = (same(&all[0]), same(&all[1]), same(&all[TEXTURES * 8]));
        let difference = |a: &image::RgbImage, b: &image::RgbImage, side: u32| {
            let small = |image| image::imageops::thumbnail(image, side, side);
            let (a, b) = (small(a), small(b));
            let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            sum as f64 / a.len() as f64
        };
        assert!(difference(&a, &b, 24) < 2.0, "from afar the species are one: {}", difference(&a, &b, 24));
        assert!(difference(&a, &b, 240) > 2.0 * difference(&a, &b, 24), "close to they are not");
        assert!(difference(&a, &other, 24) > 8.0, "phyla differ from afar");
    }
}
