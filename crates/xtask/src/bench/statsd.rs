//! W5: counters over UDP, at several rates. The sums that come out tell how many were lost.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Settings;
use super::contender::{Case, Contender, LIMIT, RATE, Values};
use super::peers::{self, Collectd};
use crate::process::Process;

/// What one packet holds.
#[derive(Clone, Copy, Debug)]
struct Packets {
    name: &'static str,
    metrics: usize,
}

const SINGLE: Packets = Packets { name: "single", metrics: 1 };
/// With 21 bytes and a newline each they fill a packet of 1400 bytes.
const FULL: Packets = Packets { name: "1400 B", metrics: 63 };

/// Metrics a second; `None` is as many as the sender can.
const RATES: &[(Packets, Option<u64>)] =
    &[(SINGLE, Some(100_000)), (SINGLE, Some(400_000)), (SINGLE, None), (FULL, Some(1_000_000)), (FULL, Some(2_000_000)), (FULL, None)];

/// Names in use.
const SERIES: usize = 100;

impl Packets {
    /// Packets that are sent over and over.
    fn make(self) -> Vec<Vec<u8>> {
        let metric = |n: usize| format!("bench.counter.{:03}:1|c", n % SERIES);
        let packet = |p: usize| (0..self.metrics).map(|m| metric(p * self.metrics + m)).collect::<Vec<_>>().join("\n").into_bytes();
        (0..SERIES).map(packet).collect()
    }

    /// Sends for a while; the number of metrics, and how many a second.
    fn send(self, to: SocketAddr, rate: Option<u64>, time: Duration) -> Result<(u64, f64)> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(to)?;
        let (packets, start, mut sent) = (self.make(), Instant::now(), 0u64);
        while start.elapsed() < time {
            let due = rate.map_or(u64::MAX, |r| (start.elapsed().as_secs_f64() * r as f64) as u64);
            // The clock is not asked for every packet.
            for _ in 0..64 {
                if sent >= due {
                    std::thread::sleep(Duration::from_micros(200));
                    break;
                }
                // Many at a time (sendmmsg) are no faster: on loopback the cost is the kernel's delivery of each.
                socket.send(&packets[sent as usize / self.metrics % packets.len()]).context("the receiver is gone")?;
                sent += self.metrics as u64;
            }
        }
        Ok((sent, sent as f64 / start.elapsed().as_secs_f64()))
    }
}

/// The kernel's table of sockets: columns of those that receive at this port.
fn sockets(address: SocketAddr) -> Vec<Vec<String>> {
    let port = format!(":{:04X}", address.port());
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let columns = |line: &str| line.split_whitespace().map(str::to_string).collect::<Vec<_>>();
    // The second column is the local address.
    tables.iter().flat_map(|t| t.lines()).map(columns).filter(|c| c.get(1).is_some_and(|a| a.ends_with(&port))).collect()
}

/// Whether someone receives at this port.
fn bound(address: SocketAddr) -> bool {
    !sockets(address).is_empty()
}

/// Packets the kernel had no room for, the last column.
fn dropped(address: SocketAddr) -> u64 {
    sockets(address).iter().filter_map(|c| c.last()?.parse::<u64>().ok()).sum()
}

/// Waits for the receiver, sends, and waits until its work is done.
fn flood(packets: Packets, rate: Option<u64>, time: Duration, to: SocketAddr) -> Result<(u64, f64)> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !bound(to) {
        ensure!(Instant::now() < deadline, "nobody receives at {to}");
        std::thread::sleep(Duration::from_millis(2));
    }
    packets.send(to, rate, time)
}

fn values(sent: u64, rate: f64, received: u64, cpu: Duration) -> Values {
    let share = received as f64 / sent.max(1) as f64;
    vec![
        (RATE, received as f64 / 1e3 / cpu.as_secs_f64().max(0.01)),
        ("k/s sent", rate / 1e3),
        ("k/s received", rate * share / 1e3),
        ("% lost", (1.0 - share) * 100.0),
    ]
}

/// W5. The floor differs by rate, so there is one beside each.
pub fn udp(settings: &Settings) -> Result<Vec<Contender>> {
    let time = if settings.quick { Duration::from_secs(1) } else { Duration::from_secs(5) };
    let collectd = settings.peers.then(Collectd::find).flatten();
    let mut all = Vec::new();
    for &(packets, rate) in RATES {
        let group = match rate {
            Some(rate) => format!("{}, {} k/s", packets.name, rate / 1000),
            None => format!("{}, flooded", packets.name),
        };
        all.push(Contender::machine("bare recvmmsg", move || bare(packets, rate, time)).of(&group).floor());
        let case = settings.case("W5", &group);
        all.push(Contender::new("nilo", move || nilo(&case, packets, rate, time)).of(&group));
        if let Some(collectd) = collectd.clone() {
            all.push(Contender::peer("collectd", move || collectd_run(&collectd, packets, rate, time)).of(&group));
        }
    }
    Ok(all)
}

fn bare(packets: Packets, rate: Option<u64>, time: Duration) -> Result<Values> {
    let dir = tempfile::TempDir::with_prefix("bench-")?;
    let (address, out) = (peers::free_udp()?, dir.path().join("received"));
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", "udp", &address.to_string()]).stdout(fs::File::create(&out)?);
    let process = Process::spawn(&mut command)?;
    let (sent, rate) = flood(packets, rate, time, address)?;
    let usage = process.finish(LIMIT)?;
    let received = fs::read_to_string(&out)?.trim().parse()?;
    Ok(values(sent, rate, received, usage.cpu))
}

fn nilo(case: &Case, packets: Packets, rate: Option<u64>, time: Duration) -> Result<Values> {
    let address = peers::free_udp()?;
    let config = format!(
        "[input.statsd]\ntype = \"statsd\"\nlisten = \"{address}\"\nevery = \"200ms\"\n\
         [output.file]\ntype = \"file\"\ndir = \"{{dir}}/out\"\nname = \"metrics\"\nmatch = 'Fields[kind] == \"counter\"'\nencoder = \"json\"\n"
    );
    let mut daemon = case.prepare(&config, &[])?;
    daemon.start()?;
    let (sent, rate) = flood(packets, rate, time, address)?;
    std::thread::sleep(SETTLING);
    let dropped = dropped(address) * packets.metrics as u64;
    let usage = stopped(daemon.take_process()?).with_context(|| daemon.log_end())?;
    let sums = sums(&fs::read_to_string(daemon.path("out/metrics"))?)?;
    let received: u64 = sums.iter().sum();
    ensure!(received + dropped == sent, "{sent} were sent, the kernel dropped {dropped}, but {received} came out");
    let expected = |series: usize| sent / SERIES as u64 + u64::from((series as u64) < sent % SERIES as u64);
    let wrong = (0..SERIES).find(|s| dropped == 0 && sums[*s] != expected(*s));
    ensure!(wrong.is_none(), "counter {wrong:?} has another sum than what was sent: {sums:?}");
    Ok(values(sent, rate, received, usage))
}

/// The sum of each counter over all flushes.
fn sums(flushes: &str) -> Result<Vec<u64>> {
    let mut sums = vec![0; SERIES];
    for line in flushes.lines() {
        let metric: Value = serde_json::from_str(line)?;
        let counter = metric["name"].as_str().and_then(|n| n.split_once(".bench.counter.")).and_then(|(_, n)| n.strip_suffix(".count"));
        if let Some(counter) = counter {
            let sum = sums.get_mut(counter.parse::<usize>()?).with_context(|| format!("nobody sent counter {counter}"))?;
            *sum += metric["value"].as_f64().unwrap_or(0.0) as u64;
        }
    }
    Ok(sums)
}

fn collectd_run(collectd: &Collectd, packets: Packets, rate: Option<u64>, time: Duration) -> Result<Values> {
    let dir = tempfile::TempDir::with_prefix("bench-")?;
    let address = peers::free_udp()?;
    let process = Process::spawn(&mut collectd.command(dir.path(), address)?)?;
    let (sent, rate) = flood(packets, rate, time, address)?;
    // It writes once a second.
    std::thread::sleep(Duration::from_secs(2) + SETTLING);
    let usage = stopped(process)?;
    Ok(values(sent, rate, Collectd::received(dir.path())?, usage))
}

/// Time for a receiver to take what the kernel holds.
const SETTLING: Duration = Duration::from_millis(500);

/// Stops a receiver; the CPU time it used.
fn stopped(mut process: Process) -> Result<Duration> {
    process.terminate(Duration::from_secs(20))?;
    Ok(process.cpu())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_described() {
        assert!(SINGLE.make().iter().all(|p| p.len() == 21 && !p.contains(&b'\n')));
        let full = FULL.make();
        assert!(full.iter().all(|p| (1350..=1400).contains(&p.len())), "{}", full[0].len());
        let mut series = std::collections::HashSet::new();
        for packet in &full {
            series.extend(packet.split(|b| *b == b'\n'));
        }
        assert_eq!(series.len(), SERIES);
    }

    #[test]
    fn sums_are_added_up() {
        let flush = |name: &str, value: f64| format!("{{\"name\":\"{name}\",\"value\":{value}}}\n");
        let text = [flush("stats.bench.counter.007.count", 3.0), flush("stats.bench.counter.007.count", 4.0), flush("stats.numStats", 9.0)];
        let sums = sums(&text.concat()).unwrap();
        assert_eq!((sums[7], sums.iter().sum()), (7, 7u64));
    }

    #[test]
    fn receivers_are_seen() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert!(bound(address));
        drop(socket);
        assert!(!bound(address));
    }
}
