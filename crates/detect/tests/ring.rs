//! A ring against a naive model, and what it looks like as text.

use std::collections::BTreeMap;

use detect::{Aggregation, Annotation, Column, Ring, Statistic};
use proptest::prelude::*;

const S: i64 = 1_000_000_000;

fn text(ring: &Ring) -> String {
    let mut out = Vec::new();
    ring.write(&mut out, usize::MAX);
    String::from_utf8(out).unwrap()
}

fn deltas(ring: &Ring) -> String {
    let mut out = Vec::new();
    ring.write_deltas(&mut out, usize::MAX);
    String::from_utf8(out).unwrap()
}

fn rows(text: &str) -> Vec<&str> {
    text.lines().skip(1).collect()
}

/// Two rings that are equal in everything.
fn assert_same(a: &Ring, b: &Ring) {
    assert_eq!(format!("{a:?}"), format!("{b:?}"));
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    for (rows, columns, seconds) in [(1, 1, 1), (2, 0, 1), (2, 1, 0), (2, 1, 86_401)] {
        assert!(Ring::new(rows, columns, seconds, false).is_err(), "{rows} {columns} {seconds}");
    }
}

#[test]
fn text_is_that_of_heka() {
    let mut ring = Ring::new(3, 3, 60, false).unwrap();
    ring.set_column(0, Column::new(b"Add_column", b"count", Aggregation::Sum));
    ring.set_column(1, Column::new(b"a name with spaces", b"kibibytes", Aggregation::Max));
    ring.add(0, 0, 1.0);
    ring.set(60 * S, 1, 0.1);
    ring.set(120 * S, 2, f64::INFINITY);
    assert_eq!(
        text(&ring),
        concat!(
            r#"{"time":0,"rows":3,"columns":3,"seconds_per_row":60,"column_info":[{"name":"Add_column","unit":"count","aggregation":"sum"},"#,
            r#"{"name":"a_name_with_spa","unit":"kibibyt","aggregation":"max"},{"name":"Column_3","unit":"count","aggregation":"sum"}]}"#,
            "\n1\tnan\tnan\nnan\t0.1\tnan\nnan\tnan\tinf\n"
        )
    );
}

#[test]
fn deltas_tell_what_has_changed() {
    let mut ring = Ring::new(3, 3, 60, true).unwrap();
    ring.set_column(1, Column::new(b"max", b"count", Aggregation::Max));
    assert_eq!(deltas(&ring), "");
    ring.add(60 * S, 0, 5.0);
    ring.add(60 * S, 0, 2.0);
    ring.set(60 * S, 1, 9.0);
    ring.set(60 * S, 1, 4.0); // not larger
    ring.set(120 * S, 2, 10.0);
    ring.set(120 * S, 2, 7.0);
    assert_eq!(rows(&deltas(&ring)), ["60\t7\t9\tnan", "120\tnan\tnan\t7"]);
    ring.reset_deltas();
    assert_eq!(deltas(&ring), "");
    ring.set(120 * S, 2, 3.0);
    assert_eq!(ring.get_delta(120 * S, 2), Some(-4.0));
    assert_eq!(rows(&deltas(&ring)), ["120\tnan\tnan\t-4"]);
}

#[test]
fn annotations_go_with_the_header_until_their_row_is_gone() {
    let mut ring = Ring::new(2, 1, 1, true).unwrap();
    let note = |ns, fresh| Annotation { ns, column: 0, alert: true, text: "up \"now\"\n\u{1}".into(), fresh };
    assert!(ring.annotate(note(S, true)));
    assert!(!ring.annotate(note(9 * S, true)));
    let shown = r#""annotations":[{"x":1000,"col":1,"shortText":"A","text":"up \"now\"\n\u0001"}]}"#;
    assert!(text(&ring).contains(shown), "{}", text(&ring));
    assert!(deltas(&ring).contains(shown), "{}", deltas(&ring));
    ring.reset_deltas();
    assert_eq!(deltas(&ring), "");
    ring.add(2 * S, 0, 1.0);
    assert_eq!(ring.annotations().len(), 1);
    ring.add(3 * S, 0, 1.0);
    assert!(ring.annotations().is_empty());
}

#[test]
fn writing_stops_beyond_the_limit() {
    let ring = Ring::new(100_000, 1, 1, false).unwrap();
    let mut out = Vec::new();
    ring.write(&mut out, 1000);
    assert!((1001..1100).contains(&out.len()), "{}", out.len());
}

#[test]
fn values_from_the_text_that_heka_saves() {
    let mut ring = Ring::new(3, 2, 60, false).unwrap();
    // The newest row, of 600 s, is the second one listed.
    ring.read_values("600 1 3 4 5 nan 1 2").unwrap();
    assert_eq!(rows(&text(&ring)), ["1\t2", "3\t4", "5\tnan"]);
    assert_eq!(ring.newest_ns(), 600 * S);
    let before = text(&ring);
    for (bad, why) in [
        ("600 1 3 4", "fromstring() too few values: 2, expected 6"),
        ("600 1 3 4 5 6 1 2 3", "fromstring() too many values, more than: 6"),
        ("600 3 1 2 3 4 5 6", "fromstring() time and row expected first, the row below 3"),
        ("600 1 1 2 x 4 5 6", "fromstring() number expected, found \"x\""),
    ] {
        assert_eq!(ring.read_values(bad).unwrap_err().to_string(), why);
    }
    assert_eq!(text(&ring), before);
    let mut ring = Ring::new(2, 2, 60, true).unwrap();
    ring.read_values("60 1 1 2 3 4 60 3 nan").unwrap();
    assert_eq!(rows(&deltas(&ring)), ["60\t3\tnan"]);
    assert_eq!(ring.read_values("60 1 1 2 3 4 60 3").unwrap_err().to_string(), "fromstring() invalid delta");
}

#[test]
fn times_at_the_ends_of_the_calendar() {
    let mut ring = Ring::new(5, 1, 86_400, true).unwrap();
    assert_eq!(ring.add(i64::MIN, 0, 1.0), None);
    assert_eq!(ring.add(i64::MAX, 0, 1.0), Some(1.0));
    assert_eq!(ring.get(i64::MAX, 0), Some(1.0));
    assert_eq!(ring.add(0, 0, 1.0), None);
    assert!(text(&ring).contains("\n1\n"));
}

/// Cells by row number and column; the ring's size.
struct Model {
    cells: BTreeMap<(i64, usize), f64>,
    rows: i64,
    newest: i64,
    seconds: i64,
}

impl Model {
    fn put(&mut self, ns: i64, column: usize, change: impl Fn(Option<f64>) -> f64) -> Option<f64> {
        let row = ns.div_euclid(self.seconds * S);
        if row <= self.newest - self.rows {
            return None;
        }
        self.newest = self.newest.max(row);
        let new = change(self.cells.get(&(row, column)).copied());
        self.cells.insert((row, column), new);
        let oldest = self.newest - self.rows;
        self.cells.retain(|(row, _), _| *row > oldest);
        Some(new)
    }
}

proptest! {
    #[test]
    fn behaves_as_a_map_of_cells(
        rows in 2..9_usize, columns in 1..4_usize, seconds in 1..4_u32,
        steps in prop::collection::vec((any::<bool>(), 0..40_i64, 0..4_usize, -50..50_i32), 0..60),
    ) {
        let mut ring = Ring::new(rows, columns, seconds, true).unwrap();
        let mut model = Model { cells: BTreeMap::new(), rows: rows as i64, newest: rows as i64 - 1, seconds: i64::from(seconds) };
        let mut followed: BTreeMap<(i64, usize), f64> = BTreeMap::new();
        for (add, time, column, value) in steps {
            let (ns, value) = (time * S + 17, f64::from(value));
            let got = if add { ring.add(ns, column, value) } else { ring.set(ns, column, value) };
            let expected = if column >= columns { None } else { model.put(ns, column, |old| if add { old.unwrap_or(0.0) + value } else { value }) };
            prop_assert_eq!(got, expected);
            // Whoever adds up the deltas has the same numbers.
            for line in deltas(&ring).lines().skip(1) {
                let mut words = line.split('\t').map(|w| w.parse::<f64>().unwrap());
                let time = words.next().unwrap() as i64;
                for (column, delta) in words.enumerate().filter(|(_, d)| !d.is_nan()) {
                    *followed.entry((time, column)).or_default() += delta;
                }
            }
            ring.reset_deltas();
        }
        prop_assert_eq!(ring.newest_ns(), model.newest * model.seconds * S);
        let all = ring.between(None, None).unwrap();
        for column in 0..columns {
            for (n, value) in ring.values(column, all).enumerate() {
                let row = model.newest - model.rows + 1 + n as i64;
                let expected = model.cells.get(&(row, column)).copied();
                prop_assert_eq!(Some(value).filter(|v| !v.is_nan()), expected);
                prop_assert_eq!(ring.get(row * model.seconds * S, column).filter(|v| !v.is_nan()), expected);
                if let Some(expected) = expected {
                    prop_assert_eq!(followed[&(row * model.seconds, column)], expected);
                }
            }
            let sum: f64 = model.cells.iter().filter(|((_, c), _)| *c == column).map(|(_, v)| v).sum();
            prop_assert_eq!(ring.compute(Statistic::Sum, column, all).0, sum);
        }
        let mut saved = Vec::new();
        ring.save(&mut saved);
        assert_same(&Ring::restore(&saved).unwrap(), &ring);
        saved.pop();
        prop_assert!(Ring::restore(&saved).is_none());
    }

    #[test]
    fn restoring_garbage_is_harmless(mut garbage in prop::collection::vec(any::<u8>(), 0..200), sane in any::<bool>()) {
        if sane && garbage.len() > 14 {
            garbage[..14].copy_from_slice(&[1, 1, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        }
        if let Some(ring) = Ring::restore(&garbage) {
            let mut again = Vec::new();
            ring.save(&mut again);
            assert_same(&Ring::restore(&again).unwrap(), &ring);
        }
    }

    #[test]
    fn any_values_text_is_read_or_refused(text in "([0-9]{1,3}|nan|-?[0-9.]{1,5}|x)( ([0-9]{1,3}|nan|x)){0,12}") {
        let mut ring = Ring::new(2, 2, 1, true).unwrap();
        let _ = ring.read_values(&text);
    }
}
