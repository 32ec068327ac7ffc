//! Native modules: what a script sees of them, and that nothing of theirs leaks or escapes.

use sandbox::native::{Body, Call, Error, Function, Module, Object, ObjectType, Returned, Value};
use sandbox::{Failure, FailureKind, Sandbox, SandboxConfig};

use crate::support::{body, call, config, fails, load_with, tick};

/// Bytes with a method or two.
struct Bag(Vec<u8>);

impl Object for Bag {
    const NAME: &'static str = "bag";
    const SAVED: bool = true;
    const METHODS: &'static [Function] = &[
        Function { name: "put", signature: "(text: string) -> integer", doc: "Adds.", call: put },
        Function { name: "apply", signature: "(f: function) -> any", doc: "Calls f with the text.", call: apply },
        Function { name: "__len", signature: "() -> integer", doc: "Bytes.", call: len },
    ];

    fn bytes(&self) -> usize {
        self.0.capacity()
    }

    fn save(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0);
    }

    fn restore(saved: &[u8]) -> Option<Bag> {
        Some(Bag(saved.to_vec()))
    }

    fn write(&mut self, into: &mut Vec<u8>, _: usize) -> bool {
        into.extend_from_slice(&self.0);
        true
    }
}

fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
    let room = call.optional(1, Call::integer)?.unwrap_or(0).max(0) as usize;
    call.room_for(room)?;
    call.push_object(Bag(Vec::with_capacity(room)))?;
    Ok(Returned(1))
}

fn put(call: &mut Call<'_>) -> Result<Returned, Error> {
    let text = call.bytes(2)?;
    let len = call.with(1, |bag: &mut Bag| {
        bag.0.extend_from_slice(&text);
        bag.0.len()
    })?;
    call.push_integer(len as i64)?;
    Ok(Returned(1))
}

fn apply(call: &mut Call<'_>) -> Result<Returned, Error> {
    let text = call.object::<Bag>(1)?.borrow().0.clone();
    let f = call.function(2)?;
    call.push_slot(f)?;
    call.push_bytes(&text)?;
    call.call(1, 1)?;
    Ok(Returned(1))
}

fn len(call: &mut Call<'_>) -> Result<Returned, Error> {
    let len = call.with(1, |bag: &mut Bag| bag.0.len())?;
    call.push_integer(len as i64)?;
    Ok(Returned(1))
}

/// `bag.invert(table)`: keys become values.
fn invert(call: &mut Call<'_>) -> Result<Returned, Error> {
    let from = call.table(1)?;
    let into = call.push_table(0, 0)?;
    call.for_each(from, |call, key, value| {
        if call.value(value).is_nil() {
            return Err(Error::message("impossible"));
        }
        call.push_slot(value)?;
        call.push_slot(key)?;
        call.set_pair(into)
    })?;
    Ok(Returned(1))
}

/// `bag.clear(table, f)`: empties a table while it is walked, and calls f on the way.
fn clear(call: &mut Call<'_>) -> Result<Returned, Error> {
    let table = call.table(1)?;
    let f = call.function(2)?;
    call.for_each(table, |call, key, _| {
        call.push_slot(key)?;
        call.push_nil()?;
        call.set_pair(table)?;
        call.push_slot(f)?;
        call.call(0, 0)
    })?;
    Ok(Returned(0))
}

fn endless(call: &mut Call<'_>) -> Result<Returned, Error> {
    let _held = String::from("dropped on the way out");
    loop {
        call.budget()?;
    }
}

fn flood(call: &mut Call<'_>) -> Result<Returned, Error> {
    let held = vec![b'x'; 100_000];
    let list = call.push_table(0, 0)?;
    for n in 1.. {
        call.push_bytes(&held[..1000 + n as usize % 7])?;
        call.set_index(list, n)?;
    }
    Ok(Returned(1))
}

fn classify(call: &mut Call<'_>) -> Result<Returned, Error> {
    let name = match call.arg(1) {
        Value::Number(_) => "fraction".to_string(),
        other => other.type_name().to_string(),
    };
    call.push_bytes(name.as_bytes())?;
    Ok(Returned(1))
}

const fn function(name: &'static str, call: sandbox::native::NativeFn) -> Function {
    Function { name, signature: "(...: any) -> any", doc: "For a test.", call }
}

static BAG: Module = Module {
    name: "bag",
    doc: "Bags of bytes.",
    body: Body::Native(
        &[
            function("new", new),
            function("invert", invert),
            function("clear", clear),
            function("endless", endless),
            function("flood", flood),
            function("classify", classify),
        ],
        &[&ObjectType::of::<Bag>()],
    ),
};
static TEXT: Module =
    Module { name: "greet", doc: "Greets.", body: Body::Text("local M = {} function M.hello(x) return 'hello ' .. x end return M") };

fn with_modules() -> SandboxConfig {
    static MODULES: &[&Module] = &[&BAG, &TEXT];
    SandboxConfig { modules: MODULES, ..config() }
}

fn run(source: &str) -> Result<String, Failure> {
    let mut sandbox = load_with(&with_modules(), &body(&format!("local bag = require 'bag' {source} inject_payload() return 0")));
    let (_, batch) = call(&mut sandbox)?;
    Ok(if batch.is_empty() { String::new() } else { String::from_utf8(batch.get(0).payload().to_vec()).unwrap() })
}

fn error(source: &str) -> String {
    run(source).unwrap_err().message
}

#[test]
fn objects_have_methods_and_text() {
    assert_eq!(run("local b = bag.new() b:put('ab') add_to_payload(b, ' ', b:put(12), ' ', #b)").unwrap(), "ab12 4 4");
    assert_eq!(run("add_to_payload(bag.new():apply(function(s) return #s end))").unwrap(), "0");
    assert_eq!(run("add_to_payload(require('greet').hello('you'), ' ', require('bag') == bag)").unwrap(), "hello you true");
    assert_eq!(run("require 'bag' add_to_payload(type(_G.bag), rawget(_G, 'bag') == nil)").unwrap(), "tabletrue");
    assert_eq!(run("add_to_payload(bag.classify(), bag.classify(1), bag.classify(.5), bag.classify({}), bag.classify(print), bag.classify(bag.new()))").unwrap(),
        "no valuenumberfractiontablefunctionuserdata");
    assert_eq!(run("local t = bag.invert{a = 1, b = 2} add_to_payload(t[1], t[2])").unwrap(), "ab");
}

#[test]
fn errors_name_the_line_and_the_argument() {
    assert_eq!(error("bag.new():put({})"), "t.lua:1: bad argument #1 to 'put' (string expected, got table)");
    assert_eq!(error("bag.new('x')"), "t.lua:1: bad argument #1 to 'new' (number expected, got string)");
    assert_eq!(error("bag.new().put(1)"), "t.lua:1: bad argument #2 to 'put' (string expected, got no value)");
    assert_eq!(error("bag.new().put(1, 'x')"), "t.lua:1: bad argument #1 to 'put' (bag expected, got number)");
    assert_eq!(error("bag.new():apply(function() error('own') end)"), "t.lua:1: own");
    assert_eq!(error("bag.invert{a = 0/0}"), "t.lua:1: table index is NaN");
    assert!(error("add_to_payload(print)").contains("unsupported type"));
}

#[test]
fn a_table_may_change_while_it_is_walked() {
    run("local t = {} for i = 1, 100 do t['k' .. i] = i end bag.clear(t, function() t = t collect = {} for i = 1, 50 do collect[i] = {} end end) assert(next(t) == nil)")
        .unwrap();
    let message =
        error("local t = {} for i = 1, 100 do t[i] = i end bag.clear(t, function() for i = 1, 100 do t[i] = nil t['x' .. i] = 1 end end)");
    assert!(message.contains("invalid key to 'next'") || message.contains("CPU"), "{message}");
}

#[test]
fn a_native_function_ends_with_the_budget() {
    let mut config = with_modules();
    config.limits.cpu = std::time::Duration::from_millis(20);
    for source in ["require('bag').endless()", "while true do pcall(require('bag').endless) end"] {
        assert_eq!(fails(&mut load_with(&config, &body(source))).kind, FailureKind::Cpu);
    }
}

#[test]
fn native_memory_is_the_scripts_memory() {
    let mut config = with_modules();
    config.limits.memory = 1 << 20;
    for source in [
        "require('bag').flood()",
        "require('bag').new(2000000)",
        "local b = require('bag').new() while true do b:put(('x'):rep(10000)) end",
        "local all = {} while true do all[#all + 1] = require('bag').new(5000) end",
    ] {
        let mut sandbox = load_with(&config, &body(source));
        let failure = fails(&mut sandbox);
        assert_eq!(failure.kind, FailureKind::Memory, "{failure}");
        assert!(sandbox.usage().memory.max < 3 << 20, "{source}: {:?}", sandbox.usage().memory);
    }
    // What is let go is given back.
    let mut sandbox = load_with(&config, &body("for i = 1, 1000 do require('bag').new(100000) end return 0"));
    call(&mut sandbox).unwrap();
    assert!(sandbox.usage().memory.current < 1 << 20);
}

const KEEPS: &str = "require 'bag' one = bag.new() list = {one, bag.new()} size = bag.new(10) \
    function process_message() one:put('x') list[2]:put('yy') return 0 end \
    function timer_event() add_to_payload(#one, #list[1], #list[2], ' ', tostring(one == list[1])) inject_payload() end";

fn told(sandbox: &mut Sandbox) -> String {
    String::from_utf8(tick(sandbox).unwrap().get(0).payload().to_vec()).unwrap()
}

#[test]
fn objects_are_saved_with_the_globals_and_stay_shared() {
    let mut old = load_with(&with_modules(), KEEPS);
    call(&mut old).unwrap();
    call(&mut old).unwrap();
    assert_eq!(told(&mut old), "224 true");
    let mut new = load_with(&with_modules(), KEEPS);
    let carried = new.restore(&old.save().unwrap()).unwrap();
    assert_eq!((carried.carried, carried.reset, carried.unsaved), (vec!["list".to_string(), "one".to_string()], vec![], vec![]));
    assert_eq!(told(&mut new), "224 true");
}

#[test]
fn an_object_of_a_module_that_is_gone_is_reset() {
    let mut old = load_with(&with_modules(), KEEPS);
    call(&mut old).unwrap();
    let saved = old.save().unwrap();
    let mut new = load_with(&config(), "one = nil function process_message() return one == nil and 0 or -1 end");
    let carried = new.restore(&saved).unwrap();
    assert_eq!(carried.reset, ["list", "one"]);
    call(&mut new).unwrap();
}
