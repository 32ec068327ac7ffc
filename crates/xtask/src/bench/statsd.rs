//! W5: counters over UDP, at several rates. The sums that come out tell how many were lost.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::contender::{Contender, LIMIT, Values, prepare};
use super::peers::{self, Collectd};
use super::{Settings, Size};
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

/// Whether someone receives at this port.
fn bound(address: SocketAddr) -> bool {
    let port = format!(":{:04X}", address.port());
    // The second column is the local address.
    let local = |table: &str| {
        fs::read_to_string(table).unwrap_or_default().lines().any(|l| l.split_whitespace().nth(1).is_some_and(|a| a.ends_with(&port)))
    };
    local("/proc/net/udp") || local("/proc/net/udp6")
}

/// Waits for the receiver, sends, and waits until its work is done.
fn flood(packets: Packets, rate: Option<u64>, time: Duration, to: SocketAddr) -> Result<(u64, f64)> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !bound(to) {
        anyhow::ensure!(Instant::now() < deadline, "nobody receives at {to}");
        std::thread::sleep(Duration::from_millis(2));
    }
    packets.send(to, rate, time)
}

fn values(sent: u64, rate: f64, received: u64, cpu: Duration) -> Values {
    let share = received as f64 / sent.max(1) as f64;
    vec![
        ("k/s sent", rate / 1e3),
        ("k/s received", rate * share / 1e3),
        ("% lost", (1.0 - share) * 100.0),
        ("k/CPU-s", received as f64 / 1e3 / cpu.as_secs_f64().max(0.01)),
    ]
}

/// W5. The floor differs by rate, so there is one beside each and no ratio is made.
pub fn udp(settings: &Settings) -> Result<Vec<Contender>> {
    let time = if settings.size == Size::Small { Duration::from_secs(1) } else { Duration::from_secs(5) };
    let collectd = settings.peers.then(Collectd::find).flatten();
    let mut all = Vec::new();
    for &(packets, rate) in RATES {
        let label = match rate {
            Some(rate) => format!("{}, {} k/s", packets.name, rate / 1000),
            None => format!("{}, flooded", packets.name),
        };
        all.push(Contender::new(format!("{label}: a bare recvmmsg loop"), move || bare(packets, rate, time)));
        let program = settings.nilo.clone();
        all.push(Contender::new(format!("{label}: nilo"), move || nilo(&program, packets, rate, time)));
        if let Some(collectd) = collectd.clone() {
            all.push(Contender::new(format!("{label}: collectd"), move || collectd_run(&collectd, packets, rate, time)));
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

fn nilo(program: &std::path::Path, packets: Packets, rate: Option<u64>, time: Duration) -> Result<Values> {
    let address = peers::free_udp()?;
    let config = format!(
        "[input.statsd]\ntype = \"statsd\"\nlisten = \"{address}\"\nevery = \"200ms\"\n\
         [output.file]\ntype = \"file\"\ndir = \"{{dir}}/out\"\nname = \"metrics\"\nmatch = 'Fields[kind] == \"counter\"'\nencoder = \"json\"\n"
    );
    let mut daemon = prepare(program, &config, &[])?;
    daemon.start()?;
    let (sent, rate) = flood(packets, rate, time, address)?;
    let usage = settled(daemon.take_process()?).with_context(|| daemon.log_end())?;
    let mut received = 0.0;
    for line in fs::read_to_string(daemon.path("out/metrics"))?.lines() {
        let metric: Value = serde_json::from_str(line)?;
        let name = metric["name"].as_str().unwrap_or("");
        if name.contains(".bench.counter.") && name.ends_with(".count") {
            received += metric["value"].as_f64().unwrap_or(0.0);
        }
    }
    Ok(values(sent, rate, received as u64, usage))
}

fn collectd_run(collectd: &Collectd, packets: Packets, rate: Option<u64>, time: Duration) -> Result<Values> {
    let dir = tempfile::TempDir::with_prefix("bench-")?;
    let address = peers::free_udp()?;
    let process = Process::spawn(&mut collectd.command(dir.path(), address)?)?;
    let (sent, rate) = flood(packets, rate, time, address)?;
    // It writes once a second.
    std::thread::sleep(Duration::from_secs(2));
    let usage = settled(process)?;
    Ok(values(sent, rate, Collectd::received(dir.path())?, usage))
}

/// Stops a receiver once it has had time to take what the kernel holds; the CPU time it used.
fn settled(mut process: Process) -> Result<Duration> {
    std::thread::sleep(Duration::from_millis(500));
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
    fn receivers_are_seen() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert!(bound(address));
        drop(socket);
        assert!(!bound(address));
    }
}
