use message::{Batch, Header, Value};
use plugin::{Build, BuildCx, Nested, Scripted};
use testkit::plugins::{build_cx, decode, options};

use super::*;
use crate::decoders::{csv, json, logfmt, none, regex, statsd};

/// A chain of these decoders.
fn chain(toml: &str, parts: &[(&'static Kind, &str)]) -> Box<dyn Decoder> {
    try_chain(toml, parts).unwrap_or_else(|e| panic!("{e}"))
}

fn try_chain(toml: &str, parts: &[(&'static Kind, &str)]) -> Result<Box<dyn Decoder>, String> {
    let nested = |(kind, toml): &(&'static Kind, &str)| Nested {
        name: kind.name.into(),
        kind,
        options: options(kind, toml).unwrap(),
        nested: Vec::new(),
    };
    let names: Vec<String> = parts.iter().map(|(kind, _)| format!("\"{}\"", kind.name)).collect();
    let options = options(&KIND, &format!("decoders = [{}]\n{toml}", names.join(", "))).unwrap();
    let Build::Decoder(build) = KIND.build else { panic!("a decoder") };
    build(&options, &BuildCx { nested: parts.iter().map(nested).collect(), ..build_cx() }).map_err(|p| p.to_string())
}

fn string(batch: &Batch, index: usize, name: &str) -> String {
    let value = batch.get(index).value(name.as_bytes(), 0, 0);
    value.and_then(Value::as_bytes).map_or("(none)".into(), |s| String::from_utf8(s.to_vec()).unwrap())
}

#[test]
fn the_first_that_fits_decodes() {
    let parts: &[(&Kind, &str)] =
        &[(&json::KIND, ""), (&csv::KIND, "columns = ['b', 'c']\ntypes = { c = 'integer' }"), (&logfmt::KIND, "")];
    let (batch, rejects) = decode(&mut *chain("", parts), &[b"{\"a\":\"x\"}", b"a=y", b"a=z d=1,e", b"none"]);
    assert_eq!([0, 1, 2].map(|index| string(&batch, index, "a")), ["x", "y", "z"]);
    // Nothing is left of what the second one had begun.
    assert_eq!(batch.get(2).fields().count(), 2);
    let reasons = "json: at byte 0: found `n`, expected `{`; csv: found 1 columns, expected 2: `c` is missing; `flexible` takes it so; \
        logfmt: found no `=`, expected key=value pairs";
    assert_eq!(rejects, [reasons]);
}

const HEADER: &str = r"pattern = '^(?<host>\S+) (?<app>\S+): (?<text>.*)$'
headers = { Hostname = 'host', Payload = 'text' }";

#[test]
fn each_reads_what_the_one_before_left() {
    let mut decoder = chain("mode = 'all'", &[(&regex::KIND, HEADER), (&json::KIND, ""), (&logfmt::KIND, "")]);
    let record = br#"web app: {"a":1,"host":"inner","msg":"level=warn \"b\"=2"}"#;
    let (_, rejects) = decode(&mut *decoder, &[record]);
    assert_eq!(rejects, ["logfmt: at byte 11: found `\"`, expected a key"]);
    let (batch, rejects) = decode(&mut *decoder, &[br#"web app: {"a":1,"host":"inner","msg":"level=warn b=\"two\\tx\""}"#]);
    assert_eq!((batch.len(), rejects.len()), (1, 0));
    let m = batch.get(0);
    let fields: Vec<_> = m.fields().map(|f| (f.name(), f.value(0).unwrap())).collect();
    assert_eq!(fields, [(&b"app"[..], Value::String(b"app")), (b"a", Value::Integer(1)), (b"b", Value::String(b"two\tx"))]);
    assert_eq!((m.hostname(), m.severity(), m.has(Header::Payload)), (&b"inner"[..], 4, false));
}

#[test]
fn a_refusal_may_keep_what_is_there() {
    let mut decoder = chain("mode = 'all'\nrefused = 'keep'", &[(&regex::KIND, HEADER), (&json::KIND, ""), (&none::KIND, "")]);
    let (batch, rejects) = decode(&mut *decoder, &[b"web app: plain", b"web app: {\"a\":\"x\"}", b"nothing"]);
    assert_eq!((batch.get(0).payload(), string(&batch, 0, "app")), (&b"plain"[..], "app".into()));
    assert_eq!((string(&batch, 1, "app"), string(&batch, 1, "a")), ("app".into(), "x".into()));
    assert!(rejects[0].starts_with("regex: the record does not match"), "{rejects:?}");
}

#[test]
fn a_field_may_be_what_is_read() {
    let parts: &[(&Kind, &str)] = &[(&json::KIND, ""), (&csv::KIND, "columns = ['a', 'b']")];
    let mut decoder = chain("mode = 'all'\nfield = 'log'", parts);
    let records: [&[u8]; 3] = [br#"{"x":1,"log":"1,2","msg":"m","y":2}"#, br#"{"x":"3"}"#, br#"{"log":"\"4\",5\n","x":6}"#];
    let (batch, rejects) = decode(&mut *decoder, &records);
    assert_eq!((batch.len(), rejects.len()), (3, 0));
    let names = |index: usize| batch.get(index).fields().map(|f| String::from_utf8(f.name().to_vec()).unwrap()).collect::<Vec<_>>();
    assert_eq!(
        (names(0), names(1), names(2)),
        (vec!["x".into(), "y".into(), "a".into(), "b".into()], vec!["x".into()], vec!["x".into(), "a".into(), "b".into()])
    );
    assert_eq!((batch.get(0).payload(), string(&batch, 2, "a")), (&b"m"[..], "4".into()));
    // Names that are too long to be learnt lie in the record.
    let long = "l".repeat(100);
    let mut decoder = chain(&format!("mode = 'all'\nfield = '{long}'"), parts);
    let (batch, _) = decode(&mut *decoder, &[format!("{{\"{long}\":\"1,2\"}}").as_bytes()]);
    assert_eq!(string(&batch, 0, "b"), "2");
}

#[test]
fn many_messages_stay_in_order() {
    let parts: &[(&Kind, &str)] = &[(&regex::KIND, HEADER), (&statsd::KIND, ""), (&none::KIND, "")];
    let (batch, rejects) = decode(&mut *chain("mode = 'all'", parts), &[b"web app: a:1|c", b"web app: b:2|c"]);
    assert_eq!((batch.len(), rejects), (2, Vec::<String>::new()));
    assert!(batch.iter().all(|m| m.hostname() == b"web" && m.value(b"app", 0, 0) == Some(Value::String(b"app"))));
    let names: Vec<_> = batch.iter().filter_map(|m| m.value(b"name", 0, 0)).collect();
    assert_eq!(names, [Value::String(b"a"), Value::String(b"b")]);
}

#[test]
fn bad_chains_are_refused() {
    let error = |toml: &str, parts: &[(&'static Kind, &str)]| try_chain(toml, parts).err().unwrap();
    assert!(error("", &[]).contains("names none"));
    assert!(error("field = 'a'", &[(&json::KIND, "")]).contains("`field` does nothing here"));
    let options = options(&KIND, "decoders = 'json'").unwrap();
    assert!(Chain::new(&options, &build_cx()).err().unwrap().to_string().contains("not known here"));
}

/// A decoder with a state, which fails at `!`.
struct Counting(u8, Refusal);

impl Decoder for Counting {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        self.0 += 1;
        self.1 = if record.bytes() == b"!" { Refusal::Failed } else { Refusal::Refused };
        out.add().add_integer(b"n", i64::from(self.0));
        Err(Reject::new("never"))
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        Some(self)
    }
}

impl Scripted for Counting {
    fn files(&self) -> Vec<std::path::PathBuf> {
        vec![format!("{}.lua", self.0).into()]
    }

    fn gauges(&self) -> Vec<plugin::Gauge> {
        vec![plugin::Gauge { name: "memory_limit", unit: "B", current: 1, max: 2, cap: 3 }]
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        Ok(vec![self.0; usize::from(self.0)])
    }

    fn restore(&mut self, saved: &[u8]) -> Result<plugin::Carried, String> {
        self.0 = saved[0];
        Ok(plugin::Carried { carried: vec![format!("n{}", saved.len())], ..plugin::Carried::default() })
    }

    fn refusal(&self) -> Refusal {
        self.1
    }
}

const COUNTING: Kind = Kind::decoder("counting", Stability::Stable, |_, _: &BuildCx| Ok(Box::new(Counting(0, Refusal::Refused))));

#[test]
fn scripts_are_one_to_the_engine() {
    static KIND_OF: Kind = COUNTING;
    let parts: &[(&'static Kind, &str)] = &[(&KIND_OF, ""), (&json::KIND, ""), (&KIND_OF, "")];
    let mut decoder = chain("", parts);
    assert!(chain("", &[(&json::KIND, "")]).script().is_none());
    let (batch, rejects) = decode(&mut *decoder, &[b"{}", b"x", b"!"]);
    assert_eq!((batch.len(), rejects.len()), (1, 2));
    // A script that failed is not passed over.
    assert_eq!((rejects[1].as_str(), decoder.script().unwrap().refusal()), ("counting: never", Refusal::Failed));
    let script = decoder.script().unwrap();
    assert_eq!(script.files(), [std::path::PathBuf::from("3.lua"), "1.lua".into()]);
    assert_eq!(script.gauges().iter().map(|g| (g.current, g.max, g.cap)).collect::<Vec<_>>(), [(2, 4, 6)]);
    let saved = script.save().unwrap();
    let mut next = chain("", parts);
    assert_eq!(next.script().unwrap().restore(&saved).unwrap().carried, ["n3", "n1"]);
    assert_eq!(next.script().unwrap().files(), script.files());
    assert!(next.script().unwrap().restore(&saved[..5]).is_err());
}
