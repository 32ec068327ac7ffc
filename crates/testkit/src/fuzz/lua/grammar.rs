//! Scripts by grammar: they compile, so that what is tried is what they do.

use std::fmt::Write;

use super::choices::Choices;

const DEEPEST: usize = 6;
const NAMES: &[&str] = &["a", "b", "t", "s", "n", "f", "m", "count", "_G", "_ENV", "state"];
const UNARY: &[&str] = &["not ", "-", "#", "~"];
const BINARY: &[&str] =
    &["+", "-", "*", "/", "//", "%", "^", "&", "|", "~", "<<", ">>", "..", "==", "~=", "<", "<=", ">", ">=", "and", "or"];
const EVENTS: &[&str] = &[
    "__index",
    "__newindex",
    "__call",
    "__len",
    "__eq",
    "__lt",
    "__le",
    "__concat",
    "__add",
    "__unm",
    "__idiv",
    "__tostring",
    "__name",
    "__pairs",
    "__metatable",
    "__mode",
    "__gc",
    "__close",
];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "10",
    "255",
    "1e3",
    "0.5",
    "-0.0",
    "1/0",
    "-(0/0)",
    "2^31",
    "2^53",
    "math.maxinteger",
    "math.mininteger",
    "1 << 62",
    "0x7fffffff",
    "1e308",
];
/// What the libraries have, and the host.
const FUNCTIONS: &[&str] = &[
    "assert",
    "error",
    "getmetatable",
    "ipairs",
    "next",
    "pairs",
    "pcall",
    "print",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "select",
    "setmetatable",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "xpcall",
    "load",
    "require",
    "getfenv",
    "setfenv",
    "module",
    "string.byte",
    "string.char",
    "string.find",
    "string.format",
    "string.gmatch",
    "string.gfind",
    "string.gsub",
    "string.len",
    "string.lower",
    "string.match",
    "string.pack",
    "string.packsize",
    "string.rep",
    "string.reverse",
    "string.sub",
    "string.unpack",
    "string.upper",
    "table.concat",
    "table.getn",
    "table.insert",
    "table.maxn",
    "table.move",
    "table.pack",
    "table.remove",
    "table.sort",
    "table.unpack",
    "math.abs",
    "math.floor",
    "math.fmod",
    "math.max",
    "math.min",
    "math.modf",
    "math.pow",
    "math.random",
    "math.randomseed",
    "math.tointeger",
    "math.ult",
    "os.time",
    "os.date",
    "os.clock",
    "utf8.char",
    "utf8.codepoint",
    "utf8.codes",
    "utf8.len",
    "utf8.offset",
    "coroutine.create",
    "coroutine.wrap",
    "coroutine.yield",
    "coroutine.resume",
    "coroutine.close",
    "coroutine.status",
    "coroutine.running",
    "read_message",
    "read_config",
    "inject_message",
    "inject_payload",
    "add_to_payload",
    "write_message",
    "decode_message",
    "encode_message",
    "msg",
    "log.warn",
    "log.info",
    "metric",
    "every",
];

/// A whole script.
pub fn script(choices: &mut Choices<'_>) -> String {
    let mut text = Text { choices, out: String::new(), depth: 0, loops: 0 };
    text.block();
    text.out.push_str("function process_message() ");
    text.block();
    text.out.push_str(" return 0 end function timer_event(ns) ");
    text.block();
    text.out.push_str(" end\n");
    text.out
}

struct Text<'c, 'd> {
    choices: &'c mut Choices<'d>,
    out: String,
    depth: usize,
    loops: usize,
}

impl Text<'_, '_> {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn name(&mut self) {
        let name = self.choices.of(NAMES);
        self.put(name);
    }

    fn block(&mut self) {
        if self.depth >= DEEPEST {
            return;
        }
        self.depth += 1;
        for _ in 0..self.choices.below(6) {
            if self.choices.is_empty() {
                break;
            }
            self.statement();
            self.put("; ");
        }
        self.depth -= 1;
    }

    fn within(&mut self, before: &str, after: &str) {
        self.put(before);
        self.block();
        self.put(after);
    }

    /// As `within`, for a function, which no `break` leaves.
    fn body(&mut self, before: &str, after: &str) {
        let loops = std::mem::take(&mut self.loops);
        self.within(before, after);
        self.loops = loops;
    }

    fn statement(&mut self) {
        match self.choices.below(16) {
            0 => {
                self.put("local ");
                self.name();
                self.put(" = ");
                self.expression();
            }
            1 | 2 => {
                self.name();
                self.put(" = ");
                self.expression();
            }
            3 => {
                self.name();
                self.put("[");
                self.expression();
                self.put("] = ");
                self.expression();
            }
            4..=6 => self.call(),
            7 => {
                self.put("if ");
                self.expression();
                self.within(" then ", "else ");
                self.within("", "end");
            }
            8 => self.repeated("for i = 1, ", " do ", " end"),
            9 => self.repeated("for k, v in pairs(", ") do ", " end"),
            10 => self.repeated("while ", " do ", " end"),
            11 => {
                self.put("function ");
                self.name();
                self.body("(...) ", " end");
            }
            12 => self.body("pcall(function(...) ", " end)"),
            13 => self.meta(),
            14 if self.loops > 0 => self.put("break"),
            _ => {
                self.put("do return ");
                self.expression();
                self.put(" end");
            }
        }
    }

    fn repeated(&mut self, before: &str, middle: &str, after: &str) {
        self.put(before);
        self.expression();
        self.loops += 1;
        self.within(middle, after);
        self.loops -= 1;
    }

    /// Gives a table another metamethod.
    fn meta(&mut self) {
        self.put("pcall(setmetatable, ");
        self.name();
        let event = self.choices.of(EVENTS);
        // Writing to memory does not fail.
        let _ = write!(self.out, ", {{{event} = ");
        self.expression();
        self.put("})");
    }

    fn call(&mut self) {
        let function = if self.choices.below(4) == 0 { self.choices.of(NAMES) } else { self.choices.of(FUNCTIONS) };
        self.put("pcall(");
        self.put(function);
        for _ in 0..self.choices.below(5) {
            self.put(", ");
            self.expression();
        }
        self.put(")");
    }

    fn expression(&mut self) {
        if self.depth >= DEEPEST || self.choices.is_empty() {
            return self.simple();
        }
        self.depth += 1;
        match self.choices.below(12) {
            0..=3 => self.simple(),
            4 => {
                self.put("(");
                self.expression();
                let operator = self.choices.of(BINARY);
                let _ = write!(self.out, " {operator} ");
                self.expression();
                self.put(")");
            }
            5 => {
                let operator = self.choices.of(UNARY);
                let _ = write!(self.out, "({operator}(");
                self.expression();
                self.put("))");
            }
            6 => self.table(),
            7 => self.body("function(...) ", " return ... end"),
            8 | 9 => {
                self.put("select(2, ");
                self.call();
                self.put(")");
            }
            10 => {
                self.name();
                self.put("[");
                self.expression();
                self.put("]");
            }
            _ => {
                let function = self.choices.of(FUNCTIONS);
                self.put(function);
            }
        }
        self.depth -= 1;
    }

    fn table(&mut self) {
        self.put("{");
        for _ in 0..self.choices.below(5) {
            match self.choices.below(3) {
                0 => {
                    self.name();
                    self.put(" = ");
                }
                1 => {
                    let header =
                        self.choices.of(&["Type", "Payload", "Fields", "Timestamp", "Severity", "value", "name", "representation"]);
                    let _ = write!(self.out, "{header} = ");
                }
                _ => {}
            }
            self.expression();
            self.put(", ");
        }
        self.put("}");
    }

    fn simple(&mut self) {
        match self.choices.below(6) {
            0 => self.name(),
            1 | 2 => {
                let number = self.choices.of(NUMBERS);
                let _ = write!(self.out, "({number})");
            }
            3 => self.put("nil"),
            4 => self.put("true"),
            _ => self.string(),
        }
    }

    fn string(&mut self) {
        self.put("\"");
        for byte in self.choices.bytes(16) {
            match byte {
                b' '..=b'~' if !b"\"\\".contains(byte) => self.out.push(char::from(*byte)),
                byte => {
                    let _ = write!(self.out, "\\{byte:03}");
                }
            }
        }
        self.put("\"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_choices_make_a_script() {
        for seed in 0..300_u32 {
            let data: Vec<u8> = (0..200_u32).map(|i| (seed.wrapping_mul(2_654_435_761).wrapping_add(i * i * 40_503) >> 11) as u8).collect();
            let text = script(&mut Choices::new(&data));
            if let Err(e) = sandbox::Sandbox::new(&sandbox::Script::new("g.lua", text.as_bytes()), &sandbox::SandboxConfig::default()) {
                assert!(!e.message.contains(" expected") || !e.message.contains(" near "), "{e} in\n{text}");
            }
        }
    }
}
