//! What each expression means, by example.

use matcher::{MAX_DEPTH, MAX_LENGTH, MAX_TESTS, Matcher};
use message::{Batch, BatchBuilder, Datum, Text, Uuid, ValueType};

/// 2015-04-11T17:30:26.112000001Z
const TIME: i64 = 1_428_773_426_112_000_001;
const TWO_53: i64 = 1 << 53;

/// Message 0 has everything set, message 1 nothing.
fn batch() -> Batch {
    let mut builder = BatchBuilder::default();
    let mut m = builder.add();
    m.set_uuid(Uuid::parse(b"87cf1ac2-e810-4ddf-a02d-a5ce44d13a85").unwrap());
    m.set_timestamp(TIME);
    m.set_type(b"TEST");
    m.set_logger(b"GoSpec");
    m.set_severity(6);
    m.set_payload("Test Payload: ünique item".as_bytes());
    m.set_env_version(b"0.8");
    m.set_pid(1234);
    m.set_hostname(b"host/a");
    m.add_string(b"foo", b"bar");
    m.add_string(b"foo", b"second");
    m.add_integer(b"number", 64);
    m.add_integer(b"zero", 0);
    m.add_integer(b"one", 1);
    m.add_integer(b"huge", TWO_53 + 1);
    m.add_integer(b"max", i64::MAX);
    m.add_double(b"pi", 3.25);
    m.add_double(b"nan", f64::NAN);
    m.add_bool(b"yes", true);
    m.add_bool(b"no", false);
    m.add_string(b"text true", b"TRUE");
    m.add_string(b"empty", b"");
    m.add_string(b"number as text", b"64");
    m.add_string(b"quote", b"it's a \\ \"q\"");
    m.add_string(b"invalid", b"\xff\xfe end");
    let bytes = m.messages().store(b"\x00data");
    let name = m.messages().store(b"bytes");
    m.add_field(name, Text::NONE, ValueType::Bytes, &[Datum::Bytes(bytes)]);
    let name = m.messages().store(b"list");
    m.add_field(name, Text::NONE, ValueType::Integer, &[Datum::Integer(1), Datum::Integer(2)]);
    let name = m.messages().store(b"none");
    m.add_field(name, Text::NONE, ValueType::Integer, &[]);
    builder.add();
    builder.finish()
}

#[track_caller]
fn check(message: usize, expected: bool, expressions: &[&str]) {
    let batch = batch();
    for text in expressions {
        let matcher = Matcher::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(matcher.matches(batch.get(message)), expected, "{text}");
        let again = Matcher::parse(&matcher.to_string()).unwrap_or_else(|e| panic!("{matcher} (from {text}): {e}"));
        assert_eq!(again.matches(batch.get(message)), expected, "{matcher} (from {text})");
        assert_eq!(again.to_string(), matcher.to_string());
    }
}

#[test]
fn true_ones() {
    check(
        0,
        true,
        &[
            "TRUE",
            "(TRUE)",
            "FALSE || TRUE",
            "TRUE || FALSE && FALSE",
            "Type == 'TEST' && (Severity == 7 || Payload =~ /^Test/)",
            "Type=='TEST'&&Severity==6",
            "\n  Type == 'TEST'\r\n\t&& Severity == 6\n",
            "!(FALSE)",
            "! ( Type == 'x' )",
            "!(Type == 'x') && !(!(Type == 'TEST'))",
            "Uuid == '87cf1ac2-e810-4ddf-a02d-a5ce44d13a85'",
            "Uuid < '88'",
            "Uuid =~ /^87cf1ac2-/",
            "Type == \"TEST\"",
            "Type != 'test'",
            "Type > 'TESS'",
            "Type >= 'TEST'",
            "Type < 'TEST\t'",
            "Type <= 'TEST'",
            "Type =~ /^[Tt]EST/",
            "Type =~ /(?i)test/",
            "Type !~ /test/",
            "Type != NIL",
            "Logger == 'GoSpec'",
            "EnvVersion == '0.8'",
            "Hostname =~ /^host\\/a$/",
            "Hostname == 'host/a'",
            "Payload =~ /item$/",
            "Payload =~ /ünique/",
            "Payload =~ /: .nique/",
            "Payload !~ /^item/",
            "Payload != NIL",
            "Severity == 6",
            "Severity != 5",
            "Severity > 5.5",
            "Severity >= 06",
            "Severity < +7",
            "Severity <= .6e1",
            "Severity != NIL",
            "Pid == 1234",
            "Pid > -1",
            "Pid != NIL",
            "Timestamp == 1428773426112000001",
            "Timestamp > 1428773426112000000",
            "Timestamp > 1.428773426112e18",
            "Timestamp == '2015-04-11T17:30:26.112000001Z'",
            "Timestamp == '2015-04-11T19:30:26.112000001+02:00'",
            "Timestamp == '2015-04-12T00:30:26.112000001+0700'",
            "Timestamp == '2015-04-11T10:30:26.112000001-0700'",
            "Timestamp != '2015-04-11T17:30:26.112000002Z'",
            "Timestamp < '2015-04-11T17:30:26.112000002Z'",
            "Timestamp >= \"2015-04-11T17:30:26.112Z\"",
            "Fields[foo] == 'bar'",
            "Fields[foo][0] == 'bar'",
            "Fields[foo][0][0] == 'bar'",
            "Fields[foo][1] == 'second'",
            "Fields[foo] != 'baz'",
            "Fields[foo] > 'baq'",
            "Fields[foo] =~ /a/",
            "Fields[foo] !~ /^a/",
            "Fields[foo] != NIL",
            "Fields[list][0][1] == 2",
            "Fields[number] == 64",
            "Fields[number] == 64.0",
            "Fields[number] == 6.4e1",
            "Fields[number] > 63.5",
            "Fields[number] != 65",
            "Fields[huge] == 9007199254740993",
            "Fields[huge] > 9007199254740992",
            "Fields[huge] != 9007199254740992",
            "Fields[max] == 9223372036854775807",
            "Fields[max] < 9223372036854775808",
            "Fields[max] < 1e300",
            "Fields[zero] == -0",
            "Fields[zero] > -.5",
            "Fields[pi] == 3.25",
            "Fields[pi] > 3",
            "Fields[nan] != 1",
            "Fields[yes] == TRUE",
            "Fields[yes] != FALSE",
            "Fields[no] == FALSE",
            "Fields[no] != TRUE",
            "Fields[text true] == 'TRUE'",
            "Fields[empty] == ''",
            "Fields[empty] != NIL",
            "Fields[bytes] =~ /data$/",
            "Fields[bytes] > ''",
            "Fields[bytes] != 'data'",
            "Fields[invalid] =~ /end/",
            "Fields[invalid] =~ / e.d$/",
            "Fields[quote] == 'it\\'s a \\ \"q\"'",
            "Fields[quote] == \"it's a \\ \\\"q\\\"\"",
            "Fields[missing] == NIL",
            "Fields[foo][2] == NIL",
            "Fields[foo][0][1] == NIL",
            "Fields[none] == NIL",
            "Fields[missing] == NIL || Fields[missing] != 'a'",
            "!(Fields[missing] == 'a')",
        ],
    );
}

#[test]
fn false_ones() {
    check(
        0,
        false,
        &[
            "FALSE",
            "TRUE && FALSE",
            "!(TRUE)",
            "(TRUE || FALSE) && FALSE",
            "Type == 'TES'",
            "Type == 'test'",
            "Type == NIL",
            "Type =~ /EST\\$/",
            "Type !~ /ES/",
            "Type =~ /^EST$/",
            "Severity == NIL",
            "Severity < 6",
            "Severity == 6.5",
            "Pid == NIL",
            "Pid > 1234",
            "Timestamp < 1428773426112000001",
            "Timestamp == '2015-04-11T17:30:26.112Z'",
            "Timestamp == '2015-04-11T17:30:26.112000001+0700'",
            "Hostname != 'host/a'",
            // missing
            "Fields[missing] == 'a'",
            "Fields[missing] != 'a'",
            "Fields[missing] != 1",
            "Fields[missing] < 1",
            "Fields[missing] =~ /a/",
            "Fields[missing] !~ /a/",
            "Fields[missing] == TRUE",
            "Fields[missing] != TRUE",
            "Fields[missing] != NIL",
            "Fields[FOO] != NIL",
            "Fields[foo][2] != 'bar'",
            "Fields[list][0][2] != 1",
            "Fields[none] != 1",
            "Fields[none] != NIL",
            "Fields[foo] == NIL",
            // text against other types
            "Fields[number as text] == 64",
            "Fields[number as text] != 64",
            "Fields[foo] > 0",
            "Fields[bytes] != 1",
            "Fields[text true] == TRUE",
            "Fields[text true] != TRUE",
            "Fields[foo] != FALSE",
            // numbers against other types
            "Fields[number] == '64'",
            "Fields[number] != '64'",
            "Fields[number] =~ /64/",
            "Fields[number] !~ /65/",
            "Fields[one] == TRUE",
            "Fields[one] != FALSE",
            "Fields[zero] == FALSE",
            "Fields[pi] != 'x'",
            // truth values against other types
            "Fields[yes] == 1",
            "Fields[yes] != 1",
            "Fields[no] == 0",
            "Fields[no] < 1",
            "Fields[no] == 'x'",
            "Fields[no] != 'x'",
            "Fields[no] =~ /x/",
            "Fields[no] !~ /x/",
            "Fields[yes] == FALSE",
            "Fields[no] == TRUE",
            "Fields[huge] == 9007199254740992",
            "Fields[nan] == 1",
            "Fields[nan] <= 1",
            "Fields[invalid] =~ /^. end/",
        ],
    );
}

#[test]
fn unset_headers() {
    check(
        1,
        true,
        &[
            "Type == NIL",
            "Logger == NIL",
            "Payload == NIL",
            "EnvVersion == NIL",
            "Hostname == NIL",
            "Severity == NIL",
            "Pid == NIL",
            "Type == ''",
            "Type != 'x'",
            "Type < 'x'",
            "Type !~ /./",
            "Type =~ /^$/",
            "Severity == 7",
            "Pid == 0",
            "Timestamp == 0",
            "Uuid =~ /^[0-9a-f]{8}-/",
            "Fields[x] == NIL",
        ],
    );
    check(
        1,
        false,
        &["Type != NIL", "Severity != NIL", "Pid != NIL", "Type == 'x'", "Type > ''", "Type =~ /./", "Pid < 0", "Fields[x] != NIL"],
    );
}

#[test]
fn malformed_ones() {
    for text in [
        "TRUE FALSE",
        "TRUE TRUE",
        "Type == 'a' Type == 'b'",
        "TRUE &&",
        "|| TRUE",
        "&& TRUE",
        "TRUE & TRUE",
        "TRUE | TRUE",
        "TRUE && || TRUE",
        "()",
        "(",
        ")",
        "(TRUE",
        "TRUE)",
        "((TRUE)",
        "!",
        "!TRUE",
        "!!(TRUE)",
        "!Type == 'a'",
        "true",
        "NIL",
        "Bogus",
        "Bogus == 1",
        "TRUE Bogus == 1",
        "TRUE || Bogus == 1",
        "Type",
        "Type ==",
        "Type = 'a'",
        "Type === 'a'",
        "Type == a",
        "Type == 5",
        "Type == TRUE",
        "Type < NIL",
        "Type =~ NIL",
        "Type == /a/",
        "Type =~",
        "Type =~ /a",
        "Type =~ /a(/",
        "Type =~ /a/i",
        "Type =~ 'a'%%",
        "Type =~ /a/%",
        "Type == 'a'%",
        "Type =~ '[T'",
        "Type =~ 'T%'",
        "Type =~ '%b('",
        "Type =~ '(.-'",
        "Fields[foo] !~ 'a%2.'",
        "Type == 'a",
        "Type == 'a\\'",
        "Type == \"a'",
        "Type == Logger",
        "Uuid == NIL",
        "Uuid == 1",
        "Timestamp == NIL",
        "Timestamp == 'yesterday'",
        "Timestamp == '2015-04-11T17:30:26'",
        "Timestamp =~ /2015/",
        "Timestamp == TRUE",
        "Severity == '6'",
        "Severity =~ /6/",
        "Severity == 5-3",
        "Severity == 1.2.3",
        "Severity == 0x10",
        "Severity == 1e",
        "Severity == 1e999",
        "Severity == .",
        "Severity == -",
        "Severity == - 1",
        "Severity == TRUE",
        "Pid < NIL",
        "Pid == Severity",
        "'a' == Type",
        "1 == 1",
        "/a/ =~ Type",
        "Fields == 'a'",
        "Fields.a == 'a'",
        "Fields[] == NIL",
        "Fields[a",
        "Fields[a] ",
        "Fields[a][b] == 1",
        "Fields[a][-1] == 1",
        "Fields[a][] == 1",
        "Fields[a][0 == 1",
        "Fields[a] [0] == 1",
        "Fields [a] == 1",
        "Fields[a][0][0][0] == 1",
        "Fields[a][4294967296] == 1",
        "Fields[a] < TRUE",
        "Fields[a] >= NIL",
        "Fields[a] == Fields[b]",
        "Fields[a] == bar",
        "Fields[a] =~ 5",
        "Type == ‘a’",
        "Type == 'a'; TRUE",
        "Type == 'a' # comment",
        "Type == 'a'\u{a0}",
    ] {
        let error = Matcher::parse(text).expect_err(text);
        assert!(error.at.end <= text.len() && text.get(error.at.clone()).is_some(), "{text}: {:?}", error.at);
        assert!(error.to_string().starts_with(&format!("position {}: found ", error.position)), "{text}: {error}");
    }
}

#[test]
fn error_texts() {
    for (text, expected) in [
        ("", "position 1: found an empty expression, expected a test such as Type == 'nginx.access'; `TRUE` matches every message"),
        ("type == 'a'", "position 1: found `type`, expected a header, `Fields[name]`, `TRUE` or `FALSE`; did you mean `Type`?"),
        (
            "TRUE && Fields.x == 1",
            "position 9: found `Fields.x`, expected a header, `Fields[name]`, `TRUE` or `FALSE`; did you mean `Fields[x]`?",
        ),
        (
            "status == 200",
            "position 1: found `status`, expected a header, `Fields[name]`, `TRUE` or `FALSE`; a field is written `Fields[status]`, text stands in quotes",
        ),
        ("TRUE FALSE", "position 6: found `FALSE`, expected `&&`, `||` or the end"),
        ("TRUE and FALSE", "position 6: found `and`, expected `&&`, `||` or the end; did you mean `&&`?"),
        ("(TRUE || FALSE", "position 15: found the end, expected `&&`, `||` or `)`; the `(` at position 1 is not closed"),
        ("Type = 'a'", "position 6: found `=`, expected one of == != < <= > >= =~ !~; equality is written `==`"),
        (
            "Type =~ 'TEST[a-'",
            "position 14: found `[a-'`, expected a valid Lua pattern; malformed pattern (missing ']'); `%` behind the closing quote finds the text as it stands",
        ),
        (
            "Type =~ 'ü\\'.%9'",
            "position 14: found `%9'`, expected a valid Lua pattern; invalid capture index %9; `%` behind the closing quote finds the text as it stands",
        ),
        ("Type =~ 5", "position 9: found `5`, expected a regular expression between slashes, such as /foo/, or a Lua pattern in quotes"),
        ("Type =~ /a(/", "position 9: found `/a(/`, expected a valid regular expression; unclosed group"),
        ("Severity == 5-3", "position 13: found `5-3`, expected a number such as 5, -0.5 or 1e9"),
        ("Severity == '5'", "position 13: found `'5'`, expected a number or NIL"),
        (
            "Severity =~ /5/",
            "position 10: found `=~`, expected one of == != < <= > >=; `Severity` is a number, which a regular expression cannot match",
        ),
        ("Uuid == NIL", "position 9: found `NIL`, expected a string; `Uuid` is always set"),
        ("Fields[a] < TRUE", "position 13: found `TRUE`, expected a string or number; `TRUE` goes with == and != only"),
        (
            "Timestamp > '2015-04-11T17:30:26'",
            "position 13: found `'2015-04-11T17:30:26'`, expected an RFC 3339 time such as '2015-04-11T17:30:26.112Z'; end it with Z or an offset such as +02:00",
        ),
        (
            "Type == 'a\\'",
            "position 9: found the end of the text within the string `'a\\'`, expected a closing '; `\\'` stands for ' itself",
        ),
        ("Type == 'ü' &&\n  Severity", "position 26 (line 2, column 11): found the end, expected one of == != < <= > >="),
    ] {
        assert_eq!(Matcher::parse(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn limits_are_errors() {
    let nested = |n: usize, open: &str| Matcher::parse(&(open.repeat(n) + "TRUE" + &")".repeat(n)));
    for open in ["(", "!("] {
        assert!(nested(MAX_DEPTH, open).is_ok());
        assert_eq!(nested(MAX_DEPTH + 1, open).unwrap_err().expected, "at most 64 of them nested");
    }
    nested(40_000, "!(").unwrap_err();
    let chain = |n: usize| Matcher::parse(&vec!["Pid == 1"; n].join(" || "));
    assert!(chain(MAX_TESTS).is_ok());
    assert_eq!(chain(MAX_TESTS + 1).unwrap_err().found, "more than 1024 tests");
    let error = Matcher::parse(&format!("Type == '{}'", "x".repeat(MAX_LENGTH))).unwrap_err();
    assert_eq!(error.expected, "at most 131072 bytes");
    assert!(Matcher::parse(r"Type =~ /(\w{100}){100}/").is_err());
}

/// As in Hindsight, with its own examples.
#[test]
fn lua_patterns() {
    check(
        0,
        true,
        &[
            "Type =~ 'TEST'",
            "Type =~ '^[Tt]EST'",
            "Type =~ '^TEST$'",
            "Type =~ '^%u+$' && Severity == 6",
            "Type !~ 'test'",
            "Type !~ '^test'\n && Logger =~ \"%a+Spec\"",
            "Payload =~ '^Test'",
            "Payload =~ 'item$'",
            "Payload =~ 'Payload: .+ it'",
            "Payload =~ 'P%a+:'",
            "Payload =~ 'd: '%",
            "Payload =~ 'T.+%f[%a]item'",
            "Payload =~ '(T%w-) (%w+)'",
            "Payload !~ '.*'%",
            "Hostname =~ '^host/%l$'",
            "Uuid =~ '^%x+-%x%x%x%x-'",
            "Fields[foo] =~ '^b.r$'",
            "Fields[foo][1] =~ 'seco?nd?'",
            "Fields[quote] =~ \"it's a \\ %b\\\"\\\"\"",
            "Fields[bytes] =~ '^%zdata'",
            "Fields[invalid] =~ '^..%s'",
            "Fields[empty] =~ ''",
        ],
    );
    check(
        0,
        false,
        &[
            "Type =~ '^EST'",
            "Type =~ 'T.ST'%",
            "Type =~ 'TE(ST)'",
            "Payload =~ 'unique-item'%",
            "Fields[number] =~ '64'",
            "Fields[number] !~ 'x'",
            "Fields[missing] =~ '.'",
            "Fields[missing] !~ '.'",
            "Fields[yes] =~ '.'",
        ],
    );
    check(1, true, &["Type =~ '^$'", "Type !~ '.'", "Payload =~ ''"]);
}

#[test]
fn a_pattern_that_takes_too_long_is_no_match_and_is_counted() {
    let mut builder = BatchBuilder::default();
    builder.add().set_payload(&b"a".repeat(5000));
    let batch = builder.finish();
    let matcher = Matcher::parse("Payload =~ '.-.-.-b' || Payload !~ '.-.-.-b'").unwrap();
    assert!(matcher.matches(batch.get(0)), "given up is no match, so that !~ holds");
    assert_eq!(matcher.given_up(), 2);
    assert_eq!(Matcher::parse("TRUE").unwrap().given_up(), 0);
}

#[test]
fn shown_as_understood() {
    for (text, shown) in [
        ("  Type=='a'\n&& ( TRUE )", "Type == 'a'"),
        ("TRUE || Type == 'a'", "TRUE"),
        ("!(!(Pid == 1e1))", "Pid == 10"),
        ("Pid == 1 || Pid == 2 && Pid == 3", "Pid == 1 || (Pid == 2 && Pid == 3)"),
        ("Fields[a][0][2] != FALSE", "Fields[a][0][2] == TRUE"),
        ("Type == \"it's\"", "Type == 'it\\'s'"),
        ("Type == \"\\'\"", "Type == \"\\'\""),
        ("Type =~ /\\/a/", "Type =~ /\\/a/"),
        ("Timestamp > '1970-01-01T00:00:01Z'", "Timestamp > 1000000000"),
    ] {
        let matcher = Matcher::parse(text).unwrap();
        assert_eq!(matcher.to_string(), shown);
        assert_eq!(matcher.source(), text);
    }
}

#[test]
fn who_names_a_type() {
    let names = |text: &str| Matcher::parse(text).unwrap().names_type("nilometer.reject");
    for text in [
        "Type == 'nilometer.reject'",
        "Severity < 3 && (Fields[x] == 1 || Type == 'nilometer.reject')",
        "Type =~ /^nilometer\\./",
        "Type =~ /reject$/",
        "Type =~ '^nilometer%.rej'",
        "Type =~ 'reject'%",
        "!(Type != 'nilometer.reject')",
        "!(!(Type =~ /reject/))",
    ] {
        assert!(names(text), "{text}");
    }
    for text in [
        "TRUE",
        "Type != 'nginx'",
        "Type == 'nilometer'",
        "Logger == 'nilometer.reject'",
        "Type >= 'nilometer.reject'",
        "Type =~ /./",
        "Type =~ /.*/",
        "Type =~ '.'",
        "Type !~ /nginx/",
        "!(Type == 'nilometer.reject')",
        "FALSE && Type == 'nilometer.reject'",
    ] {
        assert!(!names(text), "{text}");
    }
}
