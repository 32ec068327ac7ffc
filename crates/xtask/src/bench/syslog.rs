//! W4 with parsing: RFC 5424 with structured data over one TCP connection, every element a field, into a file of JSON.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};

use super::contender::{Case, Contender, LIMIT, Values, rates};
use super::inputs::END;
use super::peers::{self, Task};
use super::tcp::{free_address, send};
use super::{Settings, inputs};
use crate::process::Process;

/// Sends the file to a listener; until its last message is in the listener's file, and all others are.
///
/// # Errors
/// When they do not all arrive.
pub fn receive(process: Process, file: &Path, address: SocketAddr, out: &Path, lines: u64) -> Result<Values> {
    let source = file.to_path_buf();
    let sender = std::thread::spawn(move || send(&source, address));
    let usage = process.finish_when(LIMIT, || last_is_there(out).unwrap_or(false))?;
    sender.join().map_err(|_| anyhow!("the sender failed"))??;
    let written = BufReader::with_capacity(1 << 20, File::open(out)?).split(b'\n').count() as u64;
    ensure!(written == lines, "{written} lines came out, {lines} went in");
    Ok(rates(lines, usage))
}

/// Whether the end of the file tells of the last message.
fn last_is_there(out: &Path) -> Result<bool> {
    let mut file = File::open(out)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
    let mut end = Vec::new();
    file.take(4096).read_to_end(&mut end)?;
    Ok(end.ends_with(b"\n") && end.windows(END.len()).any(|w| w == END.as_bytes()))
}

fn nilo(case: Case, file: &Path, lines: u64) -> Contender {
    let source = file.to_path_buf();
    Contender::new("nilo", move || {
        let address = free_address()?;
        let config = format!(
            "[input.syslog]\ntype = \"tcp\"\nlisten = \"{address}\"\nsplitter = \"syslog\"\ndecoder = \"syslog\"\n\
             [output.file]\ntype = \"file\"\ndir = \"{{dir}}/out\"\nname = \"lines\"\nmatch = 'TRUE'\nencoder = \"json\"\n"
        );
        let mut daemon = case.prepare(&config, &[])?;
        daemon.start()?;
        let out = daemon.path("out/lines");
        receive(daemon.take_process()?, &source, address, &out, lines).with_context(|| daemon.log_end())
    })
}

/// W4P.
pub fn parsed(settings: &Settings) -> Result<Vec<Contender>> {
    let lines = settings.lines(4_000_000);
    let mut all = vec![nilo(settings.case("W4P", "nilo"), &inputs::structured(&settings.dir, lines)?, lines)];
    let lines = settings.lines_for_peers();
    all.extend(peers::contenders(settings, Task::Parsed, &inputs::structured(&settings.dir, lines)?, lines));
    Ok(all)
}
