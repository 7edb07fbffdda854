//! Writes what the guest needs besides the binaries: a small model that tells red from green, and frames of colours
//! and photographs in every format.

use std::path::Path;

use fieldmark_models::picture::{MID_GREY, Picture};
use fieldmark_models::views::{FractionBox, ViewRenderer};

#[path = "../../../daemon/tests/field/package.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::expect_used,
    reason = "shared with the daemon's own tests"
)]
mod package;
#[path = "../../../daemon/tests/field/picture.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::expect_used,
    reason = "shared with the daemon's own tests"
)]
mod picture;

type Failure = Box<dyn std::error::Error>;

/// What vivid's loop is set to.
const LOOP: (u32, u32) = (640, 480);
/// What the emulated camera sends.
const CAMERA: (u32, u32) = (640, 360);
const STAMPS: &str = "/usr/share/tuxpaint/stamps";

fn main() -> Result<(), Failure> {
    let out = std::env::args().nth(1).ok_or("usage: guest_share FOLDER")?;
    let out = Path::new(&out);
    for folder in ["frames", "colours/small", "photograph/small"] {
        std::fs::create_dir_all(out.join(folder))?;
    }
    package::write_package(&out.join("toy.fieldmark"), package::Flaw::None);
    // The same again as a later release.
    let later = package::Toy { version: (0, 2, 0), flaw: package::Flaw::None, filler: 0 };
    package::write_toy(&out.join("toy-0.2.0.fieldmark"), later);
    // Red and green are about as bright as each other, which a gate evens out; the dark one is not.
    for (name, colour) in [("red", picture::RED), ("green", picture::GREEN), ("dark", [0; 3])] {
        raw(&flat(colour, LOOP)?, &out.join("frames"), name)?;
    }
    jpeg(&flat(picture::RED, CAMERA)?, &out.join("colours/red.jpg"))?;
    let (owl, rose) = (photograph("animals/birds/owl.png")?, photograph("plants/flowers/rose.png")?);
    raw(&framed(&owl, LOOP)?, &out.join("frames"), "owl")?;
    ppm(&framed(&owl, LOOP)?, &out.join("owl.ppm"))?;
    jpeg(&framed(&rose, CAMERA)?, &out.join("photograph/rose.jpg"))?;
    for folder in ["colours", "photograph"] {
        jpeg(&flat(picture::RED, (320, 180))?, &out.join(folder).join("small/red.jpg"))?;
    }
    Ok(())
}

fn flat(colour: [u8; 3], (width, height): (u32, u32)) -> Result<Picture, Failure> {
    let pixels = std::iter::repeat_n(colour, (width * height) as usize);
    Ok(Picture::from_rgb(width, height, pixels.flatten().collect())?)
}

fn photograph(name: &str) -> Result<Picture, Failure> {
    let path = Path::new(STAMPS).join(name);
    let bytes = std::fs::read(&path).map_err(|error| {
        format!("{}: {error}; apt-get install -y tuxpaint-stamps-default", path.display())
    })?;
    Ok(Picture::decode(&bytes)?)
}

/// The photograph as high as the frame, in its middle, the rest grey.
fn framed(photograph: &Picture, (width, height): (u32, u32)) -> Result<Picture, Failure> {
    let mut square = vec![0; (height * height * 3) as usize];
    ViewRenderer::new().render(photograph, FractionBox::FRAME, height, &mut square)?;
    let mut rgb = vec![MID_GREY; (width * height * 3) as usize];
    let left = (width - height) as usize / 2 * 3;
    for (row, pixels) in rgb.chunks_mut(width as usize * 3).zip(square.chunks(height as usize * 3)) {
        row[left..left + pixels.len()].copy_from_slice(pixels);
    }
    Ok(Picture::from_rgb(width, height, rgb)?)
}

fn jpeg(picture: &Picture, path: &Path) -> Result<(), Failure> {
    let image = image::RgbImage::from_raw(picture.width(), picture.height(), picture.rgb().to_vec());
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    image
        .ok_or("a picture")?
        .write_with_encoder(image::codecs::jpeg::JpegEncoder::new_with_quality(file, 90))?;
    Ok(())
}

fn ppm(picture: &Picture, path: &Path) -> Result<(), Failure> {
    let head = format!("P6\n{} {}\n255\n", picture.width(), picture.height());
    Ok(std::fs::write(path, [head.as_bytes(), picture.rgb()].concat())?)
}

/// The picture in every uncompressed format, as ITU-R BT.601 in video range has it.
fn raw(picture: &Picture, folder: &Path, name: &str) -> Result<(), Failure> {
    let pixels: Vec<[f64; 3]> = picture.rgb().as_chunks::<3>().0.iter().map(|pixel| yuv(*pixel)).collect();
    let byte = |value: f64| value.round().clamp(0.0, 255.0) as u8;
    let pair = |pair: &[[f64; 3]]| {
        let chroma = |channel: usize| byte((pair[0][channel] + pair[1][channel]) / 2.0);
        [byte(pair[0][0]), chroma(1), byte(pair[1][0]), chroma(2)]
    };
    let yuyv: Vec<[u8; 4]> = pixels.chunks_exact(2).map(pair).collect();
    let width = picture.width() as usize;
    let luma: Vec<u8> = pixels.iter().map(|pixel| byte(pixel[0])).collect();
    let even_rows = yuyv.chunks_exact(width / 2).step_by(2);
    let chroma: Vec<u8> = even_rows.flatten().flat_map(|[_, u, _, v]| [*u, *v]).collect();
    let grey = picture.rgb().as_chunks::<3>().0.iter().map(|[red, green, blue]| {
        byte(0.299 * f64::from(*red) + 0.587 * f64::from(*green) + 0.114 * f64::from(*blue))
    });
    let write = |format: &str, bytes: &[u8]| std::fs::write(folder.join(format!("{name}.{format}")), bytes);
    write("YUYV", yuyv.as_flattened())?;
    write("UYVY", &yuyv.iter().flat_map(|[y0, u, y1, v]| [*u, *y0, *v, *y1]).collect::<Vec<_>>())?;
    write("NV12", &[luma, chroma].concat())?;
    write("RGB3", picture.rgb())?;
    write("GREY", &grey.collect::<Vec<_>>())?;
    Ok(())
}

fn yuv(rgb: [u8; 3]) -> [f64; 3] {
    let [red, green, blue] = rgb.map(f64::from);
    [
        16.0 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255.0,
        128.0 + (-37.797 * red - 74.203 * green + 112.0 * blue) / 255.0,
        128.0 + (112.0 * red - 93.786 * green - 18.214 * blue) / 255.0,
    ]
}
