//! A count held in a script's state, over `kill -9`s: it must come out exact.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::address::listening;
use super::feed::{self, tail::Tail};
use super::ledger::Ledger;
use super::random::Random;
use super::report::Report;
use super::stage::{Load, Places, Source, input};
use crate::daemon::Daemon;
use crate::prove::follow::Follow;

/// Counts by the numbers that stand in the records, which say whether one is missing or came again.
const SCRIPT: &str = r#"
total, missing, repeated = 0, 0, 0
last = {}

function process_message()
    local stream, number = read_message("Payload"):match("^#(%d+):(%d+):")
    number = tonumber(number)
    local before = last[stream] or 0
    if number > before then
        total = total + 1
        missing = missing + (number - before - 1)
        last[stream] = number
    else
        repeated = repeated + 1
    end
    return 0
end

function timer_event()
    inject_payload("txt", "count", string.format("%d %d %d", total, missing, repeated))
end
"#;

/// What the script said last.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Count {
    total: u64,
    missing: u64,
    repeated: u64,
}

impl Count {
    fn read(line: &[u8]) -> Option<Count> {
        let numbers: Option<Vec<u64>> = std::str::from_utf8(line).ok()?.split(' ').map(|n| n.parse().ok()).collect();
        let [total, missing, repeated] = numbers?[..] else { return None };
        Some(Count { total, missing, repeated })
    }
}

fn config(source: Source, places: &Places) -> String {
    let durable = if source == Source::Tail { "" } else { "durable = true\n" };
    format!(
        "[nilo]\nstate = \"{{dir}}/state\"\nsnapshot = \"200ms\"\n{}\
         [filter.count]\ntype = \"lua\"\nscript = \"{{dir}}/count.lua\"\nevery = \"50ms\"\nfrom = [\"input.{}\"]\n{durable}\
         [output.count]\ntype = \"file\"\ndir = \"{{dir}}/out\"\nname = \"count\"\nfrom = [\"filter.count\"]\nencoder = \"line\"\n",
        input(source, places),
        if source == Source::Tail { "tail" } else { "tcp" },
    )
}

/// The senders; there is one.
enum Sender {
    Tail(Tail),
    Tcp(feed::Feeder),
}

impl Sender {
    fn start(source: Source, ledger: &Ledger, daemon: &Daemon, places: &Places, rate: u64) -> Result<Sender> {
        Ok(match source {
            Source::Tail => Sender::Tail(Tail::start(ledger, daemon.path("in.log"), rate)?),
            _ => Sender::Tcp(feed::tcp::start(ledger.stream("tcp"), places.tcp_in, rate)?),
        })
    }

    fn finish(self, limit: Duration) -> Result<()> {
        match self {
            Sender::Tail(tail) => tail.finish(limit),
            Sender::Tcp(feeder) => feeder.finish(limit),
        }
    }
}

/// Kills so often while lines from `tail`, or messages from `tcp` that are acknowledged, are counted.
///
/// # Errors
/// When `nilo` does not run, or ends by itself.
pub fn torture(load: &Load, source: Source, kills: usize) -> Result<Report> {
    let (mut daemon, ledger, mut random) = (load.daemon("count")?, Ledger::new(), Random::new(load.seed));
    let places = Places { tcp_in: listening()?, http_in: listening()?, tcp_out: listening()?, http_out: listening()? };
    daemon.write("count.lua", SCRIPT)?;
    daemon.configure(&config(source, &places))?;
    let sender = Sender::start(source, &ledger, &daemon, &places, load.rate)?;
    let (mut out, mut last, mut restarts) = (Follow::new(daemon.path("out/count")), Count::default(), Vec::new());
    for run in 0..=kills {
        // What the one before had written is no sign of this one.
        out.lines(|line| last = Count::read(line).unwrap_or(last));
        let (start, mut seen) = (Instant::now(), false);
        daemon.start()?;
        daemon.wait_for("count", load.limit, || {
            out.lines(|line| (last, seen) = (Count::read(line).unwrap_or(last), true));
            seen.then_some(())
        })?;
        restarts.extend((run > 0).then(|| start.elapsed()));
        std::thread::sleep(Duration::from_millis(random.within(50..701)));
        if run < kills {
            daemon.kill()?;
        }
    }
    let mut broken: Vec<String> = sender.finish(load.limit).err().map(|e| e.to_string()).into_iter().collect();
    let issued = ledger.issued();
    // What is not counted in time shows in the report.
    let _ = daemon.wait_for("end of the count", load.limit, || {
        out.lines(|line| last = Count::read(line).unwrap_or(last));
        (last.total + last.missing >= issued).then_some(())
    });
    daemon.stop()?;
    out.lines(|line| last = Count::read(line).unwrap_or(last));
    let exact = last.total == issued && last.missing == 0 && (last.repeated == 0 || source != Source::Tail);
    if !exact {
        broken.push(format!("counted {last:?}, written {issued}\n{}", daemon.log_end()));
    }
    let mut report = Report::new(format!("a count over kill -9, from {source:?}, seed {}", load.seed), &ledger, Vec::new());
    (report.runs, report.restarts, report.broken) = (kills + 1, restarts, broken);
    report
        .notes
        .push(format!("{kills} kills: {issued} written, {} counted, {} missing, {} seen again", last.total, last.missing, last.repeated));
    Ok(report)
}
