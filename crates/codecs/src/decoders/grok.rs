//! Records in a shape of their own, by a pattern made of named patterns.
//!
//! `%{IP:client} %{WORD:verb} %{NUMBER:took:double}` is short for a long regular expression. For those who have
//! grok patterns, or find expressions hard to read; `regex` is the same without names, `log_format` several times
//! faster where it is enough. Matching takes time in proportion to the record, whatever the pattern.

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Decoder, Example, Kind, Stability};

use super::shape::{Expression, Shape, shape_options};

mod expand;
mod library;
#[cfg(test)]
mod tests;

pub const KIND: Kind = Kind::decoder("grok", Stability::Stable, build)
    .summary("Reads records by patterns made of named patterns.")
    .doc(
        "`%{NAME}` stands for the pattern of that name, `%{NAME:field}` makes a field of what it matches, `%{NAME:field:type}` one of \
         the type `integer` (also `int`, `long`), `double` (`float`), `bool` or `string`. `[a][b]` as a field is `a.b`. Everything else is \
         a regular expression over bytes, with `(?<name>…)` as further groups; it may match anywhere: write `^…$` for the whole record. \
         There is no look-around and there are no back-references. What takes no part in the match is left out. The names are the usual ones, among them NUMBER, \
         INT, WORD, NOTSPACE, DATA, GREEDYDATA, QS, UUID, MAC, IP, HOSTNAME, IPORHOST, PATH, URI, TIMESTAMP_ISO8601, HTTPDATE, \
         SYSLOGTIMESTAMP, LOGLEVEL, SYSLOGBASE, COMMONAPACHELOG, COMBINEDAPACHELOG, HAPROXYHTTP, ELB_ACCESS_LOG, REDISLOG; \
         `patterns` adds others. A record that no pattern matches, or whose numbers are none, is refused.",
    )
    .options(shape_options![
        Opt::strings("pattern")
            .required()
            .sample(r#"'^%{TIMESTAMP_ISO8601:time} %{LOGLEVEL:level} %{GREEDYDATA:message}$'"#)
            .doc("Pattern with at least one field, or several, of which the first that matches is taken."),
        Opt::table("patterns")
            .sample(r#"{ ORDER = 'ORD-%{INT}' }"#)
            .doc("Patterns of one's own by their names; they go before those that come with the program."),
    ])
    .examples(&[
        Example {
            title: "An application's log",
            toml: r#"pattern = '^%{TIMESTAMP_ISO8601:time} %{LOGLEVEL:level} %{ORDER:order} %{GREEDYDATA:message}$'
patterns = { ORDER = 'ORD-%{INT}' }
timestamp = "time"
severity = "level"
headers = { Payload = "message" }"#,
        },
        Example {
            title: "A web server's access log",
            toml: "pattern = '^%{COMBINEDAPACHELOG}$'\ntimestamp = \"timestamp\"\nlayout = \"clf\"",
        },
    ]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    let own: Vec<(&str, String)> = o.table("patterns").iter().map(|(name, text)| (name.as_str(), text.to_string())).collect();
    let expressions: Vec<Expression> =
        o.strings("pattern").iter().map(|pattern| expand::compile(o, pattern, &own)).collect::<Result<_, _>>()?;
    if expressions.is_empty() {
        return Err(o.problem("pattern", "`pattern` is empty", "expected a pattern, such as '%{IP:client} %{GREEDYDATA:rest}'"));
    }
    Ok(Box::new(Shape::new(o, expressions)?))
}
