//! What was written where it was read: every key that is set, with its value, so that two readings can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::reference::{Key, key_of};

/// A reading of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The file that was named.
    pub path: PathBuf,
    /// What the fleet laid over it.
    pub released: Option<PathBuf>,
    keys: BTreeMap<String, String>,
}

impl Written {
    pub(super) fn new(path: PathBuf, released: Option<PathBuf>, whole: &Value) -> Self {
        let mut keys = BTreeMap::new();
        flatten(String::new(), whole, &mut keys);
        Self { path, released, keys }
    }

    /// Keys that another reading sets otherwise, sets as well, or no longer.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Changes {
        let names: BTreeSet<&String> = self.keys.keys().chain(other.keys.keys()).collect();
        let differs = |name: &&String| self.keys.get(*name) != other.keys.get(*name);
        let live = |name: &String| key_of(name).is_some_and(Key::live);
        let (live, restart) = names.into_iter().filter(differs).cloned().partition(live);
        Changes { live, restart }
    }
}

/// Keys that are otherwise than before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that a running daemon can take over.
    pub live: Vec<String>,
    /// Those that a start reads.
    pub restart: Vec<String>,
}

/// Tables become dotted names; lists and everything else are values.
fn flatten(name: String, value: &Value, keys: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(name, value, keys);
            }
        }
        Value::Null => {}
        other => _ = keys.insert(name, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(whole: &Value) -> Written {
        Written::new("fieldmark.toml".into(), None, whole)
    }

    #[test]
    fn changes_are_parted_by_whether_a_running_daemon_can_take_them_over() {
        let before = serde_json::json!({
            "node": "a", "model": { "target_accuracy": 0.9, "priors": ["Aves"] },
            "camera": { "pond": { "width": 640, "gate": "off", "region": [0, 0, 1, 1] } }
        });
        let after = serde_json::json!({
            "node": "b", "model": { "priors": ["Aves", "Insecta"] },
            "camera": { "pond": { "width": 640, "gate": "motion" }, "gate": { "source": "files" } }
        });
        let changes = written(&before).changed(&written(&after));
        assert_eq!(
            changes.live,
            ["camera.pond.gate", "camera.pond.region", "model.priors", "model.target_accuracy"]
        );
        assert_eq!(changes.restart, ["camera.gate.source", "node"]);
        assert_eq!(written(&before).changed(&written(&before)), Changes::default());
    }
}
