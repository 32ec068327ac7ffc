//! nginx's `log_format`: `$name` or `${name}` is a variable, everything else stands for itself.
//! <https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format>

use super::format::{FormatError, Piece, Pieces, ValueKind};
use crate::time::Layout;

pub(super) fn parse(format: &str) -> Result<Vec<Piece>, FormatError> {
    let mut pieces = Pieces::default();
    let mut at = 0;
    while let Some(dollar) = format[at..].find('$').map(|n| at + n) {
        pieces_literal(&mut pieces, &format[at..dollar]);
        let (name, end) = match format[dollar + 1..].strip_prefix('{') {
            Some(rest) => match rest.split_once('}') {
                Some((name, _)) => (name, dollar + name.len() + 3),
                None => return Err(FormatError::new(dollar..dollar + 2, "this `{` is not closed").help("expected `}` behind the name")),
            },
            None => {
                let name = prefix(&format[dollar + 1..]);
                (name, dollar + 1 + name.len())
            }
        };
        if name.is_empty() || prefix(name) != name {
            let help = "a variable is `$name` or `${name}`, of letters, digits and `_`; set style = \"apache\" if these are % directives";
            return Err(FormatError::new(dollar..end.max(dollar + 1), "expected the name of a variable").help(help));
        }
        pieces.var(name, value(name), dollar..end);
        at = end;
    }
    pieces_literal(&mut pieces, &format[at..]);
    Ok(pieces.0)
}

fn pieces_literal(pieces: &mut Pieces, text: &str) {
    if !text.is_empty() {
        pieces.literal(text.as_bytes());
    }
}

/// The name at the start of `text`.
fn prefix(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// What nginx writes for a variable. Only what nginx itself computes must be a number; what a
/// client sent and what is listed once an upstream is a number when it can be.
fn value(name: &str) -> ValueKind {
    use ValueKind::{Address, Integer, List, MaybeDouble, MaybeInteger, Request, Seconds, Text, Time};
    let sent_by_someone = ["http_", "sent_http_", "cookie_", "arg_", "ssl_"].iter().any(|p| name.starts_with(p));
    let upstream = name.starts_with("upstream_");
    match name {
        "time_local" => Time(Layout::Clf),
        "time_iso8601" => Time(Layout::Rfc3339),
        "msec" => Time(Layout::EpochIn(1_000_000_000)),
        "request" => Request,
        "remote_addr" | "realip_remote_addr" | "server_addr" | "proxy_protocol_addr" => Address,
        "body_bytes_sent" | "bytes_sent" | "request_length" => Integer("B"),
        "status" | "connection" | "connection_requests" | "pid" | "remote_port" | "server_port" => Integer(""),
        "request_time" | "connection_time" => Seconds,
        "upstream_addr" => List,
        "gzip_ratio" => MaybeDouble(""),
        _ if sent_by_someone => Text,
        _ if upstream && name.ends_with("_time") => MaybeDouble("s"),
        _ if upstream && name.ends_with("_status") => MaybeInteger(""),
        _ if name.ends_with("_length") || name.contains("_bytes") || name.starts_with("bytes_") => MaybeInteger("B"),
        _ => Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_their_letters_do() {
        let pieces = parse("a${b}c$d.$msec").unwrap();
        let names: Vec<_> =
            pieces.iter().filter_map(|p| if let Piece::Var(v) = p { Some((&*v.name, v.at.clone())) } else { None }).collect();
        assert_eq!(names, [("b", 1..5), ("d", 6..8), ("msec", 9..14)]);
        assert_eq!(pieces[2], Piece::Literal(b"c".to_vec()));
    }

    #[test]
    fn bad_names_are_pointed_at() {
        assert_eq!(parse("x $ y").unwrap_err().at, 2..3);
        assert_eq!(parse("x ${y").unwrap_err().at, 2..4);
        assert_eq!(parse("x ${y-z}").unwrap_err().at, 2..8);
        assert_eq!(parse("$ä").unwrap_err().at, 0..1);
    }
}
