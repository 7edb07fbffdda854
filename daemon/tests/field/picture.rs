//! Pictures of one colour.

use std::io::Cursor;
use std::path::Path;

pub const RED: [u8; 3] = [255, 0, 0];
pub const GREEN: [u8; 3] = [0, 255, 0];

pub fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(40, 40, image::Rgb(colour));
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

/// `count` pictures, red and green in turn.
pub fn write_folder(folder: &Path, count: usize) {
    std::fs::create_dir_all(folder).expect("a folder");
    for number in 0..count {
        let colour = if number % 2 == 0 { RED } else { GREEN };
        std::fs::write(folder.join(format!("{number:03}.png")), png(colour)).expect("write");
    }
}
