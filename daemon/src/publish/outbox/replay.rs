//! Events that are sent late say so.

use bytes::Bytes;

const LIVE: &[u8] = br#","replay":false,"#;
const LATE: &[u8] = br#","replay":true,"#;

/// The event `payload` with `replay` true; anything else as it is.
///
/// The bytes are searched rather than parsed: inside a JSON text every quote has a backslash before it, so
/// [`LIVE`] can only be the key itself.
#[must_use]
pub fn replayed(payload: &Bytes) -> Bytes {
    let Some(at) = payload.windows(LIVE.len()).position(|window| window == LIVE) else {
        return payload.clone();
    };
    let (before, after) = (&payload[..at], &payload[at + LIVE.len()..]);
    [before, LATE, after].concat().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn only_the_key_is_changed_whatever_the_texts_hold(name in ".*", nested in any::<bool>()) {
            let name = if nested { format!("{name},\"replay\":false,") } else { name };
            let event = serde_json::json!({ "camera": name, "replay": false, "taxon": { "name": name } });
            let changed: serde_json::Value =
                serde_json::from_slice(&replayed(&event.to_string().into())).expect("JSON");
            let mut parsed = event;
            parsed["replay"] = true.into();
            prop_assert_eq!(changed, parsed);
        }

        #[test]
        fn bytes_that_are_no_event_stay(bytes: Vec<u8>) {
            let payload = Bytes::from(bytes);
            prop_assume!(!payload.windows(LIVE.len()).any(|window| window == LIVE));
            prop_assert_eq!(replayed(&payload), payload);
        }
    }
}
