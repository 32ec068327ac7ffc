//! `nilo streams`.

use rustix::process::Signal;
use serde_json::Value;

use crate::nilo::{Dir, wait_until};

const CONFIG: &str = r#"
[nilo]
state = "state"

[input.sites]
type = "tail"
paths = "logs/*/access.log*"
groups = '/(?<site>\w+)/access\.log(\.(?<n>\d+))?$'
differentiator = "nginx.{site}"
priority = "n descending"

[input.all]
type = "tail"
paths = "other/*"

[input.net]
type = "udp"
listen = "127.0.0.1:0"

[output.out]
type = "file"
dir = "out"
name = "out.log"
match = 'Type == "sites"'
encoder = "line"
"#;

fn dir() -> Dir {
    let files = [
        ("nilo.toml", CONFIG),
        ("logs/b/access.log", "b\n"),
        ("logs/a/access.log", "newest\n"),
        ("logs/a/access.log.2", "old\n"),
        ("logs/a/access.log.1", "newer\n"),
        ("other/x.log", "x\n"),
        ("other/access.txt", "of one\n"),
    ];
    Dir::with(&files)
}

fn streams(dir: &Dir, input: &str) -> Value {
    let text = dir.nilo(["streams", "nilo.toml", "--json", "--input", input]).ok();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["inputs"].as_array().unwrap().len(), 1);
    json["inputs"][0]["streams"].clone()
}

/// Name, position and rest of each file of a stream.
fn files(stream: &Value) -> Vec<(String, Option<u64>, Option<u64>)> {
    let name = |f: &Value| f["path"].as_str().unwrap().rsplit('/').next().unwrap().to_string();
    stream["files"].as_array().unwrap().iter().map(|f| (name(f), f["position"].as_u64(), f["left"].as_u64())).collect()
}

#[test]
fn it_shows_what_would_be_read_in_order_and_touches_nothing() {
    let dir = dir();
    let table = dir.nilo(["streams", "nilo.toml"]).ok();
    assert!(table.contains("input.sites: 4 files in 2 streams, 19 B left to read"), "{table}");
    assert!(table.contains("input.all: 2 files in 2 streams"), "{table}");
    let order: Vec<usize> = ["access.log.2", "access.log.1", "a/access.log ", "b/access.log"].map(|f| table.find(f).unwrap()).into();
    assert!(order.is_sorted(), "{table}");
    assert!(table.contains("nginx.a") && table.contains("nginx.b") && !table.contains("input.net"), "{table}");
    assert!(!dir.path("state").exists());

    let sites = streams(&dir, "sites");
    assert_eq!(sites[0]["logger"], "nginx.a");
    let new = |name: &str, left| (name.to_string(), None, Some(left));
    assert_eq!(files(&sites[0]), [new("access.log.2", 4), new("access.log.1", 6), new("access.log", 7)]);
    assert!(dir.nilo(["streams", "nilo.toml", "--input", "net"]).failed(1).contains("no input `net` of type tail"));
    dir.write("bad.toml", CONFIG.replace("priority = \"n", "priority = \"m"));
    assert!(dir.nilo(["streams", "bad.toml"]).failed(3).contains("`groups` has no group `m`"));
}

#[test]
fn it_shows_where_reading_stands_while_nilo_runs_and_after() {
    let dir = dir();
    let nilo = dir.spawn(["run", "nilo.toml"]);
    let read = |name: &str, n| (name.to_string(), Some(n), Some(0));
    let stands = || files(&streams(&dir, "input.sites")[0]) == [read("access.log.2", 4), read("access.log.1", 6), read("access.log", 7)];
    wait_until("the positions are written down", stands);
    nilo.signal(Signal::TERM);
    nilo.end().ok();
    assert!(stands());
    dir.append("logs/a/access.log", "more\n");
    let sites = streams(&dir, "sites");
    assert_eq!(files(&sites[0])[2], ("access.log".to_string(), Some(7), Some(5)));
    let out = std::fs::read_to_string(dir.path("out/out.log")).unwrap();
    let of_a: Vec<&str> = out.lines().filter(|l| *l != "b").collect();
    assert_eq!(of_a, ["old", "newer", "newest"]);
}

#[test]
fn utf16_stands_at_bytes_of_the_file() {
    let dir = Dir::with(&[(
        "nilo.toml",
        "[nilo]\nstate = 'state'\n[input.win]\ntype = 'tail'\npaths = 'win.log'\nencoding = 'utf-16'\n[output.out]\ntype = 'file'\ndir = 'out'\nname = 'out.log'\nmatch = 'TRUE'\nencoder = 'line'\n",
    )]);
    let text: Vec<u8> = "\u{feff}Größe 🦀\nhalf".encode_utf16().flat_map(u16::to_le_bytes).collect();
    dir.write("win.log", &text);
    let nilo = dir.spawn(["run", "nilo.toml"]);
    let whole = text.len() as u64 - 8;
    wait_until("the position is written down", || files(&streams(&dir, "win")[0]) == [("win.log".to_string(), Some(whole), Some(8))]);
    nilo.signal(Signal::TERM);
    nilo.end().ok();
    assert_eq!(std::fs::read_to_string(dir.path("out/out.log")).unwrap(), "Größe 🦀\n");
}
