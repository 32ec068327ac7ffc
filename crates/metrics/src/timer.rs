use message::Datum;

use crate::Histogram;
use crate::settings::Percentile;

/// The samples of a timer since the last flush.
#[derive(Clone, Default, Debug)]
pub struct Timer {
    pub values: Vec<f64>,
    /// How many events the samples stand for: the sum of 1 / rate.
    pub count: f64,
}

/// Running sums over the sorted samples, kept between timers for their memory.
#[derive(Default, Debug)]
pub struct Sums {
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl Timer {
    /// Hands over each statistic by its name behind the timer's, as Etsy's `process_metrics`
    /// computes it: percentiles first, over the samples in ascending order. A timer without
    /// samples has only its counts.
    pub fn report(
        &mut self,
        percentiles: &[Percentile],
        histogram: Option<&Histogram>,
        interval: f64,
        sums: &mut Sums,
        each: &mut impl FnMut(&str, &str, Datum),
    ) {
        if !self.values.is_empty() {
            self.values.sort_unstable_by(f64::total_cmp);
            sums.add_up(&self.values);
            for percentile in percentiles {
                self.percentile(percentile, sums, each);
            }
            self.whole(sums, each);
        }
        each("count", "", whole(self.count));
        each("count_ps", "", Datum::Double(self.count / interval));
        if let (Some(histogram), false) = (histogram, self.values.is_empty()) {
            self.bins(histogram, each);
        }
    }

    fn percentile(&self, percentile: &Percentile, sums: &Sums, each: &mut impl FnMut(&str, &str, Datum)) {
        let (values, label) = (&self.values[..], &percentile.label[..]);
        let count = values.len();
        let top = percentile.share < 0.0;
        // A single sample is what every percentile of it is.
        let n = if count == 1 { 1 } else { (percentile.share.abs() / 100.0 * count as f64).round() as usize };
        if n == 0 {
            return;
        }
        let below = |sums: &[f64]| if count == n { 0.0 } else { sums[count - n - 1] };
        let (boundary, sum, squares) = match top {
            false => (values[n - 1], sums.sum[n - 1], sums.squares[n - 1]),
            true => (values[count - n], sums.sum[count - 1] - below(&sums.sum), sums.squares[count - 1] - below(&sums.squares)),
        };
        each("count_", label, Datum::Integer(n as i64));
        each("mean_", label, Datum::Double(sum / n as f64));
        each(if top { "lower_" } else { "upper_" }, label, Datum::Double(boundary));
        each("sum_", label, Datum::Double(sum));
        each("sum_squares_", label, Datum::Double(squares));
    }

    fn whole(&self, sums: &Sums, each: &mut impl FnMut(&str, &str, Datum)) {
        let values = &self.values[..];
        let count = values.len();
        let sum = sums.sum[count - 1];
        let mean = sum / count as f64;
        let scatter: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        let middle = count / 2;
        let median = if count % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        for (name, value) in [
            ("std", (scatter / count as f64).sqrt()),
            ("upper", values[count - 1]),
            ("lower", values[0]),
            ("sum", sum),
            ("sum_squares", sums.squares[count - 1]),
            ("mean", mean),
            ("median", median),
        ] {
            each(name, "", Datum::Double(value));
        }
    }

    /// Samples below each bound that were not below the one before; those above the last belong to none.
    fn bins(&self, histogram: &Histogram, each: &mut impl FnMut(&str, &str, Datum)) {
        let mut from = 0;
        for bin in &histogram.bins {
            let to = self.values.partition_point(|v| *v < bin.below);
            each("histogram.bin_", &bin.label, Datum::Integer(to.saturating_sub(from) as i64));
            from = from.max(to);
        }
    }

    /// Ready for the next interval. Memory that a burst took is given back.
    pub fn reset(&mut self) {
        let used = self.values.len();
        self.values.clear();
        if self.values.capacity() > 64.max(4 * used) {
            self.values.shrink_to(2 * used);
        }
        self.count = 0.0;
    }
}

impl Sums {
    fn add_up(&mut self, values: &[f64]) {
        let running = |into: &mut Vec<f64>, of: fn(f64) -> f64| {
            into.clear();
            // Starts from the first value, not from zero, which would lose the sign of -0.
            let mut sum = None;
            into.extend(values.iter().map(|v| *sum.insert(sum.map_or(of(*v), |s: f64| of(*v) + s))));
        };
        running(&mut self.sum, |v| v);
        running(&mut self.squares, |v| v * v);
    }
}

/// An amount: an integer when it is a whole number that a double holds exactly.
pub fn whole(n: f64) -> Datum {
    if n.fract() == 0.0 && n.abs() <= (1u64 << 53) as f64 { Datum::Integer(n as i64) } else { Datum::Double(n) }
}
