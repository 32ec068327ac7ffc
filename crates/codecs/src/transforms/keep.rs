//! Messages, or fields of them, that are wanted: everything else goes.
//!
//! The opposite of `drop`, for sources of which only a little matters, and for destinations that may
//! see only what is on a list.

use matcher::{Matcher, condition};
use message::Messages;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Reject, Stability, Transform, Transformed};

pub const KIND: Kind = Kind::transform("keep", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Wanted::new(o)?)))
    .summary("Keeps messages that match, or the fields that are named, and drops the rest.")
    .doc(
        "With `match` alone, messages that do not match are dropped and counted. With `fields`, no message is dropped: all fields but those of \
         these names are removed, from the messages that match or, without `match`, from all. A name that ends in `*` stands for all that begin \
         so. Headers stay.",
    )
    .options(&[
        Opt::matcher("match").sample("'Severity <= 4'").doc("Which messages are meant."),
        Opt::strings("fields").default("").sample("[\"status\", \"http.*\"]").doc("Fields to keep."),
    ])
    .examples(&[
        Example { title: "Only what is serious", toml: "match = 'Severity <= 4'" },
        Example { title: "Only what is on the list", toml: "fields = [\"status\", \"request_uri\", \"http.*\"]" },
    ]);

struct Wanted {
    matcher: Option<Matcher>,
    fields: Vec<String>,
}

impl Wanted {
    fn new(o: &Options) -> Result<Wanted, Problem> {
        let (matcher, fields) = (condition(o, "match")?, o.strings("fields").to_vec());
        if matcher.is_none() && fields.is_empty() {
            return Err(Problem::new("this transform keeps everything").at(o.at(), "expected `match` or `fields`"));
        }
        Ok(Wanted { matcher, fields })
    }

    fn wants(&self, name: &[u8]) -> bool {
        self.fields.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(start) => name.starts_with(start.as_bytes()),
            None => name == wanted.as_bytes(),
        })
    }
}

impl Transform for Wanted {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        let matches = self.matcher.as_ref().is_none_or(|m| m.matches(messages.view(raw, index)));
        if self.fields.is_empty() {
            return Ok(if matches { Transformed::Keep } else { Transformed::Drop });
        }
        let mut at = 0;
        while matches && let Some(found) = messages.view(raw, index).fields().skip(at).position(|f| !self.wants(f.name())) {
            at += found;
            messages.message(index).remove_field(at);
        }
        Ok(Transformed::Keep)
    }
}

#[cfg(test)]
mod tests {
    use message::BatchBuilder;

    use super::*;
    use crate::transforms::tests::{apply, error};

    fn of(type_: &'static str) -> impl Fn(&mut BatchBuilder) {
        move |b: &mut BatchBuilder| {
            let mut m = b.add();
            m.set_type(type_.as_bytes());
            for name in ["a", "http.x", "b", "http.y", "a", "c"] {
                m.add_string(name.as_bytes(), b"1");
            }
        }
    }

    #[test]
    fn what_does_not_match_is_dropped() {
        let (batch, dropped) = apply(&KIND, "match = 'Type == \"x\"'", &[of("x"), of("y"), of("x")]);
        assert_eq!((batch.len(), dropped), (2, 1));
    }

    #[test]
    fn other_fields_are_removed() {
        let names = |toml: &str| {
            let (batch, dropped) = apply(&KIND, toml, &[of("x"), of("y")]);
            assert_eq!(dropped, 0);
            let of = |m: message::MessageRef<'_>| {
                m.fields().map(|f| String::from_utf8_lossy(f.name()).into_owned()).collect::<Vec<_>>().join(" ")
            };
            batch.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(names("fields = ['a', 'http.*']"), ["a http.x http.y a", "a http.x http.y a"]);
        assert_eq!(names("fields = ['none']\nmatch = 'Type == \"x\"'"), ["", "a http.x b http.y a c"]);
        assert!(error(&KIND, "").contains("keeps everything"));
        assert!(error(&KIND, "match = 'Tpye == \"a\"'").starts_with("test.toml:1:10: malformed matcher"));
    }
}
