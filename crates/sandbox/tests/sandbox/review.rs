//! Objects are dropped whatever state the collector finds their script in.

use std::cell::Cell;

use sandbox::native::{Body, Call, Error, Function, Module, Object, ObjectType, Returned};
use sandbox::{Limits, SandboxConfig};

use crate::support::{body, call, config, load_with};

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
    assert_eq!(call(&mut sandbox).unwrap_err().kind, sandbox::FailureKind::Memory);
    call(&mut sandbox).unwrap();
}
