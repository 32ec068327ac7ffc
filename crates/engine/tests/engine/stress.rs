//! Edits and changes at random while messages flow: a stable output gets each of them once and in
//! order, and a count held in Lua is exact.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::board::{assert_conservation, board, plan, start};

/// What the configuration has at the moment; each change is one toggle.
#[derive(Default)]
struct Shape {
    toggles: u32,
}

impl Shape {
    fn on(&self, n: u32) -> bool {
        self.toggles >> n & 1 == 1
    }

    fn toml(&self) -> String {
        let pick = |n, a: &'static str, b: &'static str| if self.on(n) { a } else { b };
        let mut toml = format!(
            "[output.all]\ntype = 'board'\nboard = 'stress_all'\nfrom = ['input.lines']\nbatch_count = {}\nwhen_full = '{}'\n\
             [output.counts]\ntype = 'board'\nboard = 'stress_counts'\nfrom = ['filter.count']\nmatch = 'Type != \"nilometer.failed\"'\nretry_max = '{}'\n\
             [filter.count]\ntype = 'lua'\nscript = 'count.lua'\nfrom = ['input.lines']\nmemory_limit = '{}'\nqueue = '{}'\n\
             [input.lines]\ntype = 'board'\nboard = 'stress'\nmax_record = '{}'\n",
            pick(0, "100", "10000"),
            pick(1, "hold", "block"),
            pick(2, "1s", "2s"),
            pick(3, "4MiB", "8MiB"),
            pick(4, "64KiB", "1MiB"),
            pick(5, "1KiB", "2KiB"),
        );
        if self.on(6) {
            toml += "[output.guest]\ntype = 'board'\nboard = 'stress_guest'\nmatch = 'TRUE'\n";
        }
        if self.on(7) {
            toml += "[filter.guest]\ntype = 'count'\nmatch = 'TRUE'\nevery = '5ms'\n";
        }
        toml
    }
}

/// `quirk` is what makes this version another one.
fn script(dir: &Path, version: u32, quirk: &str) {
    let text = format!(
        "count = 0\nlocal version, seen = {version}, 0\nfunction process_message()\n{quirk}\ncount = count + 1\n\
         inject_payload('txt', '', count)\nreturn 0\nend\n"
    );
    std::fs::write(dir.join("count.lua"), text).unwrap();
}

/// xorshift: the same changes in each run, at other moments.
fn random(state: &mut u64) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 33) as u32
}

#[test]
fn edits_and_changes_neither_lose_nor_double_nor_reorder() {
    let dir = tempfile::tempdir().unwrap();
    let mut shape = Shape::default();
    script(dir.path(), 0, "");
    let engine = start(dir.path(), &shape.toml());
    let (input, over) = (board("stress"), AtomicBool::new(false));
    let fed = std::thread::scope(|s| {
        let feeder = s.spawn(|| {
            let mut next = 0;
            while !over.load(Relaxed) {
                let mut text = String::new();
                (next..next + 50).for_each(|n| writeln!(text, "{n}").unwrap());
                input.feed(&text);
                next += 50;
                // 50,000 lines a second.
                std::thread::sleep(Duration::from_millis(1));
            }
            next
        });
        s.spawn(|| {
            let (mut seed, end) = (0x9e37_79b9_7f4a_7c15, Instant::now() + Duration::from_millis(1500));
            let mut version = 0;
            while Instant::now() < end {
                version += 1;
                match random(&mut seed) % 4 {
                    0 => script(dir.path(), version, ""),
                    1 => script(dir.path(), version, "seen = seen + 1 if seen == 20 then error('this version fails') end"),
                    2 => script(dir.path(), version, "this is not Lua"),
                    _ => {
                        script(dir.path(), version, "");
                        shape.toggles ^= 1 << (random(&mut seed) % 8);
                        engine.reload(plan(dir.path(), &shape.toml())).unwrap();
                        continue;
                    }
                }
                engine.reload_changed_scripts();
            }
            // In the end the version is a sound one, whatever failed before.
            script(dir.path(), version + 1, "");
            engine.reload_changed_scripts();
            over.store(true, Relaxed);
        });
        feeder.join().unwrap()
    });
    board("stress_all").wait_for(fed);
    let counts = board("stress_counts").wait_for(fed);
    let summary = engine.stop();
    let all = board("stress_all").written.lock().unwrap().clone();
    assert_eq!(all.len(), fed);
    assert!(all.iter().zip(0..).all(|(line, n)| *line == n.to_string()), "each line once and in order");
    assert!(counts.iter().zip(1..).all(|(line, n)| *line == n.to_string()), "each message is counted once");
    assert_conservation(&summary.status);
}

#[test]
fn an_input_that_goes_and_comes_back_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), 0, "");
    let toml = |input: bool| {
        let lines = "[input.goer]\ntype = 'board'\nboard = 'goer'\n";
        format!("[output.goer]\ntype = 'board'\nboard = 'goer'\nmatch = 'TRUE'\n{}", if input { lines } else { "" })
    };
    let engine = start(dir.path(), &toml(true));
    let lines: Vec<String> = (0..200_000).map(|n| n.to_string()).collect();
    board("goer").feed(&(lines.join("\n") + "\n"));
    for there in [false, true].repeat(20) {
        engine.reload(plan(dir.path(), &toml(there))).unwrap();
    }
    let written = board("goer").wait_for(lines.len());
    engine.stop();
    assert!(written == lines, "each line once and in order");
}
