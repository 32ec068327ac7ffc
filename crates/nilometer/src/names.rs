//! Names that the command line takes and shells complete.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Command, Error};
use plugin::Family;

use crate::registry::registry;

/// One of these, which are worked out when a name is looked at: not at every start of the program.
#[derive(Clone)]
pub struct Names(pub fn() -> Vec<String>);

impl TypedValueParser for Names {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        PossibleValuesParser::new((self.0)()).parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}

/// `input.tail` and all the others, and the tables that are no plugins.
pub fn plugins() -> Vec<String> {
    let registry = registry();
    let kinds = Family::ALL.into_iter().flat_map(|family| registry.names(family).into_iter().map(move |name| format!("{family}.{name}")));
    kinds.chain(["nilo", "sandboxes"].map(String::from)).collect()
}

/// Families, bare names, which mean every plugin that has them, and [`plugins`].
pub fn plugins_and_families() -> Vec<String> {
    let registry = registry();
    let bare = Family::ALL.into_iter().flat_map(|family| registry.names(family));
    let mut names: Vec<String> = Family::ALL.into_iter().map(Family::name).chain(bare).map(String::from).collect();
    names.sort();
    names.dedup();
    names.extend(plugins());
    names
}
