//! `fieldmarkd shell-files`: manual pages and completions, from the arguments themselves, so that they cannot say
//! anything else. The package is made with them.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Failure, Fieldmark, Fieldmarkd};

/// Where each shell looks, below `/usr/share`.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/vendor-completions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

#[derive(Debug, Args)]
pub(super) struct ShellFilesArguments {
    /// Folder to write into, as below /usr/share.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn execute(arguments: &ShellFilesArguments) -> Result<(), Failure> {
    for command in [Fieldmarkd::command, Fieldmark::command] {
        completions(command(), &arguments.folder)?;
        let manual = arguments.folder.join("man/man1");
        std::fs::create_dir_all(&manual).map_err(anyhow::Error::from)?;
        clap_mangen::generate_to(command(), &manual).map_err(anyhow::Error::from)?;
    }
    Ok(())
}

fn completions(mut command: Command, folder: &Path) -> anyhow::Result<()> {
    let name = command.get_name().to_owned();
    for (shell, place) in COMPLETIONS {
        let place = folder.join(place);
        std::fs::create_dir_all(&place)?;
        // Bash's convention is the bare name of the command.
        let generated = clap_complete::generate_to(shell, &mut command, &name, &place)?;
        if shell == Shell::Bash {
            std::fs::rename(generated, place.join(&name))?;
        }
    }
    Ok(())
}
