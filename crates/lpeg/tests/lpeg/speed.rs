//! A look at the speed, beside the `regex` crate: `cargo test -p lpeg --release -- --ignored --nocapture speed`

use std::hint::black_box;
use std::time::Instant;

use lpeg::{Capture, Charset, Limits, Pattern};

use crate::toy::{Toy, any, p, seq};

const LINE: &str = r#"203.0.113.7 - alice [10/Oct/2024:13:55:36 +0000] "GET /apache/index.html?x=1&y=2 HTTP/1.1" 200 23261 "https://www.example.com/start.html" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36""#;

/// The combined log format, nine captures.
fn combined() -> Pattern {
    let until = |stop: &str| any(1).except(&p(stop)).and_then(|c| c.repeat(0)).unwrap();
    let c = |pattern: Pattern| pattern.capture(Capture::Simple).unwrap();
    let digits = Pattern::set(&Charset::range(b'0'..=b'9')).repeat(1).unwrap();
    seq(&[
        c(until(" ")),
        p(" "),
        c(until(" ")),
        p(" "),
        c(until(" ")),
        p(" ["),
        c(until("]")),
        p("] \""),
        c(until("\"")),
        p("\" "),
        c(digits.clone()),
        p(" "),
        c(digits.or(&p("-")).unwrap()),
        p(" \""),
        c(until("\"")),
        p("\" \""),
        c(until("\"")),
        p("\""),
        any(-1),
    ])
}

#[test]
fn the_combined_format_is_read() {
    let program = combined().program().unwrap();
    assert_eq!(program.find(LINE.as_bytes(), 0), Ok(Some(LINE.len())));
    assert!(program.bytes() < 4096, "{}", program.bytes());
}

#[test]
#[ignore = "prints times"]
fn speed() {
    let n = 400_000;
    let time = |name: &str, work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..n).for_each(|_| work());
        println!("{name}: {} ns a line", start.elapsed().as_nanos() / n);
    };
    let program = combined().program().unwrap();
    println!("program: {} bytes, {} instructions; patterns: {} bytes", program.bytes(), program.len(), combined().bytes());
    time("lpeg, match only", &mut || {
        black_box(program.find(black_box(LINE.as_bytes()), 0).unwrap());
    });
    let mut stack = Vec::new();
    time("lpeg, nine strings made", &mut || {
        let mut host = Toy { stack: std::mem::take(&mut stack), functions: &[], subject: LINE, arguments: &[], ticks: 100 };
        black_box(program.matches(black_box(LINE.as_bytes()), 0, &Limits::default(), &mut host).unwrap());
        host.stack.clear();
        stack = host.stack;
    });
    let regex =
        regex::bytes::Regex::new(r#"^([^ ]*) ([^ ]*) ([^ ]*) \[([^\]]*)\] "([^"]*)" ([0-9]+) ([0-9]+|-) "([^"]*)" "([^"]*)"$"#).unwrap();
    let mut locations = regex.capture_locations();
    time("regex, nine captures", &mut || {
        black_box(regex.captures_read(&mut locations, black_box(LINE.as_bytes())));
    });
}
