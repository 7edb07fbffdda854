//! Convolutions as training needs them, on the processor: forward, and the gradients of input and weights, each one matrix
//! product over the columns of an image (`im2col`). burn's processor backend computes the gradient of the weights as a
//! convolution whose kernel is the whole gradient of the output: a product as narrow as a kernel is wide, for every input
//! channel anew. On other devices burn's own convolutions are used.

mod columns;
mod depthwise;
mod geometry;
mod products;
mod tracked;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;

/// Convolutions, and where they are computed.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cuda"))]
pub trait Convolutions: Backend {
    /// `[N, C, H, W]` and `[O, C / groups, kernel height, kernel width]` to `[N, O, H', W']`.
    fn convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self>;
}

/// `input` `[N, C, H, W]` convolved with `weight` `[O, C / groups, kernel height, kernel width]`, and `bias` `[O]` added:
/// `[N, O, H', W']`. Gradients reach all three.
#[must_use]
pub fn convolution(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions<2>,
) -> Tensor<4> {
    let outputs = weight.dims()[0];
    let found = Dispatch::convolution(input.into_dispatch(), weight.into_dispatch(), options);
    let found = Tensor::from_dispatch(found);
    match bias {
        Some(bias) => found + bias.reshape([1, outputs, 1, 1]),
        None => found,
    }
}
