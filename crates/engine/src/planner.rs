use std::sync::Arc;

use matcher::Matcher;
use options::{Location, Node, Options, Problem, Raw, Source, Tree, nearest};
use plugin::{Build, BuildCx, Clock, Family, Kind, Nested, Registry};

use crate::config::{Config, Section};
use crate::family_options::options_of;
use crate::globals::Globals;
use crate::plan::{CANNOT_BE_DURABLE, ConsumerPlan, InputPlan, Plan, Spec, WhenFull};
use crate::sandboxes::{self, Watched};

/// Holds a configuration against the registry, and collects what is wrong with it.
pub(crate) struct Planner<'a> {
    config: &'a Config,
    registry: &'a Registry,
    problems: Vec<Problem>,
    /// Codec sections that someone refers to.
    used: Vec<(Family, String)>,
    /// Codec sections that are being read, each named in the one before.
    reading: Vec<(Family, String)>,
}

impl<'a> Planner<'a> {
    pub fn new(config: &'a Config, registry: &'a Registry) -> Planner<'a> {
        Planner { config, registry, problems: config.problems.clone(), used: Vec::new(), reading: Vec::new() }
    }

    /// # Errors
    /// Everything that is wrong with the configuration.
    pub fn plan(mut self) -> Result<Plan, Vec<Problem>> {
        let config = self.config;
        let globals = Globals::read(&config.globals, &mut self.problems);
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
                Family::Input => plan.inputs.extend(self.input(section)),
                Family::Filter => plan.filters.extend(self.consumer(section)),
                Family::Output => plan.outputs.extend(self.consumer(section)),
                _ => {}
            }
        }
        self.dropped(&mut plan);
        plan.spare = self.codecs_alone();
        plan.warnings = self.warnings(&plan);
        let mut problems = self.problems;
        if problems.is_empty() {
            return Ok(plan);
        }
        // Plugins that are sound so far may object to something themselves: that is said along.
        problems.extend(plan.check().err().unwrap_or_default());
        let mut seen = std::collections::HashSet::new();
        problems.retain(|p| seen.insert(p.to_string()));
        Err(problems)
    }

    fn input(&mut self, section: &Section) -> Option<InputPlan> {
        let (spec, sound) = self.read(section)?;
        let (o, own) = (&spec.options, spec.kind.reads.unzip());
        let mut codec = |family, option: &str, own: Option<&str>| {
            let name = own.filter(|_| !o.given(option)).unwrap_or(o.str(option));
            self.codec(family, name, o.location(option))
        };
        let splitter = codec(Family::Splitter, "splitter", own.0);
        let decoder = codec(Family::Decoder, "decoder", own.1);
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
        let nested = self.nested(kind, &options);
        Some((Spec { name: section.name.clone(), kind, options, nested }, self.problems.len() == before))
    }

    /// What a plugin is made of, as far as it is sound.
    fn nested(&mut self, kind: &Kind, options: &Options) -> Vec<Nested> {
        let (Some((_, family)), Some((names, at))) = (kind.nests, Nested::named(kind, options)) else { return Vec::new() };
        let specs = names.into_iter().filter_map(|name| self.codec(family, name, at));
        specs.map(|Spec { name, kind, options, nested }| Nested { name, kind, options, nested }).collect()
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
            if self.reading.iter().any(|known| *known == (family, name.to_string())) {
                let problem = Problem::new(format!("{family} `{name}` is made of itself")).at(at, "it is named here again");
                self.problems.push(problem.help("name the plugins it is made of, none of which may be made of it"));
                return None;
            }
            self.reading.push((family, name.to_string()));
            let spec = self.spec(section);
            self.reading.pop();
            return spec;
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
        if !found.is_empty() {
            return None;
        }
        let nested = self.nested(kind, &options);
        Some(Spec { name: name.to_string(), kind, options, nested })
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
        let cx = BuildCx {
            name: spec.name.clone(),
            hostname: String::new(),
            clock: Clock::real(),
            module_path: None,
            check_only: true,
            nested: spec.nested.clone(),
        };
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
