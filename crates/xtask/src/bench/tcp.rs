//! W4: lines over one TCP connection into a file.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::contender::{Case, Contender, LIMIT, Values, rates};
use super::peers::{self, Task};
use super::{Settings, inputs};
use crate::package;
use crate::process::Process;

/// An address nobody listens at for the moment.
///
/// # Errors
/// When the system gives none.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Sends a file to whoever listens at `address`, or will soon.
///
/// # Errors
/// When nobody does, and those of the file and the socket.
pub fn send(file: &Path, address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut peer = loop {
        match TcpStream::connect(address) {
            Ok(peer) => break peer,
            Err(e) if Instant::now() > deadline => bail!("nobody listens at {address}: {e}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let (mut file, mut block) = (File::open(file)?, vec![0; 1 << 20]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(()),
            read => peer.write_all(&block[..read]).context("the listener closed")?,
        }
    }
}

/// Sends the file to a listener; until as many bytes are in its file.
///
/// # Errors
/// When they do not all arrive.
pub fn receive(process: Process, file: &Path, address: SocketAddr, out: &Path, lines: u64) -> Result<Values> {
    let size = fs::metadata(file)?.len();
    let starting = Instant::now();
    let source = file.to_path_buf();
    let sender = std::thread::spawn(move || send(&source, address));
    let mut usage = process.finish_when(LIMIT, || fs::metadata(out).is_ok_and(|m| m.len() >= size))?;
    sender.join().map_err(|_| anyhow::anyhow!("the sender failed"))??;
    usage.wall = usage.wall.min(starting.elapsed());
    let received = fs::metadata(out)?.len();
    anyhow::ensure!(received == size, "{received} bytes came out, {size} went in");
    Ok(rates(lines, usage))
}

fn floor(name: &'static str, file: &Path, lines: u64, command: impl Fn(SocketAddr, &Path) -> Result<Command> + 'static) -> Contender {
    let file = file.to_path_buf();
    Contender::machine(name, move || {
        let dir = tempfile::TempDir::with_prefix("bench-")?;
        let (address, out) = (free_address()?, dir.path().join("out"));
        let process = Process::spawn(command(address, &out)?.stderr(Stdio::null()))?;
        // These end when the sender does, which is when their work is done.
        let source = file.clone();
        let sender = std::thread::spawn(move || send(&source, address));
        let usage = process.finish(LIMIT)?;
        sender.join().map_err(|_| anyhow::anyhow!("the sender failed"))??;
        Ok(rates(lines, usage))
    })
}

/// A loop of the machine itself.
pub fn bare(file: &Path, lines: u64) -> Contender {
    floor("a bare loop of read and write", file, lines, |address, out| {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor", "tcp", &address.to_string()]).arg(out);
        Ok(command)
    })
}

/// The program, with these lines before its configuration and within its output.
pub fn nilo(case: Case, name: &str, file: &Path, lines: u64, globals: &str, output: &str) -> Contender {
    let (source, globals, output) = (file.to_path_buf(), globals.to_string(), output.to_string());
    Contender::new(name, move || {
        let address = free_address()?;
        let config = format!(
            "{globals}[input.lines]\ntype = \"tcp\"\nlisten = \"{address}\"\n\
             [output.file]\ntype = \"file\"\ndir = \"{{dir}}/out\"\nname = \"lines\"\nmatch = 'TRUE'\nencoder = \"line\"\n{output}"
        );
        let mut daemon = case.prepare(&config, &[])?;
        daemon.start()?;
        let out = daemon.path("out/lines");
        receive(daemon.take_process()?, &source, address, &out, lines).with_context(|| daemon.log_end())
    })
}

/// W4.
pub fn raw(settings: &Settings) -> Result<Vec<Contender>> {
    let lines = settings.lines(12_000_000);
    let file = inputs::syslog(&settings.dir, lines)?;
    let bare = bare(&file, lines);
    let mut all = match package::in_path("socat") {
        Some(_) => {
            let socat = floor("socat -u -b 1048576", &file, lines, |address, out| {
                let mut command = Command::new("socat");
                let (from, to) = (format!("TCP-LISTEN:{},bind=127.0.0.1,reuseaddr", address.port()), format!("CREATE:{}", out.display()));
                command.args(["-u", "-b", "1048576", &from, &to]);
                Ok(command)
            });
            vec![socat.floor(), bare]
        }
        None => vec![bare.floor()],
    };
    all.push(nilo(settings.case("W4", "nilo"), "nilo", &file, lines, "", ""));
    let lines = settings.lines_for_peers();
    all.extend(peers::contenders(settings, Task::Tcp, &inputs::syslog(&settings.dir, lines)?, lines));
    Ok(all)
}
