use options::{Opt, Options, Problem};

use crate::Dialect;

/// How samples are added up and how the results are named. The defaults are Etsy's.
#[derive(Clone, Debug)]
pub struct AggregateOptions {
    /// Seconds between flushes: what rates are divided by.
    pub interval: f64,
    /// Each above 0 (the lower share) or below (the upper share), up to 100.
    pub percentiles: Vec<f64>,
    pub histograms: Vec<Histogram>,
    /// `stats.K` and `stats_counts.K` for counters; the prefixes below are not used.
    pub legacy_namespace: bool,
    /// Prefixes and suffix stand between dots; an empty one is left out.
    pub global_prefix: String,
    pub counter_prefix: String,
    pub timer_prefix: String,
    pub gauge_prefix: String,
    pub set_prefix: String,
    pub statsd_prefix: String,
    pub global_suffix: String,
    /// Forget what was not sampled since the last flush, instead of reporting zeros or the last value.
    pub delete_counters: bool,
    pub delete_timers: bool,
    pub delete_sets: bool,
    pub delete_gauges: bool,
    /// Flushes a gauge lives through after its last sample, with `delete_gauges`; at least 1.
    pub gauge_ttl: u32,
    /// Most series; a sample of a further one is refused and counted.
    pub max_series: usize,
    /// Most samples kept until the next flush, over all timers and sets: a timer's value counts
    /// one, a set's member four and one more for each 8 bytes. What is beyond is refused and counted.
    pub max_values: usize,
}

/// Counts of a timer's samples below each of some bounds.
#[derive(Clone, PartialEq, Debug)]
pub struct Histogram {
    /// The first histogram whose `part` is in a timer's name is that timer's.
    pub part: String,
    /// Ascending.
    pub bins: Vec<Bin>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Bin {
    /// As written, `.` replaced by `_`.
    pub label: String,
    /// Samples below this are in the bin; infinity takes the rest.
    pub below: f64,
}

/// A percentile and its name in metrics: `90`, `99_9`, `top10`.
#[derive(Clone, Debug)]
pub struct Percentile {
    pub share: f64,
    pub label: String,
}

impl Percentile {
    pub fn new(share: f64) -> Percentile {
        Percentile { share, label: share.to_string().replace('.', "_").replace('-', "top") }
    }
}

/// The options of everything that aggregates samples.
pub const AGGREGATE_OPTIONS: &[Opt] = &[
    Opt::duration("every").default("10s").doc("Time between flushes; rates are per second of it."),
    Opt::strings("percentiles").default("90").sample("[\"90\", \"99.9\", \"-10\"]").doc(
        "Percentiles of timers. Below zero it is the slowest part: \"-10\" gives lower_top10 of the slowest tenth.",
    ),
    Opt::table("histograms").sample("{ \"api.\" = \"10, 100, inf\" }").doc(
        "Bins of timers: a part of the name, and ascending bounds. The first entry whose part is in the name applies; the part \"\" is in every name.",
    ),
    Opt::bool("legacy_namespace").default("false").doc("Names counters stats.K and stats_counts.K, as the first versions of statsd did. The prefix options then have no effect."),
    Opt::string("global_prefix").default("stats").doc("First part of every name."),
    Opt::string("counter_prefix").default("counters").doc("Second part of the names of counters."),
    Opt::string("timer_prefix").default("timers").doc("Second part of the names of timers."),
    Opt::string("gauge_prefix").default("gauges").doc("Second part of the names of gauges."),
    Opt::string("set_prefix").default("sets").doc("Second part of the names of sets."),
    Opt::string("statsd_prefix").default("statsd").doc("Name of the aggregation's own metrics, such as statsd.numStats."),
    Opt::string("global_suffix").doc("Last part of every name."),
    Opt::bool("delete_idle").default("false").doc("Reports nothing for what had no samples since the last flush, instead of zeros and the last value of gauges."),
    Opt::bool("delete_counters").doc("The same for counters only; unset: as delete_idle."),
    Opt::bool("delete_timers").doc("The same for timers only; unset: as delete_idle."),
    Opt::bool("delete_sets").doc("The same for sets only; unset: as delete_idle."),
    Opt::bool("delete_gauges").doc("The same for gauges only; unset: as delete_idle."),
    Opt::integer("gauge_ttl").default("1").doc("Flushes in which a gauge is reported after its last sample when idle gauges are deleted."),
    Opt::integer("max_series").default("100000").doc("Most names with their tags; samples of further ones are refused and counted."),
    Opt::integer("max_values").default("1000000").doc(
        "Most values of timers and members of sets kept until the next flush, about 8 bytes each; further ones are refused and counted.",
    ),
];

impl Dialect {
    /// The option of everything that reads StatsD lines.
    pub const OPTION: Opt = Opt::choice("dialect", &["etsy", "dogstatsd"])
        .default("etsy")
        .doc("Meaning of types: with etsy every unknown one is a counter; with dogstatsd h and d are timers and unknown ones are refused.");

    /// Reads [`Dialect::OPTION`].
    pub fn read(o: &Options) -> Dialect {
        if o.str("dialect") == "dogstatsd" { Dialect::DogStatsd } else { Dialect::Etsy }
    }
}

/// A plugin's own options followed by [`AGGREGATE_OPTIONS`]. `N` is the length of both together.
pub const fn with_aggregate<const N: usize>(own: &[Opt]) -> [Opt; N] {
    assert!(N == own.len() + AGGREGATE_OPTIONS.len());
    let mut all = [AGGREGATE_OPTIONS[0]; N];
    let mut i = 0;
    while i < N {
        all[i] = if i < own.len() { own[i] } else { AGGREGATE_OPTIONS[i - own.len()] };
        i += 1;
    }
    all
}

impl Default for AggregateOptions {
    fn default() -> Self {
        let at = options::Location { source: options::Source::new("defaults", ""), span: 0..0 };
        let options = Options::defaults(&[AGGREGATE_OPTIONS], &at, &mut Vec::new());
        AggregateOptions::read(&options).expect("the defaults are valid")
    }
}

impl AggregateOptions {
    /// Reads [`AGGREGATE_OPTIONS`].
    ///
    /// # Errors
    /// A percentile or bin that makes no sense, a limit or an interval of zero.
    pub fn read(o: &Options) -> Result<AggregateOptions, Problem> {
        let text = |name| o.str(name).to_string();
        let delete = |name| if o.has(name) { o.bool(name) } else { o.bool("delete_idle") };
        let at_least_one = |name| match o.integer(name) {
            n @ 1.. => Ok(n as u64),
            n => Err(o.problem(name, format!("`{name}` is out of range"), format!("found {n}, expected 1 or more"))),
        };
        if o.duration("every").is_zero() {
            return Err(o.problem("every", "`every` is out of range", "found no time at all, expected something like \"10s\""));
        }
        Ok(AggregateOptions {
            interval: o.duration("every").as_secs_f64(),
            percentiles: o.strings("percentiles").iter().map(|text| percentile(o, text)).collect::<Result<_, _>>()?,
            histograms: o.table("histograms").iter().map(|(part, bins)| histogram(o, part, &bins.to_string())).collect::<Result<_, _>>()?,
            legacy_namespace: o.bool("legacy_namespace"),
            global_prefix: text("global_prefix"),
            counter_prefix: text("counter_prefix"),
            timer_prefix: text("timer_prefix"),
            gauge_prefix: text("gauge_prefix"),
            set_prefix: text("set_prefix"),
            statsd_prefix: text("statsd_prefix"),
            global_suffix: text("global_suffix"),
            delete_counters: delete("delete_counters"),
            delete_timers: delete("delete_timers"),
            delete_sets: delete("delete_sets"),
            delete_gauges: delete("delete_gauges"),
            gauge_ttl: u32::try_from(at_least_one("gauge_ttl")?).unwrap_or(u32::MAX),
            max_series: usize::try_from(at_least_one("max_series")?).unwrap_or(usize::MAX),
            max_values: usize::try_from(at_least_one("max_values")?).unwrap_or(usize::MAX),
        })
    }
}

fn percentile(o: &Options, text: &str) -> Result<f64, Problem> {
    match text.parse::<f64>() {
        Ok(n) if n != 0.0 && n.abs() <= 100.0 => Ok(n),
        _ => Err(o.problem(
            "percentiles",
            format!("`{text}` is not a percentile"),
            "expected a number from -100 to 100 other than 0, such as \"99.9\"",
        )),
    }
}

fn histogram(o: &Options, part: &str, bounds: &str) -> Result<Histogram, Problem> {
    let mut bins: Vec<Bin> = Vec::new();
    for label in bounds.split(',').map(str::trim) {
        let below = if label == "inf" { Some(f64::INFINITY) } else { label.parse().ok().filter(|n: &f64| n.is_finite()) };
        let ascending = |n: &f64| bins.last().is_none_or(|last| last.below < *n);
        let Some(below) = below.filter(ascending) else {
            let title = format!("`{label}` is not a bound of the histogram `{part}`");
            return Err(o.problem("histograms", title, "expected ascending numbers and at last perhaps inf, such as \"10, 100, inf\""));
        };
        bins.push(Bin { label: label.replace('.', "_"), below });
    }
    Ok(Histogram { part: part.to_string(), bins })
}

#[cfg(test)]
mod tests {
    use super::*;
    use options::{Source, Tree};

    fn read(toml: &str) -> Result<AggregateOptions, String> {
        let mut problems = Vec::new();
        let options = Options::check(&[AGGREGATE_OPTIONS], &Tree::parse(Source::new("t.toml", toml)).unwrap(), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        AggregateOptions::read(&options).map_err(|p| p.to_string())
    }

    #[test]
    fn idle_rules_follow_the_common_one_unless_set() {
        let o = read("delete_idle = true\ndelete_gauges = false").unwrap();
        assert_eq!((o.delete_counters, o.delete_timers, o.delete_sets, o.delete_gauges), (true, true, true, false));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (toml, said) in [
            ("percentiles = ['0']", "`0` is not a percentile"),
            ("percentiles = ['90', 'x']", "`x` is not a percentile"),
            ("histograms = { a = '10, 5' }", "`5` is not a bound of the histogram `a`"),
            ("histograms = { a = 'nan' }", "`nan` is not a bound"),
            ("every = '0s'", "`every` is out of range"),
            ("max_series = 0", "found 0, expected 1 or more"),
        ] {
            let problem = read(toml).unwrap_err();
            assert!(problem.contains(said), "{toml}: {problem}");
        }
    }

    #[test]
    fn percentiles_have_etsys_names() {
        assert_eq!([90.0, 99.9, -10.0].map(|p| Percentile::new(p).label), ["90", "99_9", "top10"]);
    }
}
