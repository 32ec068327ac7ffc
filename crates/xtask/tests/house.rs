//! The house's rules that a compiler does not know: edges between rooms point down, plugins are
//! listed, and no file names a directory of someone's machine.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xtask::workspace;

/// Rooms by level. A room may use those of lower levels only.
const LEVELS: &[&[&str]] = &[
    &["message", "options", "pattern", "lpeg", "sketch"],
    &["matcher", "metrics", "msgpack", "journal", "transport", "detect", "series"],
    &["plugin", "promql", "sandbox"],
    &["modules", "codecs", "inputs", "outputs", "rules"],
    &["filters", "engine"],
    &["control"],
    &["nilometer"],
];

/// Used by tests and by hand only.
const TOOLS: &[&str] = &["testkit", "xtask"];

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

/// What is wrong with an edge that is not a dev-dependency.
fn wrong(from: &str, to: &str) -> Option<String> {
    if TOOLS.contains(&to) {
        return Some(format!("{from} → {to}: {to} may only be a dev-dependency"));
    }
    if TOOLS.contains(&from) {
        return None;
    }
    match (level(from), level(to)) {
        (Some(a), Some(b)) if b < a => None,
        (Some(a), Some(b)) => Some(format!("{from} (level {a}) → {to} (level {b}): edges must point down")),
        _ => Some(format!("{from} → {to}: give both a level here and in the documentation")),
    }
}

#[test]
fn edges_between_rooms_point_down() {
    let output = workspace::cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let rooms: Vec<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(rooms.contains(&"nilometer") && rooms.contains(&"message"), "{rooms:?}");
    let unknown: Vec<_> = rooms.iter().filter(|r| level(r).is_none() && !TOOLS.contains(r)).collect();
    assert!(unknown.is_empty(), "rooms without a level: {unknown:?}");
    let mut found = Vec::new();
    for package in packages {
        let from = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            if rooms.contains(&to) && dependency["kind"] != "dev" {
                found.extend(wrong(from, to));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn wrong_edges_are_found() {
    assert_eq!(wrong("engine", "plugin"), None);
    assert!(wrong("plugin", "engine").unwrap().contains("must point down"));
    assert!(wrong("inputs", "outputs").unwrap().contains("must point down"));
    assert!(wrong("engine", "testkit").unwrap().contains("dev-dependency"));
    assert_eq!(wrong("testkit", "plugin"), None);
}

/// Files below a directory, without what is built or hidden.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let (entry, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        let kind = fs::symlink_metadata(&entry).unwrap().file_type();
        if kind.is_dir() && name != "target" && name != ".git" && name != ".bench" {
            found.extend(files(&entry));
        } else if kind.is_file() {
            found.push(entry);
        }
    }
    found
}

#[test]
fn every_plugin_is_listed() {
    // Where plugins are, and the file that lists them.
    let places = [
        ("inputs/src", "inputs/src/lib.rs"),
        ("outputs/src", "outputs/src/lib.rs"),
        ("filters/src", "filters/src/lib.rs"),
        ("codecs/src/splitters", "codecs/src/splitters.rs"),
        ("codecs/src/decoders", "codecs/src/decoders.rs"),
        ("codecs/src/transforms", "codecs/src/transforms.rs"),
        ("codecs/src/encoders", "codecs/src/encoders.rs"),
    ];
    let crates = workspace::root().join("crates");
    let (mut plugins, mut missing) = (0, Vec::new());
    for (dir, list) in places {
        let list = fs::read_to_string(crates.join(list)).unwrap();
        for file in files(&crates.join(dir)) {
            if fs::read_to_string(&file).unwrap().contains("\npub const KIND: Kind") {
                plugins += 1;
                let module = file.file_stem().unwrap().to_str().unwrap();
                if !list.contains(&format!("{module}::KIND")) {
                    missing.push(file);
                }
            }
        }
    }
    assert!(plugins > 20, "only {plugins} plugins were found");
    assert!(missing.is_empty(), "not in their lists: {missing:?}");
}

#[test]
fn no_file_names_a_directory_of_a_machine() {
    let root = workspace::root();
    // Not written out, since this file is read too.
    let banned = [["/ho", "me/"].concat(), ["/Us", "ers/"].concat(), ["/ro", "ot/"].concat(), format!("{}/", root.display())];
    let texts = files(root).into_iter().filter_map(|f| Some((fs::read_to_string(&f).ok()?, f)));
    let mut found = Vec::new();
    for (text, file) in texts {
        for (n, line) in text.lines().enumerate() {
            if let Some(path) = banned.iter().find(|b| line.contains(*b)) {
                found.push(format!("{}:{}: {path}", file.display(), n + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
