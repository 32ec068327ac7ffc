//! `nilo lua copy`: a script of the library, to be changed.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use filters::library;

use crate::{Failure, print};

/// Copy a script of the library, so that it can be changed.
#[derive(clap::Args)]
pub struct Args {
    /// The script, such as filter.http_status: `nilo list` shows them.
    #[arg(value_parser = names(), hide_possible_values = true)]
    name: String,
    /// Where to; - for standard output.
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(library::all().iter().map(|found| found.full_name()))
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let found = library::all().iter().find(|found| found.full_name() == args.name);
    let script = found.ok_or_else(|| format!("there is no script {}", args.name))?.script;
    if args.dir.as_os_str() == "-" {
        return print(script.text);
    }
    let path = args.dir.join(format!("{}.lua", script.name));
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::AlreadyExists => format!("{} is there already", path.display()),
        _ => format!("{}: {e}", path.display()),
    };
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    File::create_new(&path).and_then(|mut file| file.write_all(script.text.as_bytes())).map_err(failed)?;
    print(&format!("wrote {}; a section with type = \"{}\" runs it with script = \"{}\"\n", path.display(), script.name, path.display()))
}
