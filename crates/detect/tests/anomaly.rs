//! Checks and the rank test they are made of.

use detect::{Ring, mann_whitney, parse};
use proptest::prelude::*;

const S: i64 = 1_000_000_000;

fn run(config: &str, ring: &Ring) -> Result<Option<String>, String> {
    let checks = parse(config).unwrap();
    checks[0].1.run(ring).map_err(|e| e.to_string())
}

fn filled(rows: usize, seconds: std::ops::RangeInclusive<i64>, f: impl Fn(i64) -> f64) -> Ring {
    let mut ring = Ring::new(rows, 1, 1, false).unwrap();
    for s in seconds {
        ring.set(s * S, 0, f(s));
    }
    ring
}

fn found(text: &str) -> Result<Option<String>, String> {
    Ok(Some(text.into()))
}

#[test]
fn rate_of_change() {
    let ring = filled(100, 100..=200, |s| match s {
        100..=150 => (s - 99) as f64,
        151..=184 => (s % 4 + 9) as f64,
        185..=199 => 23.0,
        _ => f64::NAN,
    });
    assert_eq!(run(r#"roc("x", 1, 15, 0, 1.5, true, false)"#, &ring), Ok(None));
    let with_short_history = run(r#"roc("x", 1, 15, 15, 1.5, true, false)"#, &ring);
    assert_eq!(with_short_history, found("detected anomaly, standard deviation exceeds 1.5"));
    // A history longer than the ring is all of it.
    assert_eq!(run(r#"roc("x", 1, 15, 5000, 1.5, true, false)"#, &ring), Ok(None));
}

#[test]
fn data_stop_and_start() {
    let stopped = filled(100, 100..=171, |s| if s <= 150 { 2.0 } else { f64::NAN });
    assert_eq!(run(r#"roc("x", 1, 15, 0, 1.5, true, false)"#, &stopped), found("no new data"));
    assert_eq!(run(r#"roc("x", 1, 15, 0, 1.5, false, true)"#, &stopped), Ok(None));
    let started = filled(100, 170..=171, |s| if s == 170 { 2.0 } else { f64::NAN });
    assert_eq!(run(r#"roc("x", 1, 15, 0, 1.5, false, true)"#, &started), found("unexpected data"));
}

#[test]
fn trends() {
    let falling = filled(220, 300..=520, |s| (1300 - s) as f64);
    let rising = filled(220, 300..=520, |s| (700 + s) as f64);
    let mww = |trend: &str, ring| run(&format!(r#"mww("x", 1, 20, 10, 0.0001, {trend})"#), ring);
    assert_eq!(mww("decreasing", &falling), found("detected anomaly, decreasing values"));
    assert_eq!(mww("increasing", &rising), found("detected anomaly, increasing values"));
    assert_eq!(mww("any", &falling), found("detected anomaly"));
    assert_eq!(mww("increasing", &falling), Ok(None));
    // 8 windows of 10 count, and 9 divide: 8 · 0.5 / 9 + 0.5.
    let nonparametric = |pstat, ring| run(&format!(r#"mww_nonparametric("x", 1, 20, 10, {pstat})"#), ring);
    assert_eq!(nonparametric("0.6", &rising), found("detected anomaly, pstat: 0.944444"));
    assert_eq!(nonparametric("0.4", &falling), found("detected anomaly, pstat: 0.0555556"));
    assert_eq!(nonparametric("0.4", &rising), Ok(None));
}

#[test]
fn an_empty_ring_is_nothing_special() {
    let ring = filled(220, 219..=219, |_| f64::NAN);
    for check in [r#"roc("x", 1, 15, 0, 1.5, true, true)"#, r#"mww("x", 1, 20, 10, 0.1, any)"#, r#"mww_nonparametric("x", 1, 20, 10, 0.6)"#]
    {
        assert_eq!(run(check, &ring), Ok(None), "{check}");
    }
}

#[test]
fn windows_must_fit_the_ring() {
    let ring = filled(45, 44..=44, |_| 1.0);
    let wrong = |check: &str| run(check, &ring).unwrap_err();
    assert_eq!(wrong(r#"roc("x", 1, 15, 0, 1.5, true, false)"#), "win=15 hwin=0 arguments out of range (rows=45)");
    assert_eq!(wrong(r#"roc("x", 1, 10, 5, 1.5, true, false)"#), "win=10 hwin=5 arguments out of range (rows=45)");
    assert_eq!(wrong(r#"mww("x", 1, 15, 3, 0.1, any)"#), "win=15 nwin=3 arguments out of range (rows=45)");
    assert_eq!(wrong(r#"mww_nonparametric("x", 1, 4294967295, 3, 0.1)"#), "win=4294967295 nwin=3 arguments out of range (rows=45)");
    assert_eq!(wrong(r#"mww("x", 2, 5, 3, 0.1, any)"#), "column 2 out of range (1 to 1)");
    assert_eq!(wrong(r#"mww("x", 1, 0, 3, 0.1, any)"#), "win=0 nwin=3 arguments out of range (rows=45)");
}

/// How many pairs have the first larger, by looking at all of them.
fn count(x: &[f64], y: &[f64]) -> f64 {
    x.iter()
        .flat_map(|a| {
            y.iter().map(move |b| {
                if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                }
            })
        })
        .sum()
}

proptest! {
    #[test]
    fn u_counts_pairs(x in prop::collection::vec(-9..9_i32, 1..30), y in prop::collection::vec(-9..9_i32, 1..30)) {
        let (x, y): (Vec<f64>, Vec<f64>) = (x.into_iter().map(f64::from).collect(), y.into_iter().map(f64::from).collect());
        let (there, back) = (mann_whitney(x.iter().copied(), y.iter().copied(), true), mann_whitney(y.iter().copied(), x.iter().copied(), true));
        match (there, back) {
            (Some(there), Some(back)) => {
                prop_assert_eq!(there.u, count(&x, &y));
                prop_assert_eq!(there.u + back.u, (x.len() * y.len()) as f64);
                prop_assert!((there.p - back.p).abs() < 1e-12);
                prop_assert!((0.0..=0.5).contains(&there.p));
            }
            _ => prop_assert!(x.iter().chain(&y).all(|v| *v == x[0])),
        }
    }

    #[test]
    fn any_configuration_is_read_or_refused(text in r#"(roc|mww|mww_nonparametric)?\("(a|""){0,2}"(, ?[0-9a-z.]{1,5}){0,7}\)?.{0,3}"#) {
        if let Ok(checks) = parse(&text) {
            let ring = Ring::new(50, 2, 1, false).unwrap();
            for (_, check) in checks {
                let _ = check.run(&ring);
            }
        }
    }
}
