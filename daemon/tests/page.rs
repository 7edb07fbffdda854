//! Promises of the page of a node: who is let in, what it shows, what it changes, what Prometheus reads.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use field::{Answer, Broker, Daemon, Field, Listener, Page, fieldmarkd, free_port, wait_for_port};
use fieldmark_models::picture::Picture;
use serde_json::Value;

const TOKEN: &str = "correct horse battery";

/// A node with a page, a broker and somebody who listens there.
struct Node {
    _broker: Broker,
    listener: Listener,
    field: Field,
    daemon: Daemon,
    page: Page,
}

impl Node {
    /// `keys` stand in `[page]`, where TOKENFILE is the path of a file with [`TOKEN`].
    fn start(keys: &str, allowed: &str, camera: &str) -> Self {
        Self::showing(2, keys, allowed, camera)
    }

    /// With so many pictures, red ones first.
    fn showing(pictures: usize, keys: &str, allowed: &str, camera: &str) -> Self {
        let (port, page) = (free_port(), free_port());
        let broker = Broker::start(port);
        let token = std::env::temp_dir().join(format!("fieldmark-page-token-{page}"));
        std::fs::write(&token, format!("{TOKEN}\n")).expect("write");
        let keys = keys.replace("TOKENFILE", &format!("{token:?}"));
        let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nmetrics_s = 0.5\n");
        let tables =
            format!("[commands]\nallow = [{allowed}]\n[page]\nlisten = \"127.0.0.1:{page}\"\n{keys}\n");
        let field = Field::new(&mqtt, pictures, camera, &tables);
        let listener = Listener::start(port, "311");
        let daemon = field.start();
        listener.wait("fieldmark/n1/status", |heard| heard.iter().any(|status| status == "online"));
        wait_for_port(page);
        let _ = std::fs::remove_file(token);
        Self { _broker: broker, listener, field, daemon, page: Page(page) }
    }

    fn stop(mut self) {
        self.field.stop(&mut self.daemon, &self.listener);
    }

    fn state(&self, headers: &[(&str, &str)]) -> Value {
        self.page.get("/api/state", headers).json()
    }

    /// The state once it is as wished.
    fn wait_state(&self, wished: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let state = self.state(&[]);
            if wished(&state) {
                return state;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{state:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    cookie.split(';').next().expect("a value").to_owned()
}

#[test]
fn a_page_with_a_token_lets_in_who_has_it_and_takes_changes_from_itself_only() {
    let node = Node::start("token_file = TOKENFILE", "\"threshold\"", "rate_hz = 5.0");
    let (page, origin) = (node.page, node.page.origin());
    // Nobody, and somebody with another token.
    assert_eq!(page.get("/", &[]).header("location"), Some("/login"));
    for path in
        ["/api/state", "/api/events", "/api/entry", "/live/pond", "/picture/pond", "/metrics", "/nothing"]
    {
        assert_eq!(page.get(path, &[]).status, 401, "{path}");
    }
    assert_eq!(page.get("/metrics", &[("Authorization", "Bearer something else")]).status, 401);
    assert_eq!(page.get("/api/state", &[("Cookie", "fieldmark-session=00")]).status, 401);
    let given = |token: &str| serde_json::json!({ "token": token }).to_string();
    let own = [("Origin", origin.as_str())];
    assert_eq!(page.post("/login", &own, &given("wrong")).status, 401);
    assert_eq!(page.post("/login", &[("Origin", "http://evil.example")], &given(TOKEN)).status, 403);
    assert_eq!(page.post("/login", &[], &given(TOKEN)).status, 403);
    // With the token.
    assert_eq!(page.get("/metrics", &[("Authorization", &format!("Bearer {TOKEN}"))]).status, 200);
    let cookie = cookie_of(&page.post("/login", &own, &given(TOKEN)));
    let with_cookie = ("Cookie", cookie.as_str());
    let front = page.get("/", &[with_cookie]);
    assert_eq!(front.status, 200);
    assert!(
        front
            .header("content-security-policy")
            .is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    let csrf = page.get("/api/entry", &[with_cookie]).json()["csrf"].as_str().expect("a text").to_owned();
    let carried = ("X-Fieldmark-Csrf", csrf.as_str());
    let command =
        |headers: &[(&str, &str)]| page.post("/api/command/threshold", headers, r#"{"value":0.31}"#);
    for headers in [
        vec![with_cookie],
        vec![with_cookie, own[0]],
        vec![with_cookie, carried],
        vec![with_cookie, carried, ("Origin", "http://evil.example")],
        vec![with_cookie, carried, own[0], ("Sec-Fetch-Site", "cross-site")],
        vec![with_cookie, own[0], ("X-Fieldmark-Csrf", "00")],
    ] {
        assert_eq!(command(&headers).status, 403, "{headers:?}");
    }
    let reply = command(&[with_cookie, carried, own[0]]);
    assert_eq!((reply.status, reply.json()["state"].as_str()), (200, Some("done")));
    // A program with the token needs no more: no browser adds that header by itself.
    let reply = page.post(
        "/api/command/threshold",
        &[("Authorization", &format!("Bearer {TOKEN}"))],
        r#"{"value":0.32}"#,
    );
    assert_eq!(reply.json()["state"], "done");
    let in_force = |heard: &[String], value: f64| {
        heard.iter().any(|info| serde_json::from_str::<Value>(info).expect("JSON")["threshold"] == value)
    };
    node.listener.wait("fieldmark/n1/info", |heard| in_force(heard, 0.31) && in_force(heard, 0.32));
    // What the configuration does not allow is refused here as it is over MQTT, and said so there.
    let refused = page.post("/api/command/restart", &[with_cookie, carried, own[0]], "{}").json();
    assert!(
        refused["state"] == "failed"
            && refused["reason"].as_str().is_some_and(|r| r.contains("commands.allow"))
    );
    // After leaving, the cookie is worth nothing.
    assert_eq!(page.post("/logout", &[with_cookie, carried, own[0]], "").status, 204);
    assert_eq!(page.get("/api/state", &[with_cookie]).status, 401);
    // Six wrong tokens are too many, and then the right one has to wait as well.
    let statuses: Vec<_> = (0..6).map(|_| page.post("/login", &own, &given("wrong")).status).collect();
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    assert_eq!(page.post("/login", &own, &given(TOKEN)).status, 429);
    node.stop();
}

#[test]
fn without_a_token_the_page_answers_to_loopback_s_names_only() {
    let node = Node::start("requests_per_s = 5", "\"threshold\"", "rate_hz = 5.0");
    let page = node.page;
    assert_eq!(page.get("/", &[]).status, 200);
    assert_eq!(page.get("/", &[("Host", "localhost:1")]).status, 200);
    // A name of somebody else's that was made to point here.
    assert_eq!(page.get("/api/state", &[("Host", "evil.example")]).status, 421);
    let evil = [("Host", "evil.example"), ("Origin", "http://evil.example")];
    assert_eq!(page.post("/api/command/threshold", &evil, r#"{"value":0.1}"#).status, 421);
    assert_eq!(page.post("/api/command/threshold", &[], r#"{"value":0.1}"#).status, 403);
    let statuses: Vec<_> = (0..60).map(|_| page.get("/api/entry", &[]).status).collect();
    assert!(statuses.contains(&429), "sixty requests at once are too many: {statuses:?}");
    node.stop();
}

#[test]
fn a_proxy_s_word_counts_where_it_is_believed_and_a_read_only_page_changes_nothing() {
    let keys = "proxy_header = \"X-Remote-User\"\nread_only = true";
    let node = Node::start(keys, "\"threshold\"", "rate_hz = 5.0");
    let page = node.page;
    assert_eq!(page.get("/api/state", &[]).status, 401);
    let user = ("X-Remote-User", "jo");
    let entry = page.get("/api/entry", &[user, ("Host", "node.example")]).json();
    assert_eq!(entry["user"], "jo");
    let csrf = entry["csrf"].as_str().expect("a text");
    let headers = [
        user,
        ("X-Fieldmark-Csrf", csrf),
        ("Host", "127.0.0.1"),
        ("X-Forwarded-Host", "node.example"),
        ("Origin", "https://node.example"),
    ];
    let refused = page.post("/api/command/threshold", &headers, r#"{"value":0.1}"#);
    assert!(refused.status == 403 && refused.text().contains("read-only"), "{refused:?}");
    assert_eq!(node.state(&[user])["commands"], serde_json::json!([]));
    node.stop();
    // Another proxy than this machine's is not believed.
    let node = Node::start("proxy_header = \"X-Remote-User\"\nproxy = \"10.9.8.7\"", "", "rate_hz = 5.0");
    assert_eq!(node.page.get("/api/state", &[user]).status, 401);
    node.stop();
}

#[test]
fn a_page_is_not_shown_to_a_network_without_access_control() {
    let field =
        Field::new("[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n", 1, "", "[page]\nlisten = \"0.0.0.0:8080\"\n");
    let output = fieldmarkd(&["--config", &field.text("fieldmark.toml")]);
    assert_eq!(output.code, Some(64), "{output:?}");
    assert!(
        output.err.contains("page.listen") && output.err.contains("without access control"),
        "{output:?}"
    );
}

#[test]
fn the_page_shows_what_the_node_sees_and_why() {
    let node = Node::start("live_fps = 20", "", "rate_hz = 4.0\nregion = [0.0, 0.0, 1.0, 0.5]");
    let state = node.wait_state(|state| state["tracks"].as_array().is_some_and(|tracks| tracks.len() > 2));
    let decision = &state["cameras"][0]["decision"];
    let region = &decision["regions"][0];
    assert_eq!(
        (&region["name"], &region["box"]),
        (&"region".into(), &serde_json::json!([0.0, 0.0, 1.0, 0.5]))
    );
    let descent = region["way"]["descent"].as_array().expect("a way down");
    assert_eq!(descent.len(), 3, "from the kingdom to a leaf: {decision:#}");
    assert!(descent.iter().filter(|rung| rung["answer"] == true).count() == 1, "{decision:#}");
    // Probabilities fall on the way down, and the answer is the last that is sure enough.
    let probability = |rung: &Value| rung["probability"].as_f64().expect("a number");
    assert!(descent.windows(2).all(|pair| probability(&pair[0]) >= probability(&pair[1])));
    for (place, rung) in descent.iter().enumerate() {
        let above = descent.iter().skip(place).any(|rung| rung["answer"] == true);
        assert_eq!(above, probability(rung) >= rung["threshold"].as_f64().expect("a number"), "{decision:#}");
    }
    assert_eq!(state["cameras"][0]["region"], serde_json::json!([0.0, 0.0, 1.0, 0.5]));
    assert_eq!(state["broker"]["connected"], true);
    assert!(state["disk"]["free_bytes"].as_u64().is_some_and(|free| free > 0));
    let taxa = state["day"]["taxa"].as_object().expect("taxa");
    let names: Vec<_> =
        taxa.values().filter_map(|taxon| taxon["lineage"].as_array()?.last()?.as_str()).collect();
    assert!(names.contains(&"Apis mellifera") && names.contains(&"Quercus"), "{names:?}");
    // Pictures: one, a stream of them, and a track's.
    let live = node.page.get("/picture/pond", &[]);
    let picture = Picture::decode(&live.body).expect("a JPEG");
    assert_eq!((picture.width(), picture.height()), (40, 40));
    let track = &state["tracks"][0];
    let thumbnail = node.page.get(&format!("/thumbnail/pond/{}", track["id"]), &[]);
    // Of the region alone, which is the upper half.
    let thumbnail = Picture::decode(&thumbnail.body).expect("a JPEG");
    assert_eq!((thumbnail.width(), thumbnail.height()), (40, 20));
    let mut stream = node.page.open("GET", "/live/pond", &[], "");
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    while bytes.windows(15).filter(|window| window == b"fieldmark-frame").count() < 3 {
        let read = stream.read(&mut piece).expect("pictures");
        assert!(read > 0, "the stream ended");
        bytes.extend_from_slice(&piece[..read]);
    }
    drop(stream);
    assert_eq!(node.page.get("/live/nowhere", &[]).status, 404);
    // Nothing is compressed once nobody looks.
    node.wait_state(|state| state["viewers"]["live"] == 0);
    let compressed = || {
        let text = node.page.get("/metrics", &[]).text();
        sample(&text, "fieldmark_page_pictures_total")
    };
    let before = compressed();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(compressed(), before);
    node.stop();
}

#[test]
fn events_come_whenever_something_changes() {
    let node = Node::start("", "", "rate_hz = 2.0");
    let mut stream = node.page.open("GET", "/api/events", &[], "");
    let (mut text, mut piece) = (String::new(), [0; 65_536]);
    let begun = Instant::now();
    while text.matches("data: ").count() < 4 {
        let read = stream.read(&mut piece).expect("events");
        assert!(read > 0 && begun.elapsed() < Duration::from_secs(30), "{text}");
        text += &String::from_utf8_lossy(&piece[..read]);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "at least one comes every second");
    // A camera that goes is told, though no frame comes any more.
    std::fs::rename(node.field.path("pictures"), node.field.path("gone")).expect("a rename");
    let begun = Instant::now();
    while !text.contains("\"state\":\"lost\"") {
        let read = stream.read(&mut piece).expect("events");
        assert!(read > 0 && begun.elapsed() < Duration::from_secs(30), "{text}");
        text += &String::from_utf8_lossy(&piece[..read]);
    }
    node.stop();
}

#[test]
fn a_camera_whose_answers_are_not_those_the_package_was_measured_with_departs() {
    // Half of the pictures are oaks of either species: genera, where the package was measured on species alone.
    let node = Node::start("[drift]\nspread_s = 0", "", "rate_hz = 50.0");
    let drift = node.listener.wait_long("fieldmark/n1/pond/drift", |heard| !heard.is_empty()).remove(0);
    let drift: Value = serde_json::from_str(&drift).expect("JSON");
    assert_eq!(
        (&drift["state"], &drift["reasons"]),
        (&"departed".into(), &serde_json::json!(["package_ranks"]))
    );
    assert_eq!(
        (&drift["today"]["answers"], &drift["distance_package"]),
        (&64.into(), &0.5.into()),
        "{drift:#}"
    );
    let state = node.wait_state(|state| state["cameras"][0]["drift"]["state"] == "departed");
    let brightness = state["cameras"][0]["drift"]["today"]["brightness"].as_f64();
    assert!(brightness.is_some_and(|level| (0.0..=255.0).contains(&level)), "{state:#}");
    let text = node.page.get("/metrics", &[]).text();
    assert_eq!(sample(&text, "fieldmark_drift_departed"), 1.0);
    assert_eq!(sample(&text, "fieldmark_drift_distance"), 0.5);
    node.stop();
    // Bees alone are species, as measured.
    let node = Node::showing(1, "[drift]\nspread_s = 0", "", "rate_hz = 50.0");
    let drift = node.listener.wait_long("fieldmark/n1/pond/drift", |heard| !heard.is_empty()).remove(0);
    assert!(drift.contains("\"state\":\"usual\"") && !drift.contains("reasons"), "{drift}");
    node.stop();
}

#[test]
fn who_does_not_say_what_it_wants_is_closed_and_shuts_nobody_out_for_long() {
    let node = Node::start("max_viewers = 1", "", "rate_hz = 1.0");
    // As many as there is room for: 64 and two for the viewer. Half say nothing, half say too little.
    let begun = Instant::now();
    let mut silent: Vec<_> = (0..66)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", node.page.0)).expect("a connection");
            let said = if number % 2 == 0 { "" } else { "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" };
            stream.write_all(said.as_bytes()).expect("write");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
            stream
        })
        .collect();
    let opened = begun.elapsed();
    // One more waits, and gets its answer when the others are closed.
    assert_eq!(node.page.get("/api/entry", &[]).status, 200);
    let waited = begun.elapsed();
    assert!(
        waited > Duration::from_secs(9) && waited < Duration::from_secs(20) + opened,
        "answered after {waited:?}"
    );
    let mut rest = Vec::new();
    for stream in &mut silent {
        rest.clear();
        stream.read_to_end(&mut rest).expect("the end");
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"), "{}", String::from_utf8_lossy(&rest));
    }
    assert!(begun.elapsed() < Duration::from_secs(25) + opened, "{:?}", begun.elapsed());
    node.stop();
}

#[test]
fn no_more_watch_than_the_configuration_lets() {
    let node = Node::start("max_viewers = 2", "", "rate_hz = 5.0");
    let mut watching: Vec<_> = (0..2).map(|_| node.page.open("GET", "/live/pond", &[], "")).collect();
    let mut piece = [0; 64];
    for stream in &mut watching {
        assert!(stream.read(&mut piece).expect("pictures") > 0);
    }
    assert_eq!(node.page.get("/live/pond", &[]).status, 503);
    watching.pop();
    node.wait_state(|state| state["viewers"]["live"] == 1);
    assert_eq!(node.page.get("/picture/pond", &[]).status, 200);
    node.stop();
}

/// The value of the only sample of `name`, or the sum of all of them.
fn sample(text: &str, name: &str) -> f64 {
    let of = |line: &str| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{']))?;
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    };
    text.lines().filter_map(of).sum()
}

/// Every metric with its type and the names of its labels.
fn names(text: &str) -> String {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.insert(name, kind.to_owned());
        }
    }
    let mut lines = Vec::new();
    for (name, kind) in &found {
        let sample =
            text.lines().find(|line| line.starts_with(name) && !line.starts_with('#')).expect("a sample");
        let labels = sample
            .split_once('{')
            .and_then(|(_, rest)| rest.rsplit_once('}'))
            .map_or("", |(labels, _)| labels);
        let labels: Vec<_> =
            labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name).collect();
        lines.push(format!("{name} {kind} {}", labels.join(" ")).trim_end().to_owned());
    }
    lines.join("\n")
}

/// The value of each sample of a camera's count.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    std::io::Write::write_all(&mut child.stdin.take().expect("its input"), input.as_bytes()).expect("write");
    let output = child.wait_with_output().expect("its end");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said))
}

#[test]
fn prometheus_reads_every_counter_under_names_that_do_not_change() {
    let node = Node::start("", "\"pause\"", "rate_hz = 20.0\ntracks = true");
    node.wait_state(|state| state["cameras"][0]["frames"]["inferred"].as_u64() > Some(20));
    let text = node.page.get("/metrics", &[]).text();
    // What is there on some machines only is left out: temperatures, drops that never happened.
    let sometimes = |line: &&str| {
        let sometimes = ["fieldmark_temperature", "fieldmark_outbox_dropped", "fieldmark_drift_distance"];
        !sometimes.iter().any(|name| line.starts_with(name))
    };
    insta::assert_snapshot!(names(&text).lines().filter(sometimes).collect::<Vec<_>>().join("\n"));
    let value = |name: &str| sample(&text, name);
    let parts = ["inferred_total", "dropped_total", "skipped_total", "waiting"];
    let parts: f64 = parts.iter().map(|part| value(&format!("fieldmark_frames_{part}"))).sum();
    assert_eq!(value("fieldmark_frames_captured_total"), parts);
    // Each decided frame is in the rank mix and in every histogram once.
    let answers = value("fieldmark_answers_total");
    assert!(answers > 20.0 && answers == value("fieldmark_decision_latency_seconds_count"), "{text}");
    match promtool(&["check", "metrics"], &text) {
        Some((good, said)) => assert!(good && said.is_empty(), "{said}"),
        None => eprintln!("SKIPPED: promtool is not installed; apt-get install prometheus"),
    }
    node.stop();
}

#[test]
fn alert_rules_and_dashboard_ask_for_metrics_that_are_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect(path);
    let rules = read("configs/prometheus/rules.yml");
    let dashboard: Value = serde_json::from_str(&read("configs/prometheus/dashboard.json")).expect("JSON");
    let known = read(
        "daemon/tests/snapshots/page__prometheus_reads_every_counter_under_names_that_do_not_change.snap",
    );
    let known: Vec<_> = known.lines().filter_map(|line| line.split(' ').next()).collect();
    let mut asked = 0;
    for text in [rules, dashboard.to_string()] {
        let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        for name in
            text.split(word).filter(|word| word.starts_with("fieldmark_") || word.starts_with("process_"))
        {
            let bare = name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
            let sometimes = ["fieldmark_temperature_celsius", "fieldmark_outbox_dropped_total"];
            assert!(known.contains(&bare) || sometimes.contains(&bare), "{name}");
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
    let path = root.join("configs/prometheus/rules.yml");
    match promtool(&["check", "rules", path.to_str().expect("UTF-8")], "") {
        Some((good, said)) => assert!(good, "{said}"),
        None => eprintln!("SKIPPED: promtool is not installed; apt-get install prometheus"),
    }
}
