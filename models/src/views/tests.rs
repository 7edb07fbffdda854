use proptest::prelude::*;

use super::*;
use crate::picture::Picture;

fn paper() -> ViewSet {
    let whole = View { name: "whole".into(), magnification: 1.0 };
    let crop = View { name: "crop".into(), magnification: 2.0 };
    ViewSet::new(vec![whole, crop], 32).expect("views")
}

#[test]
fn the_crop_view_shows_the_central_half() {
    let views = paper();
    let shown = views.shown(&views.views()[1], FractionBox::FRAME, None);
    assert_eq!(shown.edges(), [0.25, 0.25, 0.75, 0.75]);
    assert_eq!(views.shown(&views.views()[0], FractionBox::FRAME, None), FractionBox::FRAME);
}

#[test]
fn a_users_box_replaces_the_centre() {
    let views = paper();
    let focus = FractionBox::new(0.0, 0.5, 0.2, 0.9).expect("a box");
    assert_eq!(views.shown(&views.views()[1], FractionBox::FRAME, Some(focus)), focus);
    assert_eq!(views.shown(&views.views()[0], FractionBox::FRAME, Some(focus)), FractionBox::FRAME);
}

#[test]
fn a_third_view_magnifies_the_users_box_in_proportion() {
    let view = |name: &str, magnification| View { name: name.into(), magnification };
    let views = vec![view("whole", 1.0), view("crop", 2.0), view("detail", 4.0)];
    let views = ViewSet::new(views, 32).expect("views");
    let focus = FractionBox::new(0.5, 0.5, 0.75, 0.75).expect("a box");
    let shown = views.shown(&views.views()[2], FractionBox::FRAME, Some(focus));
    assert_eq!(shown.edges(), [0.5625, 0.5625, 0.6875, 0.6875]);
}

#[test]
fn a_users_box_keeps_its_pixels_in_a_frame_that_is_made_smaller() {
    let views = paper();
    let (frame, size) = (FractionBox::FRAME, (1600, 1600));
    assert_eq!(views.reduction(frame, None, size), 8, "the middle half keeps 100 of 48 pixels");
    let focus = FractionBox::new(0.4, 0.6, 0.5, 0.7).expect("a box");
    assert_eq!(views.reduction(frame, Some(focus), size), 2, "a tenth keeps 80");
}

#[test]
fn views_that_cannot_be_graph_inputs_are_refused() {
    let view = |name: &str, magnification| View { name: name.into(), magnification };
    assert_eq!(ViewSet::new(vec![], 32), Err(ViewsError::Empty));
    assert!(matches!(ViewSet::new(vec![view("a b", 1.0)], 32), Err(ViewsError::Name(_))));
    assert!(matches!(ViewSet::new(vec![view("a", 1.0), view("a", 2.0)], 32), Err(ViewsError::Name(_))));
    assert!(matches!(ViewSet::new(vec![view("a", f64::NAN)], 32), Err(ViewsError::Magnification { .. })));
    assert!(matches!(ViewSet::new(vec![view("a", 0.5)], 32), Err(ViewsError::Magnification { .. })));
    assert_eq!(ViewSet::new(vec![view("a", 1.0)], 0), Err(ViewsError::InputSize(0)));
}

#[test]
fn a_view_shows_the_part_it_says() {
    // Left half red, right half blue: the right half, magnified, holds no red.
    let rgb = (0..64 * 64).flat_map(|i| if i % 64 < 32 { [255, 0, 0] } else { [0, 0, 255] }).collect();
    let picture = Picture::from_rgb(64, 64, rgb).expect("a picture");
    let mut out = vec![0; 32 * 32 * 3];
    let right = FractionBox::new(0.55, 0.0, 1.0, 1.0).expect("a box");
    ViewRenderer::new().render(&picture, right, 32, &mut out).expect("a view");
    assert!(out.chunks(3).all(|pixel| pixel == [0, 0, 255]));
}

/// What the crate that models were first trained with makes of it.
fn judged(picture: &Picture, shown: FractionBox, size: u32) -> Vec<u8> {
    use fast_image_resize::images::{Image, ImageRef};
    use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
    let (width, height) = (picture.width(), picture.height());
    let source = ImageRef::new(width, height, picture.rgb(), PixelType::U8x3).expect("a picture");
    let mut target = Image::new(size, size, PixelType::U8x3);
    let (left, top, shown_width, shown_height) = shown.pixels(width, height);
    let bilinear = ResizeAlg::Convolution(FilterType::Bilinear);
    let options = ResizeOptions::new().crop(left, top, shown_width, shown_height).resize_alg(bilinear);
    Resizer::new().resize(&source, &mut target, &options).expect("a view");
    target.into_vec()
}

/// Noise, the same for the same `seed`.
fn noise(width: u32, height: u32, seed: u32) -> Picture {
    let mut state = seed | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as u8
    };
    let rgb = (0..width * height * 3).map(|_| byte()).collect();
    Picture::from_rgb(width, height, rgb).expect("a picture")
}

#[test]
fn a_frame_cut_into_views_is_what_another_resampler_makes_of_it() {
    let mut renderer = ViewRenderer::new();
    for (width, height) in [(1280, 720), (1920, 1080), (260, 260), (390, 300), (33, 700)] {
        let picture = noise(width, height, width);
        for shown in [FractionBox::FRAME, FractionBox::FRAME.middle(1.5), FractionBox::FRAME.middle(4.0)] {
            let mut out = vec![0; 260 * 260 * 3];
            renderer.render(&picture, shown, 260, &mut out).expect("a view");
            assert!(out == judged(&picture, shown, 260), "{width} x {height}, {shown:?}");
        }
    }
}

#[test]
fn pictures_of_more_sizes_than_are_remembered_are_what_another_resampler_makes_of_them() {
    let mut renderer = ViewRenderer::new();
    let mut out = vec![0; 16 * 16 * 3];
    for step in 0..700 {
        // One width all along, and heights that do not come again soon; then the other way round.
        let (width, height) = if step < 350 { (40, 17 + step) } else { (17 + step - 350, 50) };
        let picture = noise(width, height, step);
        renderer.render(&picture, FractionBox::FRAME, 16, &mut out).expect("a view");
        assert!(out == judged(&picture, FractionBox::FRAME, 16), "{width} x {height}");
    }
}

#[test]
fn a_view_seen_before_allocates_nothing() {
    let mut renderer = ViewRenderer::new();
    let pictures = [noise(320, 240, 1), noise(200, 150, 2)];
    let mut out = vec![0; 96 * 96 * 3];
    let mut round = || {
        for picture in &pictures {
            for magnification in [1.0, 1.5, 2.0] {
                let shown = FractionBox::FRAME.middle(magnification);
                renderer.render(picture, shown, 96, &mut out).expect("a view");
            }
        }
    };
    round();
    assert_eq!(allocation_counter::measure(|| (0..5).for_each(|_| round())).count_total, 0);
}

proptest! {
    #[test]
    fn every_box_of_every_picture_is_what_another_resampler_makes_of_it(
        width in 1..120u32, height in 1..120u32, seed: u32, size in 16..70u32,
        a in 0.0..1.0f64, b in 0.0..1.0f64, c in 0.0..1.0f64, d in 0.0..1.0f64, whole: bool,
    ) {
        prop_assume!(a != b && c != d);
        let shown = if whole {
            FractionBox::FRAME
        } else {
            FractionBox::new(a.min(b), c.min(d), a.max(b), c.max(d)).expect("a box")
        };
        let picture = noise(width, height, seed);
        let mut out = vec![7; (size * size * 3) as usize];
        ViewRenderer::new().render(&picture, shown, size, &mut out).expect("a view");
        prop_assert!(out == judged(&picture, shown, size));
    }

    #[test]
    fn the_middle_keeps_the_centre_and_divides_the_sides(
        a in 0.0..1.0f64, b in 0.0..1.0f64, c in 0.0..1.0f64, d in 0.0..1.0f64, magnification in 1.0..64.0f64,
    ) {
        prop_assume!((a - b).abs() > 1e-6 && (c - d).abs() > 1e-6);
        let outer = FractionBox::new(a.min(b), c.min(d), a.max(b), c.max(d)).expect("a box");
        let inner = outer.middle(magnification).edges();
        let outer = outer.edges();
        for (low, high) in [(0, 2), (1, 3)] {
            prop_assert!((inner[low] + inner[high] - outer[low] - outer[high]).abs() < 1e-12);
            let ratio = (outer[high] - outer[low]) / (inner[high] - inner[low]);
            prop_assert!((ratio - magnification).abs() < 1e-6);
            prop_assert!(inner[low] >= outer[low] && inner[high] <= outer[high]);
        }
    }

    #[test]
    fn pixels_never_leave_the_frame(
        a in 0.0..1.0f64, b in 0.0..1.0f64, c in 0.0..1.0f64, d in 0.0..1.0f64,
        width in 1..5000u32, height in 1..5000u32,
    ) {
        prop_assume!(a != b && c != d);
        let shown = FractionBox::new(a.min(b), c.min(d), a.max(b), c.max(d)).expect("a box");
        let (left, top, w, h) = shown.pixels(width, height);
        prop_assert!(left >= 0.0 && top >= 0.0 && w >= 1.0 && h >= 1.0);
        prop_assert!(left + w <= f64::from(width) + 1e-9 && top + h <= f64::from(height) + 1e-9);
    }
}
