//! Runs every folder of `examples/` and compares what it writes with what its README promises.
//! `UPDATE_GOLDEN=1` takes what is written now as what is expected.

mod place;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use place::{Place, free_port, until};

#[test]
fn errors_by_route() {
    let place = Place::new("errors-by-route");
    place.run("nilo.toml").ends();
    place.compare();
}

#[test]
fn multiline() {
    let place = Place::new("multiline");
    place.run("nilo.toml").ends();
    place.compare();
}

#[test]
fn watched_filters() {
    let place = Place::new("watched-filters");
    place.run("nilo.toml").ends();
    place.compare();
}

#[test]
fn web_alerts() {
    let place = Place::new("web-alerts");
    place.run("nilo.toml").ends();
    place.compare();
}

#[test]
fn statsd_to_file() {
    let place = Place::new("statsd-to-file");
    let port = free_port();
    place.edit("nilo.toml", ":8125", &format!(":{port}"));
    let nilo = place.run("nilo.toml");
    let mut connection = until("nilo listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    connection.write_all(&std::fs::read(place.file("samples.txt")).unwrap()).unwrap();
    connection.shutdown(std::net::Shutdown::Write).unwrap();
    // It closes the connection when it has read everything.
    connection.read_to_end(&mut Vec::new()).unwrap();
    nilo.stop();
    place.compare();
}

#[test]
fn relay() {
    let place = Place::new("relay");
    let port = free_port();
    for config in ["central.toml", "edge.toml"] {
        place.edit(config, ":5565", &format!(":{port}"));
    }
    let central = place.run("central.toml");
    place.run("edge.toml").ends();
    let log = std::fs::read_to_string(place.file("../quickstart/access.log")).unwrap();
    let failures = log.lines().filter(|line| line.split('"').nth(2).unwrap().trim() >= "500").count();
    until("all failures arrived", || (place.output("failures.txt").lines().count() == failures).then_some(()));
    central.stop();
    place.compare();
}

#[test]
fn quickstart() {
    let place = Place::new("quickstart");
    let port = free_port().to_string();
    place.edit("nilo.toml", "8125", &port);
    place.edit("run", "8125", &port);
    place.edit("nilo.toml", "every = \"2s\"", "every = \"200ms\"");
    let result = |name: &str| std::fs::read_to_string(place.file("../../target/quickstart").join(name)).unwrap_or_default();
    let run = place.start(Command::new("./run").env("NILO", env!("CARGO_BIN_EXE_nilo")));
    until("an answer", || result("errors.txt").contains("500 and above)\n     ").then_some(()));
    until("a metric", || result("metrics.jsonl").contains("stats.counters.shop.orders.rate").then_some(()));
    place.edit("errors.lua", "threshold = 500", "threshold = 400");
    until("another answer", || result("errors.txt").contains("400 and above)\n     ").then_some(()));
    run.interrupt();
    assert!(place.said().contains("reloaded; carried over: errors"), "{}", place.said());
}

#[test]
fn the_sample_is_what_its_script_writes() {
    let place = Place::new("quickstart");
    let written = Command::new(place.file("generate")).output().unwrap();
    assert!(written.stdout == std::fs::read(place.file("access.log")).unwrap(), "run ./generate >access.log");
}

#[test]
fn every_folder_is_run_here_and_has_a_story() {
    let known = ["errors-by-route", "multiline", "quickstart", "relay", "statsd-to-file", "watched-filters", "web-alerts"];
    let mut found: Vec<String> = std::fs::read_dir(place::examples())
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, known);
    for name in known {
        let readme = std::fs::read_to_string(place::examples().join(name).join("README.md")).unwrap();
        assert!(readme.starts_with("# ") && readme.contains("run"), "{name}/README.md");
    }
}
