//! Inputs with a fixed seed: the same bytes everywhere.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What the last line of every file holds and no other.
pub const END: &str = "/the-end-of-the-file";

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

const METHODS: &[&str] = &["GET", "GET", "GET", "GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD"];
const SECTIONS: &[&str] = &["products", "users", "search", "cart", "api/v2/orders", "api/v2/sessions", "static/js", "static/css", "blog"];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0.0.0 Safari/537.36",
    "curl/8.5.0",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
];
const REFERERS: &[&str] = &["-", "https://www.example.com/", "https://www.example.com/search?q=lamps", "https://shop.example.org/offers"];

/// A file of access log, nginx's combined format, 194 bytes a line on average, 3 % of them with a
/// status of 500 and more.
#[derive(Clone, Debug)]
pub struct AccessLog {
    pub path: PathBuf,
    pub lines: u64,
    /// Lines with a status of 500 and more.
    pub errors: u64,
}

impl AccessLog {
    /// Makes it, or takes the one that is there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn make(dir: &Path, lines: u64) -> Result<AccessLog> {
        let path = dir.join(format!("access-{lines}.log"));
        let errors = lines * 3 / 100;
        once(&path, |out| {
            let mut random = Random(0x6e67_696e);
            (0..lines).try_for_each(|n| access_line(out, &mut random, n, n + 1 == lines))
        })?;
        Ok(AccessLog { path, lines, errors })
    }
}

fn access_line(out: &mut impl Write, random: &mut Random, n: u64, last: bool) -> std::io::Result<()> {
    let r = random.next();
    // Exactly 3 of 100, spread.
    let status = if n * 37 % 100 < 3 { random.pick(&[500, 502, 503, 504]) } else { random.pick(&[200, 200, 200, 200, 200, 301, 304, 404]) };
    let (day, hour, minute, second) = (1 + n / 8_640_000 % 28, n / 360_000 % 24, n / 6000 % 60, n / 100 % 60);
    write!(out, "{}.{}.{}.{} - - ", 10 + (r & 63), r >> 8 & 255, r >> 16 & 255, 1 + (r >> 24 & 127))?;
    write!(out, "[{day:02}/Jul/2024:{hour:02}:{minute:02}:{second:02} +0000] \"{} /", random.pick(METHODS))?;
    match last {
        true => out.write_all(&END.as_bytes()[1..])?,
        false => write!(out, "{}/{}?page={}&session={:06x}", random.pick(SECTIONS), r >> 32 & 0xffff, r >> 48 & 63, random.next() >> 40)?,
    }
    let (bytes, referer, agent) = (random.below(90_000), random.pick(REFERERS), random.pick(AGENTS));
    writeln!(out, " HTTP/1.1\" {status} {bytes} \"{referer}\" \"{agent}\"")
}

/// A file of logfmt, 97 bytes a line on average, with fields of ten, of a thousand and of ten thousand
/// values, all as frequent: `ten`, `thousand`, `myriad`, each `v0`, `v1` and so on.
#[derive(Clone, Debug)]
pub struct Keyed {
    pub path: PathBuf,
    pub lines: u64,
}

impl Keyed {
    /// Makes it, or takes the one that is there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn make(dir: &Path, lines: u64) -> Result<Keyed> {
        let path = dir.join(format!("keyed-{lines}.log"));
        once(&path, |out| {
            let mut random = Random(0x6b65_7973);
            for _ in 0..lines {
                let r = random.below(10_000);
                write!(out, "level=info ten=v{} thousand=v{} myriad=v{r} ", r % 10, r % 1000)?;
                writeln!(out, "route=/{} ms={} msg=\"order has been shipped\"", random.pick(SECTIONS), random.below(2000))?;
            }
            Ok(())
        })?;
        Ok(Keyed { path, lines })
    }
}

/// Messages of RFC 5424 with structured data, one a line; the last one says [`END`].
///
/// # Errors
/// Those of the file system.
pub fn structured(dir: &Path, lines: u64) -> Result<PathBuf> {
    let path = dir.join(format!("structured-{lines}.log"));
    once(&path, |out| {
        let mut random = Random(0x5424);
        for n in 0..lines {
            let r = random.next();
            let (hour, minute, second) = (n / 360_000 % 24, n / 6000 % 60, n / 100 % 60);
            write!(out, "<{}>1 2024-07-01T{hour:02}:{minute:02}:{second:02}.{:06}Z ", r % 192, r >> 8 & 0x7_ffff)?;
            write!(out, "host{:03}.example.com app {} ID{} ", r >> 32 & 511, r >> 48, r >> 40 & 63)?;
            write!(out, "[exampleSDID@32473 iut=\"{}\" eventSource=\"Application\" eventID=\"{}\"]", r & 7, r >> 20 & 2047)?;
            write!(out, "[request@32473 id=\"{:016x}\" ms=\"{}\"] ", random.next(), r >> 24 & 1023)?;
            let what = if n + 1 == lines { END } else { "An application event log entry" };
            writeln!(out, "{what} of user{}", r >> 40 & 4095)?;
        }
        Ok(())
    })?;
    Ok(path)
}

/// A file of syslog messages after RFC 5424, 149 bytes a line on average.
///
/// # Errors
/// Those of the file system.
pub fn syslog(dir: &Path, lines: u64) -> Result<PathBuf> {
    let path = dir.join(format!("syslog-{lines}.log"));
    once(&path, |out| {
        let mut random = Random(0x5424);
        for n in 0..lines {
            let r = random.next();
            let (hour, minute, second) = (n / 360_000 % 24, n / 6000 % 60, n / 100 % 60);
            write!(out, "<{}>1 2024-07-01T{hour:02}:{minute:02}:{second:02}.{:06}Z ", r % 192, r >> 8 & 0x7_ffff)?;
            write!(
                out,
                "host{:03}.example.com {} {} - - ",
                r >> 32 & 511,
                random.pick(&["sshd", "cron", "postfix/smtpd", "app"]),
                r >> 48
            )?;
            writeln!(
                out,
                "session {:016x} of user{} has been opened by way of gate{}, {} ms",
                random.next(),
                r >> 40 & 4095,
                r >> 52 & 15,
                r >> 20 & 2047
            )?;
        }
        Ok(())
    })?;
    Ok(path)
}

/// Writes a file unless it is there; one that was not finished never is.
fn once(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    eprintln!("making {}", path.display());
    let unfinished = path.with_extension("unfinished");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    write(&mut out).and_then(|()| out.flush()).with_context(|| format!("writing {}", unfinished.display()))?;
    Ok(fs::rename(&unfinished, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_logs_are_as_described() {
        let dir = tempfile::tempdir().unwrap();
        let log = AccessLog::make(dir.path(), 10_000).unwrap();
        let text = fs::read_to_string(&log.path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len() as u64, log.lines);
        let errors = lines.iter().filter(|l| l.contains(" HTTP/1.1\" 5")).count();
        assert_eq!(errors as u64, log.errors);
        assert!((192..=196).contains(&(text.len() / lines.len())), "{}", text.len() / lines.len());
        assert_eq!(lines.iter().filter(|l| l.contains(END)).count(), 1);
        assert!(lines[9_999].contains(END));
    }

    #[test]
    fn keyed_lines_are_as_described() {
        let dir = tempfile::tempdir().unwrap();
        let log = Keyed::make(dir.path(), 10_000).unwrap();
        let text = fs::read_to_string(&log.path).unwrap();
        assert_eq!(text.lines().count() as u64, log.lines);
        assert!((95..=99).contains(&(text.len() / 10_000)), "{}", text.len() / 10_000);
        let tenth = text.lines().filter(|l| l.contains(" ten=v3 ")).count();
        assert!((900..1100).contains(&tenth), "{tenth}");
        assert!(text.lines().all(|l| l.contains(" myriad=v")));
    }

    #[test]
    fn syslog_is_as_described() {
        let dir = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(syslog(dir.path(), 1000).unwrap()).unwrap();
        assert!((147..=151).contains(&(text.len() / 1000)), "{}", text.len() / 1000);
        assert_eq!(text, fs::read_to_string(syslog(dir.path(), 1000).unwrap()).unwrap());
    }
}
