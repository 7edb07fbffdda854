//! The convolution that gradients go back through.

use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::ops::ConvOptions;

use crate::Convolutions;

/// Both gradients of a convolution, of its output's `[N, O, H', W']`; burn's own unless a backend has others.
pub trait Gradients: Convolutions {
    /// `[N, C, H, W]`.
    fn input_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        Self::conv2d_x_backward(input, weight, gradient, options)
    }

    /// `[O, C / groups, kernel height, kernel width]`.
    fn weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(input, weight, gradient, options)
    }
}

#[cfg(feature = "cuda")]
impl Convolutions for burn::backend::Cube {
    fn convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        use burn::backend::ops::ModuleOps as _;
        Self::conv2d(input, weight, None, options)
    }
}

#[cfg(feature = "cuda")]
impl Gradients for burn::backend::Cube {}

#[derive(Debug)]
struct Convolution;

impl<B: Gradients> Backward<B, 2> for Convolution {
    /// Input and weights, as they were.
    type State = (NodeId, NodeId, ConvOptions<2>);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut grads::Gradients, kept: &mut Checkpointer) {
        let [of_input, of_weight] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        let (input, weight, options) = ops.state;
        let input: FloatTensor<B> = kept.retrieve_node_output(input);
        let weight: FloatTensor<B> = kept.retrieve_node_output(weight);
        if let Some(node) = of_input {
            let found = B::input_gradient(input.clone(), weight.clone(), gradient.clone(), options.clone());
            gradients.register::<B>(node.id, found);
        }
        if let Some(node) = of_weight {
            let found = B::weight_gradient(input, weight, gradient, options);
            gradients.register::<B>(node.id, found);
        }
    }
}

impl<B: Gradients, C: CheckpointStrategy> Convolutions for Autodiff<B, C> {
    fn convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        let prepared = Convolution.prepare::<C>([input.node(), weight.node()]).compute_bound().stateful();
        match prepared {
            OpsKind::Tracked(mut prepared) => {
                let state = (prepared.checkpoint(&input), prepared.checkpoint(&weight), options.clone());
                let found = B::convolution(input.into_primitive(), weight.into_primitive(), options);
                prepared.finish(state, found)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::convolution(input.into_primitive(), weight.into_primitive(), options))
            }
        }
    }
}
