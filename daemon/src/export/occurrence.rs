//! One organism of a survey, as every format tells it.

use crate::position::Position;
use crate::publish::messages::Detection;
use crate::track::EventType;

/// What a track came to: its last event, and what the events before it add.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// The last event of the track.
    pub last: Detection,
    /// When the first event of the track was.
    pub first_seen: String,
}

impl Occurrence {
    /// The track's name for good.
    #[must_use]
    pub fn id(&self) -> String {
        let Detection { node, boot, camera, track, .. } = &self.last;
        format!("{node}:{boot}:{camera}:{}", track.id)
    }

    /// Where it is.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        self.last.position.as_ref()
    }

    /// Whether the track came to its end, or the record ends before.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.last.kind == EventType::End
    }

    /// How the name was found, in a sentence.
    #[must_use]
    pub fn remarks(&self) -> String {
        let Detection { probability, threshold, target, best_leaf, track, model, engine, .. } = &self.last;
        let target = target.map(|target| format!(" for a target accuracy of {target}")).unwrap_or_default();
        format!(
            "named by machine ({} {}, {engine}) at the deepest taxon with a probability of at least \
             {threshold}{target}: probability {probability:.3} from {} sighting(s); most probable leaf {} ({:.3})",
            model.name, model.version, track.hits, best_leaf.name, best_leaf.probability
        )
    }

    /// Rank by rank, as far as the lineage tells without its ranks: kingdom, genus, and the epithet of a species.
    #[must_use]
    pub fn ranks(&self) -> [&str; 3] {
        let taxon = &self.last.taxon;
        let kingdom = taxon.lineage.first().map_or("", String::as_str);
        let words = taxon.name.split_once(' ').unwrap_or((&taxon.name, ""));
        match taxon.rank.as_str() {
            "genus" => [kingdom, &taxon.name, ""],
            "species" => [kingdom, words.0, words.1],
            _ => [kingdom, "", ""],
        }
    }
}
