use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use plugin::Clock;
use socket2::SockRef;
use testkit::intake::{RecordingIntake, Running};

use crate::tcp::tests::running;

/// A running input that acknowledges, and a peer that it has greeted.
fn greeted(more: &str, clock: Clock) -> (RecordingIntake, Running, TcpStream) {
    let (intake, address, running) = running(&format!("acknowledge = true\n{more}"), clock);
    let mut peer = TcpStream::connect(address).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(&next(&mut peer), b"NILOACK1");
    (intake, running, peer)
}

fn next(peer: &mut TcpStream) -> [u8; 8] {
    let mut frame = [0; 8];
    peer.read_exact(&mut frame).unwrap();
    frame
}

/// Reads counts until there is this one.
#[track_caller]
fn wait_for_count(peer: &mut TcpStream, expected: u64) {
    let mut count = 0;
    while count < expected {
        let before = std::mem::replace(&mut count, u64::from_be_bytes(next(peer)));
        assert!(before < count && count <= expected, "{before}, {count}, {expected}");
    }
}

#[track_caller]
fn says_nothing(peer: &TcpStream) {
    peer.set_nonblocking(true).unwrap();
    assert_eq!(peer.peek(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    peer.set_nonblocking(false).unwrap();
}

#[track_caller]
fn is_closed(peer: &mut TcpStream) {
    assert!(matches!(peer.read(&mut [0]), Ok(0)));
}

#[test]
fn a_peer_is_told_what_is_accepted_and_of_half_a_record_nothing() {
    let (intake, running, mut peer) = greeted("", Clock::real());
    peer.write_all(&b"line\n".repeat(1000)).unwrap();
    wait_for_count(&mut peer, 5000);
    intake.withhold(true);
    peer.write_all(b"another\nhalf").unwrap();
    running.wait_for(|seen| seen.bytes().len() == 5012);
    says_nothing(&peer);
    intake.withhold(false);
    wait_for_count(&mut peer, 5008);
    peer.write_all(b" and half\n").unwrap();
    wait_for_count(&mut peer, 5022);
    assert!(intake.seen().streams[0].options.acknowledged);
}

#[test]
fn a_peer_that_has_sent_everything_is_answered_until_all_is_accepted() {
    let (intake, running, mut peer) = greeted("max_connections = 1", Clock::real());
    intake.withhold(true);
    peer.write_all(b"line\nthe last").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    running.wait_for(|seen| seen.streams[0].ends == [13]);
    says_nothing(&peer);
    // It still is one of those that may be there.
    let mut second = TcpStream::connect(peer.peer_addr().unwrap()).unwrap();
    assert!(matches!(second.read(&mut [0]), Ok(0) | Err(_)));
    assert!(!intake.seen().streams[0].closed);
    intake.withhold(false);
    wait_for_count(&mut peer, 13);
    is_closed(&mut peer);
    running.wait_for(|seen| seen.streams[0].closed);
}

#[test]
fn a_peer_that_is_not_answered_is_idle_in_the_end() {
    let clock = Clock::standing(0);
    let (intake, running, mut peer) = greeted("idle_timeout = '30s'", clock.clone());
    intake.withhold(true);
    peer.write_all(b"line\n").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    running.wait_for(|seen| seen.streams[0].ends == [5]);
    clock.set(31_000_000_000);
    is_closed(&mut peer);
}

#[test]
fn half_a_record_of_a_connection_that_broke_is_none() {
    let (_, running, mut peer) = greeted("", Clock::real());
    peer.write_all(b"line\nhalf").unwrap();
    wait_for_count(&mut peer, 5);
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    running.wait_for(|seen| seen.streams[0].closed && seen.streams[0].ends.is_empty());
}

#[test]
fn a_peer_that_breaks_off_while_it_waits_is_let_go() {
    let (intake, running, mut peer) = greeted("", Clock::real());
    intake.withhold(true);
    peer.write_all(b"line\n").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    running.wait_for(|seen| seen.streams[0].ends == [5]);
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    running.wait_for(|seen| seen.streams[0].closed);
}

#[test]
fn a_connection_whose_records_were_given_up_is_closed() {
    let (intake, running, mut peer) = greeted("", Clock::real());
    peer.write_all(b"line\n").unwrap();
    wait_for_count(&mut peer, 5);
    intake.lose();
    is_closed(&mut peer);
    running.wait_for(|seen| seen.streams[0].closed && seen.streams[0].ends.is_empty());
}

#[test]
fn after_a_stop_peers_hear_of_what_is_accepted_meanwhile() {
    let (intake, running, mut peer) = greeted("", Clock::standing(0));
    intake.withhold(true);
    peer.write_all(b"line\nhalf").unwrap();
    running.wait_for(|seen| seen.bytes().len() == 9);
    std::thread::scope(|s| {
        let stopping = s.spawn(|| running.stop().unwrap());
        // An input that did not wait would have closed by the end of this.
        peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(matches!(peer.read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock));
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        intake.withhold(false);
        wait_for_count(&mut peer, 5);
        is_closed(&mut peer);
        stopping.join().unwrap();
    });
}
