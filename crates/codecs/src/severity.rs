/// The syslog severity (0 to 7) that a program means by a word or digit, in any case: the names of
/// [RFC 5424](https://www.rfc-editor.org/rfc/rfc5424#section-6.2.1), their keywords in `syslog.h`, and
/// what else loggers call their levels.
pub fn severity(name: &[u8]) -> Option<i32> {
    const NAMES: [&[&str]; 8] = [
        &["emerg", "emergency", "panic", "0"],
        &["alert", "1"],
        &["crit", "critical", "fatal", "2"],
        &["err", "error", "severe", "3"],
        &["warning", "warn", "4"],
        &["notice", "5"],
        &["info", "information", "informational", "6"],
        &["debug", "trace", "verbose", "7"],
    ];
    NAMES.iter().position(|names| names.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))).map(|n| n as i32)
}

#[cfg(test)]
mod tests {
    use super::severity;

    #[test]
    fn words_and_digits_are_levels() {
        assert_eq!(
            [severity(b"WARN"), severity(b"Fatal"), severity(b"7"), severity(b"8"), severity(b"")],
            [Some(4), Some(2), Some(7), None, None]
        );
    }
}
