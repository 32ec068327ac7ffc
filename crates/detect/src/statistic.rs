//! Statistics of numbers, of which NaN are left out.

/// What is computed of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Statistic {
    Sum,
    /// Arithmetic mean.
    Avg,
    /// Standard deviation of the population: the root of the variance.
    Sd,
    /// Variance of the population: the divisor is the number of values.
    Variance,
    Min,
    Max,
}

impl Statistic {
    pub const ALL: [Statistic; 6] = [Statistic::Sum, Statistic::Avg, Statistic::Sd, Statistic::Variance, Statistic::Min, Statistic::Max];

    pub const fn name(self) -> &'static str {
        match self {
            Statistic::Sum => "sum",
            Statistic::Avg => "avg",
            Statistic::Sd => "sd",
            Statistic::Variance => "variance",
            Statistic::Min => "min",
            Statistic::Max => "max",
        }
    }

    pub fn from_name(name: &[u8]) -> Option<Statistic> {
        Self::ALL.into_iter().find(|s| s.name().as_bytes() == name)
    }

    /// The statistic, and the number of values that are not NaN. Without any the sum is 0 and the
    /// others are NaN.
    ///
    /// Unlike Heka's, the maximum of numbers that are all negative is the largest of them, and the
    /// variance is computed from the differences to the mean, so that it is right for large values
    /// that differ little.
    pub fn of(self, values: impl Iterator<Item = f64> + Clone) -> (f64, usize) {
        let values = values.filter(|x| !x.is_nan());
        let (sum, n) = values.clone().fold((0.0, 0), |(sum, n), x| (sum + x, n + 1));
        let result = match self {
            Statistic::Sum => sum,
            _ if n == 0 => f64::NAN,
            Statistic::Avg => sum / n as f64,
            Statistic::Min => values.fold(f64::INFINITY, f64::min),
            Statistic::Max => values.fold(f64::NEG_INFINITY, f64::max),
            Statistic::Variance | Statistic::Sd => {
                let mean = sum / n as f64;
                let variance = values.map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
                if self == Statistic::Sd { variance.sqrt() } else { variance }
            }
        };
        (result, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(s: Statistic, values: &[f64]) -> (f64, usize) {
        s.of(values.iter().copied())
    }

    #[test]
    fn empty_cells_do_not_count() {
        let values = [1.0, f64::NAN, 2.0, 6.0];
        assert_eq!(of(Statistic::Sum, &values), (9.0, 3));
        assert_eq!(of(Statistic::Avg, &values), (3.0, 3));
        assert_eq!(of(Statistic::Variance, &values), (14.0 / 3.0, 3));
        assert_eq!(of(Statistic::Sd, &values), ((14.0_f64 / 3.0).sqrt(), 3));
        assert_eq!(of(Statistic::Min, &values), (1.0, 3));
        assert_eq!(of(Statistic::Max, &values), (6.0, 3));
    }

    #[test]
    fn nothing_has_a_sum_only() {
        assert_eq!(of(Statistic::Sum, &[f64::NAN]), (0.0, 0));
        for s in &Statistic::ALL[1..] {
            let (value, n) = of(*s, &[]);
            assert!(value.is_nan() && n == 0, "{}", s.name());
        }
    }

    #[test]
    fn largest_of_negative_numbers_is_the_nearest_to_zero() {
        assert_eq!(of(Statistic::Max, &[-5.0, -2.0, -9.0]), (-2.0, 3));
        assert_eq!(of(Statistic::Max, &[0.0, 0.0]), (0.0, 2));
    }

    #[test]
    fn variance_of_large_values_that_differ_little() {
        assert_eq!(of(Statistic::Variance, &[1e9, 1e9 + 1.0, 1e9 + 2.0]).0, 2.0 / 3.0);
    }
}
