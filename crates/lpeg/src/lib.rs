//! Parsing expression grammars with the semantics of [LPeg 1.x](https://www.inf.puc-rio.br/~roberto/lpeg/): patterns,
//! the machine that runs them, captures. It knows no Lua: values, calls and tables are a [`Host`]'s.
//!
//! A [`Pattern`] is a small graph of shared nodes: making one from others copies nothing. What is asked of every node
//! often (may it match nothing, has it captures, how deep is it) is noted when it is made. At its first match a pattern is
//! compiled into a [`Program`] of 8-byte instructions, in which loops over a set are one instruction, the first
//! byte decides between alternatives where it can, and a search for a literal is a `memmem`.
//!
//! Nothing here recurses without a bound or loops without asking: depth and size of patterns, the backtrack stack, the
//! number and nesting of captures are limited ([`Limits`]), and the host is asked every so many steps whether to go on.
//!
//! ```
//! use lpeg::{Charset, Pattern};
//! let digit = Pattern::set(&Charset::range(b'0'..=b'9'));
//! let number = digit.repeat(1)?;
//! let list = number.then(&Pattern::literal(b",").then(&number)?.repeat(0)?)?;
//! assert_eq!(list.program()?.find(b"1,22,333;", 0)?, Some(8));
//! # Ok::<(), lpeg::Error>(())
//! ```

mod capture;
mod charset;
mod check;
mod compile;
mod error;
mod evaluate;
mod first;
mod host;
mod ledger;
mod machine;
mod program;
mod tree;

pub use capture::{Capture, Constant, Key, ValueId};
pub use charset::Charset;
pub use error::Error;
pub use host::{Host, Verdict};
pub use ledger::{Entered, Ledger};
pub use machine::{Limits, STEPS_PER_TICK};
pub use program::Program;
pub use tree::Pattern;

/// How deep patterns may be nested in each other; what is repeated or listed counts once.
pub const MAX_DEPTH: usize = 500;
/// How many parts a pattern may have, shared ones counted wherever they are used.
pub const MAX_SIZE: usize = 1 << 17;
/// Rules of one grammar.
pub const MAX_RULES: usize = 1000;
/// Bytes that `B` may look back.
pub const MAX_BEHIND: u32 = 255;
