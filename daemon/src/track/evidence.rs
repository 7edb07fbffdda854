//! What several frames say together: their leaf probabilities multiplied, then normalised.

/// What a leaf keeps in a frame that gives it nothing: one bad frame must not rule a taxon out for good.
const FLOOR: f32 = 1e-6;

/// The product of the leaf probabilities of any number of frames, as logarithms.
///
/// Frames count as independent and taxa as equally frequent beforehand, so the product is the posterior. Specificity
/// control is applied once, to the product, not to each frame.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    logs: Vec<f64>,
}

impl Evidence {
    /// Forgets all frames, keeping the memory.
    pub fn clear(&mut self) {
        self.logs.clear();
    }

    /// Takes in the leaf probabilities `[leaves]` of one more frame.
    pub fn add(&mut self, probabilities: &[f32]) {
        self.logs.resize(probabilities.len(), 0.0);
        for (log, probability) in self.logs.iter_mut().zip(probabilities) {
            *log += f64::from(probability.max(FLOOR)).ln();
        }
    }

    /// Writes the normalised product `[leaves]` into `fused`.
    #[expect(clippy::cast_possible_truncation, reason = "probabilities are f32 everywhere")]
    pub fn fuse(&self, fused: &mut Vec<f32>) {
        let largest = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = self.logs.iter().map(|log| (log - largest).exp()).sum();
        fused.clear();
        fused.extend(self.logs.iter().map(|log| ((log - largest).exp() / total) as f32));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalised(mut weights: Vec<f32>) -> Vec<f32> {
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        weights
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<f32>>> {
        let frame = proptest::collection::vec(0.001f32..1.0, 5).prop_map(normalised);
        proptest::collection::vec(frame, 1..12)
    }

    proptest! {
        #[test]
        fn the_logarithms_give_the_product_in_any_order(frames in frames()) {
            let (mut forwards, mut backwards) = (Evidence::default(), Evidence::default());
            frames.iter().for_each(|frame| forwards.add(frame));
            frames.iter().rev().for_each(|frame| backwards.add(frame));
            let (mut fused, mut reversed) = (Vec::new(), Vec::new());
            forwards.fuse(&mut fused);
            backwards.fuse(&mut reversed);
            let products: Vec<f64> =
                (0..5).map(|leaf| frames.iter().map(|frame| f64::from(frame[leaf])).product()).collect();
            let total: f64 = products.iter().sum();
            for leaf in 0..5 {
                prop_assert!((f64::from(fused[leaf]) - products[leaf] / total).abs() < 1e-5);
                prop_assert!((fused[leaf] - reversed[leaf]).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn one_frame_fuses_to_itself_and_a_thousand_do_not_underflow() {
        let frame = [0.5, 0.3, 0.2];
        let (mut evidence, mut fused) = (Evidence::default(), Vec::new());
        evidence.add(&frame);
        evidence.fuse(&mut fused);
        assert!(fused.iter().zip(frame).all(|(fused, frame)| (fused - frame).abs() < 1e-6), "{fused:?}");
        (0..1000).for_each(|_| evidence.add(&frame));
        evidence.fuse(&mut fused);
        assert!(fused[0] > 0.999 && (fused.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{fused:?}");
    }

    #[test]
    fn one_frame_that_gives_a_taxon_nothing_does_not_rule_it_out() {
        let (mut evidence, mut fused) = (Evidence::default(), Vec::new());
        evidence.add(&[0.0, 1.0]);
        (0..3).for_each(|_| evidence.add(&[0.99, 0.01]));
        evidence.fuse(&mut fused);
        assert!(fused[0] > 0.4, "{fused:?}");
    }
}
