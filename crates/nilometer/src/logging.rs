//! What the program says while it runs, on standard error.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record};
use options::Style;
use plugin::Clock;

use crate::terminal;

/// Who listens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A log file or the journal: time, level, plugin, text.
    Daemon,
    /// The person who typed the command: warnings, and what the script of `nilo tail` prints.
    Command,
}

/// What the filter of `nilo tail` is called.
pub const SCRIPT: &str = "script";

struct Logger {
    tone: Tone,
    level: LevelFilter,
    style: Style,
}

/// Starts logging. `more` is how many levels more (or, negative, less) than usual.
pub fn start(tone: Tone, more: i16) {
    const LEVELS: [LevelFilter; 5] = [LevelFilter::Error, LevelFilter::Warn, LevelFilter::Info, LevelFilter::Debug, LevelFilter::Trace];
    let usual: i16 = if tone == Tone::Daemon { 2 } else { 1 };
    let level = LEVELS[(usual + more).clamp(0, 4) as usize];
    static LOGGER: OnceLock<Logger> = OnceLock::new();
    let logger = LOGGER.get_or_init(|| Logger { tone, level, style: terminal::style(&std::io::stderr()) });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(if tone == Tone::Command { level.max(LevelFilter::Info) } else { level });
    }
}

impl Log for Logger {
    fn enabled(&self, record: &Metadata<'_>) -> bool {
        record.level() <= self.level || self.tone == Tone::Command && record.target() == SCRIPT
    }

    fn log(&self, record: &Record<'_>) {
        // Libraries' inner workings help nobody who runs this.
        if !self.enabled(record.metadata())
            || record.level() > Level::Warn && record.module_path().is_some_and(|m| m.starts_with("notify") || m.starts_with("mio"))
        {
            return;
        }
        let text = terminal::printable(&record.args().to_string());
        if self.tone == Tone::Daemon {
            plugin::tap::say(record.level(), record.target().split("::").next().unwrap_or_default(), &text);
        }
        let line = match self.tone {
            Tone::Daemon => daemon_line(record.level(), record.target(), &text, self.style),
            // Whoever typed the command is told by the command itself, once, why it ended.
            Tone::Command if record.level() == Level::Error && text.starts_with("failed: ") => return,
            Tone::Command if record.target() == SCRIPT => format!("{text}\n"),
            Tone::Command => format!("nilo: {text}\n"),
        };
        // In one piece, so that lines of several threads do not mix.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

fn daemon_line(level: Level, target: &str, text: &str, style: Style) -> String {
    let mut time = Vec::new();
    codecs::time::write_rfc3339(Clock::real().now(), 3, &mut time);
    let time = String::from_utf8_lossy(&time).into_owned();
    let (colour, plain) = match (style, level) {
        (Style::Plain, _) => ("", ""),
        (_, Level::Error) => ("\x1b[31m", "\x1b[0m"),
        (_, Level::Warn) => ("\x1b[33m", "\x1b[0m"),
        (_, Level::Info) => ("\x1b[32m", "\x1b[0m"),
        _ => ("\x1b[2m", "\x1b[0m"),
    };
    // Plugins log under their names; for the rest the crate says enough.
    let target = terminal::printable(target.split("::").next().unwrap_or(target));
    format!("{time} {colour}{level:<5}{plain} {target}: {text}\n")
}

/// Whether progress may be shown: to a person who watches, and not between the lines they asked for.
pub fn progress_is_welcome(stdout_has_lines: bool) -> bool {
    std::io::stderr().is_terminal() && !(stdout_has_lines && std::io::stdout().is_terminal())
}
