//! Exposure, gain, focus and what else a device lets be set.
//!
//! The crate's own list panics on control types it does not know and cannot go on past them, so the two questions
//! are put to the kernel here (Video4Linux API, VIDIOC_QUERYCTRL).
#![allow(unsafe_code, reason = "two ioctls the crate wraps in a way that panics")]

use std::mem;

use serde::Serialize;
use v4l::control::Value;
use v4l::v4l_sys::{V4L2_CTRL_FLAG_NEXT_CTRL, v4l2_query_ext_ctrl, v4l2_querymenu};
use v4l::v4l2::vidioc::{VIDIOC_QUERY_EXT_CTRL, VIDIOC_QUERYMENU};
use v4l::{Device, v4l2};

use super::guarded;
use crate::capture::SourceError;
use crate::config::V4lConfig;

/// Types and flags of `videodev2.h`.
const INTEGER: u32 = 1;
const BOOLEAN: u32 = 2;
const MENU: u32 = 3;
const INTEGER_64: u32 = 5;
const BITMASK: u32 = 8;
const INTEGER_MENU: u32 = 9;
const DISABLED: u32 = 0x1;
const READ_ONLY: u32 = 0x4;

/// A menu with more items than this is none.
const MAX_ITEMS: i64 = 256;

/// Something that can be set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Control {
    #[serde(skip)]
    id: u32,
    /// Its name as `v4l2-ctl` writes it, such as `exposure_time_absolute`.
    pub name: String,
    /// Least value.
    pub least: i64,
    /// Largest value.
    pub most: i64,
    /// From one value to the next.
    pub step: u64,
    /// Value after the device was plugged in.
    pub default: i64,
    /// Value now, where the driver tells.
    pub value: Option<i64>,
    /// Whether it is a switch or a menu, which other controls may depend on.
    pub mode: bool,
    /// Items of a menu: number and name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<(i64, String)>,
}

/// What a device lets be set, in its order.
pub(super) fn controls(device: &Device) -> Vec<Control> {
    let (mut controls, mut last) = (Vec::new(), 0);
    while let Some(found) = query(device, last) {
        // A driver that does not move on would be asked for ever.
        if found.id <= last {
            break;
        }
        last = found.id;
        let settable = matches!(found.type_, INTEGER | BOOLEAN | MENU | INTEGER_64 | BITMASK | INTEGER_MENU);
        if settable && found.flags & (DISABLED | READ_ONLY) == 0 {
            controls.push(describe(device, &found));
        }
    }
    controls
}

fn describe(device: &Device, found: &v4l2_query_ext_ctrl) -> Control {
    let name: Vec<u8> = found.name.iter().map(|c| c.to_ne_bytes()[0]).take_while(|&c| c != 0).collect();
    let value = match guarded(|| device.control(found.id)).map(|control| control.value) {
        Ok(Value::Integer(value)) => Some(value),
        Ok(Value::Boolean(on)) => Some(i64::from(on)),
        _ => None,
    };
    let menu =
        matches!(found.type_, MENU | INTEGER_MENU) && found.maximum.saturating_sub(found.minimum) < MAX_ITEMS;
    let numbers = if menu { found.minimum..found.maximum.saturating_add(1) } else { 0..0 };
    let item =
        |number: i64| Some((number, item(device, found.id, found.type_, u32::try_from(number).ok()?)?));
    Control {
        id: found.id,
        name: variable(&String::from_utf8_lossy(&name)),
        least: found.minimum,
        most: found.maximum,
        step: found.step,
        default: found.default_value,
        value,
        mode: matches!(found.type_, BOOLEAN | MENU | INTEGER_MENU),
        items: numbers.filter_map(item).collect(),
    }
}

/// `White Balance, Automatic` becomes `white_balance_automatic`.
fn variable(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

/// The first control with a number above `last`.
fn query(device: &Device, last: u32) -> Option<v4l2_query_ext_ctrl> {
    // SAFETY: the struct is integers and arrays of them, for which zero is a value.
    let mut control: v4l2_query_ext_ctrl = unsafe { mem::zeroed() };
    control.id = last | V4L2_CTRL_FLAG_NEXT_CTRL;
    let (handle, memory) = (device.handle(), &raw mut control);
    // SAFETY: the request reads and writes one `v4l2_query_ext_ctrl`, which lives until the end of this function;
    // the handle keeps the descriptor open.
    let answered = unsafe { v4l2::ioctl(handle.fd(), VIDIOC_QUERY_EXT_CTRL, memory.cast()) };
    answered.ok().map(|()| control)
}

fn item(device: &Device, id: u32, kind: u32, index: u32) -> Option<String> {
    // SAFETY: integers, and a union of integers and bytes.
    let mut item: v4l2_querymenu = unsafe { mem::zeroed() };
    (item.id, item.index) = (id, index);
    let (handle, memory) = (device.handle(), &raw mut item);
    // SAFETY: as above, with one `v4l2_querymenu`.
    unsafe { v4l2::ioctl(handle.fd(), VIDIOC_QUERYMENU, memory.cast()) }.ok()?;
    // The struct is packed: its fields are copied, not borrowed.
    let content = item.__bindgen_anon_1;
    // SAFETY: every bit pattern is a value of both members.
    let (name, value) = unsafe { (content.name, content.value) };
    let text = name.iter().copied().take_while(|&byte| byte != 0).collect::<Vec<u8>>();
    Some(if kind == MENU { String::from_utf8_lossy(&text).into_owned() } else { value.to_string() })
}

/// The configured values with the controls they are for: modes first, because exposure and focus cannot be set
/// while the camera sets them itself.
pub(super) fn settings(config: &V4lConfig, device: &Device) -> Result<Vec<(Control, i64)>, SourceError> {
    if config.controls.is_empty() {
        return Ok(Vec::new());
    }
    let controls = controls(device);
    let mut settings = Vec::new();
    for (name, &value) in &config.controls {
        let refuse = |reason: String| {
            let (device, control) = (config.device.to_string(), name.clone());
            SourceError::Control { device, control, value, reason }
        };
        let Some(control) = controls.iter().find(|control| control.name == *name) else {
            return Err(refuse("the device has no such control".into()));
        };
        if !(control.least..=control.most).contains(&value) {
            return Err(refuse(format!("give {} to {}", control.least, control.most)));
        }
        settings.push((control.clone(), value));
    }
    settings.sort_by_key(|(control, _)| !control.mode);
    Ok(settings)
}

/// Sets the configured values. One that cannot be set is told and left: frames with another exposure are better
/// than none.
pub(super) fn apply(config: &V4lConfig, device: &Device) {
    let settings = match settings(config, device) {
        Ok(settings) => settings,
        Err(error) => return tracing::error!("{error}"),
    };
    for (control, value) in settings {
        let (id, wanted) = (control.id, Value::Integer(value));
        match guarded(|| device.set_control(v4l::Control { id, value: wanted })) {
            Ok(()) => tracing::debug!(device = %config.device, control = %control.name, value, "set"),
            Err(error) => {
                tracing::error!(device = %config.device, "control {} = {value}: {error}", control.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_named_as_other_programs_name_them() {
        assert_eq!(variable("White Balance, Automatic"), "white_balance_automatic");
        assert_eq!(variable("Exposure Time, Absolute"), "exposure_time_absolute");
        assert_eq!(variable("  Gain "), "gain");
    }
}
