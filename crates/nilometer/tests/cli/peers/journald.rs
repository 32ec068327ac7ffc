//! Journal files as systemd-journal-remote writes them, and journalctl's cursors.

use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use xtask::package::{self, JOURNAL_REMOTE};

use super::there;
use crate::nilo::{Dir, Running, wait_until};

/// Adds entries with these numbers to a journal file, by way of the export format.
fn add(dir: &Dir, file: &str, numbers: Range<u64>) {
    let mut export = String::new();
    for n in numbers {
        let (time, unit) = (1_700_000_000_000_000 + n, if n % 2 == 0 { "even" } else { "odd" });
        // Long enough to be packed.
        let long = "packed and unpacked ".repeat(100);
        write!(
            export,
            "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={n}\n_BOOT_ID=0123456789abcdef0123456789abcdef\nMESSAGE=entry {n}\nPRIORITY=4\n\
             _HOSTNAME=far\nSYSLOG_IDENTIFIER=test\n_PID=42\n_SYSTEMD_UNIT={unit}.service\nSYSLOG_FACILITY=3\nLONG={long}\n\n"
        )
        .unwrap();
    }
    let mut remote = JOURNAL_REMOTE.command("systemd-journal-remote").unwrap();
    let libraries = JOURNAL_REMOTE.libraries().into_iter().flat_map(|lib| [lib.join("systemd"), lib]);
    remote.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap());
    let file = dir.path(&format!("journal/{file}"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    remote.arg("--split-mode=none").arg("-o").arg(file).arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = remote.spawn().unwrap();
    child.stdin.take().unwrap().write_all(export.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn run(dir: &Dir) -> Running {
    dir.write(
        "nilo.toml",
        "[nilo]\nstate = 'state'\n[input.journal]\ntype = 'journald'\npath = 'journal'\npoll = '50ms'\n\
         [output.out]\ntype = 'file'\nmatch = 'TRUE'\ndir = 'out'\nname = 'out.json'\nencoder = 'json'\n",
    );
    dir.spawn(["run", "nilo.toml"])
}

fn received(dir: &Dir) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.path("out/out.json")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn wait_for(dir: &Dir, entries: usize) {
    wait_until("all entries arrive", || received(dir).len() >= entries);
}

fn stop(nilo: Running) {
    nilo.signal(Signal::TERM);
    nilo.end().ok();
}

#[test]
fn real_journal_files_are_followed_over_rotation_and_restarts() {
    if !there(&[JOURNAL_REMOTE]) {
        return;
    }
    let dir = Dir::with(&[]);
    add(&dir, "remote.journal", 0..20);
    let nilo = run(&dir);
    wait_for(&dir, 20);
    add(&dir, "remote.journal", 20..40);
    wait_for(&dir, 40);
    stop(nilo);
    // Written to and rotated while nobody looks.
    add(&dir, "remote.journal", 40..50);
    std::fs::rename(dir.path("journal/remote.journal"), dir.path("journal/remote@1.journal")).unwrap();
    add(&dir, "remote.journal", 50..60);
    let nilo = run(&dir);
    wait_for(&dir, 60);
    std::fs::remove_file(dir.path("journal/remote@1.journal")).unwrap();
    add(&dir, "remote.journal", 60..65);
    wait_for(&dir, 65);
    stop(nilo);
    let all = received(&dir);
    let payloads: Vec<_> = all.iter().map(|m| m["payload"].as_str().unwrap()).collect();
    assert_eq!(payloads, (0..65).map(|n| format!("entry {n}")).collect::<Vec<_>>());
    let m = &all[7];
    assert_eq!((&m["type"], &m["hostname"], &m["logger"]), (&"journald".into(), &"far".into(), &"test".into()), "{m:#}");
    assert_eq!((&m["severity"], &m["pid"], &m["facility"]), (&4.into(), &42.into(), &3.into()), "{m:#}");
    assert_eq!((&m["systemd_unit"], m["long"].as_str().map(str::len)), (&"odd.service".into(), Some(2000)), "{m:#}");
}

#[test]
fn journalctl_reads_the_same() {
    if !there(&[JOURNAL_REMOTE]) || package::in_path("journalctl").is_none() {
        return;
    }
    let dir = Dir::with(&[]);
    add(&dir, "remote.journal", 0..300);
    let nilo = run(&dir);
    wait_for(&dir, 300);
    stop(nilo);
    let journalctl = |args: &[&str]| {
        let output = Command::new("journalctl").arg("-D").arg(dir.path("journal")).args(["--no-pager", "-q"]).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let theirs: Vec<Value> = journalctl(&["-o", "json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ours = received(&dir);
    assert_eq!(theirs.len(), ours.len());
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!((&theirs["MESSAGE"], &theirs["LONG"]), (&ours["payload"], &ours["long"]));
        assert_eq!(&theirs["_SYSTEMD_UNIT"], &ours["systemd_unit"]);
    }
    // What the checkpoint notes is a cursor.
    let cursor = journalctl(&["-n", "1", "-o", "cat", "--show-cursor"]);
    let cursor = cursor.lines().find_map(|line| line.strip_prefix("-- cursor: ")).unwrap().to_string();
    let noted = std::fs::read_dir(dir.path("state/checkpoints")).unwrap().flatten().filter(|e| e.path().is_file());
    let noted = noted.filter_map(|e| std::fs::read(e.path()).ok()).any(|bytes| bytes.windows(cursor.len()).any(|w| w == cursor.as_bytes()));
    assert!(noted, "{cursor} is in no checkpoint");
}
