//! Short rounds of what `cargo xtask torture` does at length: nothing acknowledged is lost.

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use xtask::prove::Report as _;
use xtask::torture::damage::{self, Damage};
use xtask::torture::disk::{self, Full, Trial};
use xtask::torture::report::Report;
use xtask::torture::stage::{Load, Sink, Source};
use xtask::torture::{count, dead, kill, network, reload, rotate};

/// Everything into everything, at a rate that a machine busy with other tests keeps.
fn load() -> Load {
    Load {
        nilo: PathBuf::from(env!("CARGO_BIN_EXE_nilo")),
        seed: 1,
        rate: 4_000,
        sources: vec![Source::Tail, Source::Tcp, Source::Http],
        sinks: vec![Sink::File, Sink::Tcp, Sink::Http],
        durable: false,
        queue: "256KiB",
        limit: Duration::from_secs(60),
        dir: None,
    }
}

fn holds(report: Result<Report, impl Debug>) {
    let report = report.unwrap();
    assert!(report.holds(), "{report}");
}

#[test]
fn nothing_acknowledged_is_lost_when_it_is_killed() {
    holds(kill::torture(load(), 4));
}

#[test]
fn nothing_acknowledged_is_lost_when_it_is_killed_with_durable_outputs() {
    holds(kill::torture(Load { durable: true, ..load() }, 4));
}

#[test]
fn a_count_of_lines_is_exact_when_it_is_killed() {
    holds(count::torture(&load(), Source::Tail, 4));
}

#[test]
fn a_count_of_acknowledged_messages_is_exact_when_it_is_killed() {
    holds(count::torture(&load(), Source::Tcp, 4));
}

#[test]
fn a_full_journal_is_waited_for() {
    for kill in [false, true] {
        let trial = Trial { full: Full::Journal, time: Duration::from_secs(1), kill };
        holds(disk::torture(Load { rate: 20_000, ..load() }, trial));
    }
}

#[test]
fn a_damaged_journal_is_read_around() {
    let ways = [Damage::Payload, Damage::TailCut, Damage::Garbage, Damage::Cursors];
    for report in damage::torture(&Load { rate: 20_000, ..load() }, 2 << 20, &ways).unwrap() {
        assert!(report.holds(), "{report}");
    }
}

#[test]
fn a_dead_output_catches_up() {
    holds(dead::torture(load(), Duration::from_secs(1)));
}

#[test]
fn nothing_acknowledged_is_lost_over_reloads_and_kills() {
    holds(reload::torture(load(), 8));
}

#[test]
fn nothing_is_lost_over_rotations_and_kills() {
    holds(rotate::torture(load(), 8));
}

#[test]
fn nothing_acknowledged_is_lost_over_a_bad_network() {
    holds(network::torture(load(), Duration::from_secs(2)));
}
