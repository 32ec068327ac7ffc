use std::fs;
use std::path::Path;
use std::time::Instant;

use message::Value;
use plugin::Clock;
use testkit::intake::{RecordingIntake, Running as Input_, Seen, start, start_at};

use super::*;

fn input(toml: &str) -> Result<Box<dyn Input>, String> {
    testkit::plugins::input(&KIND, toml)
}

/// Runs a script of the shell.
fn begin(script: &str, more: &str) -> (RecordingIntake, Input_) {
    let intake = RecordingIntake::default();
    let running = start(input(&format!("command = ['sh', '-c', '''{script}''']\n{more}")).unwrap(), &intake);
    (intake, running)
}

/// What went wrong: text, status and signal.
fn errors(seen: &Seen) -> Vec<(String, Option<i64>, Option<i64>)> {
    let messages = seen.made.iter().flat_map(|batch| batch.iter()).filter(|m| m.type_() == b"exec.error");
    messages
        .map(|m| {
            let integer = |name: &[u8]| match m.value(name, 0, 0) {
                Some(Value::Integer(n)) => Some(n),
                _ => None,
            };
            assert!(matches!(m.value(b"duration", 0, 0), Some(Value::Double(d)) if d >= 0.0));
            (String::from_utf8_lossy(m.payload()).into_owned(), integer(b"exit_status"), integer(b"signal"))
        })
        .collect()
}

fn count(running: &Input_, name: &str) -> u64 {
    running.meter().read().into_iter().find(|(n, _)| *n == name).map_or(0, |(_, n)| n)
}

/// Waits until the process whose number is in the file is gone: that it was killed takes a moment to show.
fn wait_until_gone(pid_file: &Path) {
    let begun = Instant::now();
    while !is_gone(pid_file) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is still there");
        std::thread::yield_now();
    }
}

fn is_gone(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    // One that nobody has waited for yet has ended all the same.
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X']))
}

/// A file that a script writes a number of a process to.
fn pid_file() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pid");
    (dir, path)
}

fn has_pid(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n'))
}

#[test]
fn both_outputs_are_streams_of_their_own() {
    let (intake, running) = begin("echo one; echo two >&2; printf three", "every = '1h'");
    running.wait_for(|seen| seen.streams.len() == 2 && seen.streams[0].ends == [9] && seen.streams[1].ends == [4]);
    running.stop().unwrap();
    let seen = intake.seen();
    let field = |name: &str| vec![("stream".to_string(), name.to_string())];
    assert_eq!((seen.streams[0].lines(), &seen.streams[0].options.fields), (vec!["one".to_string(), "three".into()], &field("stdout")));
    assert_eq!((seen.streams[1].lines(), &seen.streams[1].options.fields), (vec!["two".to_string()], &field("stderr")));
    assert!(errors(&seen).is_empty() && seen.streams.iter().all(|s| s.closed));
}

#[test]
fn no_shell_looks_at_arguments() {
    let intake = RecordingIntake::default();
    let running = start(input("command = ['printf', '%s|', '$HOME *', '; exit 3']\nstderr = false").unwrap(), &intake);
    running.wait_for(|seen| seen.bytes() == b"$HOME *|; exit 3|");
}

#[test]
fn it_runs_again_when_it_is_time() {
    let clock = Clock::standing(1_000_000_000);
    let intake = RecordingIntake::default();
    let running = start_at(input("command = ['echo', 'x']\nevery = '10s'").unwrap(), &intake, clock.clone());
    for turn in 1..4 {
        running.wait_for(|seen| seen.streams.len() == 2 && seen.streams[0].ends.len() == turn && seen.polls > 2);
        assert_eq!(count(&running, "runs"), turn as u64);
        clock.set(1_000_000_000 + turn as i64 * 10_000_000_000);
    }
    running.wait_for(|seen| seen.bytes() == b"x\nx\nx\nx\n");
}

#[test]
fn environment_and_directory_are_as_configured() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let more = format!("environment = {{ A = 'of mine' }}\ninherit_environment = false\nworking_dir = {dir:?}\nevery = '1h'");
    let (_, running) = begin("echo \"$A,$HOME,$PWD\"; read x || echo nothing to read", &more);
    let expected = format!("of mine,,{}\nnothing to read\n", dir.display());
    running.wait_for(|seen| seen.bytes() == expected.as_bytes());
}

#[test]
fn failures_are_told() {
    for (script, more, told, status, signal) in [
        ("exit 3", "", "ended with status 3", Some(3), None),
        ("kill -9 $$", "", "ended by signal 9", None, Some(9)),
        ("sleep 600", "timeout = '50ms'", "after 50ms (option `timeout`)", None, Some(15)),
        ("trap \"\" TERM; while :; do sleep 600; done", "timeout = '50ms'", "after 50ms (option `timeout`)", None, Some(9)),
        ("exec yes", "max_output = '100000B'", "(option `max_output`)", None, Some(13)),
    ] {
        let (intake, running) = begin(script, &format!("every = '1h'\n{more}"));
        running.wait_for(|seen| !errors(seen).is_empty());
        assert_eq!((count(&running, "runs"), count(&running, "failed_runs")), (1, 1));
        running.stop().unwrap();
        let error = errors(&intake.seen()).remove(0);
        assert!(error.0.contains(told) && error.1 == status && (error.2 == signal || told.contains("max_output")), "{script}: {error:?}");
    }
    let intake = RecordingIntake::default();
    let running = start(input("command = ['/no/such/program']\nevery = '1h'").unwrap(), &intake);
    running.wait_for(|seen| errors(seen).first().is_some_and(|e| e.0.contains("cannot be started") && e.0.contains("No such file")));
}

#[test]
fn output_is_taken_to_the_last_byte_allowed() {
    for (n, failures) in [(100_000, 0), (100_001, 1)] {
        let (intake, running) = begin(&format!("head -c {n} /dev/zero"), "every = '1h'\nmax_output = '100000B'");
        running.wait_for(|seen| seen.streams.len() == 2 && !seen.streams[1].ends.is_empty());
        running.stop().unwrap();
        let seen = intake.seen();
        assert_eq!((seen.bytes().len(), errors(&seen).len()), (100_000, failures));
    }
}

#[test]
fn a_run_may_be_one_piece() {
    let text: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    let (_, running) = begin("seq 0 19999; echo e1 >&2; echo e2 >&2", "whole = true\nevery = '1h'");
    running.wait_for(|seen| seen.streams.len() == 2 && seen.streams[1].pushed == [b"e1\ne2\n"]);
    running.wait_for(|seen| seen.streams[0].pushed == [text.as_bytes()]);
}

#[test]
fn runs_do_not_overlap() {
    let (_, running) = begin("sleep 600", "every = '10ms'");
    running.wait_for(|_| count(&running, "skipped_runs") >= 3);
    assert_eq!(count(&running, "runs"), 1);
}

#[test]
fn a_stop_ends_the_whole_group() {
    for script in ["sleep 600 & echo $! > PID; wait", "trap \"\" TERM; sleep 600 & echo $! > PID; while :; do sleep 600; done"] {
        let (_dir, pid) = pid_file();
        let (_, running) = begin(&script.replace("PID", &pid.display().to_string()), "");
        running.wait_for(|_| has_pid(&pid));
        running.stop().unwrap();
        wait_until_gone(&pid);
    }
}

#[test]
fn what_a_command_leaves_behind_is_ended_with_it() {
    let (_dir, pid) = pid_file();
    let (_, running) =
        begin(&format!("(trap \"\" TERM; echo here; exec sleep 600) & echo $! > {}; echo done", pid.display()), "every = '1h'");
    running.wait_for(|seen| seen.streams.len() == 2 && !seen.streams[1].ends.is_empty());
    wait_until_gone(&pid);
    running.wait_for(|seen| errors(seen).is_empty());
}

#[test]
fn what_is_written_at_the_end_is_taken() {
    let (intake, running) = begin("trap \"echo goodbye; exit\" TERM; echo hello; while :; do sleep 0.01; done", "restart = true");
    running.wait_for(|seen| seen.streams.first().is_some_and(|s| s.bytes == b"hello\n"));
    running.stop().unwrap();
    assert_eq!(intake.seen().streams[0].lines(), ["hello", "goodbye"]);
}

#[test]
fn one_that_goes_on_is_started_again_after_growing_pauses() {
    let clock = Clock::standing(1_000_000_000);
    let intake = RecordingIntake::default();
    let running = start_at(input("command = ['echo', 'x']\nrestart = true").unwrap(), &intake, clock.clone());
    let mut now = 1_000_000_000;
    for (run, pause) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        running.wait_for(|seen| errors(seen).len() == run + 1);
        // It has seen what time it was when the run ended.
        let polls = intake.seen().polls;
        running.wait_for(|seen| seen.polls > polls + 1);
        now += pause * 1_000_000_000;
        clock.set(now - 1);
        let polls = intake.seen().polls;
        running.wait_for(|seen| seen.polls > polls + 1);
        assert_eq!(count(&running, "runs"), run as u64 + 1, "before the pause of {pause} s is over");
        clock.set(now);
    }
    running.wait_for(|_| count(&running, "runs") == 9);
    assert!(errors(&intake.seen())[0].0.contains("ended with status 0"));
}

#[test]
fn what_cannot_work_is_refused_when_it_is_configured() {
    for (toml, told) in [
        ("command = []", "names no program"),
        ("command = ['']", "names no program"),
        ("command = ['a', \"b\\u0000\"]", "zero byte"),
        ("command = 'a'\nevery = '1ms'", "too short"),
        ("command = 'a'\nevery = '1s'\nrestart = true", "`every` with `restart`"),
        ("command = 'a'\ntimeout = '1s'\nrestart = true", "`timeout` with `restart`"),
        ("command = 'a'\nenvironment = { 'A=' = 'x' }", "no valid name"),
        ("command = 'a'\nenvironment = { A = 1 }", "is not a string"),
    ] {
        let problem = input(toml).err().unwrap();
        assert!(problem.contains(told), "{problem}");
    }
}
