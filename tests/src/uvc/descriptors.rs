//! What the camera says of itself (USB 2.0 chapter 9, USB Video Class 1.0).

/// Width of every frame, pixels.
pub const WIDTH: u16 = 640;
/// Height of every frame, pixels.
pub const HEIGHT: u16 = 360;
/// Largest payload. `uvcvideo` hands bulk endpoints buffers of this size, so a payload fills one buffer.
const MAX_PAYLOAD: u32 = 16_384;
/// Largest MJPEG frame, bytes.
const MAX_JPEG: u32 = 1 << 20;
/// Frame intervals, in units of 100 ns.
pub const INTERVALS: [u32; 3] = [333_333, 666_666, 2_000_000];
/// Index of the YUYV format; MJPG is 1.
pub const YUYV: u8 = 2;

/// Length of the probe and commit structure of UVC 1.0.
pub const PROBE_BYTES: usize = 26;

/// The device descriptor: vendor and product of a Linux gadget, one configuration.
pub const DEVICE: [u8; 18] = [18, 1, 0, 2, 0xef, 2, 1, 64, 0x6b, 0x1d, 0x02, 0x01, 0, 1, 1, 2, 3, 1];

/// Largest frame of a format, bytes.
fn frame_bytes(format: u8) -> u32 {
    if format == YUYV { u32::from(WIDTH) * u32::from(HEIGHT) * 2 } else { MAX_JPEG }
}

fn frame(subtype: u8, format: u8) -> Vec<u8> {
    let bytes = frame_bytes(format);
    let mut frame = vec![26 + 4 * INTERVALS.len() as u8, 0x24, subtype, 1, 0];
    frame.extend(WIDTH.to_le_bytes());
    frame.extend(HEIGHT.to_le_bytes());
    // Bits a second at 5 and at 30 frames a second.
    frame.extend((bytes * 8 * 5).to_le_bytes());
    frame.extend((bytes * 8).wrapping_mul(30).to_le_bytes());
    frame.extend(bytes.to_le_bytes());
    frame.extend(INTERVALS[0].to_le_bytes());
    frame.push(INTERVALS.len() as u8);
    frame.extend(INTERVALS.iter().flat_map(|interval| interval.to_le_bytes()));
    frame
}

/// Writes the summed length of a class-specific interface into its header.
fn total(mut descriptors: Vec<u8>, at: usize) -> Vec<u8> {
    let length = (descriptors.len() as u16).to_le_bytes();
    descriptors.splice(at..at + 2, length);
    descriptors
}

fn control_interface() -> Vec<u8> {
    let mut interface = vec![13, 0x24, 1, 0x00, 0x01, 0, 0, 0x00, 0x6c, 0xdc, 0x02, 1, 1];
    // Camera terminal, processing unit with brightness, output terminal.
    interface.extend([18, 0x24, 2, 1, 0x01, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
    interface.extend([11, 0x24, 5, 3, 1, 0, 0, 2, 0x01, 0x00, 0]);
    interface.extend([9, 0x24, 3, 2, 0x01, 0x01, 0, 3, 0]);
    total(interface, 5)
}

fn streaming_interface() -> Vec<u8> {
    const COLOUR: [u8; 6] = [6, 0x24, 13, 1, 1, 4];
    let mut interface = vec![15, 0x24, 1, 2, 0, 0, 0x81, 0, 2, 0, 0, 0, 1, 0, 0];
    interface.extend([11, 0x24, 6, 1, 1, 1, 1, 0, 0, 0, 0]);
    interface.extend(frame(7, 1));
    interface.extend(COLOUR);
    interface.extend([27, 0x24, 4, YUYV, 1]);
    interface.extend(b"YUY2\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71");
    interface.extend([16, 1, 0, 0, 0, 0]);
    interface.extend(frame(5, YUYV));
    interface.extend(COLOUR);
    total(interface, 4)
}

/// The configuration with its two interfaces and the bulk endpoint 0x81.
#[must_use]
pub fn configuration() -> Vec<u8> {
    let mut configuration = vec![9, 2, 0, 0, 2, 1, 0, 0x80, 50, 8, 11, 0, 2, 0x0e, 3, 0, 2];
    configuration.extend([9, 4, 0, 0, 0, 0x0e, 1, 0, 2]);
    configuration.extend(control_interface());
    configuration.extend([9, 4, 1, 0, 1, 0x0e, 2, 0, 0]);
    configuration.extend(streaming_interface());
    configuration.extend([7, 5, 0x81, 2, 0, 2, 0]);
    total(configuration, 2)
}

/// String descriptor number `index`.
#[must_use]
pub fn string(index: u8) -> Vec<u8> {
    let text = match index {
        0 => return vec![4, 3, 9, 4],
        1 => "fieldmark tests",
        2 => "Emulated camera",
        _ => "0001",
    };
    let mut string = vec![0, 3];
    string.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    string[0] = string.len() as u8;
    string
}

/// The settings closest to those asked for.
#[must_use]
pub fn negotiate(asked: &[u8]) -> [u8; PROBE_BYTES] {
    let mut probe = [0; PROBE_BYTES];
    let known = asked.len().min(PROBE_BYTES);
    probe[..known].copy_from_slice(&asked[..known]);
    if probe[2] == 0 || probe[2] > YUYV {
        probe[2] = 1;
    }
    probe[3] = 1;
    let asked = interval(&probe);
    let closest = INTERVALS.into_iter().min_by_key(|known| known.abs_diff(asked)).unwrap_or(INTERVALS[0]);
    probe[4..8].copy_from_slice(&closest.to_le_bytes());
    let largest = frame_bytes(probe[2]);
    probe[18..22].copy_from_slice(&largest.to_le_bytes());
    probe[22..26].copy_from_slice(&MAX_PAYLOAD.to_le_bytes());
    probe
}

/// The frame interval in settings, in units of 100 ns.
#[must_use]
pub fn interval(probe: &[u8; PROBE_BYTES]) -> u32 {
    u32::from_le_bytes([probe[4], probe[5], probe[6], probe[7]])
}
