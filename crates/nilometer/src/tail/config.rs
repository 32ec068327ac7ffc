//! The configuration that a command line of `nilo tail` stands for.

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use codecs::decoders;
use options::{Raw, Source, Style, Tree};

use super::Args;
use crate::logging::SCRIPT;
use crate::{Failure, quote, terminal};

/// What error messages call the configuration.
pub const NAME: &str = "<command line>";

/// `NAME=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_string(), value.to_string()))
}

/// The files of the command line, by how they are read.
#[derive(Default)]
pub struct Files {
    /// For the input `tail`; what is a pattern and what is a name is clear.
    patterns: Vec<String>,
    stdin: bool,
    bytes: u64,
}

impl Files {
    /// # Errors
    /// The first file that cannot be read and never could.
    pub fn sort(args: &Args) -> Result<Files, Failure> {
        let mut files = Files::default();
        for name in &args.files {
            match name.as_str() {
                "-" => files.take_stdin()?,
                _ => files.add(name, args.once)?,
            }
        }
        Ok(files)
    }

    /// Bytes to read, as far as it can be known.
    pub fn bytes(&self) -> u64 {
        if self.stdin { 0 } else { self.bytes }
    }

    fn add(&mut self, name: &str, once: bool) -> Result<(), Failure> {
        let failed = |e: io::Error| Failure::Failed(format!("{name}: {e}"));
        let path = Path::new(name);
        let meta = match std::fs::metadata(path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound && name.contains(['*', '?', '[']) => {
                self.patterns.push(name.to_string());
                return Ok(());
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && !once => {
                log::warn!("{name} does not exist yet; it is waited for");
                self.patterns.push(literal(name));
                return Ok(());
            }
            Err(e) => return Err(failed(e)),
        };
        if meta.is_dir() {
            return Err(Failure::Failed(format!(
                "{name} is a directory; name files in it, such as '{}/*.log'",
                name.trim_end_matches('/')
            )));
        }
        let file = File::open(path).map_err(failed)?;
        let kind = meta.file_type();
        if kind.is_fifo() || kind.is_char_device() {
            // Such as <(zcat access.log.gz): read once, like standard input, and in its place.
            self.take_stdin()?;
            return rustix::stdio::dup2_stdin(&file).map_err(|e| failed(e.into()));
        }
        if let Some(x) = path.extension().and_then(|x| x.to_str()).filter(|x| COMPRESSED.contains(x)) {
            return Err(Failure::Failed(format!("{name} is compressed (.{x}): decompress it into `nilo tail -`")));
        }
        self.bytes += meta.len();
        self.patterns.push(literal(name));
        Ok(())
    }

    fn take_stdin(&mut self) -> Result<(), Failure> {
        match std::mem::replace(&mut self.stdin, true) {
            false => Ok(()),
            true => Err(Failure::Failed("only one of the files can be standard input or a pipe".to_string())),
        }
    }
}

/// What the input `tail` leaves out.
const COMPRESSED: [&str; 7] = ["gz", "bz2", "xz", "zst", "lz4", "Z", "zip"];

/// The pattern that only this name matches.
fn literal(name: &str) -> String {
    name.chars().fold(String::new(), |mut out, c| {
        match c {
            '*' | '?' | '[' | ']' => out.extend(['[', c, ']']),
            _ => out.push(c),
        }
        out
    })
}

/// The configuration as TOML.
pub fn text(args: &Args, files: &Files) -> String {
    let mut out = String::from("[nilo]\n");
    if args.once {
        // Whoever reads the result may take their time.
        out.push_str("grace = \"1d\"\n");
    }
    if let Some(dir) = &args.modules {
        let _ = writeln!(out, "modules = {}", quote::string(dir));
    }
    inputs(args, files, &mut out);
    codecs(args, &mut out);
    match &args.lua {
        Some(script) => filter(args, script, &mut out),
        None => {
            let _ = writeln!(out, "[output.stdout]\ntype = \"stdout\"\nmatch = {}", quote::string(&args.matcher));
        }
    }
    let _ = writeln!(out, "encoder = \"written\"");
    out
}

fn inputs(args: &Args, files: &Files, out: &mut String) {
    let splitter = if args.multiline_start.is_some() { "records" } else { splitter_of(&args.decode) };
    let common = format!("splitter = \"{splitter}\"\ndecoder = {}\n", quote::string(decoder_name(args)));
    if files.stdin {
        let _ = writeln!(out, "[input.stdin]\ntype = \"stdin\"\n{common}");
    }
    if !files.patterns.is_empty() {
        let from = if args.once || args.from_start { "start" } else { "end" };
        let paths = quote::strings(&files.patterns);
        let _ = writeln!(out, "[input.files]\ntype = \"tail\"\npaths = {paths}\nfrom = \"{from}\"\nonce = {}\n{common}", args.once);
    }
    if let Some(start) = &args.multiline_start {
        let _ = writeln!(out, "[splitter.records]\ntype = \"group\"\nstart = {}", quote::string(start));
    }
}

/// Protobuf comes framed.
fn splitter_of(decode: &str) -> &'static str {
    if decode == "heka" { "heka" } else { "line" }
}

/// Whether this is a log_format itself rather than the name of one.
fn is_log_format(decode: &str) -> bool {
    decode.contains(['$', '%'])
}

/// Whether the decoder would not keep the record as the payload, and can be told to.
fn keeps_on_request(args: &Args) -> bool {
    args.lua.is_none() && args.format.is_none() && ["json", "logfmt"].contains(&args.decode.as_str())
}

fn decoder_name(args: &Args) -> &str {
    if is_log_format(&args.decode) || keeps_on_request(args) { "records" } else { &args.decode }
}

fn codecs(args: &Args, out: &mut String) {
    if is_log_format(&args.decode) {
        let kind = decoders::log_format::KIND.name;
        let _ = writeln!(out, "[decoder.records]\ntype = \"{kind}\"\nformat = {}", quote::string(&args.decode));
    } else if keeps_on_request(args) {
        let _ = writeln!(out, "[decoder.records]\ntype = \"{}\"\nkeep_payload = true", args.decode);
    }
    let format = args.format.as_deref().unwrap_or("payload");
    let _ = writeln!(out, "[encoder.written]\ntype = {}", quote::string(format));
    let terminal = terminal::style(&io::stdout());
    match format {
        "payload" if io::IsTerminal::is_terminal(&io::stdout()) => out.push_str("escape = true\n"),
        "text" if terminal == Style::Coloured => out.push_str("colour = true\n"),
        _ => {}
    }
}

fn filter(args: &Args, script: &str, out: &mut String) {
    let (matcher, script) = (quote::string(&args.matcher), quote::string(script));
    let _ = writeln!(out, "[filter.{SCRIPT}]\ntype = \"lua\"\nmatch = {matcher}\nscript = {script}");
    if let Some(every) = &args.every {
        let _ = writeln!(out, "every = {}", quote::string(every));
    }
    if !args.set.is_empty() {
        let pairs: Vec<String> = args.set.iter().map(|(name, value)| format!("{} = {}", quote::string(name), scalar(value))).collect();
        let _ = writeln!(out, "config = {{ {} }}", pairs.join(", "));
    }
    // Its own failures are told otherwise.
    let _ = writeln!(out, "[output.stdout]\ntype = \"stdout\"\nfrom = [\"filter.{SCRIPT}\"]\nmatch = \"Type != 'nilometer.failed'\"");
}

/// The value as TOML would take it, or else as a string.
fn scalar(value: &str) -> String {
    let tree = Tree::parse(Source::new(NAME, format!("v = {value}")));
    let plain = tree.is_ok_and(|t| t.entries.len() == 1 && matches!(t.entries[0].1.raw, Raw::Integer(_) | Raw::Float(_) | Raw::Bool(_)));
    if plain { value.to_string() } else { quote::string(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_itself_alone() {
        assert_eq!(literal("a[1]*?.log"), "a[[]1[]][*][?].log");
    }

    #[test]
    fn values_have_the_type_they_look_like() {
        let quoted = |v: &str| quote::string(v);
        assert_eq!(["5", "-0.5", "true"].map(scalar), ["5", "-0.5", "true"]);
        for text in ["5s", "", "[1]", "1\nx = 2", "a b", "2026-01-01"] {
            assert_eq!(scalar(text), quoted(text));
        }
    }
}
