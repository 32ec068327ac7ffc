//! `nilo reload`: asks a running instance through its control socket.

use crate::control::Instance;
use crate::{Failure, print, terminal};

/// Reload the configuration and scripts of a running instance, and wait for the outcome.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    instance: Instance,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let answer = args.instance.ask("reload")?;
    // Lines are kept; what is on them cannot command the terminal.
    let text: String = answer["text"].as_str().unwrap_or_default().lines().map(|line| terminal::printable(line) + "\n").collect();
    if answer["ok"] == true {
        return print(&text);
    }
    terminal::complain(text.trim_end());
    Err(Failure::Failed("the reload failed; what is named above runs on as it was".to_string()))
}
