//! Messages, or fields of them, that nobody should see.
//!
//! What is dropped here never reaches the router; where only one consumer should not see it, a
//! `match` of that consumer is the place.

use matcher::{Matcher, condition};
use message::Messages;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Reject, Stability, Transform, Transformed};

use super::set::place;

pub const KIND: Kind = Kind::transform("drop", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Unwanted::new(o)?)))
    .summary("Drops messages that match, or removes fields.")
    .doc(
        "With `match` alone, messages that match are dropped and counted. With `fields`, no message is dropped: all fields of these \
         names are removed, from the messages that match or, without `match`, from all.",
    )
    .options(&[
        Opt::matcher("match").sample("'Fields[request_uri] == \"/health\"'").doc("Which messages are meant."),
        Opt::strings("fields").default("").sample("[\"cookie\", \"authorization\"]").doc("Fields to remove."),
    ])
    .examples(&[
        Example { title: "Health checks", toml: "match = 'Fields[request_uri] == \"/health\"'" },
        Example { title: "Fields that should not leave the host", toml: "fields = [\"cookie\", \"authorization\"]" },
    ]);

#[derive(Debug)]
struct Unwanted {
    matcher: Option<Matcher>,
    fields: Vec<String>,
}

impl Unwanted {
    fn new(o: &Options) -> Result<Unwanted, Problem> {
        let matcher = condition(o, "match")?;
        let fields = o.strings("fields").to_vec();
        if matcher.is_none() && fields.is_empty() {
            return Err(Problem::new("this transform drops nothing").at(o.at(), "expected `match` or `fields`"));
        }
        Ok(Unwanted { matcher, fields })
    }
}

impl Transform for Unwanted {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        if self.matcher.as_ref().is_some_and(|m| !m.matches(messages.view(raw, index))) {
            return Ok(Transformed::Keep);
        }
        if self.fields.is_empty() {
            return Ok(Transformed::Drop);
        }
        for name in &self.fields {
            let mut from = 0;
            while let Some(at) = place(raw, messages, index, name.as_bytes(), from) {
                messages.message(index).remove_field(at);
                from = at;
            }
        }
        Ok(Transformed::Keep)
    }
}

#[cfg(test)]
mod tests {
    use message::BatchBuilder;

    use super::*;
    use crate::transforms::tests::{apply, error};

    fn alpha(b: &mut BatchBuilder) {
        let mut m = b.add();
        m.set_type(b"a");
        m.add_string(b"x", b"1");
        m.add_string(b"y", b"2");
        m.add_string(b"x", b"3");
    }

    fn beta(b: &mut BatchBuilder) {
        let mut m = b.add();
        m.set_type(b"b");
        m.add_string(b"x", b"4");
    }

    #[test]
    fn what_matches_is_dropped() {
        let (batch, dropped) = apply(&KIND, "match = 'Type == \"a\"'", &[alpha, beta, alpha]);
        assert_eq!((batch.len(), dropped, batch.get(0).type_()), (1, 2, &b"b"[..]));
    }

    #[test]
    fn fields_are_removed_from_what_matches() {
        let counts = |toml: &str| {
            let (batch, dropped) = apply(&KIND, toml, &[alpha, beta]);
            (batch.iter().map(|m| m.fields().count()).collect::<Vec<_>>(), dropped)
        };
        assert_eq!(counts("fields = ['x', 'z']"), (vec![1, 0], 0));
        assert_eq!(counts("fields = 'x'\nmatch = 'Type == \"a\"'"), (vec![1, 1], 0));
    }

    #[test]
    fn a_bad_matcher_is_pointed_at() {
        assert!(error(&KIND, "").contains("drops nothing"));
        assert!(error(&KIND, "match = 'Tpye == \"a\"'").starts_with("test.toml:1:10: malformed matcher"));
    }
}
