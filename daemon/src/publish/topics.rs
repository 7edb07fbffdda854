//! Where messages go (DESIGN 4.3).

use crate::config::{CameraName, NodeName};

/// First level of every topic.
pub const ROOT: &str = "fieldmark";

/// Where Home Assistant says that it has started.
pub const HOME_ASSISTANT_BIRTH: &str = "homeassistant/status";

/// The topics of one node.
#[derive(Debug, Clone)]
pub struct Topics {
    node: String,
}

impl Topics {
    /// The topics of `node`.
    #[must_use]
    pub fn new(node: &NodeName) -> Self {
        Self { node: format!("{ROOT}/{}", node.as_str()) }
    }

    /// `online`, `stopped`, `offline`; retained.
    #[must_use]
    pub fn status(&self) -> String {
        format!("{}/status", self.node)
    }

    /// What the node is and runs; retained.
    #[must_use]
    pub fn info(&self) -> String {
        format!("{}/info", self.node)
    }

    /// Rates, drops, queue.
    #[must_use]
    pub fn metrics(&self) -> String {
        format!("{}/metrics", self.node)
    }

    /// Which model runs, and what becomes of another; retained.
    #[must_use]
    pub fn model_state(&self) -> String {
        format!("{}/model/state", self.node)
    }

    /// How far the compilation of a model for this machine is.
    #[must_use]
    pub fn model_build(&self) -> String {
        format!("{}/model/build", self.node)
    }

    /// Which configuration from the fleet is in force, and what becomes of another; retained.
    #[must_use]
    pub fn config_state(&self) -> String {
        format!("{}/config/state", self.node)
    }

    /// How a camera is; retained.
    #[must_use]
    pub fn camera_status(&self, camera: &CameraName) -> String {
        format!("{}/{}/status", self.node, camera.as_str())
    }

    /// Whether a camera's answers are what they are meant to look like; retained.
    #[must_use]
    pub fn drift(&self, camera: &CameraName) -> String {
        format!("{}/{}/drift", self.node, camera.as_str())
    }

    /// Every published event.
    #[must_use]
    pub fn detection(&self, camera: &CameraName) -> String {
        format!("{}/{}/detection", self.node, camera.as_str())
    }

    /// Events on the watch list.
    #[must_use]
    pub fn alert(&self, camera: &CameraName) -> String {
        format!("{}/{}/alert", self.node, camera.as_str())
    }

    /// What a camera saw, as JPEG; retained.
    #[must_use]
    pub fn snapshot(&self, camera: &CameraName) -> String {
        format!("{}/{}/snapshot", self.node, camera.as_str())
    }

    /// Filter for commands.
    #[must_use]
    pub fn commands(&self) -> String {
        format!("{}/cmd/+/+", self.node)
    }

    /// A command of `kind` with `id`.
    #[must_use]
    pub fn command(&self, kind: &str, id: &str) -> String {
        format!("{}/cmd/{kind}/{id}", self.node)
    }

    /// The reply to the command `id`.
    #[must_use]
    pub fn reply(&self, id: &str) -> String {
        format!("{}/reply/{id}", self.node)
    }

    /// The latest event; retained.
    #[must_use]
    pub fn last(&self, camera: &CameraName) -> String {
        format!("{}/{}/last", self.node, camera.as_str())
    }
}

/// Kind and id of the command on `topic`.
#[must_use]
pub fn command(topic: &str) -> Option<(&str, &str)> {
    match topic.split('/').collect::<Vec<_>>().as_slice() {
        [ROOT, _, "cmd", kind, id] => Some((kind, id)),
        _ => None,
    }
}

/// What a topic a subscriber sees is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A node's status.
    Status(&'a str),
    /// A node's info.
    Info(&'a str),
    /// An event of a node's camera.
    Detection(&'a str, &'a str),
    /// How far a node's update is.
    ModelState(&'a str),
    /// How far an update of a node's configuration is.
    ConfigState(&'a str),
    /// The newest event of a node's camera, retained.
    Last(&'a str, &'a str),
    /// How a node's camera is.
    CameraStatus(&'a str, &'a str),
    /// Whether the answers of a node's camera are what they are meant to look like.
    Drift(&'a str, &'a str),
    /// Anything else.
    Other,
}

/// Reads a topic.
#[must_use]
pub fn heard(topic: &str) -> Heard<'_> {
    match topic.split('/').collect::<Vec<_>>().as_slice() {
        [ROOT, node, "status"] => Heard::Status(node),
        [ROOT, node, "info"] => Heard::Info(node),
        [ROOT, node, "model", "state"] => Heard::ModelState(node),
        [ROOT, node, "config", "state"] => Heard::ConfigState(node),
        [ROOT, node, camera, "detection"] => Heard::Detection(node, camera),
        [ROOT, node, camera, "status"] => Heard::CameraStatus(node, camera),
        [ROOT, node, camera, "drift"] => Heard::Drift(node, camera),
        [ROOT, node, camera, "last"] => Heard::Last(node, camera),
        _ => Heard::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_reads_what_a_node_wrote() {
        let topics = Topics::new(&NodeName::new("n1").expect("a name"));
        let camera = CameraName::new("pond").expect("a name");
        assert_eq!(heard(&topics.status()), Heard::Status("n1"));
        assert_eq!(heard(&topics.info()), Heard::Info("n1"));
        assert_eq!(heard(&topics.detection(&camera)), Heard::Detection("n1", "pond"));
        assert_eq!(heard(&topics.last(&camera)), Heard::Last("n1", "pond"));
        assert_eq!(topics.camera_status(&camera), "fieldmark/n1/pond/status");
        assert_eq!(topics.metrics(), "fieldmark/n1/metrics");
        assert_eq!(command(&topics.command("target", "a1")), Some(("target", "a1")));
        assert_eq!(topics.reply("a1"), "fieldmark/n1/reply/a1");
    }
}
