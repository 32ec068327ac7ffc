//! A script in its own sandbox, with a clock that stands until it is told: what tests, the prompt
//! and replay run.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use message::{BatchBuilder, MessageRef, Messages};
use plugin::Clock;
use sandbox::{
    Api, Checkpoint, ConfigValue, Coverage, Declaration, Delivery, Encoded, Evaluated, Failure, Family, Grants, Inject, InputSink, Limits,
    Sandbox, SandboxConfig, Schedule, Script, Status, common_tick,
};

/// Bytes of a script that are read; the sandbox takes no longer text.
const MAX_SCRIPT: u64 = 256 << 10;
/// 2024-01-01T00:00:00Z, in nanoseconds since the UNIX epoch.
pub const START: i64 = 1_704_067_200_000_000_000;

/// A script and how it is to be run.
#[derive(Clone)]
pub struct Setup {
    pub script: Script,
    pub declaration: Declaration,
    pub family: Family,
    /// How often a tick is due.
    pub every: Option<Duration>,
    pub config: Vec<(String, ConfigValue)>,
    pub limits: Limits,
    pub api: Api,
    pub grants: Grants,
    pub name: String,
    pub hostname: String,
    /// Directory in which `require` finds modules besides those built in.
    pub modules: Option<PathBuf>,
    pub coverage: bool,
}

impl Setup {
    /// Reads a script and what it says of itself.
    ///
    /// # Errors
    /// It cannot be read, is too long, or its declaration is malformed.
    pub fn read(path: &Path) -> Result<Setup, String> {
        Setup::new(path, read(path)?)
    }

    /// # Errors
    /// The declaration is malformed.
    pub fn new(path: &Path, source: Vec<u8>) -> Result<Setup, String> {
        let shown = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let declaration = Declaration::parse(&source).map_err(|e| format!("{shown}:{}: {}", e.line, e.message))?;
        let family = declaration.family.unwrap_or_default();
        Ok(Setup {
            script: Script::new(path, source),
            family,
            every: declaration.every,
            config: Vec::new(),
            limits: Setup::limits(family, Api::Heka),
            api: Api::Heka,
            grants: Grants::default(),
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            hostname: "test.example".to_string(),
            modules: modules_beside(path),
            coverage: false,
            declaration,
        })
    }

    /// The limits of a script of this family for which no others are given.
    pub fn limits(family: Family, api: Api) -> Limits {
        let limits = Limits::of(api);
        match family {
            // As the adapters have it.
            Family::Decoder => Limits { process_inject: 1000, ..limits },
            Family::Transform => Limits { process_inject: 0, timer_inject: 0, ..limits },
            // One that loops for ever would keep a test from ending.
            Family::Input => Limits { cpu: Duration::from_secs(10), ..limits },
            _ => limits,
        }
    }

    fn sandbox(&self, now_ns: i64) -> Result<Sandbox, String> {
        let config = self.declaration.resolve(&self.config);
        let config = config.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let config = SandboxConfig {
            name: self.name.clone(),
            limits: self.limits.clone(),
            config,
            module_path: self.modules.clone(),
            modules: modules::ALL,
            family: self.family,
            api: self.api,
            grants: self.grants,
            hostname: self.hostname.clone(),
            pid: 1,
            coverage: self.coverage,
            now_ns,
            ..SandboxConfig::default()
        };
        Sandbox::new(&self.script, &config).map_err(|e| e.message)
    }
}

/// A script's text.
///
/// # Errors
/// It cannot be read or is too long.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut source = Vec::new();
    let opened = std::fs::File::open(path).and_then(|file| file.take(MAX_SCRIPT + 1).read_to_end(&mut source));
    opened.map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    if source.len() as u64 > MAX_SCRIPT {
        return Err(format!("{} is too long: a script has at most 256 KiB", path.display()));
    }
    Ok(source)
}

/// The directory `modules` beside a script, or beside its directory.
pub fn modules_beside(script: &Path) -> Option<PathBuf> {
    let dir = script.parent()?;
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    [dir.join("modules"), dir.join("../modules")].into_iter().find(|d| d.is_dir())
}

/// What running a script took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub messages: u64,
    pub cpu: Duration,
    /// Bytes of memory, at most.
    pub peak: u64,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.messages += other.messages;
        self.cpu += other.cpu;
        self.peak = self.peak.max(other.peak);
    }

    /// CPU time of a message.
    pub fn ns_per_message(&self) -> u64 {
        u64::try_from(self.cpu.as_nanos() / u128::from(self.messages.max(1))).unwrap_or(u64::MAX)
    }
}

/// What `process_message` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub status: i64,
    pub text: Option<String>,
}

pub struct Subject {
    setup: Setup,
    sandbox: Sandbox,
    now: i64,
    /// How often ticks come, when the next one is due, and which of them are for `timer_event`.
    tick: Option<Duration>,
    due: Option<i64>,
    events: Option<Schedule>,
    out: BatchBuilder,
    encoded: Option<Vec<u8>>,
    checkpoint: Option<Checkpoint>,
    sequence: u64,
    printed: Vec<String>,
    tally: Tally,
    /// Lines that ran before the last reload.
    covered: Coverage,
}

impl Subject {
    /// # Errors
    /// The configuration is not what the script declares, or the script does not load.
    pub fn new(setup: Setup, now: i64) -> Result<Subject, String> {
        let sandbox = setup.sandbox(now)?;
        let tick = common_tick(setup.every.into_iter().chain(sandbox.timers()));
        Ok(Subject {
            due: tick.map(|tick| now.saturating_add(nanoseconds(tick))),
            events: setup.every.map(Schedule::new),
            tick,
            setup,
            sandbox,
            now,
            out: BatchBuilder::default(),
            encoded: None,
            checkpoint: None,
            sequence: 0,
            printed: Vec::new(),
            tally: Tally::default(),
            covered: Coverage::default(),
        })
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    pub fn sandbox(&mut self) -> &mut Sandbox {
        &mut self.sandbox
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    pub fn set_now(&mut self, now: i64) {
        self.now = now;
    }

    /// How often ticks come: for `timer_event`, and for what the script asked for with `every`.
    pub fn ticks_every(&self) -> Option<Duration> {
        self.tick
    }

    /// Gives it a message, as its family gets it.
    ///
    /// # Errors
    /// The call failed.
    pub fn feed(&mut self, m: MessageRef<'_>) -> Result<Said, Failure> {
        let began = Clock::thread_cpu();
        let said = self.call(m);
        self.tally.cpu += Clock::thread_cpu().saturating_sub(began);
        self.tally.messages += 1;
        self.listen();
        said
    }

    fn call(&mut self, m: MessageRef<'_>) -> Result<Said, Failure> {
        match self.setup.family {
            Family::Filter => {
                let mut inject = Inject { builder: &mut self.out, now_ns: self.now };
                self.sandbox.process_message(m, &mut inject).map(said)
            }
            Family::Decoder | Family::Transform => self.change(m),
            Family::Encoder => {
                let mut bytes = Vec::new();
                self.encoded = None;
                let encoded = self.sandbox.encode(m, self.now, &mut bytes)?;
                Ok(match encoded {
                    Encoded::Bytes => {
                        self.encoded = Some(bytes);
                        Said { status: 0, text: None }
                    }
                    Encoded::Skipped => Said { status: -2, text: None },
                    Encoded::Failed(text) => Said { status: -1, text },
                })
            }
            Family::Output => {
                self.sequence += 1;
                let (status, text) = match self.sandbox.deliver(m, self.sequence, self.now)? {
                    Delivery::Done => (0, None),
                    Delivery::Failed(text) => (-1, text),
                    Delivery::Skipped => (-2, None),
                    Delivery::Retry(text) => (-3, text),
                    Delivery::Batching => (-4, None),
                    Delivery::Later => (-5, None),
                };
                Ok(Said { status, text })
            }
            Family::Input => self.run_input(None),
        }
    }

    /// The message it keeps, changed, or those a decoder injected in its place.
    fn change(&mut self, m: MessageRef<'_>) -> Result<Said, Failure> {
        let mut work = BatchBuilder::default();
        work.copy(m);
        let said = said(self.sandbox.process_message_mut(work.messages(), b"", 0, self.now)?);
        if said.status == 0 {
            let first = usize::from(work.len() > 1);
            (first..work.len()).for_each(|index| work.messages().inherit(index, 0));
            for index in first..work.len() {
                self.out.copy(work.get(index));
            }
        }
        Ok(said)
    }

    /// Calls an input's `process_message(checkpoint)` once.
    ///
    /// # Errors
    /// The call failed.
    pub fn run_input(&mut self, checkpoint: Option<&Checkpoint>) -> Result<Said, Failure> {
        let mut sink = Sink { out: &mut self.out, now: self.now, checkpoint: &mut self.checkpoint };
        let status = self.sandbox.run_input(checkpoint, &mut sink);
        self.listen();
        status.map(said)
    }

    /// Moves the clock, with the ticks that fall due on the way.
    ///
    /// # Errors
    /// A tick failed.
    pub fn advance(&mut self, by: Duration) -> Result<(), Failure> {
        let until = self.now.saturating_add(nanoseconds(by));
        while let (Some(due), Some(tick)) = (self.due.filter(|due| *due <= until), self.tick) {
            self.now = due;
            self.due = Some(due.saturating_add(nanoseconds(tick).max(1)));
            self.tick(due, false)?;
        }
        self.now = until;
        Ok(())
    }

    /// What the engine calls a tick: `timer_event` if that is due, and the timers that are; all of them when it is the last.
    ///
    /// # Errors
    /// A call failed.
    pub fn tick(&mut self, due: i64, last: bool) -> Result<(), Failure> {
        let tick = self.tick.unwrap_or_default();
        let event = self.events.as_mut().and_then(|events| events.take(due, tick)).or(last.then_some(due));
        if let Some(due) = event {
            self.timer_event(due, last)?;
        }
        let mut inject = Inject { builder: &mut self.out, now_ns: self.now };
        let outcome = self.sandbox.fire_timers(due, tick, last, &mut inject);
        self.listen();
        outcome
    }

    /// Calls `timer_event`.
    ///
    /// # Errors
    /// The call failed.
    pub fn timer_event(&mut self, due: i64, last: bool) -> Result<(), Failure> {
        let mut inject = Inject { builder: &mut self.out, now_ns: self.now };
        let outcome = self.sandbox.timer_event(due, last, &mut inject);
        self.listen();
        outcome
    }

    /// Runs a line among its globals; `read_message` reads the message given.
    ///
    /// # Errors
    /// See [`Sandbox::evaluate`].
    pub fn evaluate(&mut self, line: &str, message: Option<MessageRef<'_>>) -> Result<Evaluated, Failure> {
        let mut inject = Inject { builder: &mut self.out, now_ns: self.now };
        let outcome = self.sandbox.evaluate(line, message, &mut inject);
        self.listen();
        outcome
    }

    /// Loads it anew and carries its globals over, as an edit or a restart does.
    ///
    /// # Errors
    /// It cannot be saved, loaded or restored.
    pub fn reload(&mut self) -> Result<(), String> {
        let saved = self.sandbox.save().map_err(|e| e.message)?;
        let mut next = self.setup.sandbox(self.now)?;
        next.restore(&saved).map_err(|e| e.message)?;
        (self.tally, self.covered) = (self.tally(), self.coverage());
        self.sandbox = next;
        Ok(())
    }

    /// Takes what it injected.
    pub fn take_injected(&mut self) -> message::Batch {
        self.out.finish()
    }

    pub fn injected(&self) -> usize {
        self.out.len()
    }

    /// What an encoder made of the last message.
    pub fn encoded(&self) -> Option<&[u8]> {
        self.encoded.as_deref()
    }

    /// The checkpoint an input gave last.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Takes the lines it printed.
    pub fn take_printed(&mut self) -> Vec<String> {
        self.listen();
        std::mem::take(&mut self.printed)
    }

    pub fn tally(&self) -> Tally {
        Tally { peak: self.tally.peak.max(self.sandbox.usage().memory.max), ..self.tally }
    }

    /// Which lines ran; nothing unless the setup asks for it.
    pub fn coverage(&self) -> Coverage {
        let mut all = self.covered.clone();
        if let Some(coverage) = self.sandbox.coverage() {
            all.merge(&coverage);
        }
        all
    }

    fn listen(&mut self) {
        let (lines, dropped) = self.sandbox.take_log();
        self.printed.extend(lines.into_iter().map(|line| line.text));
        if dropped > 0 {
            self.printed.push(format!("({dropped} more lines)"));
        }
    }
}

struct Sink<'a> {
    out: &'a mut BatchBuilder,
    now: i64,
    checkpoint: &'a mut Option<Checkpoint>,
}

impl InputSink for Sink<'_> {
    fn inject(&mut self, make: Option<&mut dyn FnMut(&mut Messages)>, checkpoint: Option<Checkpoint>) -> bool {
        if let Some(make) = make {
            make(self.out.messages());
        }
        if checkpoint.is_some() {
            *self.checkpoint = checkpoint;
        }
        true
    }

    fn now(&self) -> i64 {
        self.now
    }

    fn stopped(&self) -> bool {
        false
    }
}

fn said(status: Status) -> Said {
    match status {
        Status::Ok => Said { status: 0, text: None },
        Status::Skipped(text) => Said { status: -2, text },
        Status::Failed(text) => Said { status: -1, text },
    }
}

pub fn nanoseconds(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}
