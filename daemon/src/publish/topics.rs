//! Where messages go (DESIGN 4.3).

use crate::config::{CameraName, NodeName};

/// First level of every topic.
pub const ROOT: &str = "fieldmark";

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

    /// How a camera is; retained.
    #[must_use]
    pub fn camera_status(&self, camera: &CameraName) -> String {
        format!("{}/{}/status", self.node, camera.as_str())
    }

    /// Every published event.
    #[must_use]
    pub fn detection(&self, camera: &CameraName) -> String {
        format!("{}/{}/detection", self.node, camera.as_str())
    }

    /// The latest event; retained.
    #[must_use]
    pub fn last(&self, camera: &CameraName) -> String {
        format!("{}/{}/last", self.node, camera.as_str())
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
    /// Anything else.
    Other,
}

/// Reads a topic.
#[must_use]
pub fn heard(topic: &str) -> Heard<'_> {
    match topic.split('/').collect::<Vec<_>>().as_slice() {
        [ROOT, node, "status"] => Heard::Status(node),
        [ROOT, node, "info"] => Heard::Info(node),
        [ROOT, node, camera, "detection"] => Heard::Detection(node, camera),
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
        assert_eq!(heard(&topics.last(&camera)), Heard::Other);
        assert_eq!(topics.camera_status(&camera), "fieldmark/n1/pond/status");
        assert_eq!(topics.metrics(), "fieldmark/n1/metrics");
    }
}
