use anyhow::Result;

use super::Settings;
use super::contender::{Contender, RATE};
use super::table::OF_FLOOR;
use super::{cores, decoders, durability, fanout, idle, latency, matchers, relay, rooms, sandbox, statsd, syslog, tail, tcp};

/// A table: what is done, by whom, and what is compared.
pub struct Workload {
    pub name: &'static str,
    pub what: &'static str,
    /// The column that is compared with the floor's and drawn.
    pub compared: &'static str,
    pub goals: &'static [Goal],
    /// Whether the program is run.
    pub runs_nilo: bool,
    /// Whether it is in the picture.
    pub drawn: bool,
    pub contenders: fn(&Settings) -> Result<Vec<Contender>>,
}

/// What a figure is to be.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// As the table shows it.
    pub row: &'static str,
    pub column: &'static str,
    pub bound: Bound,
}

#[derive(Clone, Copy, Debug)]
pub enum Bound {
    Least(f64),
    Most(f64),
}

const fn least(row: &'static str, column: &'static str, bound: f64) -> Goal {
    Goal { row, column, bound: Bound::Least(bound) }
}

const fn most(row: &'static str, column: &'static str, bound: f64) -> Goal {
    Goal { row, column, bound: Bound::Most(bound) }
}

impl Goal {
    pub fn met(self, value: f64) -> bool {
        match self.bound {
            Bound::Least(bound) => value >= bound,
            Bound::Most(bound) => value <= bound,
        }
    }
}

type Contenders = fn(&Settings) -> Result<Vec<Contender>>;

const fn workload(
    name: &'static str,
    what: &'static str,
    compared: &'static str,
    goals: &'static [Goal],
    contenders: Contenders,
) -> Workload {
    Workload { name, what, compared, goals, runs_nilo: true, drawn: true, contenders }
}

/// Figures of one room, made by an example of its crate.
const fn figures(name: &'static str, what: &'static str, contenders: Contenders) -> Workload {
    Workload { name, what, compared: "ns", goals: &[], runs_nilo: false, drawn: false, contenders }
}

pub const ALL: &[Workload] = &[
    workload(
        "W1",
        "file → nothing",
        RATE,
        &[least("nilo, to null", RATE, 8000.0), least("nilo, to null", OF_FLOOR, 1.0 / 1.3)],
        tail::nothing,
    ),
    workload("W2", "nginx → status >= 500 → JSON file", RATE, &[least("nilo", RATE, 2000.0)], tail::errors),
    workload("W3", "nginx decode, then Lua per line, count per status", RATE, &[least("nilo, one read", RATE, 2000.0)], tail::lua),
    workload("W4", "TCP → file, raw lines of RFC 5424", RATE, &[least("nilo", RATE, 4000.0)], tcp::raw),
    workload("W4P", "TCP, RFC 5424 with structured data to fields → JSON file", RATE, &[least("nilo", RATE, 2000.0)], syslog::parsed),
    workload(
        "W5",
        "statsd over UDP, metrics added up",
        RATE,
        &[
            least("1400 B, flooded: nilo", RATE, 10_000.0),
            least("single, flooded: nilo", OF_FLOOR, 0.9),
            // Where the bare loop loses none.
            most("single, 100 k/s: nilo", "% lost", 0.0),
            most("single, 400 k/s: nilo", "% lost", 0.0),
            most("1400 B, 1000 k/s: nilo", "% lost", 0.0),
            most("1400 B, 2000 k/s: nilo", "% lost", 0.0),
        ],
        statsd::udp,
    ),
    workload(
        "W6",
        "idle, one tail → file",
        "RSS MB",
        &[most("nilo", "RSS MB", 5.0), most("nilo", "ms to first line", 20.0), most("nilo with 1001 sandboxes", "KiB/sandbox", 12.0)],
        idle::idle,
    ),
    workload(
        "W7",
        "many matchers, each message matches one",
        RATE,
        &[least("1,000 matchers", OF_FLOOR, 0.5), least("10,000 matchers", OF_FLOOR, 0.25)],
        matchers::many,
    ),
    workload("W8", "one input, outputs that take everything", RATE, &[most("100 outputs", fanout::EXTRA, 15.0)], fanout::outputs),
    workload("W9", "file → nilo → TCP, framed → nilo → file, both together", RATE, &[least("nilo → nilo", RATE, 1000.0)], relay::two),
    workload("W10", "two cores against one: 4 inputs, 8 Lua sandboxes", cores::SPEED_UP, &[least("nilo", OF_FLOOR, 0.9)], cores::two),
    workload(
        "W11",
        "from written to delivered, 100,000 lines a second",
        latency::P99,
        &[most("nilo", latency::P99, 5.0), most("nilo", latency::P999, 20.0)],
        latency::follow,
    ),
    Workload {
        drawn: false,
        ..workload(
            "durability",
            "cost of durability",
            durability::COST,
            // What is written twice may cost half as much again.
            &[most("W4: durable, 200ms", OF_FLOOR, 1.5), most("W9: acknowledged, durable, 200ms", OF_FLOOR, 1.5)],
            durability::cost,
        )
    },
    Workload {
        runs_nilo: false,
        drawn: false,
        ..workload(
            "decoders",
            "lines in memory, by each decoder and by the decoder `regex` for the same values",
            RATE,
            &[],
            decoders::lines,
        )
    },
    figures("sandbox", "what a Lua sandbox costs", sandbox::sandbox),
    figures("parsing", "one line of nginx's access log, 8 captures", sandbox::parsing),
    figures("rooms", "what each room costs by itself", rooms::rooms),
];
