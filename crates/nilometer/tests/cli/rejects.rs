//! `nilo rejects`, and the page about it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;

use crate::nilo::{Dir, Running, wait_until};

const HOWTO: &str = include_str!("../../../../docs/howto/replay-dead-letters.md");

/// Blocks of TOML of the page.
fn toml() -> Vec<&'static str> {
    HOWTO.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A port that was free a moment ago.
fn address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn lines() -> String {
    let long = "x".repeat(300);
    format!(
        "{{\"type\":\"a\",\"payload\":\"short\"}}\n{{\"type\":\"order\",\"payload\":\"{long}\"}}\noops {{\"type\":\"b\",\"payload\":\"mended\"}}\n"
    )
}

/// The configuration of the page has run over these lines, and kept two dead letters.
fn with_letters() -> (Dir, String) {
    let app = toml()[0].replace("paths = \"app.log\"", "paths = \"app.log\"\nonce = true");
    let dir = Dir::with(&[("app.log", &lines()), ("app.toml", &app)]);
    dir.nilo(["run", "app.toml"]).ok();
    (dir, app)
}

fn running(dir: &Dir, config: &str, address: &str) -> Running {
    dir.write("app.toml", config);
    let nilo = dir.spawn(["run", "app.toml"]);
    wait_until("it listens", || std::net::TcpStream::connect(address).is_ok());
    nilo
}

#[test]
fn letters_are_counted_shown_and_replayed_as_the_page_says() {
    let (dir, app) = with_letters();
    let list = dir.nilo(["rejects", "list", "dead/letters.heka"]).ok();
    let rows: Vec<Vec<&str>> = list.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["plugin", "messages", "records", "cut", "oldest", "newest", "reason"]);
    assert!(rows.iter().any(|r| r[..4] == ["output.archive", "1", "0", "0"] && list.contains("expected at most 200")), "{list}");
    assert!(rows.iter().any(|r| r[..4] == ["input.app", "0", "1", "0"]), "{list}");

    let outcome = dir.nilo(["rejects", "cat", "dead/letters.heka", "--plugin", "output.archive"]);
    assert!(
        outcome.stdout.contains("\"type\":\"order\"") && outcome.stdout.lines().count() == 1 && outcome.stderr.is_empty(),
        "{outcome:?}"
    );
    let outcome = dir.nilo(["rejects", "cat", "dead/letters.heka", "--lines"]);
    assert!(outcome.stderr.contains("1 dead letter of the other kind not shown"), "{outcome:?}");
    assert_eq!(outcome.ok(), "oops {\"type\":\"b\",\"payload\":\"mended\"}\n");
    let select = |args: &[&str]| dir.nilo([&["rejects", "cat", "dead/letters.heka", "-f", "count"], args].concat()).stdout;
    assert_eq!(select(&["--reason", "at most 200"]), "1 of 1 messages\n");
    assert_eq!(select(&["--reason", "something else"]), "0 of 0 messages\n");
    assert_eq!(select(&["--match", "Fields[original_type] == 'order'"]), "1 of 1 messages\n");
    let framed = dir.nilo(["rejects", "cat", "dead/letters.heka", "-f", "heka", "--plugin", "output.archive"]).bytes;
    dir.write("framed.heka", framed);
    assert_eq!(dir.nilo(["cat", "framed.heka", "-m", "Type == 'order'", "-f", "count"]).ok(), "1 of 1 messages\n");

    // The cause is mended, and there is a door.
    let address = address();
    let mended = app.replace("200B", "1MiB").replace("once = true", "") + &toml()[1].replace("127.0.0.1:5565", &address);
    std::fs::rename(dir.path("dead/letters.heka"), dir.path("replay.heka")).unwrap();
    dir.write("app.toml", app.replace("once = true", ""));
    let nilo = dir.spawn(["run", "app.toml"]);
    nilo.wait_for_stderr("running ");
    dir.write("app.toml", mended);
    dir.nilo(["reload", "app.toml"]).ok();
    let sent = dir.nilo(["rejects", "send", "replay.heka", "--plugin", "output.archive", "--to", &address, "--acknowledge"]).ok();
    assert_eq!(sent, format!("1 message sent to {address}, all of them accepted\n"));
    // Accepted is written: nothing to wait for.
    assert_eq!(dir.nilo(["cat", "archive/messages.heka", "-m", "Type == 'order'", "-f", "count"]).ok(), "1 of 2 messages\n");
    nilo.signal(Signal::TERM);
    nilo.end().ok();
}

#[test]
fn records_are_sent_as_they_were() {
    let (dir, app) = with_letters();
    let address = address();
    let door = format!("{}[input.door]\ntype = 'tcp'\nlisten = '{address}'\nsplitter = 'line'\n", app.replace("once = true", ""));
    let door = door.replace("200B", "1MiB");
    let nilo = running(&dir, &door, &address);
    let outcome = dir.nilo(["rejects", "send", "dead/letters.heka", "--lines", "--to", &address]);
    assert!(outcome.stderr.contains("1 dead letter of the other kind not sent"), "{outcome:?}");
    assert!(outcome.ok().contains("1 record sent"));
    let count = ["cat", "archive/messages.heka", "-m", "Payload =~ /^oops/", "-f", "count"];
    wait_until("the record arrives", || dir.nilo(count).stdout.starts_with("1 of"));
    // A receiver that does not acknowledge is told from one that does.
    let said = dir.nilo(["rejects", "send", "dead/letters.heka", "--to", &address, "--acknowledge", "--timeout", "1s"]).failed(1);
    assert!(said.contains("set `acknowledge = true` at the receiver"), "{said}");
    nilo.signal(Signal::TERM);
    nilo.end().ok();
}

#[test]
fn exit_code_0_says_that_all_is_accepted() {
    let (dir, _) = with_letters();
    let twice = std::fs::read(dir.path("dead/letters.heka")).unwrap().repeat(2);
    dir.write("twice.heka", twice);
    let length = dir.nilo(["rejects", "cat", "dead/letters.heka", "-f", "heka", "--plugin", "output.archive"]).bytes.len();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // A receiver that accepts so many of the two messages, and leaves.
    let send = |accepts: u64| {
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut peer = listener.accept().unwrap().0;
                peer.write_all(b"NILOACK1").unwrap();
                peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                peer.read_exact(&mut vec![0; 2 * length]).unwrap();
                peer.write_all(&(length as u64 * accepts).to_be_bytes()).unwrap();
            });
            dir.nilo(["rejects", "send", "twice.heka", "--plugin", "output.archive", "--to", &address, "--acknowledge"])
        })
    };
    let said = send(1).failed(1);
    assert!(said.contains("it closed the connection; 2 were sent, 1 were accepted"), "{said}");
    assert_eq!(send(2).ok(), format!("2 messages sent to {address}, all of them accepted\n"));
    let said = send(3).failed(1);
    assert!(said.contains("it acknowledges "), "{said}");
}

#[test]
fn what_is_not_whole_cannot_be_replayed() {
    let (dir, app) = with_letters();
    let address = address();
    let json = dir.nilo(["cat", "dead/letters.heka"]).ok();
    dir.write("letters.json", &json);
    let cut =
        "{\"type\":\"nilometer.reject\",\"plugin\":\"output.x\\u001b[2J\",\"reason\":\"no\",\"original_type\":\"t\",\"truncated\":true}\n";
    dir.write("cut.json", cut.to_owned() + "{\"type\":\"other\"}\n");
    let list = dir.nilo(["rejects", "list", "letters.json", "cut.json"]);
    assert!(list.stderr.contains("1 message left out: no dead letters"), "{list:?}");
    assert!(list.ok().contains("output.x\\x1b[2J         0        0    1"));

    let door = app.replace("once = true", "") + &toml()[1].replace("127.0.0.1:5565", &address);
    let nilo = running(&dir, &door, &address);
    let send = |file: &str| dir.nilo(["rejects", "send", file, "--to", &address, "--acknowledge"]).failed(1);
    let said = send("cut.json");
    assert!(said.contains("1 of 1 dead letters cannot be sent: the original was longer than 1 MiB"), "{said}");
    let said = send("letters.json");
    assert!(said.contains("kept as JSON, which cannot hold an original message"), "{said}");
    nilo.signal(Signal::KILL);
    nilo.end();
    let said = send("dead/letters.heka");
    assert!(said.contains(&format!("nilo: {address}: Connection refused")), "{said}");
}
