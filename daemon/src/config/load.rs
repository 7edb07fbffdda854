//! Layers, later ones over earlier ones: the file, `conf.d/*.toml` beside it in name order, the environment.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};

use super::{Config, ConfigError, RawConfig, Written};

/// Environment variables that set keys begin with this: `FIELDMARK__MQTT__URL` sets `mqtt.url`.
const ENVIRONMENT_PREFIX: &str = "FIELDMARK";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not there or cannot be read.
    #[error("cannot read configuration {path}: {source}; give the path of a file with --config")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of another type.
    #[error("the configuration cannot be used: {0}; correct or remove that key")]
    Form(#[from] config::ConfigError),
    /// A value out of its range.
    #[error("the configuration cannot be used: {0}")]
    Value(#[from] ConfigError),
}

/// Reads and checks the configuration at `path` with its `conf.d` folder and the environment over it. Relative
/// paths in it are left as they are: they begin at the working directory. Of lists, the environment can set
/// `model.priors`, `onnxruntime.providers`, `watch.taxa`, `watch.novelty` and `commands.allow` (`FIELDMARK__MODEL__PRIORS=Animalia,Fungi`).
///
/// # Errors
/// If a file cannot be read, a key is unknown, or a value is of the wrong type or out of range.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    Ok(read(path)?.0)
}

/// As [`load`], with `released` (a file from the fleet) over file and `conf.d`, under the environment.
///
/// # Errors
/// As [`read_layered`].
pub fn load_layered(path: &Path, released: Option<&Path>) -> Result<Config, LoadError> {
    Ok(read_layered(path, released)?.0)
}

/// As [`load`], and what was written where.
///
/// # Errors
/// As [`load`].
pub fn read(path: &Path) -> Result<(Config, Written), LoadError> {
    read_layered(path, None)
}

/// As [`load_layered`], and what was written where.
///
/// # Errors
/// As [`load`], and if `released` has a table that says which node this is and how it is updated: a node that lost
/// those could not be brought back.
pub fn read_layered(path: &Path, released: Option<&Path>) -> Result<(Config, Written), LoadError> {
    let mut builder = config::Config::builder();
    let mut layers = vec![path.to_owned()];
    layers.extend(drop_ins(path)?);
    layers.extend(released.map(Path::to_owned));
    for layer in layers {
        let text = std::fs::read_to_string(&layer)
            .map_err(|source| LoadError::File { path: layer.clone(), source })?;
        // Parsed here first: the message then shows file, line and column.
        if let Err(error) = text.parse::<toml::Table>() {
            let message = format!("{}: {error}", layer.display());
            return Err(config::ConfigError::Message(message.trim_end().into()).into());
        }
        if released == Some(layer.as_path()) {
            check_released(&text)?;
        }
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let built = with_environment(builder, variables)?.build()?;
    let written =
        Written::new(path.to_owned(), released.map(Path::to_owned), &built.clone().try_deserialize()?);
    Ok((check(built)?, written))
}

/// Keys that are lists; the environment has their items with commas between them.
const LISTS: [&str; 5] =
    ["commands.allow", "model.priors", "onnxruntime.providers", "watch.novelty", "watch.taxa"];

/// `builder` with the keys that `variables` set over it. A value is what the key's type makes of it: a node called `0012`
/// stays so.
fn with_environment(
    mut builder: config::ConfigBuilder<config::builder::DefaultState>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<config::ConfigBuilder<config::builder::DefaultState>, config::ConfigError> {
    let (mut plain, mut controls) = (HashMap::new(), HashMap::new());
    for (name, value) in variables {
        let key = name.to_lowercase().replace("__", ".");
        let list = key
            .split_once('.')
            .filter(|(prefix, key)| prefix.eq_ignore_ascii_case(ENVIRONMENT_PREFIX) && LISTS.contains(key));
        if let Some((_, key)) = list {
            let items: Vec<String> = value.split(',').map(|item| item.trim().to_owned()).collect();
            builder = builder.set_override(key, items)?;
        } else if key.contains(".controls.") {
            // Switches or numbers: what they are shows in the value alone.
            controls.insert(name, value);
        } else {
            plain.insert(name, value);
        }
    }
    let source = |variables| {
        let environment = Environment::with_prefix(ENVIRONMENT_PREFIX);
        environment.prefix_separator("__").separator("__").source(Some(variables))
    };
    Ok(builder.add_source(source(plain)).add_source(source(controls).try_parsing(true)))
}

/// Tables that stay the node's own.
const OWN: [&str; 3] = ["node", "outbox", "update"];

fn check_released(text: &str) -> Result<(), LoadError> {
    let table = text.parse::<toml::Table>().unwrap_or_default();
    match table.keys().find(|key| OWN.contains(&key.to_lowercase().as_str())) {
        Some(key) => Err(ConfigError {
            key: key.clone(),
            value: "…".into(),
            allowed: "remove it: a configuration from the fleet does not change which node this is and how it is updated".into(),
        }
        .into()),
        None => Ok(()),
    }
}

/// Checks a configuration given as text, without `conf.d` and environment.
///
/// # Errors
/// As [`load`].
pub fn load_text(text: &str) -> Result<Config, LoadError> {
    check(config::Config::builder().add_source(File::from_str(text, FileFormat::Toml)).build()?)
}

fn check(built: config::Config) -> Result<Config, LoadError> {
    let raw: RawConfig = built.try_deserialize()?;
    Ok(Config::try_from(raw)?)
}

fn drop_ins(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let folder = path.parent().unwrap_or(Path::new(".")).join("conf.d");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LoadError::File { path: folder, source }),
    };
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_environment_are_what_their_keys_are() {
        let text = "node = \"n\"\n[mqtt]\nurl = \"mqtt://h\"\n[outbox]\ndurable = false\n[camera.c]\nsource = \"files\"\nfolder = \"x\"\n";
        let with = |variables: &[(&str, &str)]| {
            let builder = config::Config::builder().add_source(File::from_str(text, FileFormat::Toml));
            let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            check(with_environment(builder, variables).expect("keys").build().expect("a configuration"))
        };
        for name in ["0012", "1e3", "True"] {
            assert_eq!(with(&[("FIELDMARK__NODE", name)]).expect("good").node.as_str(), name);
        }
        let config = with(&[
            ("FIELDMARK__MODEL__PRIORS", "212"),
            ("FIELDMARK__MQTT__METRICS_S", "2.5"),
            ("FIELDMARK__HOME_ASSISTANT__DISCOVERY", "true"),
            ("FIELDMARK__OUTBOX__MAX_MB", "64"),
            ("FIELDMARKED__NODE", "another"),
        ]);
        let config = config.expect("good");
        assert_eq!(config.outbox.max_bytes, 64 << 20);
        assert!(with(&[("FIELDMARK__OUTBOX__MAX_MB", "much")]).is_err());
        assert!(with(&[("FIELDMARK__NODES", "n")]).is_err(), "no such key");
    }

    #[test]
    fn drop_ins_lie_over_the_file_in_name_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fieldmark.toml");
        let base =
            "node = \"a\"\n[broker]\nembedded = true\n[camera.c]\nsource = \"files\"\nfolder = \"x\"\n";
        std::fs::write(&path, base).expect("write");
        std::fs::create_dir(folder.path().join("conf.d")).expect("a folder");
        std::fs::write(folder.path().join("conf.d/20.toml"), "node = \"c\"").expect("write");
        std::fs::write(folder.path().join("conf.d/10.toml"), "node = \"b\"").expect("write");
        assert_eq!(load(&path).expect("a configuration").node.as_str(), "c");
    }

    #[test]
    fn a_layer_from_the_fleet_lies_over_the_drop_ins_and_leaves_the_node_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fieldmark.toml");
        let base =
            "node = \"a\"\n[broker]\nembedded = true\n[camera.c]\nsource = \"files\"\nfolder = \"x\"\n";
        std::fs::write(&path, base).expect("write");
        let layer = folder.path().join("dusk-1.0.0.toml");
        std::fs::write(&layer, "[log]\nlevel = \"debug\"").expect("write");
        assert_eq!(load_layered(&path, Some(&layer)).expect("a configuration").log, "debug");
        for own in ["node = \"b\"", "[update]\ngroup = \"g\"", "[outbox]\ndurable = false"] {
            std::fs::write(&layer, own).expect("write");
            let error = load_layered(&path, Some(&layer)).expect_err("a refusal").to_string();
            assert!(error.contains("from the fleet does not change"), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load_text("nodee = \"a\"").expect_err("a refusal").to_string();
        assert!(error.contains("nodee") && error.contains("unknown field"), "{error}");
    }

    #[test]
    fn every_example_configuration_is_accepted() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        let files: Vec<_> = std::fs::read_dir(folder).expect("configs").filter_map(Result::ok).collect();
        let is_toml = |path: &Path| path.extension().is_some_and(|extension| extension == "toml");
        let files: Vec<_> = files.iter().map(std::fs::DirEntry::path).filter(|path| is_toml(path)).collect();
        assert!(files.len() >= 4, "{files:?}");
        for path in files {
            let text = std::fs::read_to_string(&path).expect("a file");
            load_text(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}
