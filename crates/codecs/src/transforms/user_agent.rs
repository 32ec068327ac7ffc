//! Browser, system and device of whoever made a request, from its `User-Agent`.
//!
//! By a small table of our own rather than a list of thousands of expressions: it knows the browsers, systems and robots that
//! make up nearly all requests, names other programs by what they call themselves, and takes time in proportion to the text.
//! Not for telling models of phones apart. A `User-Agent` is what a client says, not what it is.

mod parse;
mod rules;

use std::rc::Rc;

use matcher::Part;
use message::{Datum, Messages, Text};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Reject, Stability, Transform, Transformed};

use self::parse::Agent;
use super::bounds::within;
use super::recent::Recent;
use super::set::place;
use crate::constants::Constants;

pub const KIND: Kind = Kind::transform("user_agent", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(UserAgent::new(o)?)))
    .summary("Adds browser, system and device, from a field with a User-Agent.")
    .doc(
        "Adds the fields `browser`, `version`, `os`, `os_version` and `device`, each with `prefix` before its name and each only if it is known; fields of \
         these names that the message has already are overwritten. `device` is `desktop`, `mobile`, `tablet`, `tv`, `console`, `bot` or `tool` (a \
         program that is no browser, such as curl). Robots are those that call themselves so; their name is the browser's. Windows 11 says it is 10. \
         A message without the field stays as it is. Of a User-Agent the first 2 KiB are looked at.",
    )
    .options(&[
        Opt::string("field").default("http_user_agent").doc("Header or field with the User-Agent."),
        Opt::string("prefix").default("user_agent.").doc("What stands before the names of the fields that are added."),
        Opt::integer("max_keys").default("1000").doc("User-Agents that are remembered with what they mean, up to some 3 KiB each."),
    ])
    .examples(&[Example { title: "Fields as in the Elastic Common Schema, nearly", toml: "field = \"user_agent.original\"" }]);

/// What of a User-Agent is looked at.
const MAX_TEXT: usize = 2048;

struct UserAgent {
    field: Part,
    /// Names of the fields, as they are and as constants.
    names: [(Vec<u8>, usize); 5],
    constants: Constants,
    max_keys: usize,
    known: Recent<Rc<[u8]>, Agent>,
    scratch: Vec<u8>,
}

impl UserAgent {
    fn new(o: &Options) -> Result<UserAgent, Problem> {
        let mut constants = Constants::new();
        let names = ["browser", "version", "os", "os_version", "device"].map(|name| {
            let name = format!("{}{name}", o.str("prefix")).into_bytes();
            let constant = constants.add(&name);
            (name, constant)
        });
        let max_keys = within(o, "max_keys", 1, 1_000_000)? as usize;
        Ok(UserAgent { field: Part::new(o.str("field")), names, constants, max_keys, known: Recent::new(), scratch: Vec::new() })
    }

    /// What the text in `scratch` means.
    fn agent(&mut self) -> &Agent {
        if !self.known.contains(&self.scratch[..]) {
            if self.known.len() >= self.max_keys {
                self.known.pop_oldest();
            }
            let agent = Agent::of(&String::from_utf8_lossy(&self.scratch));
            return self.known.push(self.scratch[..].into(), agent);
        }
        self.known.using(&self.scratch[..]).expect("it is contained")
    }
}

impl Transform for UserAgent {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        self.scratch.clear();
        if !self.field.write(messages.view(raw, index), &mut self.scratch) {
            return Ok(Transformed::Keep);
        }
        self.scratch.truncate(MAX_TEXT);
        let agent = self.agent();
        let values = [&agent.browser, &agent.version, agent.os, &agent.os_version, agent.device]
            .map(|value| if value.is_empty() { Text::NONE } else { messages.store(value.as_bytes()) });
        let texts = self.constants.texts(messages);
        for ((name, constant), value) in self.names.iter().zip(values).filter(|(_, value)| !value.is_none()) {
            put(raw, messages, index, (name, texts[*constant]), Datum::String(value));
        }
        Ok(Transformed::Keep)
    }
}

/// Sets the only field of this name.
pub(super) fn put(raw: &[u8], messages: &mut Messages, index: usize, (name, text): (&[u8], Text), value: Datum) {
    let Some(first) = place(raw, messages, index, name, 0) else { return messages.message(index).add(text, value) };
    let mut m = messages.message(index);
    m.set_field_values(first, value.type_(), &[value]);
    m.set_field_representation(first, Text::NONE);
    while let Some(next) = place(raw, messages, index, name, first + 1) {
        messages.message(index).remove_field(next);
    }
}

#[cfg(test)]
mod tests {
    use message::{BatchBuilder, Value};

    use super::*;
    use crate::transforms::tests::{apply, error};

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36";

    fn from(text: &'static str) -> impl Fn(&mut BatchBuilder) {
        move |b: &mut BatchBuilder| {
            let mut m = b.add();
            m.add_string(b"ua", text.as_bytes());
            m.add_string(b"os", b"old");
            m.add_string(b"os", b"older");
        }
    }

    #[test]
    fn fields_are_added_and_overwritten() {
        let makers = [CHROME, "curl/8", CHROME, "wget/1", "curl/8"].map(from);
        for max_keys in [1, 100] {
            let (batch, _) = apply(&KIND, &format!("field = 'ua'\nprefix = ''\nmax_keys = {max_keys}"), &makers);
            let fields = |index: usize| {
                let fields = batch.get(index).fields().skip(1).map(|f| (f.name().to_vec(), f.value(0)));
                fields
                    .map(|(n, v)| format!("{}={} ", n.escape_ascii(), v.and_then(Value::as_bytes).unwrap().escape_ascii()))
                    .collect::<String>()
            };
            assert_eq!(fields(0), "os=Windows browser=Chrome version=120.0 os_version=10 device=desktop ");
            assert_eq!(fields(2), fields(0));
            assert_eq!(fields(1), "os=old os=older browser=curl version=8 device=tool ");
            assert_eq!(fields(4), fields(1));
        }
    }

    #[test]
    fn messages_without_the_field_stay() {
        let (batch, _) = apply(&KIND, "", &[from(CHROME)]);
        assert_eq!(batch.get(0).fields().count(), 3);
        assert!(error(&KIND, "max_keys = 0").contains("`max_keys`"));
    }
}
