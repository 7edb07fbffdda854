//! GeoJSON: longitude first, WGS 84, one feature a track.

use serde_json::{Value, json};

use super::Occurrence;

pub(super) fn text(occurrences: &[&Occurrence]) -> String {
    let features: Vec<Value> = occurrences.iter().filter_map(|one| feature(one)).collect();
    let mut text = serde_json::to_string(&json!({ "type": "FeatureCollection", "features": features }))
        .unwrap_or_default();
    text.push('\n');
    text
}

fn feature(one: &Occurrence) -> Option<Value> {
    let (position, last) = (one.position()?, &one.last);
    Some(json!({
        "type": "Feature",
        "id": one.id(),
        "geometry": { "type": "Point", "coordinates": [position.lon, position.lat] },
        "properties": {
            "name": last.taxon.name,
            "rank": last.taxon.rank,
            "common_name": last.taxon.common_name,
            "lineage": last.taxon.lineage.join("|"),
            "probability": last.probability,
            "threshold": last.threshold,
            "best_leaf": last.best_leaf.name,
            "best_leaf_probability": last.best_leaf.probability,
            "hits": last.track.hits,
            "ended": one.ended(),
            "first_seen": one.first_seen,
            "last_seen": last.time,
            "time_source": last.time_source,
            "accuracy_m": position.accuracy_m,
            "alt_agl_m": position.alt_agl_m,
            "method": position.method,
            "node": last.node,
            "camera": last.camera,
            "model": format!("{} {}", last.model.name, last.model.version),
        },
    }))
}
