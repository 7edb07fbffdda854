//! What is gathered of one camera: today, and what is usual for it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::measure::{is_due, is_due_of_looks};
use super::usual::{First, Terms, Usual, spans};
use super::{Answers, FEWEST, Given, Look, Looks, Summary};

/// Answers and pictures after which it is known what is usual.
const USUAL: (u64, u64) = (256, 256);

/// Of one camera.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gathered {
    /// When what is gathered begins, UTC. A camera that sees too little in a day goes on in the next.
    pub day: Option<Date>,
    /// The day so far.
    pub today: Summary,
    /// What is usual.
    pub usual: Usual,
    /// The day as it was when it came to be looked at.
    pub due: Option<Summary>,
    /// Whether what is usual became known just now.
    pub learned: bool,
    begun: Option<Timestamp>,
    /// The day of the pictures: they go on where nothing is answered.
    looks_day: Option<Date>,
}

impl Gathered {
    /// Takes the first answer of a track in, given at `now` under `terms`. Answers that are not spread over `spread`
    /// say nothing: the same animal may have been there all the time.
    pub(in crate::observe) fn answered(
        &mut self,
        given: &Given<'_>,
        now: Timestamp,
        terms: &Terms,
        spread: Duration,
    ) {
        if self.usual.terms != *terms {
            (self.usual.terms, self.usual.answers) = (terms.clone(), First::default());
            self.today.answers = Answers::default();
        }
        self.turn(now);
        if self.today.answers.count == 0 {
            self.begun = Some(now);
        }
        self.today.answers.add(given);
        let spread_enough = self.begun.is_some_and(|begun| spans(begun, now, spread));
        if is_due(self.today.answers.count) && spread_enough {
            self.due = Some(self.today.clone());
        }
        let learned = self.usual.answers.learn(now, spread, |answers| {
            answers.add(given);
            answers.count >= USUAL.0
        });
        if learned {
            self.learned = true;
            // What taught what is usual says nothing beside it.
            self.today.answers = Answers::default();
        }
    }

    /// Takes a picture in, seen at `now`.
    pub(in crate::observe) fn looked(&mut self, look: Look, now: Timestamp, spread: Duration) {
        let day = now.to_zoned(TimeZone::UTC).date();
        if self.looks_day != Some(day) && self.today.looks.bright >= USUAL.1 {
            self.today.looks = Looks::default();
        }
        if self.today.looks.bright == 0 {
            self.looks_day = Some(day);
        }
        self.today.looks.add(look);
        if is_due_of_looks(self.today.looks.bright) {
            self.due = Some(self.today.clone());
        }
        let learned = self.usual.looks.learn(now, spread, |looks| {
            looks.add(look);
            looks.bright >= USUAL.1
        });
        if learned {
            self.learned = true;
            self.today.looks = Looks::default();
        }
    }

    /// Another day begins, where the one before had enough.
    fn turn(&mut self, now: Timestamp) {
        let day = now.to_zoned(TimeZone::UTC).date();
        let enough = self.today.answers.count >= FEWEST;
        if self.today.answers.count == 0 || (enough && self.day != Some(day)) {
            self.day = Some(day);
            if enough {
                self.today.answers = Answers::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn terms() -> Terms {
        Terms { model: "m".into(), threshold: 0.6 }
    }

    const GIVEN: Given<'_> = Given { rank: "species", depth: 7, best_leaf: 0.9 };

    /// After `count` answers, one every `seconds`.
    fn gathered(count: u32, seconds: i64) -> (Gathered, Vec<u64>) {
        let (mut gathered, mut looks) = (Gathered::default(), Vec::new());
        let begin: Timestamp = "2026-11-25T00:00:00Z".parse().expect("a time");
        for number in 0..count {
            let time = begin + Duration::from_secs(u64::from(number) * seconds.unsigned_abs());
            gathered.answered(&GIVEN, time, &terms(), HOUR);
            looks.extend(gathered.due.take().map(|day| day.answers.count));
        }
        (gathered, looks)
    }

    #[test]
    fn a_day_is_looked_at_when_its_answers_are_many_and_spread_over_an_hour() {
        assert_eq!(gathered(200, 60).1, [64, 128]);
        assert_eq!(gathered(4000, 1).1, Vec::<u64>::new(), "an hour of one animal");
        assert_eq!(gathered(4100, 1).1, [4096]);
    }

    #[test]
    fn what_is_usual_takes_a_day_and_goes_with_the_terms() {
        assert!(gathered(2000, 30).0.usual.answers().is_none(), "too short a time");
        let (mut gathered, _) = gathered(300, 400);
        assert_eq!(gathered.usual.answers().map(|answers| answers.count), Some(256));
        let others = Terms { threshold: 0.7, ..terms() };
        let later = "2026-11-27T00:00:00Z".parse().expect("a time");
        gathered.answered(&GIVEN, later, &others, HOUR);
        assert!(gathered.usual.answers().is_none() && gathered.today.answers.count == 1);
    }

    #[test]
    fn a_camera_that_sees_little_gathers_over_days() {
        let (slow, looks) = gathered(64, 3600);
        assert_eq!((slow.day.map(|day| day.to_string()), looks), (Some("2026-11-25".into()), vec![64]));
        let (quick, _) = gathered(200, 600);
        let day = quick.day.map(|day| day.to_string());
        assert_eq!((day.as_deref(), quick.today.answers.count), (Some("2026-11-26"), 56));
    }
}
