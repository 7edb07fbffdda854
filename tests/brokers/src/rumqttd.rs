//! `rumqttd PORT FOLDER`: MQTT 3.1.1 on PORT, MQTT 5 on PORT + 1, for it has a listener for each. Nothing is kept in FOLDER: it
//! has no storage.

use anyhow::{Context, Result};

fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let port: u16 = std::env::args().nth(1).context("PORT")?.parse()?;
    let listener = |version: &str, port: u16| {
        format!(
            "[{version}.1]\nname = \"{version}\"\nlisten = \"127.0.0.1:{port}\"\nnext_connection_delay_ms = 1\n\
             [{version}.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 4194304\n\
             max_inflight_count = 100\ndynamic_filters = true\n"
        )
    };
    let settings = format!(
        "id = 0\n[router]\nid = 0\nmax_connections = 100\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\nmax_segment_count = 10\n{}{}",
        listener("v4", port),
        listener("v5", port + 1)
    );
    rumqttd::Broker::new(toml::from_str(&settings)?).start()?;
    Ok(())
}
