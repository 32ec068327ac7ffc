//! What a sample costs: packets of 1400 bytes over 1,000 and over 50,000 series, parsed and added
//! up in place. `cargo run --release -p metrics --example rate`

use std::time::Instant;

use message::BatchBuilder;
use metrics::{AggregateOptions, Aggregator, Dialect, statsd};

const PACKET: usize = 1400;

/// Packets that hold `samples` samples over `series` names, and how many there are.
fn packets(samples: usize, series: usize, tags: &str) -> Vec<Vec<u8>> {
    let kinds = ["1|c", "12|ms", "7|c|@0.1", "3.25|g"];
    let mut all = vec![Vec::with_capacity(PACKET)];
    for i in 0..samples {
        let n = i.wrapping_mul(2_654_435_761) % series;
        let line = format!("service.endpoint{n}.requests:{}{tags}\n", kinds[n % 4]);
        if all.last().is_some_and(|p| p.len() + line.len() > PACKET) {
            all.push(Vec::with_capacity(PACKET));
        }
        all.last_mut().expect("one packet").extend_from_slice(line.as_bytes());
    }
    all
}

fn main() {
    let samples = 200_000;
    for (what, series, tags) in
        [("1,000 series", 1_000, ""), ("50,000 series", 50_000, ""), ("1,000 series, 2 tags", 1_000, "|#dc:x,host:h1")]
    {
        let packets = packets(samples, series, tags);
        let mut aggregator = Aggregator::new(AggregateOptions { max_values: usize::MAX, ..AggregateOptions::default() });
        let (mut parsing, mut adding) = (f64::MAX, f64::MAX);
        for round in 0..10 {
            let begin = Instant::now();
            let mut good = 0;
            for packet in &packets {
                for line in statsd::lines(packet) {
                    statsd::parse(line, Dialect::Etsy, &mut |sample| good += usize::from(sample.is_ok()));
                }
            }
            parsing = parsing.min(begin.elapsed().as_secs_f64());
            assert_eq!(good, samples);

            let begin = Instant::now();
            let taken: u64 = packets.iter().map(|p| aggregator.packet(p, Dialect::Etsy, &mut |_, _| {})).sum();
            adding = adding.min(begin.elapsed().as_secs_f64());
            assert_eq!(taken, samples as u64);

            let begin = Instant::now();
            let mut out = BatchBuilder::default();
            aggregator.flush(round).write_all(out.messages());
            if round == 9 {
                println!("{what}: flush of {} messages {:.1} ms", out.len(), begin.elapsed().as_secs_f64() * 1e3);
            }
        }
        let ns = |seconds: f64| seconds / samples as f64 * 1e9;
        println!("{what}: parse {:.1} ns, parse and add {:.1} ns a sample: {:.1} M/s", ns(parsing), ns(adding), 1e3 / ns(adding));
    }
}
