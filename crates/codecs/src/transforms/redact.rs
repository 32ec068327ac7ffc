//! Secrets and personal data, masked before anyone else sees them.
//!
//! A message's payload and its fields are masked each by itself, since they often hold the same
//! text. What is masked is written anew; no text of the message points at the original bytes any
//! more. A message that cannot be masked is rejected, with a reason that does not repeat its text.
//!
//! Numbers, booleans, and the names of fields are not looked at, except integers that `on` names.

mod card;
mod ipv6;
mod pattern;

use message::{Datum, Header, Messages, Value, ValueType};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Reject, Stability, Transform, Transformed};

use crate::pattern::compile;
use pattern::{NAMES, Pattern};

pub const KIND: Kind = Kind::transform("redact", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Redact::new(o)?)))
    .summary("Masks secrets and personal data in payloads and fields.")
    .doc(
        "Whatever matches a pattern is replaced by `mask`, until nothing matches any more. By default the Payload and all fields of text are \
         searched; `on` names others or fewer. Text is bytes: `\\w` and `\\d` are ASCII, `(?u)` turns Unicode on. `card` is 13 to 19 \
         digits, with spaces or dashes or without, that pass Luhn's check; `basic_auth` is what a header of that name holds, and user and password in \
         a URL; `jwt` a JSON Web Token; `api_key` the keys of well-known services, which have a mark of their own.",
    )
    .options(&[
        Opt::strings("patterns")
            .required()
            .sample(r#"["email", "card", 'password=\S+']"#)
            .doc("Regular expressions, or the names email, card, ipv4, ipv6, bearer, basic_auth, jwt and api_key."),
        Opt::string("mask").default("***").doc("What stands in the place of a match."),
        Opt::strings("on")
            .default("")
            .sample(r#"["Payload", "user"]"#)
            .doc("Where to look: Payload, Type, Logger, Hostname, EnvVersion, and names of fields. Default: Payload and all fields of text."),
    ])
    .examples(&[
        Example { title: "Card numbers and passwords", toml: r#"patterns = ["card", 'password=\S+']"# },
        Example {
            title: "Whatever gives access",
            toml: r#"patterns = ["bearer", "basic_auth", "jwt", "api_key", '(?i)(?:password|secret|token)=[^\s&]+']"#,
        },
        Example { title: "Addresses of clients, whole", toml: "patterns = ['.+']\non = [\"remote_addr\"]\nmask = \"(removed)\"" },
    ]);

/// How often a text is searched again because masking made something new that matches.
const MAX_ROUNDS: usize = 8;

struct Redact {
    patterns: Vec<Pattern>,
    mask: Vec<u8>,
    /// Whether no pattern matches the mask, so that one can go on until nothing matches.
    settles: bool,
    headers: Vec<Header>,
    /// Names of fields; `None`: all of text.
    fields: Option<Vec<Box<[u8]>>>,
    /// The masked text, and the text of the round before.
    scratch: [Vec<u8>; 2],
    values: Vec<Datum>,
}

impl Redact {
    fn new(o: &Options) -> Result<Redact, Problem> {
        let mask = o.str("mask").as_bytes().to_vec();
        let patterns = o.strings("patterns").iter().map(|p| pattern(o, p)).collect::<Result<Vec<_>, _>>()?;
        if patterns.is_empty() {
            return Err(o.problem("patterns", "this transform masks nothing", "expected patterns").help("add \"email\", for example"));
        }
        let (mut headers, mut fields) = (vec![Header::Payload], None);
        if !o.strings("on").is_empty() {
            headers.clear();
            let names = fields.insert(Vec::new());
            for name in o.strings("on") {
                match Header::from_name(name.as_bytes()) {
                    Some(Header::Uuid | Header::Timestamp | Header::Severity | Header::Pid) => {
                        let help = "it takes text: Payload, Type, Logger, Hostname, EnvVersion and names of fields";
                        return Err(o.problem("on", format!("`{name}` has no text to mask"), "named here").help(help));
                    }
                    Some(header) => headers.push(header),
                    None => names.push(name.as_bytes().into()),
                }
            }
        }
        let settles = patterns.iter().all(|p| p.find(&mask, 0).is_none());
        Ok(Redact { patterns, mask, settles, headers, fields, scratch: Default::default(), values: Vec::new() })
    }
}

fn pattern(o: &Options, text: &str) -> Result<Pattern, Problem> {
    if let Some(named) = Pattern::named(text) {
        return Ok(named);
    }
    let regex = compile("patterns", text, o.location("patterns"))?;
    if regex.is_match(b"") {
        let label = format!("`{text}` matches where there is nothing");
        return Err(o.problem("patterns", "a pattern must need at least one byte", label).help("write `+` for `*`"));
    }
    // A word that is nearly a name was meant as one.
    if let Some(name) = options::nearest(text, NAMES)
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        let help = format!("did you mean \"{name}\"? If the word itself is meant, write \"(?:{text})\"");
        return Err(o.problem("patterns", format!("no pattern has the name \"{text}\""), "named here").help(help));
    }
    Ok(Pattern::Regex(regex))
}

impl Transform for Redact {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        for at in 0..self.headers.len() {
            let header = self.headers[at];
            if self.masked(messages.view(raw, index).text_header(header))? {
                let text = messages.store(&self.scratch[0]);
                messages.message(index).set_text_header(header, text);
            }
        }
        for nth in 0..messages.message(index).field_count() {
            self.field(raw, messages, index, nth)?;
        }
        Ok(Transformed::Keep)
    }
}

impl Redact {
    /// Masks the values of field `nth`.
    fn field(&mut self, raw: &[u8], messages: &mut Messages, index: usize, nth: usize) -> Result<(), Reject> {
        // A field's position never lies behind the end: `nth` counts up to the number of fields.
        let Some(field) = messages.view(raw, index).fields().nth(nth) else { return Ok(()) };
        let named = self.fields.as_ref().map(|names| names.iter().any(|n| **n == *field.name()));
        let type_ = match field.type_() {
            _ if named == Some(false) => return Ok(()),
            ValueType::Integer if named.is_some() => ValueType::String,
            type_ @ (ValueType::String | ValueType::Bytes) => type_,
            _ => return Ok(()),
        };
        let mut first = None;
        for at in 0..field.len() {
            if self.value(field.value(at))? {
                first = Some(at);
                break;
            }
        }
        let (Some(first), length) = (first, field.len()) else { return Ok(()) };
        // One value changes: all are written again, as the values of a field lie side by side.
        let mut values = std::mem::take(&mut self.values);
        values.clear();
        for at in 0..length {
            let value = messages.view(raw, index).fields().nth(nth).and_then(|f| f.value(at));
            let masked = at >= first && self.value(value)?;
            let text = match (masked, value) {
                (true, _) => messages.store(&self.scratch[0]),
                (false, Some(Value::Integer(n))) => messages.store(n.to_string().as_bytes()),
                (false, value) => {
                    let bytes = value.and_then(Value::as_bytes).unwrap_or_default().to_vec();
                    messages.store(&bytes)
                }
            };
            values.push(if type_ == ValueType::Bytes { Datum::Bytes(text) } else { Datum::String(text) });
        }
        messages.message(index).set_field_values(nth, type_, &values);
        self.values = values;
        Ok(())
    }

    /// As [`Redact::masked`], of a value of text or an integer.
    fn value(&mut self, value: Option<Value<'_>>) -> Result<bool, Reject> {
        match value {
            Some(Value::String(text) | Value::Bytes(text)) => self.masked(text),
            Some(Value::Integer(n)) => self.masked(n.to_string().as_bytes()),
            _ => Ok(false),
        }
    }

    /// Whether anything in `text` matches; the masked text is then the first scratch.
    fn masked(&mut self, text: &[u8]) -> Result<bool, Reject> {
        let [masked, before] = &mut self.scratch;
        let mut any = false;
        for _ in 0..MAX_ROUNDS {
            let mut changed = false;
            for pattern in &self.patterns {
                before.clear();
                if pattern.mask(if any { &masked[..] } else { text }, &self.mask, before) {
                    std::mem::swap(masked, before);
                    (any, changed) = (true, true);
                }
            }
            if !changed || !self.settles {
                return Ok(any);
            }
        }
        let reason = format!("masking makes new text that matches, {MAX_ROUNDS} times over: choose another `mask` or stricter `patterns`");
        Err(Reject::new(reason))
    }
}

#[cfg(test)]
mod tests {
    use message::BatchBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::transforms::tests::{apply, error, try_apply};

    fn with(text: &[u8]) -> impl Fn(&mut BatchBuilder) {
        move |b: &mut BatchBuilder| {
            let at = b.raw().len();
            b.raw().extend_from_slice(text);
            let whole = message::Text::raw(at, text.len());
            let mut m = b.add();
            m.set_payload_text(whole);
            let name = m.messages().store(b"user");
            m.add(name, Datum::String(whole));
            let name = m.messages().store(b"many");
            m.add_field(name, message::Text::NONE, ValueType::Bytes, &[Datum::Bytes(message::Text::EMPTY), Datum::Bytes(whole)]);
            m.add_integer(b"card", 4_111_111_111_111_111);
        }
    }

    fn payload(toml: &str, text: &str) -> String {
        let (batch, _) = apply(&KIND, toml, &[with(text.as_bytes())]);
        String::from_utf8(batch.get(0).payload().to_vec()).unwrap()
    }

    #[test]
    fn named_patterns_find_what_they_are_named_after() {
        let all = "patterns = ['email', 'card', 'ipv4', 'bearer']";
        let text = "jane.doe+x@mail.example.com paid with 4111 1111 1111 1111 from 203.0.113.9, Authorization: Bearer abc.DEF-1== ok";
        assert_eq!(payload(all, text), "*** paid with *** from ***, Authorization: *** ok");
        let all = "patterns = ['ipv6', 'ipv4', 'basic_auth', 'jwt', 'api_key']";
        let text = "2001:db8::1 and ::ffff:10.0.0.1 sent Basic dXNlcjpwYXNz to https://ann:s3cret@host/ with eyJhbGciOiJI.eyJzdWIi.c2ln, \
                    AKIAIOSFODNN7EXAMPLE or ghp_0123456789abcdefghijABCDEFGHIJ456789";
        assert_eq!(payload(all, text), "*** and *** sent *** to https***host/ with ***, *** or ***");
        let clean = "basic, AKIA, sk-short, std::vec 12:30:00 eyJ.x http://host:80/a@b ghp_short";
        assert_eq!(payload(all, clean), clean);
        let all = "patterns = ['email', 'card', 'ipv4', 'bearer']";
        let clean = "a@b, 1.2.3, 1.2.3.4567, 300.1.1.1, 4111111111111112, bearers of news";
        assert_eq!(payload(all, clean), clean);
    }

    #[test]
    fn payload_and_fields_are_masked_each_by_itself() {
        let (batch, _) = apply(&KIND, "patterns = ['secret']\nmask = 'X'", &[with(b"a secret!"), with(b"nothing")]);
        let (m, clean) = (batch.get(0), batch.get(1));
        assert_eq!((m.payload(), m.value(b"user", 0, 0)), (&b"a X!"[..], Some(Value::String(b"a X!"))));
        assert_eq!((m.value(b"many", 0, 0), m.value(b"many", 0, 1)), (Some(Value::Bytes(b"")), Some(Value::Bytes(b"a X!"))));
        assert_eq!((clean.payload(), clean.value(b"user", 0, 0)), (&b"nothing"[..], Some(Value::String(b"nothing"))));
    }

    #[test]
    fn on_names_where_to_look() {
        let (batch, _) = apply(&KIND, "patterns = ['.+', 'card']\non = ['user', 'card', 'Hostname']", &[with(b"secret")]);
        let m = batch.get(0);
        assert_eq!((m.payload(), m.value(b"user", 0, 0)), (&b"secret"[..], Some(Value::String(b"***"))));
        assert_eq!(m.value(b"card", 0, 0), Some(Value::String(b"***")));
        assert_eq!(m.value(b"many", 0, 1), Some(Value::Bytes(b"secret")));
    }

    #[test]
    fn masking_goes_on_until_nothing_matches() {
        assert_eq!(payload("patterns = ['secret']\nmask = ''", "sesecretcret!"), "!");
        let nested = "a".repeat(20) + &"b".repeat(20);
        let refused = try_apply(&KIND, "patterns = ['ab']\nmask = ''", &[with(nested.as_bytes())]).unwrap_err();
        assert!(refused.starts_with("masking makes new text") && !refused.contains("aa"), "{refused}");
    }

    #[test]
    fn bad_patterns_are_said() {
        assert!(error(&KIND, "patterns = ['(']").contains("unclosed group"));
        assert!(error(&KIND, "patterns = ['a*']").contains("must need at least one byte"));
        assert!(error(&KIND, "patterns = ['emial']").contains("did you mean \"email\"?"));
        assert!(error(&KIND, "patterns = []").contains("masks nothing"));
        assert!(error(&KIND, "patterns = ['email']\non = ['Pid']").contains("no text to mask"));
    }

    fn personal() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            "[a-z0-9.]{1,6}@[a-z.]{1,8}\\.[a-z]{2,3}",
            "[0-9]{1,3}(\\.[0-9]{1,3}){2,5}",
            "[2-6][0-9]{3}([ -]?[0-9]{4}){2,4}",
            "[Bb]earer [a-zA-Z0-9.=]{0,8}",
            "([0-9a-f]{0,4}:){1,7}[0-9a-f]{0,4}",
            "https://[a-z]{0,2}:[a-z]{0,3}@|basic [a-z]{3,5}=?",
            "(AKIA|ASIA)[A-Z0-9]{16}|eyJ[a-z]{0,2}\\.eyJ[a-z]\\.",
            "[ ,;@.0-9-]{0,4}",
        ]
        .prop_map(String::into_bytes);
        let noise = proptest::collection::vec(any::<u8>(), 0..6);
        proptest::collection::vec(prop_oneof![4 => part, 1 => noise], 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn nothing_that_matches_is_left(text in personal(), mask in prop_oneof!["", "\\*\\*\\*", "x"]) {
            let toml = format!("patterns = ['email', 'card', 'ipv4', 'ipv6', 'bearer', 'basic_auth', 'jwt', 'api_key', 'x?[0-9]y']\nmask = '{mask}'");
            let Ok((batch, _)) = try_apply(&KIND, &toml, &[with(&text)]) else { return Ok(()) };
            let m = batch.get(0);
            let texts = [Some(m.payload()), m.value(b"user", 0, 0).and_then(Value::as_bytes), m.value(b"many", 0, 1).and_then(Value::as_bytes)];
            for left in texts.into_iter().flatten() {
                for name in NAMES {
                    prop_assert_eq!(Pattern::named(name).unwrap().find(left, 0), None, "{} in {}", name, left.escape_ascii());
                }
            }
        }
    }
}
