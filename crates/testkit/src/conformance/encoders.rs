//! Encoders: any message is written or refused, behind what is there already, in valid form.

use message::MessageRef;
use message::framing::{Found, Scanner};
use plugin::{Encoder, Kind};

use super::{Contract, try_on};
use crate::garbage;

const BEFORE: &[u8] = b"{\"before\":1}\n";

/// Encodes behind other bytes; what was written, or the reason.
///
/// # Errors
/// Why the message was refused.
///
/// # Panics
/// When the contract is broken.
pub fn encode(encoder: &mut dyn Encoder, m: MessageRef<'_>) -> Result<Vec<u8>, String> {
    let mut into = BEFORE.to_vec();
    let outcome = encoder.encode(m, &mut into);
    assert!(into.starts_with(BEFORE), "what was there is changed");
    let written = into.split_off(BEFORE.len());
    match outcome {
        Ok(()) => Ok(written),
        Err(why) => {
            assert!(!why.0.is_empty() && why.0.len() < 1_000, "{:.300}", why.0);
            Err(why.0.into_owned())
        }
    }
}

/// Messages of any content are written in valid form or refused.
///
/// # Panics
/// When what is written is not valid.
pub fn write_valid_output(contract: &Contract, kind: &'static Kind) {
    for toml in contract.configurations(kind) {
        let encoder = std::cell::RefCell::new(contract.encoder(kind, &toml));
        try_on(100, &garbage::batch(), |batch| {
            for m in batch.iter() {
                if let Ok(written) = encode(&mut **encoder.borrow_mut(), m) {
                    assert!(written.len() <= 64 * m.size() + 4096, "{} bytes for a message of {}", written.len(), m.size());
                    valid(kind, m, &written);
                }
            }
        });
    }
}

/// What is known of a format by its name.
fn valid(kind: &Kind, m: MessageRef<'_>, written: &[u8]) {
    let text = || written.escape_ascii().to_string();
    match kind.name {
        "json" => {
            let line = written.strip_suffix(b"\n").unwrap_or_else(|| panic!("no newline: {}", text()));
            assert!(!line.contains(&b'\n'), "two lines: {}", text());
            let object: serde_json::Value = serde_json::from_slice(line).unwrap_or_else(|e| panic!("{e}: {}", text()));
            assert!(object.is_object(), "{}", text());
        }
        "text" => {
            let line = written.strip_suffix(b"\n").unwrap_or_else(|| panic!("no newline: {}", text()));
            let line = std::str::from_utf8(line).unwrap_or_else(|e| panic!("{e}: {}", text()));
            // Colours are switched on in its example.
            let plain = line.replace("\u{1b}[", "");
            assert!(!plain.chars().any(char::is_control), "{}", text());
        }
        "heka" => match Scanner::new(written.len()).find(written, true) {
            Found::Record { skip: 0, end, message, .. } => {
                assert_eq!(end, written.len());
                let mut expected = Vec::new();
                message::wire::encode(m, &mut expected);
                assert_eq!(written[message], expected);
            }
            found => panic!("{found:?} in {}", text()),
        },
        // Lengths stand in front where its framing is `octets`, and nothing with `none`.
        "syslog" => assert!(written.starts_with(b"<") || written.first().is_some_and(u8::is_ascii_digit), "{}", text()),
        // Whatever the script makes.
        "lua" => {}
        _ => assert_eq!(written.last(), Some(&b'\n'), "{}", text()),
    }
}
