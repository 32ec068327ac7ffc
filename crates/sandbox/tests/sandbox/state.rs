use sandbox::{Carried, FailureKind, Limits, Sandbox, SandboxConfig};

use crate::support::*;

/// Loads the old version, calls it, and carries its state into the new one.
fn carry(old: &str, new: &str) -> (Sandbox, Carried) {
    let mut old = load(old);
    call(&mut old).unwrap();
    let saved = old.save().unwrap();
    let mut new = load(new);
    let carried = new.restore(&saved).unwrap();
    (new, carried)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| n.to_string()).collect()
}

#[test]
fn an_edited_threshold_takes_effect_and_counts_go_on() {
    let version = |threshold: u32| {
        format!(
            "threshold = {threshold} count = 0 hosts = {{}} function process_message() count = count + 1 hosts.a = (hosts.a or 0) + 1 return 0, nil end function timer_event() inject_payload('txt', '', threshold, ' ', count, ' ', hosts.a) end"
        )
    };
    let (mut new, carried) = carry(&version(500), &version(400));
    assert_eq!(carried, Carried { carried: names(&["count", "hosts"]), ..Carried::default() });
    call(&mut new).unwrap();
    assert_eq!(tick(&mut new).unwrap().get(0).payload(), b"400 2 2");
}

#[test]
fn an_edited_initial_value_resets() {
    let (mut new, carried) = carry(
        "count = 0 window = {size = 10} function process_message() count = count + 1 window.last = 1 fresh = 1 return 0 end",
        "count = 0 window = {size = 20} function process_message() assert(count == 1 and window.size == 20 and window.last == nil and fresh == 1) return 0 end",
    );
    assert_eq!(carried, Carried { carried: names(&["count", "fresh"]), reset: names(&["window"]), unsaved: vec![] });
    call(&mut new).unwrap();
}

#[test]
fn every_kind_of_value_comes_back() {
    let set = r#"
        a = {1, 2.5, "s\0\xff", true, false, [2.5] = "f", [true] = "t", n = {deep = {er = -7}}}
        big, small, inf, nan = math.maxinteger, math.mininteger, 1/0, 0/0
        ring = {} ring.self = ring
        shared = {x = 1} other = {shared = shared, [shared] = "key"}
        long = {} local last = long for i = 1, 5000 do last.next = {i = i} last = last.next end"#;
    let check = r#"
        assert(a[1] == 1 and math.type(a[1]) == "integer" and a[2] == 2.5 and a[3] == "s\0\xff" and a[4] == true and a[5] == false)
        assert(a[2.5] == "f" and a[true] == "t" and a.n.deep.er == -7)
        assert(big == math.maxinteger and small == math.mininteger and inf == 1/0 and nan ~= nan)
        assert(ring.self == ring)
        assert(other.shared == shared and other[shared] == "key" and shared.x == 1)
        local n, last = 0, long while last.next do last = last.next n = n + 1 end
        assert(n == 5000 and last.i == 5000)
        return 0"#;
    let (mut new, _) = carry(&body(&format!("{set} return 0")), &body(check));
    call(&mut new).unwrap();
}

#[test]
fn functions_objects_and_aliases_of_the_new_version_stay() {
    let script = |answer: u32| {
        format!(
            "handlers = {{n = 0, sub = {{f = function() return {answer} end, m = 1}}}} local alias = handlers
            object = setmetatable({{}}, {{}}) handlers.object = object
            function process_message() handlers.n = handlers.n + 1 handlers.sub.m = 2 handlers.seen = {{alias.n}} return 0 end
            function timer_event() inject_payload('txt', '', alias.n, ' ', alias.sub.f(), ' ', alias.sub.m, ' ', alias.seen[1], ' ', alias.object == object) end"
        )
    };
    let (mut new, carried) = carry(&script(1), &script(2));
    assert_eq!(carried, Carried { carried: names(&["handlers"]), reset: vec![], unsaved: names(&["object"]) });
    assert_eq!(tick(&mut new).unwrap().get(0).payload(), b"1 2 2 1 true");
}

#[test]
fn deleted_globals_and_entries_stay_deleted() {
    let script = "a = 1 t = {x = 1, y = 2} function process_message() a = nil t.x = nil return 0 end";
    let (mut new, carried) =
        carry(script, "a = 1 t = {x = 1, y = 2} function process_message() assert(a == nil and t.x == nil and t.y == 2) return 0 end");
    assert_eq!(carried.carried, names(&["a", "t"]));
    call(&mut new).unwrap();
}

#[test]
fn loaded_modules_are_not_state() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("m.lua"), "module(...) n = 0 function f() n = n + 1 return n end").unwrap();
    let config = SandboxConfig { module_path: Some(dir.path().into()), ..config() };
    let script = "require 'm' c = 0 function process_message() c = m.f() return 0 end";
    let mut old = load_with(&config, script);
    call(&mut old).unwrap();
    let mut new = load_with(&config, script);
    assert_eq!(new.restore(&old.save().unwrap()).unwrap(), Carried { carried: names(&["c"]), ..Carried::default() });
    call(&mut new).unwrap();
}

#[test]
fn a_new_preservation_version_discards() {
    let script = |version: u32| format!("_PRESERVATION_VERSION = {version} n = 0 function process_message() n = n + 1 return 0 end");
    let (_, carried) = carry(&script(1), &script(1));
    assert_eq!(carried.carried, names(&["n"]));
    let (_, carried) = carry(&script(1), &script(2));
    assert_eq!(carried, Carried { reset: names(&["n"]), ..Carried::default() });
}

#[test]
fn state_survives_two_restarts() {
    let script = "n = 0 t = {c = 0} function process_message() n = n + 1 t.c = t.c + 2 return 0 end function timer_event() inject_payload('txt', '', n, ' ', t.c) end";
    let mut sandbox = load(script);
    for _ in 0..3 {
        call(&mut sandbox).unwrap();
        let saved = sandbox.save().unwrap();
        sandbox = load(script);
        assert_eq!(sandbox.restore(&saved).unwrap().carried, names(&["n", "t"]));
    }
    assert_eq!(tick(&mut sandbox).unwrap().get(0).payload(), b"3 6");
}

#[test]
fn damaged_snapshots_are_refused_and_change_nothing() {
    let mut sandbox = load("n = 0 t = {} function process_message() n = n + 1 t[#t + 1] = {n, 'x', 1.5, true} return 0 end");
    call(&mut sandbox).unwrap();
    let saved = sandbox.save().unwrap();
    for len in 0..saved.len() {
        let mut fresh = load(&body("assert(n == nil) return 0"));
        match fresh.restore(&saved[..len]) {
            Err(failure) => assert_eq!(failure.kind, FailureKind::State),
            Ok(_) => panic!("{len} of {} bytes are accepted", saved.len()),
        }
    }
    for at in 0..saved.len() {
        for bits in [1, 0x80, 0xff] {
            let mut bytes = saved.clone();
            bytes[at] ^= bits;
            let mut fresh = load(&body("return 0"));
            let _ = fresh.restore(&bytes);
            call(&mut fresh).unwrap();
        }
    }
}

#[test]
fn the_size_of_the_state_is_limited() {
    let config = SandboxConfig { limits: Limits { state: 1000, ..config().limits }, ..config() };
    let attempts = [
        ("for i = 1, 1000 do t[i] = i end", "The largest table is `t` with 1,000 entries."),
        ("t.s = ('x'):rep(2000)", "The longest string is `t.s` with 2,000 bytes."),
    ];
    for (grow, largest) in attempts {
        let mut sandbox = load_with(&config, &format!("t = {{}} function process_message() {grow} return 0 end"));
        call(&mut sandbox).unwrap();
        let failure = sandbox.save().unwrap_err();
        let message = format!("the state takes more than the 1000 bytes allowed. Raise state_limit or keep less in globals. {largest}");
        assert_eq!((failure.kind, failure.message), (FailureKind::State, message));
        call(&mut sandbox).unwrap();
    }
}

#[test]
fn a_full_sandbox_can_still_be_saved() {
    let limits = Limits { memory: 1 << 20, state: 1 << 20, ..config().limits };
    let config = SandboxConfig { limits, ..config() };
    let script = "t = {} function process_message() pcall(function() while true do t[#t + 1] = {} end end) return 0 end";
    let mut old = load_with(&config, script);
    call(&mut old).unwrap();
    let saved = old.save().unwrap();
    assert_eq!(old.usage().state.current, saved.len() as u64);
    assert_eq!(old.usage().memory.cap, 1 << 20);
    let mut new = load_with(&config, script);
    assert_eq!(new.restore(&saved).unwrap().carried, names(&["t"]));
}
