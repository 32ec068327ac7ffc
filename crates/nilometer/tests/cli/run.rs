//! `nilo run`, `nilo reload` and `nilo status`.

use rustix::process::Signal;

use crate::nilo::{Dir, wait_until};

const CONFIG: &str = "\
[nilo]
state = 'state'

[input.in]
type = 'tail'
paths = 'in.log'

[filter.count]
type = 'lua'
match = \"Type == 'in'\"
script = 'count.lua'

[output.out]
type = 'file'
dir = 'out'
name = 'out.log'
from = ['filter.count']
encoder = 'line'
";

fn script(text: &str) -> String {
    format!("n = 0\nfunction process_message() n = n + 1 inject_payload('txt', '', '{text} ' .. n) return 0 end\n")
}

fn dir() -> Dir {
    Dir::with(&[("nilo.toml", CONFIG), ("count.lua", &script("a")), ("in.log", "")])
}

/// Waits until the output holds this.
#[track_caller]
fn wait_for_output(dir: &Dir, text: &str) {
    let read = || std::fs::read_to_string(dir.path("out/out.log")).unwrap_or_default();
    wait_until(&format!("the output is {text:?}"), || read() == text);
}

#[test]
fn it_ends_when_its_inputs_do() {
    let dir = Dir::with(&[("in.log", "1\n2\n3")]);
    dir.write(
        "nilo.toml",
        "[input.in]\ntype = 'tail'\npaths = 'in.log'\nonce = true\n[output.out]\ntype = 'stdout'\nencoder = 'line'\nmatch = 'TRUE'\n",
    );
    let outcome = dir.nilo(["run", "nilo.toml"]);
    assert!(
        outcome.stderr.contains("INFO  nilo: running 1 input, 0 filters, 1 output") && outcome.stderr.contains("stopped"),
        "{outcome:?}"
    );
    assert!(!outcome.stderr.contains('\x1b'), "colours in a pipe: {outcome:?}");
    assert_eq!(outcome.ok(), "1\n2\n3\n");
    assert_eq!(dir.nilo(["run", "nilo.toml", "-qq"]).stderr, "");
}

#[test]
fn a_broken_configuration_does_not_start() {
    let dir = dir();
    dir.write("count.lua", "function process_message(");
    dir.write("nilo.toml", CONFIG.replace("paths", "pahts"));
    let said = dir.nilo(["run", "nilo.toml"]).failed(3);
    assert!(said.contains("nilo.toml:6:1") && said.contains("count.lua"), "{said}");
    assert!(!dir.path("state").exists());
}

#[test]
fn a_stop_is_orderly_and_what_was_read_is_not_read_again() {
    let dir = dir();
    for run in 1..=2 {
        let nilo = dir.spawn(["run", "nilo.toml"]);
        dir.append("in.log", "x\n");
        wait_for_output(&dir, &(1..=run).map(|n| format!("a {n}\n")).collect::<String>());
        nilo.signal(if run == 1 { Signal::TERM } else { Signal::INT });
        let outcome = nilo.end();
        assert!(outcome.stderr.contains("stopped"), "{outcome:?}");
        outcome.ok();
        assert!(!dir.path("state/nilo.sock").exists());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = Dir::with(&[]);
    // An output that cannot deliver and a long grace keep an orderly stop waiting.
    let config = "[nilo]\ngrace = '10m'\n[input.in]\ntype = 'tail'\npaths = 'in.log'\n\
                  [output.out]\ntype = 'tcp'\naddress = '127.0.0.1:1'\nmatch = 'TRUE'\n";
    dir.write("nilo.toml", config);
    dir.write("in.log", "x\n");
    let nilo = dir.spawn(["run", "nilo.toml"]);
    nilo.wait_for_stderr("trying again");
    nilo.signal(Signal::TERM);
    // Signals of one kind do not queue up: another one.
    nilo.signal(Signal::INT);
    assert_eq!(nilo.end().code, Some(130));
}

#[test]
fn a_saved_script_goes_live_with_its_state() {
    let dir = dir();
    let nilo = dir.spawn(["run", "nilo.toml"]);
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 1\n");
    dir.write("count.lua", script("b"));
    nilo.wait_for_stderr("filter.count: reloaded; carried over: n");
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 1\nb 2\n");
}

#[test]
fn a_saved_configuration_goes_live_and_a_broken_one_does_not() {
    let dir = dir();
    let nilo = dir.spawn(["run", "nilo.toml"]);
    nilo.wait_for_stderr("running");
    dir.write("nilo.toml", format!("{CONFIG}[output.more]\ntype = 'null'\nmatch = 'TRUE'\n"));
    nilo.wait_for_stderr("output.more: added");
    dir.write("nilo.toml", "[oops]\n");
    nilo.wait_for_stderr("unknown section `oops`");
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 1\n");
    dir.write("nilo.toml", CONFIG);
    nilo.signal(Signal::HUP);
    nilo.wait_for_stderr("output.more: removed");
}

#[test]
fn reload_waits_and_tells_the_outcome() {
    let dir = dir();
    // Without watching, so that nothing happens before it is asked for.
    let config = CONFIG.replace("state = 'state'", "state = 'state'\nwatch = false");
    dir.write("nilo.toml", &config);
    let nilo = dir.spawn(["run", "nilo.toml"]);
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 1\n");
    nilo.wait_for_stderr("running");
    assert_eq!(dir.nilo(["reload", "nilo.toml"]).ok(), "nothing changed\n");
    dir.write("count.lua", script("b"));
    assert_eq!(dir.nilo(["reload", "--state", "state"]).ok(), "filter.count: reloaded; carried over: n\n");
    dir.write("count.lua", "function process_message(");
    let said = dir.nilo(["reload", "--socket", "state/nilo.sock"]).failed(1);
    assert!(said.contains("count.lua") && said.contains("runs on as it was"), "{said}");
    dir.write("count.lua", script("c"));
    dir.write("nilo.toml", config.replace("'lua'", "'lau'"));
    let said = dir.nilo(["reload", "nilo.toml"]).failed(1);
    assert!(said.contains("nilo.toml:10:8") && said.contains("did you mean \"lua\"?"), "{said}");
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 1\nb 2\n");
}

#[test]
fn status_shows_plugins_and_limits() {
    let dir = dir();
    let nilo = dir.spawn(["run", "nilo.toml", "--socket", "other.sock"]);
    nilo.wait_for_stderr("running");
    dir.append("in.log", "x\ny\n");
    wait_for_output(&dir, "a 1\na 2\n");
    let status = || -> serde_json::Value { serde_json::from_str(&dir.nilo(["status", "--socket", "other.sock", "--json"]).ok()).unwrap() };
    let counter = |id: &str, counter: &str| {
        let status = status();
        status["plugins"].as_array().unwrap().iter().find(|p| p["id"] == id).unwrap()["counters"][counter].as_u64().unwrap()
    };
    wait_until("all is counted", || counter("output.out", "delivered") == 2);
    assert_eq!((counter("input.in", "received"), counter("filter.count", "injected")), (2, 2));
    let table = dir.nilo(["status", "--socket", "other.sock"]).ok();
    for word in ["plugin", "input.in", "running", "memory_limit", "8 MiB"] {
        assert!(table.contains(word), "{word} is missing: {table}");
    }
    assert!(dir.nilo(["status", "--state", "state"]).failed(1).contains("no nilo runs"));
}

#[test]
fn the_socket_is_guarded_and_survives_nonsense() {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::fs::PermissionsExt;
    let dir = dir();
    let nilo = dir.spawn(["run", "nilo.toml"]);
    nilo.wait_for_stderr("running");
    let socket = dir.path("state/nilo.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    for request in ["nonsense", "{}", "{\"request\":\"explode\"}", "[1]"] {
        writeln!(stream, "{request}").unwrap();
        let answer = answers.next().unwrap().unwrap();
        assert!(answer.starts_with("{\"ok\":false,\"error\":"), "{request}: {answer}");
    }
    // More than a request may have: told, and closed.
    stream.write_all(&vec![b' '; 64 << 10]).unwrap();
    assert!(answers.next().unwrap().unwrap().contains("at most 64 KiB"));
    assert!(answers.next().is_none_or(|line| line.is_err()));
    // A second instance of the same state is refused and does not take the socket away.
    assert!(dir.nilo(["run", "nilo.toml"]).failed(1).contains("in use by another nilo"));
    dir.nilo(["status", "nilo.toml"]).ok();
}
