//! What a broken limit is told as, word for word. `#` stands for a number.

use std::time::Duration;

use sandbox::{Failure, FailureKind, Inject, Limits, Sandbox, SandboxConfig, Script};

use crate::support::*;

const MESSAGE: &str = r#" The message: Type "t", Payload "line\xff"."#;

fn limited(change: impl FnOnce(&mut Limits)) -> SandboxConfig {
    let mut config = config();
    change(&mut config.limits);
    config
}

fn mebibyte() -> SandboxConfig {
    limited(|l| (l.memory, l.cpu) = (1 << 20, Duration::from_secs(20)))
}

fn hurried() -> SandboxConfig {
    limited(|l| l.cpu = Duration::from_millis(20))
}

/// Whether the text is the golden one, with numbers for its `#`.
fn is(text: &str, golden: &str) -> bool {
    let mut rest = text;
    for (n, part) in golden.split('#').enumerate() {
        if n > 0 {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',').len();
            if digits == 0 {
                return false;
            }
            rest = &rest[digits..];
        }
        let Some(after) = rest.strip_prefix(part) else { return false };
        rest = after;
    }
    rest.is_empty()
}

#[track_caller]
fn told(failure: &Failure, kind: FailureKind, golden: &str) {
    assert_eq!(failure.kind, kind, "{failure}");
    assert!(is(&failure.message, golden), "found    {failure}\nexpected {golden}");
}

fn starved(source: &str) -> Failure {
    fails(&mut load_with(&mebibyte(), source))
}

const STARVED: &str = "not enough memory: # of 1,048,576 bytes used, # more asked for in process_message.";
const KEEP_LESS: &str = " Raise memory_limit or keep less.";

#[test]
fn goldens_take_numbers_and_nothing_else() {
    assert!(is("used 1,024 of 5.", "used # of #."));
    assert!(!is("used  of 5.", "used # of #.") && !is("used 1 of 5. More", "used # of #.") && !is("used x of 5.", "used # of #."));
}

#[test]
fn memory_in_a_global_table() {
    let failure = starved("seen = {}\nfunction process_message()\n  for i = 1, 1e9 do\n    seen['k' .. i] = i\n  end\nend");
    told(&failure, FailureKind::Memory, &format!("t.lua:4: {STARVED} The largest table is `seen` with # entries.{KEEP_LESS}{MESSAGE}"));
}

#[test]
fn memory_below_a_global_table() {
    let failure = starved(
        "state = {hosts = {}, [7] = {}}\nfunction process_message()\n  for i = 1, 1e9 do\n    state.hosts['a b'] = state.hosts['a b'] or {{}}\n    state.hosts['a b'][1][i] = true\n  end\nend",
    );
    told(
        &failure,
        FailureKind::Memory,
        &format!("t.lua:5: {STARVED} The largest table is `state.hosts[\"a b\"][1]` with 32,768 entries.{KEEP_LESS}{MESSAGE}"),
    );
}

#[test]
fn memory_in_a_local_table() {
    let failure = starved(
        "local recent = {}\nlocal function note(x) recent[#recent + 1] = x end\nfunction process_message()\n  while true do\n    note({})\n  end\nend",
    );
    assert!(failure.message.contains(" The largest table is the local `recent` with "), "{failure}");
}

#[test]
fn memory_in_a_string() {
    let failure = starved("text = 'x'\nfunction process_message()\n  while true do\n    text = text .. text\n  end\nend");
    told(&failure, FailureKind::Memory, &format!("t.lua:4: {STARVED} The longest string is `text` with # bytes.{KEEP_LESS}{MESSAGE}"));
}

#[test]
fn memory_that_no_global_holds() {
    let failure = starved("small = {1, 2, 3}\nfunction process_message()\n  local t = {}\n  for i = 1, 1e9 do\n    t[i] = {}\n  end\nend");
    told(&failure, FailureKind::Memory, &format!("t.lua:5: {STARVED}{KEEP_LESS}{MESSAGE}"));
    let failure = starved("function process_message()\n  return #string.rep('x', 1e9)\nend");
    told(&failure, FailureKind::Memory, &format!("t.lua:2: {STARVED}{KEEP_LESS}{MESSAGE}"));
}

#[test]
fn memory_while_loading_and_in_a_tick() {
    let Err(error) = Sandbox::new(&Script::new("t.lua", "seen = {}\nfor i = 1, 1e9 do seen[i] = i end"), &mebibyte()) else {
        panic!("this loads")
    };
    let golden = "t.lua:2: not enough memory: # of 1,048,576 bytes used, # more asked for in loading. The largest table is `seen` with 32,768 entries. Raise memory_limit or keep less.";
    assert!(is(&error.message, golden), "{error}");
    assert_eq!(error.line, Some(2));
    let mut sandbox = load_with(&mebibyte(), "function process_message() return 0 end function timer_event() return ('x'):rep(1e9) end");
    let golden = format!("t.lua:1: {}{KEEP_LESS}", STARVED.replace("process_message", "timer_event"));
    told(&tick(&mut sandbox).unwrap_err(), FailureKind::Memory, &golden);
}

#[test]
fn tables_with_more_entries_than_are_looked_at() {
    let config = limited(|l| (l.memory, l.cpu) = (64 << 20, Duration::from_secs(20)));
    let failure = fails(&mut load_with(
        &config,
        "t = {}\nfunction process_message()\n  for i = 1, 1e6 do t[i] = i end\n  return ('x'):rep(1e9)\nend",
    ));
    assert!(
        failure.message.contains(" The largest table is `t` with over 199,") || failure.message.contains(" with over 200,000"),
        "{failure}"
    );
}

#[test]
fn the_search_for_what_is_large_ends() {
    // Cycles, tables that answer for others, and more levels than are looked at.
    let failure = starved(
        "a = {} a.a = a b = setmetatable({}, {__index = function() error('asked') end, __pairs = error, __len = error})
        deep = {} local d = deep for i = 1, 100 do d[1] = {} d = d[1] end
        function process_message() for i = 1, 1e9 do a[i] = a end end",
    );
    assert!(failure.message.contains("The largest table is `a` with "), "{failure}");
}

#[test]
fn cpu_with_the_function_that_was_running() {
    let failure = fails(&mut load_with(&hurried(), "\nfunction process_message()\n while true do end\nend"));
    let golden = |place: &str, who: &str| {
        format!("{place}: CPU budget used up: # ms of 20 ms in process_message{who}. Raise cpu_limit or do less per message.{MESSAGE}")
    };
    told(&failure, FailureKind::Cpu, &golden("t.lua:3", ""));
    let failure = fails(&mut load_with(
        &hurried(),
        "local function spin()\n while true do end\nend\nfunction process_message()\n spin()\n return 0\nend",
    ));
    told(&failure, FailureKind::Cpu, &golden("t.lua:2", ", function `spin`"));
    let failure = fails(&mut load_with(
        &hurried(),
        "s = ('a'):rep(20000)\nfunction parse(s)\n return s:find('.-.-.-.-b'), 1\nend\nfunction process_message()\n return parse(s), 1\nend",
    ));
    told(&failure, FailureKind::Cpu, &golden("t.lua:3", ", function `parse`, calling `find`"));
    let mut sandbox = load_with(&hurried(), "function process_message() return 0 end function timer_event() while true do end end");
    told(
        &tick(&mut sandbox).unwrap_err(),
        FailureKind::Cpu,
        "t.lua:1: CPU budget used up: # ms of 20 ms in timer_event. Raise cpu_limit or do less per tick.",
    );
    assert!(sandbox.usage().cpu.max >= sandbox.usage().cpu.cap);
}

#[test]
fn instructions() {
    let config = limited(|l| l.instructions = Some(10_000));
    let failure = fails(&mut load_with(
        &config,
        "local function spin() while true do end end\nfunction process_message()\n pcall(spin)\n return 0\nend",
    ));
    told(
        &failure,
        FailureKind::Instructions,
        &format!(
            "t.lua:1: instruction_limit exceeded: 10000 of 10000 in process_message. Raise instruction_limit or do less per message.{MESSAGE}"
        ),
    );
}

#[test]
fn output() {
    let config = limited(|l| l.output = 100);
    let failure = fails(&mut load_with(&config, &body("while true do add_to_payload('0123456789') end")));
    let golden = "t.lua:1: output_limit exceeded: 110 of 100 bytes in add_to_payload. Raise output_limit or write less at once.";
    assert_eq!((failure.kind, failure.message), (FailureKind::Output, format!("{golden}{MESSAGE}")));
}

#[test]
fn injections() {
    let failure = fails(&mut load(&body("inject_message{} inject_message{}")));
    let golden = "t.lua:1: inject_message() exceeded InjectMessage count: 2 of 1 in process_message. Raise max_process_inject or inject less per message.";
    assert_eq!((failure.kind, failure.message), (FailureKind::Injection, format!("{golden}{MESSAGE}")));
}

#[test]
fn an_error_of_the_script_is_told_as_it_is() {
    let failure = fails(&mut load("\nfunction process_message()\n  error('no')\nend"));
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Error, "t.lua:3: no"));
}

#[test]
fn the_message_is_shown_without_what_a_terminal_acts_on() {
    let mut builder = message::BatchBuilder::default();
    let mut m = builder.add();
    m.set_type(b"nginx.access");
    m.set_logger("Logger \u{202e}".as_bytes());
    m.set_payload(&[b"\x1b[31m\"GET\"\n\\\xff ".as_slice(), "é".repeat(400).as_bytes()].concat());
    let batch = builder.finish();
    let mut injected = message::BatchBuilder::default();
    let mut sandbox = load_with(&limited(|l| l.instructions = Some(1000)), &body("while true do end"));
    let failure = sandbox.process_message(batch.get(0), &mut Inject { builder: &mut injected, now_ns: NOW }).unwrap_err();
    let payload = format!(r#""\u{{1b}}[31m\"GET\"\n\\\xff {}…" (814 bytes)"#, "é".repeat(33));
    let golden = format!(r#" The message: Type "nginx.access", Logger "Logger \u{{202e}}", Payload {payload}."#);
    assert!(failure.message.ends_with(&golden), "found    {failure}\nexpected {golden}");
}

#[test]
fn a_message_without_text_is_not_shown() {
    let mut builder = message::BatchBuilder::default();
    builder.add();
    let batch = builder.finish();
    let mut injected = message::BatchBuilder::default();
    let mut sandbox = load_with(&limited(|l| l.instructions = Some(1000)), &body("while true do end"));
    let failure = sandbox.process_message(batch.get(0), &mut Inject { builder: &mut injected, now_ns: NOW }).unwrap_err();
    assert!(failure.message.ends_with(" or do less per message."), "{failure}");
}
