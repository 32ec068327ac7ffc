use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use options::unit::show_duration;
use ureq::http::{HeaderMap, StatusCode, header};

/// Bytes of an answer's body that are read at most.
pub const MAX_ANSWER: u64 = 64 << 10;

/// Characters of an answer's body that are quoted.
const QUOTED: usize = 200;

/// A server that asks for more than this is asked again all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What a server made of a body.
#[derive(PartialEq, Debug)]
pub enum Answer {
    Done,
    Retry {
        after: Option<Duration>,
        why: String,
    },
    /// It will not have this body, whole as it is.
    Refused(String),
}

impl Answer {
    pub fn retry(why: impl Into<String>) -> Answer {
        Answer::Retry { after: None, why: why.into() }
    }
}

/// The verdict an answer is. `retry` are statuses that are worth another try besides those that always
/// are; `now` is in nanoseconds since the UNIX epoch.
pub fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8], retry: &[StatusCode], now: i64) -> Answer {
    let answered = format!("the server answered {status}{}", quote(body));
    match status.as_u16() {
        200..=299 => Answer::Done,
        300..=399 => {
            let to = headers.get(header::LOCATION).map(|to| quote(to.as_bytes())).unwrap_or_default();
            Answer::retry(format!("the server answered {status}{to}; redirects are not followed: set option `url`"))
        }
        408 | 425 | 429 | 500.. => asked_to_wait(headers, now, answered),
        _ if retry.contains(&status) => asked_to_wait(headers, now, answered),
        400..=499 => Answer::Refused(answered),
        _ => Answer::retry(answered),
    }
}

/// `Retry-After` is seconds or a date (RFC 9110, 10.2.3).
fn asked_to_wait(headers: &HeaderMap, now: i64, answered: String) -> Answer {
    let text = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()).unwrap_or_default().trim();
    let after = match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => until(text, now),
    };
    let after = after.map(|after| after.min(LONGEST_WAIT));
    let waiting = after.map(|after| format!(" (asks to wait for {})", show_duration(after))).unwrap_or_default();
    Answer::Retry { after, why: format!("{answered}{waiting}") }
}

fn until(date: &str, now: i64) -> Option<Duration> {
    let date: Timestamp = DateTimeParser::new().parse_timestamp(date).ok()?;
    let ns = date.as_nanosecond() - i128::from(now);
    Some(Duration::from_nanos(u64::try_from(ns.max(0)).unwrap_or(u64::MAX)))
}

/// The beginning of a text, on one line and printable, behind a colon; nothing when there is none.
fn quote(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * QUOTED)]);
    let words: Vec<_> = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line: String = words.join(" ").chars().take(QUOTED).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mon, 23 Nov 2026 04:00:00 GMT.
    const NOW: i64 = 1_795_406_400_000_000_000;

    fn judged(status: u16, headers: &[(header::HeaderName, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        judge(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), &[StatusCode::NOT_FOUND], NOW)
    }

    #[test]
    fn a_status_is_a_verdict() {
        for status in [200, 201, 204, 299] {
            assert_eq!(judged(status, &[], "anything"), Answer::Done);
        }
        for status in [301, 308, 404, 408, 425, 429, 500, 501, 503, 599, 799] {
            assert!(matches!(judged(status, &[], ""), Answer::Retry { after: None, .. }), "{status}");
        }
        for status in [400, 401, 413, 422, 499] {
            assert!(matches!(judged(status, &[], ""), Answer::Refused(_)), "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_has_an_end() {
        let after = |text: &str| match judged(503, &[(header::RETRY_AFTER, text)], "") {
            Answer::Retry { after, .. } => after.map(|d| d.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("0"), Some(0));
        assert_eq!(after("99999999999999"), Some(3600));
        assert_eq!(after("Mon, 23 Nov 2026 04:00:30 GMT"), Some(30));
        assert_eq!(after("Mon, 23 Nov 2026 03:00:00 GMT"), Some(0));
        assert_eq!(after("Fri, 01 Jan 2100 00:00:00 GMT"), Some(3600));
        assert_eq!([after("soon"), after("-5"), after("")], [None; 3]);
    }

    #[test]
    fn what_is_quoted_is_printable_and_short() {
        let Answer::Refused(why) = judged(400, &[], &format!("bad\r\n\x1b[31m field \u{7}{}", "x".repeat(100_000))) else { panic!() };
        assert!(why.starts_with("the server answered 400 Bad Request: bad [31m field xxx"), "{why}");
        assert!(why.len() < 300 && !why.contains(char::is_control), "{why}");
        let Answer::Retry { why, .. } = judged(302, &[(header::LOCATION, "https://elsewhere/")], "") else { panic!() };
        assert!(why.contains("https://elsewhere/") && why.contains("option `url`"), "{why}");
    }
}
