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
            let mut line = serde_json::to_value(&device).map_err(anyhow::Error::from)?;
            line["config"] = stanza(&device).into();
            println!("{line}");
        } else {
            show(&device);
        }
    }
    Ok(())
}

#[cfg(feature = "v4l")]
fn show(device: &crate::capture::Device) {
    println!("{}  {}  {}", device.device.display(), device.name, device.bus);
    for format in &device.formats {
        let read = if format.read { "" } else { " (not read)" };
        println!("  {}{read}  {}", format.fourcc, format.description);
        for (size, rates) in format.sizes.iter().filter(|_| format.read) {
            let rates: Vec<_> = rates.iter().map(|rate| format!("{rate:.4}")).collect();
            println!("    {size} at {} frames a second", rates.join(", "));
        }
    }
    for control in &device.controls {
        let value = control.value.map_or_else(|| "?".into(), |value| value.to_string());
        let (name, least, most, default) = (&control.name, control.least, control.most, control.default);
        println!("  {name} = {value}  ({least} to {most}, {default} at first)");
        for (number, item) in &control.items {
            println!("    {number}: {item}");
        }
    }
    println!("\n{}", stanza(device));
}

/// What to write into the configuration. The link by place is preferred: two cameras of a kind often have the same
/// id, and numbers change.
#[cfg(feature = "v4l")]
fn stanza(device: &crate::capture::Device) -> String {
    let link = device.links.iter().find(|link| link.starts_with("/dev/v4l/by-path"));
    let by_name = link.or(device.links.first()).unwrap_or(&device.device).display().to_string();
    let name = device.device.file_name().and_then(|name| name.to_str()).unwrap_or("camera");
    format!("[camera.{name}]\nsource = \"v4l\"\ndevice = {by_name:?}\n")
}

#[cfg(not(feature = "v4l"))]
pub(super) fn execute(_arguments: &CamerasArguments) -> Result<(), Failure> {
    Err(crate::capture::SourceError::NoV4l.into())
}
