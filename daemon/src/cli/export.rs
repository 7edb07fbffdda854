//! `fieldmark export`: a recorded survey for maps and data portals.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::export::{self, Choice, Dataset, ExportError, Format, Licence};

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// SQLite file that `fieldmark record` wrote.
    #[arg(value_name = "RECORD")]
    record: PathBuf,
    /// What to write.
    #[arg(long, value_enum)]
    format: Format,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// Of this node only.
    #[arg(long)]
    node: Option<String>,
    /// Of this camera only.
    #[arg(long)]
    camera: Option<String>,
    /// Of this start of the daemon only, as events name it.
    #[arg(long)]
    boot: Option<String>,
    /// Events from this time on (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<String>,
    /// Events until before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<String>,
    /// dwca: title of the data set.
    #[arg(long, default_value = "Survey with automatic identification")]
    title: String,
    /// dwca: organisation that made it.
    #[arg(long, default_value = "unknown")]
    creator: String,
    /// dwca: terms of use.
    #[arg(long, value_enum, default_value = "cc-by")]
    licence: Licence,
}

fn time(text: &str) -> Result<String, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| "give a time such as 2026-11-23T05:32:07Z".to_owned())?;
    Ok(crate::publish::messages::wire_time(time))
}

pub(super) fn execute(arguments: &ExportArguments) -> Result<(), Failure> {
    if arguments.out.exists() && !arguments.force {
        return Err(Failure::usage(ExportError::Exists(arguments.out.clone())));
    }
    let choice = Choice {
        node: arguments.node.clone(),
        camera: arguments.camera.clone(),
        boot: arguments.boot.clone(),
        since: arguments.since.clone(),
        until: arguments.until.clone(),
    };
    let (occurrences, unreadable) = export::read(&arguments.record, &choice)?;
    let placed = occurrences.iter().filter(|one| one.position().is_some()).count();
    let written = if arguments.format == Format::Csv { occurrences.len() } else { placed };
    if written == 0 {
        let why = format!("{} tracks chosen, {placed} of them with a position", occurrences.len());
        return Err(ExportError::Nothing(why).into());
    }
    let dataset = Dataset {
        title: arguments.title.clone(),
        creator: arguments.creator.clone(),
        licence: arguments.licence,
        published: jiff::Timestamp::now(),
    };
    export::write(arguments.format, &arguments.out, &occurrences, &dataset)?;
    let open = occurrences.iter().filter(|one| !one.ended()).count();
    eprintln!(
        "{}: {written} of {} tracks, {} without a position, {open} whose end is not in the record, {unreadable} \
         events unreadable",
        arguments.out.display(),
        occurrences.len(),
        occurrences.len() - placed
    );
    Ok(())
}
