//! The `udp` output: sends every message as one datagram.
//!
//! For collectors that take datagrams and where a lost message is no harm: a datagram the kernel has
//! taken counts as delivered, whether or not anyone received it. When the receiving host answers that
//! nobody listens, the rest of the batch is retried.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, OutBatch, OutCx, Output, Stability};
use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::patience::Patience;
use crate::resolve::resolve;

/// What an IPv4 datagram carries at most: 65535 less 20 (IP) and 8 (UDP) bytes of header.
const LARGEST: usize = 65_507;

/// How long a full send buffer is waited for, and the lookup of a name.
const TIMEOUT: Duration = Duration::from_secs(5);

pub const KIND: Kind = Kind::output("udp", Stability::Stable, build)
    .summary("Sends every message as one datagram.")
    .doc(
        "For collectors where a lost message is no harm: a datagram the kernel has taken counts as delivered. A message larger \
         than `max_datagram` is refused.",
    )
    .options(&[
        Opt::address("address").required().sample("\"127.0.0.1:5514\"").doc("Where to send to."),
        Opt::size("max_datagram")
            .default("65507B")
            .doc("Largest message, up to 65507B. Beyond about 1400B a datagram travels in fragments and is lost when one of them is."),
    ])
    .examples(&[Example { title: "Statistics to a local collector", toml: "match = 'Type == \"metric\"'\naddress = \"127.0.0.1:8125\"" }]);

struct Udp {
    address: String,
    max_datagram: usize,
    socket: Option<UdpSocket>,
}

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Output>, Problem> {
    let max_datagram = o.size("max_datagram");
    if !(1..=LARGEST).contains(&max_datagram) {
        let title = format!("`max_datagram` is {max_datagram}B");
        return Err(o.problem("max_datagram", title, format!("expected 1B to {LARGEST}B")));
    }
    Ok(Box::new(Udp { address: o.str("address").to_string(), max_datagram, socket: None }))
}

impl Output for Udp {
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>) {
        for (i, item) in batch.iter().enumerate() {
            if item.bytes.len() > self.max_datagram {
                let (size, max) = (item.bytes.len(), self.max_datagram);
                cx.reject(i, format!("{size} bytes do not fit a datagram of {max} (max_datagram)"));
                continue;
            }
            match self.send(item.bytes, cx) {
                Ok(()) => cx.done(i..i + 1),
                Err(e) if e.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {
                    cx.reject(i, format!("{} bytes are more than the network to {} carries in a datagram", item.bytes.len(), self.address));
                }
                Err(e) => {
                    // The next attempt looks the name up again.
                    self.socket = None;
                    cx.retry(i..batch.len(), None, format!("{}: {e}", self.address));
                    return;
                }
            }
        }
    }
}

impl Udp {
    fn send(&mut self, datagram: &[u8], cx: &OutCx<'_>) -> io::Result<()> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => self.socket.insert(socket(&self.address, cx)?),
        };
        loop {
            match socket.send(datagram) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Patience::new(cx, TIMEOUT).wait(socket, PollFlags::OUT)?,
                Err(e) => return Err(e),
            }
        }
    }
}

/// A non-blocking socket to the first address that has a route.
fn socket(address: &str, cx: &OutCx<'_>) -> io::Result<UdpSocket> {
    let mut last = Err(io::Error::other("the name has no address"));
    for address in resolve(address, &mut Patience::new(cx, TIMEOUT))? {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        last = UdpSocket::bind(any).and_then(|socket| socket.connect(address).and_then(|()| socket.set_nonblocking(true)).map(|()| socket));
        if last.is_ok() {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use plugin::Verdict;
    use testkit::deliver::{Delivery, payloads};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn pair(more: &str) -> (UdpSocket, Delivery) {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        let toml = format!("address = '{}'\n{more}", receiver.local_addr().unwrap());
        (receiver, Delivery::new(testkit::plugins::output(&KIND, &toml).unwrap()))
    }

    fn receive(receiver: &UdpSocket) -> String {
        let mut buf = [0; 2048];
        let n = receiver.recv(&mut buf).unwrap();
        String::from_utf8_lossy(&buf[..n]).into_owned()
    }

    #[test]
    fn a_message_is_a_datagram_and_one_that_is_too_large_is_refused() {
        let (receiver, mut delivery) = pair("max_datagram = '5B'");
        let verdicts = delivery.write(&payloads(["one", "three", "two"]));
        assert_eq!((&verdicts[0], &verdicts[2]), (&Verdict::Done, &Verdict::Done));
        assert_eq!(verdicts[1], Verdict::Reject("6 bytes do not fit a datagram of 5 (max_datagram)".to_string()));
        assert_eq!([receive(&receiver), receive(&receiver)], ["one\n", "two\n"]);
    }

    #[test]
    fn the_largest_datagram_passes() {
        let (receiver, mut delivery) = pair("");
        assert_eq!(delivery.write(&payloads([vec![b'x'; LARGEST - 1]])), [Verdict::Done]);
        assert_eq!(receiver.recv(&mut vec![0; 70_000]).unwrap(), LARGEST);
    }

    #[test]
    fn a_limit_beyond_the_protocol_is_a_problem_of_the_configuration() {
        let problem = testkit::plugins::output(&KIND, "address = '127.0.0.1:1'\nmax_datagram = '65508B'").err().unwrap();
        assert_eq!(problem, "test.toml:2:16: `max_datagram` is 65508B: expected 1B to 65507B");
    }

    #[test]
    fn an_answer_that_nobody_listens_is_a_retry() {
        let (receiver, mut delivery) = pair("");
        drop(receiver);
        let deadline = std::time::Instant::now() + PATIENCE;
        while !matches!(&delivery.write(&payloads(["a", "b"]))[1], Verdict::Retry { why, .. } if why.contains("refused")) {
            assert!(std::time::Instant::now() < deadline, "the refusal was never reported");
        }
    }
}
