//! Minus the logarithm of the probability that a label is right, whatever its rank.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};

/// For each picture which classes agree with its label: 1 or 0, `[N, classes]`.
#[must_use]
pub fn admitted(rows: &[Vec<usize>], classes: usize, device: &Device) -> Tensor<2> {
    let mut mask = vec![0.0f32; rows.len() * classes];
    for (row, admitted) in rows.iter().enumerate() {
        for class in admitted {
            mask[row * classes + class] = 1.0;
        }
    }
    Tensor::from_data(TensorData::new(mask, [rows.len(), classes]), device)
}

/// The mean of `-log P`, `P` being the sum over the classes that agree with a picture's label: cross entropy for a
/// species, less for a label that says less. Stable for logits of any size.
#[must_use]
pub(super) fn loss(logits: Tensor<2>, admitted: Tensor<2>) -> Tensor<1> {
    const EXCLUDED: f64 = -1e9;
    let logarithms = log_softmax(logits, 1);
    let excluded = admitted.mul_scalar(-1.0).add_scalar(1.0).mul_scalar(EXCLUDED);
    let agreed = logarithms + excluded;
    // Subtracting the largest changes nothing but what is representable.
    let largest = agreed.clone().detach().max_dim(1);
    let sum = (agreed - largest.clone()).exp().sum_dim(1).log() + largest;
    sum.mean().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::variables::numbers;

    fn value(logits: &[f32], rows: &[Vec<usize>]) -> f32 {
        let device = Device::flex();
        let classes = logits.len() / rows.len();
        let tensor = Tensor::from_data(TensorData::new(logits.to_vec(), [rows.len(), classes]), &device);
        numbers(&loss(tensor, admitted(rows, classes, &device)))[0]
    }

    #[test]
    fn a_species_is_cross_entropy_and_a_genus_the_sum_below_it() {
        let logits = [1.0f32, 2.0, -1.0];
        let sum: f32 = logits.iter().map(|v| v.exp()).sum();
        assert!((value(&logits, &[vec![0]]) + (1.0f32.exp() / sum).ln()).abs() < 1e-5);
        let two = (1.0f32.exp() + (-1.0f32).exp()) / sum;
        assert!((value(&logits, &[vec![0, 2]]) + two.ln()).abs() < 1e-5);
        assert!(value(&logits, &[vec![0, 1, 2]]).abs() < 1e-5, "nothing is known, nothing is asked");
    }

    #[test]
    fn huge_logits_are_no_infinity() {
        assert!((value(&[1e4, -1e4, 0.0], &[vec![1]]) - 2e4).abs() < 10.0);
        assert!(value(&[1e4, -1e4, 0.0], &[vec![0, 1]]).abs() < 1e-3);
    }
}
