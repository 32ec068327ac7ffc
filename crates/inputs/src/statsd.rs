//! The `statsd` input: receives StatsD samples, adds them up where they arrive and makes metrics of
//! them at every flush.
//!
//! Results and formulas are exactly those of Etsy's statsd. A flood of samples costs no message
//! each; to see every sample as a message, use `udp` with the decoder `statsd` and the filter
//! `statsd_aggregate`, which adds up the same way.
//!
//! Nothing can make the sender of a datagram wait. What arrives while the kernel's buffer is full
//! is lost; how much that was is in the counter `dropped_by_kernel`. What was added up since the
//! last flush goes out at an orderly stop, and is lost when the process is killed.

mod connections;

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Duration;

use metrics::{AGGREGATE_OPTIONS, AggregateOptions, Aggregator, Dialect, Refused, with_aggregate};
use options::{Opt, Options, Problem};
use plugin::{Counter, Example, Fatal, Input, InputCx, Kind, Stability};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::datagrams::{Datagrams, LARGEST};
use connections::{Connections, Take};

const OWN_OPTIONS: &[Opt] = &[
    Opt::address("listen").default("127.0.0.1:8125").doc("Address to receive at. Loopback unless others are meant to send."),
    Opt::strings("protocols").sample("[\"udp\", \"tcp\"]").doc("udp, tcp or both, at the same port. Default: both."),
    Opt::size("receive_buffer").default("8MiB").doc(
        "What the kernel may hold of datagrams before it drops. Without CAP_NET_ADMIN it gives at most the sysctl net.core.rmem_max; the log says so when that is less.",
    ),
    Opt::integer("max_connections").default("256").doc("Further TCP connections are closed at once and counted as `refused_connections`."),
    Dialect::OPTION,
];

const OPTIONS: [Opt; OWN_OPTIONS.len() + AGGREGATE_OPTIONS.len()] = with_aggregate(OWN_OPTIONS);

pub const KIND: Kind = Kind::input("statsd", Stability::Stable, |o, _| Ok(Box::new(Statsd::new(o)?)))
    .summary("Receives StatsD samples over UDP and TCP and makes metrics of them at every flush.")
    .doc(
        "Samples are added up where they arrive. At every flush messages of Type `metric` are made, with the Fields `name`, \
         `value`, `kind` (`counter`, `gauge`, `timer` or `set`) and a field for every tag. Names and formulas are those of Etsy's \
         statsd; tags are DogStatsD's. What is refused (malformed, or beyond max_series or max_values) is counted as rejected, \
         and the log says why from time to time. A line over TCP may have 64 KiB.",
    )
    .options(&OPTIONS)
    .examples(&[
        Example { title: "As Etsy's statsd, for local programs", toml: "" },
        Example {
            title: "DogStatsD clients of a whole network",
            toml: "listen = \"0.0.0.0:8125\"\ndialect = \"dogstatsd\"\npercentiles = [\"50\", \"99\"]\ndelete_idle = true",
        },
    ]);

/// Messages made at a time.
const PORTION: usize = 4096;

/// Batches of datagrams taken before anything else gets its turn, and after a stop.
const BATCHES: usize = 16;
const LAST_BATCHES: usize = 64;

/// Datagrams that are worth waking up for. After fewer, the next are left to gather for a moment:
/// to be woken for each costs more than to add its samples up.
const WORTHWHILE: usize = 64;

/// The longest such moment.
const GATHER: Duration = Duration::from_millis(1);

/// How often refusals are logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How long nothing is accepted after the system had no descriptor left.
const PAUSE: Duration = Duration::from_secs(1);

struct Statsd {
    listen: String,
    udp: bool,
    tcp: bool,
    receive_buffer: usize,
    max_connections: usize,
    every: Duration,
    samples: Samples,
    /// Kept from one run to the next.
    sockets: Option<Sockets>,
}

struct Sockets {
    udp: Option<Datagrams>,
    tcp: Option<Connections>,
    /// No accepting before this, by the steady clock.
    accept_from: Duration,
}

/// Where samples are added up, and what was refused since it was last told.
struct Samples {
    aggregator: Aggregator,
    dialect: Dialect,
    taken: u64,
    refused: u64,
    /// Refusals since the last line in the log, the first of them, and when that line was.
    unlogged: u64,
    first: Option<String>,
    logged: Option<Duration>,
}

impl Statsd {
    fn new(o: &Options) -> Result<Statsd, Problem> {
        let protocol = |name: &str| !o.given("protocols") || o.strings("protocols").iter().any(|p| p == name);
        let unknown = o.strings("protocols").iter().find(|p| !matches!(&p[..], "udp" | "tcp"));
        if let Some(unknown) = unknown {
            return Err(o.problem("protocols", format!("`{unknown}` is not a protocol of StatsD"), "expected \"udp\", \"tcp\" or both"));
        }
        if !protocol("udp") && !protocol("tcp") {
            return Err(o.problem("protocols", "no protocol to receive by", "expected \"udp\", \"tcp\" or both"));
        }
        let max = o.integer("max_connections");
        if !(1..=65_536).contains(&max) {
            return Err(o.problem("max_connections", format!("`max_connections` is {max}"), "expected 1 to 65536"));
        }
        let aggregator = Aggregator::new(AggregateOptions::read(o)?);
        Ok(Statsd {
            listen: o.str("listen").to_string(),
            udp: protocol("udp"),
            tcp: protocol("tcp"),
            receive_buffer: o.size("receive_buffer"),
            max_connections: max as usize,
            every: o.duration("every"),
            samples: Samples { aggregator, dialect: Dialect::read(o), taken: 0, refused: 0, unlogged: 0, first: None, logged: None },
            sockets: None,
        })
    }

    fn bind(&self) -> Result<Sockets, Fatal> {
        let fatal = |protocol: &str, e| Fatal::new(format!("cannot receive at {} by {protocol}: {e} (option `listen`)", self.listen));
        let udp = self.udp.then(|| Datagrams::bind(&self.listen, self.receive_buffer, LARGEST)).transpose().map_err(|e| fatal("udp", e))?;
        // Port 0 is any free one: both protocols get the same.
        let bound = udp.as_ref().map(Datagrams::local_addr).transpose().map_err(|e| fatal("udp", e))?;
        let listener = || match bound {
            Some(address) => TcpListener::bind(address),
            None => TcpListener::bind(&self.listen),
        };
        let tcp = self.tcp.then(|| listener().and_then(|l| Connections::new(l, self.max_connections)));
        Ok(Sockets { udp, tcp: tcp.transpose().map_err(|e| fatal("tcp", e))?, accept_from: Duration::ZERO })
    }

    fn serve(&mut self, sockets: &mut Sockets, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let mut due = cx.clock.steady() + self.every;
        while !cx.stop.asked() {
            cx.intake.poll();
            let timeout = due.saturating_sub(cx.clock.steady()).min(cx.intake.wait());
            sockets.turn(timeout, &mut self.samples, &self.listen, cx)?;
            let now = cx.clock.steady();
            self.samples.tell(now, &self.listen, cx);
            if now >= due {
                self.samples.flush(cx);
                // After a long sleep of the machine missed flushes are not made up for.
                due = if due + self.every > now { due + self.every } else { now + self.every };
            }
        }
        sockets.finish(&mut self.samples, &self.listen, cx)?;
        self.samples.tell(Duration::MAX, &self.listen, cx);
        self.samples.flush(cx);
        Ok(())
    }
}

impl Input for Statsd {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let mut sockets = self.sockets.take().map_or_else(|| self.bind(), Ok)?;
        self.serve(&mut sockets, cx)
    }

    fn can_wait(&self) -> bool {
        false
    }
}

impl Sockets {
    /// Waits until something arrives, and takes it.
    fn turn(&mut self, timeout: Duration, samples: &mut Samples, listen: &str, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let (datagrams, listener, connections) = self.wait(timeout, cx);
        let gather = datagrams && (1..WORTHWHILE).contains(&self.datagrams(BATCHES, samples, listen, cx)?);
        if let Some(tcp) = &mut self.tcp {
            cx.meter.add(Counter::Bytes, tcp.read(&connections, samples));
            if listener {
                match tcp.accept() {
                    Ok(refused) => cx.meter.add_extra("refused_connections", refused),
                    Err(e) => {
                        log::warn!("{listen}: nothing is accepted for a moment: {e} (raise the limit of open files)");
                        self.accept_from = cx.clock.steady() + PAUSE;
                    }
                }
            }
        }
        if let (true, Some(udp)) = (gather, &self.udp) {
            std::thread::sleep(udp.patience().min(GATHER));
        }
        Ok(())
    }

    /// What is ready: the datagrams, the listener, and connections by number.
    fn wait(&self, timeout: Duration, cx: &InputCx<'_>) -> (bool, bool, Vec<usize>) {
        let paused = cx.clock.steady() < self.accept_from;
        let timeout = if paused { timeout.min(PAUSE) } else { timeout };
        let mut fds = vec![PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN)];
        fds.extend(self.udp.iter().map(|udp| PollFd::from_borrowed_fd(udp.as_fd(), PollFlags::IN)));
        let tcp_at = fds.len();
        for (i, fd) in self.tcp.iter().flat_map(Connections::fds).enumerate() {
            fds.push(PollFd::from_borrowed_fd(fd, if i == 0 && paused { PollFlags::empty() } else { PollFlags::IN }));
        }
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        // Fails for a signal only, and then nothing is ready.
        if poll(&mut fds, Some(&timeout)).is_err() {
            return (false, false, Vec::new());
        }
        let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let (first, tcp) = fds.split_at(tcp_at);
        let connections = tcp.iter().skip(1).enumerate().filter(|(_, fd)| ready(fd)).map(|(i, _)| i).collect();
        (first.get(1).is_some_and(ready), tcp.first().is_some_and(ready), connections)
    }

    /// Takes datagrams that have arrived, and tells how many.
    fn datagrams(&mut self, batches: usize, samples: &mut Samples, listen: &str, cx: &InputCx<'_>) -> Result<usize, Fatal> {
        let Some(udp) = &mut self.udp else { return Ok(0) };
        let mut all = 0;
        for _ in 0..batches {
            let taken =
                udp.receive(|datagram| samples.lines(datagram)).map_err(|e| Fatal::new(format!("receiving at {listen} failed: {e}")))?;
            cx.meter.add(Counter::Bytes, taken.bytes);
            cx.meter.add_extra("packets", taken.datagrams as u64);
            cx.meter.add_extra("dropped_by_kernel", taken.dropped.into());
            all += taken.datagrams;
            if !taken.more {
                break;
            }
        }
        Ok(all)
    }

    /// Takes what had arrived before the stop.
    fn finish(&mut self, samples: &mut Samples, listen: &str, cx: &InputCx<'_>) -> Result<(), Fatal> {
        self.datagrams(LAST_BATCHES, samples, listen, cx)?;
        if let Some(tcp) = &mut self.tcp {
            // One that waits to be accepted may have sent already.
            if let Ok(refused) = tcp.accept() {
                cx.meter.add_extra("refused_connections", refused);
            }
            cx.meter.add(Counter::Bytes, tcp.finish(samples));
        }
        Ok(())
    }
}

impl Take for Samples {
    fn lines(&mut self, lines: &[u8]) {
        let Samples { aggregator, dialect, refused, first, .. } = self;
        self.taken += aggregator.packet(lines, *dialect, &mut |line, why| {
            *refused += 1;
            remember(first, &why, line);
        });
    }

    fn too_long(&mut self, start: &[u8]) {
        self.refused += 1;
        remember(&mut self.first, &Refused::TooLong, start);
    }
}

impl Samples {
    /// Tells the counters, and now and then the log.
    fn tell(&mut self, now: Duration, listen: &str, cx: &InputCx<'_>) {
        cx.meter.add(Counter::Rejected, self.refused);
        cx.meter.add_extra("samples", std::mem::take(&mut self.taken));
        self.unlogged += std::mem::take(&mut self.refused);
        if self.unlogged > 0 && self.logged.is_none_or(|logged| now.saturating_sub(logged) >= LOG_EVERY) {
            let first = self.first.take().unwrap_or_default();
            log::warn!("{listen}: {} samples refused, the first one: {first}", std::mem::take(&mut self.unlogged));
            self.logged = Some(now);
        }
    }

    fn flush(&mut self, cx: &mut InputCx<'_>) {
        let begin = cx.clock.steady();
        let mut flush = self.aggregator.flush(cx.clock.now());
        let mut more = true;
        while more {
            cx.intake.make(&mut |messages| more = flush.write(messages, PORTION));
        }
        self.aggregator.took(cx.clock.steady().saturating_sub(begin));
    }
}

/// Keeps the first refusal for the log.
fn remember(first: &mut Option<String>, why: &Refused, line: &[u8]) {
    first.get_or_insert_with(|| format!("{why}: {}", line[..line.len().min(100)].escape_ascii()));
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{SocketAddr, TcpStream, UdpSocket};

    use message::Value;
    use plugin::Clock;
    use testkit::intake::{RecordingIntake, Running, Seen, start_at};

    use super::connections::MAX_LINE;
    use super::*;

    fn statsd(toml: &str) -> Result<Statsd, String> {
        Statsd::new(&testkit::plugins::options(&KIND, toml)?).map_err(|p| p.to_string())
    }

    /// One that runs by a clock of the test's, with where it listens.
    fn running(more: &str) -> (RecordingIntake, SocketAddr, Clock, Running) {
        let mut statsd = statsd(&format!("listen = '127.0.0.1:0'\n{more}")).unwrap();
        // The port that udp got may be another's by tcp.
        let sockets = (0..20).find_map(|_| statsd.bind().ok()).unwrap();
        let address = match (&sockets.udp, &sockets.tcp) {
            (Some(udp), _) => udp.local_addr().unwrap(),
            (None, Some(tcp)) => tcp.local_addr().unwrap(),
            (None, None) => unreachable!(),
        };
        statsd.sockets = Some(sockets);
        let (intake, clock) = (RecordingIntake::default(), Clock::standing(1_000_000_000_000));
        let running = start_at(Box::new(statsd), &intake, clock.clone());
        (intake, address, clock, running)
    }

    /// The sum of what all flushes said of this name.
    fn sum(seen: &Seen, name: &str) -> f64 {
        let named = |m: &message::MessageRef<'_>| m.value(b"name", 0, 0) == Some(Value::String(name.as_bytes()));
        seen.made.iter().flat_map(|b| b.iter().filter(named).filter_map(|m| m.value(b"value", 0, 0)?.as_f64()).collect::<Vec<_>>()).sum()
    }

    fn extra(running: &Running, name: &str) -> u64 {
        running.meter().read().iter().find(|(n, _)| *n == name).map_or(0, |(_, n)| *n)
    }

    #[test]
    fn datagrams_are_added_up_and_flushed_when_it_is_time() {
        let (_, address, clock, running) = running("protocols = 'udp'\nevery = '2s'");
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..100 {
            sender.send_to(format!("hits:{n}|c\ntime:{n}|ms\n").as_bytes(), address).unwrap();
        }
        running.wait_for(|_| extra(&running, "samples") == 200);
        running.wait_for(|seen| seen.made.is_empty());
        clock.set(1_002_000_000_000);
        running.wait_for(|seen| !seen.made.is_empty());
        running.wait_for(|seen| {
            let m = seen.made[0].get(1);
            assert_eq!((m.type_(), m.timestamp()), (&b"metric"[..], 1_002_000_000_000));
            assert_eq!((sum(seen, "stats.counters.hits.count"), sum(seen, "stats.counters.hits.rate")), (4950.0, 2475.0));
            assert_eq!(sum(seen, "stats.counters.statsd.packets_received.count"), 100.0);
            true
        });
        sender.send_to(b"hits:50|c", address).unwrap();
        running.wait_for(|_| extra(&running, "samples") == 201);
        clock.set(1_004_000_000_000);
        running.wait_for(|seen| sum(seen, "stats.counters.hits.count") == 5000.0);
        running.stop().unwrap();
    }

    #[test]
    fn a_stop_flushes_what_arrived_by_either_protocol() {
        let (intake, address, _, running) = running("");
        let mut connection = TcpStream::connect(address).unwrap();
        for piece in ["a:1|c\na:", "2|c\n", "a:4|", "c"] {
            connection.write_all(piece.as_bytes()).unwrap();
        }
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"a:8|c", address).unwrap();
        running.stop().unwrap();
        assert_eq!(sum(&intake.seen(), "stats.counters.a.count"), 15.0);
    }

    #[test]
    fn what_is_refused_is_counted_and_the_rest_goes_on() {
        let (intake, address, _, running) = running("protocols = 'tcp'\nmax_series = 2");
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(b"a:1|c\nnonsense\nb:x|c\nb:1|c\nc:1|c\na:1|c\n").unwrap();
        connection.write_all(&vec![b'x'; 2 * MAX_LINE]).unwrap();
        connection.write_all(b"\na:1|c\n").unwrap();
        drop(connection);
        running.wait_for(|_| extra(&running, "samples") == 4);
        assert_eq!(running.meter().get(Counter::Rejected), 4);
        running.stop().unwrap();
        assert_eq!(sum(&intake.seen(), "stats.counters.a.count"), 3.0);
    }

    #[test]
    fn connections_beyond_the_cap_are_turned_away() {
        let (_, address, _, running) = running("max_connections = 1");
        let mut first = TcpStream::connect(address).unwrap();
        first.write_all(b"a:1|c\n").unwrap();
        running.wait_for(|_| extra(&running, "samples") == 1);
        let _second = TcpStream::connect(address).unwrap();
        running.wait_for(|_| extra(&running, "refused_connections") == 1);
        first.write_all(b"a:1|c\n").unwrap();
        running.wait_for(|_| extra(&running, "samples") == 2);
        running.stop().unwrap();
    }

    #[test]
    fn bad_options_and_a_taken_port_are_told() {
        for (toml, told) in [
            ("protocols = ['sctp']", "`sctp` is not a protocol of StatsD"),
            ("protocols = []", "no protocol to receive by"),
            ("max_connections = 0", "expected 1 to 65536"),
            ("percentiles = ['0']", "`0` is not a percentile"),
        ] {
            let problem = statsd(toml).err().unwrap();
            assert!(problem.contains(told), "{toml}: {problem}");
        }
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fatal = statsd(&format!("listen = '{}'", taken.local_addr().unwrap())).unwrap().bind().err().unwrap();
        assert!(fatal.to_string().contains("option `listen`"), "{fatal}");
    }
}
