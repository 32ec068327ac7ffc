//! W11: how long a line takes from the moment it is written until it is delivered.

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::Settings;
use super::contender::{Contender, Values};
use crate::process::Process;

pub const P99: &str = "ms p99";
pub const P999: &str = "ms p99.9";

/// Lines a second.
const RATE: u64 = 100_000;
/// What stands behind the time of each line, so that it has the length of a log line.
const REST: &str =
    " 192.0.2.17 GET /products/1729/reviews?page=4 HTTP/1.1 200 5316 https://www.example.com/search?q=lamps \"curl/8.5.0\"\n";

/// The last line.
const LAST: &[u8] = b"the last line\n";

/// Appends lines for a while, each with the nanoseconds since `start` when it is written; how many there were.
fn write(mut file: File, start: Instant, time: Duration) -> std::io::Result<u64> {
    let (begin, mut written, mut block) = (Instant::now(), 0u64, Vec::new());
    while begin.elapsed() < time {
        let due = (begin.elapsed().as_secs_f64() * RATE as f64) as u64;
        let now = start.elapsed().as_nanos();
        block.clear();
        for _ in written..due {
            write!(block, "{now}{REST}")?;
        }
        file.write_all(&block)?;
        written = written.max(due);
        // Some twenty lines: a server's buffer is rather larger.
        std::thread::sleep(Duration::from_micros(200));
    }
    file.write_all(LAST)?;
    Ok(written)
}

/// What comes out.
struct Reader {
    pipe: PipeReader,
    start: Instant,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    block: Vec<u8>,
}

impl Reader {
    fn new(pipe: PipeReader, start: Instant) -> Reader {
        Reader { pipe, start, rest: Vec::new(), block: vec![0; 1 << 20] }
    }

    /// Waits for lines and adds how old each is, in nanoseconds; false when the last one came.
    fn read(&mut self, ages: &mut Vec<u64>) -> Result<bool> {
        let n = self.pipe.read(&mut self.block)?;
        ensure!(n > 0, "the pipe was closed");
        let now = self.start.elapsed().as_nanos() as u64;
        self.rest.extend_from_slice(&self.block[..n]);
        let end = self.rest.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        for line in self.rest[..end].split_inclusive(|b| *b == b'\n') {
            if line == LAST {
                return Ok(false);
            }
            let time = line.split(|b| *b == b' ').next().and_then(|t| std::str::from_utf8(t).ok()).and_then(|t| t.parse::<u64>().ok());
            ages.push(now.saturating_sub(time.with_context(|| format!("no time in {:?}", String::from_utf8_lossy(line)))?));
        }
        self.rest.drain(..end);
        Ok(true)
    }
}

/// One who follows `file` into a pipe has been started: writes, and reads what comes out.
fn measure(file: &Path, pipe: PipeReader, time: Duration, mut processes: Vec<Process>) -> Result<Values> {
    let start = Instant::now();
    let mut log = File::options().append(true).open(file)?;
    let (mut reader, mut ages) = (Reader::new(pipe, start), Vec::new());
    // One line ahead: it follows the file from now on.
    write!(log, "0{REST}")?;
    while ages.is_empty() {
        reader.read(&mut ages)?;
    }
    ages.clear();
    let before: Duration = processes.iter().map(Process::cpu).sum();
    let writer = std::thread::spawn(move || write(log, start, time));
    while reader.read(&mut ages)? {}
    let written = writer.join().map_err(|_| anyhow!("the writer failed"))??;
    ensure!(ages.len() as u64 == written, "{} lines came out, {written} were written", ages.len());
    let cpu = processes.iter().map(Process::cpu).sum::<Duration>() - before;
    processes.iter_mut().try_for_each(|p| p.terminate(Duration::from_secs(20)))?;
    ages.sort_unstable();
    let ms = |per_mille: usize| ages[(ages.len() * per_mille).div_ceil(1000).clamp(1, ages.len()) - 1] as f64 / 1e6;
    Ok(vec![
        (P99, ms(990)),
        ("ms p50", ms(500)),
        (P999, ms(999)),
        ("ms longest", ms(1000)),
        ("% CPU", cpu.as_secs_f64() / time.as_secs_f64() * 100.0),
    ])
}

fn tail(time: Duration) -> Result<Values> {
    let dir = tempfile::TempDir::with_prefix("bench-")?;
    let file = dir.path().join("in.log");
    File::create(&file)?;
    let ((from_tail, into_cat), (pipe, out)) = (std::io::pipe()?, std::io::pipe()?);
    let tail = Process::spawn(Command::new("tail").args(["-n", "+1", "-F"]).arg(&file).stdout(into_cat).stderr(Stdio::null()))?;
    let cat = Process::reading(Command::new("cat").stdout(out), from_tail)?;
    measure(&file, pipe, time, vec![tail, cat])
}

/// W11.
pub fn follow(settings: &Settings) -> Result<Vec<Contender>> {
    let time = if settings.quick { Duration::from_secs(2) } else { Duration::from_secs(15) };
    let case = settings.case("W11", "nilo");
    let config = "[input.log]\ntype = \"tail\"\npaths = [\"{dir}/in.log\"]\n\
                  [output.out]\ntype = \"stdout\"\nmatch = 'Type == \"log\"'\nencoder = \"line\"\n";
    Ok(vec![
        Contender::machine("tail -F | cat", move || tail(time)).floor(),
        Contender::new("nilo", move || {
            let mut daemon = case.prepare(config, &[("in.log", "")])?;
            let (pipe, out) = std::io::pipe()?;
            daemon.start_into(out)?;
            let process = daemon.take_process()?;
            measure(&daemon.path("in.log"), pipe, time, vec![process]).with_context(|| daemon.log_end())
        }),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_across_reads() {
        let (pipe, mut out) = std::io::pipe().unwrap();
        let (mut reader, mut ages) = (Reader::new(pipe, Instant::now()), Vec::new());
        out.write_all(b"0 first\n1").unwrap();
        reader.read(&mut ages).unwrap();
        assert_eq!(ages.len(), 1);
        out.write_all(b"7 second\nx\n").unwrap();
        assert!(reader.read(&mut ages).unwrap_err().to_string().contains("no time in \"x"));
        assert_eq!(ages.len(), 2);
        drop(out);
        assert!(reader.read(&mut ages).is_err());
    }
}
