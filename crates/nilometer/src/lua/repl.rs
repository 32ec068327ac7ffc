//! `nilo lua repl`: a prompt inside a script's sandbox.

use std::cell::RefCell;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use message::{Batch, BatchBuilder};
use options::unit;
use sandbox::native::{Body, Call, Error, Function, Module, Returned};
use sandbox::{Evaluated, Inject, Sandbox, SandboxConfig, Script};

use super::options::ScriptOptions;
use super::plain::{Plain, add_message};
use super::subject::{START, Setup, Subject};
use crate::cat::{Format, Sink, parse};
use crate::registry::registry;
use crate::{Failure, print, terminal};

/// Type Lua into a sandbox, with a script loaded or without.
#[derive(clap::Args)]
pub struct Args {
    /// The script whose globals are at hand.
    script: Option<PathBuf>,
    #[command(flatten)]
    options: ScriptOptions,
}

const HELP: &str = "\
Lua is run in the sandbox, under its limits; an expression shows its value. Besides:
  :feed {…}       give the script a message, such as :feed { Type = 'a', Fields = { status = 503 } }; a text is a Payload
  :advance 10s    move the clock, with the ticks that fall due
  :tick           call timer_event now
  :shutdown       the last tick
  :injected       show and take what was injected
  :encoded        show what an encoder made of the last message
  :load [FILE]    load a script, or the same one anew, and carry its globals over
  :usage          what the script takes of its limits
  :quit           or the end of input
";

/// Bytes of an entry over several lines.
const MAX_ENTRY: usize = 64 << 10;

struct Prompt {
    subject: Subject,
    /// Reads tables for `:feed`: the script's own sandbox stays untouched.
    reader: Sandbox,
    /// The last message, for read_message at the prompt.
    last: Option<Batch>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let setup = match &args.script {
        Some(path) => Setup::read(path)?,
        None => Setup::new("repl.lua".as_ref(), b"function process_message() return 0 end".to_vec())?,
    };
    let subject = Subject::new(args.options.apply(setup)?, START)?;
    let mut prompt = Prompt { subject, reader: reader()?, last: None };
    let is_terminal = std::io::stdin().is_terminal();
    if is_terminal {
        print(":help tells what there is besides Lua\n")?;
    }
    let mut entry = String::new();
    let mut lines = std::io::stdin().lock();
    loop {
        if is_terminal {
            print(if entry.is_empty() { "> " } else { ">> " })?;
        }
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return if entry.trim().is_empty() { Ok(()) } else { prompt.evaluate(&entry).map(drop) };
        }
        if entry.is_empty() && line.trim_start().starts_with(':') {
            match line.trim() {
                ":quit" | ":q" => return Ok(()),
                command => prompt.command(command)?,
            }
            continue;
        }
        entry.push_str(&line);
        if entry.len() > MAX_ENTRY {
            terminal::complain(&format!("an entry has at most {} KiB", MAX_ENTRY >> 10));
            entry.clear();
        }
        if entry.trim().is_empty() || prompt.evaluate(&entry)? {
            entry.clear();
        }
    }
}

impl Prompt {
    /// False: more lines have to follow.
    fn evaluate(&mut self, entry: &str) -> Result<bool, Failure> {
        let message = self.last.as_ref().map(|batch| batch.get(0));
        match self.subject.evaluate(entry, message) {
            Ok(Evaluated::Incomplete) => return Ok(false),
            Ok(Evaluated::Values(values)) => {
                self.say_printed()?;
                if !values.is_empty() {
                    say(&values.join(", "))?;
                }
            }
            Err(e) => {
                self.say_printed()?;
                complain(&e.message);
            }
        }
        Ok(true)
    }

    fn command(&mut self, command: &str) -> Result<(), Failure> {
        let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let outcome = match word {
            ":help" | ":h" => return print(HELP),
            ":feed" => self.feed(rest),
            ":advance" => self.advance(rest),
            ":tick" => self.subject.timer_event(self.subject.now(), false).map_err(|e| e.message).map(|()| None),
            ":shutdown" => self.subject.tick(self.subject.now(), true).map_err(|e| e.message).map(|()| None),
            ":injected" => return self.injected(),
            ":encoded" => Ok(Some(self.subject.encoded().map_or("nothing".into(), |b| String::from_utf8_lossy(b).into_owned()))),
            ":load" => self.load(rest.trim()),
            ":usage" => Ok(Some(self.usage())),
            _ => Err(format!("there is no {word}; :help tells what there is")),
        };
        self.say_printed()?;
        match outcome {
            Ok(Some(text)) => say(&text),
            Ok(None) => Ok(()),
            Err(why) => {
                complain(&why);
                Ok(())
            }
        }
    }

    fn feed(&mut self, text: &str) -> Result<Option<String>, String> {
        let given = match self.read(text)? {
            text @ Plain::Text(_) => Plain::Table(vec![(Plain::text("Payload"), text)]),
            other => other,
        };
        let mut builder = BatchBuilder::default();
        add_message(&given, builder.messages())?;
        if given.get("Timestamp").is_none() {
            builder.message(0).set_timestamp(self.subject.now());
        }
        let batch = self.last.insert(builder.finish());
        let said = self.subject.feed(batch.get(0)).map_err(|e| e.message)?;
        let injected = match self.subject.injected() {
            0 => String::new(),
            n => format!(", {n} injected"),
        };
        let why = said.text.map(|text| format!(", {text:?}")).unwrap_or_default();
        Ok(Some(format!("returned {}{why}{injected}", said.status)))
    }

    /// The value of an expression.
    fn read(&mut self, text: &str) -> Result<Plain, String> {
        let mut builder = BatchBuilder::default();
        let mut inject = Inject { builder: &mut builder, now_ns: START };
        READ.set(None);
        let outcome = self.reader.evaluate(&format!("give({text}\n)"), None, &mut inject).map_err(|e| e.message)?;
        match (outcome, READ.take()) {
            (Evaluated::Values(_), Some(value)) => Ok(value),
            _ => Err("a table such as { Type = 'a' } was expected, on one line".to_string()),
        }
    }

    fn advance(&mut self, text: &str) -> Result<Option<String>, String> {
        let by = unit::duration(text.trim()).map_err(|expected| format!("found `{}`, {expected}", text.trim()))?;
        self.subject.advance(by).map_err(|e| e.message)?;
        Ok(match self.subject.injected() {
            0 => None,
            n => Some(format!("{n} injected")),
        })
    }

    fn injected(&mut self) -> Result<(), Failure> {
        let mut sink = Sink::new(&registry(), parse("TRUE")?, Format::Json)?;
        let batch = self.subject.take_injected();
        batch.iter().try_for_each(|m| sink.take(m))?;
        Ok(sink.out.flush()?)
    }

    fn load(&mut self, path: &str) -> Result<Option<String>, String> {
        let old = self.subject.setup();
        let path = if path.is_empty() { old.script.path.clone() } else { PathBuf::from(path) };
        let new = Setup::read(&path)?;
        let setup = Setup { config: old.config.clone(), ..new };
        let saved = self.subject.sandbox().save().map_err(|e| e.message)?;
        let mut next = Subject::new(setup, self.subject.now())?;
        let carried = next.sandbox().restore(&saved).map_err(|e| e.message)?;
        self.subject = next;
        Ok(Some(format!("loaded {}, {} globals carried over", path.display(), carried.carried.len())))
    }

    fn usage(&mut self) -> String {
        let usage = self.subject.sandbox().usage();
        let of = |name: &str, g: sandbox::Gauge, shown: fn(u64) -> String| {
            format!("{name:<20}{:>12} now {:>12} at most {:>12} allowed", shown(g.current), shown(g.max), shown(g.cap))
        };
        let rows = [
            of("memory_limit", usage.memory, unit::show_size),
            of("cpu_limit", usage.cpu, |ns| format!("{} µs", ns / 1000)),
            of("output_limit", usage.output, unit::show_size),
            of("injected messages", usage.inject, |n| n.to_string()),
        ];
        rows.join("\n")
    }

    fn say_printed(&mut self) -> Result<(), Failure> {
        self.subject.take_printed().iter().try_for_each(|line| say(line))
    }
}

fn say(text: &str) -> Result<(), Failure> {
    text.lines().try_for_each(|line| print(&format!("{}\n", terminal::printable(line))))
}

fn complain(why: &str) {
    why.lines().for_each(|line| terminal::complain(&terminal::printable(line)));
}

thread_local! {
    /// What the reader's script was given.
    static READ: RefCell<Option<Plain>> = const { RefCell::new(None) };
}

/// Modules of the reader.
const PROMPT: &[&Module] = &[&GIVE];

static GIVE: Module = Module {
    name: "nilometer.give",
    doc: "Hands a value to the prompt.",
    body: Body::Native(&[Function { name: "give", signature: "(value: any)", doc: "Hands it over.", call: give }], &[]),
};

fn give(call: &mut Call<'_>) -> Result<Returned, Error> {
    let slot = call.slot(1);
    let value = if call.args() == 0 { Plain::Nil } else { Plain::read(call, slot)? };
    READ.set(Some(value));
    Ok(Returned(0))
}

fn reader() -> Result<Sandbox, String> {
    let source = "give = require('nilometer.give').give function process_message() return 0 end";
    let config = SandboxConfig { name: "prompt".to_string(), modules: PROMPT, ..SandboxConfig::default() };
    Sandbox::new(&Script::new("input", source), &config).map_err(|e| e.message)
}
