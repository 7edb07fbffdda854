//! The page `docs/secure-broker.md`, done: the shipped script's certificates, the shipped broker configuration and access
//! rules, and a node that gets its certificate as credentials of systemd.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::path::{Path, PathBuf};
use std::process::Command;

use field::{Broker, Field, Listener, free_port};

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/mosquitto").join(file)
}

fn make_certificates(folder: &Path, names: &[&str]) {
    let made =
        Command::new("sh").arg(shipped("make-certificates")).arg(folder).args(names).output().expect("sh");
    assert!(made.status.success(), "{made:?}");
}

/// The shipped broker with the shipped rules, below a main file as Debian has it; only paths and the port are of this test.
fn broker(pki: &Path, port: u16) -> Broker {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| pki.join(name).display().to_string();
    let text = std::fs::read_to_string(shipped("mosquitto.conf")).expect("a file");
    let text = text
        .replace("listener 8883", &format!("listener {port} 127.0.0.1"))
        .replace("/etc/mosquitto/certs/ca.pem", &at("ca.pem"))
        .replace("/etc/mosquitto/certs/broker.pem", &at("localhost.pem"))
        .replace("/etc/mosquitto/certs/broker.key", &at("localhost.key"))
        .replace("/etc/mosquitto/fieldmark.acl", &shipped("fieldmark.acl").display().to_string());
    // As Debian's main file begins, which includes ours.
    let main = format!("user root\npersistence true\npersistence_location {}/\n", folder.path().display());
    Broker::in_folder(port, &format!("{main}{text}"), folder)
}

#[test]
fn certificates_of_the_shipped_script_confine_each_node_to_its_own_topics() {
    let pki = tempfile::tempdir().expect("a folder");
    make_certificates(pki.path(), &["localhost", "n1"]);
    // Adding names later keeps what is there.
    let before = std::fs::read(pki.path().join("n1.pem")).expect("a certificate");
    make_certificates(pki.path(), &["localhost", "n1", "n2", "operator"]);
    assert_eq!(std::fs::read(pki.path().join("n1.pem")).expect("a certificate"), before);
    let port = free_port();
    let _broker = broker(pki.path(), port);
    let at = |name: &str| pki.path().join(name).to_str().expect("UTF-8").to_owned();
    let identity = |name: &str| {
        let (ca, own, key) = (at("ca.pem"), at(&format!("{name}.pem")), at(&format!("{name}.key")));
        ["--cafile".to_owned(), ca, "--cert".into(), own, "--key".into(), key]
    };
    let operator = identity("operator");
    let operator: Vec<_> =
        ["-h", "localhost"].into_iter().chain(operator.iter().map(String::as_str)).collect();
    let listener = Listener::unchecked(port, &operator);
    for (node, certificate) in [("n1", "n1"), ("n1", "n2")] {
        let credentials = tempfile::tempdir().expect("a folder");
        for (name, file) in [
            ("mqtt-ca", "ca.pem".to_owned()),
            ("mqtt-cert", format!("{certificate}.pem")),
            ("mqtt-key", format!("{certificate}.key")),
        ] {
            std::fs::copy(pki.path().join(file), credentials.path().join(name)).expect("copy");
        }
        // As the unit hands them over: those nobody wants are empty.
        for name in ["mqtt-username", "mqtt-password"] {
            std::fs::write(credentials.path().join(name), "").expect("write");
        }
        let mqtt = format!("[mqtt]\nurl = \"mqtts://localhost:{port}\"\nstop_timeout_s = 1.0\n");
        let field = Field::new(&mqtt, 2, "rate_hz = 20.0", "");
        let folder = credentials.path().to_str().expect("UTF-8");
        let mut daemon = field.start_with(&[("CREDENTIALS_DIRECTORY", folder)]);
        let topic = format!("fieldmark/{node}/pond/detection");
        if node == certificate {
            listener.wait(&topic, |heard| heard.len() > 3);
            field.end(&mut daemon);
        } else {
            // Another node's certificate is another node's name: nothing of n1 comes from it.
            let before = listener.on(&topic).len();
            field.wait_for_log("the broker refused a message");
            field.end(&mut daemon);
            assert_eq!(listener.on(&topic).len(), before);
        }
    }
}
