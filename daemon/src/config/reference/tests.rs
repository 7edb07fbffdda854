//! The table is held against the code: every key the file format knows stands in it, every default is the one that is
//! taken, every edge of a range is where the checks have it.

use std::collections::BTreeSet;

use serde::Deserialize as _;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor, value::Error};
use serde::forward_to_deserialize_any;

use super::*;
use crate::config::{Config, RawConfig, load_text};

/// Answers a type that is deserialised with something of every field, and notes the fields' names.
#[derive(Clone)]
struct Probe<'a> {
    path: String,
    found: &'a std::cell::RefCell<BTreeSet<String>>,
}

impl<'a> Probe<'a> {
    fn below(&self, name: &str) -> Probe<'a> {
        let path = if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) };
        Probe { path, found: self.found }
    }
}

struct Fields<'a> {
    names: Vec<String>,
    probe: Probe<'a>,
    next: Option<Probe<'a>>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.names.pop() else { return Ok(None) };
        self.next = Some(self.probe.below(&name));
        let name: &'static str = Box::leak(name.into_boxed_str());
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.next.take().ok_or_else(|| Error::custom("no field"))?)
    }
}

struct One<'a>(Option<Probe<'a>>, usize);

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.1 == 0 {
            return Ok(None);
        }
        self.1 -= 1;
        self.0.clone().map(|probe| seed.deserialize(probe)).transpose()
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let leaves = fields.iter().map(|field| self.below(field).path);
        self.found.borrow_mut().extend(leaves);
        self.found.borrow_mut().remove(&self.path);
        let names = fields.iter().map(|&field| field.into()).collect();
        visitor.visit_map(Fields { names, probe: self, next: None })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { names: vec!["NAME".into()], probe: self, next: None })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(One(Some(self), 1))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(One(Some(self), len))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("x")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("x")
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(0.5)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(1)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(StrDeserializer::new(variants[0]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct newtype_struct tuple_struct
        identifier ignored_any
    }
}

#[test]
fn every_key_of_the_file_stands_in_the_table_and_no_other() {
    let found = std::cell::RefCell::default();
    let probe = Probe { path: String::new(), found: &found };
    RawConfig::deserialize(probe).expect("a value of every type");
    let mut found = found.into_inner();
    // Tables whose fields stand in the list beside them.
    found.retain(|name| !["camera", "camera.NAME"].contains(&name.as_str()));
    // The list of subtrees is a key, and each of its entries has keys.
    found.insert("model.subtree".into());
    let listed: BTreeSet<String> = keys().iter().map(|key| key.name().to_owned()).collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(missing.is_empty(), "add these keys to config/reference/table.rs: {missing:?}");
    let unknown: Vec<_> = listed.difference(&found).collect();
    assert!(unknown.is_empty(), "the file knows no such keys: {unknown:?}");
    assert_eq!(listed.len(), keys().len(), "a key stands twice");
}

/// A small configuration of the source that has `key`, with `key` set to `value`.
fn with(key: &Key, value: Option<&str>) -> Result<Config, String> {
    let source = key.source.split(", ").next().filter(|source| !source.is_empty()).unwrap_or("files");
    let mut tables = toml::Table::new();
    let needed = match source {
        "v4l" => "",
        "gstreamer" => "pipeline = \"videotestsrc\"\n",
        _ => "folder = \"x\"\n",
    };
    let base = format!(
        "node = \"n\"\n[broker]\nembedded = true\n[outbox]\nfolder = \"x\"\n[camera.c]\nsource = \"{source}\"\ntracks = true\n{needed}"
    );
    tables.extend(base.parse::<toml::Table>().expect("TOML"));
    if let Some(value) = value {
        let name = key.name().replace("NAME", "c");
        let mut place = &mut tables;
        let parts: Vec<_> = name.split('.').collect();
        let (last, tables_above) = parts.split_last().expect("a name");
        for part in tables_above {
            let entry = place.entry(*part).or_insert_with(|| toml::Table::new().into());
            place = entry.as_table_mut().expect("a table");
        }
        let value: toml::Table = format!("x = {value}").parse().expect("TOML");
        place.insert((*last).into(), value["x"].clone());
    }
    load_text(&toml::to_string(&tables).expect("TOML")).map_err(|error| error.to_string())
}

/// Keys that mean nothing alone; their ranges are tested beside their checks.
fn stands_alone(key: &Key) -> bool {
    let together = ["place.", "model.subtree", "position.", "camera.NAME.regions.", "camera.NAME.optics."];
    !together.iter().any(|prefix| key.name().starts_with(prefix))
}

fn literal(number: f64) -> String {
    format!("{number:?}")
}

#[test]
fn defaults_are_the_ones_that_are_taken() {
    let mut compared = 0;
    for key in keys().iter().filter(|key| stands_alone(key)) {
        let default = match key.kind() {
            Kind::Number { default: Some(default), .. } => literal(default),
            Kind::Whole { default, .. } => default.to_string(),
            Kind::Choice(_) | Kind::Switch | Kind::Other(_) if key.default.contains(';') => continue,
            Kind::Choice(_) | Kind::Switch | Kind::Other(_) if !key.default.is_empty() => key.default.into(),
            Kind::Number { .. } | Kind::Choice(_) | Kind::Switch | Kind::Other(_) => continue,
        };
        // The embedded broker is switched on in the small configuration.
        if key.name() == "broker.embedded" {
            continue;
        }
        assert_eq!(with(key, Some(&default)), with(key, None), "{} = {default}", key.name());
        compared += 1;
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn ranges_end_where_the_table_says() {
    for key in keys().iter().filter(|key| stands_alone(key)) {
        let (inside, outside): (Vec<String>, Vec<String>) = match key.kind() {
            Kind::Number { least, most, .. } => {
                (vec![literal(least), literal(most)], vec![literal(least - 0.5), literal(most + 0.5)])
            }
            Kind::Whole { least, most, .. } => (
                vec![least.to_string(), most.to_string()],
                vec![(i64::from(least) - 1).to_string(), (i64::from(most) + 1).to_string()],
            ),
            Kind::Choice(words) if key.name() != "camera.NAME.source" && key.name() != "camera.NAME.pace" => {
                (
                    words.iter().map(|word| format!("{word:?}")).collect(),
                    vec!["\"nothing of the kind\"".into()],
                )
            }
            Kind::Choice(_) | Kind::Switch | Kind::Other(_) => continue,
        };
        for value in inside {
            assert!(
                with(key, Some(&value)).is_ok(),
                "{} = {value}: {:?}",
                key.name(),
                with(key, Some(&value))
            );
        }
        for value in outside {
            let error = with(key, Some(&value)).expect_err("a refusal");
            assert!(error.contains(&key.name().replace("NAME", "c")), "{} = {value}: {error}", key.name());
        }
    }
}

#[test]
fn the_page_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == markdown(), "write it again: fieldmarkd keys --markdown > docs/configuration.md");
}

#[test]
fn a_key_is_found_by_the_name_it_has_in_a_file() {
    assert_eq!(key_of("camera.pond.rate_hz").map(Key::name), Some("camera.NAME.rate_hz"));
    assert_eq!(key_of("camera.pond.controls.gain").map(Key::name), Some("camera.NAME.controls"));
    assert_eq!(key_of("mqtt.url").map(Key::name), Some("mqtt.url"));
    assert_eq!(key_of("mqtt.uri"), None);
}
