use std::ops::Range;

use message::framing::{Found, Scanner, encode_framed};
use message::signing::{Hash, Keyring, Signer, Verdict};
use message::wire::{encode, validate};
use proptest::prelude::*;
use testkit::oracle::{Message, any_message, build};

const MAX: usize = 64 << 10;

fn signer() -> Signer {
    Signer::new(b"ops", 1, Hash::Sha256, b"key")
}

/// Where in a stream a record is, and the message in it.
struct Placed {
    record: Range<usize>,
    message: Range<usize>,
}

impl Placed {
    fn moved(self, by: usize) -> Placed {
        let moved = |r: Range<usize>| r.start + by..r.end + by;
        Placed { record: moved(self.record), message: moved(self.message) }
    }
}

/// A stream of the messages, and where in it they are. Every other one is signed.
fn stream(messages: &[Message], garbage: &[Vec<u8>]) -> (Vec<u8>, Vec<Placed>) {
    let (mut bytes, mut records) = (Vec::new(), Vec::new());
    let signer = signer();
    for (i, m) in messages.iter().enumerate() {
        bytes.extend(garbage.get(i).into_iter().flatten());
        let start = bytes.len();
        let built = build(m);
        encode_framed(built.get(0), (i % 2 == 1).then_some(&signer), MAX, &mut bytes).unwrap();
        let mut alone = Vec::new();
        encode(built.get(0), &mut alone);
        records.push(Placed { record: start..bytes.len(), message: bytes.len() - alone.len()..bytes.len() });
    }
    bytes.extend(garbage.get(messages.len()).into_iter().flatten());
    (bytes, records)
}

/// The messages found in a stream that comes in pieces of `piece` bytes. Where their records begin
/// is not told: garbage before one may happen to read as an unknown field of its header.
fn found(stream: &[u8], piece: usize) -> Vec<Range<usize>> {
    let mut scanner = Scanner::new(MAX);
    let (mut messages, mut from, mut to) = (Vec::new(), 0, 0);
    loop {
        let eof = to == stream.len();
        match scanner.find(&stream[from..to], eof) {
            Found::Record { skip, message, end, .. } => {
                assert!(skip < message.start && message.end == end && end <= to - from);
                messages.push(from + message.start..from + message.end);
                from += end;
            }
            Found::More { skip, need, .. } => {
                from += skip;
                assert!(eof && from == to || need > to - from, "what is wanted is there");
                if eof {
                    return messages;
                }
                to = stream.len().min(to + piece);
            }
        }
    }
}

/// Whether a message was found, or lies in the shadow of another: garbage before a record may happen
/// to be a header whose length fits, and to read as an unknown field that takes in the next header.
fn is_found(stream: &[u8], found: &[Range<usize>], message: &Range<usize>) -> bool {
    let shadows = |f: &&Range<usize>| f.start < message.end && message.start < f.end;
    found.contains(message) || found.iter().find(shadows).is_some_and(|f| validate(&stream[f.clone()]).is_ok())
}

/// Bytes that look like the beginnings of records more often than chance would have it.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0x1e), Just(0x1f), Just(0x02), Just(0x08), any::<u8>(), any::<u8>()];
    let header = (0u8..=255, 0u8..3).prop_map(|(low, high)| vec![0x1e, 3, 0x08, low | 0x80, high, 0x1f]);
    let piece = prop_oneof![proptest::collection::vec(byte, 0..30), header];
    proptest::collection::vec(piece, 0..3).prop_map(|pieces| pieces.concat())
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    proptest::collection::vec(any_message(), 1..6)
}

proptest! {
    #[test]
    fn garbage_between_records_costs_no_record(
        messages in messages(),
        garbage in proptest::collection::vec(garbage(), 7),
        piece in 1usize..300,
    ) {
        let (bytes, records) = stream(&messages, &garbage);
        let found_at_once = found(&bytes, bytes.len());
        prop_assert_eq!(&found(&bytes, piece), &found_at_once);
        // Garbage may happen to be a record itself, so there may be more.
        for placed in records {
            prop_assert!(is_found(&bytes, &found_at_once, &placed.message), "{:?} is not among {:?}", placed.message, found_at_once);
        }
    }

    #[test]
    fn garbage_within_a_record_costs_that_record_only(
        messages in messages(),
        mut garbage in garbage(),
        last in any::<u8>(),
        (broken, at) in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        garbage.push(last);
        let (mut bytes, records) = stream(&messages, &[]);
        let broken = broken.index(records.len());
        let within = &records[broken].record;
        let at = within.start + 1 + at.index(within.len() - 1);
        bytes.splice(at..at, garbage.iter().copied());
        let found = found(&bytes, bytes.len());
        for (i, placed) in records.into_iter().enumerate().filter(|(i, _)| *i != broken) {
            let message = placed.moved(if i > broken { garbage.len() } else { 0 }).message;
            prop_assert!(is_found(&bytes, &found, &message), "{:?} is not among {:?}", message, found);
        }
    }

    #[test]
    fn a_changed_byte_costs_one_record_at_most(
        messages in messages(),
        (at, byte) in any::<(prop::sample::Index, u8)>(),
        piece in 1usize..300,
    ) {
        let (mut bytes, records) = stream(&messages, &[]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let found = found(&bytes, piece);
        for placed in records.into_iter().filter(|r| !r.record.contains(&at)) {
            prop_assert!(found.contains(&placed.message), "{:?} is not among {:?}", placed.message, found);
        }
    }

    /// A cut stream, or one with a corrupt length at its end.
    #[test]
    fn the_end_of_a_stream_gives_up_what_an_incomplete_record_holds(messages in messages(), length in 0u8..128) {
        let (bytes, records) = stream(&messages, &[]);
        let claim = [&[0x1e, 4, 0x08, 0x80 | length, 0xff, 0x03, 0x1f], &bytes[..]].concat();
        let expected: Vec<_> = records.into_iter().map(|r| r.moved(7).message).collect();
        prop_assert_eq!(found(&claim, claim.len()), expected);
    }

    #[test]
    fn signatures_tell_changed_messages(messages in messages(), flip in any::<prop::sample::Index>()) {
        let (bytes, _) = stream(&messages, &[]);
        let mut ring = Keyring::new(false);
        ring.insert(b"ops", 1, b"key");
        let (mut scanner, mut from, mut signed) = (Scanner::new(MAX), 0, 0);
        while let Found::Record { header, message, end, .. } = scanner.find(&bytes[from..], true) {
            let mut message = bytes[from..][message].to_vec();
            match ring.verify(&header, &message) {
                Verdict::Unsigned => {}
                verdict => {
                    prop_assert_eq!(verdict, Verdict::Signed(b"ops"));
                    let at = flip.index(message.len());
                    message[at] ^= 1;
                    prop_assert!(matches!(ring.verify(&header, &message), Verdict::Refused(_)));
                    signed += 1;
                }
            }
            from += end;
        }
        prop_assert_eq!(signed, messages.len() / 2);
    }

    #[test]
    fn arbitrary_bytes_are_searched_to_the_end(bytes in proptest::collection::vec(any::<u8>(), 0..500), garbage in garbage(), piece in 1usize..50) {
        let bytes = [bytes, garbage].concat();
        prop_assert_eq!(found(&bytes, piece), found(&bytes, bytes.len()));
    }
}
