//! Attacks of a review: objects are dropped whatever state the collector finds their script in, and what ran on for long or grew ends.

use std::cell::Cell;
use std::time::Duration;

use message::BatchBuilder;
use sandbox::native::{Body, Call, Error, Function, Module, Object, ObjectType, Returned};
use sandbox::{FailureKind, Family, Limits, SandboxConfig};

use crate::containment::contained;
use crate::support::{NOW, as_family, body, call, config, load_with, passes};

thread_local! {
    static ALIVE: Cell<i64> = const { Cell::new(0) };
}

/// Says how many of its kind there are.
struct Counted(Vec<u8>);

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}

impl Object for Counted {
    const NAME: &'static str = "counted";
    const METHODS: &'static [Function] = &[Function { name: "grow", signature: "(n: integer)", doc: "Grows.", call: grow }];

    fn bytes(&self) -> usize {
        self.0.capacity()
    }
}

fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
    let room = call.integer(1)?.max(0) as usize;
    call.room_for(room)?;
    ALIVE.set(ALIVE.get() + 1);
    call.push_object(Counted(Vec::with_capacity(room)))?;
    Ok(Returned(1))
}

/// Grows first and is charged afterwards.
fn grow(call: &mut Call<'_>) -> Result<Returned, Error> {
    let n = call.integer(2)?.max(0) as usize;
    call.with(1, |c: &mut Counted| c.0.reserve_exact(n))?;
    Ok(Returned(0))
}

static COUNTED: Module = Module {
    name: "counted",
    doc: "Counts.",
    body: Body::Native(
        &[Function { name: "new", signature: "(n: integer) -> counted", doc: "One more.", call: new }],
        &[&ObjectType::of::<Counted>()],
    ),
};

/// Runs a body several times; what is left alive after the sandbox is gone.
fn left(source: &str) -> i64 {
    static MODULES: &[&Module] = &[&COUNTED];
    let limits = Limits { memory: 1 << 20, ..config().limits };
    let config = SandboxConfig { modules: MODULES, limits, ..config() };
    let before = ALIVE.get();
    let mut sandbox = load_with(&config, &body(&format!("local new = require('counted').new {source} return 0")));
    for _ in 0..5 {
        let _ = call(&mut sandbox);
    }
    drop(sandbox);
    ALIVE.get() - before
}

#[test]
fn an_object_is_dropped_when_memory_is_short() {
    assert_eq!(left("local keep = new(0) for i = 1, 100 do new(5000) end pcall(keep.grow, keep, 1e6)"), 0);
    assert_eq!(left("local keep = {} for i = 1, 1000 do new(3000) pcall(function() keep[i] = ('x'):rep(1000) .. i end) end"), 0);
    assert_eq!(left("local t = {} while true do local o = new(100) t[#t + 1] = {} end"), 0);
    assert_eq!(
        left(
            "local t = {} pcall(function() while true do t[#t + 1] = new(1000) end end) t = nil local k = {} while true do k[#k + 1] = {} end"
        ),
        0
    );
}

#[test]
fn an_object_is_dropped_when_the_stack_is_deep() {
    // The collector runs its functions on top of whatever is running.
    assert_eq!(
        left(
            "local function deep(n) new(100) local t = {} for i = 1, 20 do t[i] = {} end ('x'):gsub('x', function() deep(n + 1) end) end pcall(deep, 1)"
        ),
        0
    );
    assert_eq!(left("local function deep() new(100) return 1 + deep() end pcall(deep)"), 0);
}

#[test]
fn dead_objects_do_not_use_memory_up() {
    // Lua's collection in need leaves finalisers, hence objects, for later; with much alive it makes no other in time.
    static MODULES: &[&Module] = &[&COUNTED];
    for source in ["for i = 1, 20000 do new(0) end", "for i = 1, 5000 do new(i % 2000) local x = {{}} end"] {
        let limits = Limits { memory: 1 << 20, ..config().limits };
        let config = SandboxConfig { modules: MODULES, limits, ..config() };
        let source = format!("local new = require('counted').new local k = {{}} for i = 1, 8000 do k[i] = {{}} end {source} return 0");
        let mut sandbox = load_with(&config, &body(&source));
        for _ in 0..3 {
            call(&mut sandbox).unwrap();
        }
    }
}

#[test]
fn a_script_that_ran_out_of_memory_has_some_again() {
    static MODULES: &[&Module] = &[&COUNTED];
    let limits = Limits { memory: 1 << 20, ..config().limits };
    let config = SandboxConfig { modules: MODULES, limits, ..config() };
    // As deep as it gets Lua runs no finalisers.
    let source = "local function deep(n, made) if n == 0 then for i = 1, made do new(0) end else ('x'):gsub('x', function() deep(n - 1, made) end) end end
        if again then return #('x'):rep(200000) * 0 end again = true
        local n = 250 while not pcall(deep, n, 0) do n = n - 1 end deep(n, 20000)";
    let mut sandbox = load_with(&config, &body(&format!("local new = require('counted').new {source} return 0")));
    assert_eq!(call(&mut sandbox).unwrap_err().kind, FailureKind::Memory);
    call(&mut sandbox).unwrap();
}

#[test]
fn an_object_does_not_grow_on_beyond_the_limit() {
    static MODULES: &[&Module] = &[&COUNTED];
    let limits = Limits { memory: 1 << 20, ..config().limits };
    let config = SandboxConfig { modules: MODULES, limits, ..config() };
    let source = "local c = require('counted').new(0) for i = 1, 100 do pcall(c.grow, c, i * 1e5) end return 0";
    let mut sandbox = load_with(&config, &body(source));
    call(&mut sandbox).unwrap();
    let max = sandbox.usage().memory.max;
    assert!(((1 << 20)..=(1 << 20) + 200_000).contains(&max), "one step too far, {max}");
}

#[test]
fn a_value_that_calls_itself_ends_in_a_coroutine_too() {
    contained("t = {} setmetatable(t, {__call = t})", "coroutine.wrap(function() t() end)()");
    contained("t = {} setmetatable(t, {__call = t})", "coroutine.wrap(function() pcall(coroutine.wrap(function() pcall(t) end)) end)()");
}

#[test]
fn removing_many_fields_is_stopped() {
    let limits = Limits { cpu: Duration::from_millis(10), ..Limits::default() };
    let mut sandbox = load_with(&SandboxConfig { limits, ..as_family(Family::Decoder) }, &body("msg.Fields.a = nil return 0"));
    let mut builder = BatchBuilder::default();
    let mut m = builder.add();
    for _ in 0..150_000 {
        m.add_bool(b"a", true);
    }
    let (raw, messages) = builder.parts();
    let failure = sandbox.process_message_mut(messages, raw, 0, NOW).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cpu, "{failure}");
}

#[test]
fn a_module_that_is_forgotten_is_listed_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("m.lua"), "return {}").unwrap();
    let config = SandboxConfig { module_path: Some(dir.path().into()), ..config() };
    let mut sandbox = load_with(&config, &body("for i = 1, 50 do package.loaded.m = nil require 'm' end return 0"));
    call(&mut sandbox).unwrap();
    assert_eq!(sandbox.files().len(), 1);
}

#[test]
fn xpcall_returns_as_much_as_fits() {
    passes("assert(select('#', xpcall(table.unpack, print, {}, 1, 100000)) == 100001)");
    passes("local function f() return xpcall(f, f) end f()");
    passes(
        "local n, e = select('#', xpcall(error, function() return 1, 2 end)), select(2, xpcall(error, error, 'x')) assert(n == 2 and e == 'x')",
    );
    passes(
        "local co = coroutine.wrap(function() return xpcall(function(a) return coroutine.yield(a), 7 end, print, 5) end)
        assert(co() == 5) local ok, a, b = co(6) assert(ok and a == 6 and b == 7)",
    );
}

#[test]
fn the_gates_stay_shut() {
    passes(
        "assert(not getmetatable('') and not getmetatable(_G) and not getmetatable(string))
        assert(not pcall(setmetatable, _G, {}) and not pcall(setmetatable, string, {}) and not pcall(setmetatable, {}, {__gc = print}))
        assert(getfenv(print) == _G and rawget(_G, 'require') == nil and not debug and not io and not os.exit and not package.loadlib)
        assert(not pcall(require, '../x') and not pcall(require, '/etc/passwd') and not pcall(require, 'a\\0b') and not pcall(require, 'debug'))",
    );
}

#[test]
fn an_expression_takes_the_memory_its_regexes_are_compiled_in() {
    passes(
        r#"local ok, e = pcall(create_message_matcher, "Payload =~ /(?i)" .. ("[\\w\\pL]"):rep(560) .. "/") assert(not ok and e:find "memory", e)
        assert(create_message_matcher("Payload =~ /" .. ("\\d{1,3}\\."):rep(20) .. "/"):eval() == false)"#,
    );
}
