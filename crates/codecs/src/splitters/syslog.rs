//! Syslog over streams: every message by its length, or by what ends it
//! ([RFC 6587](https://www.rfc-editor.org/rfc/rfc6587#section-3.4)).
//!
//! Senders do one or the other and do not say which, so each frame is looked at by itself: digits, a
//! space and the `<` of a priority are the length of what follows; anything else ends at a newline or
//! NUL. When a length turns out to be wrong, what follows the frame is neither; bytes are discarded
//! then up to the next newline or length.
//!
//! Not for datagrams, each of which is a message: the splitter `none` keeps their newlines.

use memchr::{memchr, memchr2};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Split, Splitter, Stability};

pub const KIND: Kind = Kind::splitter("syslog", Stability::Stable, build)
    .summary("Finds syslog messages in a stream, by their length or by what ends them.")
    .doc(
        "A message begins with its length and a space (octet counting) or ends at a newline or NUL; which of the two is told for each \
         by its first bytes. A length beyond `max_message_size` is none. After a length that was wrong, bytes are discarded until \
         a message begins that can be told for sure. A message that its stream breaks off is refused if its length was told, and taken otherwise.",
    )
    .options(&[Opt::size("max_message_size").default("1MiB").doc("Longest message whose length is believed. At most 1GiB.")])
    .examples(&[Example { title: "Senders that keep to the 8 KiB many receivers have as their limit", toml: "max_message_size = \"8KiB\"" }]);

/// A length has no more digits.
const MAX_DIGITS: usize = 10;

/// What has to be there to recognise the beginning of a counted message: length, space, priority.
const MAX_HEAD: usize = MAX_DIGITS + " <191>".len();

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Splitter>, Problem> {
    let max = o.size("max_message_size");
    if !(16..=1 << 30).contains(&max) {
        return Err(o.problem("max_message_size", "`max_message_size` is out of range", "expected 16B to 1GiB"));
    }
    Ok(Box::new(Framed { max, after: After::Start, searched: 0, losses: 0 }))
}

struct Framed {
    max: usize,
    after: After,
    /// Bytes at the start of the buffer known not to end a message.
    searched: usize,
    /// How often the beginning of a message had to be searched for.
    losses: u64,
}

/// What the next bytes follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// Nothing, or a message that ended in a newline or NUL.
    Start,
    /// A message whose length was told.
    Counted,
    /// Something that was no message.
    Lost,
}

/// What stands at the beginning of a message.
enum Head {
    /// So many digits and a space, and the length that follows them.
    Count { digits: usize, length: usize },
    /// A length that is not believed.
    TooLong,
    /// No length.
    Other,
    /// More bytes will tell.
    Unknown,
}

impl Framed {
    #[inline]
    fn head(&self, buf: &[u8]) -> Head {
        if !matches!(buf.first(), Some(b'1'..=b'9')) {
            return Head::Other;
        }
        let digits = buf.iter().take(MAX_DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
        if digits > MAX_DIGITS {
            return Head::Other;
        }
        match buf[digits..] {
            [] | [b' '] | [b' ', b'<'] => return Head::Unknown,
            [b' ', b'<', b'0'..=b'9', ..] => {}
            _ => return Head::Other,
        }
        let length = buf[..digits].iter().fold(0, |n, b| n * 10 + u64::from(b - b'0'));
        match usize::try_from(length) {
            Ok(length) if length <= self.max => Head::Count { digits, length },
            _ => Head::TooLong,
        }
    }

    /// Whether what is here, which is no length, cannot follow a message whose length was told.
    #[inline]
    fn wrong(&self, buf: &[u8]) -> bool {
        self.after == After::Counted && !matches!(buf.first(), None | Some(b'<' | b'\n' | b'\r' | 0))
    }

    #[inline]
    fn counted(&mut self, buf: &[u8], start: usize, length: usize, end: bool) -> Split {
        if buf.len() - start >= length {
            self.after = After::Counted;
            return Split::Record { record: start..start + length, end: start + length };
        }
        if !end {
            return Split::More;
        }
        Split::Refused { record: start..buf.len(), end: buf.len(), why: "the stream ended before the message had the length it began with" }
    }

    /// A message that ends at a newline or NUL, or with the stream.
    #[inline]
    fn ended(&mut self, buf: &[u8], end: bool) -> Split {
        let from = self.searched.min(buf.len());
        let Some(at) = memchr2(b'\n', 0, &buf[from..]).map(|at| from + at) else {
            if end && !buf.is_empty() {
                return Split::Record { record: 0..buf.len(), end: buf.len() };
            }
            self.searched = buf.len();
            return Split::More;
        };
        (self.searched, self.after) = (0, After::Start);
        match buf[..at].strip_suffix(b"\r").map_or(at, <[u8]>::len) {
            0 => Split::Garbage { end: at + 1 },
            text => Split::Record { record: 0..text, end: at + 1 },
        }
    }

    /// Discards what is in front of the next newline or counted message.
    #[cold]
    fn search(&mut self, buf: &[u8], end: bool) -> Split {
        let newline = memchr2(b'\n', 0, buf);
        let within = &buf[..newline.unwrap_or(buf.len())];
        let mut at = 0;
        while let Some(found) = memchr(b'<', &within[at..]) {
            let bracket = at + found;
            if let Some(start) = self.count_before(within, bracket)
                && start > 0
            {
                self.after = After::Start;
                return Split::Garbage { end: start };
            }
            at = bracket + 1;
        }
        if let Some(at) = newline {
            self.after = After::Start;
            return Split::Garbage { end: at + 1 };
        }
        // The last bytes may begin a message.
        match buf.len().saturating_sub(if end { 0 } else { 2 * MAX_HEAD }) {
            0 => Split::More,
            discard => Split::Garbage { end: discard },
        }
    }

    /// Where the length of a message begins whose priority begins at `bracket`, if it is one for sure.
    fn count_before(&self, buf: &[u8], bracket: usize) -> Option<usize> {
        let before = buf[..bracket].strip_suffix(b" ")?;
        let digits = before.iter().rev().take(MAX_DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
        let start = before.len() - digits;
        let priority = buf[bracket + 1..].iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        let closed = (1..=3).contains(&priority) && buf.get(bracket + 1 + priority) == Some(&b'>');
        (closed && matches!(self.head(&buf[start..]), Head::Count { .. })).then_some(start)
    }
}

impl Splitter for Framed {
    #[inline]
    fn split(&mut self, buf: &[u8], end: bool) -> Split {
        let split = match self.head(buf) {
            _ if self.after == After::Lost => self.search(buf, end),
            Head::Count { digits, length } => self.counted(buf, digits + 1, length, end),
            Head::Unknown if !end => Split::More,
            Head::Other | Head::Unknown if !self.wrong(buf) => self.ended(buf, end),
            _ => {
                self.losses += 1;
                self.after = After::Lost;
                self.search(buf, end)
            }
        };
        if end {
            self.searched = 0;
            // Otherwise there is more of this stream.
            if matches!(&split, Split::Record { end, .. } | Split::Garbage { end } | Split::Refused { end, .. } if *end < buf.len()) {
                return split;
            }
            self.after = After::Start;
        }
        split
    }

    fn counts(&mut self, add: &mut dyn FnMut(&'static str, u64)) {
        if self.losses > 0 {
            add("framing_losses", std::mem::take(&mut self.losses));
        }
    }
}

/// A message with its length in front.
#[cfg(test)]
pub(super) fn record(n: u8) -> Vec<u8> {
    let message = format!("<{n}>{}", "m\n".repeat(usize::from(n)));
    format!("{} {message}", message.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(toml: &str, stream: &[u8], step: usize) -> (Vec<String>, usize) {
        let (records, discarded) = testkit::plugins::split(&mut *testkit::plugins::splitter(&KIND, toml).unwrap(), stream, step);
        (records.into_iter().map(|r| String::from_utf8(r).unwrap()).collect(), discarded)
    }

    #[track_caller]
    fn splits(stream: &str, records: &[&str], discarded: usize) {
        for step in [1, 7, 1000] {
            assert_eq!(
                split("max_message_size = '64B'", stream.as_bytes(), step),
                (records.iter().map(|r| r.to_string()).collect(), discarded)
            );
        }
    }

    #[test]
    fn lengths_and_newlines_are_told_apart_for_each_message() {
        splits("<1>a\n<2>b\r\n<3>c\0\n<4>d", &["<1>a", "<2>b", "<3>c", "<4>d"], 1);
        splits("4 <1>a6 <2>b\nc5 <3>ef", &["<1>a", "<2>b\nc", "<3>ef"], 0);
        splits("<1>a\n4 <2>b<3>c\n4 <4>d\n4 <5>e", &["<1>a", "<2>b", "<3>c", "<4>d", "<5>e"], 1);
        splits("2020-01-01 no priority\n12 apples\n5 <b>\n7", &["2020-01-01 no priority", "12 apples", "5 <b>", "7"], 0);
    }

    #[test]
    fn a_wrong_length_costs_what_follows_up_to_the_next_beginning() {
        // Too short, too long for what is there, and not believed.
        splits("4 <1>abc6 <2>def4 <3>g", &["<1>a", "<2>def", "<3>g"], 2);
        splits("4 <1>abc\n<2>d\n", &["<1>a", "<2>d"], 3);
        splits("999999 <1>abc4 <2>d", &["<2>d"], 13);
        splits("99999999999999 <1>a\n<2>b\n", &["99999999999999 <1>a", "<2>b"], 0);
        splits("4 <1>axx 4 <nota 5 <number>6 <300xx4 <2>b", &["<1>a", "<2>b"], 29);
        let mut splitter = testkit::plugins::splitter(&KIND, "").unwrap();
        testkit::plugins::split(&mut *splitter, b"4 <1>abc\n4 <1>abc\n", 100);
        let mut losses = 0;
        splitter.counts(&mut |name, n| losses += if name == "framing_losses" { n } else { 0 });
        assert_eq!(losses, 2);
    }

    #[test]
    fn a_message_that_is_broken_off_is_refused_when_its_length_was_told() {
        let mut splitter = testkit::plugins::splitter(&KIND, "").unwrap();
        assert_eq!(splitter.split(b"10 <1>abc", false), Split::More);
        assert!(matches!(splitter.split(b"10 <1>abc", true), Split::Refused { record, end: 9, .. } if record == (3..9)));
        assert_eq!(splitter.split(b"<1>abc", true), Split::Record { record: 0..6, end: 6 });
        assert!(testkit::plugins::splitter(&KIND, "max_message_size = '2GiB'").err().unwrap().contains("expected 16B to 1GiB"));
    }

    proptest! {
        #[test]
        fn messages_come_back_however_they_are_framed(messages in prop::collection::vec(("[^\n\0]{0,20}[a-z]", any::<bool>()), 0..20), step in 1..50usize) {
            let messages: Vec<(String, bool)> = messages.into_iter().map(|(text, counted)| (format!("<13>{text}"), counted)).collect();
            let framed = |(m, counted): &(String, bool)| if *counted { format!("{} {m}", m.len()) } else { format!("{m}\n") };
            let stream: String = messages.iter().map(framed).collect();
            prop_assert_eq!(split("", stream.as_bytes(), step), (messages.into_iter().map(|(m, _)| m).collect(), 0));
        }

        #[test]
        fn after_garbage_messages_are_found_again(garbage in "[a-z0-9 <]{1,60}", n in 1..20u8, step in 1..50usize) {
            let stream = [&b"4 <1>a"[..], b"x", garbage.as_bytes(), b"\n", &record(n), &record(2)].concat();
            let (records, _) = split("max_message_size = '64B'", &stream, step);
            let expected = [n, 2].map(|n| format!("<{n}>{}", "m\n".repeat(usize::from(n))));
            prop_assert_eq!(&records[records.len() - 2..], &expected);
        }
    }
}
