//! `nilo tail`.

use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::nilo::{Dir, wait_until};

const LOG: &str = "\
10.0.0.1 - - [01/Mar/2026:10:00:00 +0000] \"GET /a HTTP/1.1\" 200 10 \"-\" \"curl\"
10.0.0.2 - - [01/Mar/2026:10:00:30 +0000] \"GET /b HTTP/1.1\" 500 20 \"-\" \"curl\"
10.0.0.3 - - [01/Mar/2026:10:01:10 +0000] \"GET /a HTTP/1.1\" 502 30 \"-\" \"curl\"
10.0.0.4 - - [01/Mar/2026:10:02:10 +0000] \"GET /a HTTP/1.1\" 200 40 \"-\" \"curl\"
";

const COUNT: &str = "\
count = 0
function process_message()
    count = count + 1
    return 0
end
function timer_event(ns)
    inject_payload('txt', 'count', 'count=' .. count .. '\\n')
end
";

#[test]
fn matching_lines_come_out_as_they_are() {
    let dir = Dir::with(&[("access.log", LOG)]);
    let lines: Vec<&str> = LOG.lines().collect();
    let matching = dir.nilo(["tail", "access.log", "--decode", "nginx", "--match", "Fields[status] >= 500", "--once"]).ok();
    assert_eq!(matching, format!("{}\n{}\n", lines[1], lines[2]));
    assert_eq!(dir.nilo(["tail", "access.log", "--once"]).ok(), LOG);
    assert_eq!(dir.nilo_with_input(["tail", "-", "--match", "Payload =~ /GET .b/"], LOG.as_bytes()).ok(), format!("{}\n", lines[1]));
}

#[test]
fn a_log_format_can_be_given_itself() {
    let dir = Dir::with(&[("access.log", "10.0.0.1 200\n10.0.0.2 404\n")]);
    let args = ["tail", "access.log", "--once", "--decode", "$remote_addr $status", "--match", "Fields[status] == 404"];
    assert_eq!(dir.nilo(args).ok(), "10.0.0.2 404\n");
}

#[test]
fn json_lines_come_out_as_they_are_or_as_asked() {
    let dir = Dir::with(&[("app.log", "{\"message\":\"a\", \"n\": 1}\n{\"message\":\"b\", \"n\": 2}\n")]);
    let args = ["tail", "app.log", "--once", "--decode", "json", "--match", "Fields[n] > 1"];
    assert_eq!(dir.nilo(args).ok(), "{\"message\":\"b\", \"n\": 2}\n");
    let json: serde_json::Value = serde_json::from_str(&dir.nilo(args.into_iter().chain(["--format", "json"])).ok()).unwrap();
    assert_eq!((&json["payload"], &json["n"]), (&"b".into(), &2.into()));
}

#[test]
fn lines_of_a_stack_trace_stay_together() {
    let dir = Dir::with(&[("app.log", "2026 ok\n2026 bad\n  at a\n  at b\n2026 ok\n")]);
    let args = ["tail", "app.log", "--once", "--multiline-start", r"^\d", "--match", "Payload =~ /bad/"];
    assert_eq!(dir.nilo(args).ok(), "2026 bad\n  at a\n  at b\n");
}

#[test]
fn what_a_script_injects_comes_out_and_nothing_else() {
    let dir = Dir::with(&[("access.log", LOG), ("count.lua", COUNT)]);
    let all = ["tail", "access.log", "--decode", "nginx", "--lua", "count.lua", "--once"];
    assert_eq!(dir.nilo(all).ok(), "count=4\n");
    assert_eq!(dir.nilo(all.into_iter().chain(["--match", "Fields[status] >= 500"])).ok(), "count=2\n");
    // Ticks come in the time of the messages.
    assert_eq!(dir.nilo(all.into_iter().chain(["--every", "1m"])).ok(), "count=2\ncount=3\ncount=4\n");
}

#[test]
fn a_script_reads_what_is_set() {
    let script = "function process_message() inject_payload('txt', '', read_config('limit') + 1, read_config('word')) return 0 end";
    let dir = Dir::with(&[("a.log", "x\n"), ("a.lua", script)]);
    assert_eq!(dir.nilo(["tail", "a.log", "--once", "--lua", "a.lua", "--set", "limit=41", "--set", "word=5 \"s\""]).ok(), "425 \"s\"\n");
}

#[test]
fn injected_messages_without_payload_are_json() {
    let script = "function process_message() inject_message{Type = 'x', Fields = {n = 5}} return 0 end";
    let dir = Dir::with(&[("a.log", "x\n"), ("a.lua", script)]);
    let json: serde_json::Value = serde_json::from_str(&dir.nilo(["tail", "a.log", "--once", "--lua", "a.lua"]).ok()).unwrap();
    assert_eq!(json["n"], 5);
}

#[test]
fn a_script_that_breaks_a_limit_fails_the_command() {
    let dir = Dir::with(&[("a.log", "x\n"), ("loop.lua", "function process_message() while true do end end")]);
    let said = dir.nilo(["tail", "a.log", "--once", "--lua", "loop.lua"]).failed(1);
    assert!(said.contains("filter.script") && said.contains("cpu_limit"), "{said}");
    dir.write("broken.lua", "function process_message(");
    let said = dir.nilo(["tail", "a.log", "--once", "--lua", "broken.lua"]).failed(3);
    assert!(said.contains("broken.lua:1"), "{said}");
}

#[test]
fn what_is_wrong_with_the_command_line_is_pointed_at() {
    let dir = Dir::with(&[("a.log", "x\n")]);
    let said = dir.nilo(["tail", "a.log", "--once", "--match", "Type = 'x'"]).failed(3);
    assert!(said.contains("equality is written `==`") && !said.contains('\x1b'), "{said}");
    assert!(dir.nilo(["tail", "a.log", "--once", "--decode", "ngnix"]).failed(3).contains("did you mean \"nginx\"?"));
    assert!(dir.nilo(["tail", "no.log", "--once"]).failed(1).contains("no.log: No such file"));
    assert!(dir.nilo(["tail", ".", "--once"]).failed(1).contains("is a directory"));
    dir.nilo(["tail"]).failed(2);
    dir.nilo(["tail", "a.log", "--every", "1s"]).failed(2);
}

#[test]
fn rejected_records_are_told_and_do_not_fail() {
    let dir = Dir::with(&[("app.log", "{\"a\":1}\nnot json\n{\"a\":\nnor this\n{\"a\":2}\n")]);
    let outcome = dir.nilo(["tail", "app.log", "--once", "--decode", "json"]);
    assert!(outcome.stderr.contains("3 records were rejected") && outcome.stderr.contains("found `n`"), "{outcome:?}");
    assert_eq!(outcome.ok(), "{\"a\":1}\n{\"a\":2}\n");
}

#[test]
fn names_with_pattern_characters_and_patterns_both_work() {
    let dir = Dir::with(&[("a[1].log", "one\n"), ("a1.log", "wrong\n"), ("logs/x.txt", "two\n")]);
    assert_eq!(dir.nilo(["tail", "a[1].log", "--once"]).ok(), "one\n");
    assert_eq!(dir.nilo(["tail", "logs/*.txt", "--once"]).ok(), "two\n");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let dir = Dir::with(&[]);
    dir.write("long.log", "a line that repeats itself\n".repeat(200_000));
    let mut child = Command::new(env!("CARGO_BIN_EXE_nilo"))
        .args(["tail", "long.log", "--from-start", "-d", "none"])
        .current_dir(dir.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 10];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut some).unwrap();
    drop(child.stdout.take());
    // It would follow the file for ever otherwise.
    let outcome = child.wait_with_output().unwrap();
    assert_eq!((outcome.status.code(), outcome.stderr), (Some(0), vec![]));
}

#[test]
fn following_begins_at_the_end() {
    let dir = Dir::with(&[("a.log", "old\n")]);
    let nilo = dir.spawn(["tail", "a.log"]);
    // What is written before it is ready is old, too.
    wait_until("a new line comes out", || {
        dir.append("a.log", "new\n");
        !nilo.stdout().is_empty()
    });
    nilo.signal(Signal::TERM);
    let out = nilo.end().ok();
    assert!(out.lines().all(|line| line == "new"), "{out}");
}

#[test]
fn scripts_are_reloaded_with_their_state() {
    let script =
        |text: &str| format!("n = 0\nfunction process_message() n = n + 1 inject_payload('txt', '', '{text} ' .. n) return 0 end\n");
    let dir = Dir::with(&[("a.log", "old\n"), ("count.lua", &script("first"))]);
    let nilo = dir.spawn(["tail", "a.log", "later.log", "--lua", "count.lua", "--from-start"]);
    nilo.wait_for_stderr("later.log does not exist yet");
    nilo.wait_for_stdout("first 1\n");
    dir.write("count.lua", script("second"));
    nilo.wait_for_stderr("reloaded; carried over: n");
    dir.append("later.log", "new\n");
    nilo.wait_for_stdout("second 2\n");
    dir.write("count.lua", "function process_message(");
    nilo.wait_for_stderr("the old version runs on: ");
    dir.append("a.log", "new\n");
    nilo.wait_for_stdout("second 3\n");
    nilo.signal(Signal::INT);
    assert_eq!(nilo.end().ok(), "first 1\nsecond 2\nsecond 3\n");
}
