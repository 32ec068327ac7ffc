use std::fmt;
use std::time::Duration;

/// Times from a save to its effect.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn add(&mut self, nanos: i64) {
        self.0.push(Duration::from_nanos(nanos.max(0).unsigned_abs()));
        self.0.sort();
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that this share of them does not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).clamp(1, self.0.len().max(1));
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        write!(f, "p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms", ms(50), ms(99), ms(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let mut all = Latencies::default();
        assert_eq!(all.percentile(50), Duration::ZERO);
        (1..=200).rev().for_each(|n| all.add(n));
        assert_eq!(
            (all.percentile(50), all.percentile(99), all.percentile(100)),
            (Duration::from_nanos(100), Duration::from_nanos(198), Duration::from_nanos(200))
        );
    }
}
