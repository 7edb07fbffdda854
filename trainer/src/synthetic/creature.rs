//! One species: how it looks.

use image::{Rgb, RgbImage};
use rand::RngExt as _;
use rand::rngs::StdRng;

/// Side of a picture in pixels: two and a half times what the small network sees.
const SIDE: u32 = 240;
/// Species of a genus: as many textures.
pub(super) const TEXTURES: usize = 3;
/// Pixels from stripe to stripe: below what the whole view resolves, above what the crop does.
const PERIOD: f32 = 4.2;
/// Grey levels between stripe and ground.
const STRENGTH: f32 = 26.0;
/// Grey levels of noise up and down.
const NOISE: f32 = 16.0;
/// Blots of clutter.
const CLUTTER: usize = 7;

/// Which child its ancestors are, from kingdom to genus, and its own texture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Creature {
    pub levels: [usize; 6],
    pub texture: usize,
}

impl Creature {
    /// Names from kingdom to species.
    pub(super) fn lineage(&self) -> Vec<String> {
        const RANKS: [&str; 6] = ["Regnum", "Phylum", "Classis", "Ordo", "Familia", "Genus"];
        let mut path = String::new();
        let mut names = Vec::new();
        for (rank, level) in RANKS.iter().zip(self.levels) {
            path.push((b'a' + level as u8) as char);
            names.push(format!("{rank}{path}"));
        }
        names.push(self.species());
        names
    }

    /// Its binomial.
    pub(super) fn species(&self) -> String {
        let path: String = self.levels.iter().map(|&level| (b'a' + level as u8) as char).collect();
        format!("Genus{path} {}", ["striata", "cincta", "tessellata"][self.texture % TEXTURES])
    }

    /// A picture of one individual.
    pub(super) fn picture(&self, random: &mut StdRng) -> RgbImage {
        let side = SIDE as f32;
        let mut canvas = clutter(random);
        let mut around = |spread: f32| side * (0.5 + random.random_range(-spread..spread));
        let (x0, y0) = (around(0.07), around(0.07));
        let radius = side * random.random_range(0.32..0.42f32);
        let turned = random.random_range(-0.3..0.3f32);
        let phase = random.random_range(0.0..std::f32::consts::TAU);
        let light = random.random_range(-18.0..18.0f32);
        for (x, y, pixel) in canvas.enumerate_pixels_mut() {
            let (dx, dy) = (x as f32 - x0, y as f32 - y0);
            let angle = dy.atan2(dx) + turned;
            let reach = dx.hypot(dy) / (radius * self.outline(angle));
            if reach < 1.0 {
                let shade = self.texture_at(dx, dy, phase) + light + random.random_range(-NOISE..NOISE);
                *pixel = Rgb(self.colour(reach).map(|channel| (channel + shade).clamp(0.0, 255.0) as u8));
            }
        }
        canvas
    }

    /// Kingdom and phylum: how many lobes, how deep.
    fn outline(&self, angle: f32) -> f32 {
        let [kingdom, phylum, ..] = self.levels;
        let lobes = [[3.0, 5.0], [2.0, 7.0]][kingdom][phylum];
        let depth = [0.28, 0.16][kingdom];
        1.0 - depth + depth * (lobes * angle).cos()
    }

    /// Class: colour of the body. Family: colour of the middle.
    fn colour(&self, reach: f32) -> [f32; 3] {
        let [kingdom, _, class, _, family, _] = self.levels;
        let body =
            [[[196.0, 92.0, 70.0], [190.0, 160.0, 64.0]], [[82.0, 130.0, 190.0], [104.0, 168.0, 96.0]]];
        let middle = [[228.0, 214.0, 190.0], [70.0, 58.0, 88.0]];
        if reach < 0.3 { middle[family] } else { body[kingdom][class] }
    }

    /// Species: fine stripes along the one axis, the other, or both, as light as dark. A mirror image is still of the
    /// same species.
    fn texture_at(&self, dx: f32, dy: f32, phase: f32) -> f32 {
        let wave = |along: f32| (along * std::f32::consts::TAU / PERIOD + phase).sin();
        STRENGTH
            * match self.texture % TEXTURES {
                0 => wave(dx),
                1 => wave(dy),
                _ => wave(dx) * wave(dy) * std::f32::consts::SQRT_2,
            }
    }
}

/// A ground of one colour with blots.
fn clutter(random: &mut StdRng) -> RgbImage {
    let mut tone = || [(); 3].map(|()| random.random_range(50..200u8));
    let ground = tone();
    let colours: [[u8; 3]; CLUTTER] = std::array::from_fn(|_| tone());
    let mut blot = || {
        let mut place = || random.random_range(0.0..SIDE as f32);
        let (x, y) = (place(), place());
        (x, y, random.random_range(8.0..40.0f32))
    };
    let blots: [(f32, f32, f32); CLUTTER] = std::array::from_fn(|_| blot());
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let inside =
            |&(left, top, radius): &(f32, f32, f32)| (x as f32 - left).hypot(y as f32 - top) < radius;
        let covered = blots.iter().position(inside).and_then(|blot| colours.get(blot));
        Rgb(*covered.unwrap_or(&ground))
    })
}
