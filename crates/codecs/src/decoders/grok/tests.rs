use message::{Batch, Value};
use proptest::prelude::*;
use testkit::plugins::{decode, decoder};

use super::library::LIBRARY;
use super::*;

fn read(toml: &str, record: &[u8]) -> Result<Batch, String> {
    let mut decoder = decoder(&KIND, toml).unwrap_or_else(|e| panic!("{e} in {toml}"));
    let (batch, rejects) = decode(&mut *decoder, &[record]);
    rejects.into_iter().next().map_or(Ok(batch), Err)
}

/// What the whole text is, if the pattern takes it.
fn whole(name: &str, text: &str) -> bool {
    read(&format!("pattern = '^(?<all>%{{{name}}})$'"), text.as_bytes()).is_ok()
}

#[test]
fn every_pattern_of_the_library_compiles() {
    for (nth, (name, _)) in LIBRARY.iter().enumerate() {
        assert!(LIBRARY[..nth].iter().all(|(other, _)| other != name), "{name} is there twice");
        decoder(&KIND, &format!("pattern = '%{{{name}:it}}'")).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn patterns_take_what_they_are_named_after() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("INT", &["7", "-12", "+3"], &["", "1.5", "x"]),
        ("NUMBER", &["7", "-1.5", ".5", "1e9", "2.5E-3"], &["1.2.3", "e5", "-"]),
        ("BASE16NUM", &["ff", "0xFF", "-0x1"], &["xyz", "0x"]),
        ("POSINT", &["1", "10"], &["0", "-1", "01"]),
        ("WORD", &["abc", "a_1"], &["a b", "", "a-b"]),
        ("QS", &[r#""a \" b""#, "'x'", "``"], &[r#""a"#, "a", r#""a"b""#]),
        ("UUID", &["00112233-4455-4677-8899-aabbccddeeff"], &["00112233-4455-4677-8899-aabbccddeef", "no"]),
        ("MAC", &["00:11:22:aa:bb:cc", "00-11-22-AA-BB-CC", "0011.22aa.bbcc"], &["00:11:22:aa:bb", "zz:11:22:aa:bb:cc"]),
        ("IPV4", &["10.0.0.1", "255.255.255.255", "0.0.0.0"], &["256.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4"]),
        (
            "IPV6",
            &["::", "::1", "fe80::1%eth0", "1:2:3:4:5:6:7:8", "2001:db8::7:8", "::ffff:10.0.0.1", "1:2:3:4:5:6:1.2.3.4"],
            &["1:2:3", "1.2.3.4", "g::", ":1:"],
        ),
        ("IP", &["::1", "1.2.3.4"], &["host"]),
        ("HOSTNAME", &["web", "web-1.example.org", "a.b.c."], &["-a", "a..b", "a b"]),
        ("HOSTPORT", &["web:80", "10.0.0.1:9000"], &["web", "web:"]),
        ("EMAILADDRESS", &["ann.b+c@example.org"], &["ann", "@example.org", "a..b@c"]),
        ("URI", &["http://user@host:80/a/b?c=d#", "file:///etc/hosts", "https://[::1]/x"], &["/a/b", "http:/x", "://x"]),
        ("UNIXPATH", &["/", "/var/log/x.log"], &["var/log", "/a b"]),
        ("WINPATH", &[r"C:\a\b c.txt", r"\\server\share"], &["/a", "a"]),
        ("MONTH", &["Jan", "September", "Sept", "May"], &["January1", "jan", "Foo"]),
        ("MONTHDAY", &["1", "09", "31"], &["0", "32", "00"]),
        ("TIME", &["22:13", "22:13:20", "22:13:20.250", "2:13:20,5"], &["24:00", "22:60", "22"]),
        ("DATE", &["11/14/2023", "14.11.2023", "1-2-99"], &["2023/11/14", "14.13.2023x"]),
        (
            "TIMESTAMP_ISO8601",
            &["2023-11-14T22:13:20.123Z", "2023-11-14 22:13:20,123", "2023-11-14 22:13+01:00", "2023-11-14T2213"],
            &["2023-11-14", "2023-13-14T22:13:20", "23-11-14 22:13:20"],
        ),
        ("HTTPDATE", &["14/Nov/2023:22:13:20 +0000"], &["14/11/2023:22:13:20 +0000", "14/Nov/2023:22:13:20"]),
        ("SYSLOGTIMESTAMP", &["Nov 14 22:13:20", "Nov  4 22:13:20"], &["14 Nov 22:13:20"]),
        ("DATESTAMP_RFC2822", &["Tue, 14 Nov 2023 22:13:20 +0000"], &["Tue 14 Nov 2023"]),
        ("DATESTAMP_EVENTLOG", &["20231114221320"], &["2023111422132"]),
        ("LOGLEVEL", &["INFO", "Warning", "err", "FATAL"], &["infos", "loud"]),
        ("PROG", &["sshd", "postfix/smtpd"], &["a b", "a[1]"]),
        ("JAVACLASS", &["org.example.Main$1", "Main"], &["1a", "a..b"]),
    ];
    for (name, good, bad) in cases {
        good.iter().for_each(|text| assert!(whole(name, text), "{name} refuses {text:?}"));
        bad.iter().for_each(|text| assert!(!whole(name, text), "{name} takes {text:?}"));
    }
}

#[test]
fn web_servers_lines_are_read() {
    let record = br#"10.0.0.1 - ann [14/Nov/2023:22:13:20 +0000] "GET /a?b=c HTTP/1.1" 200 - "-" "curl \"8\"""#;
    let batch = read(KIND.examples[1].toml, record).unwrap();
    let m = batch.get(0);
    assert_eq!((m.timestamp(), m.payload()), (1_700_000_000_000_000_000, &record[..]));
    let fields: Vec<_> = m.fields().map(|f| (f.name(), f.value(0).unwrap())).collect();
    let string = |s: &'static str| Value::String(s.as_bytes());
    let expected = [
        ("clientip", string("10.0.0.1")),
        ("ident", string("-")),
        ("auth", string("ann")),
        ("verb", string("GET")),
        ("request", string("/a?b=c")),
        ("httpversion", string("1.1")),
        ("response", Value::Integer(200)),
        ("referrer", string("\"-\"")),
        ("agent", string(r#""curl \"8\"""#)),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.as_bytes(), value)));
}

#[test]
fn other_lines_are_read() {
    let value = |pattern: &str, record: &str, name: &str| {
        let batch = read(&format!("pattern = '^%{{{pattern}}}$'"), record.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let value = batch.get(0).value(name.as_bytes(), 0, 0).unwrap_or_else(|| panic!("no {name} in {record}"));
        format!("{value:?}")
    };
    let string = |s: &str| format!("{:?}", Value::String(s.as_bytes()));
    assert_eq!(value("SYSLOGLINE", "Nov 14 22:13:20 web sshd[42]: Accepted", "pid"), "Integer(42)");
    assert_eq!(value("SYSLOGLINE", "Nov 14 22:13:20 web kernel: up", "message"), string("up"));
    let haproxy = "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} \"GET /index.html HTTP/1.1\"";
    assert_eq!(value("HAPROXYHTTP", haproxy, "time_duration"), "Integer(109)");
    assert_eq!(value("HAPROXYHTTP", haproxy, "captured_request_headers"), string("1wt.eu"));
    let elb = "2023-11-14T22:13:20.1Z lb 10.0.0.1:2817 - 0.000073 -1 0.000057 200 - 0 29 \"GET http://x:80/ HTTP/1.1\"";
    assert_eq!(value("ELB_ACCESS_LOG", elb, "request_processing_time"), "Double(7.3e-5)");
    assert_eq!(value("REDISLOG", "42:M 14 Nov 2023 22:13:20.250 * Ready", "role"), string("M"));
    assert_eq!(value("POSTGRESQL", "2023-11-14 22:13:20.250 UTC [42] ann@shop ERROR:  oh", "database"), string("shop"));
    assert_eq!(
        value(
            "HTTPD_ERRORLOG",
            "[Tue Nov 14 22:13:20.250000 2023] [core:error] [pid 7:tid 8] [client 10.0.0.1:55] AH00037: oh",
            "errorcode"
        ),
        string("AH00037")
    );
    assert_eq!(value("JAVASTACKTRACEPART", "\tat org.example.A.<init>(A.java:42)", "line"), "Integer(42)");
}

#[test]
fn fields_have_types_and_names_of_any_kind() {
    let toml = r#"pattern = ['^%{INT:n:int} %{NUMBER:[http][took]:float} (?<rest>.*)$', '^(?:%{IP:@who}|%{WORD:@who}) %{YES:ok:bool}$']
patterns = { YES = 'yes|no' }"#;
    let batch = read(toml, b"7 1.5 x\xff").unwrap();
    let fields: Vec<_> = batch.get(0).fields().map(|f| (f.name().to_vec(), f.value(0).unwrap())).collect();
    let expected =
        [(b"n".to_vec(), Value::Integer(7)), (b"http.took".to_vec(), Value::Double(1.5)), (b"rest".to_vec(), Value::String(b"x\xff"))];
    assert_eq!(fields, expected);
    for who in ["10.0.0.1", "ann"] {
        let batch = read(toml, format!("{who} yes").as_bytes()).unwrap();
        assert_eq!(batch.get(0).value(b"@who", 0, 0), Some(Value::String(who.as_bytes())));
        assert_eq!(batch.get(0).value(b"ok", 0, 0), Some(Value::Bool(true)));
    }
    assert_eq!(read(toml, b"nothing").unwrap_err(), "the record does not match any of the patterns: `nothing`");
}

#[test]
fn errors_point_into_the_pattern() {
    let error = |toml: &str| decoder(&KIND, toml).err().unwrap();
    assert_eq!(
        error("pattern = '^%{NUMBR:n}$'"),
        "test.toml:1:15: there is no pattern `NUMBR`: expected the name of a pattern (did you mean `NUMBER`?)"
    );
    assert_eq!(
        error("pattern = 'a %{INT:n:numeral}'"),
        "test.toml:1:16: `numeral` is not a type: expected integer, double, bool, string or bytes behind the second colon"
    );
    assert!(error("pattern = 'a %{INT'").starts_with("test.toml:1:14: `%{` has no end"));
    assert!(error("pattern = '%{INT:n} (x'").starts_with("test.toml:1:21: `pattern` is not a regular expression: unclosed group"));
    assert!(error("pattern = '%{INT:}'").contains("names no field"));
    assert!(error("pattern = '%{INT}'").contains("has no field"));
    assert!(
        error("pattern = '%{A:a}'\npatterns = { A = 'x%{B}', B = '%{A}' }").contains("pattern `A` contains itself: it is within A → B")
    );
    let error = error("pattern = '%{A:a}'\npatterns = { A = 'x%{NUMBR}' }");
    assert!(error.starts_with("test.toml:2:22: there is no pattern `NUMBR`"), "{error}");
}

#[test]
fn patterns_that_multiply_are_refused() {
    let mut patterns = vec!["A = 'xxxxxxxxxx'".to_string(), "B0 = '%{A}%{A}'".to_string()];
    patterns.extend((1..15).map(|n| format!("B{n} = '%{{B{}}}%{{B{}}}%{{B{0}}}%{{B{0}}}'", n - 1, n - 1)));
    let toml = format!("pattern = '%{{B14:x}}'\npatterns = {{ {} }}", patterns.join(", "));
    assert!(decoder(&KIND, &toml).err().unwrap().contains("these patterns are too much"));
    let deep: Vec<String> = (0..40).map(|n| format!("C{n} = '%{{C{}}}'", n + 1)).chain(["C40 = 'x'".to_string()]).collect();
    let toml = format!("pattern = '%{{C0:x}}'\npatterns = {{ {} }}", deep.join(", "));
    assert!(decoder(&KIND, &toml).err().unwrap().contains("these patterns are too much"));
}

proptest! {
    #[test]
    fn any_pattern_is_built_or_refused(pattern in "(%\\{|\\}|INT|WORD|:|x|\\(|\\)|n|é| |\\[|[*]){0,8}", record in prop::collection::vec(any::<u8>(), 0..30)) {
        let toml = format!("pattern = '{pattern}'");
        if let Ok(mut decoder) = decoder(&KIND, &toml) {
            let (batch, rejects) = decode(&mut *decoder, &[&record]);
            prop_assert_eq!(batch.len() + rejects.len(), 1);
        }
    }

    #[test]
    fn numbers_and_addresses_are_found(n: i64, address: std::net::IpAddr, x: f64) {
        let text = format!("{n} {address} {x:e}");
        let batch = read("pattern = '^%{INT:n:integer} %{IP:ip} (?:%{NUMBER:x:double}|NaN|-?inf)$'", text.as_bytes()).unwrap();
        let m = batch.get(0);
        prop_assert_eq!(m.value(b"n", 0, 0), Some(Value::Integer(n)));
        prop_assert_eq!(m.value(b"ip", 0, 0).and_then(Value::as_bytes).map(<[u8]>::to_vec), Some(address.to_string().into_bytes()));
    }
}
