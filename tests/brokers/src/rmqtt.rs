//! `rmqtt PORT FOLDER [ID NODES]`: one broker with its files in FOLDER; or, built with the feature `cluster`, number ID of
//! a cluster of NODES that speak to each other on the port after PORT.

use std::time::Duration;

use anyhow::{Context, Result};
use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::node::Node;
use rmqtt::server::MqttServer;

/// Between the ports of one node of a cluster and the next; the first is MQTT's, the second is for the others.
const PORTS_A_NODE: u16 = 10;

#[tokio::main]
async fn main() -> Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().context("PORT")?.parse()?;
    let folder = arguments.next().context("FOLDER")?;
    let id: u16 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let nodes: u16 = arguments.next().map_or(Ok(1), |text| text.parse())?;

    let context = ServerContext::new()
        .node(Node::new(id.into(), 1000.0, 1000.0, Duration::from_secs(2)))
        .plugins_config_map_add("rmqtt-retainer", sled(&folder, "retained"))
        .plugins_config_map_add("rmqtt-session-storage", sled(&folder, "sessions"))
        .plugins_config_map_add("rmqtt-shared-subscription", "strategy = \"round_robin\"")
        .plugins_config_map_add("rmqtt-cluster-broadcast", cluster(port - (id - 1) * PORTS_A_NODE, nodes))
        .build()
        .await;
    rmqtt_retainer::register(&context, true, false).await?;
    rmqtt_shared_subscription::register(&context, true, false).await?;
    rmqtt_session_storage::register(&context, true, true).await?;
    #[cfg(feature = "cluster")]
    if nodes > 1 {
        let address = ([127, 0, 0, 1], port + 1).into();
        context.node.start_grpc_server(context.clone(), address, true, false);
        rmqtt_cluster_broadcast::register(&context, true, true).await?;
    }
    let listener = Builder::new()
        .name("tcp")
        .laddr(([127, 0, 0, 1], port).into())
        .max_packet_size(4 << 20)
        .max_mqueue_len(100_000)
        .message_expiry_interval(Duration::from_secs(86_400))
        .bind()?
        .tcp()?;
    MqttServer::new(context).listener(listener).build().run().await?;
    Ok(())
}

fn sled(folder: &str, what: &str) -> String {
    format!(
        "max_payload_size = \"4MB\"\n[storage]\ntype = \"sled\"\nsled.path = \"{folder}/{what}\"\nsled.cache_capacity = \"16MB\"\n"
    )
}

/// Where `nodes` nodes, the first of which has MQTT on `first`, speak to each other.
fn cluster(first: u16, nodes: u16) -> String {
    let of = |node: u16| format!("\"{}@127.0.0.1:{}\"", node + 1, first + node * PORTS_A_NODE + 1);
    format!("node_grpc_addrs = [{}]\n", (0..nodes).map(of).collect::<Vec<_>>().join(", "))
}
