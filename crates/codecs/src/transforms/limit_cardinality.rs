//! A cap on how many different values a field may have, so that what is a label downstream does not
//! become a series for every user, path or request.
//!
//! Values are remembered as 64-bit hashes of a key that each process draws anew, 16 bytes each, for a
//! window of time; after a restart the window begins again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

use message::{Datum, Messages, Value};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Carried, Example, Gauge, Kind, Reject, Scripted, Stability, Transform, Transformed};

use super::bounds::{some_time, within};
use super::moment::{Moment, TIME};
use super::set::place;
use crate::constants::Constants;

pub const KIND: Kind = Kind::transform("limit_cardinality", Stability::Stable, |o, cx: &BuildCx| Ok(Box::new(Limit::new(o, cx)?)))
    .summary("Caps the number of different values of fields.")
    .doc(
        "The first `max_values` different values of each field within a window of length `every` pass as they are. What comes with a further value \
         is changed as `over` says: the value is replaced, the field removed, or the message dropped. Windows begin at multiples of `every`, and \
         each forgets the values of the one before. Memory: some 16 bytes a value and field.",
    )
    .options(&[
        Opt::strings("fields").required().sample("[\"route\", \"user_agent\"]").doc("Fields whose values are counted, each by itself."),
        Opt::integer("max_values").default("1000").doc("Most different values of a field in a window."),
        Opt::duration("every").default("1h").doc("Length of a window."),
        Opt::choice("over", &["replace", "remove", "drop"])
            .default("replace")
            .doc("What happens to a further value: the value is replaced, the field removed, or the message dropped."),
        Opt::string("replacement").default("(other)").doc("What a further value is replaced by."),
        TIME,
    ])
    .examples(&[
        Example { title: "Labels that cannot explode", toml: "fields = [\"route\", \"customer\"]\nmax_values = 500\nevery = \"1d\"" },
        Example { title: "Without the field", toml: "fields = [\"user_agent\"]\nover = \"remove\"" },
    ]);

struct Limit {
    fields: Vec<Field>,
    max_values: usize,
    every: i64,
    over: Over,
    constants: Constants,
    moment: Moment,
    /// When the window ends.
    until: i64,
    hasher: RandomState,
}

struct Field {
    name: Box<[u8]>,
    values: HashSet<u64>,
    most: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Over {
    Replace,
    Remove,
    Drop,
}

impl Limit {
    fn new(o: &Options, cx: &BuildCx) -> Result<Limit, Problem> {
        let field = |name: &String| Field { name: name.as_bytes().into(), values: HashSet::new(), most: 0 };
        let fields: Vec<Field> = o.strings("fields").iter().map(field).collect();
        if fields.is_empty() {
            return Err(o.problem("fields", "this transform limits nothing", "expected names of fields"));
        }
        let mut constants = Constants::new();
        constants.add(o.str("replacement").as_bytes());
        Ok(Limit {
            fields,
            max_values: within(o, "max_values", 1, 10_000_000)? as usize,
            every: some_time(o, "every")?,
            over: match o.str("over") {
                "remove" => Over::Remove,
                "drop" => Over::Drop,
                _ => Over::Replace,
            },
            constants,
            moment: Moment::new(o, &cx.clock),
            until: i64::MIN,
            hasher: RandomState::new(),
        })
    }

    fn window(&mut self, now: i64) {
        if now >= self.until {
            self.until = now.div_euclid(self.every).saturating_add(1).saturating_mul(self.every);
            self.fields.iter_mut().for_each(|f| f.values = HashSet::new());
        }
    }
}

impl Field {
    /// Whether this value is one too many.
    fn is_over(&mut self, value: Value<'_>, max: usize, hasher: &RandomState) -> bool {
        let hash = match value {
            Value::String(text) | Value::Bytes(text) => hasher.hash_one(text),
            Value::Integer(n) => hasher.hash_one(n),
            Value::Double(n) => hasher.hash_one(n.to_bits()),
            Value::Bool(b) => hasher.hash_one(b),
        };
        if self.values.contains(&hash) {
            return false;
        }
        let room = self.values.len() < max;
        if room {
            self.values.insert(hash);
            self.most = self.most.max(self.values.len());
        }
        !room
    }
}

impl Transform for Limit {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        let now = self.moment.at(messages.view(raw, index));
        self.window(now);
        for field in &mut self.fields {
            let mut from = 0;
            while let Some(at) = place(raw, messages, index, &field.name, from) {
                from = at + 1;
                let Some(found) = messages.view(raw, index).fields().nth(at) else { break };
                if !found.values().any(|value| field.is_over(value, self.max_values, &self.hasher)) {
                    continue;
                }
                match self.over {
                    Over::Drop => return Ok(Transformed::Drop),
                    Over::Remove => {
                        messages.message(index).remove_field(at);
                        from = at;
                    }
                    Over::Replace => {
                        let value = Datum::String(self.constants.texts(messages)[0]);
                        messages.message(index).set_field_values(at, value.type_(), &[value]);
                    }
                }
            }
        }
        Ok(Transformed::Keep)
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        Some(self)
    }
}

/// It has no file and hands no state on, but its limit can be looked at.
impl Scripted for Limit {
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn gauges(&self) -> Vec<Gauge> {
        let most = |of: fn(&Field) -> usize| self.fields.iter().map(of).max().unwrap_or_default() as u64;
        vec![Gauge {
            name: "max_values",
            unit: "values",
            current: most(|f| f.values.len()),
            max: most(|f| f.most),
            cap: self.max_values as u64,
        }]
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<Carried, String> {
        Ok(Carried::default())
    }
}

#[cfg(test)]
mod tests {
    use message::BatchBuilder;

    use super::*;
    use crate::transforms::tests::{apply, error};

    fn of(user: i64, at: i64) -> impl Fn(&mut BatchBuilder) {
        move |b: &mut BatchBuilder| {
            let mut m = b.add();
            m.set_timestamp(at * 1_000_000_000);
            m.add_integer(b"user", user);
            m.add_string(b"path", b"/");
            m.add_integer(b"other", user);
        }
    }

    fn users(toml: &str, messages: &[(i64, i64)]) -> Vec<Option<String>> {
        let makers: Vec<_> = messages.iter().map(|(user, at)| of(*user, *at)).collect();
        let (batch, _) = apply(&KIND, toml, &makers);
        assert!(batch.iter().all(|m| m.value(b"path", 0, 0) == Some(Value::String(b"/")) && m.value(b"other", 0, 0).is_some()));
        let text = |v: Value<'_>| match v {
            Value::Integer(n) => n.to_string(),
            other => String::from_utf8_lossy(other.as_bytes().unwrap()).into_owned(),
        };
        batch.iter().map(|m| m.value(b"user", 0, 0).map(text)).collect()
    }

    const SEEN: &[(i64, i64)] = &[(1, 0), (2, 1), (3, 2), (1, 3), (3, 10), (2, 11), (1, 12)];

    #[test]
    fn further_values_are_replaced_until_the_window_ends() {
        let some = |all: &[&str]| all.iter().map(|t| Some(t.to_string())).collect::<Vec<_>>();
        let toml = "fields = ['path', 'user']\nmax_values = 2\nevery = '10s'\ntime = 'message'\n";
        assert_eq!(users(toml, SEEN), some(&["1", "2", "(other)", "1", "3", "2", "(other)"]));
        assert_eq!(users(&format!("{toml}over = 'drop'"), SEEN), some(&["1", "2", "1", "3", "2"]));
        let mut removed = some(&["1", "2", "", "1", "3", "2", ""]);
        (removed[2], removed[6]) = (None, None);
        assert_eq!(users(&format!("{toml}over = 'remove'"), SEEN), removed);
        // Without a window that ends, the first two it is.
        assert_eq!(users("fields = 'user'\nmax_values = 2\nreplacement = 'x'", SEEN), some(&["1", "2", "x", "1", "x", "2", "1"]));
    }

    #[test]
    fn bad_limits_are_told() {
        assert!(error(&KIND, "fields = []").contains("limits nothing"));
        assert!(error(&KIND, "fields = 'a'\nmax_values = 0").contains("expected 1 to"));
    }
}
