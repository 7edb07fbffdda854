//! Adam as the paper's framework computes it: the bias of both moments is corrected in the step, `epsilon` is added to
//! the uncorrected root (Kingma and Ba, 2015, end of section 2). With the paper's epsilon of 1 that is another optimiser
//! than the one that corrects first.

use burn::tensor::Tensor;

use super::variables::Variables;

/// Settings of the optimiser; the defaults are the paper's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamSettings {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// L2 decay: this factor of a weight is added to its gradient.
    pub l2: f64,
}

impl Default for AdamSettings {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1.0, l2: 4e-5 }
    }
}

/// Both moments of every variable, and the number of steps.
#[derive(Debug, Clone)]
pub struct Adam {
    settings: AdamSettings,
    /// Steps made.
    pub step: u64,
    /// Mean of the gradients, in the order of the variables.
    pub first: Vec<Tensor<1>>,
    /// Mean of their squares.
    pub second: Vec<Tensor<1>>,
}

impl Adam {
    /// Moments of zero for every one of `variables`.
    #[must_use]
    pub fn new(settings: AdamSettings, variables: &Variables) -> Self {
        let zeros = || {
            let all = variables.all().iter();
            all.map(|variable| variable.value.clone().inner().zeros_like()).collect()
        };
        Self { settings, step: 0, first: zeros(), second: zeros() }
    }

    /// One step against `gradients`, one a variable in their order; a variable without one stays.
    pub fn step(&mut self, variables: &mut Variables, gradients: Vec<Option<Tensor<1>>>, rate: f64) {
        self.step += 1;
        let AdamSettings { beta1, beta2, epsilon, l2 } = self.settings;
        let steps = self.step as f64;
        let rate = rate * (1.0 - beta2.powf(steps)).sqrt() / (1.0 - beta1.powf(steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        let all = variables.all_mut().iter_mut().zip(gradients);
        for ((variable, gradient), (first, second)) in all.zip(moments) {
            let Some(mut gradient) = gradient else { continue };
            let value = variable.value.clone().inner();
            if variable.decays && l2 > 0.0 {
                gradient = gradient + value.clone().mul_scalar(l2);
            }
            *first = first.clone().mul_scalar(beta1) + gradient.clone().mul_scalar(1.0 - beta1);
            *second = second.clone().mul_scalar(beta2) + gradient.powi_scalar(2).mul_scalar(1.0 - beta2);
            let moved = first.clone().mul_scalar(rate) / second.clone().sqrt().add_scalar(epsilon);
            variable.value = (value - moved).autodiff().require_grad();
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::training::variables::numbers;

    #[test]
    fn a_step_is_the_papers_formula() {
        let device = Device::flex().autodiff();
        let mut variables = Variables::default();
        let weight = variables.add("w".into(), &[2], &[1.0, -2.0], true, &device);
        let settings = AdamSettings { l2: 0.1, ..AdamSettings::default() };
        let mut adam = Adam::new(settings, &variables);
        let (mut m, mut v, mut w) = ([0.0f64; 2], [0.0f64; 2], [1.0f64, -2.0]);
        for step in 1..=3 {
            let loss = variables.value(weight, false).powi_scalar(2).sum();
            let gradients = variables.gradients(loss.backward());
            adam.step(&mut variables, gradients, 0.5);
            for i in 0..2 {
                let g = 2.0 * w[i] + 0.1 * w[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let rate = 0.5 * (1.0 - 0.999f64.powi(step)).sqrt() / (1.0 - 0.9f64.powi(step));
                w[i] -= rate * m[i] / (v[i].sqrt() + 1.0);
            }
            for (found, wanted) in numbers(&variables.all()[0].value).iter().zip(w) {
                assert!((f64::from(*found) - wanted).abs() < 1e-5, "{found} {wanted}");
            }
        }
    }
}
