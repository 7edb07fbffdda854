//! Convolutions on the processor, as matrix products over the columns of some images at a time.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::{FloatTensorOps, ModuleOps};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, FloatDType, Shape, Slice, TensorData};

use crate::geometry::Geometry;
use crate::tracked::Gradients;
use crate::{Convolutions, columns, depthwise};

/// Numbers of columns at a time: 64 MiB of them. How images are put together decides the order of sums, so the machine
/// must not.
const COLUMNS: usize = 16 << 20;

impl Convolutions for Flex {
    fn convolution(input: FlexTensor, weight: FlexTensor, options: ConvOptions<2>) -> FlexTensor {
        in_single([input, weight], |[input, weight]| {
            forward(&input, &weight, &options).unwrap_or_else(|| Self::conv2d(input, weight, None, options))
        })
    }
}

impl Gradients for Flex {
    fn input_gradient(
        input: FlexTensor,
        weight: FlexTensor,
        gradient: FlexTensor,
        options: ConvOptions<2>,
    ) -> FlexTensor {
        in_single([input, weight, gradient], |[input, weight, gradient]| {
            of_input(&input, &weight, &gradient, &options)
                .unwrap_or_else(|| Self::conv2d_x_backward(input, weight, gradient, options))
        })
    }

    fn weight_gradient(
        input: FlexTensor,
        weight: FlexTensor,
        gradient: FlexTensor,
        options: ConvOptions<2>,
    ) -> FlexTensor {
        in_single([input, weight, gradient], |[input, weight, gradient]| {
            of_weight(&input, &weight, &gradient, &options)
                .unwrap_or_else(|| Self::conv2d_weight_backward(input, weight, gradient, options))
        })
    }
}

/// Bfloat16 is multiplied and summed in 32 bits and rounded once, at the end, as GPUs do.
fn in_single<const N: usize>(
    given: [FlexTensor; N],
    computed: impl FnOnce([FlexTensor; N]) -> FlexTensor,
) -> FlexTensor {
    if given.iter().all(|tensor| tensor.dtype() == DType::BF16) {
        let widened = given.map(|tensor| Flex::float_cast(tensor, FloatDType::F32));
        Flex::float_cast(computed(widened), FloatDType::BF16)
    } else {
        computed(given)
    }
}

/// None where burn's own is to be taken.
fn forward(input: &FlexTensor, weight: &FlexTensor, options: &ConvOptions<2>) -> Option<FlexTensor> {
    let geometry = geometry(input, weight, options)?;
    if geometry.groups != 1 {
        return None;
    }
    let weight = matrix(&weight.to_contiguous(), [1, geometry.output[0], geometry.taps()]);
    convolved(&geometry, input, &weight)
}

/// `weight` `[1, O, C * kernel]` over `input`: `[N, O, H', W']`.
fn convolved(geometry: &Geometry, input: &FlexTensor, weight: &FlexTensor) -> Option<FlexTensor> {
    let input = input.to_contiguous();
    let [channels, height, width] = geometry.output;
    let output = [geometry.images, channels, height, width];
    if geometry.is_pointwise() {
        let maps = matrix(&input, [geometry.images, geometry.taps(), geometry.positions()]);
        return Some(Flex::float_matmul(weight.clone(), maps).reshape(Shape::from(output)));
    }
    let mut whole = Vec::with_capacity(output.iter().product());
    for images in input.as_slice::<f32>()?.chunks(together(geometry) * image(geometry)) {
        let found = Flex::float_matmul(weight.clone(), spread(geometry, images));
        whole.extend_from_slice(found.as_slice::<f32>()?);
    }
    Some(tensor(whole, output))
}

fn of_input(
    input: &FlexTensor,
    weight: &FlexTensor,
    gradient: &FlexTensor,
    options: &ConvOptions<2>,
) -> Option<FlexTensor> {
    let geometry = geometry(input, weight, options)?;
    let [channels, height, width] = geometry.input;
    let (shape, weight) = ([geometry.images, channels, height, width], weight.to_contiguous());
    if geometry.is_depthwise() {
        let gradient = gradient.to_contiguous();
        let found = depthwise::input_gradient(&geometry, weight.as_slice()?, gradient.as_slice()?);
        return Some(tensor(found, shape));
    }
    if geometry.groups != 1 {
        return None;
    }
    let outputs = geometry.output[0];
    let back = matrix(&weight, [1, outputs, geometry.taps()]).transpose(1, 2);
    if geometry.is_pointwise() {
        let gradient = matrix(&gradient.to_contiguous(), [geometry.images, outputs, geometry.positions()]);
        return Some(Flex::float_matmul(back, gradient).reshape(Shape::from(shape)));
    }
    if let ([1, 1], Some(backwards)) = (geometry.stride, geometry.backwards()) {
        let weight = turned(&geometry, weight.as_slice()?);
        return convolved(&backwards, gradient, &tensor(weight, [1, channels, backwards.taps()]));
    }
    let gradient = gradient.to_contiguous();
    let mut whole = Vec::with_capacity(shape.iter().product());
    let behind = outputs * geometry.positions();
    for some in gradient.as_slice::<f32>()?.chunks(together(&geometry) * behind) {
        let some = tensor(some.to_vec(), [some.len() / behind, outputs, geometry.positions()]);
        let columns = Flex::float_matmul(back.clone(), some);
        whole.extend(columns::gathered(&geometry, columns.as_slice()?));
    }
    Some(tensor(whole, shape))
}

/// `[O, C, kernel height, kernel width]` as the convolution back has them: `[C, O, kernel height, kernel width]`, every
/// window turned by half a circle.
fn turned(geometry: &Geometry, weight: &[f32]) -> Vec<f32> {
    let (channels, outputs) = (geometry.input[0], geometry.output[0]);
    let kernel = geometry.kernel[0] * geometry.kernel[1];
    let mut turned = Vec::with_capacity(weight.len());
    for channel in 0..channels {
        for output in 0..outputs {
            let window = &weight[(output * channels + channel) * kernel..][..kernel];
            turned.extend(window.iter().rev());
        }
    }
    turned
}

fn of_weight(
    input: &FlexTensor,
    weight: &FlexTensor,
    gradient: &FlexTensor,
    options: &ConvOptions<2>,
) -> Option<FlexTensor> {
    let geometry = geometry(input, weight, options)?;
    let (input, gradient) = (input.to_contiguous(), gradient.to_contiguous());
    let shape = weight.layout().shape().clone();
    if geometry.is_depthwise() {
        let found = depthwise::weight_gradient(&geometry, input.as_slice()?, gradient.as_slice()?);
        return Some(FlexTensor::from_data(TensorData::new(found, shape)));
    }
    if geometry.groups != 1 {
        return None;
    }
    let (outputs, positions) = (geometry.output[0], geometry.positions());
    let gradient = matrix(&gradient, [geometry.images, outputs, positions]);
    // The products of single images are as large as the weights.
    let step = together(&geometry).min((COLUMNS / (outputs * geometry.taps()).max(1)).max(1));
    let mut sum: Option<FlexTensor> = None;
    for from in (0..geometry.images).step_by(step) {
        let range = from..(from + step).min(geometry.images);
        let columns = if geometry.is_pointwise() {
            some(matrix(&input, [geometry.images, geometry.taps(), positions]), &range)
        } else {
            let numbers = input.as_slice::<f32>()?;
            spread(&geometry, &numbers[range.start * image(&geometry)..range.end * image(&geometry)])
        };
        let found = Flex::float_matmul(some(gradient.clone(), &range), columns.transpose(1, 2));
        let found = Flex::float_sum_dim(found, 0);
        sum = Some(match sum {
            Some(sum) => Flex::float_add(sum, found),
            None => found,
        });
    }
    Some(sum?.reshape(shape))
}

fn geometry(input: &FlexTensor, weight: &FlexTensor, options: &ConvOptions<2>) -> Option<Geometry> {
    if input.dtype() != DType::F32 || weight.dtype() != DType::F32 {
        return None;
    }
    Geometry::new(input.layout().shape().dims(), weight.layout().shape().dims(), options)
}

/// Numbers of an image.
fn image(geometry: &Geometry) -> usize {
    geometry.input.iter().product()
}

/// Images whose columns are made together.
fn together(geometry: &Geometry) -> usize {
    (COLUMNS / (geometry.taps() * geometry.positions()).max(1)).clamp(1, geometry.images.max(1))
}

fn spread(geometry: &Geometry, images: &[f32]) -> FlexTensor {
    let columns = columns::spread(geometry, images);
    tensor(columns, [images.len() / image(geometry), geometry.taps(), geometry.positions()])
}

fn some(matrices: FlexTensor, range: &std::ops::Range<usize>) -> FlexTensor {
    Flex::float_slice(matrices, &[Slice::from(range.clone())])
}

fn matrix(tensor: &FlexTensor, shape: [usize; 3]) -> FlexTensor {
    tensor.reshape(Shape::from(shape))
}

fn tensor<const D: usize>(numbers: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers, shape))
}
