//! Splitters cut a stream of bytes into records.
//!
//! They remember how far they have looked, so that a record that arrives in many small reads costs
//! no more than one that arrives at once, and what they find does not depend on where a read ends.

pub mod container;
pub mod group;
pub mod heka;
pub mod line;
pub mod none;
pub mod regex;
pub mod syslog;
pub mod token;

use plugin::Kind;

pub const KINDS: &[&Kind] =
    &[&container::KIND, &group::KIND, &heka::KIND, &line::KIND, &none::KIND, &regex::KIND, &syslog::KIND, &token::KIND];

#[cfg(test)]
mod tests {
    use plugin::{Kind, Split};
    use proptest::prelude::*;

    use super::*;

    /// Every splitter that finds records by what is in them, in several configurations.
    const CASES: &[(&Kind, &str)] = &[
        (&line::KIND, ""),
        (&line::KIND, "keep_delimiter = true\nskip_empty = false"),
        (&token::KIND, "delimiter = 'ab'"),
        (&token::KIND, "delimiter = 'aa'\ncount = 2\nkeep_delimiter = true"),
        (&regex::KIND, "delimiter = '\\r?\\n'"),
        (&regex::KIND, "delimiter = '(a+)\\n'"),
        (&regex::KIND, "delimiter = '\\n(ab|b)'\nat = 'start'"),
        (&regex::KIND, "delimiter = '(ab)'\nat = 'start'"),
        (&group::KIND, "start = '^a'"),
        (&group::KIND, "continuation = '^[ b]'\nmax_lines = 3"),
        (&container::KIND, ""),
        (&heka::KIND, "max_message_size = '64B'"),
        (&syslog::KIND, "max_message_size = '64B'"),
    ];

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            8 => prop::sample::select(vec![b'a', b'b', b'\n', b'\r', b' ', 0x1e, 0x1f]).prop_map(|b| vec![b]),
            1 => any::<u8>().prop_map(|b| vec![b]),
            1 => (0..8u8).prop_map(heka::record),
            1 => (0..8u8).prop_map(syslog::record),
        ];
        prop::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn records_do_not_depend_on_where_reads_end(stream in stream(), step in 1..40usize) {
            for (kind, toml) in CASES {
                let split = |step| testkit::plugins::split(&mut *testkit::plugins::splitter(kind, toml).unwrap(), &stream, step);
                prop_assert_eq!(split(step), split(stream.len()), "{:?} {}", kind, toml);
            }
        }

        #[test]
        fn every_byte_is_accounted_for(stream in stream()) {
            for (kind, toml) in CASES {
                let mut splitter = testkit::plugins::splitter(kind, toml).unwrap();
                let mut at = 0;
                while at < stream.len() {
                    let end = match splitter.split(&stream[at..], true) {
                        Split::Record { record, end } => {
                            prop_assert!(record.start < record.end && record.end <= end);
                            end
                        }
                        Split::Garbage { end } | Split::Refused { end, .. } => end,
                        Split::More => return Err(TestCaseError::fail(format!("{kind:?} leaves bytes behind"))),
                    };
                    prop_assert!(end > 0 && at + end <= stream.len());
                    at += end;
                }
                prop_assert_eq!(splitter.split(b"", true), Split::More);
            }
        }

        #[test]
        fn records_with_their_delimiters_are_the_stream(stream in stream(), step in 1..40usize) {
            for (kind, toml) in CASES.iter().filter(|(_, toml)| toml.contains("keep_delimiter") || toml.contains("'(ab)'")) {
                let (records, discarded) = testkit::plugins::split(&mut *testkit::plugins::splitter(kind, toml).unwrap(), &stream, step);
                if toml.contains("skip_empty = false") || !toml.contains("keep") {
                    prop_assert_eq!((records.concat(), discarded), (stream.clone(), 0), "{:?} {}", kind, toml);
                } else {
                    prop_assert_eq!(records.concat().len() + discarded, stream.len());
                }
            }
        }
    }
}
