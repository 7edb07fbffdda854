//! Weighted sums of bytes that lie side by side: what nearly all time of resampling goes into.

/// Bytes that are summed up at once.
pub(super) const BYTES: usize = 32;

/// A way of summing up on the processor at hand. All ways give the same bytes.
pub(super) trait Sum: Copy {
    /// `BYTES` bytes of each of as many rows as there are weights; rows are `stride` bytes apart. A row that is not
    /// there counts as zero, and so do those after it.
    fn of(self, read: &[u8], stride: usize, weights: &[i16], bits: u32) -> [u8; BYTES];
}

/// What is done with one way of summing up, compiled for each.
pub(super) trait Work {
    /// Does it.
    fn run(self, sum: impl Sum);
}

/// Does `work` with the widest vectors there are.
pub(super) fn with_widest(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    if let Some(v3) = pulp::x86::V3::try_new() {
        return v3.vectorize(
            #[inline(always)]
            || work.run(V3(v3)),
        );
    }
    work.run(Portable);
}

/// One byte of each row.
pub(super) fn of_one(read: &[u8], stride: usize, weights: &[i16], bits: u32) -> u8 {
    let rows = read.iter().step_by(stride).zip(weights);
    let sum: i32 = rows.map(|(&byte, &weight)| i32::from(byte) * i32::from(weight)).sum();
    rounded(sum + (1 << (bits - 1)), bits)
}

fn rounded(sum: i32, bits: u32) -> u8 {
    (sum >> bits).clamp(0, 255) as u8
}

/// Vectors of whatever width the target has: 16 bytes on every 64-bit ARM.
#[derive(Clone, Copy)]
struct Portable;

impl Sum for Portable {
    #[inline(always)]
    fn of(self, read: &[u8], stride: usize, weights: &[i16], bits: u32) -> [u8; BYTES] {
        let mut sums = [1 << (bits - 1); BYTES];
        let mut at = 0;
        for &weight in weights {
            let Some(bytes) = read.get(at..).and_then(<[u8]>::first_chunk::<BYTES>) else { break };
            for (sum, byte) in sums.iter_mut().zip(*bytes) {
                *sum += i32::from(byte) * i32::from(weight);
            }
            at += stride;
        }
        sums.map(|sum| rounded(sum, bits))
    }
}

/// AVX2, which multiplies two rows and adds the products in one instruction; nobody has taught compilers to see that.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct V3(pulp::x86::V3);

#[cfg(target_arch = "x86_64")]
impl Sum for V3 {
    #[inline(always)]
    fn of(self, read: &[u8], stride: usize, weights: &[i16], bits: u32) -> [u8; BYTES] {
        let (avx, avx2) = (self.0.avx, self.0.avx2);
        let zero = avx._mm256_setzero_si256();
        let mut sums = [avx._mm256_set1_epi32(1 << (bits - 1)); 4];
        let mut at = 0;
        let row = |at: usize| {
            let bytes = read.get(at..).and_then(<[u8]>::first_chunk::<BYTES>);
            bytes.map_or(zero, |bytes| pulp::cast(*bytes))
        };
        for pair in weights.chunks(2) {
            let second = pair.get(1).copied();
            let (upper, lower) = (row(at), second.map_or(zero, |_| row(at + stride)));
            let both =
                u32::from(pair[0].cast_unsigned()) | u32::from(second.unwrap_or(0).cast_unsigned()) << 16;
            let weight = avx._mm256_set1_epi32(both.cast_signed());
            let low = avx2._mm256_unpacklo_epi8(upper, lower);
            let high = avx2._mm256_unpackhi_epi8(upper, lower);
            let parts = [
                avx2._mm256_unpacklo_epi8(low, zero),
                avx2._mm256_unpackhi_epi8(low, zero),
                avx2._mm256_unpacklo_epi8(high, zero),
                avx2._mm256_unpackhi_epi8(high, zero),
            ];
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum = avx2._mm256_add_epi32(*sum, avx2._mm256_madd_epi16(part, weight));
            }
            at += 2 * stride;
        }
        let shift = self.0.sse2._mm_cvtsi32_si128(bits.cast_signed());
        let [a, b, c, d] = sums.map(|sum| avx2._mm256_sra_epi32(sum, shift));
        let (low, high) = (avx2._mm256_packs_epi32(a, b), avx2._mm256_packs_epi32(c, d));
        pulp::cast(avx2._mm256_packus_epi16(low, high))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Of<'a>(&'a [u8], usize, &'a [i16], u32, &'a mut [u8; BYTES]);

    impl Work for Of<'_> {
        fn run(self, sum: impl Sum) {
            *self.4 = sum.of(self.0, self.1, self.2, self.3);
        }
    }

    proptest! {
        #[test]
        fn all_ways_give_the_same_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), stride in 1..90usize,
            weights in proptest::collection::vec(0..3000i16, 0..10), bits in 4..15u32,
        ) {
            let (mut wide, mut portable) = ([0; BYTES], [0; BYTES]);
            with_widest(Of(&bytes, stride, &weights, bits, &mut wide));
            Of(&bytes, stride, &weights, bits, &mut portable).run(Portable);
            prop_assert_eq!(wide, portable);
            let there = weights.iter().enumerate().take_while(|(row, _)| row * stride + BYTES <= bytes.len());
            let weights: Vec<_> = there.map(|(_, &weight)| weight).collect();
            for (at, &byte) in portable.iter().enumerate() {
                prop_assert_eq!(byte, of_one(bytes.get(at..).unwrap_or_default(), stride, &weights, bits));
            }
        }
    }
}
