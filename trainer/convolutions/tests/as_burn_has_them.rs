//! Outputs and gradients against burn's own, for windows of any size, stride, border and grouping.

#![allow(clippy::expect_used)]

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use fieldmark_convolutions::convolution;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

#[derive(Debug, Clone)]
struct Case {
    input: [usize; 4],
    weight: [usize; 4],
    options: ConvOptions<2>,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let grouping = prop_oneof![Just((1, 1)), Just((0, 1)), Just((2, 2))];
    let sizes = (1..4usize, 1..9usize, 1..9usize, 3..20usize, 3..20usize, 1..6usize, 1..6usize);
    let window = (1..3usize, 1..3usize, (0..3usize, 0..3usize), (0..3usize, 0..3usize));
    (sizes, window, grouping, any::<u64>()).prop_filter_map("a window larger than its maps", |case| {
        let (
            (images, channels, outputs, height, width, down, right),
            (rows, columns, above, beside),
            group,
            seed,
        ) = case;
        // As many groups as channels, or that many.
        let (groups, channels, outputs) = match group.0 {
            0 => (channels, channels, channels),
            groups => (groups, channels * groups, outputs * groups),
        };
        let fits = |side: usize, (before, behind): (usize, usize), kernel| side + before + behind >= kernel;
        (fits(height, above, down) && fits(width, beside, right)).then(|| Case {
            input: [images, channels, height, width],
            weight: [outputs, channels / groups, down, right],
            options: ConvOptions::new_with_padding([rows, columns], [above, beside], [1, 1], groups),
            seed,
        })
    })
}

/// Output, gradient of the input, gradient of the weights, all of numbers that `precision` has.
fn answers(case: &Case, ours: bool, precision: FloatDType) -> [Vec<f32>; 3] {
    let device = Device::flex().autodiff();
    let mut random = StdRng::seed_from_u64(case.seed);
    let mut drawn = |shape: [usize; 4]| {
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| random.random_range(-1.0..1.0)).collect();
        let drawn = Tensor::<4>::from_data(TensorData::new(numbers, shape), &device);
        drawn.cast(precision).cast(FloatDType::F32).detach()
    };
    let input = drawn(case.input).require_grad();
    let weight = drawn(case.weight).require_grad();
    let output = if ours {
        let [input, weight] = [&input, &weight].map(|tensor| tensor.clone().cast(precision));
        convolution(input, weight, None, case.options.clone()).cast(FloatDType::F32)
    } else {
        conv2d(input.clone(), weight.clone(), None, case.options.clone())
    };
    let loss = (output.clone() * drawn(output.dims())).sum();
    let gradients = loss.backward();
    let numbers = |tensor: Tensor<4>| tensor.into_data().iter::<f32>().collect();
    let of_input = input.grad(&gradients).expect("a gradient of the input");
    let of_weight = weight.grad(&gradients).expect("a gradient of the weights");
    [numbers(output.inner()), numbers(of_input), numbers(of_weight)]
}

/// burn's own are computed in 32 bits whatever the precision; `rounding` is what a number may lose at the end.
fn assert_alike(case: &Case, precision: FloatDType, rounding: f32) {
    let (ours, theirs) = (answers(case, true, precision), answers(case, false, precision));
    for (what, (ours, theirs)) in ["output", "input", "weights"].iter().zip(ours.iter().zip(&theirs)) {
        assert_eq!(ours.len(), theirs.len(), "{what} of {case:?}");
        let largest = theirs.iter().fold(1.0f32, |largest, number| largest.max(number.abs()));
        for (a, b) in ours.iter().zip(theirs) {
            let apart = (a - b).abs();
            let allowed = 1e-5 * largest + rounding * b.abs();
            assert!(apart <= allowed, "{what} of {case:?}: {apart} apart of {b}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_convolution_and_its_gradients_are_those_of_burn(case in case()) {
        assert_alike(&case, FloatDType::F32, 0.0);
    }

    // Of eight significant bits the last one is rounded.
    #[test]
    fn in_bfloat16_only_what_comes_out_is_rounded(case in case()) {
        assert_alike(&case, FloatDType::BF16, 2f32.powi(-8));
        for number in answers(&case, true, FloatDType::BF16).iter().flatten() {
            prop_assert_eq!(number.to_bits() & 0xffff, 0, "{} has more than bfloat16", number);
        }
    }
}

#[test]
fn a_network_in_evaluation_has_them_without_gradients() {
    let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    let device = Device::flex();
    let input = Tensor::<4>::ones([2, 3, 8, 8], &device);
    let weight = Tensor::<4>::ones([4, 3, 3, 3], &device);
    let ours = convolution(input.clone(), weight.clone(), None, options.clone()).into_data();
    ours.assert_eq(&conv2d(input, weight, None, options).into_data(), true);
}

#[test]
fn more_columns_than_are_made_at_once_change_nothing() {
    let case = Case {
        input: [5, 24, 120, 120],
        weight: [4, 24, 5, 5],
        options: ConvOptions::new([1, 1], [2, 2], [1, 1], 1),
        seed: 7,
    };
    assert_alike(&case, FloatDType::F32, 0.0);
}
