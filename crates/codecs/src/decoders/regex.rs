//! Records in a shape of their own, by a regular expression with named groups.
//!
//! For formats that no other decoder knows. A group becomes a field, a header, the Timestamp or the
//! Severity. Where a format is literals with values between them, `log_format` is several times
//! faster. A record that does not match is rejected.

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Decoder, Example, Kind, Stability};

use super::shape::{Expression, Shape, shape_options};
use super::types::FieldType;
use crate::pattern::compile;

pub const KIND: Kind = Kind::decoder("regex", Stability::Stable, build)
    .summary("Reads records with a regular expression's named groups.")
    .doc(
        "Each named group `(?<name>…)` becomes a field of that name, unless an option uses it otherwise; one that takes no part \
         in the match, or is a number and is empty or `-`, is left out. Records are bytes: `.` is any byte, `\\w` and `\\d` are ASCII, \
         `(?u)` turns Unicode on. The expression may match anywhere: write `^…$` for the whole record. A record that does \
         not match, or whose numbers are none, is rejected.",
    )
    .options(shape_options![
        Opt::regex("pattern")
            .required()
            .sample(r"'^(?<time>\S+) (?<level>\w+) (?<message>.*)$'")
            .doc("Expression with at least one named group."),
    ])
    .examples(&[Example {
        title: "An application's log",
        toml: r#"pattern = '^(?<time>\S+ \S+) \[(?<level>\w+)\] (?<message>.*) took (?<took>[\d.]+)s$'
timestamp = "time"
layout = "%Y-%m-%d %H:%M:%S"
severity = "level"
types = { took = "double" }
headers = { Payload = "message" }"#,
    }]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    let regex = compile("pattern", o.str("pattern"), o.location("pattern"))?;
    let named = regex.capture_names().enumerate().filter_map(|(number, name)| Some((number, name?.to_string(), FieldType::String)));
    let groups: Vec<_> = named.collect();
    if groups.is_empty() {
        return Err(o.problem("pattern", "`pattern` has no named group", "expected (?<name>…) around what becomes a field"));
    }
    Ok(Box::new(Shape::new(o, vec![Expression { regex, groups }])?))
}

#[cfg(test)]
mod tests {
    use message::{Batch, Value};
    use proptest::prelude::*;
    use testkit::plugins::{decode, decoder};

    use super::*;

    fn read(toml: &str, records: &[&str]) -> (Batch, Vec<String>) {
        let mut decoder = decoder(&KIND, toml).unwrap();
        decode(&mut *decoder, &records.iter().map(|r| r.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn groups_become_fields_and_headers() {
        let toml = KIND.examples[0].toml.to_string() + "\nmessage_type = 'app'\nseverities = { oops = 3 }";
        let records = [
            "2023-11-14 22:13:20 [OOPS] late took 1.5s",
            "2023-11-14 22:13:20 [warn] slow took 2s",
            "2023-11-14 22:13:20 [odd] x took 2s",
            "no",
        ];
        let (batch, rejects) = read(&toml, &records);
        assert_eq!(batch.len(), 2);
        let (a, b) = (batch.get(0), batch.get(1));
        assert_eq!((a.timestamp(), a.severity(), a.payload(), a.type_()), (1_700_000_000_000_000_000, 3, &b"late"[..], &b"app"[..]));
        assert_eq!((a.value(b"took", 0, 0), a.fields().count(), b.severity()), (Some(Value::Double(1.5)), 1, 4));
        assert_eq!(
            rejects,
            ["`level` is `odd`, expected a severity (see the option `severities`)", "the record does not match the pattern: `no`"]
        );
    }

    #[test]
    fn groups_that_take_no_part_are_left_out() {
        let toml = "pattern = '^(?<a>x)?(?<n>\\d*|-|z),(?<ok>\\w*)$'\ntypes = { n = 'integer', ok = 'bool' }";
        let (batch, rejects) = read(toml, &[",yes", "x7,no", "-,", "z,"]);
        assert_eq!(rejects, ["`n` is `z`, expected a whole number"]);
        let fields = |at| batch.get(at).fields().map(|f| f.value(0).unwrap()).collect::<Vec<_>>();
        assert_eq!(fields(0), [Value::Bool(true)]);
        assert_eq!(fields(1), [Value::String(b"x"), Value::Integer(7), Value::Bool(false)]);
        assert_eq!((fields(2).len(), batch.get(0).payload()), (0, &b",yes"[..]));
    }

    #[test]
    fn names_that_do_not_exist_get_a_suggestion() {
        let error = |more: &str| decoder(&KIND, &format!("pattern = '(?<status>\\d+)'\n{more}")).err().unwrap();
        assert_eq!(
            error("types = { statsu = 'integer' }"),
            "test.toml:2:9: `pattern` has no group `statsu`: named here (did you mean `status`?)"
        );
        assert!(error("types = { status = 'int' }").contains("expected string, bytes, integer, double or bool"));
        assert!(error("headers = { Paylaod = 'status' }").ends_with("(did you mean `Payload`?)"));
        assert!(error("headers = { Timestamp = 'status' }").ends_with("(use the option `timestamp`)"));
        assert!(error("severities = { a = 9 }").contains("found 9 for `a`"));
        assert!(error("layout = 'clv'").contains("did you mean \"clf\"?"));
        let error = |pattern: &str| decoder(&KIND, &format!("pattern = '{pattern}'")).err().unwrap();
        assert!(error("a(b").starts_with("test.toml:1:13: `pattern` is not a regular expression: unclosed group"));
        assert!(error("a(b)").contains("no named group"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_rejected(records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..10)) {
            let mut decoder = decoder(&KIND, "pattern = '(?<a>[0-9]+)(?<b>.*)'\ntypes = { a = 'integer' }").unwrap();
            let (batch, rejects) = decode(&mut *decoder, &records.iter().map(|r| &r[..]).collect::<Vec<_>>());
            prop_assert_eq!(batch.len() + rejects.len(), records.len());
            for (m, record) in batch.iter().zip(records.iter().filter(|r| r.iter().any(u8::is_ascii_digit))) {
                prop_assert_eq!(m.payload(), &record[..]);
            }
        }
    }
}
