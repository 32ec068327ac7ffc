use message::{Batch, MessageRef, Value};
use proptest::prelude::*;
use syslog_loose::{ProcId, Protocol, Variant};

use super::*;
use crate::time::write_rfc3339;

fn decode(toml: &str, records: &[&str]) -> (Batch, Vec<String>) {
    let toml = if toml.contains("zone") { toml.to_string() } else { format!("zone = 'UTC'\n{toml}") };
    let mut decoder = testkit::plugins::decoder(&KIND, &toml).unwrap();
    testkit::plugins::decode(&mut *decoder, &records.iter().map(|r| r.as_bytes()).collect::<Vec<_>>())
}

/// All that was read, in one line: `time|severity|hostname|logger|pid|payload|field=value …`. Now is 2023-11-14T22:13:20Z.
fn shown(m: MessageRef<'_>) -> String {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let mut time = Vec::new();
    if m.timestamp() != 0 {
        write_rfc3339(m.timestamp(), if m.timestamp() % 1_000_000_000 == 0 { 0 } else { 6 }, &mut time);
    }
    let severity = if m.has(message::Header::Severity) { m.severity().to_string() } else { String::new() };
    let fields: Vec<_> = m
        .fields()
        .map(|f| match f.value(0).unwrap() {
            Value::String(s) => format!("{}={}", text(f.name()), text(s)),
            Value::Integer(n) => format!("{}={n}", text(f.name())),
            other => format!("{}={other:?}", text(f.name())),
        })
        .collect();
    let headers = [text(&time), severity, text(m.hostname()), text(m.logger()), m.pid().to_string(), text(m.payload())];
    format!("{}|{}", headers.join("|"), fields.join(" "))
}

#[track_caller]
fn reads(toml: &str, record: &str, expected: &str) {
    let (batch, rejects) = decode(toml, &[record]);
    assert_eq!(rejects, [""; 0], "{record}");
    assert_eq!(batch.get(0).type_(), b"syslog");
    assert_eq!(shown(batch.get(0)), expected, "{record}");
}

#[track_caller]
fn refuses(toml: &str, record: &str, expected: &str) {
    let (batch, rejects) = decode(toml, &[record]);
    assert_eq!((batch.len(), rejects), (0, vec![expected.to_string()]), "{record}");
}

#[test]
fn examples_of_rfc_5424() {
    for toml in ["", "lenient = false", "format = 'rfc5424'"] {
        reads(
            toml,
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8",
            "2003-10-11T22:14:15.003000Z|2|mymachine.example.com|su|0|'su root' failed for lonvick on /dev/pts/8|facility=4 msgid=ID47",
        );
        reads(
            toml,
            "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.\n",
            "2003-08-24T12:14:15.000003Z|5|192.0.2.1|myproc|8710|%% It's time to make the do-nuts.|facility=20",
        );
        reads(
            toml,
            "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 \
             [exampleSDID@32473 iut=\"3\" eventSource=\"Application\" eventID=\"1011\"][examplePriority@32473 class=\"high\"]",
            "2003-10-11T22:14:15.003000Z|5|mymachine.example.com|evntslog|0||facility=20 msgid=ID47 exampleSDID@32473.iut=3 \
             exampleSDID@32473.eventSource=Application exampleSDID@32473.eventID=1011 examplePriority@32473.class=high",
        );
        reads(toml, "<0>1 - - - - - -", "|0||||0||facility=0".replace("||||0", "|||0").as_str());
        reads(toml, "<191>1 - - - x.1 - [flag]  two\0\0", "|7|||0| two|facility=23 procid=x.1 flag=Bool(true)");
        reads(
            toml,
            r#"<1>1 - - - - - [a b="\"\\\]\n]" c="\\"] x"#.replace("n]\"", "n\"").as_str(),
            r#"|1|||0|x|facility=0 a.b="\]\n a.c=\"#,
        );
    }
}

#[test]
fn parameters_are_known_again_and_may_differ() {
    let records = [
        "<1>1 - - - - - [a x=\"1\" y=\"2\"][b x=\"3\"] m",
        "<1>1 - - - - - [a x=\"4\"][b x=\"5\" y=\"6\"] m",
        "<1>1 - - - - - [b y=\"7\" x=\"8\"][a y=\"9\"] m",
        "<1>1 - - - - - [a x=\"1\" y=\"2\"][b x=\"3\"] m",
        "<1>1 - - - - - [b x=\"\" x=\"y\"] m",
    ];
    let (batch, rejects) = decode("lenient = false", &records);
    assert_eq!(rejects, [""; 0]);
    let fields = |n| shown(batch.get(n)).rsplit_once("|facility=0 ").unwrap().1.to_string();
    assert_eq!(fields(0), "a.x=1 a.y=2 b.x=3");
    assert_eq!(fields(1), "a.x=4 b.x=5 b.y=6");
    assert_eq!(fields(2), "b.y=7 b.x=8 a.y=9");
    assert_eq!(fields(3), fields(0));
    assert_eq!(fields(4), "b.x= b.x=y");
}

#[test]
fn messages_of_rfc_3164() {
    for toml in ["", "lenient = false", "format = 'rfc3164'"] {
        reads(
            toml,
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
            "2023-10-11T22:14:15Z|2|mymachine|su|0|'su root' failed for lonvick on /dev/pts/8|facility=4",
        );
        reads(
            toml,
            "<22>Nov  4 02:03:04 mail postfix/smtpd[2713]: connect from unknown\n",
            "2023-11-04T02:03:04Z|6|mail|postfix/smtpd|2713|connect from unknown|facility=2",
        );
        reads(toml, "<13>Oct 11 22:14:15 10.1.2.3 no tag here", "2023-10-11T22:14:15Z|5|10.1.2.3||0|no tag here|facility=1");
        reads(toml, "<0>Oct 11 22:14:15 fe80::1 App::Web[w.1]: x", "2023-10-11T22:14:15Z|0|fe80::1|App::Web|0|x|facility=0 procid=w.1");
    }
}

#[test]
fn what_devices_make_of_rfc_3164() {
    for (record, expected) in [
        // No hostname, as local programs send.
        ("<38>Oct 11 22:14:15 sshd[812]: Accepted", "2023-10-11T22:14:15Z|6||sshd|812|Accepted|facility=4"),
        ("<38>Oct 11 22:14:15 CRON: x", "2023-10-11T22:14:15Z|6||CRON|0|x|facility=4"),
        // Neither time nor hostname.
        ("<13>myapp: hello: world", "|5||myapp|0|hello: world|facility=1"),
        ("<134>id=firewall sn=0017 msg=\"a: b\"", "|6|||0|id=firewall sn=0017 msg=\"a: b\"|facility=16"),
        // No priority.
        ("Oct 11 22:14:15 web su[7]: x", "2023-10-11T22:14:15Z||web|su|7|x|"),
        ("plain: text", "||||0|plain: text|"),
        // Times as in RFC 3339, with an offset and without.
        ("<34>2003-10-11T22:14:15.003+02:00 web su: x", "2003-10-11T20:14:15.003000Z|2|web|su|0|x|facility=4"),
        ("<34>2003-10-11 22:14:15,25 web su: x", "2003-10-11T22:14:15.250000Z|2|web|su|0|x|facility=4"),
        ("2003-10-11T22:14:15.123456789Z web su: x", "2003-10-11T22:14:15.123456Z||web|su|0|x|"),
        // A year, decimals, a day of one digit.
        ("<13>Oct 11 2020 22:14:15 web su: x", "2020-10-11T22:14:15Z|5|web|su|0|x|facility=1"),
        ("<13>Oct 1 22:14:15.5 web su: x", "2023-10-01T22:14:15.500000Z|5|web|su|0|x|facility=1"),
        ("<13>Oct 11 22:14:15.25 web su: x", "2023-10-11T22:14:15.250000Z|5|web|su|0|x|facility=1"),
        ("<13>Oct 11 22:14:15 2021 web su: x", "2021-10-11T22:14:15Z|5|web|su|0|x|facility=1"),
        // Cisco's IOS, NX-OS, IOS XR, ASA.
        (
            "<189>45: *Mar  1 18:46:11.123: %SYS-5-CONFIG_I: Configured from console",
            "2023-03-01T18:46:11.123000Z|5||%SYS-5-CONFIG_I|0|Configured from console|facility=23 sequence=45",
        ),
        ("<189>000046: rtr1: .Mar  1 2020 18:46:11 UTC: %SYS-5-X: y", "2020-03-01T18:46:11Z|5|rtr1|%SYS-5-X|0|y|facility=23 sequence=46"),
        ("<189>47: %SYS-5-X: y", "|5||%SYS-5-X|0|y|facility=23 sequence=47"),
        ("<187>: 2020 Mar  1 18:46:11 CET: %ETHPORT-5-IF_UP: y", "2020-03-01T18:46:11Z|3||%ETHPORT-5-IF_UP|0|y|facility=23"),
        (
            "<190>12: RP/0/RSP0/CPU0:Mar  1 18:46:11.5 UTC: config[657]: %MGBL-6-COMMIT : y",
            "2023-03-01T18:46:11.500000Z|6||config|657|%MGBL-6-COMMIT : y|facility=23 node=RP/0/RSP0/CPU0 sequence=12",
        ),
        ("<166>Mar 01 2020 18:46:11: %ASA-6-302013: Built", "2020-03-01T18:46:11Z|6||%ASA-6-302013|0|Built|facility=20"),
        ("<166>Mar 01 2020 18:46:11 asa1 : %ASA-6-302013:Built", "2020-03-01T18:46:11Z|6|asa1|%ASA-6-302013|0|Built|facility=20"),
        ("<166>%ASA-6-302013: Built", "|6||%ASA-6-302013|0|Built|facility=20"),
        // F5's level, Juniper's chassis, AIX's relay, Ubiquiti's host.
        ("<134>Oct 11 22:14:15 slot1/big1 info tmm1[88]: 0122:6: x", "2023-10-11T22:14:15Z|6|slot1/big1|tmm1|88|0122:6: x|facility=16"),
        ("<28>Oct 11 22:14:15  rtr (FPC 5) PFED: x", "2023-10-11T22:14:15Z|4|rtr||0|(FPC 5) PFED: x|facility=3"),
        ("<28>Oct 11 22:14:15 Message forwarded from aix1: su[3]: x", "2023-10-11T22:14:15Z|4|aix1|su|3|x|facility=3"),
        ("<30>Oct 11 22:14:15 (\"U7P,802a,v3\") ap[1]: x", "2023-10-11T22:14:15Z|6|(\"U7P,802a,v3\")|ap|1|x|facility=3"),
        // Only a time; only a time and a word.
        ("<13>Oct 11 22:14:15", "2023-10-11T22:14:15Z|5|||0||facility=1"),
        ("<13>Oct 11 22:14:15 word\r\n\0", "2023-10-11T22:14:15Z|5|||0|word|facility=1"),
        ("<13>Oct 11 22:14:15 [error] 5", "2023-10-11T22:14:15Z|5|||0|[error] 5|facility=1"),
    ] {
        reads("", record, expected);
    }
}

#[test]
fn what_is_against_rfc_5424_but_clear() {
    for (record, expected) in [
        ("<034>1 2003-10-11T22:14:15.123456789+0200 h a 1 -", "2003-10-11T20:14:15.123456Z|2|h|a|1||facility=4"),
        ("<34>1 2003-10-11T22:14:15 h a 1 - text", "2003-10-11T22:14:15Z|2|h|a|1|text|facility=4"),
        ("<34>1 - h a 1 - [not data] text", "|2|h|a|1|[not data] text|facility=4"),
        ("<34>1 - h a 1 - [a b=\"c\" d=\"e\" ]x", "|2|h|a|1|x|facility=4 a.b=c a.d=e"),
        ("<34>1 - h", "|2|h||0||facility=4"),
    ] {
        reads("", record, expected);
        assert_eq!(decode("lenient = false", &[record]).1.len(), 1, "{record}");
    }
    assert!(decode("", &["<34>1 - h a 1 - [not data] text"]).0.get(0).fields().count() == 1);
}

#[test]
fn refusals_say_where_and_what() {
    for (toml, record, expected) in [
        ("", "", "found an empty record, expected a syslog message"),
        ("", "<192>1 - - - - - -", "at column 2: found `192>1 - - - - - -`, expected a priority from 0 to 191, then `>`"),
        ("", "<34 x", "at column 4: found ` x`, expected `>` behind the priority"),
        (
            "",
            "<34>1 yesterday h a - - -",
            "at column 7: found `yesterday h a - - -`, expected a time such as 2003-10-11T22:14:15.003Z, or `-`",
        ),
        (
            "",
            "<34>1 2003-13-11T22:14:15Z h",
            "at column 7: found `2003-13-11T22:14:15Z h`, expected a time such as 2003-10-11T22:14:15.003Z, or `-`",
        ),
        (
            "",
            "<34>1 - - - - - [a b=\"c\" d=\"e\"]",
            "at column 25: found ` d=\\\"e\\\"]`, expected no more parameters; `max_fields` raises that",
        ),
        ("format = 'rfc5424'", "Oct 11", "at column 1: found `Oct 11`, expected `<`"),
        ("format = 'rfc5424'", "<34>2 -", "at column 5: found `2 -`, expected `1 `, the version"),
        ("lenient = false", "Oct 11", "at column 1: found `Oct 11`, expected `<`, then a priority"),
        ("lenient = false", "<34>Oct 11 x", "at column 5: found `Oct 11 x`, expected a time such as `Oct 11 22:14:15`"),
        ("lenient = false", "<34>Oct 11 22:14:15 su: x", "at column 21: found `su: x`, expected a hostname"),
        (
            "lenient = false",
            "<34>1 - h a - - [a b=\"]\"]",
            "at column 23: found `]\\\"]`, expected `\\]`, for brackets in values have a backslash",
        ),
        (
            "lenient = false",
            "<34>1 - h a - - [a b=\"\\\\]\"]",
            "at column 25: found `]\\\"]`, expected `\\]`, for brackets in values have a backslash",
        ),
        ("lenient = false", "<34>1 - h a - - [a b=\"c", "at column 24: found the end, expected `\"` at the end of the value"),
        ("lenient = false", "<34>1 - h a - - [a b=\"c\"]x", "at column 26: found `x`, expected a space behind the structured data, or `[`"),
        (
            "lenient = false",
            "<34>1 - h a - - x",
            "at column 17: found `x`, expected structured data, such as `[id name=\"value\"]`, or `-`",
        ),
    ] {
        refuses(&format!("max_fields = 2\n{toml}"), record, expected);
    }
    assert!(testkit::plugins::decoder(&KIND, "zone = 'Mars'").err().unwrap().contains("`zone` is not a time zone: found `Mars`"));
}

#[test]
fn a_record_that_is_refused_leaves_no_trace_in_the_next() {
    let (batch, rejects) = decode("lenient = false", &["<1>1 - h a - - [a b=\"c\" d", "<1>1 - - - - - [a b=\"x\"]"]);
    assert_eq!((rejects.len(), shown(batch.get(0))), (1, "|1|||0||facility=0 a.b=x".to_string()));
}

#[test]
fn local_times_are_of_the_zone_and_have_the_last_year_that_fits() {
    reads("zone = 'Europe/Berlin'", "<13>Jul  1 12:00:00 h t: x", "2023-07-01T10:00:00Z|5|h|t|0|x|facility=1");
    reads("zone = 'Europe/Berlin'", "<13>Nov 14 23:13:20 h t: x", "2023-11-14T22:13:20Z|5|h|t|0|x|facility=1");
    reads("zone = '-05:00'", "<13>2023-11-01T12:00:00 h t: x", "2023-11-01T17:00:00Z|5|h|t|0|x|facility=1");
    reads("zone = '-05:00'", "<13>Mar  1 18:46:11 UTC: %A-5-B: x", "2023-03-01T18:46:11Z|5||%A-5-B|0|x|facility=1");
    let now = |text: &str| crate::time::parse_rfc3339(text.as_bytes()).unwrap();
    let mut moments = moment::Moments::new(zone::Zone::parse("UTC").unwrap());
    let mut read = |text: &str, at: &str| {
        let mut out = Vec::new();
        write_rfc3339(moments.plain(text.as_bytes(), 0, now(at)).unwrap().0, 0, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(read("Dec 31 23:59:59", "2024-01-01T00:00:30Z"), "2023-12-31T23:59:59Z");
    assert_eq!(read("Jan  1 00:00:10", "2023-12-31T23:59:50Z"), "2024-01-01T00:00:10Z");
    // The same bytes a year later.
    assert_eq!(read("Jan  1 00:00:10", "2025-01-01T00:00:11Z"), "2025-01-01T00:00:10Z");
    assert_eq!(read("Feb 29 12:00:00", "2025-01-01T00:00:11Z"), "2024-02-29T12:00:00Z");
}

/// What the oracle makes of a record, shown as [`shown`] does, without the time.
fn oracle(record: &str, variant: Variant) -> (Option<i64>, String) {
    let year = |(month, ..): (u32, u32, u32, u32, u32)| if month > 11 { 2022 } else { 2023 };
    let m = syslog_loose::parse_message_with_year(record, year, variant);
    let severity = m.severity.map_or(String::new(), |s| (s as i32).to_string());
    let (pid, procid) = match &m.procid {
        Some(ProcId::PID(pid)) => (pid.to_string(), None),
        Some(ProcId::Name(name)) => ("0".into(), Some(format!("procid={name}"))),
        None => ("0".into(), None),
    };
    let parameters = m.structured_data.iter().flat_map(|e| e.params().map(move |(name, value)| format!("{}.{name}={value}", e.id)));
    let facility = m.facility.map(|f| format!("facility={}", f as i32));
    let fields = facility.into_iter().chain(procid).chain(m.msgid.map(|id| format!("msgid={id}"))).chain(parameters);
    let headers = [severity, m.hostname.unwrap_or("").into(), m.appname.unwrap_or("").into(), pid, m.msg.to_string()];
    let _: Protocol = m.protocol;
    (m.timestamp.and_then(|t| t.timestamp_nanos_opt()), format!("{}|{}", headers.join("|"), fields.collect::<Vec<_>>().join(" ")))
}

fn agree(record: &str, variant: Variant, toml: &str) {
    let (batch, rejects) = decode(toml, &[record]);
    assert_eq!(rejects, [""; 0], "{record}");
    let m = batch.get(0);
    let (time, rest) = oracle(record, variant);
    assert_eq!(Some(m.timestamp()).filter(|t| *t != 0), time, "{record}");
    assert_eq!(shown(m).split_once('|').unwrap().1, rest, "{record}");
}

fn parameter() -> impl Strategy<Value = String> {
    ("[a-z][a-zA-Z0-9@_.]{0,8}", "[a-zA-Z0-9 =.:/\\[\\p{Greek}]{0,24}").prop_map(|(name, value)| format!(" {name}=\"{value}\""))
}

fn elements() -> impl Strategy<Value = String> {
    let element = ("[a-z]{1,6}@[0-9]{1,5}", prop::collection::vec(parameter(), 1..4)).prop_map(|(id, p)| format!("[{id}{}]", p.concat()));
    // Of elements with the same id, and of parameters with the same name, the oracle keeps one.
    prop_oneof![Just("-".to_string()), prop::collection::vec(element, 1..3).prop_map(|e| e.concat())].prop_filter("names differ", |all| {
        let mut seen = std::collections::HashSet::new();
        all.split('[').filter(|e| !e.is_empty()).all(|e| seen.insert(e.split(' ').next().map(str::to_string)))
            && all.split('[').all(|e| {
                let mut seen = std::collections::HashSet::new();
                e.split("=\"").filter_map(|p| p.rsplit(' ').next()).all(|p| seen.insert(p.to_string()))
            })
    })
}

proptest! {
    #[test]
    fn well_formed_messages_of_rfc_5424_are_read_as_the_oracle_reads_them(
        (priority, day, hour, second, micros) in (0..192u32, 1..29u32, 0..24u32, 0..60u32, 0..1_000_000u32),
        zone in prop::sample::select(vec!["Z", "+02:00", "-07:30"]),
        (host, app, msgid) in ("-|[a-z][a-z0-9.]{0,20}", "-|[a-zA-Z][a-zA-Z0-9/_]{0,20}", "-|[A-Z][A-Z0-9]{0,8}"),
        process in "-|[1-9][0-9]{0,6}|[a-z]{1,8}",
        elements in elements(), text in "[a-zA-Z0-9:=\\p{Greek}][a-zA-Z0-9 :='\\[\\]\"\\p{Greek}]{0,40}[a-z]",
    ) {
        let record = format!("<{priority}>1 2021-07-{day:02}T{hour:02}:59:{second:02}.{micros:06}{zone} {host} {app} {process} {msgid} {elements} {text}");
        agree(&record, Variant::RFC5424, "lenient = false");
        agree(&record, Variant::RFC5424, "");
    }

    #[test]
    fn well_formed_messages_of_rfc_3164_are_read_as_the_oracle_reads_them(
        (priority, day, hour, second) in (0..192u32, 1..13u32, 0..24u32, 0..60u32),
        month in prop::sample::select(vec!["Jan", "Mar", "Oct", "Nov"]),
        host in "[a-z][a-z0-9.-]{0,20}", app in "[a-zA-Z][a-zA-Z0-9/_-]{0,20}", process in prop::option::of(1..100_000u32),
        text in "[a-zA-Z0-9][a-zA-Z0-9 ='\"\\p{Greek}]{0,40}[a-z]",
    ) {
        let process = process.map_or(String::new(), |p| format!("[{p}]"));
        let record = format!("<{priority}>{month} {day:2} {hour:02}:59:{second:02} {host} {app}{process}: {text}");
        agree(&record, Variant::RFC3164, "lenient = false");
        agree(&record, Variant::RFC3164, "");
    }

    #[test]
    fn any_value_is_read_back(values in prop::collection::vec("\\PC{0,12}", 1..6)) {
        let escaped = |v: &String| v.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
        let params: Vec<_> = values.iter().enumerate().map(|(n, v)| format!(" p{n}=\"{}\"", escaped(v))).collect();
        for lenient in [true, false] {
            let (batch, rejects) = decode(&format!("lenient = {lenient}"), &[&format!("<1>1 - - - - - [id{}]", params.concat())]);
            prop_assert_eq!(rejects, [""; 0]);
            let read: Vec<_> = batch.get(0).fields().skip(1).map(|f| f.value(0).unwrap().as_bytes().unwrap()).collect();
            prop_assert_eq!(read, values.iter().map(String::as_bytes).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_decoder_that_has_seen_others_reads_the_same(records in prop::collection::vec(near(), 1..12)) {
        let together = decode("", &records.iter().map(String::as_str).collect::<Vec<_>>());
        let alone = records.iter().map(|r| decode("", &[r]));
        let (alone, rejects): (Vec<_>, Vec<_>) = alone.map(|(batch, rejects)| (batch.iter().map(shown).collect::<Vec<_>>(), rejects)).unzip();
        prop_assert_eq!(together.0.iter().map(shown).collect::<Vec<_>>(), alone.concat());
        prop_assert_eq!(together.1, rejects.concat());
    }

    #[test]
    fn no_bytes_make_it_panic(record in prop::collection::vec(any::<u8>(), 0..80), near in near(), lenient: bool) {
        for record in [&record[..], near.as_bytes()] {
            for format in ["auto", "rfc5424", "rfc3164"] {
                let mut decoder = testkit::plugins::decoder(&KIND, &format!("format = '{format}'\nlenient = {lenient}")).unwrap();
                let (batch, rejects) = testkit::plugins::decode(&mut *decoder, &[record]);
                prop_assert_eq!(batch.len() + rejects.len(), 1);
            }
        }
    }
}

/// Pieces of messages in an order that may or may not make one.
fn near() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "<34>",
        "<13>",
        "<",
        "1 ",
        "2003-10-11T22:14:15.003Z ",
        "2003-10-11T22:14:15",
        "-",
        " ",
        "- ",
        "host ",
        "su: ",
        "su[12]: ",
        "[a b=\"c\"]",
        "[a ",
        "b=\"",
        "\"",
        "\\",
        "]",
        "[",
        ":",
        "45: ",
        "*",
        "Mar  1 18:46:11",
        "Mar 1 2020 18:46:11",
        ".123",
        "UTC: ",
        "%A-1-B: ",
        "\u{feff}",
        "9999-12-31T23:59:60Z ",
        "Feb 30 25:61:61 ",
        "2020 ",
        "x",
        "é",
        "\n",
        "\0",
        "info ",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|p| p.concat())
}
