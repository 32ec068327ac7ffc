use message::Value;
use std::cmp::Ordering;
use std::fmt;

/// A number of an expression. Whole numbers within 64 bits are `Int` however they were written, so
/// that `Timestamp >= 1.5e18` compares exactly.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

/// 2⁶³, the first whole number above `i64`.
const ABOVE_INT: f64 = 9_223_372_036_854_775_808.0;

impl Number {
    /// `[+-] (digits [. [digits]] | . digits) [(e | E) [+-] digits]`, finite.
    pub(crate) fn parse(text: &str) -> Option<Number> {
        if let Ok(n) = text.parse() {
            return Some(Number::Int(n));
        }
        // Rust's syntax for f64 is the one above, and the names of infinity and NaN.
        if !text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        let n: f64 = text.parse().ok()?;
        let whole = n.fract() == 0.0 && (-ABOVE_INT..ABOVE_INT).contains(&n);
        n.is_finite().then_some(if whole { Number::Int(n as i64) } else { Number::Float(n) })
    }

    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Number::Int(n) => n as f64,
            Number::Float(n) => n,
        }
    }

    /// How a value compares with this number; the outer `None` is for values that are no numbers,
    /// the inner one for NaN.
    pub(crate) fn order(self, value: Value<'_>) -> Option<Option<Ordering>> {
        match value {
            Value::Integer(v) => Some(Some(self.order_int(v))),
            Value::Double(v) => Some(v.partial_cmp(&self.as_f64())),
            _ => None,
        }
    }

    fn order_int(self, value: i64) -> Ordering {
        match self {
            Number::Int(n) => value.cmp(&n),
            Number::Float(n) if n >= ABOVE_INT => Ordering::Less,
            Number::Float(n) if n < -ABOVE_INT => Ordering::Greater,
            // Here n has a fraction, so it is below 2⁵² and rounding the value cannot pass it.
            Number::Float(n) => (value as f64).total_cmp(&n),
        }
    }

    /// Whether no value other than this number is equal to it after conversion to a double.
    pub(crate) fn is_exact_as_f64(self) -> bool {
        self.as_f64().abs() < (1_u64 << 53) as f64
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Int(n) => n.fmt(f),
            Number::Float(n) => write!(f, "{n:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, n) in [("07", 7), ("+5", 5), ("-5", -5), ("5.", 5), ("1e3", 1000), ("1E+2", 100), ("2.50e1", 25), ("-0", 0), ("-0.0", 0)]
        {
            assert_eq!(Number::parse(text), Some(Number::Int(n)), "{text}");
        }
        assert_eq!(Number::parse(".5"), Some(Number::Float(0.5)));
        assert_eq!(Number::parse("9223372036854775808"), Some(Number::Float(ABOVE_INT)));
        for text in ["", ".", "+", "--1", "1.2.3", "5-3", "1e", "0x10", "1e999", "inf", "-inf", "+nan", "1_000"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn integers_compare_exactly_at_both_ends() {
        let order = |v, text| Number::parse(text).unwrap().order_int(v);
        assert_eq!(order(i64::MAX, "9223372036854775808"), Ordering::Less);
        assert_eq!(order(i64::MAX, "9223372036854775806"), Ordering::Greater);
        assert_eq!(order(i64::MIN, "-1e300"), Ordering::Greater);
        assert_eq!(order(i64::MIN, "-9223372036854775808"), Ordering::Equal);
        assert_eq!(order(1, "1.5"), Ordering::Less);
        assert_eq!(order(-1, "-1.5"), Ordering::Greater);
    }
}
