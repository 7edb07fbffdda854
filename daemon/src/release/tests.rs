//! Attacks on a repository, each made by code here, and what a node says of it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::update::fetch_whole;

const DAY: i64 = 86_400;

/// A fleet manager's desk: keys, a repository with one release, and a node that trusts its first root.
struct Desk {
    folder: tempfile::TempDir,
    keys: Vec<SigningKey>,
    now: jiff::Timestamp,
}

impl Desk {
    /// Keys 0 and 1 are the root's, 2 and 3 the releases', 4 the online one.
    fn new(root_threshold: u64, targets_threshold: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let keys: Vec<_> = (0..5)
            .map(|number| SigningKey::generate(&folder.path().join(format!("{number}.pem"))).expect("a key"))
            .collect();
        let desk = Self { folder, keys, now: jiff::Timestamp::now() };
        let setup = |role, keys: &[usize], threshold| RoleSetup {
            role,
            keys: keys.iter().map(|&key| desk.keys[key].public().clone()).collect(),
            threshold,
        };
        let roles = [
            setup(RoleName::Root, &[0, 1], root_threshold),
            setup(RoleName::Targets, &[2, 3], targets_threshold),
            setup(RoleName::Snapshot, &[4], 1),
            setup(RoleName::Timestamp, &[4], 1),
        ];
        let path = desk.repository();
        let (_, outcome) =
            Repository::init(&path, &roles, &desk.keys, Expiries::default(), desk.now).expect("a repository");
        assert_eq!(outcome, Outcome::Complete);
        desk.release("dusk-1.0.0.toml");
        desk
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    fn metadata(&self, file: &str) -> PathBuf {
        self.repository().join("metadata").join(file)
    }

    fn open(&self) -> Repository {
        Repository::open(&self.repository(), Expiries::default(), self.now).expect("the repository")
    }

    fn release(&self, name: &str) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, format!("# {name}\n")).expect("write");
        let (_, outcome) = self.open().add(&path, CHUNK, &self.keys).expect("added");
        assert_eq!(outcome, Outcome::Complete);
    }

    fn node(&self, name: &str) -> Truster {
        let root = std::fs::read(self.metadata("1.root.json")).expect("a root");
        Truster::new(root, &self.folder.path().join(name))
    }

    fn shelf(&self) -> Shelf {
        Shelf::Folder(self.repository())
    }

    fn save(&self) -> PathBuf {
        let copy = self.folder.path().join("copy");
        let _ = std::fs::remove_dir_all(&copy);
        copy_folder(&self.repository(), &copy);
        copy
    }

    fn restore(&self, copy: &Path) {
        std::fs::remove_dir_all(self.repository()).expect("remove");
        copy_folder(copy, &self.repository());
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("copy");
        }
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads").block_on(future)
}

fn verify(node: &Truster, desk: &Desk) -> Result<Trusted, String> {
    verify_at(node, desk, jiff::Timestamp::now())
}

fn verify_at(node: &Truster, desk: &Desk, now: jiff::Timestamp) -> Result<Trusted, String> {
    wait(node.verify(&desk.shelf(), now)).map_err(|error| match error {
        TrustError::Deferred(reason) => format!("later: {reason}"),
        other => other.to_string(),
    })
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON");
    change(&mut value);
    std::fs::write(path, serde_json::to_vec_pretty(&value).expect("JSON")).expect("write");
}

/// The library asks the machine's clock; the repository is dated from it.
fn desk(root_threshold: u64, targets_threshold: u64) -> Desk {
    Desk::new(root_threshold, targets_threshold)
}

#[test]
fn a_release_is_found_and_its_file_is_the_signed_one() {
    let desk = desk(2, 2);
    let trusted = verify(&desk.node("n"), &desk).expect("trusted");
    assert_eq!(trusted.releases.len(), 1);
    let listed = &trusted.releases[0];
    assert_eq!(
        (listed.release.to_string().as_str(), listed.release.kind),
        ("dusk@1.0.0", ReleaseKind::Config)
    );
    wait(fetch_whole(&desk.shelf(), listed)).expect("the file");
}

#[test]
fn a_flipped_bit_anywhere_in_the_metadata_is_refused_or_changes_nothing() {
    let desk = desk(1, 1);
    let good = verify(&desk.node("first"), &desk).expect("trusted").releases;
    let files = ["timestamp.json", "2.snapshot.json", "2.targets.json"].map(|file| desk.metadata(file));
    for (number, path) in files.iter().enumerate() {
        let bytes = std::fs::read(path).expect("read");
        for at in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << (at % 8);
            std::fs::write(path, &altered).expect("write");
            if let Ok(trusted) = verify(&desk.node(&format!("n{number}-{at}")), &desk) {
                assert_eq!(trusted.releases, good, "{} at {at}", path.display());
            }
        }
        std::fs::write(path, &bytes[..bytes.len() / 2]).expect("write");
        verify(&desk.node(&format!("t{number}")), &desk).expect_err("a truncated file");
        std::fs::write(path, &bytes).expect("write");
    }
}

#[test]
fn altered_targets_are_found_before_they_are_used() {
    let desk = desk(1, 1);
    let trusted = verify(&desk.node("n"), &desk).expect("trusted");
    let listed = &trusted.releases[0];
    let path = desk.repository().join(format!("targets/{}.{}", listed.release.sha256, listed.target));
    let good = std::fs::read(&path).expect("read");
    let refused = || wait(fetch_whole(&desk.shelf(), listed)).expect_err("a refusal").to_string();
    let mut flipped = good.clone();
    flipped[3] ^= 1;
    std::fs::write(&path, flipped).expect("write");
    assert!(refused().contains("is not what was released: its SHA-256 is"), "{}", refused());
    std::fs::write(&path, &good[..good.len() - 1]).expect("write");
    assert!(refused().contains("cannot fetch"), "{}", refused());
    std::fs::write(&path, &good).expect("write");
    let beside = desk.open().index_path(&listed.target, listed.release.sha256);
    edit(&beside, |index| index["size"] = 1.into());
    assert!(refused().contains("its digest is not the signed one"), "{}", refused());
}

#[test]
fn metadata_without_enough_signatures_are_refused() {
    let desk = desk(1, 2);
    for file in ["timestamp.json", "2.snapshot.json", "2.targets.json"] {
        let copy = desk.save();
        edit(&desk.metadata(file), |role| role["signatures"] = Value::Array(Vec::new()));
        let reason = verify(&desk.node(file), &desk).expect_err("a refusal");
        assert!(reason.contains("refused"), "{file}: {reason}");
        desk.restore(&copy);
    }
    // One key that signs twice is one key.
    let copy = desk.save();
    edit(&desk.metadata("2.targets.json"), |role| {
        let signature = role["signatures"][0].clone();
        role["signatures"] = Value::Array(vec![signature.clone(), signature]);
    });
    verify(&desk.node("twice"), &desk).expect_err("a refusal");
    desk.restore(&copy);
    verify(&desk.node("good"), &desk).expect("trusted");
}

#[test]
fn a_second_signature_completes_what_was_staged() {
    let desk = desk(1, 2);
    let path = desk.folder.path().join("dawn-1.0.0.toml");
    std::fs::write(&path, "# dawn\n").expect("write");
    let two: Vec<_> = ["2", "4"].map(|name| read_key(&desk, name)).into();
    let (_, outcome) = desk.open().add(&path, CHUNK, &two).expect("added");
    assert_eq!(outcome, Outcome::Lacks("targets", 1, 2));
    assert_eq!(verify(&desk.node("before"), &desk).expect("trusted").releases.len(), 1);
    let outcome = desk.open().sign(&[read_key(&desk, "3")]).expect("signed");
    assert_eq!(outcome, Outcome::Lacks("snapshot", 0, 1), "only the online key renews the snapshot");
    let outcome = desk.open().sign(&[read_key(&desk, "4")]).expect("signed");
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!(verify(&desk.node("after"), &desk).expect("trusted").releases.len(), 2);
}

fn read_key(desk: &Desk, name: &str) -> SigningKey {
    SigningKey::read(&desk.folder.path().join(format!("{name}.pem"))).expect("a key")
}

#[test]
fn what_is_old_is_refused_even_when_the_librarys_store_is_gone() {
    let desk = desk(1, 1);
    let old = desk.save();
    desk.release("dusk-1.1.0.toml");
    let node = desk.node("n");
    assert_eq!(verify(&node, &desk).expect("trusted").releases.len(), 2);
    desk.restore(&old);
    let reason = verify(&node, &desk).expect_err("a refusal");
    assert!(reason.contains("refused"), "{reason}");
    // A power cut may leave the store empty: the floor stays.
    std::fs::remove_dir_all(desk.folder.path().join("n/tuf")).expect("remove");
    let reason = verify(&node, &desk).expect_err("a refusal");
    assert!(reason.contains("somebody shows what is old"), "{reason}");
}

#[test]
fn metadata_that_do_not_belong_together_are_refused() {
    let desk = desk(1, 1);
    let old = std::fs::read(desk.metadata("2.snapshot.json")).expect("read");
    let old_targets = std::fs::read(desk.metadata("2.targets.json")).expect("read");
    desk.release("dusk-1.1.0.toml");
    let copy = desk.save();
    std::fs::write(desk.metadata("3.snapshot.json"), old).expect("write");
    let reason = verify(&desk.node("mixed"), &desk).expect_err("a refusal");
    assert!(reason.contains("refused"), "{reason}");
    desk.restore(&copy);
    std::fs::write(desk.metadata("3.targets.json"), old_targets).expect("write");
    let reason = verify(&desk.node("mixed too"), &desk).expect_err("a refusal");
    assert!(reason.contains("refused"), "{reason}");
}

#[test]
fn a_role_does_not_speak_for_another() {
    let desk = desk(1, 1);
    let copy = desk.save();
    let targets = std::fs::read(desk.metadata("2.targets.json")).expect("read");
    std::fs::write(desk.metadata("timestamp.json"), &targets).expect("write");
    assert!(verify(&desk.node("as timestamp"), &desk).expect_err("a refusal").contains("refused"));
    desk.restore(&copy);
    // The releases' key signs a timestamp.
    edit(&desk.metadata("timestamp.json"), |role| {
        let text = serde_json::to_vec(&role["signed"]).expect("JSON");
        let signed: tough::schema::Timestamp = serde_json::from_slice(&text).expect("a timestamp");
        let message = tough::schema::Role::canonical_form(&signed).expect("canonical");
        let key = &desk.keys[2];
        let signature = super::keys::hex(&key.sign(&message));
        role["signatures"] = serde_json::json!([{ "keyid": key.public().id(), "sig": signature }]);
    });
    assert!(verify(&desk.node("signed"), &desk).expect_err("a refusal").contains("refused"));
}

#[test]
fn data_without_end_are_cut_off() {
    let desk = desk(1, 1);
    let copy = desk.save();
    for file in ["timestamp.json", "2.snapshot.json", "2.targets.json", "2.root.json"] {
        let file = std::fs::File::create(desk.metadata(file)).expect("a file");
        file.set_len(8 << 30).expect("a sparse file");
        let begun = std::time::Instant::now();
        verify(&desk.node("endless"), &desk).expect_err("a refusal");
        assert!(begun.elapsed().as_secs() < 20, "it was read to the end");
        desk.restore(&copy);
    }
}

#[test]
fn expired_metadata_defer_and_a_refresh_ends_that() {
    let mut desk = desk(1, 1);
    desk.now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - 31 * DAY).expect("a time");
    desk.open().refresh(&desk.keys).expect("refreshed");
    let node = desk.node("n");
    let reason = verify(&node, &desk).expect_err("expired");
    assert!(
        reason.starts_with("later: timestamp metadata is expired") && reason.contains("set the clock"),
        "{reason}"
    );
    desk.now = jiff::Timestamp::now();
    desk.open().refresh(&desk.keys).expect("refreshed");
    verify(&node, &desk).expect("trusted");
}

#[test]
fn a_clock_that_was_ahead_does_not_poison_and_one_set_back_defers() {
    let desk = desk(1, 1);
    let node = desk.node("n");
    let ahead = jiff::Timestamp::from_second(desk.now.as_second() + 20 * DAY).expect("a time");
    verify_at(&node, &desk, ahead).expect("trusted, by a clock that is ahead");
    std::fs::write(desk.folder.path().join("n/tuf/latest_known_time.json"), "\"2999-01-01T00:00:00Z\"")
        .expect("write");
    let reason = verify(&node, &desk).expect_err("set back");
    assert!(reason.starts_with("later: the clock says"), "{reason}");
    // Newer metadata show that the clock had been wrong.
    desk.open().refresh(&desk.keys).expect("refreshed");
    verify(&node, &desk).expect("trusted again");
    verify(&node, &desk).expect("and again");
}

#[test]
fn keys_are_rotated_and_an_old_root_does_not_come_back() {
    let desk = desk(2, 1);
    let node = desk.node("n");
    verify(&node, &desk).expect("trusted");
    let before = desk.save();
    let stolen = desk.keys[2].public().id();
    let outcome = desk
        .open()
        .change_keys(RoleName::Targets, &[], &[stolen], Some(1), &[read_key(&desk, "0")])
        .expect("staged");
    assert_eq!(outcome, Outcome::Lacks("root", 1, 2));
    desk.open().sign(&[read_key(&desk, "1"), read_key(&desk, "3"), read_key(&desk, "4")]).expect("signed");
    verify(&node, &desk).expect("the new root is followed");
    // Under the new root the stolen key releases nothing.
    let path = desk.folder.path().join("evil-1.0.0.toml");
    std::fs::write(&path, "# evil\n").expect("write");
    let thief = [read_key(&desk, "2"), read_key(&desk, "4")];
    let (_, outcome) = desk.open().add(&path, CHUNK, &thief).expect("staged");
    assert_eq!(outcome, Outcome::Lacks("targets", 0, 1));
    // Under the old one it does, and the new one is hidden.
    desk.restore(&before);
    let (_, outcome) = desk.open().add(&path, CHUNK, &thief).expect("added");
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!(verify(&desk.node("newcomer"), &desk).expect("trusted").releases.len(), 2);
    let reason = verify(&node, &desk).expect_err("a refusal");
    assert!(reason.contains("refused"), "{reason}");
}

#[test]
fn a_release_is_not_replaced_and_can_be_withdrawn() {
    let desk = desk(1, 1);
    let path = desk.folder.path().join("dusk-1.0.0.toml");
    std::fs::write(&path, "# another\n").expect("write");
    let error = desk.open().add(&path, CHUNK, &desk.keys).expect_err("a refusal").to_string();
    assert!(error.contains("another version"), "{error}");
    desk.open().withdraw("dusk-1.0.0.toml", &desk.keys).expect("withdrawn");
    assert!(verify(&desk.node("n"), &desk).expect("trusted").releases.is_empty());
}

#[test]
fn names_are_read_with_dashes_in_both_parts() {
    let read = |text| ReleaseKind::Model.parse(text).map(|(name, version)| format!("{name} {version}"));
    assert_eq!(read("garden-0.2.0.fieldmark").as_deref(), Some("garden 0.2.0"));
    assert_eq!(read("night-moths-1.0.0-rc.1.fieldmark").as_deref(), Some("night-moths 1.0.0-rc.1"));
    for wrong in ["garden.fieldmark", "-1.0.0.fieldmark", "a/b-1.0.0.fieldmark", "garden-1.0.0.toml"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}
