//! The component contract as tests, to run over every plugin there is.
//!
//! A [`Contract`] holds the registry and a directory of its own. Each clause is a function that
//! panics where a plugin breaks it; [`Contract::every`] runs a clause over all kinds of a family
//! and names all that do.
//!
//! ```no_run
//! # fn example(registry: plugin::Registry) {
//! use testkit::conformance::{Contract, splitters};
//!
//! let contract = Contract::new(registry, |kind| vec![kind.options]);
//! contract.every(plugin::Family::Splitter, splitters::make_progress);
//! # }
//! ```

pub mod declarations;
pub mod decoders;
pub mod encoders;
pub mod filters;
pub mod inputs;
pub mod outputs;
pub mod splitters;
pub mod transforms;
pub mod values;

use std::cell::OnceCell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use options::{Opt, Options, Problem, Raw, Source, Tree, Type};
use plugin::{Build, BuildCx, Clock, Decoder, Encoder, Family, Filter, Input, Kind, Nested, Output, Registry, Splitter, Transform};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

use crate::certificates::{Authority, Identity};
use crate::{descriptors, mmdb};

/// All a script must have to be one of any family.
const SCRIPT: &str = "count = 0
function process_message() count = count + 1 return 0 end
function timer_event(ns) inject_payload('txt', 'count', count) end
";

/// What a table must have that is looked up in.
const TABLE: &str = "host,owner,team\nweb1,ann,ops\n";

/// The plugins under test and where they may leave files.
pub struct Contract {
    pub registry: Registry,
    /// All options a kind takes: its family's and its own.
    options_of: fn(&Kind) -> Vec<&'static [Opt]>,
    pub dir: tempfile::TempDir,
    /// An authority, and what it issued, once they are asked for.
    certificates: OnceCell<(PathBuf, Identity)>,
}

/// A plugin of any family.
pub enum Built {
    Input(Box<dyn Input>),
    Splitter(Box<dyn Splitter>),
    Decoder(Box<dyn Decoder>),
    Transform(Box<dyn Transform>),
    Filter(Box<dyn Filter>),
    Encoder(Box<dyn Encoder>),
    Output(Box<dyn Output>),
}

impl Contract {
    pub fn new(registry: Registry, options_of: fn(&Kind) -> Vec<&'static [Opt]>) -> Contract {
        Contract { registry, options_of, dir: tempfile::tempdir().expect("a directory for tests"), certificates: OnceCell::new() }
    }

    /// Holds all kinds of a family to a clause.
    ///
    /// # Panics
    /// When one breaks it; names all that do, and why.
    pub fn every(&self, family: Family, clause: impl Fn(&Contract, &'static Kind)) {
        let kinds: Vec<_> = self.registry.kinds().into_iter().filter(|k| k.family() == family).collect();
        assert!(!kinds.is_empty(), "there is no {family}");
        self.each(&kinds, clause);
    }

    /// As [`Contract::every`], over all families.
    ///
    /// # Panics
    /// As [`Contract::every`].
    pub fn all(&self, clause: impl Fn(&Contract, &'static Kind)) {
        self.each(&self.registry.kinds(), clause);
    }

    fn each(&self, kinds: &[&'static Kind], clause: impl Fn(&Contract, &'static Kind)) {
        let broken: Vec<String> = kinds
            .iter()
            .filter_map(|kind| {
                let panic = catch_unwind(AssertUnwindSafe(|| clause(self, kind))).err()?;
                let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                Some(format!("{kind:?}: {}", text.unwrap_or_default()))
            })
            .collect();
        assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    }

    /// Configurations that a kind must work in: with what it needs only, those it shows, and its
    /// presets.
    pub fn configurations(&self, kind: &Kind) -> Vec<String> {
        let presets = self.registry.presets().iter().filter(|p| p.family == kind.family() && p.kind == kind.name);
        let examples = kind.examples.iter().map(|e| e.toml);
        std::iter::once(self.least(kind, "")).chain(examples.chain(presets.map(|p| p.toml)).map(str::to_string)).collect()
    }

    /// What a kind needs, except for the option `without`: the required options with their samples
    /// or, when it wants one of several, its first example.
    fn least(&self, kind: &Kind, without: &str) -> String {
        let required = kind.options.iter().filter(|o| o.required);
        let lines: Vec<String> = required.map(|o| format!("{} = {}", o.name, o.sample.unwrap_or(o.type_.sample()))).collect();
        let suffices = self.try_build(kind, &lines.join("\n"), "127.0.0.1:0").is_ok();
        let lines = match kind.examples.first() {
            Some(example) if !suffices => example.toml.lines().map(str::to_string).collect(),
            _ => lines,
        };
        let name = |line: &str| line.split_once(" =").map_or(String::new(), |(name, _)| name.to_string());
        lines.iter().filter(|line| name(line) != without).map(|line| format!("{line}\n")).collect()
    }

    /// The lines as a table of a file in the contract's directory. `type` is its first line.
    ///
    /// # Errors
    /// What is not TOML.
    pub fn tree(&self, kind: &Kind, toml: &str) -> Result<Tree, Vec<Problem>> {
        Tree::parse(Source::new(self.dir.path().join("nilo.toml"), format!("type = \"{}\"\n{toml}", kind.name)))
    }

    /// The same, with what points outside turned to the contract's directory and to a free port of
    /// this machine, or to `address`. Scripts it names are there.
    ///
    /// # Panics
    /// When it is not TOML.
    pub fn at_home(&self, kind: &Kind, toml: &str, address: &str) -> Tree {
        let mut tree = self.tree(kind, toml).expect("valid TOML");
        // A default would be an address that others have.
        if let Some(opt) = kind.options.iter().find(|o| o.type_ == Type::Address && tree.get(o.name).is_none()) {
            tree = self.tree(kind, &format!("{toml}\n{} = \"\"", opt.name)).expect("valid TOML");
        }
        let below = |path: &str| self.dir.path().join(path.trim_start_matches('/'));
        for (key, node) in &mut tree.entries {
            match (key.name.as_str(), &mut node.raw) {
                ("listen" | "address", Raw::String(text)) => *text = address.to_string(),
                ("listen", Raw::List(items)) => {
                    for item in items {
                        if let Raw::String(text) = &mut item.raw {
                            *text = match text.split_once("://") {
                                Some((scheme @ ("unix" | "unixgram"), _)) => {
                                    format!("{scheme}://{}", below(&format!("{scheme}.sock")).display())
                                }
                                Some((scheme, _)) => format!("{scheme}://{address}"),
                                None => address.to_string(),
                            };
                        }
                    }
                }
                ("url", Raw::String(text)) => *text = format!("http://{address}/"),
                ("script", Raw::String(text)) => self.write(&below(text), SCRIPT),
                ("file", Raw::String(text)) if text.ends_with(".csv") => self.write(&below(text), TABLE),
                ("file", Raw::String(text)) if text.ends_with(".mmdb") => {
                    let country = mmdb::Entry::map([("country", mmdb::Entry::map([("iso_code", mmdb::Entry::Text("DE".into()))]))]);
                    self.write(&below(text), mmdb::database(&[("10.0.0.0/8", country)]));
                }
                ("descriptor_set", Raw::String(text)) => self.write(&below(text), descriptors::descriptor_set()),
                ("path", Raw::String(text)) if kind.options.iter().any(|o| o.name == "path" && o.type_ == Type::Path) => {
                    let path = below(text);
                    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
                    *text = path.display().to_string();
                }
                (name, Raw::String(text))
                    if name.starts_with("tls_") && kind.options.iter().any(|o| o.name == name && o.type_ == Type::Path) =>
                {
                    *text = self.certificate(name).display().to_string();
                }
                ("dir", Raw::String(text)) => *text = below(text).display().to_string(),
                ("paths", Raw::String(text)) => *text = below(text).display().to_string(),
                ("paths", Raw::List(items)) => {
                    for item in items {
                        if let Raw::String(text) = &mut item.raw {
                            *text = below(text).display().to_string();
                        }
                    }
                }
                _ => {}
            }
        }
        tree
    }

    /// The file for an option such as `tls_cert`.
    fn certificate(&self, option: &str) -> PathBuf {
        let (authority, identity) = self.certificates.get_or_init(|| {
            let authority = Authority::new();
            (authority.write(self.dir.path()), authority.issue(self.dir.path(), "conforming"))
        });
        match option {
            "tls_cert" => identity.cert.clone(),
            "tls_key" => identity.key.clone(),
            _ => authority.clone(),
        }
    }

    fn write(&self, path: &Path, content: impl AsRef<[u8]>) {
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory for a file");
        fs::write(path, content).expect("a file");
    }

    pub fn check(&self, kind: &Kind, tree: &Tree) -> (Options, Vec<Problem>) {
        let mut problems = Vec::new();
        let options = Options::check(&(self.options_of)(kind), tree, &mut problems);
        (options, problems)
    }

    /// What a plugin is made of: kinds that need no options, and presets.
    pub fn nested(&self, kind: &Kind, options: &Options) -> Vec<Nested> {
        let (Some((_, family)), Some((names, _))) = (kind.nests, Nested::named(kind, options)) else { return Vec::new() };
        let nested = |name: &str| {
            let preset = self.registry.preset(family, name);
            let kind = self.registry.kind(family, preset.map_or(name, |p| p.kind))?;
            let (options, problems) = self.check(kind, &self.tree(kind, preset.map_or("", |p| p.toml)).ok()?);
            let nested = self.nested(kind, &options);
            problems.is_empty().then(|| Nested { name: name.to_string(), kind, options, nested })
        };
        names.into_iter().filter_map(nested).collect()
    }

    /// What a plugin is told; a clock that stands.
    pub fn cx(&self, kind: &Kind, options: &Options, check_only: bool) -> BuildCx {
        let clock = Clock::standing(1_700_000_000_000_000_000);
        BuildCx {
            name: kind.name.into(),
            hostname: "host".into(),
            clock,
            module_path: None,
            check_only,
            nested: self.nested(kind, options),
        }
    }

    /// Builds one in a configuration that is sound, [at home](Contract::at_home).
    ///
    /// # Panics
    /// When the configuration is not sound after all.
    pub fn build(&self, kind: &Kind, toml: &str) -> Built {
        self.build_at(kind, toml, "127.0.0.1:0")
    }

    /// # Panics
    /// As [`Contract::build`].
    pub fn build_at(&self, kind: &Kind, toml: &str, address: &str) -> Built {
        self.try_build(kind, toml, address).unwrap_or_else(|p| panic!("{p}\nin\n{toml}"))
    }

    fn try_build(&self, kind: &Kind, toml: &str, address: &str) -> Result<Built, Problem> {
        let (options, problems) = self.check(kind, &self.at_home(kind, toml, address));
        problems.into_iter().next().map_or_else(|| build(kind, &options, &self.cx(kind, &options, false)), Err)
    }
}

/// # Errors
/// What the plugin objects to.
pub fn build(kind: &Kind, o: &Options, cx: &BuildCx) -> Result<Built, Problem> {
    Ok(match kind.build {
        Build::Input(f) => Built::Input(f(o, cx)?),
        Build::Splitter(f) => Built::Splitter(f(o, cx)?),
        Build::Decoder(f) => Built::Decoder(f(o, cx)?),
        Build::Transform(f) => Built::Transform(f(o, cx)?),
        Build::Filter(f) => Built::Filter(f(o, cx)?),
        Build::Encoder(f) => Built::Encoder(f(o, cx)?),
        Build::Output(f) => Built::Output(f(o, cx)?),
    })
}

macro_rules! families {
    ($($name:ident $variant:ident $trait:ident,)*) => {
        impl Contract {$(
            /// As [`Contract::build`], of a family that is known.
            fn $name(&self, kind: &Kind, toml: &str) -> Box<dyn $trait> {
                match self.build(kind, toml) {
                    Built::$variant(plugin) => plugin,
                    _ => panic!("{kind:?} builds a plugin of another family"),
                }
            }
        )*}
    };
}

families! {
    splitter Splitter Splitter,
    decoder Decoder Decoder,
    transform Transform Transform,
    filter Filter Filter,
    encoder Encoder Encoder,
}

/// Tries a property on some values, the same in every run.
fn try_on<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha));
    let outcome = runner.run(strategy, |value| {
        property(value);
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}
