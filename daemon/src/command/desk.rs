//! Where commands are judged and carried out, and every one of them is answered.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use fieldmark_models::specificity::Threshold;
use fieldmark_models::views::FractionBox;
use tokio::sync::{broadcast, mpsc, watch};

use super::{CameraSettings, CommandId, Kept, Refusal, Request, Settings, SettingsCell, VocabularyCell};
use crate::alert::find_watched;
use crate::config::CommandKind;
use crate::decide::{CutOff, Sureness};
use crate::publish::home_assistant::COMMAND_ID;
use crate::publish::line::Incoming;
use crate::publish::messages::{Reply, ReplyState, VERSION, wire_time};
use crate::publish::outbox::{Class, Message, Outbox};
use crate::publish::snapshot::Snapshots;
use crate::publish::topics::{Topics, command};
use crate::region::{RegionChange, RegionRules};

/// Ids remembered, so that a command that comes twice is carried out once.
const REMEMBERED: usize = 256;
/// How long a picture is waited for.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(30);

/// What a command changes of the kept settings.
type Keep = Box<dyn FnOnce(&mut Kept)>;

/// How the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Not yet.
    Running,
    /// To start anew.
    Restart,
}

/// What carrying commands out needs.
pub struct Equipment {
    /// Commands allowed by configuration.
    pub allow: ArcSwap<BTreeSet<CommandKind>>,
    /// The settings in force.
    pub settings: SettingsCell,
    /// What the model can be asked for.
    pub vocabulary: VocabularyCell,
    /// Asks for the release that is offered; `None` where this node takes no updates.
    pub install: Option<mpsc::Sender<()>>,
    /// Names of the cameras.
    pub cameras: Vec<String>,
    /// The node has a position source that moves.
    pub moves: bool,
    /// Where settings are kept; `None` where nothing is durable.
    pub kept: Option<PathBuf>,
    /// Pictures of what cameras see.
    pub snapshots: Arc<Snapshots>,
    /// Where replies go.
    pub outbox: Arc<Outbox>,
    /// Topics of the node.
    pub topics: Topics,
    /// Hears every reply as well, for those on this machine who asked.
    pub replies: broadcast::Sender<Reply>,
    /// Hears of another cut-off in force.
    pub cut_off_changed: Box<dyn Fn(CutOff) + Send + Sync>,
    /// Hears of cameras that are paused or resumed.
    pub pause_changed: Box<dyn Fn(usize, bool) + Send + Sync>,
}

/// Takes commands in until there will be no more.
pub struct Desk {
    equipment: Arc<Equipment>,
    known: VecDeque<CommandId>,
    ending: watch::Sender<Ending>,
}

impl Desk {
    /// A desk with `equipment`; a restart is announced through `ending`.
    #[must_use]
    pub fn new(equipment: Equipment, ending: watch::Sender<Ending>) -> Self {
        Self { equipment: Arc::new(equipment), known: VecDeque::new(), ending }
    }

    /// What commands are carried out with.
    #[must_use]
    pub fn equipment(&self) -> Arc<Equipment> {
        Arc::clone(&self.equipment)
    }

    /// Judges and carries out what comes.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Incoming>) {
        while let Some(message) = commands.recv().await {
            self.hear(&message);
        }
    }

    fn hear(&mut self, message: &Incoming) {
        let Some((kind, id)) = command(&message.topic) else { return };
        let Some(id) = CommandId::new(id) else {
            tracing::warn!(topic = ?message.topic, "a command without a usable id was passed over");
            return;
        };
        let kind_name = kind.to_owned();
        let answer = |equipment: &Equipment, state, reason| {
            equipment.answer(&id, &kind_name, state, reason);
        };
        if message.retained {
            let reason =
                "a retained command would be carried out at every connection: send it without retain";
            return answer(&self.equipment, ReplyState::Failed, Some(reason.into()));
        }
        // Home Assistant's payloads and topics are fixed, so its id is always the same.
        let fixed = kind == CommandKind::Install.name() && id.as_str() == COMMAND_ID;
        if self.known.contains(&id) && !fixed {
            return answer(&self.equipment, ReplyState::Failed, Some("this id was used before".into()));
        }
        if self.known.len() >= REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back(id.clone());
        let request = self.equipment.judge(kind, &message.payload);
        match request {
            Err(Refusal(reason)) => {
                tracing::warn!(command = ?kind_name, id = id.as_str(), "refused: {reason}");
                answer(&self.equipment, ReplyState::Failed, Some(reason));
            }
            Ok(request) => {
                tracing::info!(command = ?kind_name, id = id.as_str(), "accepted");
                answer(&self.equipment, ReplyState::Accepted, None);
                self.carry_out(request, &id, &kind_name);
            }
        }
    }

    fn carry_out(&mut self, request: Request, id: &CommandId, kind: &str) {
        let outcome = match request {
            Request::Restart => {
                // First the reply: the session ends when everything that was said by then is acknowledged.
                self.equipment.conclude(id, kind, Ok(None));
                self.ending.send_replace(Ending::Restart);
                return;
            }
            Request::Install => self.equipment.install(),
            Request::Snapshot { camera } => {
                self.equipment.answer(id, kind, ReplyState::Running, None);
                let (equipment, id, kind) = (Arc::clone(&self.equipment), id.clone(), kind.to_owned());
                tokio::spawn(async move {
                    let outcome = equipment.snapshot(&camera).await;
                    equipment.conclude(&id, &kind, outcome.map(Some));
                });
                return;
            }
            other => self.equipment.change(other),
        };
        self.equipment.conclude(id, kind, outcome);
    }
}

impl Equipment {
    fn judge(&self, kind: &str, payload: &[u8]) -> Result<Request, Refusal> {
        let Some(kind) = CommandKind::from_name(kind) else {
            let known = CommandKind::ALL.map(CommandKind::name).join(", ");
            return Err(Refusal(format!("there is no such command: give one of {known}")));
        };
        if !self.allow.load().contains(&kind) {
            let name = kind.name();
            return Err(Refusal(format!("not allowed here: add {name:?} to commands.allow of this node")));
        }
        Request::parse(kind, payload)
    }

    fn answer(&self, id: &CommandId, kind: &str, state: ReplyState, reason: Option<String>) {
        let reply = Reply {
            v: VERSION,
            id: id.as_str().into(),
            // What was asked for may be anything; only what is known is repeated.
            command: CommandKind::from_name(kind).map(|kind| kind.name().into()),
            state,
            time: wire_time(jiff::Timestamp::now()),
            reason,
        };
        let payload = serde_json::to_vec(&reply).unwrap_or_default().into();
        // Nobody may be there to hear it.
        let _ = self.replies.send(reply);
        let topic = self.topics.reply(id.as_str());
        self.outbox.put(Message { topic, payload, class: Class::Reply });
    }

    fn conclude(&self, id: &CommandId, kind: &str, outcome: Result<Option<String>, Refusal>) {
        match outcome {
            Ok(remark) => self.answer(id, kind, ReplyState::Done, remark),
            Err(Refusal(reason)) => self.answer(id, kind, ReplyState::Failed, Some(reason)),
        }
    }

    fn install(&self) -> Result<Option<String>, Refusal> {
        let off = || Refusal("this node takes no updates: configure [update]".into());
        let asked = self.install.as_ref().ok_or_else(off)?;
        // One that waits already asks for the same.
        let _ = asked.try_send(());
        Ok(Some("what is offered is taken; model/state says how far that is".into()))
    }

    async fn snapshot(&self, camera: &str) -> Result<String, Refusal> {
        let number = self.camera(camera)?;
        let taken = self.snapshots.want(number);
        // Looked at after the wish is there: a pause in between finds the wish, an earlier one is found here.
        if self.settings.get().cameras.get(number).is_some_and(|camera| camera.paused) {
            self.snapshots.refuse(number, &no_picture_of(camera));
        }
        let late = || Refusal(format!("no frame came from {camera} within {SNAPSHOT_PATIENCE:?}"));
        let outcome = tokio::time::timeout(SNAPSHOT_PATIENCE, taken).await.map_err(|_| late())?;
        outcome.unwrap_or_else(|_| Err("the node is stopping".into())).map_err(Refusal)
    }

    fn camera(&self, name: &str) -> Result<usize, Refusal> {
        self.cameras.iter().position(|camera| camera == name).ok_or_else(|| {
            Refusal(format!("there is no camera {name:?}: give one of {}", self.cameras.join(", ")))
        })
    }

    /// Changes the settings in force, and the ones that are kept where asked. What was done beside that.
    fn change(&self, request: Request) -> Result<Option<String>, Refusal> {
        let mut settings = Settings::clone(&self.settings.get());
        let vocabulary = self.vocabulary.load();
        let refused = |error: &dyn std::fmt::Display| Refusal(error.to_string());
        let mut keep: Option<Keep> = None;
        let mut cut_off = None;
        let mut paused = None;
        match request {
            Request::Target { value, persist } => {
                settings.dial.everywhere = Sureness::Target(value);
                let cut_offs = settings.dial.cut_offs(&vocabulary.taxonomy, &vocabulary.calibration);
                cut_off = Some(cut_offs.map_err(|error| refused(&error))?.everywhere());
                keep = persist.then(|| -> Keep {
                    Box::new(move |kept| (kept.target, kept.threshold) = (Some(value), None))
                });
            }
            Request::Threshold { value, persist } => {
                let threshold = Threshold::new(value).map_err(|error| refused(&error))?;
                settings.dial.everywhere = Sureness::Threshold(threshold);
                cut_off = Some(CutOff { threshold, target: None });
                keep = persist.then(|| -> Keep {
                    Box::new(move |kept| (kept.target, kept.threshold) = (None, Some(value)))
                });
            }
            Request::Prior { taxa, persist } => {
                find_watched(&vocabulary.taxonomy, &taxa).map_err(|error| refused(&error))?;
                settings.expected.taxa.clone_from(&taxa);
                keep = persist.then(|| -> Keep { Box::new(move |kept| kept.priors = Some(taxa)) });
            }
            Request::Watch { taxa, persist } => {
                find_watched(&vocabulary.taxonomy, &taxa).map_err(|error| refused(&error))?;
                settings.watch.clone_from(&taxa);
                keep = persist.then(|| -> Keep { Box::new(move |kept| kept.watch = Some(taxa)) });
            }
            Request::Region { camera, edges, focus, regions, persist } => {
                let found = |edges: Option<[f64; 4]>| {
                    edges.map(FractionBox::try_from).transpose().map_err(|error| refused(&error))
                };
                let (edges, focus) = (edges.map(found).transpose()?, focus.map(found).transpose()?);
                let regions = regions.map(|asked| self.regions(&asked)).transpose()?;
                let present = self.of_camera(&mut settings, &camera)?;
                if let Some(edges) = edges {
                    present.region = edges;
                }
                if let Some(focus) = focus {
                    present.focus = focus;
                }
                if let Some(rules) = &regions {
                    present.regions = rules.clone();
                }
                keep = persist.then(|| -> Keep {
                    Box::new(move |kept| kept.keep_region(&camera, edges, focus, regions.as_ref()))
                });
            }
            Request::Gate { camera, change, persist } => {
                let gate = &mut self.of_camera(&mut settings, &camera)?.gate;
                *gate = gate.changed(&change).map_err(|error| refused(&error))?;
                let full = gate.in_full();
                keep = persist.then(|| -> Keep {
                    Box::new(move |kept| {
                        kept.gate.insert(camera, full);
                    })
                });
            }
            Request::Pause { camera, paused: wanted } => {
                self.of_camera(&mut settings, &camera)?.paused = wanted;
                paused = Some((self.camera(&camera)?, wanted, camera));
            }
            Request::Restart | Request::Install | Request::Snapshot { .. } => {}
        }
        self.settings.set(settings);
        if let Some(cut_off) = cut_off {
            (self.cut_off_changed)(cut_off);
        }
        if let Some((number, is_paused, camera)) = paused {
            if is_paused {
                self.snapshots.refuse(number, &no_picture_of(&camera));
            }
            (self.pause_changed)(number, is_paused);
        }
        keep.map_or(Ok(None), |keep| self.keep(keep))
    }

    /// Rules that can be put in force from afar: a detector is a file on this machine, and heights have to be known.
    fn regions(&self, asked: &RegionChange) -> Result<RegionRules, Refusal> {
        let rules = RegionRules::new(asked).map_err(|error| Refusal(format!("regions.{error}")))?;
        if rules.detector().is_some() {
            return Err(Refusal("regions.detector: a detector is set in the configuration only".into()));
        }
        if rules.tile_m().is_some() && !self.moves {
            let reason = "regions.tile_m: this node does not know its height: give tile_px";
            return Err(Refusal(reason.into()));
        }
        Ok(rules)
    }

    fn of_camera<'a>(
        &self,
        settings: &'a mut Settings,
        name: &str,
    ) -> Result<&'a mut CameraSettings, Refusal> {
        let number = self.camera(name)?;
        settings.cameras.get_mut(number).ok_or_else(|| Refusal(format!("there is no camera {name:?}")))
    }

    fn keep(&self, change: Keep) -> Result<Option<String>, Refusal> {
        let nowhere = "in force until the next start: with outbox.durable = false nothing is kept";
        let Some(path) = &self.kept else { return Err(Refusal(nowhere.into())) };
        let mut kept = Kept::read(path).map_err(|error| Refusal(error.to_string()))?;
        change(&mut kept);
        kept.write(path).map_err(|error| Refusal(error.to_string()))?;
        Ok(Some(format!("kept in {}", path.display())))
    }
}

/// Why there is no picture of a camera that is paused.
fn no_picture_of(camera: &str) -> String {
    format!("{camera} is paused and takes no pictures: resume it first")
}
