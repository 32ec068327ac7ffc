use influxdb_line_protocol::FieldValue;
use message::{Batch, MessageRef};
use proptest::prelude::*;
use testkit::plugins::{decode, decoder};

use super::KIND;

fn read(toml: &str, records: &[&str]) -> (Batch, Vec<String>) {
    decode(&mut *decoder(&KIND, toml).unwrap(), &records.iter().map(|r| r.as_bytes()).collect::<Vec<_>>())
}

/// Name and value of each field as text.
fn shown(m: MessageRef<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let value = |v: message::Value<'_>| v.as_bytes().map_or_else(|| format!("{v:?}"), text);
    m.fields().map(|f| (text(f.name()), value(f.value(0).unwrap()))).collect()
}

fn fields(batch: &Batch, index: usize) -> String {
    shown(batch.get(index)).into_iter().map(|(name, value)| format!("{name}={value} ")).collect()
}

#[test]
fn fields_are_samples_with_the_tags_of_their_line() {
    let record = "# a comment\n\r\ncpu,host=web\\ 1,name=x,a\\=b=c\\,d idle=98.5,n=3i,ok=T,text=\"a \\\"b\\\" \\\\ \\n\nc\" 1700000000000000001\r\n \
                  wea\\ ther\\,\\=\\x big=18446744073709551615u,small=7u";
    let (batch, rejects) = read("", &[record]);
    assert_eq!(rejects, [""; 0]);
    let tags = "host=web 1 tag_name=x a=b=c,d ";
    assert_eq!(fields(&batch, 0), format!("name=cpu_idle value=Double(98.5) kind=gauge {tags}"));
    assert_eq!(fields(&batch, 1), format!("name=cpu_n value=Integer(3) kind=gauge {tags}"));
    assert_eq!(fields(&batch, 2), format!("name=cpu_ok value=Integer(1) kind=gauge {tags}"));
    assert_eq!(fields(&batch, 3), format!("name=cpu_text value=a \"b\" \\ \\n\nc kind=text {tags}"));
    assert_eq!(fields(&batch, 4), "name=wea ther,\\=\\x_big value=Double(1.8446744073709552e19) kind=gauge ");
    assert_eq!(fields(&batch, 5), "name=wea ther,\\=\\x_small value=Integer(7) kind=gauge ");
    let times: Vec<_> = batch.iter().map(|m| m.timestamp()).collect();
    assert_eq!((times, batch.get(5).type_()), (vec![1_700_000_000_000_000_001; 4].into_iter().chain([0, 0]).collect(), &b"metric"[..]));
}

#[test]
fn options_say_units_and_names() {
    for (precision, unit) in [("n", 1), ("us", 1_000), ("u", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("h", 3_600_000_000_000_i64)]
    {
        let (batch, _) = read(&format!("precision = '{precision}'\nseparator = '.'"), &["m f=1 -2"]);
        assert_eq!((batch.get(0).timestamp(), fields(&batch, 0)), (-2 * unit, "name=m.f value=Double(1.0) kind=gauge ".to_string()));
    }
    let (_, rejects) = read("precision = 's'", &["m f=1 9300000000"]);
    assert_eq!(rejects, ["the timestamp 9300000000 is out of range; the option `precision` says in what unit it is"]);
    let (batch, rejects) = read("text = 'drop'", &["m a=\"x\",b=2", "m a=\"x\""]);
    assert_eq!((batch.len(), rejects), (1, vec!["found fields of text only, which `text = \"drop\"` leaves out".to_string()]));
}

#[test]
fn numbers_are_those_of_the_protocol() {
    let taken = |value: &str| read("", &[&format!("m f={value}")]).1.is_empty();
    for value in ["1", "-1", "1.", ".5", "-.5", "1e3", "1E-3", "1.5e+3", "007", "-9223372036854775808i", "0u", "t", "FALSE"] {
        assert!(taken(value), "{value}");
    }
    for value in [
        "",
        "-",
        ".",
        "+1",
        "1e",
        "e3",
        "1e999",
        "nan",
        "inf",
        "1_0",
        "1.2.3",
        "0x1",
        "9223372036854775808i",
        "i",
        "1.5i",
        "-1u",
        "tRue",
        "yes",
    ] {
        assert!(!taken(value), "{value}");
    }
}

#[test]
fn refusals_say_line_and_column() {
    for (record, expected) in [
        ("", "found nothing but comments and blanks, expected `measurement field=value`"),
        ("# only this\n", "found nothing but comments and blanks, expected `measurement field=value`"),
        ("m", "line 1, column 2: found the end, expected a space and fields"),
        (",a=b f=1", "line 1, column 1: found `,`, expected a measurement"),
        ("m,a f=1", "line 1, column 4: found ` `, expected `=`"),
        ("m,a= f=1", "line 1, column 5: found ` `, expected a tag's value"),
        ("m,a=b=c f=1", "line 1, column 6: found `=`, expected `,` or a space; `=` in a tag's value is written `\\=`"),
        ("m,a=b\nm f=1", "line 1, column 6: found the end of the line, expected a space and fields"),
        ("m f=1\nm f=1,", "line 2, column 7: found the end, expected a field's key"),
        ("m f=1\n\n  m f=x", "line 3, column 7: found `x`, expected a value: a number, `t` or `f`, or text in double quotes"),
        ("m f=1i5", "line 1, column 5: found `1`, expected a value: a number, `t` or `f`, or text in double quotes"),
        ("m f=-1u", "line 1, column 5: found `-`, expected a whole number of 64 bits without sign before `u`"),
        ("m f=\"x", "line 1, column 7: found the end, expected `\"`"),
        ("m f=\"x\"y", "line 1, column 8: found `y`, expected `,`, a space or the end of the line"),
        ("m f=1 x", "line 1, column 7: found `x`, expected a timestamp, a whole number of 64 bits, or the end of the line"),
        ("m f=1 5 6", "line 1, column 9: found `6`, expected the end of the line"),
        ("m,b=1,a=1,b=2 f=1", "the tag `b` of `m` is there twice"),
    ] {
        let (batch, rejects) = read("", &[record]);
        assert_eq!((batch.len(), rejects), (0, vec![expected.to_string()]), "{record:?}");
    }
}

#[test]
fn many_fields_with_long_names_or_many_tags_do_not_multiply() {
    let list = |n: usize| (0..n).map(|i| format!("k{i}=1")).collect::<Vec<_>>().join(",");
    let (_, rejects) = read("", &[&format!("m,{} {}", list(1000), list(1000))]);
    assert_eq!(rejects, ["not taken: its samples and tags make more than 262144 fields"]);
    let (_, rejects) = read("", &[&format!("{} {}", "m".repeat(50_000), list(1000))]);
    assert_eq!(rejects, ["not taken: the names of its samples are far longer than the record"]);
}

/// What InfluxDB's own reader makes of lines, as [`shown`].
fn oracle(lines: &str) -> Result<Vec<Vec<(String, String)>>, String> {
    let mut samples = Vec::new();
    for line in influxdb_line_protocol::parse_lines(lines) {
        let line = line.map_err(|e| e.to_string())?;
        for (key, value) in &line.field_set {
            let text = matches!(value, FieldValue::String(_));
            let shown = match value {
                FieldValue::I64(n) => format!("Integer({n})"),
                FieldValue::U64(n) => i64::try_from(*n).map_or(format!("Double({:?})", *n as f64), |n| format!("Integer({n})")),
                FieldValue::F64(n) => format!("Double({n:?})"),
                FieldValue::Boolean(b) => format!("Integer({})", u8::from(*b)),
                FieldValue::String(s) => s.to_string(),
            };
            let kind = if text { "text" } else { "gauge" };
            let mut sample = vec![
                ("name".to_string(), format!("{}_{key}", line.series.measurement)),
                ("value".into(), shown),
                ("kind".into(), kind.into()),
            ];
            let tags = line.series.tag_set.iter().flatten();
            sample.extend(tags.map(|(key, value)| (key.to_string(), value.to_string())));
            samples.push(sample);
        }
    }
    Ok(samples)
}

/// Text with the bytes of `escaped` behind backslashes. The other reader takes two backslashes for one, so there are none
/// that stand alone.
fn name(escaped: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![4 => "[a-zä\"#/]", 1 => "[,= ]"], 1..6)
        .prop_map(move |parts| parts.into_iter().map(|p| if escaped.contains(&p) { format!("\\{p}") } else { p }).collect())
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| format!("{n}i")),
        any::<u64>().prop_map(|n| format!("{n}u")),
        prop::num::f64::NORMAL.prop_map(|n| n.to_string()),
        "-?[0-9]{1,3}\\.[0-9]{1,3}(e[-+]?[0-9])?",
        prop::sample::select(vec!["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"]).prop_map(str::to_string),
        "[a-zä,= \n]{0,6}".prop_map(|text| format!("\"{text}\"")),
        "[a-z]{0,3}".prop_map(|text| format!("\"{text}\\\"\\\\{text}\\x\"")),
    ]
}

proptest! {
    #[test]
    fn lines_are_read_as_influxdb_reads_them(
        lines in prop::collection::vec((name(", "), prop::collection::btree_map(name(",= "), name(",= "), 0..4), prop::collection::vec((name(",= "), value()), 1..4), any::<Option<i64>>()), 1..4),
    ) {
        let mut text = String::new();
        for (measurement, tags, fields, time) in &lines {
            let pairs = |(key, value): (&String, &String)| format!("{key}={value}");
            let tags: String = tags.iter().map(|tag| format!(",{}", pairs(tag))).collect();
            let fields: Vec<_> = fields.iter().map(|(key, value)| pairs((key, value))).collect();
            let time = time.map_or(String::new(), |time| format!(" {time}"));
            // One that begins with `#` is a comment.
            text += &format!("m{measurement}{tags} {}{time}\n", fields.join(","));
        }
        let expected = oracle(&text);
        let (batch, rejects) = read("", &[&text]);
        prop_assert_eq!((&rejects, expected.as_ref().err()), (&Vec::new(), None), "{}", text);
        prop_assert_eq!(batch.iter().map(shown).collect::<Vec<_>>(), expected.unwrap());
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(record in prop::collection::vec(prop_oneof![4 => prop::sample::select(&b"m,=\" \\\n1itf#"[..]), 1 => any::<u8>()], 0..60)) {
        let (batch, rejects) = decode(&mut *decoder(&KIND, "").unwrap(), &[&record]);
        prop_assert!(rejects.len() == 1 || !batch.is_empty());
    }
}
