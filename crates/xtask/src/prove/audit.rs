//! A counting script, and what it says: the books of the reload provers.
//!
//! The script numbers nothing itself. It reads the number of each line, and knows from its state,
//! which has to survive every reload, whether one is missing or came twice.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use super::follow::Follow;
use crate::moment;

/// How the script behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Script {
    Sound,
    SyntaxError,
    FailsAtLoad,
    FailsAtFirstMessage,
}

impl Script {
    /// The `n`th way of being broken.
    pub fn broken(n: usize) -> Script {
        [Script::SyntaxError, Script::FailsAtLoad, Script::FailsAtFirstMessage][n % 3]
    }

    /// The text of this version. `version` is a Lua expression.
    pub fn text(self, version: &str) -> String {
        let (load, first) = match self {
            Script::Sound => ("", ""),
            Script::SyntaxError => ("this is not Lua", ""),
            Script::FailsAtLoad => ("error('broken on purpose')", ""),
            Script::FailsAtFirstMessage => ("", "error('broken on purpose')"),
        };
        TEMPLATE.replace("@version@", version).replace("@load@", load).replace("@first@", first)
    }
}

const TEMPLATE: &str = r#"
local version = @version@
local announced = false
lines, last, missing, repeated = 0, 0, 0, 0
@load@

function process_message()
    @first@
    if not announced then
        announced = true
        inject_message { Type = "live", Fields = { version = version } }
    end
    local n = tonumber(read_message("Payload"):match("^%d+"))
    lines = lines + 1
    if n > last then
        missing = missing + (n - last - 1)
        last = n
    else
        repeated = repeated + 1
    end
    return 0
end

function timer_event()
    inject_message { Type = "books", Fields = { lines = lines, last = last, missing = missing, repeated = repeated } }
end
"#;

/// What the script last said of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Books {
    pub lines: u64,
    pub last: u64,
    pub missing: u64,
    pub repeated: u64,
}

impl Books {
    /// Lines that were written and not counted.
    pub fn lost(&self, written: u64) -> u64 {
        self.missing + written.saturating_sub(self.last)
    }

    /// Whether every line was counted once.
    pub fn exact(&self, written: u64) -> bool {
        *self == Books { lines: written, last: written, missing: 0, repeated: 0 }
    }
}

/// Follows the file to which the script's messages are written as JSON.
#[derive(Debug)]
pub struct Audit {
    file: Follow,
    pub books: Books,
    /// When each version processed its first message by the script's own clock, and when that was seen here.
    pub live: HashMap<u64, (i64, i64)>,
}

impl Audit {
    pub fn new(path: PathBuf) -> Audit {
        Audit { file: Follow::new(path), books: Books::default(), live: HashMap::new() }
    }

    /// Reads what came since the last time.
    pub fn read(&mut self) {
        let (books, live) = (&mut self.books, &mut self.live);
        self.file.lines(|line| {
            let Ok(message) = serde_json::from_slice::<Value>(line) else { return };
            let number = |name: &str| message[name].as_f64().unwrap_or(0.0) as u64;
            match message["type"].as_str() {
                Some("heka.sandbox.books") => {
                    *books =
                        Books { lines: number("lines"), last: number("last"), missing: number("missing"), repeated: number("repeated") };
                }
                Some("heka.sandbox.live") => {
                    let at = message["timestamp"].as_str().and_then(moment::parse).unwrap_or(0);
                    live.entry(number("version")).or_insert((at, moment::now()));
                }
                _ => {}
            }
        });
    }
}
