use std::fmt;

use options::{Opt, Options, Problem};

use crate::{BuildCx, Decoder, Encoder, Filter, Input, Output, Splitter, Transform};

/// The seven families of plugins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Family {
    Input,
    Splitter,
    Decoder,
    Transform,
    Filter,
    Encoder,
    Output,
}

impl Family {
    pub const ALL: [Family; 7] =
        [Family::Input, Family::Splitter, Family::Decoder, Family::Transform, Family::Filter, Family::Encoder, Family::Output];

    /// As in the configuration: `[input.NAME]`.
    pub fn name(self) -> &'static str {
        match self {
            Family::Input => "input",
            Family::Splitter => "splitter",
            Family::Decoder => "decoder",
            Family::Transform => "transform",
            Family::Filter => "filter",
            Family::Encoder => "encoder",
            Family::Output => "output",
        }
    }

    pub fn from_name(name: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|f| f.name() == name)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far users may build on a plugin's options and output staying as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stability {
    Stable,
    Experimental,
}

type Builder<T> = fn(&Options, &BuildCx) -> Result<Box<T>, Problem>;

/// How to make one, by family. Filters, encoders and what runs on an input's thread are built on
/// the thread that runs them, so they need not be `Send`.
#[derive(Clone, Copy)]
pub enum Build {
    Input(Builder<dyn Input>),
    Splitter(Builder<dyn Splitter>),
    Decoder(Builder<dyn Decoder>),
    Transform(Builder<dyn Transform>),
    Filter(Builder<dyn Filter>),
    Encoder(Builder<dyn Encoder>),
    Output(Builder<dyn Output>),
}

/// A configuration that shows one use of a plugin: the lines below its section header.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    pub title: &'static str,
    pub toml: &'static str,
}

/// A kind of plugin: what is in the registry, from which list, docs, skeletons and checks come.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub stability: Stability,
    /// One sentence.
    pub summary: &'static str,
    /// What it is for, when not to use it, what it guarantees.
    pub doc: &'static str,
    pub options: &'static [Opt],
    pub examples: &'static [Example],
    /// An output of which several instances may deliver at once: see [`Kind::concurrent`].
    pub concurrent: bool,
    /// Of one that is made of others: see [`Kind::nests`].
    pub nests: Option<(&'static str, Family)>,
    /// Of an input of one format: see [`Kind::reads`].
    pub reads: Option<(&'static str, &'static str)>,
    pub build: Build,
}

macro_rules! constructors {
    ($($name:ident $variant:ident $trait:ident,)*) => {$(
        pub const fn $name(name: &'static str, stability: Stability, build: Builder<dyn $trait>) -> Kind {
            Kind { name, stability, summary: "", doc: "", options: &[], examples: &[], concurrent: false, nests: None, reads: None, build: Build::$variant(build) }
        }
    )*};
}

impl Kind {
    constructors! {
        input Input Input,
        splitter Splitter Splitter,
        decoder Decoder Decoder,
        transform Transform Transform,
        filter Filter Filter,
        encoder Encoder Encoder,
        output Output Output,
    }

    pub const fn summary(mut self, summary: &'static str) -> Kind {
        self.summary = summary;
        self
    }

    pub const fn doc(mut self, doc: &'static str) -> Kind {
        self.doc = doc;
        self
    }

    pub const fn options(mut self, options: &'static [Opt]) -> Kind {
        self.options = options;
        self
    }

    pub const fn examples(mut self, examples: &'static [Example]) -> Kind {
        self.examples = examples;
        self
    }

    /// For plugins made of others: the option that names plugins of this family. They are looked up as those of an input
    /// are (sections, well-known configurations, kinds), and given to the builder as [`BuildCx::nested`].
    pub const fn nests(mut self, option: &'static str, family: Family) -> Kind {
        self.nests = Some((option, family));
        self
    }

    /// For inputs that read one format: splitter and decoder used unless the configuration names others.
    pub const fn reads(mut self, splitter: &'static str, decoder: &'static str) -> Kind {
        self.reads = Some((splitter, decoder));
        self
    }

    /// For outputs that wait for answers: the engine may run several instances with the same options, each on a thread of
    /// its own and with messages of its own (`concurrency`). They must not share anything that is theirs alone, such as a file.
    pub const fn concurrent(mut self) -> Kind {
        self.concurrent = true;
        self
    }

    pub fn family(&self) -> Family {
        match self.build {
            Build::Input(_) => Family::Input,
            Build::Splitter(_) => Family::Splitter,
            Build::Decoder(_) => Family::Decoder,
            Build::Transform(_) => Family::Transform,
            Build::Filter(_) => Family::Filter,
            Build::Encoder(_) => Family::Encoder,
            Build::Output(_) => Family::Output,
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.family(), self.name)
    }
}

/// A well-known configuration of a kind that can be named like a plugin, such as the decoder
/// `nginx`: `log_format` with the format of nginx's default log.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    pub family: Family,
    pub name: &'static str,
    /// The kind it configures.
    pub kind: &'static str,
    pub summary: &'static str,
    /// Option lines in TOML.
    pub toml: &'static str,
}
