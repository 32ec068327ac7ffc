use std::path::PathBuf;
use std::sync::Arc;

use matcher::Matcher;
use options::{Options, Problem};
use plugin::{Build, BuildCx, Clock, Kind, Nested, Registry};

use crate::config::Config;
use crate::family_options::ROUTING;
use crate::globals::Globals;
use crate::planner::Planner;
use crate::queue::Rules;
use crate::sandboxes::{Trouble, Watched};

/// A plugin to build: its kind and checked options.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub name: String,
    pub kind: &'static Kind,
    pub options: Options,
    /// What it is made of.
    pub nested: Vec<Nested>,
}

impl Spec {
    fn same_as(&self, other: &Spec) -> bool {
        self.name == other.name
            && std::ptr::eq(self.kind, other.kind)
            && self.options.same_as(&other.options, ROUTING)
            && Nested::all_same(&self.nested, &other.nested, &[])
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
pub(crate) const CANNOT_BE_DURABLE: &str = "cannot be durable";

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
    pub(crate) spare: Vec<Spec>,
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
        Planner::new(config, registry).plan()
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
        let cx = |output: &ConsumerPlan| self.build_cx(&output.spec, &Clock::real());
        problems.extend(self.outputs.iter().filter_map(|output| crate::output::objection(output, &cx(output))));
        // A codec shared by several inputs would otherwise be reported by each.
        let mut seen = std::collections::HashSet::new();
        problems.retain(|p| seen.insert(p.to_string()));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    pub(crate) fn trouble(&mut self, id: &str, kind: &'static str, problem: Problem) {
        self.troubles.push(Trouble { id: id.to_string(), kind, problem });
    }

    pub(crate) fn build_cx(&self, spec: &Spec, clock: &Clock) -> BuildCx {
        BuildCx {
            name: spec.name.clone(),
            hostname: self.globals.hostname.clone(),
            clock: clock.clone(),
            module_path: self.globals.modules.clone(),
            check_only: false,
            nested: spec.nested.clone(),
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
