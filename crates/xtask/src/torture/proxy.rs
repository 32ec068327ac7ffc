//! Something that stands between two programs and behaves as networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::address::listening;
use super::random::Random;
use super::receive::Door;

/// What becomes of one direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Fault {
    /// Bytes that are moved at a time, and how long each such block takes.
    block: usize,
    delay: Duration,
    /// Bytes after which it ends.
    after: u64,
    /// Then nothing more comes, but the other direction goes on; otherwise both sides are closed.
    half: bool,
}

/// Bytes moved at a time where nothing is wrong.
const BLOCK: usize = 32 << 10;

impl Fault {
    const NONE: Fault = Fault { block: BLOCK, delay: Duration::ZERO, after: u64::MAX, half: false };

    /// Cuts after so many bytes.
    #[cfg(test)]
    fn cut(after: u64) -> Fault {
        Fault { after, ..Fault::NONE }
    }

    fn draw(random: &mut Random) -> Fault {
        let half = random.percent(25);
        let late = Duration::from_millis(random.within(1..30));
        match random.within(0..100) {
            0..50 => Fault { after: random.within(1..1_000_000), half, ..Fault::NONE },
            50..80 => Fault { delay: late, after: random.within(1..1_000_000), half, ..Fault::NONE },
            _ => Fault { block: 37, delay: Duration::from_millis(1), after: random.within(1..20_000), half },
        }
    }
}

/// A relay of connections with faults. Dropped, it is gone.
pub struct Proxy {
    door: Door,
    calm: Arc<AtomicBool>,
    pub connections: Arc<AtomicU64>,
}

impl Proxy {
    /// Stands before `target`; each connection's faults follow from the seed and its number.
    ///
    /// # Errors
    /// When there is no address or thread.
    pub fn start(target: SocketAddr, seed: u64) -> Result<Proxy> {
        let (calm, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (quiet, number) = (calm.clone(), connections.clone());
        let door = Door::open(listening()?, move |client| {
            let mut random = Random::new(seed ^ number.fetch_add(1, Ordering::AcqRel) << 32);
            let faults = match quiet.load(Ordering::Acquire) {
                true => [Fault::NONE; 2],
                false => [Fault::draw(&mut random), Fault::draw(&mut random)],
            };
            // Who cannot be reached is not reached through here either.
            let _ = relay(client, target, faults);
        })?;
        Ok(Proxy { door, calm, connections })
    }

    pub fn address(&self) -> SocketAddr {
        self.door.address()
    }

    /// No more faults: connections are broken once more, and new ones are sound.
    pub fn calm(&self) {
        self.calm.store(true, Ordering::Release);
        self.door.expel();
    }
}

fn relay(client: &TcpStream, target: SocketAddr, [there, back]: [Fault; 2]) -> std::io::Result<()> {
    let server = TcpStream::connect_timeout(&target, Duration::from_secs(1))?;
    server.set_nodelay(true)?;
    std::thread::scope(|scope| {
        scope.spawn(|| pump(&server, client, back));
        pump(client, &server, there);
    });
    Ok(())
}

/// Moves bytes one way until either side ends, and then says so to the other.
fn pump(mut from: &TcpStream, mut to: &TcpStream, fault: Fault) {
    let both = || {
        // Either may be closed already.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    };
    let (mut left, mut block) = (fault.after, vec![0; fault.block]);
    while let Ok(read @ 1..) = from.read(&mut block) {
        std::thread::sleep(fault.delay);
        let moved = read.min(usize::try_from(left).unwrap_or(usize::MAX));
        if to.write_all(&block[..moved]).is_err() {
            return both();
        }
        left -= moved as u64;
        if left == 0 && !fault.half {
            return both();
        }
        if left == 0 {
            let _ = to.shutdown(Shutdown::Write);
            // What still comes is swallowed.
            while matches!(from.read(&mut block), Ok(1..)) {}
            return;
        }
    }
    if to.shutdown(Shutdown::Write).is_err() {
        both();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_follow_from_the_seed() {
        let draw = |seed| (0..50).scan(Random::new(seed), |r, _| Some(Fault::draw(r))).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_cut_ends_both_sides_after_so_many_bytes() {
        let received = Arc::new(AtomicU64::new(0));
        let seen = received.clone();
        let target = Door::open(listening().unwrap(), move |mut socket: &TcpStream| {
            let mut block = [0; 100];
            while let Ok(n @ 1..) = socket.read(&mut block) {
                seen.fetch_add(n as u64, Ordering::AcqRel);
            }
        })
        .unwrap();
        let through = |fault| {
            let address = target.address();
            let door = Door::open(listening().unwrap(), move |client| drop(relay(client, address, [fault, Fault::NONE]))).unwrap();
            let mut socket = loop {
                match TcpStream::connect(door.address()) {
                    Ok(socket) => break socket,
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            };
            // It breaks at some point.
            while socket.write_all(&[1; 64]).is_ok() {}
        };
        through(Fault::cut(1000));
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while received.load(Ordering::Acquire) < 1000 && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(received.load(Ordering::Acquire), 1000);
    }
}
