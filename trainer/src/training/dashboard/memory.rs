//! How much memory the program has, as Linux counts it.

/// Bytes of this process that are in memory; none on other systems.
pub(super) fn resident() -> Option<u64> {
    in_status(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn in_status(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_is_found_among_the_rest() {
        assert_eq!(in_status("VmHWM:\t  99 kB\nVmRSS:\t  812 kB\n"), Some(812 * 1024));
        assert_eq!(in_status("VmRSS:\tmuch\n"), None);
        assert!(resident().is_none_or(|bytes| bytes > 100_000));
    }
}
