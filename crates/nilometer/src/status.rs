//! `nilo status`: a running instance's numbers, as tables.

use std::fmt::Write;
use std::time::Duration;

use options::unit::show_size;
use serde_json::Value;

use crate::control::Instance;
use crate::{Failure, print, terminal};

/// Show what a running instance is doing: every plugin with its counters, every sandbox with its limits.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    instance: Instance,
    /// For programs.
    #[arg(long)]
    json: bool,
    /// Only say whether it is worth going on, in one line; exit code 1 when a worker is stuck or nobody answers.
    #[arg(long, conflicts_with_all = ["json", "ready"])]
    live: bool,
    /// Only say whether every plugin works, in one line; exit code 1 while one starts or backs off, at a stop, or when nobody answers.
    #[arg(long, conflicts_with = "json")]
    ready: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.live || args.ready {
        return probe(&args.instance, if args.live { "live" } else { "ready" });
    }
    let answer = args.instance.ask("status")?;
    let status = &answer["status"];
    if args.json { print(&format!("{status:#}\n")) } else { print(&show(status)) }
}

/// One line and an exit code, for probes.
fn probe(instance: &Instance, what: &str) -> Result<(), Failure> {
    let answer = instance.ask(what)?;
    if answer[what] == true {
        return print(&format!("{what}\n"));
    }
    let reasons: Vec<&str> = answer["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    Err(Failure::Failed(format!("not {what}: {}", reasons.join("; "))))
}

fn show(status: &Value) -> String {
    let header = ["plugin", "type", "state", "received", "delivered", "rejected", "dropped", "waiting", "cpu", "last error"];
    let mut rows: Vec<Vec<String>> = vec![header.map(String::from).to_vec()];
    let plugins = || status["plugins"].as_array().into_iter().flatten();
    rows.extend(plugins().map(row));
    let mut out = table(&rows, &[3, 4, 5, 6, 7, 8]);
    let limits: Vec<Vec<String>> = plugins().flat_map(limits).collect();
    if !limits.is_empty() {
        let mut rows = vec![["plugin", "limit", "current", "max", "cap"].map(String::from).to_vec()];
        rows.extend(limits);
        let _ = write!(out, "\n{}", table(&rows, &[2, 3, 4]));
    }
    out
}

fn row(plugin: &Value) -> Vec<String> {
    let counter = |name: &str| plugin["counters"][name].as_u64().unwrap_or(0);
    let counters = ["received", "delivered", "rejected", "dropped"].map(|name| counter(name).to_string());
    let waiting = match (plugin["waiting_messages"].as_u64().unwrap_or(0), plugin["waiting_bytes"].as_u64().unwrap_or(0)) {
        (0, _) => "0".to_string(),
        (messages, bytes) => format!("{messages} ({})", show_size(bytes)),
    };
    let mut row = ["id", "type"].map(|name| text(&plugin[name])).to_vec();
    row.push(state(plugin));
    row.extend(counters);
    row.extend([waiting, show_time(counter("cpu_ns")), text(&plugin["last_error"])]);
    row
}

/// What it is in the middle of says more than that it runs, once that takes noticeably long.
fn state(plugin: &Value) -> String {
    let seconds = |value: &Value| Duration::try_from_secs_f64(value.as_f64().unwrap_or(0.0)).unwrap_or_default();
    let doing = &plugin["doing"];
    let time = seconds(&doing["seconds"]);
    let state = match doing["what"].as_str() {
        Some(what) if time >= NOTICEABLE => format!("{} for {}", terminal::printable(what), show_long(time)),
        _ => text(&plugin["state"]),
    };
    let stuck = if plugin["stuck"] == true { "stuck: " } else { "" };
    match &plugin["starts_again_seconds"] {
        Value::Null => format!("{stuck}{state}"),
        left => format!("{state}, starts again in {}", show_long(seconds(left))),
    }
}

/// Shorter ones come and go.
const NOTICEABLE: Duration = Duration::from_secs(1);

/// `40 s`, `3 min`, `5 h`.
fn show_long(d: Duration) -> String {
    match d.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

fn limits(plugin: &Value) -> Vec<Vec<String>> {
    let id = text(&plugin["id"]);
    let row = |g: &Value| {
        let unit = g["unit"].as_str().unwrap_or_default();
        let values = ["current", "max", "cap"].map(|name| show_quantity(g[name].as_u64().unwrap_or(0), unit));
        // Of a codec that serves it.
        let of = match g["part"].as_str().unwrap_or_default() {
            "" => id.clone(),
            part => format!("{id} ({part})"),
        };
        [vec![of, text(&g["limit"])], values.to_vec()].concat()
    };
    plugin["limits"].as_array().into_iter().flatten().map(row).collect()
}

fn text(value: &Value) -> String {
    terminal::printable(value.as_str().unwrap_or_default())
}

fn show_quantity(n: u64, unit: &str) -> String {
    match unit {
        "B" => show_size(n),
        "ns" => show_time(n),
        _ => n.to_string(),
    }
}

/// Three digits are enough for people.
fn show_time(ns: u64) -> String {
    let d = Duration::from_nanos(ns);
    match ns {
        0 => "0".to_string(),
        1..1_000_000 => format!("{} us", d.as_micros()),
        1_000_000..1_000_000_000 => format!("{} ms", d.as_millis()),
        1_000_000_000..100_000_000_000 => format!("{:.1} s", d.as_secs_f64()),
        _ => format!("{} s", d.as_secs()),
    }
}

/// Columns as wide as they need to be, two spaces apart; those of numbers to the right.
pub fn table(rows: &[Vec<String>], numbers: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[c] - cell.chars().count());
            line += &if numbers.contains(&c) { format!("{pad}{cell}  ") } else { format!("{cell}{pad}  ") };
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plugins_and_limits_are_tables() {
        let status = json!({ "plugins": [
            { "id": "input.a", "type": "tail", "state": "running", "counters": { "received": 12, "cpu_ns": 1_500_000 }, "limits": [] },
            { "id": "output.c", "type": "tcp", "state": "retrying: refused", "doing": { "what": "retrying: refused", "seconds": 185.0 }, "counters": {} },
            { "id": "output.d", "type": "tcp", "state": "running", "stuck": true, "doing": { "what": "writing", "seconds": 40.5 }, "counters": {} },
            { "id": "output.e", "type": "tcp", "state": "running", "doing": { "what": "writing", "seconds": 0.1 }, "counters": {} },
            { "id": "filter.b", "type": "lua", "state": "backing off", "starts_again_seconds": 12.9, "last_error": "bad \u{1b}[2J", "counters": {},
              "waiting_messages": 3, "waiting_bytes": 2048,
              "limits": [{ "limit": "memory_limit", "unit": "B", "current": 1024, "max": 2048, "cap": 8_388_608 }] },
        ]});
        let expected = "\
plugin    type  state                              received  delivered  rejected  dropped    waiting   cpu  last error
input.a   tail  running                                  12          0         0        0          0  1 ms
output.c  tcp   retrying: refused for 3 min               0          0         0        0          0     0
output.d  tcp   stuck: writing for 40 s                   0          0         0        0          0     0
output.e  tcp   running                                   0          0         0        0          0     0
filter.b  lua   backing off, starts again in 12 s         0          0         0        0  3 (2 KiB)     0  bad \\x1b[2J

plugin    limit         current    max    cap
filter.b  memory_limit    1 KiB  2 KiB  8 MiB
";
        assert_eq!(show(&status), expected);
    }
}
