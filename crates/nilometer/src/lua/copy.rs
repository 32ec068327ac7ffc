//! `nilo lua copy`: a script of the library, to be changed.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use filters::library;

use crate::names::Names;
use crate::registry::{find, registry};
use crate::{Failure, print};

/// Copy a script of the library, so that it can be changed.
#[derive(clap::Args)]
pub struct Args {
    /// The script, such as filter.http_status: `nilo list` shows them.
    #[arg(value_parser = Names(names), hide_possible_values = true)]
    name: String,
    /// Where to; - for standard output.
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
}

fn names() -> Vec<String> {
    (library::KINDS.names)().into_iter().map(|(family, name)| format!("{family}.{name}")).collect()
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let found = find(&registry(), &args.name).and_then(library::of);
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
