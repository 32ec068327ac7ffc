//! Every single request for memory fails once, and every one from some point on: each time it is an
//! error like any other, nothing is left behind in Lua or in Rust, and the next sandbox works.

use std::time::Duration;

use message::BatchBuilder;
use sandbox::native::{Body, Function, Module, Object, ObjectType, Returned};
use sandbox::{Failure, FailureKind, Family, Inject, Limits, Sandbox, SandboxConfig, Script, Status, fault};

use crate::allocations::held;
use crate::support::*;

fn patient(family: Family) -> SandboxConfig {
    SandboxConfig {
        modules: ::modules::ALL,
        limits: Limits { cpu: Duration::from_secs(60), process_inject: 100, timer_inject: 100, ..Limits::default() },
        ..as_family(family)
    }
}

/// An outcome that is sound or says that memory ran out.
fn sound<T>(outcome: Result<T, Failure>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(failure) => {
            assert_eq!(failure.kind, FailureKind::Memory, "{failure}");
            None
        }
    }
}

fn process(sandbox: &mut Sandbox, config: &SandboxConfig) -> Option<Status> {
    let mut builder = BatchBuilder::default();
    let batch = message();
    sound(if matches!(config.family, Family::Decoder | Family::Transform) {
        builder.copy(batch.get(0));
        let (raw, messages) = builder.parts();
        sandbox.process_message_mut(messages, raw, 0, NOW)
    } else {
        sandbox.process_message(batch.get(0), &mut Inject { builder: &mut builder, now_ns: NOW })
    })
}

/// All that happens to a sandbox. Returns whether nothing of it failed.
fn live(source: &str, config: &SandboxConfig) -> bool {
    let script = Script::new("t.lua", source);
    let load = || match Sandbox::new(&script, config) {
        Ok(sandbox) => Some(sandbox),
        Err(error) => {
            assert!(error.message.contains("not enough memory"), "{error}");
            None
        }
    };
    let Some(mut sandbox) = load() else { return false };
    let mut whole = true;
    for _ in 0..2 {
        whole &= process(&mut sandbox, config) == Some(Status::Ok);
        whole &= sound(tick(&mut sandbox)).is_some();
    }
    sandbox.take_log();
    let Some(saved) = sound(sandbox.save()) else { return false };
    let Some(mut next) = load() else { return false };
    whole &= sound(next.restore(&saved)).is_some();
    whole & (process(&mut next, config) == Some(Status::Ok))
}

/// Lives once with each of these faults.
fn survived(source: &str, config: &SandboxConfig, step: usize, fault: impl Fn(u64) -> std::ops::RangeInclusive<u64>) {
    assert!(live(source, config), "it works with all the memory there is");
    let mut other = load(&body("return 0"));
    call(&mut other).unwrap();
    let mut struck = 0;
    for at in (1..).step_by(step) {
        let before = held();
        fault::set(fault(at));
        live(source, config);
        let requests = fault::clear();
        assert_eq!(held() - before, 0, "bytes left behind by the fault at request {at}");
        if requests < at {
            break;
        }
        struck += 1;
        if at % 64 == 1 {
            call(&mut other).unwrap();
            call(&mut load(&body("return 0"))).unwrap();
        }
    }
    assert!(struck > 40, "only {struck} faults");
}

/// Each request alone: refused, and refused again when Lua has collected its garbage.
fn each(source: &str, config: &SandboxConfig) {
    survived(source, config, 1, |at| at..=at + 1);
}

/// Memory is there up to some request, and then no more.
fn from_each(source: &str, config: &SandboxConfig) {
    survived(source, config, 3, |at| at..=u64::MAX);
}

macro_rules! faults {
    ($($name:ident, $family:ident: $source:literal;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn one_by_one() {
                each($source, &patient(Family::$family));
            }

            #[test]
            fn from_one_on() {
                from_each($source, &patient(Family::$family));
            }
        }
    )*};
}

faults! {
    filter, Filter: "
        count, seen, list = 0, {}, {1, 2.5, 'x', true, {}}
        local function grow() seen[read_message('Type') .. count] = {read_message('Payload'), list} end
        function process_message()
            count = count + 1
            pcall(grow)
            inject_message{Type = 'x', Payload = 'p', Fields = {a = {1, 2}, b = 'c' .. count, d = {value = 1.5, representation = 'ms'}}}
            add_to_payload('n ', count, nil, true, 0.5) inject_payload('txt', 'name', ' more')
            print(count, 'printed', {})
            return 0
        end
        function timer_event(ns) add_to_payload(ns) inject_payload() end";
    decoder, Decoder: "
        function process_message()
            write_message('Payload', 'was ' .. read_message('Payload'))
            write_message('Fields[new]', 1) write_message('Fields[s]', 'other', 'unit', 0, 0) write_message('Fields[i]', nil)
            inject_message{Type = 'second', Fields = {a = read_message('raw')}}
            return 0
        end";
    encoder, Encoder: "
        function process_message() inject_payload('txt', '', read_message('Type'), 1, read_config('text')) return 0 end";
    strings, Filter: "
        function process_message()
            local s = ('key=value; '):rep(20)
            local n = 0
            for k, v in s:gmatch('(%w+)=(%w+)') do n = n + #k + #v end
            local t = s:gsub('%w+', function(w) return w:upper() end):gsub('KEY', '%0%0'):gsub('VALUE', {VALUE = 'x'})
            local f = string.format('%5.2f %q %s %d %x', 1.5, t, s, 7, 255)
            local a, b = f:find('(%d+)', 1) local m = f:match('^(.-) ') local p = string.pack('>i4zs1', 7, 'x', f:sub(1, 9))
            local x, y, z = string.unpack('>i4zs1', p)
            text = table.concat({a, b, m, y, z, utf8.char(233, 8364), tostring(1.5), tonumber('12') .. ''}, ', ')
            return 0
        end";
    tables, Filter: "
        local function class() local c = {} c.__index = c return setmetatable({}, c) end
        function process_message()
            local t = {} for i = 1, 40 do t[i] = (i * 7919) % 101 end
            table.sort(t) table.sort(t, function(a, b) return a > b end)
            table.insert(t, 1, 'x') table.remove(t, 1) table.move(t, 1, 20, 30, {})
            kept = table.pack(table.unpack(t, 1, 10)) kept[1] = {deep = {er = {}}} kept[2] = kept
            local o = class() o.x = os.date('%Y-%m-%d', os.time{year = 2024, month = 2, day = 29})
            local m = math.floor(2.5) + math.max(1, 2, 3) + select('#', unpack({1, 2, 3}))
            local e = select(2, pcall(error, {code = 1})) assert(e.code == 1)
            return 0
        end";
    environments, Filter: "
        local M = setmetatable({}, {__index = _G}) setfenv(1, M)
        x = {}
        function _G.process_message() x[#x + 1] = 1 _G.shared = x return 0 end";
}

/// A module of a directory.
#[test]
fn text_modules() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("counting.lua"), "local M = {} function M.next(n) return (n or 0) + 1 end return M").unwrap();
    std::fs::write(dir.path().join("old.lua"), "module('old') function twice(n) return 2 * n end").unwrap();
    let config = SandboxConfig { module_path: Some(dir.path().to_path_buf()), ..patient(Family::Filter) };
    let source = "local counting = require 'counting' require 'old' require 'string'
        function process_message() n = counting.next(n) m = require('old').twice(n) return 0 end";
    each(source, &config);
    from_each(source, &config);
}

// Every native module: its functions and methods, its objects kept, saved and restored.
faults! {
    circular_buffer, Filter: r##"
        require 'circular_buffer'
        cb = circular_buffer.new(10, 2, 1, true)
        function process_message()
            cb:set_header(1, 'name', 'unit', 'max')
            cb:add(2e9, 1, 5) cb:set(3e9, 2, 7) cb:get(3e9, 2) cb:get_delta(3e9, 2) cb:compute('avg', 1) cb:get_header(1)
            cb:annotate(3e9, 1, 'alert', 'something happened') cb:annotate(3e9, 2, 'info', 'and \255', false)
            values, deltas = cb:get_range(1), cb:get_range_delta(2)
            cb:mannwhitneyu(1, 0, 4e9, 5e9, 9e9) cb:get_configuration() cb:current_time()
            text = tostring(cb:format('cbuf')) cb:fromstring('10 0 nan ' .. ('1 '):rep(19))
            inject_payload('cbuf', 'title', cb:format('cbufd')) cb:reset_delta()
            return 0
        end"##;
    anomaly, Filter: r##"
        require 'circular_buffer' require 'anomaly'
        local config = anomaly.parse_config('roc("cb", 1, 2, 0, 1, true, false) mww("cb", 1, 3, 2, 0.9, any) mww_nonparametric("cb", 2, 3, 2, 0.1)')
        cb = circular_buffer.new(20, 2, 1)
        n = 0
        function process_message()
            for i = 1, 18 do cb:set(i * 1e9, 1, i % 3) cb:set(i * 1e9, 2, i * i) end
            n = n + 1
            message, notes = anomaly.detect((20 + n) * 1e9, 'cb', cb, config)
            return 0
        end"##;
    cjson, Filter: r##"
        require 'cjson'
        function process_message()
            local t = cjson.decode('{"a": [1, 2.5, null, true, {}], "long key": "a text \\u00e9 that is long enough", "d": {"e": {}}}')
            text = cjson.encode(t) null = t.a[3] cjson.encode({1, 2, [4] = 'x', [5] = {cjson.null}}) cjson.encode('a\nb')
            cjson.decode_null(true) cjson.encode_number_precision(10) cjson.encode_max_depth(50) cjson.encode_sparse_array(true, 1, 1)
            again = cjson.encode({0.1, {[100] = 1}}) .. tostring(cjson.null)
            assert(not pcall(cjson.decode, '{') and not pcall(cjson.encode, {[print] = 1}))
            return 0
        end"##;
    structs, Filter: r##"
        require 'struct'
        function process_message()
            local packed = struct.pack('>ihbs', 7, -3, 1, ('text'):rep(30))
            a, b, c, d = struct.unpack('>ihbs', packed)
            kept = packed .. struct.pack('<lfd', 1, 1.5, 2.5) size = struct.size('ihb')
            return 0
        end"##;
    regex, Filter: r##"
        require 'regex'
        function process_message()
            local re = regex.compile('(?<key>\\w+)=(\\d+)', 'a')
            a, b, c = re:find('x y=12') m = re:match('k=1') t = re:captures('some=42 more=7')
            list = {} for k, v in re:gmatch('a=1, b=2, c=3') do list[#list + 1] = k .. v end
            s = re:gsub('a=1, b=2', '${key}:$2') u = re:gsub('a=1, b=2', function(k, v) return {} and k .. v .. v end)
            w = re:gsub('a=1 b=2', {a = 'x'}) regex.compile('^$', 'i') assert(not pcall(regex.compile, '('))
            return 0
        end"##;
    lpeg, Filter: r##"
        local l = require 'lpeg'
        local space, word, number = l.S(' \t')^0, l.C(l.R('az', 'AZ')^1), l.R('09')^1 / tonumber
        local item = l.Cg(word * space * '=' * space * (number + l.Cs((l.P('x') / 'y' + 1 - l.P(';'))^1)))
        local list = l.Cf(l.Ct('') * (item * (l.P(';') + -1))^0, rawset)
        local sum = l.P{'E', E = l.V'T' * (l.C(l.S'+-') * l.V'T')^0, T = number + '(' * l.V'E' * ')'}
        local odd = l.Cmt(l.Carg(1) * l.Cp() * l.Cc('c', nil, {}), function(s, i, ...) return true, ... end) * #l.P(1) * l.B('') * -l.P('z')
        function process_message()
            fields = list:match('a = 1;bcd = xxz;e = 5')
            results = {sum:match('1+(2-3)+4')} others = {odd:match('abc', 1, 'extra')} all = l.locale() all = nil
            named = l.Ct(l.Cg(l.C(1), 'name') * l.Cb('name') * l.utfR(0, 0x7ff)):match('abc') l.setmaxstack(500) l.type(sum)
            fresh = (l.P('ab') * l.C(l.P(1)^0)):match('abcdef') return 0
        end"##;
    re, Filter: r##"
        local re = require 're'
        local definitions = {number = tonumber, pair = function(k, v) return {k, v} end}
        function process_message()
            local grammar = re.compile([[ list <- {| item (',' %s* item)* |} item <- (key '=' value) -> pair key <- {[a-z]+} value <- {[0-9]+} -> number / {~ ('x' -> 'y' / [^,])+ ~} ]], definitions)
            list = grammar:match('a=1, bc=22,d=xx') found = {re.find('abc def', '[d-f]+')} s = re.gsub('a b c', '%s', '_') re.updatelocale()
            m = re.compile('{.} {.*} ~> f / .', {f = function(a, b) return b end}):match('hello') assert(not pcall(re.compile, '(('))
            return 0
        end"##;
    hyperloglog, Filter: r##"
        require 'hyperloglog' h, other = hyperloglog.new(), hyperloglog.new()
        function process_message() h:add('a') h:add(2) other:add('b') h:merge(other) n = h:count() kept = {hyperloglog.new()} return 0 end"##;
    bloom_filter, Filter: r##"
        require 'bloom_filter' f = bloom_filter.new(100, 0.01)
        function process_message() f:add('a') f:add(2.5) n = {f:query('a'), f:count()} kept = bloom_filter.new(1000, 0.1) return 0 end"##;
    cuckoo_filter, Filter: r##"
        require 'cuckoo_filter' require 'cuckoo_filter_expire' f, e = cuckoo_filter.new(4), cuckoo_filter_expire.new(4, 1)
        function process_message()
            for i = 1, 30 do f:add(i) e:add(i, 60e9) end
            f:delete('1') n = {f:query('2'), f:count(), e:query('3'), e:current_interval()} e:delete(2) kept = {cuckoo_filter.new(100)}
            return 0
        end"##;
    ddsketch, Filter: r##"
        require 'ddsketch' d, other = ddsketch.new(0.02, 64), ddsketch.new(0.02)
        function process_message()
            for i = -20, 20 do d:add(i * 1.5) other:add(1.3 ^ i, 3) end
            d:merge(other) q = {d:quantile(0.5), d:min(), d:max(), d:sum(), d:count(), d:collapsed()}
            assert(not pcall(d.merge, d, ddsketch.new(0.3))) return 0
        end"##;
    topk, Filter: r##"
        require 'topk' t = topk.new(12)
        function process_message()
            for i = 1, 40 do t:add(('item'):rep(i % 7) .. i, i) end
            list = t:list(5) n, e = t:get(40) all = {t:len(), t:total()} return 0
        end"##;
    sax, Filter: r##"
        require 'sax' w = sax.window.new(8, 4, 5)
        function process_message()
            w:add(1) w:add({2, 3, 4, 9, 8, 7, 0}) word = w:get_word() copy = word:copy() text = tostring(word) .. tostring(w)
            d = {sax.mindist(word, sax.word.new({1, 2, 3, 4, 5, 6, 7, 8}, 4, 5))} assert(word == w and sax.word.new('ABC#', 5) ~= w)
            return 0
        end"##;
    xxhash, Filter: r##"
        require 'xxhash'
        function process_message() h = {xxhash.h32('text'), xxhash.h64(('x'):rep(100), 7), xxhash.h3(12)} s = tostring(h[3]) return 0 end"##;
}

/// What is tested here is all there is.
#[test]
fn no_native_module_is_left_out() {
    let this = include_str!("faults.rs");
    for module in ::modules::ALL.iter().filter(|m| matches!(m.body, Body::Native(..))) {
        assert!(this.contains(&format!("require '{}'", module.name)), "{}", module.name);
    }
}

/// Panics when it is saved, and when it is restored.
struct Mine;

impl Object for Mine {
    const NAME: &'static str = "mine";
    const METHODS: &'static [Function] = &[];
    const SAVED: bool = true;

    fn save(&self, _: &mut Vec<u8>) {
        panic!("stepped on")
    }

    fn restore(_: &[u8]) -> Option<Mine> {
        panic!("stepped on")
    }
}

/// As [`Mine`], but saved without harm.
struct Tame;

impl Object for Tame {
    const NAME: &'static str = "mine";
    const METHODS: &'static [Function] = &[];
    const SAVED: bool = true;
}

macro_rules! module_of {
    ($object:ident) => {{
        const NEW: Function = Function {
            name: "new",
            signature: "() -> mine",
            doc: "For a test.",
            call: |call| {
                call.push_object($object)?;
                Ok(Returned(1))
            },
        };
        Module { name: "mine", doc: "For a test.", body: Body::Native(&[NEW], &[&ObjectType::of::<$object>()]) }
    }};
}

static MINE: Module = module_of!(Mine);
static TAME: Module = module_of!(Tame);

/// A panic of native code while the state is saved or restored breaks this sandbox, and no other.
#[test]
fn after_a_panic_a_sandbox_is_not_touched_again() {
    static MINES: &[&Module] = &[&MINE];
    // What another module of this name has saved.
    static TAMED: &[&Module] = &[&TAME];
    let config = SandboxConfig { modules: MINES, ..config() };
    let source = "require 'mine' function process_message() kept = kept or mine.new() return 0 end";
    let broken = |mut sandbox: Sandbox, what: &dyn Fn(&mut Sandbox)| {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| what(&mut sandbox))).is_err());
        let failure = fails(&mut sandbox);
        assert!(failure.message.contains("an earlier call panicked"), "{failure}");
        let failure = sandbox.save().unwrap_err();
        assert!(failure.message.contains("an earlier call panicked"), "{failure}");
        drop(sandbox);
        call(&mut load_with(&config, source)).unwrap();
    };
    let mut sandbox = load_with(&config, source);
    call(&mut sandbox).unwrap();
    broken(sandbox, &|sandbox| drop(sandbox.save()));
    let mut tame = load_with(&SandboxConfig { modules: TAMED, ..config.clone() }, source);
    call(&mut tame).unwrap();
    let saved = tame.save().unwrap();
    broken(load_with(&config, source), &|sandbox| drop(sandbox.restore(&saved)));
}
