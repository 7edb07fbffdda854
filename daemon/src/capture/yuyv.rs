//! Packed 4:2:2 video to RGB.

/// The bytes do not hold the picture they should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} bytes with rows {stride} bytes apart do not hold {width} x {height} YUYV pixels")]
pub struct YuyvError {
    found: usize,
    stride: usize,
    width: usize,
    height: usize,
}

/// Converts `height` rows of `width` YUYV pixels (bytes Y0 U Y1 V for two pixels), which begin `stride` bytes
/// apart, into `rgb` `[height, width, 3]`, whatever that held. BT.601, video range.
///
/// # Errors
/// If `bytes` is too short, or the width odd.
pub fn yuyv_to_rgb(
    bytes: &[u8],
    width: usize,
    height: usize,
    stride: usize,
    rgb: &mut Vec<u8>,
) -> Result<(), YuyvError> {
    let wrong = YuyvError { found: bytes.len(), stride, width, height };
    let row_bytes = width.checked_mul(2).filter(|&row| row > 0 && width.is_multiple_of(2) && row <= stride);
    let Some(row_bytes) = row_bytes else { return Err(wrong) };
    // The last row may end before its padding.
    let needed = height.checked_sub(1).and_then(|rows| rows.checked_mul(stride)).map(|n| n + row_bytes);
    if needed.is_none_or(|needed| bytes.len() < needed) {
        return Err(wrong);
    }
    rgb.clear();
    rgb.reserve(width * height * 3);
    for row in bytes.chunks(stride).take(height) {
        for pair in row.get(..row_bytes).unwrap_or_default().chunks_exact(4) {
            if let &[y0, u, y1, v] = pair {
                rgb.extend(pixel(y0, u, v));
                rgb.extend(pixel(y1, u, v));
            }
        }
    }
    Ok(())
}

/// Fixed point, 8 bits after the point.
fn pixel(y: u8, u: u8, v: u8) -> [u8; 3] {
    let luma = 298 * (i32::from(y) - 16) + 128;
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    let channel = |value: i32| (value >> 8).clamp(0, 255) as u8;
    [channel(luma + 409 * v), channel(luma - 100 * u - 208 * v), channel(luma + 516 * u)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn black_white_and_red_are_what_they_should_be() {
        let mut rgb = Vec::new();
        yuyv_to_rgb(&[16, 128, 235, 128, 81, 90, 81, 240], 4, 1, 8, &mut rgb).expect("a row");
        assert_eq!(rgb, [0, 0, 0, 255, 255, 255, 255, 0, 0, 255, 0, 0]);
    }

    #[test]
    fn padding_at_the_end_of_rows_is_left_out() {
        let bytes = [16, 128, 16, 128, 99, 99, 235, 128, 235, 128];
        let mut rgb = Vec::new();
        yuyv_to_rgb(&bytes, 2, 2, 6, &mut rgb).expect("two rows");
        assert_eq!(rgb, [0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_picture_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), width in 0..20usize, height in 0..20usize,
            stride in 0..50usize,
        ) {
            let mut rgb = Vec::new();
            if yuyv_to_rgb(&bytes, width, height, stride, &mut rgb).is_ok() {
                prop_assert_eq!(rgb.len(), width * height * 3);
            }
        }

        #[test]
        fn any_bytes_are_a_jpeg_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe0];
            jpeg.extend(bytes);
            let _ = fieldmark_models::picture::Picture::decode(&jpeg);
        }
    }
}
