use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use matcher::Matcher;
use options::{Location, Node, Opt, Options, Problem, Raw, Source, Tree, nearest};
use plugin::{Build, BuildCx, Clock, Family, Kind, Registry};

use crate::config::{Config, Section};
use crate::durable::SyncPolicy;
use crate::queue::Rules;
use crate::sandboxes::{self, Trouble, Watched};

/// Options of `[nilo]`.
pub const GLOBAL_OPTIONS: &[Opt] = &[
    Opt::path("state")
        .doc("Directory for checkpoints, filter state and the control socket. Without it nothing is remembered over a restart."),
    Opt::integer("workers").doc("Threads that share all filters. Default: one a core."),
    Opt::string("hostname").doc("Name of this host in messages that carry none. Default: the system's."),
    Opt::path("modules").doc("Directory in which scripts' require() finds modules."),
    Opt::integer("max_hops").default("4").doc("How many filters a message's ancestry may go through before it is refused as a loop."),
    Opt::bool("watch").default("true").doc("Reload scripts and configuration the moment their files change."),
    Opt::duration("snapshot").default("10s").doc("How often filter state is saved. It is always saved at an orderly stop."),
    Opt::size("journal_max").default("10GiB").doc("Most bytes the journal in the state directory takes. It holds what does not fit in queues (`when_full = \"spill\"`) and what is to outlive the process (`durable`)."),
    Opt::string("journal_sync").default("200ms").sample("\"always\"").doc("When what was written to the journal is made to outlive a loss of power; inputs are told then: every so often, \"always\" (at once), or \"never\" (as the system pleases; it outlives the process all the same)."),
    Opt::duration("grace").default("5s").doc("How long an orderly stop waits for outputs to deliver what is queued."),
    Opt::duration("stuck_after").default("30s").doc("How long a worker may be in one call of a filter before it counts as stuck: that is told, and nilo counts as not live, so that a service manager restarts it."),
];

/// Options every input takes.
pub const INPUT_OPTIONS: &[Opt] = &[
    Opt::string("type").required().doc("Kind of input."),
    Opt::string("splitter")
        .default("line")
        .doc("How records are cut out of the stream: a kind of splitter or the NAME of a [splitter.NAME]."),
    Opt::string("decoder")
        .default("none")
        .doc("How records become messages: a kind of decoder, a well-known format or the NAME of a [decoder.NAME]."),
    Opt::strings("transform").default("").doc("Transforms applied in this order before anyone else sees the message."),
    Opt::size("max_record").default("1MiB").doc("Longest record taken."),
    Opt::choice("oversize", &["cut", "drop"])
        .default("cut")
        .doc("What becomes of a longer record: its beginning is kept, or none of it. Either is counted."),
    Opt::string("message_type").doc("Type of messages whose decoder sets none. Default: the input's name."),
    Opt::size("in_flight").default("64MiB").doc("Bytes that may be on their way to consumers before the input waits."),
];

/// Options every filter and output takes.
pub const CONSUMER_OPTIONS: &[Opt] = &[
    Opt::string("type").required().doc("Kind of filter or output."),
    Opt::matcher("match").sample("'Type == \"nginx.access\" && Fields[status] >= 500'").doc("Which messages it receives. Either this or `from` is required. A filter never receives what it injected itself."),
    Opt::strings("from").default("").sample("[\"filter.errors\"]").doc("Receive only what these inputs and filters send, such as \"input.access\"."),
    Opt::string("signer").doc("Receive only messages with a verified signature of this signer."),
    Opt::size("queue").default("16MiB").doc("Bytes that may wait for this plugin."),
    Opt::choice("when_full", &["spill", "hold", "drop_oldest", "drop_newest", "block"])
        .default("spill")
        .doc("When its queue is full: `spill` goes on in the journal, so that nobody waits (without `state` in [nilo], or when the journal is full: as `hold`); `hold` lets inputs that can wait do so and drops the oldest of the others; `block` lets every input wait; the other two drop and count."),
    Opt::bool("durable").default("false").doc("Messages that cannot be read again (of tcp, http, udp, statsd, filters) are in the journal before their sender is told that they were accepted, and come back after a crash. Needs `state` in [nilo]."),
];

/// Options every output takes besides.
pub const OUTPUT_OPTIONS: &[Opt] = &[
    Opt::string("encoder").doc("How messages become bytes: a kind of encoder or the NAME of an [encoder.NAME]. Default: the output's own."),
    Opt::integer("batch_count").default("10000").doc("Most messages handed over at once."),
    Opt::size("batch_bytes").default("1MiB").doc("Bytes after which no more messages are added to what is handed over at once."),
    Opt::duration("batch_age").default("0s").doc("How long to wait for a fuller batch. 0s: never; under load batches fill by themselves."),
    Opt::integer("unconfirmed").default("100000").doc("Messages that an output which confirms later may have taken without saying what became of them; their bytes are bounded by `queue`."),
    Opt::duration("retry").default("250ms").doc("First pause after the world refused; doubles up to `retry_max`."),
    Opt::duration("retry_max").default("30s").doc("Longest pause."),
];

/// Options that concern only routing: changing them leaves the plugin as it is.
const ROUTING: &[&str] = &["match", "from", "signer", "queue", "when_full", "durable"];

const CODEC_OPTIONS: &[Opt] = &[Opt::string("type").doc("Kind of plugin. Default: the section's own name.")];

/// All options a plugin of this kind takes: its family's and its own.
pub fn options_of(kind: &Kind) -> Vec<&'static [Opt]> {
    match kind.family() {
        Family::Input => vec![INPUT_OPTIONS, kind.options],
        Family::Filter => vec![CONSUMER_OPTIONS, kind.options],
        Family::Output => vec![CONSUMER_OPTIONS, OUTPUT_OPTIONS, kind.options],
        _ => vec![CODEC_OPTIONS, kind.options],
    }
}

/// A plugin to build: its kind and checked options.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub name: String,
    pub kind: &'static Kind,
    pub options: Options,
}

impl Spec {
    fn same_as(&self, other: &Spec) -> bool {
        self.name == other.name && std::ptr::eq(self.kind, other.kind) && self.options.same_as(&other.options, ROUTING)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct InputPlan {
    pub id: Arc<str>,
    pub spec: Spec,
    pub splitter: Spec,
    pub decoder: Spec,
    pub transforms: Vec<Spec>,
}

impl InputPlan {
    pub fn same_as(&self, other: &InputPlan) -> bool {
        self.spec.same_as(&other.spec)
            && self.splitter.same_as(&other.splitter)
            && self.decoder.same_as(&other.decoder)
            && self.transforms.len() == other.transforms.len()
            && self.transforms.iter().zip(&other.transforms).all(|(a, b)| a.same_as(b))
    }
}

/// What is said of a durable consumer without a state directory.
const CANNOT_BE_DURABLE: &str = "cannot be durable";

/// What a full queue does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WhenFull {
    Spill,
    Hold,
    DropOldest,
    DropNewest,
    Block,
}

#[derive(Clone, Debug)]
pub(crate) struct ConsumerPlan {
    pub id: Arc<str>,
    pub spec: Spec,
    pub matcher: Matcher,
    pub from: Vec<Arc<str>>,
    pub signer: Option<String>,
    pub queue: usize,
    pub when_full: WhenFull,
    pub durable: bool,
    /// Outputs only.
    pub encoder: Option<Spec>,
}

impl ConsumerPlan {
    pub fn rules(&self) -> Rules {
        Rules { limit: self.queue, when_full: self.when_full, durable: self.durable }
    }

    /// Whether the plugin itself would be the same; what concerns only routing may differ.
    pub fn same_as(&self, other: &ConsumerPlan) -> bool {
        let encoder = match (&self.encoder, &other.encoder) {
            (Some(a), Some(b)) => a.same_as(b),
            (None, None) => true,
            _ => false,
        };
        self.spec.same_as(&other.spec) && encoder
    }
}

/// A configuration that was held against the registry and found sound: what the engine runs.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) inputs: Vec<InputPlan>,
    pub(crate) filters: Vec<Arc<ConsumerPlan>>,
    pub(crate) outputs: Vec<Arc<ConsumerPlan>>,
    /// Codecs that nobody refers to: checked, and not run.
    spare: Vec<Spec>,
    pub(crate) globals: Globals,
    /// Directories whose scripts run.
    pub(crate) watched: Watched,
    /// Scripts in them that do not run.
    pub troubles: Vec<Trouble>,
    /// Files the configuration was read from.
    pub files: Vec<PathBuf>,
    /// What works but is probably not meant.
    pub warnings: Vec<Problem>,
}

#[derive(Clone, Debug)]
pub(crate) struct Globals {
    pub state: Option<PathBuf>,
    pub workers: usize,
    pub hostname: String,
    pub modules: Option<PathBuf>,
    pub max_hops: u8,
    pub watch: bool,
    pub snapshot: Duration,
    pub grace: Duration,
    pub journal_max: u64,
    pub journal_sync: SyncPolicy,
    pub stuck_after: Duration,
}

impl Globals {
    fn read(o: &Options, problems: &mut Vec<Problem>) -> Globals {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = o.get_integer("workers").unwrap_or(cores.min(64) as i64);
        if !(1..=64).contains(&workers) {
            problems.push(o.problem("workers", "`workers` is out of range", "expected 1 to 64"));
        }
        if !(1..=100).contains(&o.integer("max_hops")) {
            problems.push(o.problem("max_hops", "`max_hops` is out of range", "expected 1 to 100"));
        }
        let system = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Globals {
            state: o.get_path("state").map(PathBuf::from),
            workers: workers.clamp(1, 64) as usize,
            hostname: o.get_str("hostname").map_or(system, str::to_string),
            modules: o.get_path("modules").map(PathBuf::from),
            max_hops: o.integer("max_hops").clamp(1, 100) as u8,
            watch: o.bool("watch"),
            snapshot: o.duration("snapshot"),
            grace: o.duration("grace"),
            journal_max: o.size("journal_max") as u64,
            journal_sync: sync(o, problems),
            stuck_after: o.duration("stuck_after"),
        }
    }
}

fn sync(o: &Options, problems: &mut Vec<Problem>) -> SyncPolicy {
    match o.str("journal_sync") {
        "always" => SyncPolicy::Always,
        "never" => SyncPolicy::Never,
        text => options::unit::duration(text).map(SyncPolicy::Every).unwrap_or_else(|_| {
            problems.push(o.problem(
                "journal_sync",
                "malformed `journal_sync`",
                "expected a duration such as \"200ms\", \"always\" or \"never\"",
            ));
            SyncPolicy::Always
        }),
    }
}

impl Plan {
    /// Directory for what is remembered, if any.
    pub fn state(&self) -> Option<&std::path::Path> {
        self.globals.state.as_deref()
    }

    /// Whether files are to be watched.
    pub fn watches(&self) -> bool {
        self.globals.watch
    }

    /// Plugins by name and kind, as `input.access` and `tail`.
    pub fn plugins(&self) -> impl Iterator<Item = (&str, &'static Kind)> {
        let consumers = self.filters.iter().chain(&self.outputs).map(|c| (&*c.id, c.spec.kind));
        self.inputs.iter().map(|i| (&*i.id, i.spec.kind)).chain(consumers)
    }

    /// Holds a configuration against the registry, without building anything but scripts that lie in
    /// watched directories: one that is broken must not disturb anything else.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(config: &Config, registry: &Registry) -> Result<Plan, Vec<Problem>> {
        let mut planner = Planner { config, registry, problems: config.problems.clone(), used: Vec::new() };
        let globals = Globals::read(&config.globals, &mut planner.problems);
        let mut plan = Plan {
            inputs: Vec::new(),
            filters: Vec::new(),
            outputs: Vec::new(),
            spare: Vec::new(),
            watched: Watched::default(),
            troubles: Vec::new(),
            globals,
            files: config.files.clone(),
            warnings: Vec::new(),
        };
        for section in &config.sections {
            match section.family {
                Family::Input => plan.inputs.extend(planner.input(section)),
                Family::Filter => plan.filters.extend(planner.consumer(section)),
                Family::Output => plan.outputs.extend(planner.consumer(section)),
                _ => {}
            }
        }
        planner.dropped(&mut plan);
        plan.spare = planner.codecs_alone();
        plan.warnings = planner.warnings(&plan);
        let mut problems = planner.problems;
        if problems.is_empty() {
            return Ok(plan);
        }
        // Plugins that are sound so far may object to something themselves: that is said along.
        problems.extend(plan.check().err().unwrap_or_default());
        let mut seen = std::collections::HashSet::new();
        problems.retain(|p| seen.insert(p.to_string()));
        Err(problems)
    }

    /// The same plan with its memory in this directory.
    pub fn with_state(mut self, dir: PathBuf) -> Plan {
        self.globals.state = Some(dir);
        self.warnings.retain(|w| !w.title.ends_with(CANNOT_BE_DURABLE));
        self
    }

    /// Builds every plugin once and drops it: finds what only a plugin itself can tell (a script
    /// that does not compile), without running anything.
    ///
    /// # Errors
    /// Everything the plugins object to.
    pub fn check(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut check = |spec: &Spec| problems.extend(self.try_build(spec));
        for input in &self.inputs {
            [&input.spec, &input.splitter, &input.decoder].into_iter().chain(&input.transforms).for_each(&mut check);
        }
        for consumer in self.filters.iter().chain(&self.outputs) {
            check(&consumer.spec);
            consumer.encoder.iter().for_each(&mut check);
        }
        self.spare.iter().for_each(&mut check);
        // A codec shared by several inputs would otherwise be reported by each.
        let mut seen = std::collections::HashSet::new();
        problems.retain(|p| seen.insert(p.to_string()));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn trouble(&mut self, id: &str, kind: &'static str, problem: Problem) {
        self.troubles.push(Trouble { id: id.to_string(), kind, problem });
    }

    pub(crate) fn build_cx(&self, spec: &Spec, clock: &Clock) -> BuildCx {
        BuildCx {
            name: spec.name.clone(),
            hostname: self.globals.hostname.clone(),
            clock: clock.clone(),
            module_path: self.globals.modules.clone(),
            check_only: false,
        }
    }

    pub(crate) fn try_build(&self, spec: &Spec) -> Option<Problem> {
        let cx = BuildCx { check_only: true, ..self.build_cx(spec, &Clock::real()) };
        let o = &spec.options;
        match spec.kind.build {
            Build::Input(f) => f(o, &cx).err(),
            Build::Splitter(f) => f(o, &cx).err(),
            Build::Decoder(f) => f(o, &cx).err(),
            Build::Transform(f) => f(o, &cx).err(),
            Build::Filter(f) => f(o, &cx).err(),
            Build::Encoder(f) => f(o, &cx).err(),
            Build::Output(f) => f(o, &cx).err(),
        }
    }
}

struct Planner<'a> {
    config: &'a Config,
    registry: &'a Registry,
    problems: Vec<Problem>,
    /// Codec sections that someone refers to.
    used: Vec<(Family, String)>,
}

impl Planner<'_> {
    fn input(&mut self, section: &Section) -> Option<InputPlan> {
        let (spec, sound) = self.read(section)?;
        let codec =
            |planner: &mut Self, family, option: &str| planner.codec(family, spec.options.str(option), spec.options.location(option));
        let splitter = codec(self, Family::Splitter, "splitter");
        let decoder = codec(self, Family::Decoder, "decoder");
        let names = spec.options.strings("transform").to_vec();
        let at = spec.options.location("transform").clone();
        let transforms: Vec<_> = names.iter().filter_map(|name| self.codec(Family::Transform, name, &at)).collect();
        let id = format!("input.{}", section.name).into();
        (sound && transforms.len() == names.len()).then_some(InputPlan { id, splitter: splitter?, decoder: decoder?, transforms, spec })
    }

    fn consumer(&mut self, section: &Section) -> Option<Arc<ConsumerPlan>> {
        let (spec, sound) = self.read(section)?;
        let o = &spec.options;
        // All of these are looked at, whatever else is wrong.
        let matcher = self.matcher(o);
        let from = self.from(o);
        let encoder = if section.family == Family::Output { self.encoder(&spec, sound).map(Some) } else { Some(None) };
        let (Some(matcher), Some(encoder), true) = (matcher, encoder, sound) else { return None };
        Some(Arc::new(ConsumerPlan {
            id: format!("{}.{}", section.family, section.name).into(),
            matcher,
            from,
            signer: o.get_str("signer").map(str::to_string),
            queue: o.size("queue"),
            when_full: match o.str("when_full") {
                "drop_oldest" => WhenFull::DropOldest,
                "drop_newest" => WhenFull::DropNewest,
                "block" => WhenFull::Block,
                "hold" => WhenFull::Hold,
                _ => WhenFull::Spill,
            },
            durable: o.bool("durable"),
            encoder,
            spec,
        }))
    }

    /// Adds the scripts in watched directories that are sound, and says what is wrong with the others.
    fn dropped(&mut self, plan: &mut Plan) {
        let filters = self.config.sections.iter().filter(|s| s.family == Family::Filter);
        let taken = filters.map(|s| s.name.as_str()).collect();
        let found = sandboxes::dropped(&self.config.sandboxes, self.registry, &taken);
        (plan.watched, plan.troubles) = (found.watched, found.troubles);
        for section in found.sections {
            let before = self.problems.len();
            let consumer = self.consumer(&section);
            let problem = self.problems.drain(before..).next();
            match (consumer, problem) {
                (Some(consumer), None) => match plan.try_build(&consumer.spec) {
                    None => plan.filters.push(consumer),
                    Some(problem) => plan.trouble(&consumer.id, consumer.spec.kind.name, problem),
                },
                (_, problem) => {
                    let problem = problem.unwrap_or_else(|| Problem::new("the script cannot be used"));
                    plan.trouble(&format!("filter.{}", section.name), "lua", problem);
                }
            }
        }
    }

    fn matcher(&mut self, o: &Options) -> Option<Matcher> {
        let Some(text) = o.get_str("match") else {
            if o.given("match") {
                return None; // It is not even a string, which was said.
            }
            if o.strings("from").is_empty() {
                let problem = Problem::new("option `match` is missing").at(o.at(), "this plugin would never receive anything");
                self.problems.push(
                    problem.help("add `match = 'TRUE'` for everything, or an expression such as 'Type == \"nginx.access\"', or `from`"),
                );
                return None;
            }
            return Matcher::parse("TRUE").ok();
        };
        match Matcher::parse(text) {
            Ok(matcher) => Some(matcher),
            Err(e) => {
                let at = o.location("match").within(e.at.clone(), text);
                let problem = Problem::new("malformed matcher").at(&at, format!("found {}, expected {}", e.found, e.expected));
                self.problems.push(match e.help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
                None
            }
        }
    }

    fn from(&mut self, o: &Options) -> Vec<Arc<str>> {
        if o.strings("from").is_empty() {
            return Vec::new();
        }
        let sources = || {
            self.config
                .sections
                .iter()
                .filter(|s| matches!(s.family, Family::Input | Family::Filter))
                .map(|s| format!("{}.{}", s.family, s.name))
        };
        let known: Vec<String> = sources().collect();
        for name in o.strings("from") {
            if !known.contains(name) {
                let problem =
                    o.problem("from", format!("there is no plugin `{name}`"), "expected the family and name of an input or filter");
                self.problems.push(match nearest(name, known.iter().map(String::as_str)) {
                    Some(name) => problem.help(format!("did you mean \"{name}\"?")),
                    None => problem.help(format!("there are: {}", known.join(", "))),
                });
            }
        }
        o.strings("from").iter().map(|s| s.as_str().into()).collect()
    }

    /// The kind and options of a section of its own, if nothing is wrong with them.
    fn spec(&mut self, section: &Section) -> Option<Spec> {
        self.read(section).and_then(|(spec, sound)| sound.then_some(spec))
    }

    /// As [`Planner::spec`]; of what is wrong the rest can still be checked. Tells whether all is well.
    fn read(&mut self, section: &Section) -> Option<(Spec, bool)> {
        let kind = self.kind_of(section)?;
        let before = self.problems.len();
        let options = Options::check(&options_of(kind), &section.tree, &mut self.problems);
        // A section is reported where its name is, not as a whole.
        for problem in &mut self.problems[before..] {
            if problem.at.as_ref().is_some_and(|at| at.span == section.tree.at.span) {
                problem.at = Some(section.key.at.clone());
            }
        }
        Some((Spec { name: section.name.clone(), kind, options }, self.problems.len() == before))
    }

    fn kind_of(&mut self, section: &Section) -> Option<&'static Kind> {
        let family = section.family;
        let (name, at) = match section.tree.get("type") {
            Some(Node { raw: Raw::String(name), at }) => (name.as_str(), at),
            Some(Node { at, raw }) => {
                self.problems.push(Problem::new("`type` must be a string").at(at, format!("found {}", raw.kind())));
                return None;
            }
            None if matches!(family, Family::Input | Family::Filter | Family::Output)
                && self.registry.kind(family, &section.name).is_none() =>
            {
                let names = among(family, &self.registry.names(family));
                self.problems.push(
                    Problem::new("option `type` is missing")
                        .at(&section.key.at, format!("what kind of {family} is it?"))
                        .help(format!("expected {names}")),
                );
                return None;
            }
            None => (section.name.as_str(), &section.key.at),
        };
        let kind = self.registry.kind(family, name);
        if kind.is_none() {
            self.problems.push(unknown_kind(self.registry, family, name, at));
        }
        kind
    }

    /// A codec by the name of its section, of a well-known configuration or of its kind.
    fn codec(&mut self, family: Family, name: &str, at: &Location) -> Option<Spec> {
        let config = self.config;
        if let Some(section) = config.section(family, name) {
            self.used.push((family, name.to_string()));
            return self.spec(section);
        }
        let (kind, toml) = match self.registry.preset(family, name) {
            Some(preset) => (self.registry.kind(family, preset.kind), preset.toml),
            None => (self.registry.kind(family, name), ""),
        };
        let Some(kind) = kind else {
            let mut known: Vec<&str> = config.sections.iter().filter(|s| s.family == family).map(|s| s.name.as_str()).collect();
            for name in self.registry.preset_names(family).chain(self.registry.names(family)) {
                known.push(name);
            }
            let problem = Problem::new(format!("there is no {family} `{name}`")).at(at, format!("expected {}", among(family, &known)));
            self.problems.push(match nearest(name, known.iter().copied()) {
                Some(near) => problem.help(format!("did you mean \"{near}\"?")),
                None => problem.help(format!("define it in a section [{family}.{name}]")),
            });
            return None;
        };
        let mut found = Vec::new();
        let tree = Tree::parse(Source::new(format!("{family} {name}"), toml)).unwrap_or(Tree { at: at.clone(), entries: Vec::new() });
        let options = Options::check(&options_of(kind), &Tree { at: at.clone(), ..tree }, &mut found);
        // What is missing can only be given in a section.
        let help = format!("configure it in a section [{family}.NAME] with type = \"{}\" and refer to NAME here", kind.name);
        self.problems.extend(found.iter().map(|p| Problem { help: Some(help.clone()), ..p.clone() }));
        found.is_empty().then(|| Spec { name: name.to_string(), kind, options })
    }

    /// The encoder that an output names, or else wants itself.
    fn encoder(&mut self, output: &Spec, sound: bool) -> Option<Spec> {
        match output.options.get_str("encoder") {
            Some(name) => self.codec(Family::Encoder, name, output.options.location("encoder")),
            None if sound => self.default_encoder(output),
            None => None,
        }
    }

    /// The encoder the output itself wants.
    fn default_encoder(&mut self, spec: &Spec) -> Option<Spec> {
        let cx = BuildCx { name: spec.name.clone(), hostname: String::new(), clock: Clock::real(), module_path: None, check_only: true };
        let Build::Output(build) = spec.kind.build else { return None };
        match build(&spec.options, &cx) {
            Ok(output) => self.codec(Family::Encoder, output.default_encoder(), spec.options.at()),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// Checks codec sections that nobody refers to as well: a misspelt name shows twice then.
    fn codecs_alone(&mut self) -> Vec<Spec> {
        let config = self.config;
        let unused = |planner: &Self, section: &Section| {
            let codec = !matches!(section.family, Family::Input | Family::Filter | Family::Output);
            codec && !planner.used.contains(&(section.family, section.name.clone()))
        };
        config.sections.iter().filter_map(|section| if unused(self, section) { self.spec(section) } else { None }).collect()
    }

    fn warnings(&self, plan: &Plan) -> Vec<Problem> {
        let mut warnings = Vec::new();
        for section in &self.config.sections {
            let codec = !matches!(section.family, Family::Input | Family::Filter | Family::Output);
            if codec && !self.used.contains(&(section.family, section.name.clone())) {
                let title = format!("[{}.{}] is not used", section.family, section.name);
                warnings.push(Problem::warning(title).at(&section.key.at, "no plugin refers to it"));
            }
        }
        for directory in plan.watched.directories.iter().filter(|d| !d.is_dir()) {
            let label = format!("{} is not there, or is no directory", directory.display());
            let at = self.config.sandboxes.location("watch");
            let problem = Problem::warning("a watched directory is missing").at(at, label);
            warnings.push(problem.help("its scripts run as soon as it is there"));
        }
        for consumer in plan.filters.iter().chain(&plan.outputs).filter(|c| c.when_full == WhenFull::Block) {
            let label = "when this queue is full, every input stops, also those of other outputs";
            let problem =
                Problem::warning(format!("{} may stop everything", consumer.id)).at(consumer.spec.options.location("when_full"), label);
            warnings.push(problem.help("\"hold\" lets only inputs wait that lose nothing by it"));
        }
        if plan.globals.state.is_none() {
            for consumer in plan.filters.iter().chain(&plan.outputs).filter(|c| c.durable) {
                let problem = Problem::warning(format!("{} {CANNOT_BE_DURABLE}", consumer.id))
                    .at(consumer.spec.options.location("durable"), "there is no state directory for the journal");
                warnings.push(problem.help("set `state` in [nilo], or run with --state"));
            }
        }
        if plan.inputs.is_empty() && self.problems.is_empty() {
            warnings.push(Problem::warning("the configuration has no input").help("add a section [input.NAME]"));
        }
        warnings
    }
}

fn unknown_kind(registry: &Registry, family: Family, name: &str, at: &Location) -> Problem {
    let names = registry.names(family);
    let problem = Problem::new(format!("there is no {family} of type `{name}`")).at(at, format!("expected {}", among(family, &names)));
    match nearest(name, names.iter().copied()) {
        Some(near) => problem.help(format!("did you mean \"{near}\"?")),
        None => problem.help("`nilo list` shows what each is for"),
    }
}

/// Names to choose from, unless they are so many that nobody reads them.
fn among(family: Family, names: &[&str]) -> String {
    match names.len() {
        0..=15 => format!("one of: {}", names.join(", ")),
        n => format!("one of the {n} that `nilo list {family}` shows"),
    }
}
