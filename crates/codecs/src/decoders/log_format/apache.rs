//! Apache's `LogFormat`: `%` directives, with names as nginx has them where both know the thing.
//! <https://httpd.apache.org/docs/current/mod/mod_log_config.html#formats>

use super::format::{FormatError, Piece, Pieces, ValueKind};
use crate::time::Layout;

pub(super) fn parse(format: &str) -> Result<Vec<Piece>, FormatError> {
    let mut pieces = Pieces::default();
    let mut at = 0;
    while let Some(next) = format[at..].chars().next() {
        match next {
            '%' => at = directive(&mut pieces, format, at)?,
            // As in httpd.conf, where the format itself stands in quotes.
            '\\' if format.len() > at + 1 && format.is_char_boundary(at + 2) => {
                pieces.literal(match &format[at + 1..at + 2] {
                    "t" => b"\t",
                    "n" => b"\n",
                    other => other.as_bytes(),
                });
                at += 2;
            }
            other => {
                pieces.literal(&format.as_bytes()[at..at + other.len_utf8()]);
                at += other.len_utf8();
            }
        }
    }
    Ok(pieces.0)
}

/// Adds the directive at `start`; returns where it ends.
fn directive(pieces: &mut Pieces, format: &str, start: usize) -> Result<usize, FormatError> {
    // Conditions on the status (`%!200,304{Referer}i`) and the choice of request do not change how it is read.
    let mut at = start + 1 + format[start + 1..].bytes().take_while(|b| b.is_ascii_digit() || b"!,<>".contains(b)).count();
    let mut argument = "";
    if let Some(rest) = format[at..].strip_prefix('{') {
        let Some((inner, _)) = rest.split_once('}') else {
            return Err(FormatError::new(start..at + 1, "this `{` is not closed").help("expected `}` and the letter of a directive"));
        };
        argument = inner;
        at += inner.len() + 2;
    }
    let letters = format[at..].chars().next().map_or(0, char::len_utf8);
    let letters = if format[at..].starts_with("^ti") || format[at..].starts_with("^to") { 3 } else { letters };
    let (directive, end) = (&format[at..at + letters], at + letters);
    match (directive, argument) {
        ("%", "") => pieces.literal(b"%"),
        ("t", "") => {
            pieces.literal(b"[");
            pieces.var("time_local", ValueKind::Time(Layout::Clf), start..end);
            pieces.literal(b"]");
        }
        _ => match value(directive, argument).map_err(|label| FormatError::new(start..end, label))? {
            Some((name, value)) => pieces.var(name, value, start..end),
            None => {
                let help = "see mod_log_config for the directives; set style = \"nginx\" if these are $ variables";
                return Err(FormatError::new(start..end, "no such directive").help(help));
            }
        },
    }
    Ok(end)
}

/// Field name and kind of a directive; `None` when there is no such directive.
fn value(directive: &str, argument: &str) -> Result<Option<(String, ValueKind)>, String> {
    use ValueKind::{Address, Integer, MaybeDouble, MaybeInteger, Request, Seconds, Text, Time};
    let simple = |name: &str, value: ValueKind| Ok(Some((name.to_string(), value)));
    let named = |prefix: &str| Ok(Some((prefix.to_string() + &field_name(argument), Text)));
    match (directive, argument) {
        ("a" | "h", "") => simple("remote_addr", Address),
        ("a", "c") => simple("realip_remote_addr", Address),
        ("A", _) => simple("server_addr", Address),
        ("b" | "B", _) => simple("body_bytes_sent", Integer("B")),
        ("D", _) | ("T", "us") => simple("request_time_us", Integer("us")),
        ("f", _) => simple("request_filename", Text),
        ("H", _) => simple("server_protocol", Text),
        ("I", _) => simple("request_length", Integer("B")),
        ("k", _) => simple("connection_requests", Integer("")),
        ("l", _) => simple("remote_logname", Text),
        ("L", _) => simple("error_log_id", Text),
        ("m", _) => simple("request_method", Text),
        ("O", _) => simple("bytes_sent", Integer("B")),
        ("p", "remote") => simple("remote_port", Integer("")),
        ("p", _) => simple("server_port", Integer("")),
        ("P", "tid" | "hextid") => simple("tid", Text),
        ("P", _) => simple("pid", Integer("")),
        ("q", _) => simple("args", Text),
        ("r", _) => simple("request", Request),
        ("R", _) => simple("handler", Text),
        ("s", _) => simple("status", Integer("")),
        ("S", _) => simple("bytes_transferred", Integer("B")),
        ("t", "msec_frac" | "usec_frac") => simple(argument, MaybeInteger("")),
        ("t", format) => Ok(Some(("time_local".to_string(), Time(time(format)?)))),
        ("T", "ms") => simple("request_time_ms", MaybeDouble("ms")),
        ("T", _) => simple("request_time", Seconds),
        ("u", _) => simple("remote_user", Text),
        ("U", _) => simple("uri", Text),
        ("v", _) => simple("server_name", Text),
        ("V", _) => simple("host", Text),
        ("X", _) => simple("connection_status", Text),
        ("C", _) => named("cookie_"),
        ("e", _) => named("env_"),
        ("i", _) => named("http_"),
        ("n", _) => named("note_"),
        ("o", _) => named("sent_http_"),
        ("^ti", _) => named("trailer_"),
        ("^to", _) => named("sent_trailer_"),
        _ => Ok(None),
    }
}

/// `User-Agent` is `user_agent`, as nginx would have it.
fn field_name(argument: &str) -> String {
    argument.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// The layout of `%{format}t`.
fn time(format: &str) -> Result<Layout, String> {
    let format = format.strip_prefix("begin:").or_else(|| format.strip_prefix("end:")).unwrap_or(format);
    match format {
        "sec" => Ok(Layout::EpochIn(1_000_000_000)),
        "msec" => Ok(Layout::EpochIn(1_000_000)),
        "usec" => Ok(Layout::EpochIn(1000)),
        _ => Layout::parse(format).map_err(|e| format!("this names no moment by itself: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(format: &str) -> Vec<(String, ValueKind)> {
        let var = |p| if let Piece::Var(v) = p { Some((v.name, v.value)) } else { None };
        parse(format).unwrap().into_iter().filter_map(var).collect()
    }

    #[test]
    fn directives_are_named_as_nginx_names_them() {
        let names: Vec<_> = vars(r#"%h %l %u %t \"%r\" %>s %O "%{Referer}i" %!200,304{User-Agent}i"#).into_iter().map(|(n, _)| n).collect();
        let expected = "remote_addr remote_logname remote_user time_local request status bytes_sent http_referer http_user_agent";
        assert_eq!(names.join(" "), expected);
        assert_eq!(vars("%{%Y-%m-%dT%H:%M:%S%z}t").len(), 1);
        assert_eq!(vars("%D%%"), [("request_time_us".to_string(), ValueKind::Integer("us"))]);
    }

    #[test]
    fn bad_directives_are_pointed_at() {
        assert_eq!(parse("%h %Z").unwrap_err().at, 3..5);
        assert_eq!(parse("%h %").unwrap_err().at, 3..4);
        assert_eq!(parse("%h %{x").unwrap_err().at, 3..5);
        assert!(parse("%{%H:%M}t").unwrap_err().label.starts_with("this names no moment by itself"));
    }
}
