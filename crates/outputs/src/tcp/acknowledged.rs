use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::time::Duration;

use options::unit::show_duration;
use plugin::{OutBatch, OutCx, Output, Verdict};

use crate::patience::{GRACE, Patience};
use crate::peer::Peer;
use crate::tcp::link::Link;

/// How often acknowledgements are looked for while some are expected, and otherwise.
const EXPECTING: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_secs(1);

/// Streams messages to a receiver that acknowledges them; until then they are outstanding.
///
/// When a connection breaks, everything outstanding is put back into the queue, in order. Messages
/// that are being written at that moment are put back with it, though they might not have been sent at
/// all: offered again at once they would overtake the others. The next batch is refused once, so that
/// there is a pause before the next attempt.
pub(super) struct Acknowledged {
    peer: Peer,
    ack_timeout: Duration,
    link: Option<Link>,
    /// Where, in bytes of the connection, each outstanding message ends; the first has the number `first`.
    ends: VecDeque<u64>,
    first: u64,
    /// Of the connection, bytes of messages that were sent whole.
    whole: u64,
    /// When something was acknowledged last, or was sent while nothing was outstanding; by the steady clock.
    moved: Duration,
    /// Why the connection broke; the engine has not been told yet.
    broke: Option<String>,
}

impl Acknowledged {
    pub fn new(peer: Peer, ack_timeout: Duration) -> Acknowledged {
        Acknowledged { peer, ack_timeout, link: None, ends: VecDeque::new(), first: 0, whole: 0, moved: Duration::ZERO, broke: None }
    }

    /// Hears acknowledgements and tells verdicts.
    ///
    /// # Errors
    /// When the connection is of no use any more.
    fn attend(&mut self, cx: &mut OutCx<'_>) -> io::Result<()> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let before = link.counted;
        let heard = link.hear();
        self.settle(before, cx);
        heard?;
        if !self.ends.is_empty() && cx.clock.steady().saturating_sub(self.moved) >= self.ack_timeout {
            let timeout = show_duration(self.ack_timeout);
            let why = format!("nothing was acknowledged for {timeout} (option `ack_timeout`)");
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        Ok(())
    }

    /// Messages that are acknowledged whole are done. So many bytes were acknowledged `before`.
    fn settle(&mut self, before: u64, cx: &mut OutCx<'_>) {
        let Some(link) = &self.link else { return };
        if link.counted > before {
            self.moved = cx.clock.steady();
        }
        let done = self.ends.partition_point(|end| *end <= link.counted);
        self.ends.drain(..done);
        let numbers = self.numbers(done);
        self.first = numbers.end;
        if !numbers.is_empty() {
            cx.settle(numbers, Verdict::Done);
        }
    }

    /// The first so many that are outstanding.
    fn numbers(&self, n: usize) -> Range<u64> {
        self.first..self.first + n as u64
    }

    /// The connection is of no use any more: what is outstanding has to be sent again.
    fn give_up(&mut self, why: &io::Error, cx: &mut OutCx<'_>) {
        if let Some(link) = self.link.take() {
            link.break_off();
        }
        let numbers = self.numbers(self.ends.len());
        if numbers.is_empty() {
            if why.kind() == io::ErrorKind::InvalidData {
                log::warn!("{}: {why}", self.peer.address);
            }
            return;
        }
        let why = format!("{}: {why}; {} messages that were not acknowledged are sent again", self.peer.address, self.ends.len());
        self.first = numbers.end;
        self.ends.clear();
        cx.settle(numbers, Verdict::Retry { after: None, why: why.clone() });
        self.broke = Some(why);
    }

    /// Takes the first `n` messages of a batch that begins at `at` of the connection.
    fn take(&mut self, batch: &OutBatch<'_>, n: usize, at: u64, cx: &mut OutCx<'_>) {
        cx.later(0..n, self.first + self.ends.len() as u64);
        let mut end = at;
        self.ends.extend(batch.iter().take(n).map(|item| {
            end += item.bytes.len() as u64;
            end
        }));
        self.whole = end;
    }

    /// # Errors
    /// When nobody accepts the connection, or does not acknowledge.
    fn open(&mut self, cx: &OutCx<'_>) -> io::Result<Link> {
        self.whole = 0;
        Link::open(&self.peer, self.ack_timeout.max(self.peer.timeout), cx)
    }

    /// Waits for acknowledgements, and tells verdicts.
    ///
    /// # Errors
    /// When the patience is over or the peer has left.
    fn wait(&mut self, patience: &mut Patience<'_>, cx: &mut OutCx<'_>) -> io::Result<()> {
        let Some(link) = &mut self.link else { return Err(io::ErrorKind::NotConnected.into()) };
        let before = link.counted;
        let waited = link.wait(patience);
        let heard = link.hear();
        if link.counted > before {
            patience.renew();
        }
        self.settle(before, cx);
        waited.and(heard)
    }
}

impl Output for Acknowledged {
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>) {
        if let Some(why) = self.broke.take() {
            return cx.retry(0..batch.len(), None, why);
        }
        if let Err(e) = self.attend(cx) {
            if !self.ends.is_empty() {
                self.take(batch, batch.len(), self.whole, cx);
            }
            self.give_up(&e, cx);
            if self.broke.is_some() {
                return;
            }
        }
        let mut patience = Patience::new(cx, self.ack_timeout);
        let link = match self.link.take().map_or_else(|| self.open(cx), Ok) {
            Ok(link) => self.link.insert(link),
            Err(e) => return cx.retry(0..batch.len(), None, format!("{}: {e}", self.peer.address)),
        };
        let (at, before) = (link.sent, link.counted);
        let (sent, result) = link.send(batch.bytes(), &mut patience);
        if self.ends.is_empty() {
            self.moved = cx.clock.steady();
        }
        match result {
            Ok(()) => {
                self.take(batch, batch.len(), at, cx);
                self.settle(before, cx);
            }
            Err(e) if cx.stop.asked() && e.kind() == io::ErrorKind::Interrupted => {
                let taken = batch.within(sent);
                self.take(batch, taken, at, cx);
                self.settle(before, cx);
                cx.retry(taken..batch.len(), None, format!("{}: {e}", self.peer.address));
            }
            Err(e) => {
                self.take(batch, batch.len(), at, cx);
                self.settle(before, cx);
                self.give_up(&explained(e), cx);
            }
        }
    }

    fn every(&self) -> Option<Duration> {
        Some(if self.ends.is_empty() { IDLE } else { EXPECTING })
    }

    fn poll(&mut self, cx: &mut OutCx<'_>) {
        if let Err(e) = self.attend(cx) {
            self.give_up(&e, cx);
        }
    }

    /// Waits for what is not acknowledged yet. Saying goodbye first lets the peer take the end of the
    /// stream for the end of its last record. What is not acknowledged in the end keeps no verdict: it is
    /// the next instance's.
    fn close(&mut self, cx: &mut OutCx<'_>) {
        let whole = self.link.as_mut().is_some_and(|link| link.sent == self.whole && link.say_goodbye().is_ok());
        let mut patience = Patience::new(cx, self.ack_timeout);
        while !self.ends.is_empty() && self.wait(&mut patience, cx).is_ok() {}
        let mut patience = Patience::new(cx, GRACE);
        while whole && self.ends.is_empty() && self.wait(&mut patience, cx).is_ok() {}
        if let Some(link) = self.link.take().filter(|_| !whole) {
            link.break_off();
        }
    }

    fn default_encoder(&self) -> &'static str {
        "heka"
    }
}

/// With the option that decides how long to wait.
fn explained(e: io::Error) -> io::Error {
    match e.kind() {
        io::ErrorKind::TimedOut => io::Error::new(e.kind(), format!("{e} (option `ack_timeout`)")),
        _ => e,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Instant;

    use socket2::SockRef;
    use testkit::deliver::{Delivery, payloads};

    use super::*;
    use crate::tcp::KIND;

    fn output(listener: &TcpListener, more: &str) -> Delivery {
        let toml = format!("address = '{}'\nacknowledge = true\n{more}", listener.local_addr().unwrap());
        Delivery::new(testkit::plugins::output(&KIND, &toml).unwrap())
    }

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    /// Accepts a connection that sends bytes at once.
    fn answering(listener: &TcpListener, bytes: &'static [u8]) -> thread::JoinHandle<TcpStream> {
        let listener = listener.try_clone().unwrap();
        thread::spawn(move || {
            let mut peer = listener.accept().unwrap().0;
            peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            peer.write_all(bytes).unwrap();
            peer
        })
    }

    fn greeting(listener: &TcpListener) -> thread::JoinHandle<TcpStream> {
        answering(listener, b"NILOACK1")
    }

    fn count(peer: &mut TcpStream, bytes: u64) {
        peer.write_all(&bytes.to_be_bytes()).unwrap();
    }

    fn break_off(peer: TcpStream) {
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    }

    #[track_caller]
    fn poll_until(delivery: &mut Delivery, holds: impl Fn(&Delivery) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds(delivery) {
            assert!(Instant::now() < deadline, "there is only {:?}", delivery.late);
            delivery.poll();
            thread::yield_now();
        }
    }

    /// The numbers of messages that are done, in the order this was told.
    fn done(delivery: &Delivery) -> Vec<u64> {
        delivery.late.iter().filter(|(_, v)| *v == Verdict::Done).flat_map(|(numbers, _)| numbers.clone()).collect()
    }

    /// What has to be sent again, and why.
    fn again(delivery: &Delivery) -> Option<(Range<u64>, &str)> {
        delivery.late.iter().find_map(|(numbers, v)| match v {
            Verdict::Retry { why, .. } => Some((numbers.clone(), why.as_str())),
            _ => None,
        })
    }

    fn later(from: u64, n: u64) -> Vec<Verdict> {
        (from..from + n).map(Verdict::Later).collect()
    }

    #[test]
    fn a_message_is_done_when_the_count_has_passed_its_last_byte() {
        let listener = listener();
        let mut delivery = output(&listener, "");
        let peer = greeting(&listener);
        assert_eq!(delivery.write(&payloads(["one", "two", "three"])), later(0, 3));
        assert_eq!(delivery.write(&payloads(["four"])), later(3, 1));
        let mut peer = peer.join().unwrap();
        for byte in 7u64.to_be_bytes().into_iter().chain(8u64.to_be_bytes()) {
            assert_eq!(delivery.late, []);
            peer.write_all(&[byte]).unwrap();
            // After 7 bytes only the first is whole.
            if byte == 7 {
                poll_until(&mut delivery, |d| done(d) == [0]);
                delivery.late.clear();
            }
            delivery.poll();
        }
        poll_until(&mut delivery, |d| done(d) == [1]);
        count(&mut peer, 19);
        poll_until(&mut delivery, |d| done(d) == [1, 2, 3]);
        assert_eq!(again(&delivery), None);
    }

    #[test]
    fn what_was_not_acknowledged_when_the_connection_broke_is_sent_again_after_a_pause() {
        let listener = listener();
        let mut delivery = output(&listener, "");
        let peer = greeting(&listener);
        assert_eq!(delivery.write(&payloads(["a", "b", "c"])), later(0, 3));
        let mut peer = peer.join().unwrap();
        peer.read_exact(&mut [0; 6]).unwrap();
        count(&mut peer, 3);
        drop(peer);
        poll_until(&mut delivery, |d| again(d).is_some());
        assert_eq!(done(&delivery), [0]);
        let (numbers, why) = again(&delivery).unwrap();
        assert!(numbers == (1..3) && why.contains("closed the connection; 2 messages that were not acknowledged"), "{why}");
        assert!(matches!(&delivery.write(&payloads(["b", "c"]))[..], [Verdict::Retry { .. }, Verdict::Retry { .. }]));
        let peer = greeting(&listener);
        assert_eq!(delivery.write(&payloads(["b", "c"])), later(3, 2));
        let mut lines = [0; 4];
        peer.join().unwrap().read_exact(&mut lines).unwrap();
        assert_eq!(&lines, b"b\nc\n");
    }

    #[test]
    fn what_is_being_written_when_the_connection_breaks_does_not_overtake_what_is_outstanding() {
        let listener = listener();
        let mut delivery = output(&listener, "");
        let peer = greeting(&listener);
        delivery.write(&payloads(["first"]));
        let mut peer = peer.join().unwrap();
        let breaking = thread::spawn(move || {
            peer.read_exact(&mut [0; 1000]).unwrap();
            break_off(peer);
        });
        assert_eq!(delivery.write(&payloads([vec![b'x'; 500], vec![b'y'; 64 << 20]])), later(1, 2));
        breaking.join().unwrap();
        assert_eq!(again(&delivery).unwrap().0, 0..3);
        assert_eq!(delivery.late.len(), 1);
    }

    #[test]
    fn a_peer_without_the_greeting_is_told_from_one_that_acknowledges() {
        for (answer, timeout, said) in [
            (&b""[..], "50ms", "no greeting, nothing moved for 50ms"),
            (b"NILO", "50ms", "no greeting, nothing moved for 50ms"),
            (b"HTTP/1.1 400 Bad Request", "20s", "expected the greeting \"NILOACK1\", found \"HTTP/1.1\""),
        ] {
            let listener = listener();
            let mut delivery = output(&listener, &format!("timeout = '{timeout}'"));
            let peer = answering(&listener, answer);
            let verdicts = delivery.write(&payloads(["a"]));
            let Verdict::Retry { why, .. } = &verdicts[0] else { panic!("{verdicts:?}") };
            assert!(why.contains(said) && why.contains("set `acknowledge = true` at the receiver"), "{why}");
            drop(peer.join());
        }
        let listener = listener();
        let mut delivery = output(&listener, "");
        let peer = thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(
            matches!(&delivery.write(&payloads(["a"]))[0], Verdict::Retry { why, .. } if why.contains("without a greeting") || why.contains("reset"))
        );
        peer.join().unwrap();
    }

    #[test]
    fn counts_that_cannot_be_break_the_connection() {
        for (counts, said) in
            [([2, 5], "acknowledged 5 bytes, but only 4 were sent"), ([4, 2], "acknowledged 2 bytes after it had acknowledged 4")]
        {
            let listener = listener();
            let mut delivery = output(&listener, "");
            let peer = greeting(&listener);
            delivery.write(&payloads(["a", "b"]));
            let mut peer = peer.join().unwrap();
            if counts[0] == 4 {
                // Something has to be outstanding for it to matter.
                delivery.write(&payloads(["c"]));
            }
            counts.iter().for_each(|n| count(&mut peer, *n));
            poll_until(&mut delivery, |d| again(d).is_some());
            assert!(again(&delivery).unwrap().1.contains(said), "{:?}", delivery.late);
            assert!(done(&delivery).starts_with(&[0]));
            peer.read_to_end(&mut Vec::new()).unwrap_err();
        }
    }

    #[test]
    fn a_peer_that_acknowledges_nothing_is_given_up() {
        let listener = listener();
        let mut delivery = output(&listener, "ack_timeout = '50ms'");
        let peer = greeting(&listener);
        delivery.write(&payloads(["a"]));
        poll_until(&mut delivery, |d| again(d).is_some());
        assert!(again(&delivery).unwrap().1.contains("nothing was acknowledged for 50ms (option `ack_timeout`)"));
        drop(peer.join());
        let toml = "address = '127.0.0.1:1'\nacknowledge = true\nack_timeout = '0s'";
        assert!(testkit::plugins::output(&KIND, toml).is_err());
    }

    #[test]
    fn acknowledgements_are_read_while_the_peer_does_not_read() {
        let listener = listener();
        let mut delivery = output(&listener, "");
        let peer = greeting(&listener);
        let peer = thread::spawn(move || {
            let mut peer = peer.join().unwrap();
            peer.read_exact(&mut [0; 2]).unwrap();
            // More than the system keeps for a peer that does not read.
            peer.write_all(&2u64.to_be_bytes().repeat(2 << 20)).unwrap();
            let n = io::copy(&mut Read::by_ref(&mut peer).take((64 << 20) + 1), &mut io::sink()).unwrap();
            count(&mut peer, n + 2);
            peer
        });
        assert_eq!(delivery.write(&payloads([vec![b'a'], vec![b'x'; 64 << 20]])), later(0, 2));
        poll_until(&mut delivery, |d| done(d) == [0, 1]);
        assert!(again(&delivery).is_none());
        drop(peer.join());
    }

    #[test]
    fn an_idle_peer_that_left_is_replaced_without_a_word() {
        let listener = listener();
        let mut delivery = output(&listener, "");
        for line in ["a", "b"] {
            let peer = greeting(&listener);
            assert!(matches!(delivery.deliver(&payloads([line]), Duration::from_secs(20))[..], [Verdict::Later(_)]));
            let mut peer = peer.join().unwrap();
            delivery.late.clear();
            count(&mut peer, 2);
            poll_until(&mut delivery, |d| done(d).len() == 1);
        }
        assert!(again(&delivery).is_none());
    }

    #[test]
    fn close_waits_for_acknowledgements_that_come_when_all_was_sent() {
        let listener = listener();
        let mut delivery = output(&listener, "");
        let peer = greeting(&listener);
        delivery.write(&payloads(["a", "b"]));
        let peer = thread::spawn(move || {
            let mut peer = peer.join().unwrap();
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            count(&mut peer, all.len() as u64);
            all
        });
        delivery.close();
        assert_eq!((done(&delivery), peer.join().unwrap()), (vec![0, 1], b"a\nb\n".to_vec()));
    }

    #[test]
    fn a_stop_ends_the_wait_and_what_is_not_acknowledged_keeps_no_verdict() {
        let listener = listener();
        let mut delivery = output(&listener, "ack_timeout = '1h'");
        let peer = greeting(&listener);
        delivery.write(&payloads(["a"]));
        delivery.stop.ask();
        let verdicts = delivery.write(&payloads([vec![b'b'], vec![b'x'; 64 << 20]]));
        assert!(matches!(&verdicts[..], [Verdict::Later(1), Verdict::Retry { why, .. }] if why.contains("stopped while waiting")));
        delivery.close();
        assert_eq!(delivery.late, []);
        // The beginning of a message must not be taken for a whole one.
        let mut peer = peer.join().unwrap();
        assert!(peer.read_to_end(&mut Vec::new()).is_err());
    }

    /// Accepts lines and acknowledges them late, and cuts every connection but the last after some bytes.
    fn cutting(listener: TcpListener, cuts: Vec<usize>) -> Vec<Vec<String>> {
        let mut accepted = Vec::new();
        for cut in cuts.into_iter().map(Some).chain([None]) {
            let mut peer = listener.accept().unwrap().0;
            peer.write_all(b"NILOACK1").unwrap();
            let (mut reader, mut lines, mut bytes) = (BufReader::new(peer.try_clone().unwrap()), Vec::new(), 0);
            let mut line = String::new();
            while cut.is_none_or(|cut| bytes < cut) && reader.read_line(&mut line).is_ok_and(|n| n > 0) {
                bytes += line.len();
                lines.push(std::mem::take(&mut line).trim_end().to_string());
                if lines.len().is_multiple_of(3) || cut.is_none() {
                    let _ = peer.write_all(&(bytes as u64).to_be_bytes());
                }
            }
            accepted.push(lines);
        }
        accepted
    }

    /// What the engine does with verdicts, made short.
    #[derive(Default)]
    struct Queue {
        waiting: BTreeSet<usize>,
        outstanding: BTreeMap<u64, usize>,
    }

    impl Queue {
        fn offer(&mut self, delivery: &mut Delivery) {
            let batch: Vec<usize> = self.waiting.iter().copied().take(20).collect();
            for (verdict, line) in delivery.write(&payloads(batch.iter().map(usize::to_string))).into_iter().zip(batch) {
                if let Verdict::Later(number) = verdict {
                    self.waiting.remove(&line);
                    assert_eq!(self.outstanding.insert(number, line), None);
                }
            }
            self.settle(delivery);
        }

        fn settle(&mut self, delivery: &mut Delivery) {
            for (numbers, verdict) in delivery.late.drain(..) {
                for line in numbers.filter_map(|n| self.outstanding.remove(&n)) {
                    if verdict != Verdict::Done {
                        self.waiting.insert(line);
                    }
                }
            }
        }
    }

    #[test]
    fn however_often_the_connection_is_cut_nothing_is_lost_and_the_order_is_kept() {
        let listener = listener();
        let mut delivery = output(&listener, "");
        let peer = thread::spawn(move || cutting(listener, vec![1, 100, 7, 1000, 333, 50, 2000]));
        let mut queue = Queue { waiting: (0..3000).collect(), ..Queue::default() };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !(queue.waiting.is_empty() && queue.outstanding.is_empty()) {
            assert!(Instant::now() < deadline, "{} wait, {} are outstanding", queue.waiting.len(), queue.outstanding.len());
            if queue.waiting.is_empty() {
                delivery.poll();
                queue.settle(&mut delivery);
            } else {
                queue.offer(&mut delivery);
            }
        }
        delivery.close();
        let mut reached = 0;
        for lines in peer.join().unwrap() {
            let lines: Vec<usize> = lines.iter().map(|l| l.parse().unwrap()).collect();
            assert!(lines[0] <= reached && lines.windows(2).all(|w| w[1] == w[0] + 1), "after {reached}: {lines:?}");
            reached = reached.max(lines[lines.len() - 1] + 1);
        }
        assert_eq!(reached, 3000);
    }
}
