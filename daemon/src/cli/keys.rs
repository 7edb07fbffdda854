//! `fieldmarkd keys`: what can be configured.

use clap::Args;

use super::Failure;
use crate::config::{keys, markdown};

#[derive(Debug, Args)]
pub(super) struct KeysArguments {
    /// Only keys whose name contains this, such as mqtt or gate.
    #[arg(value_name = "PART")]
    part: Option<String>,
    /// All of them as a page in Markdown.
    #[arg(long, conflicts_with = "part")]
    markdown: bool,
}

pub(super) fn execute(arguments: &KeysArguments) -> Result<(), Failure> {
    if arguments.markdown {
        print!("{}", markdown());
        return Ok(());
    }
    let part = arguments.part.as_deref().unwrap_or_default();
    let found: Vec<_> = keys().iter().filter(|key| key.name().contains(part)).collect();
    if found.is_empty() {
        let error = anyhow::anyhow!("no key contains {part:?}: fieldmarkd keys shows all of them");
        return Err(Failure::usage(error));
    }
    for key in found {
        println!("{key}\n");
    }
    Ok(())
}
