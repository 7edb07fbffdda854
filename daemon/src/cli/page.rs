//! `fieldmark page`: the fleet's table in a browser.

use std::path::PathBuf;

use clap::Args;

use super::listen::{passing_by, settings};
use super::{BrokerArguments, Failure};
use crate::config::{ConfigError, PageConfig, RawPage, page};
use crate::page::fleet;
use crate::publish::line::Line;

#[derive(Debug, Args)]
pub(super) struct PageArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// Where the page listens; beyond loopback it needs a token or a proxy.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081")]
    listen: String,
    /// File whose first line is the token that lets people in.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Header by which a reverse proxy names the user it let in.
    #[arg(long, value_name = "NAME")]
    proxy_header: Option<String>,
    /// Where that proxy connects from; 127.0.0.1 where it is not said.
    #[arg(long, value_name = "ADDRESS", requires = "proxy_header")]
    proxy: Option<String>,
    /// Most that look at one time.
    #[arg(long, value_name = "N", default_value_t = 32)]
    max_viewers: i64,
}

pub(super) fn execute(arguments: &PageArguments) -> Result<(), Failure> {
    let config = config(arguments).map_err(Failure::usage)?;
    let mqtt = settings(&arguments.broker)?;
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    threads.block_on(async {
        let line = Line::open(&mqtt, &passing_by("page"))?;
        Ok(fleet::show(&config, line).await?)
    })
}

/// Checked as the page of a node is; what is refused is named as it was given here.
fn config(arguments: &PageArguments) -> anyhow::Result<PageConfig> {
    let raw = RawPage {
        listen: Some(arguments.listen.clone()),
        token_file: arguments.token_file.clone(),
        proxy_header: arguments.proxy_header.clone(),
        proxy: arguments.proxy.clone(),
        max_viewers: Some(arguments.max_viewers),
        ..RawPage::default()
    };
    match page(raw) {
        Ok(Some(config)) => Ok(config),
        Ok(None) => anyhow::bail!("--listen: give address:port"),
        Err(error) => Err(anyhow::anyhow!("{}", as_arguments(&error))),
    }
}

fn as_arguments(error: &ConfigError) -> String {
    let mut text = error.to_string();
    for key in ["listen", "token_file", "proxy_header", "proxy", "max_viewers"] {
        text = text.replace(&format!("page.{key}"), &format!("--{}", key.replace('_', "-")));
    }
    text
}
