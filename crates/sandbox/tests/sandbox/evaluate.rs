//! Lines evaluated in a sandbox, and lines recorded.

use std::time::Duration;

use message::BatchBuilder;
use sandbox::{Evaluated, FailureKind, Inject, Limits, Sandbox, SandboxConfig};

use crate::support::{NOW, config, load, load_with, message};

fn evaluate(sandbox: &mut Sandbox, line: &str) -> Result<Evaluated, sandbox::Failure> {
    let mut builder = BatchBuilder::default();
    sandbox.evaluate(line, Some(message().get(0)), &mut Inject { builder: &mut builder, now_ns: NOW })
}

#[track_caller]
fn values(sandbox: &mut Sandbox, line: &str) -> Vec<String> {
    match evaluate(sandbox, line).unwrap_or_else(|e| panic!("{line}: {e}")) {
        Evaluated::Values(values) => values,
        Evaluated::Incomplete => panic!("{line} is incomplete"),
    }
}

#[test]
fn expressions_show_their_values() {
    let mut s = load("n = 4 function process_message() return 0 end");
    assert_eq!(values(&mut s, "n + 1, n / 2, 'a\\n\"\\200', nil, n > 1"), ["5", "2.0", "\"a\\n\\\"\\xc8\"", "nil", "true"]);
    assert_eq!(
        values(&mut s, "{1, {2}, b = {c = 'x'}, ['a b'] = 1, [10] = false}"),
        ["{1, {2}, [\"a b\"] = 1, [10] = false, b = {c = \"x\"}}"]
    );
    assert_eq!(values(&mut s, "{{{{{}}}}}"), ["{{{{{…}}}}}"]);
    assert!(values(&mut s, "print")[0].starts_with("function: 0x"));
    assert_eq!(values(&mut s, "read_message('Type')"), ["\"t\""]);
    assert!(values(&mut s, "local t = {} for i = 1, 1000 do t[i] = i end return t")[0].ends_with("64, …}"));
}

#[test]
fn statements_stay_and_unfinished_ones_wait() {
    let mut s = load("function process_message() return 0 end");
    assert_eq!(values(&mut s, "n = 1"), [""; 0]);
    assert_eq!(evaluate(&mut s, "for i = 1, 3 do"), Ok(Evaluated::Incomplete));
    assert_eq!(evaluate(&mut s, "n = n +"), Ok(Evaluated::Incomplete));
    assert_eq!(evaluate(&mut s, "{ 1,"), Ok(Evaluated::Incomplete));
    assert_eq!(values(&mut s, "for i = 1, 3 do n = n + i end"), [""; 0]);
    assert_eq!(values(&mut s, "n"), ["7"]);
    assert!(s.save().is_ok_and(|saved| !saved.is_empty()));
}

#[test]
fn limits_hold_and_errors_are_told() {
    let limits = Limits { cpu: Duration::from_millis(20), ..Limits::default() };
    let mut s = load_with(&SandboxConfig { limits, ..config() }, "function process_message() return 0 end");
    assert_eq!(evaluate(&mut s, "while true do end").unwrap_err().kind, FailureKind::Cpu);
    assert_eq!(evaluate(&mut s, "string.rep('x', 1e9)").unwrap_err().kind, FailureKind::Memory);
    assert!(evaluate(&mut s, "nope.x").unwrap_err().message.contains("attempt to index a nil value (global 'nope')"));
    assert!(evaluate(&mut s, "x = = 1").unwrap_err().message.contains("unexpected symbol"));
    assert!(evaluate(&mut s, "local x <close> = 1").unwrap_err().message.contains("<close>"));
    assert_eq!(values(&mut s, "1"), ["1"]);
}

const BRANCHES: &str = "local function never(...)\n    return ...\nend\n\nfunction process_message()\n    if read_message('Type') == 't' then\n        \
    n = 1\n    else\n        n = {\n            never(),\n        }\n    end\n    return 0\nend\n";

#[test]
fn lines_that_run_are_recorded() {
    let covered = |s: &Sandbox| {
        let lines = s.coverage().unwrap().lines;
        lines.into_iter().filter(|(_, ran)| *ran).map(|(line, _)| line).collect::<Vec<_>>()
    };
    let mut s = load_with(&SandboxConfig { coverage: true, ..config() }, BRANCHES);
    assert_eq!(s.coverage().unwrap().lines.into_keys().collect::<Vec<_>>(), [2, 3, 5, 6, 7, 9, 10, 11, 13, 14]);
    let loaded = covered(&s);
    assert!(loaded.contains(&3) && !loaded.contains(&6), "{loaded:?}");
    let mut builder = BatchBuilder::default();
    s.process_message(message().get(0), &mut Inject { builder: &mut builder, now_ns: NOW }).unwrap();
    let ran = covered(&s);
    assert!([6, 7, 13].iter().all(|line| ran.contains(line)) && ![2, 9, 10].iter().any(|line| ran.contains(line)), "{ran:?}");
    assert!(load(BRANCHES).coverage().is_none());
}

#[test]
fn recording_does_not_lift_limits() {
    let source = "function process_message() while true do\n end end";
    for instructions in [None, Some(1000)] {
        let limits = Limits { cpu: Duration::from_millis(20), instructions, ..Limits::default() };
        let mut s = load_with(&SandboxConfig { coverage: true, limits, ..config() }, source);
        let mut builder = BatchBuilder::default();
        let mut inject = Inject { builder: &mut builder, now_ns: NOW };
        let kind = s.process_message(message().get(0), &mut inject).unwrap_err().kind;
        assert_eq!(kind, if instructions.is_some() { FailureKind::Instructions } else { FailureKind::Cpu });
    }
}
