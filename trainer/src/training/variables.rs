//! The numbers that training changes: named, flat, in a fixed order.

use burn::tensor::{Device, Gradients, Tensor, TensorData};

/// A weight, a bias or a factor of batch norm.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Unique in the network, such as `whole.repeat.0.branch1.1.weight`.
    pub name: String,
    /// Its shape; the tensor itself is flat.
    pub shape: Vec<usize>,
    /// Row-major. Needs a gradient where it lives on a device with one.
    pub value: Tensor<1>,
    /// Whether L2 decay applies: to weights, not to biases and batch norm.
    pub decays: bool,
}

/// All variables, in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    all: Vec<Variable>,
}

/// Position of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle(usize);

impl Variables {
    /// Adds a variable that starts as `values`, on a device with gradients.
    pub fn add(
        &mut self,
        name: String,
        shape: &[usize],
        values: &[f32],
        decays: bool,
        device: &Device,
    ) -> Handle {
        let value = flat(values, device).require_grad();
        self.all.push(Variable { name, shape: shape.to_vec(), value, decays });
        Handle(self.all.len() - 1)
    }

    /// In their order.
    #[must_use]
    pub fn all(&self) -> &[Variable] {
        &self.all
    }

    /// In their order, to be changed.
    pub fn all_mut(&mut self) -> &mut [Variable] {
        &mut self.all
    }

    /// Every variable's tensor without gradients, in their order.
    #[must_use]
    pub fn values(&self) -> Vec<Tensor<1>> {
        self.all.iter().map(|variable| variable.value.clone().inner()).collect()
    }

    /// Puts `values`, one a variable in their order and without gradients, in their place.
    pub fn put(&mut self, values: &[Tensor<1>]) {
        for (variable, value) in self.all.iter_mut().zip(values) {
            variable.value = value.clone().autodiff().require_grad();
        }
    }

    /// The variable's tensor; without gradients when `evaluating`.
    #[must_use]
    pub fn value(&self, handle: Handle, evaluating: bool) -> Tensor<1> {
        let value = self.all[handle.0].value.clone();
        if evaluating { value.inner() } else { value }
    }

    /// As [`Self::value`], in its own shape.
    #[must_use]
    pub fn shaped<const D: usize>(&self, handle: Handle, evaluating: bool) -> Tensor<D> {
        let mut shape = [1; D];
        for (side, wanted) in shape.iter_mut().zip(&self.all[handle.0].shape) {
            *side = *wanted;
        }
        self.value(handle, evaluating).reshape(shape)
    }

    /// The gradient of every variable that has one, in their order.
    #[must_use]
    pub fn gradients(&self, mut gradients: Gradients) -> Vec<Option<Tensor<1>>> {
        self.all.iter().map(|variable| variable.value.grad_remove(&mut gradients)).collect()
    }

    /// How many numbers a variable has.
    #[must_use]
    pub fn length(&self, handle: Handle) -> usize {
        self.all[handle.0].shape.iter().product()
    }

    /// The numbers of a variable.
    #[must_use]
    pub fn numbers(&self, handle: Handle) -> Vec<f32> {
        numbers(&self.all[handle.0].value)
    }
}

/// A flat tensor of `values`.
#[must_use]
pub(super) fn flat(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// The numbers of a flat tensor.
#[must_use]
pub(crate) fn numbers(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}
