//! Every key of the configuration: what it may be, what it is when nobody sets it, what it is for. One table, from
//! which the checks take their ranges and defaults, `fieldmarkd keys` its text, and `docs/configuration.md` its rows.
//! That every key of [`super::raw`] stands here, with the range and default it really has, is tested in
//! `reference/tests.rs`.

mod table;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};

/// A key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
    source: &'static str,
    live: bool,
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A number, with its default where that does not depend on other keys.
    Number { default: Option<f64>, least: f64, most: f64, unit: &'static str },
    /// A whole number.
    Whole { default: i64, least: u32, most: u32, unit: &'static str },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Switch,
    /// Anything else, in words.
    Other(&'static str),
}

impl Key {
    /// Its full name, where `NAME` stands for the name of a camera: `camera.NAME.rate_hz`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether a reload is enough; other keys are read at a start.
    #[must_use]
    pub fn live(&self) -> bool {
        self.live
    }

    /// What it is when nobody sets it, with quotes where it is a word; empty where there is no default.
    #[must_use]
    pub fn default(&self) -> String {
        match self.kind {
            _ if !self.default.is_empty() => self.default.into(),
            Kind::Number { default: Some(default), .. } => default.to_string(),
            Kind::Whole { default, .. } => default.to_string(),
            Kind::Number { .. } | Kind::Choice(_) | Kind::Switch | Kind::Other(_) => String::new(),
        }
    }

    /// Its unit; empty where it is no quantity.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Number { unit, .. } | Kind::Whole { unit, .. } => unit,
            Kind::Choice(_) | Kind::Switch | Kind::Other(_) => "",
        }
    }

    /// What it is for.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        self.meaning
    }

    /// What it may be.
    #[must_use]
    pub fn allowed(&self) -> String {
        match self.kind {
            Kind::Number { least, most, .. } => format!("{least} to {most}"),
            Kind::Whole { least, most, .. } => format!("{least} to {most}"),
            Kind::Choice(words) => {
                words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
            }
            Kind::Switch => "true, false".into(),
            Kind::Other(words) => words.into(),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The table it stands in: `mqtt`, `camera.NAME`, or nothing for keys above all tables.
    fn table(&self) -> &'static str {
        self.name.rsplit_once('.').map_or("", |(table, _)| table)
    }
}

/// For a terminal.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, default, allowed) = (self.unit(), self.default(), self.allowed());
        writeln!(f, "{}", self.name)?;
        writeln!(
            f,
            "    {}{}",
            self.meaning,
            if self.source.is_empty() { String::new() } else { format!(" (source {})", self.source) }
        )?;
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let default = if default.is_empty() { "none".into() } else { default };
        let when = if self.live { "a reload is enough" } else { "read at a start" };
        write!(f, "    default {default}; {allowed}{unit}; {when}")
    }
}

/// All keys, those of one table together.
#[must_use]
pub fn keys() -> &'static [Key] {
    table::KEYS
}

/// The key called `name`, such as `mqtt.url` or `camera.pond.width`; a camera's controls are one key.
#[must_use]
pub(super) fn key_of(name: &str) -> Option<&'static Key> {
    let generic = match name.split('.').collect::<Vec<_>>().as_slice() {
        ["camera", _, "controls", ..] => "camera.NAME.controls".to_owned(),
        ["camera", _, "regions", "boxes", ..] => "camera.NAME.regions.boxes".to_owned(),
        ["camera", _, rest @ ..] if !rest.is_empty() => format!("camera.NAME.{}", rest.join(".")),
        _ => name.to_owned(),
    };
    keys().iter().find(|key| key.name == generic)
}

/// The page `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    let mut table = None;
    for key in keys() {
        if table != Some(key.table()) {
            table = Some(key.table());
            let title = if key.table().is_empty() {
                "Above all tables".into()
            } else {
                format!("`[{}]`", key.table())
            };
            let _ = write!(
                page,
                "\n## {title}\n\n| key | default | allowed | unit | what it is | |\n| --- | --- | --- | --- | --- | --- |\n"
            );
        }
        let name = key.name.rsplit_once('.').map_or(key.name, |(_, name)| name);
        let source = if key.source.is_empty() { String::new() } else { format!("*{}:* ", key.source) };
        let default = if key.default().is_empty() { "–".into() } else { format!("`{}`", key.default()) };
        let live = if key.live { "reload" } else { "" };
        let (allowed, unit, meaning) = (key.allowed(), key.unit(), key.meaning);
        let _ = writeln!(page, "| `{name}` | {default} | {allowed} | {unit} | {source}{meaning} | {live} |");
    }
    page
}

const HEAD: &str = "# Configuration

<!-- Written by `fieldmarkd keys --markdown`; a test compares. -->

One file, `/etc/fieldmark/fieldmark.toml` where the package installed it. `conf.d/*.toml` beside it lie over it in the
order of their names, and variables of the environment over both: `FIELDMARK__MQTT__URL=mqtt://10.0.0.2:1883` sets
`mqtt.url`; of lists it sets `model.priors`, `onnxruntime.providers`, `watch.taxa`, `watch.novelty` and `commands.allow`, parted by
commas.

`fieldmarkd check --config FILE` says what is wrong, where, and what to write instead. `fieldmarkd keys` shows this page in
a terminal, `fieldmarkd keys mqtt` a part of it.

`systemctl reload fieldmarkd` puts keys marked *reload* in force at once, without losing a frame. The file is checked
first: a bad one is refused, and everything stays as it was. Changed keys without the mark are named in the log and in
`systemctl status`; they take effect at the next `systemctl restart fieldmarkd`. What a command was asked to keep
(`fieldmark cmd … persist`) lies over all of it.
";
