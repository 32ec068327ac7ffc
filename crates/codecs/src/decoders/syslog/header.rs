//! Messages of [RFC 5424](https://www.rfc-editor.org/rfc/rfc5424#section-6), behind priority and version.

use super::elements::Elements;
use super::moment::Moments;
use super::{Misfit, Reading};
use crate::lanes::Needle;

/// What begins a text in UTF-8 that says so.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A word of the header.
struct Word {
    /// Longest, in bytes.
    most: usize,
    expected: &'static str,
}

const HOSTNAME: Word = Word { most: 255, expected: "a hostname of 1 to 255 printable ASCII characters, or `-`" };
const APP_NAME: Word = Word { most: 48, expected: "an application of 1 to 48 printable ASCII characters, or `-`" };
const PROCID: Word = Word { most: 128, expected: "a process of 1 to 128 printable ASCII characters, or `-`" };
const MSGID: Word = Word { most: 32, expected: "a message id of 1 to 32 printable ASCII characters, or `-`" };

pub(super) fn read(r: &mut Reading<'_, '_>, moments: &mut Moments, elements: &mut Elements) -> Result<(), Misfit> {
    timestamp(r, moments)?;
    if let Some(hostname) = word(r, &HOSTNAME)? {
        r.message.set_hostname_text(r.record.text(hostname));
    }
    if let Some(name) = word(r, &APP_NAME)? {
        r.message.set_logger_text(r.record.text(name));
    }
    if let Some(process) = word(r, &PROCID)? {
        r.process(process);
    }
    if let Some(msgid) = word(r, &MSGID)? {
        r.message.add_labelled(r.names.msgid, r.string(msgid));
    }
    structured_data(r, elements)?;
    text(r)
}

#[inline]
fn timestamp(r: &mut Reading<'_, '_>, moments: &mut Moments) -> Result<(), Misfit> {
    const EXPECTED: &str = "a time such as 2003-10-11T22:14:15.003Z, or `-`";
    if r.rest().starts_with(b"-") {
        r.at += 1;
    } else {
        let (ns, end) = moments.iso(r.line, r.at, r.lenient).ok_or(Misfit { at: r.at, expected: EXPECTED })?;
        r.message.set_timestamp(ns);
        r.at = end;
    }
    space(r)
}

/// Goes over the space between two parts; at the end of the record there may be none if what follows may be missing.
#[inline]
fn space(r: &mut Reading<'_, '_>) -> Result<(), Misfit> {
    match r.rest() {
        [b' ', ..] => r.at += 1,
        [] if r.lenient => {}
        _ => return Err(r.misfit("a space")),
    }
    Ok(())
}

/// The word here, `None` for `-`; goes behind the space that follows.
#[inline]
fn word<'a>(r: &mut Reading<'a, '_>, word: &Word) -> Result<Option<&'a [u8]>, Misfit> {
    let start = r.at;
    let end = match Needle::new(b' ').find(r.line, start) {
        Some(end) => end,
        None if r.lenient => r.line.len(),
        None => return Err(r.misfit(word.expected)),
    };
    let text = &r.line[start..end];
    let fits = r.lenient || (1..=word.most).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    if !fits || text.is_empty() && end < r.line.len() {
        return Err(r.misfit(word.expected));
    }
    r.at = (end + 1).min(r.line.len());
    Ok(if matches!(text, b"-" | b"") { None } else { Some(text) })
}

#[inline]
fn structured_data(r: &mut Reading<'_, '_>, elements: &mut Elements) -> Result<(), Misfit> {
    let start = r.at;
    match r.rest() {
        [b'-'] | [b'-', b' ', ..] => r.at += 1,
        [b'[', ..] => {
            let before = r.message.field_count();
            match elements.read(r) {
                Ok(()) if matches!(r.rest(), [] | [b' ', ..]) || r.lenient => {}
                Ok(()) => return Err(r.misfit("a space behind the structured data, or `[`")),
                Err(misfit) if !r.lenient || elements.full(r) => return Err(misfit),
                // Text that begins with a bracket.
                Err(_) => {
                    (before..r.message.field_count()).rev().for_each(|nth| r.message.remove_field(nth));
                    r.at = start;
                }
            }
        }
        _ if r.lenient => {}
        _ => return Err(r.misfit("structured data, such as `[id name=\"value\"]`, or `-`")),
    }
    Ok(())
}

#[inline]
fn text(r: &mut Reading<'_, '_>) -> Result<(), Misfit> {
    let text = r.rest();
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let text = text.strip_prefix(BOM).unwrap_or(text);
    if !text.is_empty() {
        r.message.set_payload_text(r.record.text(text));
    }
    Ok(())
}
