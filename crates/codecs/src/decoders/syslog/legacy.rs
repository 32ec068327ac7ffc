//! Messages of [RFC 3164](https://www.rfc-editor.org/rfc/rfc3164#section-4.1), behind the priority, and
//! of devices that write something like it.

use message::Datum;

use super::moment::{Ending, Moments};
use super::{Misfit, Reading};
use crate::number::integer;

/// Longest hostname and tag, in bytes. Longer words are text.
const MAX_HOSTNAME: usize = 255;
const MAX_TAG: usize = 128;

/// Levels that F5's BIG-IP writes in front of the tag.
const LEVELS: [&[u8]; 13] = [
    b"emerg",
    b"emergency",
    b"alert",
    b"crit",
    b"critical",
    b"err",
    b"error",
    b"warn",
    b"warning",
    b"notice",
    b"info",
    b"information",
    b"debug",
];

pub(super) fn read(r: &mut Reading<'_, '_>, moments: &mut Moments, now: i64) -> Result<(), Misfit> {
    if !r.lenient {
        strict(r, moments, now)?;
    } else if let Some((ns, end)) =
        moments.plain(r.line, r.at, now).filter(|time| is_whole(r.line, time.1)).or_else(|| introduced(r, moments, now))
    {
        r.message.set_timestamp(ns);
        r.at = end;
        let device = cisco(r, moments, ns);
        skip_spaces(r);
        if !device {
            hostname(r);
        }
    } else if r.at == 0 {
        // Neither a priority nor a time: text.
        return text(r);
    }
    tag(r);
    text(r)
}

/// Whether a time ends here: there are neither decimals nor a year behind it.
#[inline]
fn is_whole(line: &[u8], end: usize) -> bool {
    match line[end..] {
        [b' ', b'1' | b'2', b'0' | b'9', c, d, b' ' | b':', ..] => !(c.is_ascii_digit() && d.is_ascii_digit()),
        [] | [b' ' | b':', ..] => true,
        _ => false,
    }
}

/// Time and hostname as the RFC describes them.
fn strict(r: &mut Reading<'_, '_>, moments: &mut Moments, now: i64) -> Result<(), Misfit> {
    let time = moments.plain(r.line, r.at, now);
    let (ns, end) = time.ok_or_else(|| r.misfit("a time such as `Oct 11 22:14:15`"))?;
    r.message.set_timestamp(ns);
    r.at = end;
    if !r.rest().starts_with(b" ") {
        return Err(r.misfit("a space"));
    }
    r.at += 1;
    let length = r.rest().iter().take_while(|b| **b != b' ').count();
    let hostname = &r.rest()[..length];
    if length == 0 || length > MAX_HOSTNAME || hostname.ends_with(b":") || !hostname.iter().all(u8::is_ascii_graphic) {
        return Err(r.misfit("a hostname"));
    }
    r.message.set_hostname_text(r.record.text(hostname));
    r.at += length;
    skip_spaces(r);
    Ok(())
}

/// The time in any other form, and what devices write before it: `45: router1: *Mar  1 18:46:11.123`.
#[cold]
fn introduced(r: &mut Reading<'_, '_>, moments: &mut Moments, now: i64) -> Option<Ending> {
    skip_spaces(r);
    if let Some(time) = any_time(r, r.at, moments, now) {
        return Some(time);
    }
    let start = r.at;
    if r.rest().starts_with(b":") {
        r.at += 1;
        skip_spaces(r);
    }
    let sequence = sequence(r);
    let time = any_time(r, r.at, moments, now).or_else(|| behind_name(r, moments, now));
    match sequence {
        Some(n) if time.is_some() || r.rest().starts_with(b"%") => r.message.add_labelled(r.names.sequence, Datum::Integer(n)),
        _ if time.is_none() => r.at = start,
        _ => {}
    }
    time
}

/// A number and a colon.
fn sequence(r: &mut Reading<'_, '_>) -> Option<i64> {
    let digits = r.rest().iter().take(18).take_while(|b| b.is_ascii_digit()).count();
    let n = integer(&r.rest()[..digits])?;
    if r.rest().get(digits) != Some(&b':') {
        return None;
    }
    r.at += digits + 1;
    skip_spaces(r);
    Some(n)
}

/// A time behind `hostname: ` or, without the space, behind the place of a card in a chassis.
fn behind_name(r: &mut Reading<'_, '_>, moments: &mut Moments, now: i64) -> Option<Ending> {
    let name = r.rest();
    let length = name.iter().take(MAX_HOSTNAME).position(|b| matches!(b, b':' | b' ')).filter(|n| *n > 0 && name[*n] == b':')?;
    let behind = r.at + length + 1;
    let spaces = r.line[behind..].iter().take_while(|b| **b == b' ').count();
    let time = any_time(r, behind + spaces, moments, now)?;
    let name = &name[..length];
    if name.contains(&b'/') {
        r.message.add_labelled(r.names.node, r.string(name));
    } else {
        r.message.set_hostname_text(r.record.text(name));
    }
    Some(time)
}

/// The time at `at`, perhaps behind the mark of a clock that is not set (`*`) or lost its source (`.`).
fn any_time(r: &Reading<'_, '_>, at: usize, moments: &mut Moments, now: i64) -> Option<Ending> {
    let marked = matches!(r.line.get(at), Some(b'*' | b'.'));
    let at = at + usize::from(marked);
    match r.line.get(at..)? {
        // Not a word that merely begins like one.
        [b'0'..=b'9', _, _, _, b'-', ..] => moments.iso(r.line, at, true),
        [a, b, c, b' ', ..] if [a, b, c].iter().all(|b| b.is_ascii_alphabetic()) => moments.device(r.line, at, now),
        [b'1' | b'2', _, _, _, b' ', ..] => moments.device(r.line, at, now),
        _ => None,
    }
}

/// Cisco's devices end the time with a colon, perhaps behind a time zone, and name no host behind it. The
/// zone's abbreviation says little (there are several EST), so that but for UTC it is the configured one.
fn cisco(r: &mut Reading<'_, '_>, moments: &mut Moments, ns: i64) -> bool {
    let rest = r.rest();
    if rest.starts_with(b":") {
        r.at += 1;
        return true;
    }
    let [b' ', zone @ ..] = rest else { return false };
    let length = zone.iter().take(6).take_while(|b| b.is_ascii_uppercase()).count();
    let (zone, behind) = zone.split_at(length);
    let utc = matches!(zone, b"UTC" | b"GMT" | b"Z");
    if !behind.starts_with(b":") || !(utc || length >= 2 && behind.starts_with(b": %")) {
        return false;
    }
    if utc {
        r.message.set_timestamp(moments.as_utc(ns));
    }
    r.at += 1 + length + 1;
    true
}

/// Takes the word here for a hostname unless it is a tag or cannot be one.
#[inline]
fn hostname(r: &mut Reading<'_, '_>) {
    if find_tag(r.rest()).is_some() {
        return;
    }
    if let Some(rest) = r.rest().strip_prefix(b"Message forwarded from ") {
        // AIX.
        r.at = r.line.len() - rest.len();
        let length = rest.iter().take(MAX_HOSTNAME).position(|b| matches!(b, b':' | b' ')).unwrap_or(0);
        r.message.set_hostname_text(r.record.text(&rest[..length]));
        r.at += length + usize::from(rest.get(length) == Some(&b':'));
        return skip_spaces(r);
    }
    let rest = r.rest();
    let Some(length) = rest.iter().take(MAX_HOSTNAME + 1).position(|b| *b == b' ') else { return };
    let name = &rest[..length];
    let begins = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'(' | b'_' | b':') || b >= 0x80;
    if !name.first().is_some_and(|b| begins(*b))
        || name[0] != b'(' && name.iter().any(|b| matches!(b, b'=' | b'[' | b']' | b'"' | b'{' | b','))
    {
        return;
    }
    r.message.set_hostname_text(r.record.text(name));
    r.at += length;
    skip_spaces(r);
    match r.rest() {
        // Cisco's ASA: `asa1 : %ASA-6-302013: …`.
        [b':', b' ', ..] => {
            r.at += 1;
            skip_spaces(r);
        }
        // F5: `bigip1 info tmm[123]: …`.
        rest => {
            let length = rest.iter().take(12).position(|b| *b == b' ').unwrap_or(0);
            if LEVELS.contains(&&rest[..length]) && find_tag(&rest[length + 1..]).is_some() {
                r.at += length + 1;
            }
        }
    }
}

/// The application in front of the text, with its process.
struct Tag<'a> {
    name: &'a [u8],
    process: Option<&'a [u8]>,
    /// Where the text begins.
    end: usize,
}

/// A tag is a word that ends in a colon, or in a process in brackets: `su: `, `postfix/smtpd[123]: `, `app[web.1] `.
#[inline]
fn find_tag(text: &[u8]) -> Option<Tag<'_>> {
    let ends = |at: usize| matches!(text.get(at), None | Some(b' ' | b'\t'));
    let mut at = 0;
    loop {
        at += text.get(at..)?.iter().take(MAX_TAG + 1 - at).position(|b| matches!(b, b':' | b'[' | b' '))?;
        match text[at] {
            b' ' => return None,
            // Inside of a name such as `Some::Module` a colon is none; Cisco's need no space behind it.
            b':' if at > 0 && (ends(at + 1) || text[0] == b'%') => return Some(Tag { name: &text[..at], process: None, end: at + 1 }),
            b':' => at += 1,
            _ => break,
        }
        if at > MAX_TAG {
            return None;
        }
    }
    let inside = &text[at + 1..];
    let length = inside.iter().take(MAX_TAG).position(|b| matches!(b, b']' | b' ')).filter(|n| inside[*n] == b']')?;
    let close = at + 1 + length;
    let colon = text.get(close + 1) == Some(&b':');
    let end = close + 1 + usize::from(colon);
    (at > 0 && (colon || ends(end))).then(|| Tag { name: &text[..at], process: Some(&inside[..length]).filter(|p| !p.is_empty()), end })
}

#[inline]
fn tag(r: &mut Reading<'_, '_>) {
    if let Some(Tag { name, process, end }) = find_tag(r.rest()) {
        r.message.set_logger_text(r.record.text(name));
        if let Some(process) = process {
            r.process(process);
        }
        r.at += end;
        if r.rest().starts_with(b" ") {
            r.at += 1;
        }
    }
}

fn text(r: &mut Reading<'_, '_>) -> Result<(), Misfit> {
    if !r.rest().is_empty() {
        r.message.set_payload_text(r.record.text(r.rest()));
    }
    Ok(())
}

#[inline]
fn skip_spaces(r: &mut Reading<'_, '_>) {
    r.at += r.rest().iter().take_while(|b| **b == b' ').count();
}
