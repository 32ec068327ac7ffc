//! W9: one instance hands all lines to another, framed as messages.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Settings;
use super::contender::{Contender, LIMIT, Values, rates};
use super::inputs::AccessLog;
use super::tcp::free_address;
use crate::process::{Process, Usage};

/// The sender ends by itself, the receiver when it has written as many bytes as were read (or by itself).
fn both(sender: Process, receiver: Process, log: &AccessLog, out: &Path) -> Result<Values> {
    let (start, size) = (Instant::now(), fs::metadata(&log.path)?.len());
    let mut sent = None;
    let mut sender = Some(sender);
    let received = receiver.finish_when(LIMIT, || {
        if let Some(mut process) = sender.take() {
            match process.ended() {
                true => sent = Some(process.finish(Duration::from_secs(1))),
                false => sender = Some(process),
            }
        }
        sent.is_some() && fs::metadata(out).is_ok_and(|m| m.len() >= size)
    })?;
    let sent = sent.context("the sender did not end")??;
    let found = fs::metadata(out)?.len();
    ensure!(found == size, "{found} bytes came out, {size} went in");
    let wall = start.elapsed();
    Ok(rates(log.lines, Usage { wall, cpu: sent.cpu + received.cpu, rss_kib: sent.rss_kib.max(received.rss_kib) }))
}

fn floor(log: AccessLog) -> Contender {
    Contender::machine("two bare loops, unframed", move || {
        let dir = tempfile::TempDir::with_prefix("bench-")?;
        let (address, out) = (free_address()?.to_string(), dir.path().join("out"));
        let loop_of = |args: &[&str], file: &Path| {
            Process::spawn(Command::new(std::env::current_exe()?).arg("floor").args(args).arg(file).stderr(Stdio::null()))
        };
        let receiver = loop_of(&["tcp", &address, "--stay"], &out)?;
        let sender = loop_of(&["send", &address], &log.path)?;
        both(sender, receiver, &log, &out)
    })
}

fn sending(log: &AccessLog, address: SocketAddr) -> String {
    format!(
        "[input.log]\ntype = \"tail\"\npaths = [{:?}]\nonce = true\n\
         [output.relay]\ntype = \"tcp\"\naddress = \"{address}\"\nmatch = 'TRUE'\n",
        log.path
    )
}

fn receiving(address: SocketAddr) -> String {
    format!(
        "[input.relay]\ntype = \"tcp\"\nlisten = \"{address}\"\nsplitter = \"heka\"\ndecoder = \"heka\"\n\
         [output.file]\ntype = \"file\"\ndir = \"{{dir}}/out\"\nname = \"lines\"\nmatch = 'TRUE'\nencoder = \"line\"\n"
    )
}

/// W9.
pub fn two(settings: &Settings) -> Result<Vec<Contender>> {
    let log = AccessLog::make(&settings.dir, settings.lines(3_000_000))?;
    let (a, b) = (settings.case("W9", "sender"), settings.case("W9", "receiver"));
    let bare = floor(log.clone()).floor();
    let nilo = Contender::new("nilo → nilo", move || {
        let address = free_address()?;
        let (mut receiver, mut sender) = (b.prepare(&receiving(address), &[])?, a.prepare(&sending(&log, address), &[])?);
        receiver.start()?;
        sender.start()?;
        let out = receiver.path("out/lines");
        both(sender.take_process()?, receiver.take_process()?, &log, &out)
            .with_context(|| format!("sender: {}\nreceiver: {}", sender.log_end(), receiver.log_end()))
    });
    Ok(vec![bare, nilo])
}
