//! Inputs: they start, wait without a word to be had, and stop when they are asked.

use std::net::{TcpListener, UdpSocket};

use options::Type;
use plugin::{Input, Kind};

use super::{Built, Contract};
use crate::intake::{RecordingIntake, start};

/// Reads what the tests themselves are started with.
fn is_ours(kind: &Kind) -> bool {
    kind.name == "stdin"
}

fn input(contract: &Contract, kind: &Kind, toml: &str, address: &str) -> Box<dyn Input> {
    match contract.build_at(kind, toml, address) {
        Built::Input(input) => input,
        _ => panic!("{kind:?} builds a plugin of another family"),
    }
}

/// Reads a file to its end, or calls a script once.
fn ends_by_itself(kind: &Kind, toml: &str) -> bool {
    toml.contains("once = true") || (kind.name == "lua" && !toml.contains("every"))
}

/// Starts and stops, as soon as it runs and at once.
///
/// # Panics
/// When it does not stop or fails.
pub fn start_and_stop(contract: &Contract, kind: &'static Kind) {
    if is_ours(kind) {
        return;
    }
    for toml in contract.configurations(kind) {
        let intake = RecordingIntake::default();
        let running = start(input(contract, kind, &toml, "127.0.0.1:0"), &intake);
        if !ends_by_itself(kind, &toml) {
            running.wait_for(|seen| seen.polls > 1);
        }
        running.stop().unwrap_or_else(|e| panic!("{e} in\n{toml}"));
        let again = start(input(contract, kind, &toml, "127.0.0.1:0"), &RecordingIntake::default());
        again.stop().unwrap_or_else(|e| panic!("{e} in\n{toml}"));
    }
}

/// An address that is taken is a failure that names it, for the supervisor to try again.
///
/// # Panics
/// When it is not.
pub fn say_that_an_address_is_taken(contract: &Contract, kind: &'static Kind) {
    if !kind.options.iter().any(|o| o.type_ == Type::Address) {
        return;
    }
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("its address")) {
            break (tcp, udp);
        }
    };
    let address = udp.local_addr().expect("its address").to_string();
    // With it given, whatever the default is.
    let toml = format!("{}\nlisten = \"taken\"", contract.least(kind, "listen"));
    let failure = start(input(contract, kind, &toml, &address), &RecordingIntake::default()).finish();
    let failure = failure.expect_err("the address is taken");
    assert!(failure.0.contains(&address), "it does not say which address: {failure}");
    drop((tcp, udp));
}
