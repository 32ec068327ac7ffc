//! rsyslog, syslog-ng and collectd, configured for the same work: near their defaults, and as their
//! manuals advise for speed.
//!
//! See [`package`](crate::package) for where they come from.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::contender::{Contender, LIMIT, rates};
use super::idle::idle_values;
use super::inputs::END;
use super::{Settings, syslog, tcp};
use crate::package::{self, Package};
use crate::process::Process;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// Reads a file; only its last line goes to the output, which tells that it was read.
    Nothing,
    /// Parses access log; errors and the last line go to the output as JSON.
    Errors,
    /// Lines of a TCP connection into a file, as they came.
    Tcp,
    /// RFC 5424 over TCP, with structured data as fields, into JSON.
    Parsed,
    /// Lines of a file into a file.
    Copy,
}

/// A peer that does tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Peer {
    Rsyslog,
    SyslogNg,
}

/// Fetches the peers' packages.
///
/// # Errors
/// When apt-get or dpkg fails.
pub fn install() -> Result<()> {
    [package::RSYSLOG, package::SYSLOG_NG, package::COLLECTD].iter().try_for_each(Package::fetch)
}

fn quiet(package: &Package, program: &str) -> Result<Command> {
    let mut command = package.command(program)?;
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// A UDP address nobody receives at for the moment.
///
/// # Errors
/// When the system gives none.
pub fn free_udp() -> Result<SocketAddr> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}

/// What a task reads and writes.
struct Work<'a> {
    task: Task,
    input: &'a Path,
    address: SocketAddr,
    /// For configuration, state and output.
    dir: &'a Path,
}

impl Work<'_> {
    fn out(&self) -> PathBuf {
        self.dir.join("out")
    }
}

impl Peer {
    const ALL: [Peer; 2] = [Peer::Rsyslog, Peer::SyslogNg];

    fn name(self) -> &'static str {
        match self {
            Peer::Rsyslog => "rsyslog",
            Peer::SyslogNg => "syslog-ng",
        }
    }

    fn package(self) -> (Package, &'static str) {
        match self {
            Peer::Rsyslog => (package::RSYSLOG, "rsyslogd"),
            Peer::SyslogNg => (package::SYSLOG_NG, "syslog-ng"),
        }
    }

    fn is_there(self) -> bool {
        let (package, program) = self.package();
        package.program(program).is_some()
    }

    fn start(self, work: &Work<'_>) -> Result<Process> {
        let (package, program) = self.package();
        let (config, path) = (self.config(work), work.dir.join("config"));
        fs::write(&path, config)?;
        if self == Peer::Rsyslog {
            fs::write(work.dir.join("rules"), RULES)?;
        }
        let at = |name: &str| work.dir.join(name);
        let mut command = quiet(&package, program)?;
        let libraries = package.prefix(program).join("usr/lib");
        match self {
            Peer::Rsyslog => {
                command
                    .arg("-n")
                    .arg("-f")
                    .arg(path)
                    .arg("-i")
                    .arg(at("pid"))
                    .arg("-M")
                    .arg(libraries.join(package::triplet()).join("rsyslog"));
            }
            Peer::SyslogNg => {
                command.args(["--foreground", "--no-caps", "--cfgfile"]).arg(path);
                command.arg("--persist-file").arg(at("persist")).arg("--control").arg(at("control")).arg("--pidfile").arg(at("pid"));
                command.arg("--module-path").arg(libraries.join("syslog-ng/3.38"));
            }
        }
        Process::spawn(&mut command)
    }

    fn config(self, work: &Work<'_>) -> String {
        match self {
            Peer::Rsyslog => rsyslog(work),
            Peer::SyslogNg => syslog_ng(work),
        }
    }
}

/// nginx's combined format for rsyslog's mmnormalize.
const RULES: &str = "version=2\nrule=:%client:word% %ident:word% %user:word% [%time:char-to:]%] \"%request:char-to:\"%\" %status:number% %bytes:number% \"%referer:char-to:\"%\" \"%agent:char-to:\"%\"\n";

fn rsyslog(work: &Work<'_>) -> String {
    let (input, out, dir) = (work.input.display(), work.out().display().to_string(), work.dir.display());
    let head = format!("global(workDirectory=\"{dir}\")\ntemplate(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n");
    let file = format!("module(load=\"imfile\")\ninput(type=\"imfile\" File=\"{input}\" Tag=\"t\" ruleset=\"r\")\n");
    let write = |template: &str| format!("action(type=\"omfile\" file=\"{out}\" template=\"{template}\")");
    match work.task {
        Task::Nothing => format!("{head}{file}ruleset(name=\"r\") {{ if $msg contains \"{END}\" then {} }}\n", write("raw")),
        Task::Errors => format!(
            "{head}module(load=\"mmnormalize\")\ntemplate(name=\"json\" type=\"string\" string=\"%$!all-json%\\n\")\n{file}\
             ruleset(name=\"r\") {{\naction(type=\"mmnormalize\" rulebase=\"{dir}/rules\" useRawMsg=\"on\")\n\
             if cnum($!status) >= 500 or $!request contains \"{END}\" then {}\n}}\n",
            write("json")
        ),
        Task::Tcp => format!(
            "{head}module(load=\"imptcp\")\ninput(type=\"imptcp\" port=\"{}\" address=\"127.0.0.1\" ruleset=\"r\")\nruleset(name=\"r\") {{ {} }}\n",
            work.address.port(),
            write("raw")
        ),
        Task::Parsed => format!(
            "{head}module(load=\"imptcp\")\nmodule(load=\"mmpstrucdata\")\n\
             template(name=\"json\" type=\"list\") {{ constant(value=\"{{\\\"msg\\\":\\\"\") property(name=\"msg\" format=\"json\") \
             constant(value=\"\\\",\\\"host\\\":\\\"\") property(name=\"hostname\" format=\"json\") constant(value=\"\\\",\\\"time\\\":\\\"\") \
             property(name=\"timereported\" dateFormat=\"rfc3339\") constant(value=\"\\\",\\\"data\\\":\") property(name=\"$!rfc5424-sd\") constant(value=\"}}\\n\") }}\n\
             input(type=\"imptcp\" port=\"{}\" address=\"127.0.0.1\" ruleset=\"r\")\n\
             ruleset(name=\"r\") {{ action(type=\"mmpstrucdata\") {} }}\n",
            work.address.port(),
            write("json")
        ),
        Task::Copy => format!("{head}{file}ruleset(name=\"r\") {{ {} }}\n", write("raw")),
    }
}

fn syslog_ng(work: &Work<'_>) -> String {
    let (input, out) = (work.input.display(), work.out().display().to_string());
    let head = "@version: 3.38\noptions { stats-level(0); use-dns(no); keep-hostname(yes); };\n";
    let file = format!("source s {{ file(\"{input}\" flags(no-parse) follow-freq(0.1) log-fetch-limit(10000) log-iw-size(100000)); }};\n");
    let write = |template: &str| {
        format!("destination d {{ file(\"{out}\" template(\"{template}\\n\") flush-lines(1000) log-fifo-size(200000)); }};\n")
    };
    let end = format!("filter f {{ message(\"{END}\" type(string) flags(substring)); }};\n");
    match work.task {
        Task::Nothing => format!("{head}{file}{end}{}log {{ source(s); filter(f); destination(d); }};\n", write("$MSG")),
        Task::Errors => format!(
            "{head}{file}parser p {{ csv-parser(columns(\"w.client\",\"w.ident\",\"w.user\",\"w.time\",\"w.request\",\"w.status\",\"w.bytes\",\"w.referer\",\"w.agent\") \
             delimiters(\" \") quote-pairs('\"\"[]')); }};\n\
             filter f {{ \"${{w.status}}\" >= \"500\" or match(\"{END}\" value(\"w.request\") type(string) flags(substring)); }};\n{}\
             log {{ source(s); parser(p); filter(f); destination(d); flags(flow-control); }};\n",
            write("$(format-json --key w.*)")
        ),
        Task::Tcp => format!(
            "{head}source s {{ network(ip(127.0.0.1) port({}) transport(tcp) flags(no-parse) log-fetch-limit(10000) log-iw-size(100000)); }};\n{}\
             log {{ source(s); destination(d); flags(flow-control); }};\n",
            work.address.port(),
            write("$MSG")
        ),
        Task::Parsed => format!(
            "{head}source s {{ network(ip(127.0.0.1) port({}) transport(tcp) flags(syslog-protocol) log-fetch-limit(10000) log-iw-size(100000)); }};\n{}\
             log {{ source(s); destination(d); flags(flow-control); }};\n",
            work.address.port(),
            write("$(format-json --scope rfc5424,sdata)")
        ),
        Task::Copy => format!("{head}{file}{}log {{ source(s); destination(d); flags(flow-control); }};\n", write("$MSG")),
    }
}

/// Whether the last line came out.
fn at_end(out: &Path) -> bool {
    fs::read(out).is_ok_and(|text| text.ends_with(b"\n") && text.windows(END.len()).rev().any(|w| w == END.as_bytes()))
}

/// The peers that are there, if they are wanted, with this task.
pub fn contenders(settings: &Settings, task: Task, input: &Path, records: u64) -> Vec<Contender> {
    let there = Peer::ALL.into_iter().filter(|p| settings.peers && p.is_there());
    let contender = |peer: Peer| {
        let input = input.to_path_buf();
        Contender::peer(peer.name(), move || {
            let dir = tempfile::TempDir::with_prefix("bench-")?;
            let work = Work { task, input: &input, address: tcp::free_address()?, dir: dir.path() };
            let (process, out) = (peer.start(&work)?, work.out());
            match task {
                Task::Parsed => syslog::receive(process, &input, work.address, &out, records),
                Task::Tcp => tcp::receive(process, &input, work.address, &out, records),
                _ => Ok(rates(records, process.finish_when(LIMIT, || at_end(&out))?)),
            }
        })
    };
    there.map(contender).collect()
}

/// The peers that are there, if they are wanted, with nothing to do after a first line.
pub fn idle(settings: &Settings, task: Task, quiet: Duration) -> Vec<Contender> {
    let there = Peer::ALL.into_iter().filter(|p| settings.peers && p.is_there());
    let contender = |peer: Peer| {
        Contender::peer(peer.name(), move || {
            let dir = tempfile::TempDir::with_prefix("bench-")?;
            let input = dir.path().join("in.log");
            fs::write(&input, "the first line\n")?;
            let work = Work { task, input: &input, address: tcp::free_address()?, dir: dir.path() };
            let start = Instant::now();
            let (mut process, out) = (peer.start(&work)?, work.out());
            while fs::metadata(&out).map_or(0, |m| m.len()) == 0 {
                ensure!(start.elapsed() < Duration::from_secs(30) && !process.ended(), "no line came out");
                std::thread::sleep(Duration::from_millis(1));
            }
            let first = start.elapsed();
            std::thread::sleep(quiet);
            Ok(idle_values(process.rss_kib() as f64, first))
        })
    };
    there.map(contender).collect()
}

/// collectd as a receiver of statsd.
#[derive(Clone, Debug)]
pub struct Collectd(Package);

impl Collectd {
    pub fn find() -> Option<Collectd> {
        package::COLLECTD.program("collectd").map(|_| Collectd(package::COLLECTD))
    }

    /// Receives at `listen` and writes sums below `dir`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn command(&self, dir: &Path, listen: SocketAddr) -> Result<Command> {
        let root = self.0.prefix("collectd");
        let config = format!(
            "Interval 1\nBaseDir \"{0}\"\nPIDFile \"{0}/pid\"\nPluginDir \"{1}\"\nTypesDB \"{2}\"\nHostname \"bench\"\nFQDNLookup false\n\
             LoadPlugin statsd\nLoadPlugin csv\n<Plugin statsd>\n  Host \"127.0.0.1\"\n  Port \"{3}\"\n</Plugin>\n\
             <Plugin csv>\n  DataDir \"{0}/csv\"\n  StoreRates false\n</Plugin>\n",
            dir.display(),
            root.join("usr/lib/collectd").display(),
            root.join("usr/share/collectd/types.db").display(),
            listen.port()
        );
        fs::write(dir.join("config"), config)?;
        let mut command = quiet(&self.0, "collectd")?;
        command.arg("-f").arg("-C").arg(dir.join("config"));
        Ok(command)
    }

    /// The sum of all counters it wrote: the last line of each file is `time,value`.
    ///
    /// # Errors
    /// When it wrote nothing, or something else.
    pub fn received(dir: &Path) -> Result<u64> {
        let mut sum = 0.0;
        for entry in fs::read_dir(dir.join("csv/bench/statsd"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.contains("derive-bench.counter") {
                let text = fs::read_to_string(&path)?;
                let value = text.lines().last().and_then(|l| l.split(',').nth(1)).context("a file without values")?;
                sum += value.parse::<f64>().with_context(|| format!("{value} is no number"))?;
            }
        }
        Ok(sum as u64)
    }
}
