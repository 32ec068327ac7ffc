//! Short rounds of what `cargo xtask prove` does at length: promises kept under load.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use xtask::prove::contain::{self, Neighbour};
use xtask::prove::rotate::{self, Kind};
use xtask::prove::{Report, config, many, reload};

const NILO: &str = env!("CARGO_BIN_EXE_nilo");

/// Lines a second.
const RATE: u64 = 5_000;

/// How long to wait for anything on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(30);

fn holds(report: Result<impl Report, impl Debug>) {
    let report = report.unwrap();
    assert!(report.holds(), "{report}");
}

#[test]
fn state_is_exact_over_edits_of_the_script() {
    let round = reload::Round { edits: 20, rate: RATE, pause: Duration::from_millis(20), limit: LIMIT };
    holds(reload::prove(Path::new(NILO), round));
}

#[test]
fn state_is_exact_over_changes_of_the_configuration() {
    let round = config::Round { edits: 20, rate: RATE, pause: Duration::from_millis(20), limit: LIMIT };
    holds(config::prove(Path::new(NILO), round));
}

fn rotations(kind: Kind) {
    let round = |kill_every| rotate::Round { rotations: 4, rate: RATE, pause: Duration::from_millis(50), kill_every, limit: LIMIT };
    holds(rotate::prove(Path::new(NILO), kind, round(0)));
    holds(rotate::prove(Path::new(NILO), kind, round(2)));
}

#[test]
fn no_line_is_lost_when_files_are_renamed() {
    rotations(Kind::Create);
}

#[test]
fn no_line_is_lost_when_files_are_renamed_to_names_that_are_followed() {
    rotations(Kind::Sibling);
}

#[test]
fn no_line_is_lost_when_files_are_truncated() {
    rotations(Kind::CopyTruncate);
}

#[test]
fn nobody_is_hurt_by_a_neighbour() {
    let round = contain::Round { rate: RATE, time: Duration::from_millis(300), limit: LIMIT };
    for neighbour in Neighbour::ALL {
        holds(contain::prove(Path::new(NILO), neighbour, round));
    }
}

#[test]
fn no_line_is_lost_of_many_files_that_are_rotated_in_every_way() {
    let round = many::Round { files: 40, rate: 4000, time: Duration::from_secs(2), rotations: 3, limit: LIMIT };
    for kind in many::Kind::ALL {
        let report = many::prove(Path::new(NILO), kind, round).unwrap();
        // Memory takes longer to settle.
        assert!(report.lost == 0 && report.strange == 0, "{report}");
    }
}
