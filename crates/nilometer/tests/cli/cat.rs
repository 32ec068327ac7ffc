//! `nilo cat`.

use crate::nilo::Dir;

const LINES: &str = "{\"type\":\"a\",\"payload\":\"one\",\"n\":1}\n{\"type\":\"b\",\"payload\":\"two\",\"n\":2}\n\
                     {\"type\":\"a\",\"payload\":\"three\",\"n\":3}\n";

/// The same messages, framed.
fn framed(dir: &Dir) -> Vec<u8> {
    dir.write(
        "nilo.toml",
        "[input.in]\ntype = 'tail'\npaths = 'in.json'\nonce = true\ndecoder = 'json'\n\
        [output.out]\ntype = 'file'\ndir = '.'\nname = 'out.heka'\nencoder = 'heka'\nmatch = 'TRUE'\n",
    );
    dir.write("in.json", LINES);
    dir.nilo(["run", "nilo.toml"]).ok();
    std::fs::read(dir.path("out.heka")).unwrap()
}

#[test]
fn json_lines_are_selected_counted_and_shown() {
    let dir = Dir::with(&[("a.json", LINES)]);
    let json = dir.nilo(["cat", "a.json", "--match", "Type == 'a'"]).ok();
    assert!(json.lines().count() == 2 && json.contains("\"three\"") && json.contains("\"n\":3"), "{json}");
    assert_eq!(dir.nilo(["cat", "a.json", "a.json", "-m", "Fields[n] > 1", "-f", "count"]).ok(), "4 of 6 messages\n");
    let text = dir.nilo(["cat", "a.json", "-f", "text"]).ok();
    assert!(text.contains("two n=2") && !text.contains('\x1b'), "{text}");
    assert_eq!(dir.nilo_with_input(["cat", "-", "-f", "count"], LINES.as_bytes()).ok(), "3 of 3 messages\n");
}

#[test]
fn framed_files_are_read_and_written() {
    let dir = Dir::with(&[]);
    let bytes = framed(&dir);
    assert_eq!(bytes[0], 0x1e);
    assert_eq!(dir.nilo(["cat", "out.heka", "-m", "Fields[n] == 2", "-f", "count"]).ok(), "1 of 3 messages\n");
    let there = dir.nilo(["cat", "out.heka"]).ok();
    dir.write("there.json", &there);
    let back = dir.nilo(["cat", "there.json", "-f", "heka"]);
    dir.write("back.heka", back.bytes);
    assert_eq!(dir.nilo(["cat", "back.heka"]).ok(), there);
}

#[test]
fn corrupted_bytes_are_counted_and_cost_no_record_beside_them() {
    let dir = Dir::with(&[]);
    let bytes = framed(&dir);
    let mut damaged = b"garbage".to_vec();
    damaged.extend_from_slice(&bytes);
    damaged.extend_from_slice(b"\x1e\x02\x08");
    dir.write("damaged.heka", &damaged);
    let outcome = dir.nilo(["cat", "damaged.heka", "-f", "count"]);
    assert!(outcome.stderr.contains("damaged.heka: discarded 10 bytes"), "{outcome:?}");
    assert_eq!(outcome.ok(), "3 of 3 messages\n");
}

#[test]
fn lines_that_are_not_json_are_told() {
    let dir = Dir::with(&[("a.json", "{\"a\":1}\n{oops\n\n{\"a\":2}")]);
    let outcome = dir.nilo(["cat", "a.json", "-f", "count"]);
    assert!(outcome.stderr.contains("a.json: 1 line was rejected; the first: line 2: "), "{outcome:?}");
    assert_eq!(outcome.ok(), "2 of 2 messages\n");
}

#[test]
fn what_cannot_be_read_fails() {
    let dir = Dir::with(&[("plain.log", "just text\n"), ("empty", ""), ("a.json", "{\"a\":1}\n")]);
    let outcome = dir.nilo(["cat", "plain.log", "no.such", "a.json", "-f", "count"]);
    assert_eq!(outcome.stdout, "1 of 1 messages\n");
    let said = outcome.failed(1);
    assert!(said.contains("plain.log: it begins with j") && said.contains("no.such: No such file"), "{said}");
    assert_eq!(dir.nilo(["cat", "empty"]).ok(), "");
    assert!(dir.nilo(["cat", "a.json", "-m", "Type ="]).failed(3).contains("--match:1:"));
}
