//! `meta.xml`: which file of a Darwin Core Archive is what, and which of its columns.

use fieldmark_tables::rows::Dialect;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{SourceError, stays_inside};

/// Longest `meta.xml`: GBIF's have some tens of kilobytes.
pub(super) const LONGEST: u64 = 4 << 20;

/// A table of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its file.
    pub(super) file: String,
    /// Last word of its row type: Occurrence, Multimedia.
    pub(super) row_type: String,
    /// How it is written.
    pub(super) dialect: Dialect,
    /// Whether its first line is a header.
    pub(super) header: bool,
    /// Column of the key that joins.
    pub(super) key: usize,
    /// Last word of each term, and its column.
    pub(super) fields: Vec<(String, usize)>,
}

impl Part {
    /// Column of a term.
    pub(super) fn column(&self, term: &str) -> Option<usize> {
        self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(term)).map(|&(_, column)| column)
    }

    /// Columns that a row has at least.
    pub(super) fn width(&self) -> usize {
        let columns = self.fields.iter().map(|&(_, column)| column).chain([self.key]);
        columns.max().unwrap_or_default() + 1
    }
}

/// The core first, then its extensions.
pub(super) fn parts(text: &str) -> Result<Vec<Part>, SourceError> {
    let mut reader = Reader::from_str(text);
    let mut parts: Vec<Part> = Vec::new();
    let (mut open, mut in_location) = (None::<Part>, false);
    let line = |reader: &Reader<&[u8]>| {
        let read = text.get(..reader.buffer_position() as usize).unwrap_or(text);
        read.matches('\n').count() as u64 + 1
    };
    loop {
        let event = reader.read_event();
        let at = line(&reader);
        let wrong =
            |problem: String| SourceError::Content { file: "meta.xml".into(), line: Some(at), problem };
        match event.map_err(|error| wrong(error.to_string()))? {
            Event::Eof => break,
            Event::Start(tag) | Event::Empty(tag) => match local(&tag).as_str() {
                "core" | "extension" => open = Some(begin(&tag).map_err(wrong)?),
                "location" => in_location = true,
                "id" | "coreid" => {
                    if let (Some(part), Some(index)) = (&mut open, number(&tag, "index").map_err(wrong)?) {
                        part.key = index;
                    }
                }
                "field" => {
                    let index = number(&tag, "index").map_err(&wrong)?;
                    let term = attribute(&tag, "term").map_err(&wrong)?.unwrap_or_default();
                    if let (Some(part), Some(index)) = (&mut open, index) {
                        part.fields.push((last_word(&term).to_owned(), index));
                    }
                }
                _ => {}
            },
            Event::Text(words) if in_location => {
                let file = words.decode().map_err(|error| wrong(error.to_string()))?.trim().to_owned();
                if !stays_inside(&file) {
                    return Err(wrong(format!("{file:?} leaves the archive: it is not read")));
                }
                if let Some(part) = &mut open {
                    part.file = file;
                }
            }
            Event::End(tag) => match String::from_utf8_lossy(tag.local_name().as_ref()).as_ref() {
                "core" | "extension" => parts.extend(open.take()),
                "location" => in_location = false,
                _ => {}
            },
            _ => {}
        }
    }
    Ok(parts)
}

fn begin(tag: &BytesStart<'_>) -> Result<Part, String> {
    let get = |name| attribute(tag, name);
    let delimiter = match get("fieldsTerminatedBy")?.as_deref() {
        Some("\\t" | "\t" | " ") => b'\t',
        Some(text) if text.len() == 1 => text.as_bytes()[0],
        None => b',',
        Some(other) => return Err(format!("fieldsTerminatedBy is {other:?}: one character was expected")),
    };
    let quoted = match get("fieldsEnclosedBy")?.as_deref() {
        Some("\"") | None => true,
        Some("") => false,
        Some(other) => return Err(format!("fieldsEnclosedBy is {other:?}: \" or nothing was expected")),
    };
    let encoding = get("encoding")?.unwrap_or_else(|| "UTF-8".into());
    if !encoding.eq_ignore_ascii_case("utf-8") {
        return Err(format!("encoding is {encoding}: only UTF-8 is read"));
    }
    Ok(Part {
        file: String::new(),
        row_type: last_word(&get("rowType")?.unwrap_or_default()).to_owned(),
        dialect: Dialect { delimiter, quoted },
        header: get("ignoreHeaderLines")?.is_some_and(|lines| lines.trim() == "1"),
        key: 0,
        fields: Vec::new(),
    })
}

fn local(tag: &BytesStart<'_>) -> String {
    String::from_utf8_lossy(tag.local_name().as_ref()).into_owned()
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let found = tag.try_get_attribute(name).map_err(|error| error.to_string())?;
    found
        .map(|found| {
            let value =
                found.decoded_and_normalized_value(quick_xml::XmlVersion::Implicit1_0, quick_xml::Decoder {});
            value.map(std::borrow::Cow::into_owned).map_err(|error| error.to_string())
        })
        .transpose()
}

fn number(tag: &BytesStart<'_>, name: &str) -> Result<Option<usize>, String> {
    /// Columns that no table has.
    const MOST: usize = 1 << 14;
    let Some(text) = attribute(tag, name)? else { return Ok(None) };
    let number = text.trim().parse().ok().filter(|&number: &usize| number < MOST);
    number.map(Some).ok_or_else(|| format!("{name} is {text:?}: a small number was expected"))
}

fn last_word(term: &str) -> &str {
    term.rsplit(['/', '#', ':']).next().unwrap_or(term)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const META: &str = r#"<?xml version="1.0"?>
<archive xmlns="http://rs.tdwg.org/dwc/text/">
  <core encoding="utf-8" fieldsTerminatedBy="\t" fieldsEnclosedBy="" ignoreHeaderLines="1" rowType="http://rs.tdwg.org/dwc/terms/Occurrence">
    <files><location>occurrence.txt</location></files>
    <id index="0"/>
    <field index="2" term="http://rs.tdwg.org/dwc/terms/kingdom"/>
    <field default="x" term="http://rs.tdwg.org/dwc/terms/country"/>
  </core>
  <extension fieldsTerminatedBy="," rowType="http://rs.gbif.org/terms/1.0/Multimedia">
    <files><location>media.csv</location></files>
    <coreid index="1"/>
  </extension>
</archive>"#;

    #[test]
    fn parts_have_their_columns_and_dialects() {
        let parts = parts(META).expect("parts");
        let core = &parts[0];
        assert_eq!(
            (core.file.as_str(), core.row_type.as_str(), core.header),
            ("occurrence.txt", "Occurrence", true)
        );
        assert_eq!(
            (core.dialect, core.column("Kingdom"), core.column("country")),
            (Dialect::TAB, Some(2), None)
        );
        assert_eq!((parts[1].dialect, parts[1].key, parts[1].header), (Dialect::CSV, 1, false));
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_its_line() {
        for (from, to, says) in [
            (
                "occurrence.txt",
                "../../etc/passwd",
                "meta.xml line 4: \"../../etc/passwd\" leaves the archive",
            ),
            ("encoding=\"utf-8\"", "encoding=\"latin1\"", "meta.xml line 3: encoding is latin1"),
            ("index=\"2\"", "index=\"-2\"", "meta.xml line 6: index is \"-2\""),
            ("</core>", "</cor>", "meta.xml line 8"),
        ] {
            let error = parts(&META.replacen(from, to, 1)).expect_err(to).to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parts_or_an_error(text in "[<>/=\"a-z &;#0-9\\n]{0,200}") {
            let _ = parts(&text);
        }
    }
}
