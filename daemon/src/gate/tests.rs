use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SIZE: (usize, usize) = (640, 360);

/// A hedge under a grey sky, a little noisy; `exposure` multiplies, `animal` is a dark square somewhere.
fn scene(number: u32, exposure: f64, animal: Option<(usize, usize, usize)>) -> Vec<u8> {
    let mut state = number.wrapping_mul(2_654_435_761) | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state % 21) - 10.0
    };
    let inside = |x: usize, y: usize| {
        animal.is_some_and(|(left, top, side)| {
            (left..left + side).contains(&x) && (top..top + side).contains(&y)
        })
    };
    let pixel = |i: usize| {
        let (x, y) = (i % SIZE.0, i / SIZE.0);
        let hedge = if y > 180 { 90.0 + 20.0 * ((x / 7 + y / 5) % 3) as f64 } else { 160.0 };
        let value = if inside(x, y) { hedge - 60.0 } else { hedge };
        (value * exposure + noise()).clamp(0.0, 255.0) as u8
    };
    (0..SIZE.0 * SIZE.1).map(pixel).collect()
}

fn luma(bytes: &[u8]) -> Luma<'_> {
    Luma { bytes, width: SIZE.0, height: SIZE.1, stride: SIZE.0, step: 1, offset: 0 }
}

fn rules(mode: GateMode, hold_s: f64, refresh_s: f64) -> GateRules {
    let change = GateChange {
        mode: Some(mode),
        hold_s: Some(hold_s),
        refresh_s: Some(refresh_s),
        ..GateChange::default()
    };
    GateRules::default().changed(&change).expect("rules")
}

/// Which of these frames, a second apart, are looked at.
fn looked(rules: GateRules, frames: impl IntoIterator<Item = Vec<u8>>) -> String {
    let (mut gate, begin) = (Gate::new(rules), Instant::now());
    let frames = frames.into_iter().zip(0..);
    let looked = frames.map(|(frame, second)| {
        gate.opens(luma(&frame), FractionBox::FRAME, begin + Duration::from_secs(second))
    });
    looked.map(|looked| if looked { '#' } else { '.' }).collect()
}

#[test]
fn a_still_scene_is_looked_at_once_and_then_only_to_refresh() {
    let still = || (0..9).map(|number| scene(number, 1.0, None));
    for mode in [GateMode::Motion, GateMode::Novelty] {
        assert_eq!(looked(rules(mode, 0.0, 0.0), still()), "#........", "{mode:?}");
        assert_eq!(looked(rules(mode, 0.0, 4.0), still()), "#...#...#", "{mode:?}");
    }
}

#[test]
fn a_cloud_and_automatic_exposure_are_no_event() {
    let darker = [1.0, 0.97, 0.9, 0.8, 0.7, 0.75, 0.95];
    let frames = || (0..).zip(darker).map(|(number, exposure)| scene(number, exposure, None));
    assert_eq!(looked(rules(GateMode::Motion, 0.0, 0.0), frames()), "#......");
    assert_eq!(looked(rules(GateMode::Novelty, 0.0, 0.0), frames()), "#......");
}

#[test]
fn an_animal_that_comes_stays_and_leaves_is_news_twice() {
    let there = [None, None, Some(300), Some(300), Some(300), None, None];
    let frames =
        || (0..).zip(there).map(|(number, left)| scene(number, 1.0, left.map(|left| (left, 200, 32))));
    assert_eq!(looked(rules(GateMode::Novelty, 0.0, 0.0), frames()), "#.#..#.");
    assert_eq!(looked(rules(GateMode::Motion, 0.0, 0.0), frames()), "#.#..#.");
    assert_eq!(looked(rules(GateMode::Motion, 1.5, 0.0), frames()), "####.##");
}

#[test]
fn what_creeps_is_news_but_no_motion() {
    // Thirty steps, each too small to be one.
    let creeping = || (0..30).map(|number| scene(1, 1.0, Some((100 + number, 200, 40))));
    let motion = looked(rules(GateMode::Motion, 0.0, 0.0), creeping());
    assert_eq!(motion.matches('#').count(), 1, "{motion}");
    let novelty = looked(rules(GateMode::Novelty, 0.0, 0.0), creeping());
    assert!(novelty.matches('#').count() > 2, "{novelty}");
}

#[test]
fn another_region_or_a_new_question_is_looked_at() {
    let (mut gate, now) = (Gate::new(rules(GateMode::Novelty, 0.0, 0.0)), Instant::now());
    let frame = scene(1, 1.0, None);
    let opens = |gate: &mut Gate, part| gate.opens(luma(&frame), part, now);
    assert!(opens(&mut gate, FractionBox::FRAME));
    assert!(!opens(&mut gate, FractionBox::FRAME));
    assert!(opens(&mut gate, FractionBox::FRAME.middle(2.0)));
    assert!(!opens(&mut gate, FractionBox::FRAME.middle(2.0)));
    gate.forget();
    assert!(opens(&mut gate, FractionBox::FRAME.middle(2.0)));
}

#[test]
fn rules_out_of_range_say_what_to_give() {
    let refused =
        |change: GateChange| GateRules::default().changed(&change).expect_err("refused").to_string();
    let area = GateChange { area: Some(2.0), ..GateChange::default() };
    assert_eq!(refused(area), "area = 2: give a share from 0.0001 to 1");
    let level = GateChange { level: Some(300), ..GateChange::default() };
    assert_eq!(refused(level), "level = 300: give grey levels from 0 to 255");
    let rules = rules(GateMode::Motion, 1.0, 0.0);
    assert_eq!(GateRules::default().changed(&rules.in_full()), Ok(rules));
}

proptest! {
    #[test]
    fn cells_are_the_means_of_their_samples(
        width in 1..300usize, height in 1..200usize, step in 1..4usize, value: u8, other: u8,
    ) {
        // Two flat halves, in whichever byte of a sample the brightness stands.
        let offset = step - 1;
        let stride = width * step + 3;
        let mut bytes = vec![other; stride * height];
        for row in bytes.chunks_mut(stride) {
            row.iter_mut().skip(offset).step_by(step).take(width).for_each(|byte| *byte = value);
        }
        let mut cells = Cells::default();
        cells.measure(Luma { bytes: &bytes, width, height, stride, step, offset }, FractionBox::FRAME);
        prop_assert_eq!(cells.changed(&cells.clone(), 0), 0.0);
        let mut same = Cells::default();
        let flat = vec![value; width * height];
        let plane = Luma { bytes: &flat, width, height, stride: width, step: 1, offset: 0 };
        same.measure(plane, FractionBox::FRAME);
        prop_assert_eq!(cells.changed(&same, 0), 0.0);
    }
}
