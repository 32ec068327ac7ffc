//! Records in a stream and their signatures.

use std::ops::Range;

use message::framing::{self, Found, Scanner};
use message::signing::{Hash, Keyring, Signer, Verdict};

/// The first byte is how much comes at once, the second the longest message; the rest is the stream.
pub fn does_not_depend_on_reads(data: &[u8]) {
    let [piece, max, stream @ ..] = data else { return };
    let max = usize::from(*max) * 16 + 1;
    let at_once = found(stream, stream.len().max(1), max);
    assert_eq!(found(stream, usize::from(*piece) + 1, max), at_once);
    for message in at_once {
        assert!(message.len() <= max && message::wire::validate(&stream[message]).is_ok());
    }
}

/// The messages in a stream that comes in pieces.
fn found(stream: &[u8], piece: usize, max: usize) -> Vec<Range<usize>> {
    let mut scanner = Scanner::new(max);
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

/// A signature holds of what was signed and of nothing else. The first four bytes are: hash
/// function, length of the key, and where and how the record is changed.
pub fn tells_changes(data: &[u8]) {
    let [hash, key, at, change, rest @ ..] = data else { return };
    let (key, payload) = rest.split_at(usize::from(*key).min(rest.len()));
    let (name, payload) = payload.split_at(payload.len().min(3));
    let mut ring = Keyring::new(true);
    ring.insert(name, 7, key);
    // What the sender makes up is never taken for signed, unless it is unsigned and says so.
    let mut scanner = Scanner::new(1 << 16);
    if let Found::Record { header, message, .. } = scanner.find(rest, true) {
        assert!(!matches!(ring.verify(&header, &rest[message]), Verdict::Signed(_)), "a signature out of nothing");
    }

    let hash = [Hash::Md5, Hash::Sha1, Hash::Sha256][usize::from(*hash) % 3];
    let message = [b"\x10\x01\x32", &varint(payload.len())[..], payload].concat();
    let mut record = Vec::new();
    framing::write(&message, Some(&Signer::new(name, 7, hash, key)), &mut record).expect("a header that fits");
    let verdict = |record: &[u8]| match Scanner::new(1 << 16).find(record, true) {
        Found::Record { header, message: found, .. } => {
            (matches!(ring.verify(&header, &record[found.clone()]), Verdict::Signed(_)), record[found].to_vec())
        }
        Found::More { .. } => (false, Vec::new()),
    };
    assert_eq!(verdict(&record), (true, message.clone()));
    let at = usize::from(*at) * record.len() / 256;
    record[at] ^= *change;
    let (signed, found) = verdict(&record);
    assert!(!signed || found == message, "byte {at} is changed");
}

fn varint(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n > 127 {
        bytes.push(n as u8 | 128);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}
