//! Files of Heka's stream framing.

use message::framing::{FRAMING_SIZE, Fault, Found, MAX_HEADER_SIZE, Scanner};

use super::{Buffer, MAX_RECORD, Messages};
use crate::Failure;

/// Reads to the end; what comes back is what was wrong.
pub fn read(buffer: &mut Buffer, messages: &mut Messages<'_>) -> Result<Vec<String>, Failure> {
    let mut scanner = Scanner::new(MAX_RECORD);
    let (mut discarded, mut rejected) = (0, 0);
    let (mut first_fault, mut first_reject): (Option<Fault>, Option<String>) = (None, None);
    loop {
        let mut at = 0;
        let need = loop {
            match scanner.find(&buffer.bytes[at..], buffer.end) {
                Found::Record { skip, fault, message, end, .. } => {
                    (discarded, first_fault) = (discarded + skip, first_fault.or(fault));
                    if let Err(why) = messages.add(&buffer.bytes[at..][message]) {
                        rejected += 1;
                        first_reject.get_or_insert(why);
                    }
                    messages.hand_on(false)?;
                    at += end;
                }
                Found::More { skip, fault, need } => {
                    (discarded, first_fault) = (discarded + skip, first_fault.or(fault));
                    at += skip;
                    break need;
                }
            }
        };
        messages.hand_on(true)?;
        buffer.bytes.drain(..at);
        if buffer.end {
            break;
        }
        // A record that is as long as permitted fits.
        debug_assert!(need <= MAX_RECORD + MAX_HEADER_SIZE + FRAMING_SIZE);
        buffer.more()?;
        while buffer.bytes.len() < need && !buffer.end {
            buffer.more()?;
        }
    }
    discarded += buffer.bytes.len();
    let mut notes = Vec::new();
    if discarded > 0 {
        let why = first_fault.map_or(String::new(), |f| format!("; {f}"));
        notes.push(format!("discarded {discarded} bytes that are no records{why}"));
    }
    if let Some(why) = first_reject {
        notes.push(format!("{rejected} records were rejected; the first: {why}"));
    }
    Ok(notes)
}
