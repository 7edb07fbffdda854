//! How Home Assistant learns of a node: device discovery, one retained message with an entity for each thing it says.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::messages::Info;
use super::topics::{ROOT, Topics};
use crate::config::CameraName;

/// Id of the command that Home Assistant's button gives.
pub const COMMAND_ID: &str = "home-assistant";

/// What a node was announced as, so that what is gone can be taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Announced {
    /// Its cameras.
    pub cameras: Vec<String>,
    /// Cameras it once had.
    pub gone: Vec<String>,
    /// Whether Home Assistant was told.
    pub home_assistant: bool,
}

impl Announced {
    /// What is announced now that the node has `cameras`, after `self`.
    #[must_use]
    pub fn then(&self, cameras: &[String], home_assistant: bool) -> Self {
        let mut gone: Vec<_> = self.cameras.iter().chain(&self.gone).cloned().collect();
        gone.retain(|camera| !cameras.contains(camera));
        gone.sort_unstable();
        gone.dedup();
        Self { cameras: cameras.into(), gone, home_assistant }
    }
}

/// Entities of a camera: key and platform.
const OF_CAMERA: [(&str, &str); 6] = [
    ("species", "sensor"),
    ("probability", "sensor"),
    ("image", "image"),
    ("event", "event"),
    ("connectivity", "binary_sensor"),
    ("alert", "device_automation"),
];

/// Topic of the announcement; Home Assistant allows no dots in it.
#[must_use]
pub fn topic(info: &Info) -> String {
    format!("homeassistant/device/{}/config", info.node.replace('.', "_"))
}

/// The announcement of the node `info` with `cameras`; entities of `gone` cameras are taken back.
#[must_use]
pub fn discovery(info: &Info, topics: &Topics, cameras: &[CameraName], gone: &[String]) -> Value {
    let node = &info.node;
    let mut components = Map::new();
    for camera in cameras {
        for (key, component) in camera_components(node, topics, camera) {
            components.insert(key, component);
        }
    }
    for camera in gone {
        for (entity, platform) in OF_CAMERA {
            components.insert(format!("{camera}_{entity}"), json!({ "platform": platform }));
        }
    }
    components.insert(
        "connectivity".into(),
        json!({
            "platform": "binary_sensor", "unique_id": format!("{ROOT}_{node}_connectivity"),
            "name": "connectivity", "device_class": "connectivity", "entity_category": "diagnostic",
            "state_topic": topics.status(), "value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
            // Of all entities this one says something when the node is away.
            "availability": [],
        }),
    );
    components.insert(
        "model".into(),
        json!({
            "platform": "update", "unique_id": format!("{ROOT}_{node}_model"), "name": "model",
            "entity_category": "diagnostic", "state_topic": topics.model_state(),
            "value_template": "{% set phase = value_json.phase %}{{ {'installed_version': value_json.running.version, \
                'latest_version': (value_json.desired | default(value_json.running)).version, \
                'title': value_json.running.name, 'in_progress': phase in ['downloading', 'verifying', 'building', \
                'self-test', 'shadow', 'active'], 'update_percentage': \
                (value_json.progress * 100) | round if value_json.progress is defined else None} | tojson }}",
            "command_topic": topics.command("install", COMMAND_ID), "payload_install": "{}",
        }),
    );
    json!({
        "device": {
            "identifiers": [format!("{ROOT}_{node}")], "name": format!("{ROOT} {node}"),
            "manufacturer": ROOT, "model": format!("{} {}", info.model.name, info.model.version),
            "sw_version": info.fieldmark,
        },
        "origin": { "name": ROOT, "sw_version": info.fieldmark },
        "availability": [{
            "topic": topics.status(), "value_template": "{{ 'online' if value == 'online' else 'offline' }}",
        }],
        "components": components,
        "qos": 1,
    })
}

fn camera_components(node: &str, topics: &Topics, camera: &CameraName) -> [(String, Value); 6] {
    let name = camera.as_str();
    let (last, status) = (topics.last(camera), topics.camera_status(camera));
    let described = |entity: &str, rest: Value| {
        let mut component = json!({
            "platform": OF_CAMERA.iter().find(|(key, _)| *key == entity).map(|(_, platform)| *platform),
        });
        if let (Some(component), Value::Object(rest)) = (component.as_object_mut(), rest) {
            if entity != "alert" {
                component.insert("unique_id".into(), format!("{ROOT}_{node}_{name}_{entity}").into());
                component.insert("name".into(), format!("{name} {entity}").into());
            }
            component.extend(rest);
        }
        (format!("{name}_{entity}"), component)
    };
    [
        described(
            "species",
            json!({
                "state_topic": last, "value_template": "{{ value_json.taxon.name }}",
                "json_attributes_topic": last, "icon": "mdi:leaf",
                // A camera that left has an empty one.
                "json_attributes_template": "{{ value or '{}' }}",
            }),
        ),
        described(
            "probability",
            json!({
                "state_topic": last, "value_template": "{{ (value_json.probability * 100) | round(1) }}",
                "unit_of_measurement": "%", "state_class": "measurement",
            }),
        ),
        described("image", json!({ "image_topic": topics.snapshot(camera), "content_type": "image/jpeg" })),
        described(
            "event",
            json!({
                "state_topic": topics.detection(camera), "event_types": ["new", "update", "end"],
                "value_template": "{{ {'event_type': value_json.type, 'taxon': value_json.taxon.name, \
                    'rank': value_json.taxon.rank, 'probability': value_json.probability} | tojson }}",
            }),
        ),
        described(
            "connectivity",
            json!({
                "device_class": "connectivity", "entity_category": "diagnostic", "state_topic": status,
                "value_template": "{{ 'ON' if value_json.state == 'streaming' else 'OFF' }}",
            }),
        ),
        described(
            "alert",
            json!({
                "automation_type": "trigger", "type": "alert", "subtype": name, "topic": topics.alert(camera),
            }),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_left_is_taken_back_until_it_returns() {
        let cameras = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let first = Announced::default().then(&cameras(&["pond", "gate"]), true);
        let second = first.then(&cameras(&["pond"]), true);
        assert_eq!(second.gone, ["gate"]);
        assert_eq!(
            second.then(&cameras(&["pond"]), true).gone,
            ["gate"],
            "Home Assistant may have been away"
        );
        assert!(second.then(&cameras(&["pond", "gate"]), true).gone.is_empty());
    }
}
