//! One row of a checklist.

use csv::StringRecord;

use super::{ChecklistError, Unmatched};
use crate::taxonomy::{TaxonIndex, Taxonomy};

/// A point on the ground, WGS 84, degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    latitude: f64,
    longitude: f64,
}

/// Numbers that are no place.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("latitude {latitude}, longitude {longitude} is no place: give -90 to 90 and -180 to 180")]
pub struct PlaceError {
    latitude: f64,
    longitude: f64,
}

impl Place {
    /// # Errors
    /// If a number is out of range.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, PlaceError> {
        let fine = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        if fine { Ok(Self { latitude, longitude }) } else { Err(PlaceError { latitude, longitude }) }
    }
}

/// A part of the earth between two parallels and two meridians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    south_west: Place,
    north_east: Place,
}

impl Bounds {
    /// Whether `place` lies within; the edges do.
    #[must_use]
    pub fn contain(&self, place: Place) -> bool {
        let (west, east) = (self.south_west.longitude, self.north_east.longitude);
        let longitude = place.longitude;
        let between = if west <= east {
            (west..=east).contains(&longitude)
        } else {
            longitude >= west || longitude <= east
        };
        between && (self.south_west.latitude..=self.north_east.latitude).contains(&place.latitude)
    }
}

/// Some of the twelve months.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Months(u16);

impl Months {
    /// Reads `5-9`, `11-2`, `4;6`; empty text is the whole year.
    ///
    /// # Errors
    /// If that is not what it says.
    pub fn parse(text: &str) -> Result<Self, RowError> {
        let refused = || RowError::Months(text.into());
        if text.trim().is_empty() {
            return Ok(Self(0xfff));
        }
        let mut months = 0;
        for part in text.split(';') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let month = |text: &str| -> Option<u8> {
                text.trim().parse().ok().filter(|month| (1..=12).contains(month))
            };
            let (mut month, last) = (month(first).ok_or_else(refused)?, month(last).ok_or_else(refused)?);
            months |= 1 << (month - 1);
            while month != last {
                month = month % 12 + 1;
                months |= 1 << (month - 1);
            }
        }
        Ok(Self(months))
    }

    /// Whether `month`, 1 to 12, is one of them.
    #[must_use]
    pub fn contain(self, month: u8) -> bool {
        (1..=12).contains(&month) && self.0 & (1 << (month - 1)) != 0
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowError {
    /// No months.
    #[error("months {0:?}: write them as 5-9, 11-2 or 4;6")]
    Months(String),
    /// No weight.
    #[error("weight {0:?}: give a number from 0 upwards")]
    Weight(String),
    /// No number.
    #[error("{column} {text:?}: give degrees")]
    Degrees {
        /// The column.
        column: &'static str,
        /// As it stands there.
        text: String,
    },
    /// Not on earth.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Three sides make no box.
    #[error("south, west, north and east: give all four or none")]
    Bounds,
    /// Upside down.
    #[error("south is above north: change them over")]
    UpsideDown,
}

/// What a list says of a taxon.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) taxon: TaxonIndex,
    pub(super) weight: f32,
    bounds: Option<Bounds>,
    months: Months,
}

impl Row {
    pub(super) fn applies(&self, place: Option<Place>, month: Option<u8>) -> bool {
        let here = self.bounds.is_none_or(|bounds| place.is_none_or(|place| bounds.contain(place)));
        here && month.is_none_or(|month| self.months.contain(month))
    }
}

/// Where each column stands in a record.
#[derive(Default)]
struct Columns {
    taxon: usize,
    weight: Option<usize>,
    sides: [Option<usize>; 4],
    months: Option<usize>,
}

const SIDES: [&str; 4] = ["south", "west", "north", "east"];

impl Columns {
    fn new(header: &StringRecord) -> Result<Self, ChecklistError> {
        let mut columns = Self::default();
        let mut taxon = None;
        for (position, name) in header.iter().enumerate() {
            match name.trim().to_lowercase().as_str() {
                "taxon" => taxon = Some(position),
                "weight" => columns.weight = Some(position),
                "months" => columns.months = Some(position),
                name => match SIDES.iter().position(|side| *side == name) {
                    Some(side) => columns.sides[side] = Some(position),
                    None => return Err(ChecklistError::UnknownColumn(name.into())),
                },
            }
        }
        columns.taxon = taxon.ok_or(ChecklistError::NoTaxonColumn)?;
        Ok(columns)
    }
}

pub(super) fn read(text: &str, taxonomy: &Taxonomy) -> Result<(Vec<Row>, Vec<Unmatched>), ChecklistError> {
    let header = text.lines().next().unwrap_or_default();
    let delimiter = if header.contains('\t') { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let columns = Columns::new(reader.headers().map_err(|error| at_line(1, &error))?)?;
    let (mut rows, mut unmatched) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            at_line(line, &error)
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let name = record.get(columns.taxon).unwrap_or_default();
        let (weight, bounds, months) = parse(&record, &columns).map_err(|error| at_line(line, &error))?;
        match taxonomy.named(name) {
            Ok(taxon) => rows.push(Row { taxon, weight, bounds, months }),
            Err(error) => unmatched.push(Unmatched { line, reason: error.to_string() }),
        }
    }
    Ok((rows, unmatched))
}

fn at_line(line: u64, reason: &dyn std::error::Error) -> ChecklistError {
    ChecklistError::Row { line, reason: reason.to_string() }
}

fn parse(record: &StringRecord, columns: &Columns) -> Result<(f32, Option<Bounds>, Months), RowError> {
    let field = |column: Option<usize>| column.and_then(|c| record.get(c)).unwrap_or_default().trim();
    let weight = match field(columns.weight) {
        "" => 1.0,
        text => {
            let weight = text.parse().ok().filter(|weight: &f32| weight.is_finite() && *weight >= 0.0);
            weight.ok_or_else(|| RowError::Weight(text.into()))?
        }
    };
    let sides = columns.sides.map(field);
    Ok((weight, bounds(sides)?, Months::parse(field(columns.months))?))
}

fn bounds(sides: [&str; 4]) -> Result<Option<Bounds>, RowError> {
    if sides.iter().all(|side| side.is_empty()) {
        return Ok(None);
    }
    if sides.iter().any(|side| side.is_empty()) {
        return Err(RowError::Bounds);
    }
    let mut degrees = [0.0; 4];
    for ((degrees, text), column) in degrees.iter_mut().zip(sides).zip(SIDES) {
        *degrees = text.parse().map_err(|_| RowError::Degrees { column, text: text.into() })?;
    }
    let [south, west, north, east] = degrees;
    let (south_west, north_east) = (Place::new(south, west)?, Place::new(north, east)?);
    if south > north { Err(RowError::UpsideDown) } else { Ok(Some(Bounds { south_west, north_east })) }
}
