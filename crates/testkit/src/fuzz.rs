//! The bodies of the fuzz targets: what holds of any bytes whatever. `fuzz/` calls them with what
//! its engine makes up, a test with what `fuzz/corpus` holds.

mod configuration;
mod framing;
mod journal;
#[cfg(feature = "lua")]
mod lua;
mod records;

use matcher::{Index, Matcher, Selected};
use message::frozen::{Freezer, thaw};
use message::{Batch, Pool};
use metrics::statsd::{self, Dialect};
use plugin::Registry;

use crate::{garbage, oracle};

/// Panics where something does not hold.
pub type Body = fn(&Registry, &[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Body)] = &[
    ("wire", |_, data| oracle::agree(data)),
    ("framing", |_, data| framing::does_not_depend_on_reads(data)),
    ("signing", |_, data| framing::tells_changes(data)),
    ("matcher", |_, data| matcher(data)),
    ("json", records::json),
    ("logfmt", records::logfmt),
    ("log_format", records::log_format),
    ("csv", records::csv),
    ("xml", records::xml),
    ("key_value", records::key_value),
    ("cef", records::cef),
    ("leef", records::leef),
    ("grok", records::grok),
    ("statsd", statsd),
    ("config", configuration::config),
    ("journal", |_, data| journal::directory(data)),
    ("frozen", |_, data| frozen(data)),
    #[cfg(feature = "lua")]
    ("lua_script", lua::script),
    #[cfg(feature = "lua")]
    ("lua_api", lua::api),
    #[cfg(feature = "lua")]
    ("lua_modules", lua::modules),
];

/// Runs a target by name.
///
/// # Panics
/// When something does not hold, and when there is no such target.
pub fn run(target: &str, registry: &Registry, data: &[u8]) {
    let (_, body) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this name");
    body(registry, data);
}

/// An expression means the same when it is printed and read again, alone and in an index; what is
/// wrong with one lies within it.
fn matcher(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let matcher = match Matcher::parse(text) {
        Ok(matcher) => matcher,
        Err(e) => {
            assert!(e.at.start <= e.at.end && e.at.end <= text.len() && text.is_char_boundary(e.at.start), "{e:?}");
            assert!(!e.found.is_empty() && !e.expected.is_empty(), "{e:?}");
            return;
        }
    };
    let shown = matcher.to_string();
    let again = Matcher::parse(&shown).unwrap_or_else(|e| panic!("{e} in {shown:?}, which is how {text:?} was printed"));
    assert_eq!(again.to_string(), shown, "of {text:?}");
    let batch = garbage::samples();
    let alone: Vec<bool> = batch.iter().map(|m| matcher.matches(m)).collect();
    assert_eq!(batch.iter().map(|m| again.matches(m)).collect::<Vec<_>>(), alone, "{text:?}, {shown:?}");
    let index = Index::new(vec![(0, matcher)]);
    let mut selected = Selected::default();
    index.select(&batch, &mut selected);
    let mut indexed = vec![!selected.all().is_empty(); batch.len()];
    selected.some().for_each(|(_, list)| list.iter().for_each(|i| indexed[*i as usize] = true));
    assert_eq!(indexed, alone, "{text:?} in an index");
}

/// Samples lie in their line and are finite; the decoder takes what the parser takes.
fn statsd(registry: &Registry, data: &[u8]) {
    for (dialect, name) in [(Dialect::Etsy, "etsy"), (Dialect::DogStatsd, "dogstatsd")] {
        let (mut taken, mut refused) = (0, 0);
        for line in statsd::lines(data) {
            statsd::parse(line, dialect, &mut |sample| match sample {
                Ok(sample) => {
                    taken += 1;
                    let lies_within = |part: &[u8]| part.is_empty() || line.as_ptr_range().contains(&part.as_ptr());
                    assert!(!sample.name.is_empty() && lies_within(sample.name) && lies_within(sample.tags));
                    assert!(sample.rate > 0.0 && sample.rate.is_finite(), "{sample:?}");
                    assert!(number(&sample).is_none_or(f64::is_finite), "{sample:?}");
                }
                Err(malformed) => {
                    refused += 1;
                    assert!(malformed.offset <= line.len() && !malformed.reason.is_empty(), "{malformed:?}");
                }
            });
        }
        let toml = format!("dialect = '{name}'");
        let (messages, rejects) = records::decoded(registry, "statsd", &toml, data);
        let small = data.len() < 4096;
        assert!(!small || messages == if refused == 0 { taken } else { 0 }, "{messages} messages of {taken} samples");
        assert!(!small || rejects == usize::from(refused > 0 || taken == 0));
    }
}

/// Of what is taken for a frozen batch everything can be read, and it is the same when it is frozen again.
fn frozen(data: &[u8]) {
    let pool = Pool::default();
    let Ok(batch) = thaw(data, &pool) else { return };
    let all = |batch: &Batch| batch.iter().map(garbage::read).collect::<Vec<_>>();
    let read = all(&batch);
    let (mut freezer, everything) = (Freezer::default(), batch.all());
    let again = thaw(&freezer.freeze(&batch, &everything).parts.concat(), &pool).unwrap_or_else(|e| panic!("{e} of what was frozen"));
    assert_eq!(all(&again), read);
    let whole = |batch: &Batch| {
        let mut bytes = Vec::new();
        batch.iter().for_each(|m| message::wire::encode(m, &mut bytes));
        bytes
    };
    assert_eq!(whole(&again), whole(&batch));
}

/// The number that was measured, if it is one.
fn number(sample: &statsd::Sample<'_>) -> Option<f64> {
    use statsd::Measure::{Counter, Gauge, GaugeDelta, Set, Timer};
    match sample.measure {
        Counter(n) | Gauge(n) | GaugeDelta(n) | Timer(n) => Some(n),
        Set(_) => None,
    }
}
