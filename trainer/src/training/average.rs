//! A moving average of the variables, which answers in their place (Polyak and Juditsky, 1992).

use burn::tensor::Tensor;

use super::variables::Variables;

/// The average of every variable.
#[derive(Debug, Clone)]
pub struct Average {
    decay: f64,
    /// In the order of the variables, without gradients.
    pub values: Vec<Tensor<1>>,
}

impl Average {
    /// Begins at `variables`; `decay` of the average stays at a step.
    #[must_use]
    pub fn new(decay: f64, variables: &Variables) -> Self {
        Self { decay, values: variables.values() }
    }

    /// After step number `step` (the first is 1). The first steps count for more, as in TensorFlow: what the average
    /// began with is forgotten soon.
    pub fn update(&mut self, variables: &Variables, step: u64) {
        let step = step as f64;
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        for (value, variable) in self.values.iter_mut().zip(variables.all()) {
            let new = variable.value.clone().inner();
            *value = value.clone().mul_scalar(decay) + new.mul_scalar(1.0 - decay);
        }
    }

    /// Puts the average in the place of `variables`.
    pub fn apply(&self, variables: &mut Variables) {
        variables.put(&self.values);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::training::variables::{flat, numbers};

    #[test]
    fn the_average_follows_the_variables_and_takes_their_place() {
        let device = Device::flex().autodiff();
        let mut variables = Variables::default();
        variables.add("w".into(), &[2], &[1.0, 2.0], true, &device);
        let mut average = Average::new(0.5, &variables);
        variables.all_mut()[0].value = flat(&[3.0, 2.0], &Device::flex()).autodiff().require_grad();
        // Of the first step 2/11 stays, of later ones a half.
        average.update(&variables, 1);
        let expected = 1.0 * 2.0 / 11.0 + 3.0 * 9.0 / 11.0;
        assert!((numbers(&average.values[0])[0] - expected as f32).abs() < 1e-6);
        average.update(&variables, 1000);
        average.apply(&mut variables);
        let found = numbers(&variables.all()[0].value);
        assert!((found[0] - (expected as f32 + 3.0) / 2.0).abs() < 1e-6 && (found[1] - 2.0).abs() < 1e-6);
    }
}
