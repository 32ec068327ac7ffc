/// What an option's value must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    String,
    /// A file or directory; a relative one is taken from the configuration file's directory.
    Path,
    /// As `Path`, for a Lua script; with `nilo:` in front it names one that is built in.
    Script,
    Integer,
    Float,
    Bool,
    /// A number and a unit: `"250ms"`.
    Duration,
    /// A number and a unit: `"64KiB"`.
    Size,
    /// `host:port` or `ip:port`.
    Address,
    /// A matcher expression. Its syntax is checked by whoever compiles it.
    Matcher,
    /// A regular expression. Its syntax is checked by whoever compiles it.
    Regex,
    /// A list of strings; a single string is a list of one.
    Strings,
    /// A list of paths; a single path is a list of one.
    Paths,
    /// Names with a string, number or boolean each.
    Table,
    /// Names with anything: values, lists, and tables of the same kind.
    Tree,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A string that is never printed.
    Secret,
}

impl Type {
    /// How the reference calls it.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::Path => "path",
            Type::Script => "script",
            Type::Integer => "integer",
            Type::Float => "number",
            Type::Bool => "boolean",
            Type::Duration => "duration",
            Type::Size => "size",
            Type::Address => "address",
            Type::Matcher => "matcher",
            Type::Regex => "regular expression",
            Type::Strings => "list of strings",
            Type::Paths => "list of paths",
            Type::Table | Type::Tree => "table",
            Type::Choice(_) => "choice",
            Type::Secret => "secret",
        }
    }

    /// What a value looks like, for skeletons and error texts.
    pub fn sample(self) -> &'static str {
        match self {
            Type::String => "\"text\"",
            Type::Path => "\"some/path\"",
            Type::Script => "\"some/script.lua\"",
            Type::Integer => "1",
            Type::Float => "0.5",
            Type::Bool => "true",
            Type::Duration => "\"5s\"",
            Type::Size => "\"64KiB\"",
            Type::Address => "\"127.0.0.1:5565\"",
            Type::Matcher => "'Type == \"nginx.access\"'",
            Type::Regex => "'^\\d+'",
            Type::Strings => "[\"one\", \"two\"]",
            Type::Paths => "[\"/var/log/*.log\"]",
            Type::Table | Type::Tree => "{ name = \"value\" }",
            Type::Choice(_) => "\"word\"",
            Type::Secret => "{ env = \"NAME\" }",
        }
    }
}

/// One option: a constant, built by naming its type and then what else there is to say.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    pub name: &'static str,
    pub type_: Type,
    pub required: bool,
    /// As it would be written in the configuration, without the quotes of strings.
    pub default: Option<&'static str>,
    pub doc: &'static str,
    /// A value for skeletons, as it would be written in the configuration, quotes included.
    pub sample: Option<&'static str>,
}

macro_rules! constructors {
    ($($name:ident $type:ident,)*) => {$(
        pub const fn $name(name: &'static str) -> Opt {
            Opt::of(name, Type::$type)
        }
    )*};
}

impl Opt {
    constructors! {
        string String, path Path, script Script, integer Integer, float Float, bool Bool, duration Duration, size Size, address Address,
        matcher Matcher, regex Regex, strings Strings, paths Paths, table Table, tree Tree, secret Secret,
    }

    pub const fn choice(name: &'static str, words: &'static [&'static str]) -> Opt {
        Opt::of(name, Type::Choice(words))
    }

    const fn of(name: &'static str, type_: Type) -> Opt {
        Opt { name, type_, required: false, default: None, doc: "", sample: None }
    }

    pub const fn required(mut self) -> Opt {
        self.required = true;
        self
    }

    /// The value taken when the option is not given, as written in the configuration but without
    /// the quotes of strings. For lists: one element.
    pub const fn default(mut self, value: &'static str) -> Opt {
        self.default = Some(value);
        self
    }

    /// One or two full sentences.
    pub const fn doc(mut self, doc: &'static str) -> Opt {
        self.doc = doc;
        self
    }

    /// A telling value for `nilo new`, quotes included.
    pub const fn sample(mut self, toml: &'static str) -> Opt {
        self.sample = Some(toml);
        self
    }
}
