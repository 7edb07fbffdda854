//! What a terminal is given of what others wrote.

/// Messages come from anybody: nothing in them may steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
