use options::{Options, Problem};

use crate::Matcher;

/// The matcher that an option gives, if it is given.
///
/// # Errors
/// Where it is malformed.
pub fn condition(o: &Options, name: &str) -> Result<Option<Matcher>, Problem> {
    let parse = |text: &str| {
        Matcher::parse(text).map_err(|e| {
            let problem = Problem::new("malformed matcher");
            let at = o.location(name).within(e.at, text);
            Problem { help: e.help, ..problem.at(&at, format!("found {}, expected {}", e.found, e.expected)) }
        })
    };
    o.get_str(name).map(parse).transpose()
}
