//! What waits in memory, and where each message stands. No disk, no network, no clock in here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::message::{Class, Loss, Message};

/// Place of a durable event in the order of decisions; from 1.
pub type Ordinal = u64;

/// Rows of one lane held ready to be sent: bounds memory however long the queue on the disk is.
pub(super) const WINDOW: usize = 256;
/// Replies held in memory.
const PASSING: usize = 64;

/// A durable event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) message: Message,
    /// When it was decided, on the outbox's clock.
    pub(super) noted: Duration,
    /// Which run of the daemon decided it; `None` is this one.
    pub(super) earlier_run: Option<String>,
    /// Whether it was handed to a connection before.
    pub(super) tried: bool,
    /// The file it stands in, by the number of files opened so far; `None` while it stands in none.
    pub(super) stored: Option<u64>,
}

/// The durable events of one class.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Not on the disk yet.
    pub(super) fresh: BTreeMap<Ordinal, Entry>,
    /// On the disk, to be sent next.
    pub(super) ready: BTreeMap<Ordinal, Entry>,
    /// Being written at this moment.
    pub(super) writing: u64,
    /// Sent and not acknowledged, and whether it stands on the disk.
    pub(super) flying: BTreeMap<Ordinal, bool>,
    /// Acknowledged, their rows not deleted yet.
    pub(super) settled: BTreeSet<Ordinal>,
    /// Every row up to here was taken into `ready`.
    pub(super) loaded: Ordinal,
    /// Highest ordinal on the disk.
    pub(super) stored: Ordinal,
    /// Rows on the disk.
    pub(super) rows: u64,
}

impl Lane {
    pub(super) fn waiting(&self) -> u64 {
        let flying = self.flying.values().filter(|&&stored| stored).count();
        let gone = (flying + self.settled.len()) as u64;
        self.rows.saturating_sub(gone) + self.writing + self.fresh.len() as u64
    }

    /// Forgets what was read from the disk, so that it is read again.
    pub(super) fn rewind(&mut self) {
        self.ready.retain(|_, entry| entry.stored.is_none());
        self.loaded = 0;
    }
}

/// The latest of a topic the broker keeps.
#[derive(Debug)]
struct Kept {
    message: Message,
    noted: Duration,
    version: u64,
    due: bool,
    /// The present broker never had it.
    greeting: bool,
}

/// By how much the numbers and times of events were raised so far: a file of an earlier run that comes to light when events
/// were decided already holds older ones, which go first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Raised {
    ordinals: Ordinal,
    clock: Duration,
}

/// Where a message that is being sent came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A durable event, by its number when it was taken, and what numbers were raised by then.
    Event(Class, Ordinal, Raised),
    /// The version of a topic the broker keeps.
    Kept(String, u64),
    /// A reply or metrics.
    Passing,
}

/// What became of messages since the daemon started.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) acknowledged: u64,
    pub(super) replayed: u64,
    pub(super) dropped: BTreeMap<Class, BTreeMap<Loss, u64>>,
}

/// Everything the outbox holds in memory.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) alerts: Lane,
    pub(super) detections: Lane,
    kept: BTreeMap<String, Kept>,
    versions: u64,
    kept_flying: usize,
    /// Bytes of what the broker keeps that were sent, less those of detections sent since: while it is above zero,
    /// detections that wait go first, so that neither crowds the other out of a narrow link.
    kept_ahead: usize,
    passing: VecDeque<Message>,
    passing_flying: usize,
    next: Ordinal,
    raised: Raised,
    /// Number of the file that is open, or was last; 0 before the first.
    pub(super) file: u64,
    pub(super) counts: Counts,
    pub(super) seen: Vec<(String, i64)>,
    pub(super) facts: Vec<(&'static str, String)>,
    /// The disk takes nothing at present.
    pub(super) disk_fails: bool,
    /// Nor does it give what it has.
    pub(super) disk_unreadable: bool,
    pub(super) closing: bool,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            alerts: Lane::default(),
            detections: Lane::default(),
            kept: BTreeMap::new(),
            versions: 0,
            kept_flying: 0,
            kept_ahead: 0,
            passing: VecDeque::new(),
            passing_flying: 0,
            next: 1,
            raised: Raised::default(),
            file: 0,
            counts: Counts::default(),
            seen: Vec::new(),
            facts: Vec::new(),
            disk_fails: false,
            disk_unreadable: false,
            closing: false,
        }
    }
}

/// What may be sent at present.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Events may go from memory while the disk takes nothing.
    pub(super) undurable: bool,
    /// Detections and metrics may go, not only what cannot wait for the next batch.
    pub(super) all: bool,
}

impl Waiting {
    pub(super) fn lane(&mut self, class: Class) -> &mut Lane {
        if class == Class::Alert { &mut self.alerts } else { &mut self.detections }
    }

    pub(super) fn lanes(&self) -> [&Lane; 2] {
        [&self.alerts, &self.detections]
    }

    /// Puts everything in memory behind what a file of an earlier run holds up to `ordinal`, by a clock that goes on `ahead` of
    /// where it was. Nothing of it may stand in a file.
    pub(super) fn raise(&mut self, ordinal: Ordinal, ahead: Duration) {
        self.next += ordinal;
        self.raised = Raised { ordinals: self.raised.ordinals + ordinal, clock: self.raised.clock + ahead };
        for lane in [&mut self.alerts, &mut self.detections] {
            let later = |(number, entry): (Ordinal, Entry)| {
                (number + ordinal, Entry { noted: entry.noted + ahead, ..entry })
            };
            lane.fresh = std::mem::take(&mut lane.fresh).into_iter().map(later).collect();
            let flying = std::mem::take(&mut lane.flying).into_iter();
            lane.flying = flying.map(|(number, stored)| (number + ordinal, stored)).collect();
        }
        self.kept.values_mut().for_each(|kept| kept.noted += ahead);
    }

    /// Takes a message in. Durable events beyond `memory` of them push the least important out.
    pub(super) fn put(&mut self, message: Message, noted: Duration, memory: usize) {
        match message.class {
            Class::Alert | Class::Detection => {
                let (ordinal, class) = (self.next, message.class);
                self.next += 1;
                let entry = Entry { message, noted, earlier_run: None, tried: false, stored: None };
                self.lane(class).fresh.insert(ordinal, entry);
                self.shrink(memory);
            }
            Class::State | Class::Last => self.keep(message, noted),
            Class::Metrics => {
                self.push_out(Class::Metrics);
                self.passing.push_back(message);
            }
            Class::Reply => {
                self.passing.push_back(message);
                if self.passing.len() > PASSING {
                    self.push_out(Class::Reply);
                }
            }
        }
    }

    fn keep(&mut self, message: Message, noted: Duration) {
        self.versions += 1;
        let version = self.versions;
        let greeting = self.kept.get(&message.topic).is_none_or(|kept| kept.greeting);
        self.kept.insert(message.topic.clone(), Kept { message, noted, version, due: true, greeting });
    }

    /// Gives up the oldest message of `class` that waits in memory.
    fn push_out(&mut self, class: Class) {
        let oldest = self.passing.iter().position(|message| message.class == class);
        if oldest.and_then(|position| self.passing.remove(position)).is_some() {
            self.lose(class, Loss::Offline);
        }
    }

    /// Keeps at most `memory` events that are not on the disk.
    pub(super) fn shrink(&mut self, memory: usize) {
        while self.alerts.fresh.len() + self.detections.fresh.len() > memory {
            let class = if self.detections.fresh.is_empty() { Class::Alert } else { Class::Detection };
            self.lane(class).fresh.pop_first();
            self.lose(class, Loss::Memory);
        }
    }

    pub(super) fn lose(&mut self, class: Class, loss: Loss) {
        *self.counts.dropped.entry(class).or_default().entry(loss).or_default() += 1;
    }

    /// The next message to send, which is then in flight: alerts, replies, what a new broker is to keep, metrics, and
    /// then in turn what changed of what the broker keeps and detections.
    pub(super) fn take(&mut self, rules: Rules) -> Option<(Place, Message, Sent)> {
        self.take_event(Class::Alert, rules)
            .or_else(|| self.take_passing(Class::Reply))
            .or_else(|| self.take_kept(|kept| kept.greeting))
            .or_else(|| if rules.all { self.take_passing(Class::Metrics) } else { None })
            .or_else(|| if self.kept_ahead > 0 { self.take_event(Class::Detection, rules) } else { None })
            .or_else(|| self.take_kept(|kept| rules.all || kept.message.class != Class::Last))
            .or_else(|| self.take_event(Class::Detection, rules))
    }

    fn take_event(&mut self, class: Class, rules: Rules) -> Option<(Place, Message, Sent)> {
        if class == Class::Detection && !rules.all {
            return None;
        }
        let (from_memory, unreadable) = (rules.undurable && self.disk_fails, self.disk_unreadable);
        let lane = self.lane(class);
        let (ordinal, entry) = match lane.ready.pop_first() {
            Some(first) => first,
            None if from_memory && (unreadable || lane.loaded >= lane.stored) => lane.fresh.pop_first()?,
            None => return None,
        };
        lane.flying.insert(ordinal, entry.stored.is_some());
        let message = entry.message.clone();
        self.kept_ahead = self.kept_ahead.saturating_sub(message.payload.len());
        Some((Place::Event(class, ordinal, self.raised), message, Sent { entry: Some(entry), noted: None }))
    }

    fn take_kept(&mut self, wanted: impl Fn(&Kept) -> bool) -> Option<(Place, Message, Sent)> {
        let kept = self.kept.values_mut().find(|kept| kept.due && wanted(kept))?;
        (kept.due, kept.greeting) = (false, false);
        self.kept_flying += 1;
        self.kept_ahead = kept.message.payload.len();
        let place = Place::Kept(kept.message.topic.clone(), kept.version);
        Some((place, kept.message.clone(), Sent { entry: None, noted: Some(kept.noted) }))
    }

    fn take_passing(&mut self, class: Class) -> Option<(Place, Message, Sent)> {
        let at = self.passing.iter().position(|message| message.class == class)?;
        let message = self.passing.remove(at)?;
        self.passing_flying += 1;
        Some((Place::Passing, message, Sent { entry: None, noted: None }))
    }

    /// Whether there is anything to take, whatever the rules.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes().iter().all(|lane| lane.waiting() == 0 && lane.flying.is_empty())
            && self.passing.is_empty()
            && self.in_flight() == 0
            && !self.kept.values().any(|kept| kept.due)
    }

    pub(super) fn in_flight(&self) -> usize {
        let events: usize = self.lanes().iter().map(|lane| lane.flying.len()).sum();
        events + self.kept_flying + self.passing_flying
    }

    /// A message that was taken arrived.
    pub(super) fn settle(&mut self, place: &Place, sent: &Sent) {
        self.counts.acknowledged += 1;
        self.done(place, sent);
    }

    /// A message that was taken did not arrive, or nobody knows: it takes its old place.
    pub(super) fn put_back(&mut self, place: &Place, sent: Sent, message: Message) {
        let ordinal = self.land(place);
        let (file, clock) = (self.file, self.raised.clock);
        match (place, sent.entry) {
            (Place::Event(class, _, raised), Some(mut entry)) => {
                entry.tried = true;
                entry.noted += clock - raised.clock;
                let lane = self.lane(*class);
                // A row that stood in a file which is no longer there has to be written again.
                let shelf = match entry.stored {
                    Some(number) if number == file => &mut lane.ready,
                    _ => {
                        entry.stored = None;
                        &mut lane.fresh
                    }
                };
                shelf.insert(ordinal, entry);
            }
            (Place::Kept(topic, version), _) => {
                if let Some(kept) = self.kept.get_mut(topic).filter(|kept| kept.version == *version) {
                    kept.due = true;
                }
            }
            _ if message.class == Class::Metrics => self.lose(Class::Metrics, Loss::Offline),
            _ => self.passing.push_front(message),
        }
    }

    /// A message that was taken will never arrive.
    pub(super) fn give_up(&mut self, place: &Place, sent: &Sent, class: Class, loss: Loss) {
        self.lose(class, loss);
        self.done(place, sent);
    }

    /// Nothing more becomes of a message that was taken: its row can go, if it stands in the present file.
    fn done(&mut self, place: &Place, sent: &Sent) {
        let ordinal = self.land(place);
        let stored = sent.entry.as_ref().and_then(|entry| entry.stored);
        if let Place::Event(class, ..) = place
            && stored == Some(self.file)
        {
            self.lane(*class).settled.insert(ordinal);
        }
    }

    /// The present number of the event at `place`; 0 where it is none.
    fn land(&mut self, place: &Place) -> Ordinal {
        match place {
            Place::Event(class, ordinal, raised) => {
                let present = ordinal + (self.raised.ordinals - raised.ordinals);
                self.lane(*class).flying.remove(&present);
                return present;
            }
            Place::Kept(..) => self.kept_flying = self.kept_flying.saturating_sub(1),
            Place::Passing => self.passing_flying = self.passing_flying.saturating_sub(1),
        }
        0
    }

    /// What the broker keeps is to be sent again: it may be another broker, or one that forgot.
    pub(super) fn tell_again(&mut self) {
        self.kept.values_mut().for_each(|kept| (kept.due, kept.greeting) = (true, true));
    }

    /// Nothing more is to be kept on `topic`.
    pub(super) fn forget(&mut self, topic: &str) {
        self.kept.remove(topic);
    }
}

/// What the outbox remembers of a message while it is in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub(super) entry: Option<Entry>,
    pub(super) noted: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const ALL: Rules = Rules { undurable: true, all: true };

    fn message(class: Class, topic: &str) -> Message {
        Message { topic: topic.into(), payload: Bytes::new(), class }
    }

    fn filled(messages: &[(Class, &str)], memory: usize) -> Waiting {
        let mut waiting = Waiting { disk_fails: true, ..Waiting::default() };
        for (class, topic) in messages {
            waiting.put(message(*class, topic), Duration::ZERO, memory);
        }
        waiting
    }

    fn topics(waiting: &mut Waiting) -> Vec<String> {
        std::iter::from_fn(|| waiting.take(ALL).map(|(_, message, _)| message.topic)).collect()
    }

    #[test]
    fn detections_go_before_alerts_when_memory_is_full() {
        use Class::{Alert, Detection};
        let events = [(Alert, "a"), (Detection, "d1"), (Detection, "d2"), (Alert, "b"), (Alert, "c")];
        let mut waiting = filled(&events, 2);
        assert_eq!(topics(&mut waiting), ["b", "c"]);
        assert_eq!(waiting.counts.dropped[&Detection][&Loss::Memory], 2);
        assert_eq!(waiting.counts.dropped[&Alert][&Loss::Memory], 1);
    }

    #[test]
    fn what_cannot_wait_is_sent_first() {
        use Class::{Alert, Detection, Metrics, Reply, State};
        let mut waiting =
            filled(&[(Metrics, "m"), (Detection, "d"), (State, "s"), (Reply, "r"), (Alert, "a")], 9);
        assert_eq!(topics(&mut waiting), ["a", "r", "s", "m", "d"]);
    }

    #[test]
    fn only_the_latest_metrics_wait() {
        let mut waiting = filled(&[(Class::Metrics, "old"), (Class::Metrics, "new")], 9);
        assert_eq!(topics(&mut waiting), ["new"]);
        assert_eq!(waiting.counts.dropped[&Class::Metrics][&Loss::Offline], 1);
    }

    #[test]
    fn what_the_broker_keeps_and_detections_share_a_link_that_is_too_narrow_for_both() {
        let mut waiting = filled(&[], 1000);
        let sized = |class, bytes| Message { topic: "t".into(), payload: vec![0; bytes].into(), class };
        let (mut kept, mut detections) = (0, 0);
        for _ in 0..1000 {
            waiting.put(sized(Class::Last, 1000), Duration::ZERO, 1000);
            waiting.put(Message { topic: "p".into(), ..sized(Class::State, 20_000) }, Duration::ZERO, 1000);
            waiting.put(sized(Class::Detection, 1000), Duration::ZERO, 1000);
            let (place, message, sent) = waiting.take(ALL).expect("a message");
            *if message.class == Class::Detection { &mut detections } else { &mut kept } +=
                message.payload.len();
            waiting.settle(&place, &sent);
        }
        let share = f64::from(detections as u32) / f64::from((kept + detections) as u32);
        assert!((0.4..0.6).contains(&share), "{share}");
    }

    #[test]
    fn between_batches_only_states_go_and_of_events_nothing() {
        use Class::{Detection, Last, Metrics, State};
        let mut waiting = filled(&[(Last, "l"), (State, "s")], 9);
        assert_eq!(topics(&mut waiting), ["l", "s"], "a new broker gets all of it");
        for (class, topic) in [(Last, "l"), (Detection, "d"), (Metrics, "m"), (State, "s")] {
            waiting.put(message(class, topic), Duration::ZERO, 9);
        }
        let between = Rules { all: false, ..ALL };
        let first = waiting.take(between).map(|(_, message, _)| message.topic);
        assert_eq!((first.as_deref(), waiting.take(between)), (Some("s"), None));
        assert_eq!(topics(&mut waiting), ["m", "l", "d"]);
    }

    #[test]
    fn only_the_latest_of_a_kept_topic_is_sent_and_again_when_asked() {
        let mut waiting = filled(&[(Class::State, "s")], 9);
        let (place, _, sent) = waiting.take(ALL).expect("a message");
        waiting.put(message(Class::State, "s"), Duration::ZERO, 9);
        waiting.put_back(&place, sent, message(Class::State, "s"));
        assert_eq!(topics(&mut waiting), ["s"]);
        waiting.tell_again();
        assert_eq!(topics(&mut waiting), ["s"]);
    }

    proptest! {
        /// Whatever comes back, events of a class leave in the order in which they were decided.
        #[test]
        fn events_leave_in_order_and_none_is_lost(steps in proptest::collection::vec((0..4u8, any::<prop::sample::Index>()), 1..200)) {
            let mut waiting = filled(&[], 10_000);
            let (mut put, mut arrived, mut flying) = (0u64, Vec::new(), Vec::new());
            for (step, which) in steps {
                match step {
                    0 => {
                        waiting.put(message(Class::Detection, "d"), Duration::ZERO, 10_000);
                        put += 1;
                    }
                    1 => flying.extend(waiting.take(ALL)),
                    2 if !flying.is_empty() => {
                        let (place, _, sent) = flying.remove(which.index(flying.len()));
                        waiting.settle(&place, &sent);
                        arrived.push(place);
                    }
                    _ => for (place, message, sent) in flying.drain(..) {
                        waiting.put_back(&place, sent, message);
                    },
                }
                let held = waiting.detections.waiting() + waiting.detections.flying.len() as u64;
                prop_assert_eq!(put, held + arrived.len() as u64);
            }
            for (place, message, sent) in flying.drain(..) {
                waiting.put_back(&place, sent, message);
            }
            let rest: Vec<_> = std::iter::from_fn(|| waiting.take(ALL).map(|(place, ..)| place)).collect();
            let ordinal = |place: &Place| if let Place::Event(_, ordinal, _) = place { *ordinal } else { 0 };
            let ordered = rest.is_sorted_by_key(ordinal);
            prop_assert!(ordered);
            prop_assert_eq!((rest.len() + arrived.len()) as u64, put);
        }
    }
}
