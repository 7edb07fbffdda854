//! Taxa that are new: ever, today, this season.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// In which sense a taxon is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoveltyKind {
    /// This node never saw it.
    FirstEver,
    /// Not yet this day, by UTC.
    FirstToday,
    /// Not yet this season: December to February, March to May, and so on, by UTC.
    FirstThisSeason,
}

impl NoveltyKind {
    /// All of them, the rarest first.
    pub const ALL: [Self; 3] = [Self::FirstEver, Self::FirstThisSeason, Self::FirstToday];

    /// As configuration and messages name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstEver => "first_ever",
            Self::FirstToday => "first_today",
            Self::FirstThisSeason => "first_this_season",
        }
    }
}

/// The day on which each taxon was last seen. Days count from 1970-01-01.
#[derive(Debug, Clone, Default)]
pub struct Novelty {
    seen: HashMap<String, i64>,
}

impl Novelty {
    /// What earlier runs saw: taxon ids and days.
    #[must_use]
    pub fn new(seen: impl IntoIterator<Item = (String, i64)>) -> Self {
        Self { seen: seen.into_iter().collect() }
    }

    /// In which senses `taxon` is new on `day`. A clock that steps makes a taxon new once too often, never too
    /// seldom.
    #[must_use]
    pub fn of(&self, taxon: &str, day: i64) -> Vec<NoveltyKind> {
        let Some(&last) = self.seen.get(taxon) else { return NoveltyKind::ALL.into() };
        let holds = |kind: &NoveltyKind| match kind {
            NoveltyKind::FirstEver => false,
            NoveltyKind::FirstToday => last != day,
            NoveltyKind::FirstThisSeason => season(last) != season(day),
        };
        NoveltyKind::ALL.into_iter().filter(holds).collect()
    }

    /// Notes that `taxon` was seen on `day`; whether that was not known yet.
    pub fn see(&mut self, taxon: &str, day: i64) -> bool {
        if self.seen.get(taxon) == Some(&day) {
            return false;
        }
        self.seen.insert(taxon.into(), day);
        true
    }
}

/// The day of `time`, by UTC.
pub(super) fn day(time: jiff::Timestamp) -> i64 {
    time.as_second().div_euclid(86_400)
}

/// Year and quarter, December counting to the next year.
fn season(day: i64) -> (i16, i8) {
    let Ok(time) = jiff::Timestamp::from_second(day.saturating_mul(86_400)) else { return (0, 0) };
    let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    (date.year() + i16::from(date.month() == 12), date.month() % 12 / 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(date: &str) -> i64 {
        day(format!("{date}T12:00:00Z").parse().expect("a time"))
    }

    fn names(novelty: &Novelty, date: &str) -> Vec<&'static str> {
        novelty.of("oak", on(date)).into_iter().map(NoveltyKind::name).collect()
    }

    #[test]
    fn a_taxon_is_new_ever_today_and_this_season() {
        let mut novelty = Novelty::default();
        assert_eq!(names(&novelty, "2026-11-23"), ["first_ever", "first_this_season", "first_today"]);
        assert!(novelty.see("oak", on("2026-11-23")));
        assert!(!novelty.see("oak", on("2026-11-23")));
        assert!(names(&novelty, "2026-11-23").is_empty());
        assert_eq!(names(&novelty, "2026-11-24"), ["first_today"]);
        assert_eq!(names(&novelty, "2026-12-01"), ["first_this_season", "first_today"]);
        novelty.see("oak", on("2026-12-31"));
        assert_eq!(names(&novelty, "2027-01-01"), ["first_today"], "one winter");
        assert_eq!(names(&novelty, "2027-11-01"), ["first_this_season", "first_today"]);
    }

    #[test]
    fn a_clock_that_stepped_far_ahead_and_back_does_not_silence_a_taxon() {
        let mut novelty = Novelty::default();
        novelty.see("oak", on("2036-11-23"));
        assert_eq!(names(&novelty, "2026-11-23"), ["first_this_season", "first_today"]);
    }
}
