use message::{Batch, MessageRef, Value};
use proptest::prelude::*;
use testkit::plugins::{decode, decoder};

use super::*;
use crate::decoders::PRESETS;
use crate::time::{parse_clf, write_rfc3339};

const LINE: &str =
    r#"203.0.113.9 - jane doe [14/Nov/2023:22:13:20 +0000] "GET /a?b=c HTTP/1.1" 200 512 "https://x.test/" "Mozilla/5.0 \"q\"""#;

fn preset(name: &str) -> &'static str {
    PRESETS.iter().find(|p| p.name == name).unwrap().toml
}

fn read(toml: &str, lines: &[&str]) -> (Batch, Vec<String>) {
    let mut decoder = decoder(&KIND, toml).unwrap();
    decode(&mut *decoder, &lines.iter().map(|l| l.as_bytes()).collect::<Vec<_>>())
}

fn text<'a>(m: MessageRef<'a>, name: &str) -> &'a str {
    m.value(name.as_bytes(), 0, 0).and_then(Value::as_bytes).map_or("(none)", |b| std::str::from_utf8(b).unwrap())
}

#[test]
fn the_combined_format_becomes_typed_fields() {
    for (name, type_) in [("nginx", "nginx.access"), ("apache", "apache.access")] {
        let (batch, rejects) = read(preset(name), &[LINE]);
        assert_eq!(rejects, [""; 0]);
        let m = batch.get(0);
        assert_eq!((m.type_(), m.payload(), m.timestamp()), (type_.as_bytes(), LINE.as_bytes(), 1_700_000_000_000_000_000));
        assert_eq!((text(m, "remote_user"), text(m, "http_user_agent")), ("jane doe", r#"Mozilla/5.0 \"q\""#));
        assert_eq!((text(m, "request_method"), text(m, "request_uri"), text(m, "server_protocol")), ("GET", "/a?b=c", "HTTP/1.1"));
        assert_eq!(m.value(b"status", 0, 0), Some(Value::Integer(200)));
        let bytes = m.field(b"body_bytes_sent", 0).unwrap();
        assert_eq!((bytes.value(0), bytes.representation()), (Some(Value::Integer(512)), &b"B"[..]));
        assert_eq!(m.field(b"remote_addr", 0).unwrap().representation(), b"ipv4");
        assert!(m.field(b"time_local", 0).is_none());
    }
}

#[test]
fn a_line_that_does_not_fit_says_where_and_why() {
    let reject = |line: &str| read(preset("nginx"), &[line]).1.remove(0);
    let said = |line: &str| reject(line).replace("the line does not fit the format: ", "");
    assert_eq!(said("hello\u{1b}"), r"at byte 0 expected `remote_addr`, then ` - `, found `hello\x1b`");
    assert_eq!(
        said(&LINE.replace(" 200 ", " ok ")),
        format!(
            "at byte {} expected a whole number for `status`, found `{}`",
            74, r#"ok 512 \"https://x.test/\" \"Mozilla/5.0 \\\"q\\\"\""#
        )
    );
    assert_eq!(said(&LINE.replace("14/Nov", "14/Nix")).split(", found").next(), Some("at byte 24 expected a time for `time_local`"));
    assert_eq!(said(&LINE.replace("1.1\" ", "1.1\"-")).split(", found").next(), Some(r#"at byte 72 expected `\" `"#));
    assert_eq!(said(&(LINE.to_string() + " extra")), format!("at byte {} expected the end of the line, found ` extra`", LINE.len()));
    assert!(said(&"x".repeat(1000)).len() < 200);
}

#[test]
fn numbers_that_are_not_there_are_no_fields() {
    let toml = "format = '$remote_addr $msec $status $upstream_response_time $request_time \"$request\"'";
    let lines = ["::1 1700000000.250 304 - 0.5 \"\\x16\\x03\"", "unix: 1.5 - 0.1, 0.2 : 3 - \"GET /\"", "h 0 1 0.125 1 \"-\"\r\n"];
    let (batch, rejects) = read(toml, &lines);
    assert_eq!(rejects, [""; 0]);
    let (a, b, c) = (batch.get(0), batch.get(1), batch.get(2));
    assert_eq!((a.timestamp(), a.field(b"remote_addr", 0).unwrap().representation()), (1_700_000_000_250_000_000, &b"ipv6"[..]));
    assert!(a.field(b"upstream_response_time", 0).is_none() && a.field(b"request_method", 0).is_none());
    assert_eq!((b.value(b"status", 0, 0), text(b, "upstream_response_time")), (None, "0.1, 0.2 : 3"));
    assert_eq!((text(b, "request_uri"), text(b, "server_protocol")), ("/", "(none)"));
    let took = c.field(b"upstream_response_time", 0).unwrap();
    assert_eq!((took.value(0), took.representation(), text(c, "request")), (Some(Value::Double(0.125)), &b"s"[..], "-"));
}

#[test]
fn options_change_what_is_kept() {
    let toml = "format = '$time_iso8601 $msec $request_uri \"$request\"'\nkeep_payload = false\nmessage_type = 'web'";
    let (batch, _) = read(toml, &["2023-11-14T22:13:20+00:00 7.5 /b \"GET /a HTTP/2.0\""]);
    let m = batch.get(0);
    assert_eq!((m.type_(), m.payload(), m.timestamp(), text(m, "msec")), (&b"web"[..], &b""[..], 1_700_000_000_000_000_000, "7.5"));
    assert_eq!((text(m, "request_uri"), m.field(b"request_uri", 1).is_none(), text(m, "request_method")), ("/b", true, "GET"));
}

#[test]
fn a_bad_format_is_pointed_at() {
    let error = |format: &str| decoder(&KIND, &format!("format = '{format}'")).err().unwrap();
    assert_eq!(
        error("$remote_addr $request$status"),
        "test.toml:1:24: `format` is not a valid log format: nothing stands between `request` and `status`, so that no one can tell \
         where the one ends (the decoder `regex` can tell by their shape)"
    );
    assert!(error("%h %Z").starts_with("test.toml:1:14: `format` is not a valid log format: no such directive"));
    assert!(error("hello").contains("it has no variable"));
    for preset in PRESETS.iter().filter(|p| p.kind == KIND.name) {
        assert!(decoder(&KIND, preset.toml).is_ok(), "{}", preset.name);
    }
}

/// What the combined format says of a line, in the plainest way: the values with their names, or where it does not fit.
fn model(line: &[u8]) -> Result<Vec<(&'static str, &[u8])>, usize> {
    let find = |at: usize, literal: &[u8]| line[at..].windows(literal.len()).position(|w| w == literal).map(|n| at + n);
    let quote = |mut at: usize| {
        while *line.get(at)? != b'"' {
            at += if line[at] == b'\\' { 2 } else { 1 };
        }
        Some(at)
    };
    let (mut at, mut values) = (0, Vec::new());
    for (name, literal) in [
        ("remote_addr", " - "),
        ("remote_user", " ["),
        ("time_local", "] \""),
        ("request", "\" "),
        ("status", " "),
        ("body_bytes_sent", " \""),
        ("http_referer", "\" \""),
        ("http_user_agent", "\""),
    ] {
        let end = match literal.strip_prefix('"') {
            Some(_) => quote(at).ok_or(at).and_then(|end| if line[end..].starts_with(literal.as_bytes()) { Ok(end) } else { Err(end) })?,
            None => find(at, literal.as_bytes()).ok_or(at)?,
        };
        let value = &line[at..end];
        let number = matches!(name, "status" | "body_bytes_sent");
        let fits = match name {
            "time_local" => parse_clf(value).is_some(),
            _ => !number || matches!(value, b"" | b"-") || integer(value).is_some(),
        };
        if !fits {
            return Err(at);
        }
        if name != "time_local" && !(number && matches!(value, b"" | b"-")) {
            values.push((name, value));
        }
        at = end + literal.len();
    }
    if at == line.len() { Ok(values) } else { Err(at) }
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

proptest! {
    #[test]
    fn every_line_is_read_as_the_format_says(
        line in proptest::sample::select(&[
            LINE,
            r#"::1 - - [14/Nov/2023:22:13:20 +0000] "GET /a HTTP/1.1" 1234567890123 - "-" "x""#,
            r#"h -  - a [14/Nov/2023:22:13:21 +0000] "\x16\"\\" 1 22 "" """#,
        ][..]),
        changes in proptest::collection::vec((0..150usize, 0..3usize, proptest::sample::select(&b"\"\\ []-+x0:"[..])), 0..4),
    ) {
        let mut changed = line.as_bytes().to_vec();
        for (at, how, byte) in changes {
            match how {
                0 if at <= changed.len() => changed.insert(at, byte),
                1 if at < changed.len() => changed[at] = byte,
                _ if at < changed.len() => drop(changed.remove(at)),
                _ => {}
            }
        }
        let mut decoder = decoder(&KIND, &format!("{}\nsplit_request = false", preset("nginx"))).unwrap();
        // The line itself goes before, so that its time is known.
        let (batch, rejects) = decode(&mut *decoder, &[line.as_bytes(), &changed]);
        match model(&changed) {
            Ok(values) => {
                prop_assert_eq!(rejects, [""; 0]);
                let read: Vec<_> = batch.get(1).fields().map(|f| (f.name(), f.value(0).unwrap())).collect();
                let expected = values.into_iter().map(|(name, value)| match name {
                    "status" | "body_bytes_sent" => (name.as_bytes(), Value::Integer(integer(value).unwrap())),
                    _ => (name.as_bytes(), Value::String(value)),
                });
                prop_assert_eq!(read, expected.collect::<Vec<_>>());
            }
            Err(at) => {
                let place = format!("the line does not fit the format: at byte {at} expected ");
                prop_assert!(rejects[0].starts_with(&place), "{} is not at {}", rejects[0], at);
            }
        }
    }

    #[test]
    fn requests_have_parts(request in "[A-Za-z_-]{0,5}( |[/a-z]{1,9}| HTTP/| HTTP/1\\.[01 ]){0,5}") {
        let toml = "format = '\"$request\"'";
        let (batch, _) = read(toml, &[&format!("\"{request}\"")]);
        let parts = request.split_once(' ').filter(|(method, _)| {
            !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_')
        });
        let parts = parts.map(|(method, rest)| match rest.rsplit_once(' ') {
            Some((uri, protocol)) if protocol.starts_with("HTTP/") => [method, uri, protocol],
            _ => [method, rest, ""],
        });
        let expected = parts.unwrap_or_default().map(|part| if part.is_empty() { "(none)" } else { part });
        prop_assert_eq!(["request_method", "request_uri", "server_protocol"].map(|name| text(batch.get(0), name)), expected);
    }

    #[test]
    fn what_a_server_writes_is_read_back(
        address in "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
        user in "[a-z]{1,9}",
        seconds in 0_i64..4_000_000_000,
        (status, bytes) in (100_i64..600, 0_i64..i64::MAX),
        quoted in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 3),
    ) {
        // As both servers escape what a client sent.
        let escape = |bytes: &Vec<u8>| bytes.iter().map(|b| match b {
            b'"' => "\\\"".to_string(),
            b'\\' => "\\\\".to_string(),
            b' '..=b'~' => char::from(*b).to_string(),
            other => format!("\\x{other:02X}"),
        }).collect::<String>();
        let quoted: Vec<String> = quoted.iter().map(escape).collect();
        let mut time = Vec::new();
        write_rfc3339(seconds * 1_000_000_000, 0, &mut time);
        let line = format!(
            "{address} - {user} {} \"{}\" {status} {bytes} \"{}\" \"{}\"",
            String::from_utf8(time).unwrap(), quoted[0], quoted[1], quoted[2]
        );
        let toml = "format = '$remote_addr - $remote_user $time_iso8601 \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"'";
        let (batch, rejects) = read(toml, &[&line]);
        prop_assert_eq!(rejects, [""; 0]);
        let m = batch.get(0);
        prop_assert_eq!(m.timestamp(), seconds * 1_000_000_000);
        prop_assert_eq!((m.value(b"status", 0, 0), m.value(b"body_bytes_sent", 0, 0)), (Some(Value::Integer(status)), Some(Value::Integer(bytes))));
        prop_assert_eq!([text(m, "remote_addr"), text(m, "remote_user")], [&*address, &*user]);
        prop_assert_eq!([text(m, "request"), text(m, "http_referer"), text(m, "http_user_agent")], [&*quoted[0], &*quoted[1], &*quoted[2]]);
    }

    #[test]
    fn no_line_makes_it_panic(cut in 0..LINE.len(), byte: u8, at in 0..LINE.len()) {
        let mut line = LINE.as_bytes()[..cut].to_vec();
        if let Some(b) = line.get_mut(at) { *b = byte; }
        let mut decoder = decoder(&KIND, preset("nginx")).unwrap();
        let (batch, rejects) = decode(&mut *decoder, &[&line]);
        prop_assert_eq!(batch.len() + rejects.len(), 1);
    }
}
