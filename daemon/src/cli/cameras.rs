//! `fieldmarkd cameras`.

use clap::Args;

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct CamerasArguments {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[cfg(feature = "v4l")]
pub(super) fn execute(arguments: &CamerasArguments) -> Result<(), Failure> {
    let devices = crate::capture::devices();
    if devices.is_empty() && !arguments.json {
        println!("no camera can be opened: plug one in, and add your user to the group `video`");
    }
    for device in devices {
        if arguments.json {
            let line = serde_json::json!({
                "device": device.path, "name": device.name, "formats": device.formats,
            });
            println!("{line}");
        } else {
            println!("{}  {}  {}", device.path.display(), device.name, device.formats.join(", "));
        }
    }
    Ok(())
}

#[cfg(not(feature = "v4l"))]
pub(super) fn execute(_arguments: &CamerasArguments) -> Result<(), Failure> {
    Err(crate::capture::SourceError::NoV4l.into())
}
