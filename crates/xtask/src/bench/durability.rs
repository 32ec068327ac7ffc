//! What it costs that nothing is lost: W1, W4 and W9 without a state directory, with one, and with everything
//! written to the journal before it is acknowledged.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use super::contender::{Case, Contender, LIMIT, RATE, command_to_end, rates};
use super::inputs::{self, AccessLog};
use super::relay::{self, Link};
use super::tcp::{self, free_address};
use super::{Settings, tail};
use crate::daemon::Daemon;

/// Seconds of CPU for a million lines.
pub const COST: &str = "CPU-s/M";

const STATE: &str = "[nilo]\nstate = \"{dir}/state\"\n";

/// A relay that loses what is under way when an end dies.
const PLAIN: Link = Link { acknowledge: false, durable: false };

/// Values of `journal_sync`, and what their rows are called.
const SYNCS: &[(&str, &str)] = &[("never", "durable, never synced"), ("200ms", "durable, 200ms"), ("always", "durable, always")];

/// Groups W1, W4 and W9, each beside what it takes in memory.
pub fn cost(settings: &Settings) -> Result<Vec<Contender>> {
    let mut all = from_file(settings)?;
    all.extend(over_tcp(settings)?);
    all.extend(relayed(settings)?);
    Ok(all.into_iter().map(costed).collect())
}

fn costed(contender: Contender) -> Contender {
    let mut run = contender.run;
    let run = move || {
        let mut values = run()?;
        if let Some((_, rate)) = values.iter().find(|(name, _)| *name == RATE) {
            values.insert(0, (COST, 1000.0 / rate));
        }
        Ok(values)
    };
    Contender { run: Box::new(run), ..contender }
}

fn synced(every: &str) -> String {
    format!("{STATE}journal_sync = \"{every}\"\n")
}

/// A file can be read again: its positions are all that is written. Only an output that is stuck has its lines journalled.
fn from_file(settings: &Settings) -> Result<Vec<Contender>> {
    let log = AccessLog::make(&settings.dir, settings.lines(6_000_000))?;
    let null = |name: &str, globals: &str| tail::nilo(settings, "durability", name, &log, tail::to_null(globals, &log), "", |_, _| Ok(()));
    let file = |name: &str, globals: &str| tail::nilo(settings, "durability", name, &log, to_file(globals, &log), "", whole);
    let [spilled, read_back] = stuck(settings.case("durability", "stuck"), &log);
    let null = [null("in memory", "").floor(), null("state", STATE)];
    let file = [file("in memory", "").floor(), file("state", STATE), spilled, read_back];
    Ok(null.into_iter().map(|c| c.of("W1")).chain(file.into_iter().map(|c| c.of("W1 to a file"))).collect())
}

fn to_file(globals: &str, log: &AccessLog) -> String {
    tail::input(globals, log, "none")
        + "[output.lines]\ntype = \"file\"\ndir = \"{dir}/out\"\nname = \"lines\"\nmatch = 'TRUE'\nencoder = \"line\"\n"
}

fn whole(daemon: &Daemon, log: &AccessLog) -> Result<()> {
    let (found, size) = (fs::metadata(daemon.path("out/lines"))?.len(), fs::metadata(&log.path)?.len());
    ensure!(found == size, "{found} bytes came out, {size} went in");
    Ok(())
}

/// What an output keeps in memory that nobody answers, and what its input has read beyond that.
const IN_MEMORY: u64 = 4 << 20;

/// An output whose other end is not there, so that everything goes to the journal; and another process that reads it
/// from there, into a file.
fn stuck(case: Case, log: &AccessLog) -> [Contender; 2] {
    let left: Rc<RefCell<Option<Daemon>>> = Rc::default();
    let (log, there) = (log.clone(), left.clone());
    let again = log.clone();
    let spilled = Contender::new("output stuck, all spilled", move || {
        let size = fs::metadata(&log.path)?.len();
        let config = format!(
            "{}[output.lines]\ntype = \"tcp\"\naddress = \"{}\"\nmatch = 'TRUE'\nencoder = \"line\"\nqueue = \"256KiB\"\n",
            tail::input(&format!("{STATE}grace = \"10ms\"\n"), &log, "none"),
            free_address()?
        );
        let mut daemon = case.prepare(&config, &[])?;
        daemon.start()?;
        let journal = daemon.path("state/journal");
        let usage = daemon.take_process()?.finish_when(LIMIT, || bytes(&journal) + IN_MEMORY >= size).with_context(|| daemon.log_end())?;
        left.replace(Some(daemon));
        Ok(rates(log.lines, usage))
    });
    let read_back = Contender::new("read back from the journal", move || {
        let mut daemon = there.take().context("nothing was spilled")?;
        daemon.configure(&to_file(STATE, &again))?;
        daemon.start()?;
        let usage = daemon.take_process()?.finish(LIMIT).with_context(|| daemon.log_end())?;
        whole(&daemon, &again)?;
        Ok(rates(again.lines, usage))
    });
    [spilled, read_back]
}

/// Of the files of a directory; none if it is not there yet.
fn bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|m| m.len()).sum()
}

fn over_tcp(settings: &Settings) -> Result<Vec<Contender>> {
    let lines = settings.lines(12_000_000);
    let file = inputs::syslog(&settings.dir, lines)?;
    let nilo = |name: &str, globals: &str, output: &str| {
        tcp::nilo(settings.case("durability", name), name, &file, lines, globals, output).of("W4")
    };
    let mut all = vec![
        appended("dd, 256 KiB at a time", file.clone(), lines, None),
        appended("dd, and then synced", file.clone(), lines, Some("conv=fdatasync")),
        tcp::bare(&file, lines),
    ];
    all = all.into_iter().map(|c| c.of("W4")).collect();
    all.extend([nilo("in memory", "", "").floor(), nilo("state", STATE, "")]);
    all.extend(SYNCS.iter().map(|(every, name)| nilo(name, &synced(every), "durable = true\n")));
    Ok(all)
}

/// What it takes to write the same bytes to a fresh file, and nothing else.
fn appended(name: &str, file: PathBuf, lines: u64, option: Option<&'static str>) -> Contender {
    Contender::machine(name, move || {
        let dir = tempfile::TempDir::with_prefix("bench-")?;
        let out = dir.path().join("out");
        let mut command = Command::new("dd");
        command.args(["bs=256K", "status=none"]).args(option);
        command.arg(format!("if={}", file.display())).arg(format!("of={}", out.display()));
        let usage = command_to_end(&mut command)?;
        let (found, size) = (fs::metadata(&out)?.len(), fs::metadata(&file)?.len());
        ensure!(found == size, "{found} bytes came out, {size} went in");
        Ok(rates(lines, usage))
    })
}

fn relayed(settings: &Settings) -> Result<Vec<Contender>> {
    let log = AccessLog::make(&settings.dir, settings.lines(3_000_000))?;
    let nilo = |name: &str, globals: &str, link: Link| relay::nilo(settings, "durability", name, &log, globals, link).of("W9");
    let mut all = vec![nilo("in memory", "", PLAIN).floor(), nilo("state", STATE, PLAIN)];
    all.push(nilo("acknowledged", STATE, Link { acknowledge: true, ..PLAIN }));
    let durable = Link { acknowledge: true, durable: true };
    let synced = SYNCS.iter().filter(|(every, _)| *every != "never");
    all.extend(synced.map(|(every, name)| nilo(&format!("acknowledged, {name}"), &self::synced(every), durable)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_what_a_million_lines_take() {
        let mut costed = costed(Contender::new("x", || Ok(vec![(RATE, 4000.0), ("CPU-s", 3.0)])).of("W4").floor());
        assert_eq!((costed.run)().unwrap(), [(COST, 0.25), (RATE, 4000.0), ("CPU-s", 3.0)]);
        assert_eq!((&*costed.group, costed.floor), ("W4", true));
    }

    #[test]
    fn files_of_a_directory_are_added_up() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(bytes(&dir.path().join("missing")), 0);
        fs::write(dir.path().join("a"), [0; 3]).unwrap();
        fs::write(dir.path().join("b"), [0; 4]).unwrap();
        assert_eq!(bytes(dir.path()), 7);
    }
}
