use options::{Location, Options, Problem};

use crate::{Build, BuildCx, Decoder, Kind};

/// A plugin that another one is made of, named in its options ([`Kind::nests`]): what is needed to build it.
#[derive(Clone, Debug)]
pub struct Nested {
    /// As it was named.
    pub name: String,
    pub kind: &'static Kind,
    pub options: Options,
    /// What it is made of in turn.
    pub nested: Vec<Nested>,
}

impl Nested {
    /// The names that options of this kind give, and where; none when it is not made of others.
    pub fn named<'o>(kind: &Kind, options: &'o Options) -> Option<(Vec<&'o str>, &'o Location)> {
        let (option, _) = kind.nests?;
        let one = options.get_str(option).into_iter();
        let names = options.strings(option).iter().map(String::as_str).chain(one).collect();
        Some((names, options.location(option)))
    }

    /// Whether a plugin built from either would be the same, the options in `except` aside.
    pub fn same_as(&self, other: &Nested, except: &[&str]) -> bool {
        self.name == other.name
            && std::ptr::eq(self.kind, other.kind)
            && self.options.same_as(&other.options, except)
            && Nested::all_same(&self.nested, &other.nested, except)
    }

    /// As [`Nested::same_as`], of lists.
    pub fn all_same(some: &[Nested], others: &[Nested], except: &[&str]) -> bool {
        some.len() == others.len() && some.iter().zip(others).all(|(a, b)| a.same_as(b, except))
    }

    /// Builds a decoder for the plugin that is built with `cx`.
    ///
    /// # Errors
    /// What the decoder objects to.
    pub fn decoder(&self, cx: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
        match self.kind.build {
            Build::Decoder(build) => build(&self.options, &BuildCx { name: self.name.clone(), nested: self.nested.clone(), ..cx.clone() }),
            _ => Err(Problem::new(format!("`{}` is no decoder", self.name)).at(self.options.at(), "expected a decoder")),
        }
    }
}
