//! What a plugin may be told, and what is said when it is told wrong.
//!
//! A plugin declares its options as a constant list of [`Opt`]. A configuration file is read into
//! a [`Tree`] whose every key and value knows its place ([`Location`]), and [`Options::check`]
//! holds the one against the other: it reports everything that is wrong at once, as [`Problem`]s
//! that point into the file and name the fix, and yields [`Options`], from which the plugin reads
//! values that are known to be there and of the right type.
//!
//! The same lists produce the reference documentation, `nilo list` and `nilo new`.
//!
//! ```
//! use options::{Opt, Options, Source, Tree};
//!
//! const SPEC: &[Opt] = &[Opt::path("dir").required().doc("Directory to write below."), Opt::duration("sync").default("1s").doc("How often.")];
//! let tree = Tree::parse(Source::new("nilo.toml", "dir = 'logs'\nsink = '5s'\n")).unwrap();
//! let mut problems = Vec::new();
//! Options::check(&[SPEC], &tree, &mut problems);
//! assert!(problems[0].to_string().contains("unknown option `sink`"));
//! ```

mod check;
mod nearest;
mod problem;
mod source;
mod spec;
mod tree;
pub mod unit;

pub use check::{Options, Scalar};
pub use nearest::nearest;
pub use problem::{Problem, Style, render};
pub use source::{Location, Source};
pub use spec::{Opt, Type};
pub use tree::{Key, Node, Raw, Tree};
