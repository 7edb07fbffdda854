//! The fleet manager's table, from the broker alone: [`table`] keeps what nodes say, [`routes`] sends it on, the whole
//! once and then what has changed.

mod routes;
mod table;

use std::sync::Arc;

use super::{Guard, PageError, serve};
use crate::config::PageConfig;
use crate::publish::line::{Happening, Line, NotDelivered};
pub use table::{FleetTable, Row};

/// What is listened to.
const FILTERS: [&str; 9] = [
    "fieldmark/+/status",
    "fieldmark/+/info",
    "fieldmark/+/metrics",
    "fieldmark/+/model/state",
    "fieldmark/+/config/state",
    "fieldmark/+/+/status",
    "fieldmark/+/+/drift",
    "fieldmark/fleet/+/desired",
    "fieldmark/fleet/+/config/desired",
];

/// Shows what comes over `line` until it is closed.
///
/// # Errors
/// If the address cannot be had, or there is no usable token.
pub async fn show(config: &PageConfig, mut line: Line) -> Result<(), PageError> {
    let guard = Arc::new(Guard::new(config)?);
    let shared = Arc::new(routes::Shared::new(config.max_viewers));
    let telling = tokio::spawn(routes::tell(Arc::clone(&shared)));
    let server = serve(config.listen, routes::routes(Arc::clone(&shared)), guard, config.max_viewers).await?;
    eprintln!("the fleet's page is at http://{}", server.listen);
    while let Some(happening) = line.next().await {
        match happening {
            Happening::Connected(_) => {
                shared.connected(true);
                for filter in FILTERS {
                    subscribe(&line, filter).await;
                }
            }
            Happening::Message(message) => {
                shared.hear(&message.topic, &message.payload, message.retained);
            }
            Happening::Lost(lost) => {
                if shared.connected(false) {
                    eprintln!("no connection to the broker: {}; trying again", lost.reason);
                }
            }
        }
    }
    telling.abort();
    server.stop().await;
    Ok(())
}

/// Asks for what comes on `filter`, and tells of a broker that refuses it: the table would stay empty without a word.
async fn subscribe(line: &Line, filter: &'static str) {
    let Some(receipt) = line.sender().subscribed(filter).await else { return };
    tokio::spawn(async move {
        if let Err(NotDelivered::Refused(reason)) = receipt.await {
            eprintln!("the broker refuses the subscription to {filter}: {reason}; look at its access rules");
        }
    });
}
