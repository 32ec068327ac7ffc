//! OTLP with a collector of OpenTelemetry that tails a file.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use xtask::package::COLLECTOR;

use super::{free_port, start, there};
use crate::nilo::{Dir, wait_until};

const LINES: usize = 5000;

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("line {n} of the collector's file, gr\u{fc}\u{df}e\n")).collect()
}

#[test]
fn every_line_that_a_collector_tails_arrives_once() {
    if !there(&[COLLECTOR]) {
        return;
    }
    let first = lines(0..LINES / 2);
    let dir = Dir::with(&[("app.log", &first)]);
    let port = free_port();
    dir.write(
        "in.toml",
        format!(
            "[input.otlp]\ntype = 'otlp'\nlisten = '127.0.0.1:{port}'\n\
             [output.out]\ntype = 'file'\nmatch = 'TRUE'\ndir = 'out'\nname = 'out.json'\nencoder = 'json'\n"
        ),
    );
    dir.write(
        "collector.yaml",
        format!(
            "receivers:\n  filelog:\n    include: ['{}']\n    start_at: beginning\n    resource:\n      host.name: the-host\n      service.name: the-app\n\
             exporters:\n  otlphttp:\n    endpoint: http://127.0.0.1:{port}\n    retry_on_failure:\n      initial_interval: 100ms\n\
             service:\n  telemetry:\n    metrics:\n      level: none\n  pipelines:\n    logs:\n      receivers: [filelog]\n      exporters: [otlphttp]\n",
            dir.path("app.log").display()
        ),
    );
    let nilo = dir.spawn(["run", "in.toml"]);
    wait_until("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let program = COLLECTOR.root().join("otel_collector/bin/otelcol-contrib_linux_amd64");
    let _collector = start(Command::new(program).arg("--config").arg(dir.path("collector.yaml")));
    let received = || {
        let text = std::fs::read_to_string(dir.path("out/out.json")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>()
    };
    wait_until("the first half arrives", || received().len() >= LINES / 2);
    OpenOptions::new().append(true).open(dir.path("app.log")).unwrap().write_all(lines(LINES / 2..LINES).as_bytes()).unwrap();
    wait_until("everything arrives", || received().len() >= LINES);
    nilo.signal(Signal::TERM);
    nilo.end().ok();
    let all = received();
    let mut counts = BTreeMap::new();
    for m in &all {
        *counts.entry(m["payload"].as_str().unwrap().to_string()).or_insert(0) += 1;
        assert_eq!((&m["type"], &m["hostname"], &m["logger"]), (&"log".into(), &"the-host".into(), &"the-app".into()), "{m:#}");
        assert_eq!((&m["log.file.name"], &m["resource.service.name"]), (&"app.log".into(), &"the-app".into()), "{m:#}");
    }
    let expected: BTreeMap<_, _> = lines(0..LINES).lines().map(|line| (line.to_string(), 1)).collect();
    assert!(counts == expected, "{} messages, {} different", all.len(), counts.len());
}
