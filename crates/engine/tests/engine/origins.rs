//! Messages of one stream say where each of them came from.

use plugin::{Fatal, Input, InputCx, Kind, Stability, StreamOptions};

use crate::board::{board, start};

/// Sends datagrams of two hosts over one stream, and a line over another.
struct Senders;

fn fields(from: &str) -> Vec<(String, String)> {
    vec![("from".to_string(), from.to_string())]
}

impl Input for Senders {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let datagrams = cx.intake.open(StreamOptions::default());
        let line = cx.intake.open(StreamOptions { hostname: "c".into(), fields: fields("3"), ..StreamOptions::default() });
        for (host, from, text) in [("a", "1", "one"), ("a", "1", "two"), ("b", "2", "three\nfour"), ("a", "1", "five")] {
            cx.intake.attribute(datagrams, host, &fields(from));
            cx.intake.push(datagrams, text.as_bytes());
            cx.intake.end_of_stream(datagrams);
        }
        cx.intake.push(line, b"six\n");
        cx.intake.attribute(datagrams, "", &[]);
        cx.intake.push(datagrams, b"seven\n");
        Ok(())
    }

    fn can_wait(&self) -> bool {
        true
    }
}

pub const SENDERS: Kind = Kind::input("senders", Stability::Stable, |_, _| Ok(Box::new(Senders)));

#[test]
fn hostname_and_fields_follow_the_sender() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(
        dir.path(),
        "[nilo]\nhostname = 'here'\n[input.origins]\ntype = 'senders'\nsplitter = 'line'\n\
         [encoder.both]\ntype = 'line'\ntemplate = '{hostname} {from} {payload}'\n\
         [output.origins]\ntype = 'board'\nboard = 'origins'\nencoder = 'both'\nmatch = 'Type == \"origins\"'",
    );
    let written = board("origins").wait_for(7);
    assert_eq!(written, ["a 1 one", "a 1 two", "b 2 three", "b 2 four", "a 1 five", "c 3 six", "here  seven"]);
    engine.stop();
}
