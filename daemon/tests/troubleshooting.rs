//! Promises about the page for people with a problem.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

/// Every source file of the daemon.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") && !entry.ends_with("tests.rs")
        {
            found.push(entry);
        }
    }
}

/// String literals that follow `opening` up to the end of its call.
fn literals(source: &str, opening: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices(opening) {
        let rest = &source[at + opening.len()..];
        let end = rest.find([';', ']']).unwrap_or(rest.len());
        let Some(begin) = rest[..end.max(rest.find('"').unwrap_or(0))].find('"') else { continue };
        if begin > end {
            continue;
        }
        let mut text = String::new();
        let mut characters = rest[begin + 1..].chars();
        while let Some(character) = characters.next() {
            match character {
                '"' => break,
                '\\' => match characters.next() {
                    // A line that goes on.
                    Some('\n') => {
                        let left = characters.as_str().trim_start();
                        characters = left.chars();
                    }
                    Some(escaped) => text.push(escaped),
                    None => break,
                },
                other => text.push(other),
            }
        }
        found.push(text);
    }
    found
}

/// What is always the same in a message, the longest piece of it.
fn fixed_part(message: &str) -> String {
    let mut pieces = vec![String::new()];
    let mut depth = 0;
    for character in message.chars() {
        match character {
            '{' => {
                depth += 1;
                pieces.push(String::new());
            }
            '}' => depth -= 1,
            other if depth == 0 => pieces.last_mut().expect("a piece").push(other),
            _ => {}
        }
    }
    let longest = pieces.into_iter().max_by_key(|piece| piece.trim().len()).unwrap_or_default();
    plain(&longest)
}

/// Without the marks that stand for code, and with single spaces.
fn plain(text: &str) -> String {
    text.replace('`', "").replace("\\|", "|").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_error_of_the_daemon_has_an_entry_for_whoever_meets_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = plain(&std::fs::read_to_string(root.join("../docs/troubleshooting.md")).expect("the page"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let (mut looked_at, mut missing) = (0, Vec::new());
    for file in files {
        let source = std::fs::read_to_string(&file).expect("a source");
        let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for message in ["#[error(", "tracing::error!("].iter().flat_map(|opening| literals(source, opening)) {
            let fixed = fixed_part(&message);
            // Messages that only wrap another one have no words of their own.
            if fixed.len() < 8 {
                continue;
            }
            looked_at += 1;
            let words = fixed.trim_matches(|c: char| !c.is_alphanumeric());
            if !page.contains(words) {
                missing.push(format!("{}: {message:?} (looked for {words:?})", file.display()));
            }
        }
    }
    assert!(looked_at > 40, "{looked_at}");
    assert!(missing.is_empty(), "docs/troubleshooting.md has no entry for\n{}", missing.join("\n"));
}

#[test]
fn links_between_pages_lead_somewhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut broken = Vec::new();
    for page in std::fs::read_dir(&docs).expect("docs").map(|entry| entry.expect("an entry").path()) {
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
            if !link.is_empty() && !link.contains("://") && !docs.join(link).exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
