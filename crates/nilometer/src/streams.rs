//! `nilo streams`: what the inputs that follow files would read.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use engine::{Config, Plan, options_of, stored};
use inputs::tail;
use inputs::tail::survey::{Surveyed, survey};
use options::unit::show_size;
use options::{Options, Raw};
use plugin::Family;
use serde_json::{Value, json};

use crate::registry::registry;
use crate::status::table;
use crate::terminal::{count, printable};
use crate::{Failure, print};

/// Show which files the inputs of type `tail` read, in which order, and where they stand. Starts nothing and changes nothing.
#[derive(clap::Args)]
#[command(after_help = "\
Files of one stream are read one after the other, from the top down. AT is how far a file was read and accepted: in bytes of the
file or, of a packed one, of its content. LEFT is what remains of the file; - where only unpacking would tell.

Examples:
  nilo streams nilo.toml
  nilo streams nilo.toml --input access --json")]
pub struct Args {
    /// A file, or a directory of *.toml files.
    path: PathBuf,
    /// The state directory, in the place of `state` in [nilo].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Only this input, such as access.
    #[arg(long, value_name = "NAME")]
    input: Option<String>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// An input and its files.
struct Input {
    name: String,
    files: Vec<Surveyed>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(&args.path)?;
    let state = args.state.clone().or_else(|| config.globals.get_path("state").map(PathBuf::from));
    Plan::new(&config, &registry()).and_then(|plan| plan.check())?;
    let mut inputs = Vec::new();
    for section in config.sections.iter().filter(|s| s.family == Family::Input && wanted(args, &s.name)) {
        if !section.tree.get("type").is_some_and(|node| matches!(&node.raw, Raw::String(kind) if kind == tail::KIND.name)) {
            continue;
        }
        let options = Options::check(&options_of(&tail::KIND), &section.tree, &mut Vec::new());
        let id = format!("input.{}", section.name);
        let checkpoints = state.as_ref().map(|dir| stored::checkpoints(dir, &id)).unwrap_or_default();
        let files = survey(&options, &checkpoints).map_err(|problem| vec![problem])?;
        inputs.push(Input { name: id, files });
    }
    if let (Some(name), true) = (&args.input, inputs.is_empty()) {
        return Err(Failure::Failed(format!("{} has no input `{name}` of type tail", args.path.display())));
    }
    match args.json {
        true => print(&format!("{:#}\n", json!({ "inputs": inputs.iter().map(object).collect::<Vec<_>>() }))),
        false => print(&inputs.iter().map(listing).collect::<Vec<_>>().join("\n")),
    }
}

fn wanted(args: &Args, name: &str) -> bool {
    args.input.as_deref().is_none_or(|wanted| wanted == name || wanted.strip_prefix("input.") == Some(name))
}

/// The streams of an input in the order of their first files, with their files.
fn streams(files: &[Surveyed]) -> Vec<Vec<&Surveyed>> {
    let (mut streams, mut places): (Vec<Vec<&Surveyed>>, BTreeMap<&str, usize>) = Default::default();
    for file in files {
        let place = *places.entry(&file.stream).or_insert(streams.len());
        match streams.get_mut(place) {
            Some(stream) => stream.push(file),
            None => streams.push(vec![file]),
        }
    }
    streams
}

fn listing(input: &Input) -> String {
    let streams = streams(&input.files);
    let left: u64 = input.files.iter().filter_map(|f| f.left).sum();
    let (files, kinds) = (count(input.files.len() as u64, "file"), count(streams.len() as u64, "stream"));
    let mut text = format!("{}: {files} in {kinds}, {} left to read\n", printable(&input.name), show_size(left));
    if input.files.is_empty() {
        return text;
    }
    let mut rows = vec![["  stream", "file", "size", "at", "left", "note"].map(String::from).to_vec()];
    for stream in streams {
        for (n, file) in stream.iter().enumerate() {
            let logger = if n == 0 { format!("  {}", printable(&file.logger)) } else { String::new() };
            rows.push(row(logger, file));
        }
    }
    let _ = write!(text, "{}", table(&rows, &[2, 3, 4]));
    text
}

fn row(logger: String, file: &Surveyed) -> Vec<String> {
    let notes = file.packing.map(String::from).into_iter().chain(file.note.as_deref().map(printable));
    let number = |n: Option<u64>| n.map_or("-".to_string(), |n| n.to_string());
    let path = printable(&file.path.display().to_string());
    let note = notes.collect::<Vec<_>>().join(", ");
    vec![logger, path, file.size.to_string(), file.position.map_or("new".to_string(), |n| n.to_string()), number(file.left), note]
}

fn object(input: &Input) -> Value {
    let file = |f: &&Surveyed| {
        json!({
            "path": f.path.to_string_lossy(), "size": f.size, "compressed": f.packing, "position": f.position, "left": f.left, "note": f.note,
        })
    };
    let stream = |files: Vec<&Surveyed>| {
        let logger = files.first().map(|f| f.logger.clone());
        json!({ "logger": logger, "files": files.iter().map(file).collect::<Vec<_>>() })
    };
    json!({ "id": input.name, "streams": streams(&input.files).into_iter().map(stream).collect::<Vec<_>>() })
}
