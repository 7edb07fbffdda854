//! Comma-separated values, a row a track; without a place the coordinates are empty and the reason is told.

use super::Occurrence;

const COLUMNS: &str = "id,name,rank,common_name,lineage,probability,threshold,best_leaf,best_leaf_probability,hits,\
    ended,first_seen,last_seen,time_source,latitude,longitude,accuracy_m,alt_agl_m,method,no_position,node,camera,model";

pub(super) fn text(occurrences: &[Occurrence]) -> Vec<u8> {
    let mut text = format!("{COLUMNS}\r\n");
    for one in occurrences {
        let (last, place) = (&one.last, one.position());
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let word = |value: Option<serde_json::Value>| {
            value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let cells = [
            one.id(),
            last.taxon.name.clone(),
            last.taxon.rank.clone(),
            last.taxon.common_name.clone().unwrap_or_default(),
            last.taxon.lineage.join("|"),
            last.probability.to_string(),
            last.threshold.to_string(),
            last.best_leaf.name.clone(),
            last.best_leaf.probability.to_string(),
            last.track.hits.to_string(),
            one.ended().to_string(),
            one.first_seen.clone(),
            last.time.clone(),
            last.time_source.clone(),
            number(place.map(|place| place.lat)),
            number(place.map(|place| place.lon)),
            number(place.map(|place| place.accuracy_m)),
            number(place.and_then(|place| place.alt_agl_m)),
            word(place.and_then(|place| serde_json::to_value(place.method).ok())),
            word(last.no_position.and_then(|reason| serde_json::to_value(reason).ok())),
            last.node.clone(),
            last.camera.clone(),
            format!("{} {}", last.model.name, last.model.version),
        ];
        text.push_str(&cells.map(|cell| quoted(&cell)).join(","));
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// As RFC 4180 quotes it.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.into()
    }
}
