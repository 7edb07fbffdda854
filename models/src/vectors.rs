//! Loops compiled for the widest vectors of the processor they run on.

/// Runs `work` compiled for AVX2 where an x86 processor has it, and as the target has it elsewhere: a program that is
/// to run on every 64-bit x86 may assume 16-byte vectors only, while on 64-bit ARM nothing is gained.
///
/// Only what is inlined into `work` is compiled so: mark the functions it calls `#[inline(always)]`.
#[inline(always)]
pub fn widest<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if let Some(v3) = pulp::x86::V3::try_new() {
        return v3.vectorize(work);
    }
    work()
}
