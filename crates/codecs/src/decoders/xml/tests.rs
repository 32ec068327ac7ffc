use message::{Batch, Value};
use proptest::prelude::*;
use testkit::plugins::{decode, decoder};

use super::*;

fn read(toml: &str, record: &str) -> Result<Batch, String> {
    let (batch, rejects) = decode(&mut *decoder(&KIND, toml).unwrap(), &[record.as_bytes()]);
    rejects.into_iter().next().map_or(Ok(batch), Err)
}

type Pairs = Vec<(String, String)>;

fn fields(toml: &str, record: &str) -> Pairs {
    let none = "timestamp = []\nseverity = []\npayload = []\nhostname = []\nmessage_type = []\nlogger = []\npid = []\n";
    let batch = read(&format!("{none}typed = false\n{toml}"), record).unwrap_or_else(|e| panic!("{e} in {record}"));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    batch.get(0).fields().map(|f| (text(f.name()), text(f.value(0).unwrap().as_bytes().unwrap()))).collect()
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

const WINDOWS: &str = r#"<?xml version="1.0"?><Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>
  <System><Provider Name="Security" Guid="{5484}"/><EventID>4624</EventID><Level>4</Level>
    <TimeCreated SystemTime="2023-11-14T22:13:20.25Z"/><Computer>dc1</Computer></System>
  <EventData><Data Name="TargetUserName">ann &amp; bob</Data><Data Name="LogonType">3</Data><Data>other</Data></EventData>
</Event>"#;

#[test]
fn windows_events_are_read() {
    let batch = read(KIND.examples[0].toml, WINDOWS).unwrap();
    let m = batch.get(0);
    assert_eq!((m.timestamp(), m.hostname()), (1_700_000_000_250_000_000, &b"dc1"[..]));
    let value = |name: &str| m.value(name.as_bytes(), 0, 0);
    assert_eq!((value("System.EventID"), value("EventData.LogonType")), (Some(Value::Integer(4624)), Some(Value::Integer(3))));
    assert_eq!(value("EventData.TargetUserName"), Some(Value::String(b"ann & bob")));
    assert_eq!((value("System.Provider.Name"), value("EventData.Data")), (Some(Value::String(b"Security")), Some(Value::String(b"other"))));
}

#[test]
fn prefixes_stay_and_headers_are_found() {
    let record = "<log4j:event logger=\"a.b\" timestamp=\"1700000000000\" level=\"WARN\"><log4j:message><![CDATA[ <hi> ]]></log4j:message></log4j:event>\n";
    let batch = read(KIND.examples[1].toml, record).unwrap();
    let m = batch.get(0);
    assert_eq!((m.logger(), m.timestamp(), m.severity()), (&b"a.b"[..], 1_700_000_000_000_000_000, 4));
    assert_eq!((m.payload(), m.fields().count()), (&b" <hi> "[..], 0));
}

#[test]
fn text_is_joined_and_trimmed() {
    let record = "<a> one <b x=' y\n&#65;&#x42; '/><!-- no --> two&lt;<c/><![CDATA[&3]]> <d>  </d></a>";
    assert_eq!(fields("", record), pairs(&[("b.x", " y AB "), ("a", "one  two<&3")]));
    let toml = "root = true\nseparator = '/'\nattribute_prefix = '@'";
    assert_eq!(fields(toml, record), pairs(&[("a/b/@x", " y AB "), ("a", "one  two<&3")]));
    assert_eq!(fields("", "<a>x</a>"), pairs(&[("a", "x")]));
    assert_eq!(fields("", "<a>x\r\ny</a>"), pairs(&[("a", "x\ny")]));
}

#[test]
fn refusals_say_where_and_what() {
    let error = |record: &str| read("max_depth = 3\nmax_fields = 2", record).unwrap_err();
    let deep = "at byte 9: found `<`, expected fewer levels of nesting; `max_depth` raises that";
    for (record, expected) in [
        ("", "at byte 0: found the end, expected `<`"),
        ("<a>x</b>", "at byte 4: found the end of another element, expected that of `a`"),
        ("<a><b>", "at byte 6: found the end, expected the end of an element"),
        ("<a b=c/>", "at byte 5: found `c`, expected a value in quotes"),
        ("<a b='1' b='2'/>", "at byte 9: found `b`, expected each attribute once"),
        ("<a b='<'/>", "at byte 6: found `<`, expected `&lt;`"),
        ("<a b='1'c='2'/>", "at byte 8: found `c`, expected a space, `>` or `/>`"),
        ("<a/>x", "at byte 4: found `x`, expected the end"),
        ("<1/>", "at byte 1: found `1`, expected the name of an element"),
        ("<a><!-- </a>", "at byte 12: found the end, expected the end of a comment, `-->`"),
        ("<a><b><c><d/></c></b></a>", deep),
        ("<a><b>1</b><b>2</b><b>3</b></a>", "found more than 2 fields; `max_fields` raises that"),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "at byte 12: found `[`, expected a document without declarations of its own"),
    ] {
        assert_eq!(error(record), expected, "{record}");
    }
    for record in ["<a>&x;</a>", "<a>&#0;</a>", "<a>&#xd800;</a>", "<a>&#99999999999;</a>", "<a>&</a>", "<a>&amp</a>", "<a>&#+5;</a>"] {
        assert!(error(record).contains("the number of a character"), "{record}");
    }
    assert!(read("", "<!DOCTYPE log SYSTEM 'x.dtd'><log>1</log>").is_ok());
}

#[test]
fn long_names_do_not_multiply() {
    let inner = "<b>1</b>".repeat(1000);
    let name = "a".repeat(100_000);
    let error = read("root = true", &format!("<{name}>{inner}</{name}>")).unwrap_err();
    assert!(error.contains("far longer than the record"), "{error}");
}

/// What an element is expected to give, by the description of the decoder.
fn expected(node: roxmltree::Node<'_, '_>, path: &str, out: &mut Pairs) {
    for attribute in node.attributes() {
        out.push((join(path, attribute.name()), attribute.value().to_string()));
    }
    let mut text = String::new();
    for child in node.children() {
        if child.is_element() {
            expected(child, &join(path, child.tag_name().name()), out);
        } else if child.is_text() {
            text.push_str(child.text().unwrap());
        }
    }
    let text = text.trim_matches([' ', '\n', '\t', '\r']);
    if !text.is_empty() {
        out.push((if path.is_empty() { node.tag_name().name() } else { path }.to_string(), text.to_string()));
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

fn element() -> impl Strategy<Value = String> {
    let text = "([a-cé \n]|&lt;|&amp;|&#233;|&quot;){0,6}";
    let start = ("[a-d]{1,2}", prop::option::of(text));
    let leaf = (start.clone(), text).prop_map(|((name, x), text)| tag(&name, x, &text));
    leaf.prop_recursive(5, 30, 4, move |inner| {
        let piece = prop_oneof![3 => inner, 1 => text, 1 => Just("<!-- & -->".to_string()), 1 => Just("<?pi x?>".to_string())];
        (start.clone(), prop::collection::vec(piece, 0..4)).prop_map(|((name, x), inner)| tag(&name, x, &inner.concat()))
    })
}

fn tag(name: &str, attribute: Option<String>, inner: &str) -> String {
    let attribute = attribute.map_or(String::new(), |value| format!(" x = \"{value}\""));
    if inner.is_empty() { format!("<{name}{attribute}/>") } else { format!("<{name}{attribute}>{inner}</{name} >") }
}

proptest! {
    #[test]
    fn documents_are_read_as_another_reads_them(record in element()) {
        let document = roxmltree::Document::parse(&record).unwrap();
        let mut all = Vec::new();
        expected(document.root_element(), "", &mut all);
        // White space alone is dropped where nothing is behind it.
        prop_assert_eq!(fields("", &record), all, "{}", record);
    }

    #[test]
    fn what_another_refuses_is_refused(record in "(<a>|</a>|<b c='1'|/>|>|x|&lt;|&|<!--|-->|'| ){0,9}") {
        if roxmltree::Document::parse(&record).is_ok() {
            prop_assert!(read("", &record).is_ok(), "{}", record);
        } else if !record.contains("--") && !record.contains('&') {
            prop_assert!(read("", &record).is_err(), "{}", record);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(record in prop::collection::vec(prop_oneof![prop::sample::select(&b"<a>/='!-[]&;#x? "[..]), any::<u8>()], 0..60), open: bool) {
        let record = if open { [b"<a>", &record[..]].concat() } else { record };
        let (batch, rejects) = decode(&mut *decoder(&KIND, "").unwrap(), &[&record]);
        prop_assert_eq!(batch.len() + rejects.len(), 1);
    }
}
