//! Two routers, one behind the other.

use std::collections::BTreeSet;
use std::net::TcpListener;

use rustix::process::Signal;

use crate::nilo::{Dir, wait_until};

const SENDER: &str = "\
[nilo]
state = 'sender'
[input.in]
type = 'tail'
paths = 'in.log'
[output.relay]
type = 'tcp'
match = 'TRUE'
address = 'ADDRESS'
acknowledge = true
encoder = 'line'
retry = '10ms'
retry_max = '50ms'
";

const RECEIVER: &str = "\
[input.relay]
type = 'tcp'
listen = 'ADDRESS'
acknowledge = true
splitter = 'line'
[output.out]
type = 'file'
dir = 'out'
name = 'out.log'
match = 'TRUE'
encoder = 'line'
";

#[test]
fn nothing_acknowledged_is_lost_when_the_receiver_is_killed_again_and_again() {
    const WAVE: usize = 5000;
    const WAVES: usize = 6;
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let dir = Dir::with(&[
        ("in.log", ""),
        ("sender.toml", &SENDER.replace("ADDRESS", &address)),
        ("receiver.toml", &RECEIVER.replace("ADDRESS", &address)),
    ]);
    let arrived = || std::fs::read_to_string(dir.path("out/out.log")).unwrap_or_default();
    let sender = dir.spawn(["run", "sender.toml"]);
    let mut receiver = dir.spawn(["run", "receiver.toml"]);
    for wave in 0..WAVES {
        let before = arrived().len();
        let lines: String = (wave * WAVE..(wave + 1) * WAVE).map(|n| format!("line {n}\n")).collect();
        dir.append("in.log", &lines);
        wait_until("the wave arrives", || arrived().len() > before);
        receiver.signal(Signal::KILL);
        receiver.end();
        receiver = dir.spawn(["run", "receiver.toml"]);
    }
    let expected: BTreeSet<String> = (0..WAVES * WAVE).map(|n| format!("line {n}")).collect();
    wait_until("everything has arrived", || expected.is_subset(&arrived().lines().map(str::to_string).collect()));

    // Nobody has to send again what the sender knows to have arrived.
    sender.signal(Signal::TERM);
    sender.end().ok();
    let before = arrived().len();
    let sender = dir.spawn(["run", "sender.toml"]);
    dir.append("in.log", "the end\n");
    wait_until("the last line arrives", || arrived().ends_with("the end\n"));
    assert_eq!(arrived().len(), before + "the end\n".len());
    drop((sender, receiver));
}
