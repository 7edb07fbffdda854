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

proptest! {
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
