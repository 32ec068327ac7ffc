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
    Ok(rates(
        log.lines,
        Usage { wall, cpu: sent.cpu + received.cpu, rss_kib: sent.rss_kib.max(received.rss_kib), written: sent.written + received.written },
    ))
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

/// What the two say to each other, and keep.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The receiver says what it has accepted.
    pub acknowledge: bool,
    /// The receiver keeps what it has accepted and not delivered yet.
    pub durable: bool,
}

fn sending(globals: &str, log: &AccessLog, address: SocketAddr, link: Link) -> String {
    format!(
        "{globals}[input.log]\ntype = \"tail\"\npaths = [{:?}]\nonce = true\n\
         [output.relay]\ntype = \"tcp\"\naddress = \"{address}\"\nmatch = 'TRUE'\nacknowledge = {}\n",
        log.path, link.acknowledge
    )
}

fn receiving(globals: &str, address: SocketAddr, link: Link) -> String {
    let Link { acknowledge, durable } = link;
    format!(
        "{globals}[input.relay]\ntype = \"tcp\"\nlisten = \"{address}\"\nsplitter = \"heka\"\ndecoder = \"heka\"\nacknowledge = {acknowledge}\n\
         [output.file]\ntype = \"file\"\ndir = \"{{dir}}/out\"\nname = \"lines\"\nmatch = 'TRUE'\nencoder = \"line\"\ndurable = {durable}\n"
    )
}

/// Two of the program, both with these lines before their configuration.
pub fn nilo(settings: &Settings, workload: &str, name: &str, log: &AccessLog, globals: &str, link: Link) -> Contender {
    let case = |end: &str| settings.case(workload, &format!("{name} {end}"));
    let (a, b, log, globals) = (case("sender"), case("receiver"), log.clone(), globals.to_string());
    Contender::new(name, move || {
        let address = free_address()?;
        let mut receiver = b.prepare(&receiving(&globals, address, link), &[])?;
        let mut sender = a.prepare(&sending(&globals, &log, address, link), &[])?;
        receiver.start()?;
        sender.start()?;
        let out = receiver.path("out/lines");
        both(sender.take_process()?, receiver.take_process()?, &log, &out)
            .with_context(|| format!("sender: {}\nreceiver: {}", sender.log_end(), receiver.log_end()))
    })
}

/// W9.
pub fn two(settings: &Settings) -> Result<Vec<Contender>> {
    let log = AccessLog::make(&settings.dir, settings.lines(3_000_000))?;
    let plain = Link { acknowledge: false, durable: false };
    Ok(vec![floor(log.clone()).floor(), nilo(settings, "W9", "nilo → nilo", &log, "", plain)])
}
