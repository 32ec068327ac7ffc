//! What a sample costs, by kind, with and without tags, over few and over many names: packets of
//! 1400 bytes from memory, parsed and added up as the `statsd` input does. Nanoseconds of CPU a
//! sample, the median of five rounds. `cargo run --release -p metrics --example figures`

use message::BatchBuilder;
use metrics::{AggregateOptions, Aggregator, Dialect, statsd};

const PACKET: usize = 1400;
const ROUNDS: usize = 5;
const SAMPLES: usize = 2_000_000;

/// Packets that hold [`SAMPLES`] samples over `series` names.
fn packets(series: usize, kind: &str, tags: &str) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::with_capacity(PACKET)];
    for i in 0..SAMPLES {
        // Every name as often as the others, in no order.
        let n = (i as u64).wrapping_mul(2_654_435_761) as usize % series;
        let line = format!("service.endpoint{n}.requests:{}|{kind}{tags}", i % 200);
        if all.last().is_some_and(|p| p.len() + line.len() + 1 > PACKET) {
            all.push(Vec::with_capacity(PACKET));
        }
        let packet = all.last_mut().expect("one packet");
        if !packet.is_empty() {
            packet.push(b'\n');
        }
        packet.extend_from_slice(line.as_bytes());
    }
    all
}

/// Seconds a sample of the middle round.
fn median(mut round: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = cpu();
            round();
            (cpu() - begin) / SAMPLES as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn parse_all(packets: &[Vec<u8>]) {
    let mut good = 0;
    for packet in packets {
        for line in statsd::lines(packet) {
            statsd::parse(line, Dialect::Etsy, &mut |sample| good += usize::from(sample.is_ok()));
        }
    }
    assert_eq!(good, SAMPLES);
}

fn main() {
    println!("{:<28} {:>9} {:>10} {:>8} {:>10}", "", "parse ns", "in all ns", "M/s", "B/series");
    let only = std::env::args().nth(1).unwrap_or_default();
    for series in [1_000, 1_000_000] {
        for (kind, name) in [("c", "counters"), ("ms", "timers"), ("g", "gauges"), ("s", "sets")] {
            for (tags, tagged) in [("", ""), ("|#dc:x,host:h1", ", tags"), ("|#host:h1,dc:x", ", tags unsorted")] {
                let what = format!("{name}{tagged}, {series}");
                if !what.contains(&only) {
                    continue;
                }
                let packets = packets(series, kind, tags);
                let options = AggregateOptions { max_values: usize::MAX, max_series: series, ..AggregateOptions::default() };
                let mut aggregator = Aggregator::new(options);
                let add = |aggregator: &mut Aggregator| {
                    let taken: u64 = packets.iter().map(|p| aggregator.packet(p, Dialect::Etsy, &mut |_, _| {})).sum();
                    assert_eq!(taken, SAMPLES as u64);
                };
                let before = resident();
                add(&mut aggregator);
                let size = resident().saturating_sub(before) as f64 / aggregator.series() as f64;
                let mut out = BatchBuilder::default();
                aggregator.flush(0).write_all(out.messages());
                drop(out);
                let parse = median(|| parse_all(&packets));
                let all = median(|| add(&mut aggregator));
                println!("{what:<28} {:>9.1} {:>10.1} {:>8.1} {size:>10.0}", parse * 1e9, all * 1e9, 1e-6 / all);
            }
        }
    }
}

/// CPU time of this thread, in seconds.
fn cpu() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    times.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Resident memory, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).unwrap_or(0) * 4096
}
