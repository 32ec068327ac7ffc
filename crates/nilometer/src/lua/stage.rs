//! The native functions of test scripts, and the thread on which the script under test runs: a CPU
//! budget is that of a thread, so a script cannot call another one's sandbox on its own.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use message::BatchBuilder;
use options::unit;
use sandbox::native::{Body, Call, Error, Function, Module, Returned, Value};
use sandbox::{Checkpoint, ConfigValue, Confirmed, Coverage, Family};

use super::plain::{Plain, add_message, table_of};
use super::subject::{START, Setup, Subject, Tally};

/// What is on the thread of the script under test.
#[derive(Default)]
pub struct Scene {
    pub subject: Option<Subject>,
    /// Of scripts that were let go.
    tally: Tally,
    coverage: Coverage,
}

impl Scene {
    fn clear(&mut self) {
        if let Some(old) = self.subject.take() {
            self.tally.add(old.tally());
            self.coverage.merge(&old.coverage());
        }
    }

    fn load(&mut self, setup: Setup) -> Result<(), String> {
        self.clear();
        self.subject = Some(Subject::new(setup, START)?);
        Ok(())
    }
}

type Job = Box<dyn FnOnce(&mut Scene) + Send>;

/// A test that was run.
pub struct Case {
    pub name: String,
    /// Why it failed.
    pub failure: Option<String>,
}

/// A test script's view of the script under test.
pub struct Stage {
    /// How the script is loaded when nothing else is said.
    base: Result<Setup, String>,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    loaded: bool,
    pub cases: Vec<Case>,
    /// Only tests with this in their name are run.
    pub only: Option<String>,
    running: Option<String>,
}

impl Stage {
    /// # Errors
    /// No thread can be started.
    pub fn new(base: Result<Setup, String>) -> Result<Stage, String> {
        let (jobs, taken): (Sender<Job>, Receiver<Job>) = bounded(1);
        let run = move || {
            let mut scene = Scene::default();
            taken.into_iter().for_each(|job| job(&mut scene));
        };
        let thread = std::thread::Builder::new().name("subject".to_string()).spawn(run).map_err(|e| e.to_string())?;
        Ok(Stage { base, jobs: Some(jobs), thread: Some(thread), loaded: false, cases: Vec::new(), only: None, running: None })
    }

    /// Runs something on the script's thread, and waits for it.
    pub fn with_scene<T: Send + 'static>(&self, job: impl FnOnce(&mut Scene) -> T + Send + 'static) -> Result<T, String> {
        let (answer, answered) = bounded(1);
        let job: Job = Box::new(move |scene| drop(answer.send(job(scene))));
        let lost = || "the script's thread is gone".to_string();
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(lost)?;
        answered.recv().map_err(|_| lost())
    }

    /// Runs something with the script, which is loaded first if need be.
    pub fn with_subject<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(&mut Subject) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        if !self.loaded {
            let base = self.base.clone()?;
            self.load(base)?;
        }
        self.with_scene(|scene| scene.subject.as_mut().ok_or_else(|| "no script is loaded".to_string()).and_then(job))?
    }

    pub fn load(&mut self, setup: Setup) -> Result<(), String> {
        self.loaded = true;
        self.with_scene(move |scene| scene.load(setup))?
    }

    fn forget(&mut self) {
        self.loaded = false;
        let _ = self.with_scene(Scene::clear);
    }

    /// What all of it took, and the lines that ran.
    pub fn sum(&mut self) -> (Tally, Coverage) {
        self.forget();
        self.with_scene(|scene| (scene.tally, std::mem::take(&mut scene.coverage))).unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

thread_local! {
    /// The stage of the test script that runs on this thread: native functions are plain functions.
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// Runs `work` with this stage for test scripts of this thread.
pub fn on_stage<T>(stage: Stage, work: impl FnOnce() -> T) -> (Option<Stage>, T) {
    STAGE.set(Some(stage));
    let done = work();
    (STAGE.take(), done)
}

pub fn with_stage<T>(work: impl FnOnce(&mut Stage) -> Result<T, String>) -> Result<T, Error> {
    let nobody = || Err("there is no script under test".to_string());
    STAGE.with_borrow_mut(|stage| stage.as_mut().map_or_else(nobody, work)).map_err(Error::message)
}

/// Modules of a test script: those of every script, and its own.
pub fn modules() -> &'static [&'static Module] {
    static MODULES: OnceLock<Vec<&'static Module>> = OnceLock::new();
    MODULES.get_or_init(|| modules::ALL.iter().copied().chain([&STAGE_MODULE, &HARNESS]).collect())
}

/// Line in front of a test script, without a line end so that lines keep their numbers.
pub const PRELUDE: &str = "require 'nilometer.harness' ";

static HARNESS: Module =
    Module { name: "nilometer.harness", doc: "Globals of test scripts.", body: Body::Text(include_str!("harness.lua")) };

static STAGE_MODULE: Module = Module { name: "nilometer.stage", doc: "The script under test.", body: Body::Native(FUNCTIONS, &[]) };

const fn function(name: &'static str, signature: &'static str, doc: &'static str, call: sandbox::native::NativeFn) -> Function {
    Function { name, signature, doc, call }
}

/// What test scripts call.
pub const FUNCTIONS: &[Function] = &[
    function("begin", "(name: string) -> boolean", "Begins a test; false: it is not to be run.", begin),
    function("finish", "(ok: boolean, message?: string)", "Ends a test.", finish),
    function("script", "(options: table)", "Loads the script anew with these options.", script),
    function("feed", "(message?: table|string) -> integer, string?", "Gives the script a message; what it returned.", feed),
    function(
        "advance",
        "(by: string|number)",
        "Moves the clock by a duration such as \"10s\", or seconds; ticks fall due on the way.",
        advance,
    ),
    function("injected", "() -> table[]", "The messages injected since it was last asked.", injected),
    function("encoded", "() -> string?", "What an encoder made of the last message.", encoded),
    function("reload", "()", "Loads the script anew and carries its globals over, as an edit does.", reload),
    function("tick", "(ns?: integer)", "Calls timer_event with this time, or with that of the clock.", tick),
    function("shutdown", "()", "Calls timer_event for the last time.", shutdown),
    function("now", "() -> integer", "The clock, in nanoseconds since 1970. It begins at 2024-01-01T00:00:00Z.", now),
    function("printed", "() -> string[]", "The lines printed since it was last asked.", printed),
    function("checkpoint", "() -> string|number|nil", "The checkpoint an input gave last.", checkpoint),
    function(
        "confirmed",
        "() -> integer?, integer?",
        "What update_checkpoint said: the sequence number, and the number of failures.",
        confirmed,
    ),
];

fn begin(call: &mut Call<'_>) -> Result<Returned, Error> {
    let name = call.text(1)?.into_owned();
    let wanted = with_stage(|stage| {
        stage.forget();
        let wanted = stage.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
        stage.running = Some(name);
        Ok(wanted)
    })?;
    call.push_bool(wanted)?;
    Ok(Returned(1))
}

fn finish(call: &mut Call<'_>) -> Result<Returned, Error> {
    let ok = call.truthy(1);
    let why = match call.arg(2) {
        Value::String(text) => String::from_utf8_lossy(text).into_owned(),
        _ => "it failed".to_string(),
    };
    with_stage(|stage| {
        let name = stage.running.take().unwrap_or_default();
        stage.cases.push(Case { name, failure: (!ok).then_some(why) });
        stage.forget();
        Ok(Returned(0))
    })
}

fn script(call: &mut Call<'_>) -> Result<Returned, Error> {
    call.table(1)?;
    let slot = call.slot(1);
    let options = Plain::read(call, slot)?;
    with_stage(|stage| {
        let setup = configured(stage.base.clone(), &options)?;
        stage.load(setup).map(|()| Returned(0))
    })
}

/// The usual setup, changed by what `script{…}` says.
fn configured(base: Result<Setup, String>, options: &Plain) -> Result<Setup, String> {
    let mut setup = match options.get("source") {
        Some(source) => {
            let text = source.as_str().ok_or("source must be a string")?;
            let path = base.as_ref().map_or_else(|_| PathBuf::from("script.lua"), |base| base.script.path.clone());
            let new = Setup::new(&path, text.as_bytes().to_vec())?;
            let coverage = false; // of another text
            Setup { coverage, ..new }
        }
        None => base?,
    };
    let Plain::Table(entries) = options else { return Ok(setup) };
    let text = |key: &str| options.get(key).map(|v| v.as_str().ok_or(format!("{key} must be a string"))).transpose();
    if let Some(name) = text("api")? {
        setup.api = match name {
            "heka" => sandbox::Api::Heka,
            "hindsight" => sandbox::Api::Hindsight,
            _ => return Err(format!("api must be \"heka\" or \"hindsight\", not \"{name}\"")),
        };
    }
    if let Some(name) = text("family")? {
        setup.family = Family::from_name(name).ok_or(format!("there is no family {name}"))?;
    }
    setup.limits = Setup::limits(setup.family, setup.api);
    for (key, value) in entries {
        let key = key.as_str().ok_or("script{…} takes named options")?;
        option(&mut setup, key, value)?;
    }
    Ok(setup)
}

fn option(setup: &mut Setup, key: &str, value: &Plain) -> Result<(), String> {
    let wrong = |expected: &str| format!("script: {key} must be {expected}, not a {}", value.type_name());
    let text = || value.as_str().map(str::to_string).ok_or_else(|| wrong("a string"));
    let count = || value.as_integer().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| wrong("a number"));
    let bytes = || match value.as_str() {
        Some(text) => unit::size(text).map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
        None => count(),
    };
    match key {
        "source" | "family" | "api" => {}
        "config" => {
            let Plain::Table(entries) = value else { return Err(wrong("a table")) };
            let entry = |(k, v): &(Plain, Plain)| Some((k.as_str()?.to_string(), config_value(v)?));
            let mut config: Vec<_> = entries.iter().map(entry).collect::<Option<_>>().ok_or_else(|| wrong("a table of values by name"))?;
            config.sort_by(|a, b| a.0.cmp(&b.0));
            setup.config = config;
        }
        "every" => setup.every = Some(duration(value).ok_or_else(|| wrong("a duration"))?),
        "name" => setup.name = text()?,
        "hostname" => setup.hostname = text()?,
        "memory_limit" => setup.limits.memory = bytes()?,
        "output_limit" => setup.limits.output = bytes()?,
        "state_limit" => setup.limits.state = bytes()?,
        "cpu_limit" => setup.limits.cpu = duration(value).ok_or_else(|| wrong("a duration"))?,
        "instruction_limit" => setup.limits.instructions = Some(count()? as u64).filter(|n| *n > 0),
        "max_process_inject" => setup.limits.process_inject = count()?,
        "max_timer_inject" => setup.limits.timer_inject = count()?,
        "allow" => {
            let Plain::Table(entries) = value else { return Err(wrong("a list such as {\"io\"}")) };
            for (_, grant) in entries {
                match grant.as_str() {
                    Some("io") => setup.grants.io = true,
                    Some("exec") => setup.grants.exec = true,
                    _ => return Err(wrong("a list of \"io\" and \"exec\"")),
                }
            }
        }
        _ => {
            const KEYS: [&str; 15] = [
                "config",
                "family",
                "api",
                "every",
                "name",
                "hostname",
                "source",
                "allow",
                "memory_limit",
                "cpu_limit",
                "instruction_limit",
                "output_limit",
                "state_limit",
                "max_process_inject",
                "max_timer_inject",
            ];
            let near = options::nearest(key, KEYS).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("script: there is no option `{key}`{near}"));
        }
    }
    Ok(())
}

fn config_value(value: &Plain) -> Option<ConfigValue> {
    Some(match value {
        Plain::Text(_) => ConfigValue::String(value.as_str()?.to_string()),
        Plain::Integer(n) => ConfigValue::Integer(*n),
        Plain::Number(n) => ConfigValue::Number(*n),
        Plain::Bool(b) => ConfigValue::Bool(*b),
        Plain::Table(entries) if entries.iter().all(|(k, _)| k.as_integer().is_some()) => {
            let mut items: Vec<_> = entries.iter().map(|(k, v)| Some((k.as_integer()?, config_value(v)?))).collect::<Option<_>>()?;
            items.sort_by_key(|(n, _)| *n);
            ConfigValue::List(items.into_iter().map(|(_, v)| v).collect())
        }
        Plain::Table(entries) => {
            ConfigValue::Table(entries.iter().map(|(k, v)| Some((k.as_str()?.to_string(), config_value(v)?))).collect::<Option<_>>()?)
        }
        Plain::Nil => return None,
    })
}

/// `"10s"`, or a number of seconds.
fn duration(value: &Plain) -> Option<Duration> {
    match value {
        Plain::Text(_) => unit::duration(value.as_str()?).ok(),
        Plain::Integer(n) => u64::try_from(*n).ok().map(Duration::from_secs),
        Plain::Number(n) => Duration::try_from_secs_f64(*n).ok(),
        _ => None,
    }
}

fn feed(call: &mut Call<'_>) -> Result<Returned, Error> {
    let slot = call.slot(1);
    let given = if call.args() == 0 { Plain::Nil } else { Plain::read(call, slot)? };
    let said = with_stage(|stage| {
        stage.with_subject(move |subject| {
            if subject.setup().family == Family::Input {
                let checkpoint = match given {
                    Plain::Nil => None,
                    Plain::Integer(n) => Some(Checkpoint::Integer(n)),
                    Plain::Number(n) => Some(Checkpoint::Number(n)),
                    Plain::Text(text) => Some(Checkpoint::Text(text)),
                    _ => return Err("an input is fed a checkpoint: a number, a string or nothing".to_string()),
                };
                return subject.run_input(checkpoint.as_ref()).map_err(|e| e.message);
            }
            let given = match given {
                Plain::Text(_) => Plain::Table(vec![(Plain::text("Payload"), given)]),
                other => other,
            };
            let mut builder = BatchBuilder::default();
            add_message(&given, builder.messages())?;
            if given.get("Timestamp").is_none() {
                builder.message(0).set_timestamp(subject.now());
            }
            subject.feed(builder.get(0)).map_err(|e| e.message)
        })
    })?;
    call.push_integer(said.status)?;
    match said.text {
        Some(text) => call.push_bytes(text.as_bytes())?,
        None => call.push_nil()?,
    };
    Ok(Returned(2))
}

fn advance(call: &mut Call<'_>) -> Result<Returned, Error> {
    let slot = call.slot(1);
    let by = Plain::read(call, slot)?;
    let by = duration(&by).ok_or_else(|| Error::argument(1, "a duration such as \"10s\", or a number of seconds expected"))?;
    with_stage(|stage| stage.with_subject(move |subject| subject.advance(by).map_err(|e| e.message)))?;
    Ok(Returned(0))
}

fn tick(call: &mut Call<'_>) -> Result<Returned, Error> {
    let due = call.optional(1, |call, n| call.integer(n))?;
    let tick = move |subject: &mut Subject| subject.timer_event(due.unwrap_or(subject.now()), false).map_err(|e| e.message);
    with_stage(|stage| stage.with_subject(tick))?;
    Ok(Returned(0))
}

fn shutdown(_: &mut Call<'_>) -> Result<Returned, Error> {
    with_stage(|stage| stage.with_subject(|subject| subject.tick(subject.now(), true).map_err(|e| e.message)))?;
    Ok(Returned(0))
}

fn reload(_: &mut Call<'_>) -> Result<Returned, Error> {
    with_stage(|stage| stage.with_subject(Subject::reload))?;
    Ok(Returned(0))
}

/// Pushes what is asked of the script.
fn answer(call: &mut Call<'_>, ask: impl FnOnce(&mut Subject) -> Plain + Send + 'static) -> Result<Returned, Error> {
    with_stage(|stage| stage.with_subject(|subject| Ok(ask(subject))))?.push(call)?;
    Ok(Returned(1))
}

fn injected(call: &mut Call<'_>) -> Result<Returned, Error> {
    answer(call, |subject| Plain::list(subject.take_injected().iter().map(table_of)))
}

fn encoded(call: &mut Call<'_>) -> Result<Returned, Error> {
    answer(call, |subject| subject.encoded().map_or(Plain::Nil, Plain::text))
}

fn now(call: &mut Call<'_>) -> Result<Returned, Error> {
    answer(call, |subject| Plain::Integer(subject.now()))
}

fn printed(call: &mut Call<'_>) -> Result<Returned, Error> {
    answer(call, |subject| Plain::list(subject.take_printed().into_iter().map(Plain::text)))
}

fn checkpoint(call: &mut Call<'_>) -> Result<Returned, Error> {
    answer(call, |subject| match subject.checkpoint() {
        None => Plain::Nil,
        Some(Checkpoint::Integer(n)) => Plain::Integer(*n),
        Some(Checkpoint::Number(n)) => Plain::Number(*n),
        Some(Checkpoint::Text(text)) => Plain::text(text),
    })
}

fn confirmed(call: &mut Call<'_>) -> Result<Returned, Error> {
    let confirmed = with_stage(|stage| stage.with_subject(|subject| Ok(subject.sandbox().take_confirmed())))?;
    let Some(Confirmed { sequence, failures }) = confirmed else { return Ok(Returned(0)) };
    match sequence.and_then(|n| i64::try_from(n).ok()) {
        Some(n) => call.push_integer(n)?,
        None => call.push_nil()?,
    };
    call.push_integer(i64::try_from(failures).unwrap_or(i64::MAX))?;
    Ok(Returned(2))
}
