//! Holding a script's `config` against what it declares.

use std::fmt;
use std::time::Duration;

use options::{nearest, unit};

use super::{Declaration, DeclaredOption, OptionType};
use crate::ConfigValue;

/// Something wrong with a value of `config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key it is about; one that is missing, too.
    pub key: String,
    pub message: String,
    pub help: Option<String>,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigProblem {}

impl Declaration {
    /// The values that `read_config` is to find: those given, checked and converted, then the
    /// defaults of the others. A script that declares no family gets what was given.
    ///
    /// # Errors
    /// Everything that is wrong: keys that are not declared, values of another type, required ones that are missing.
    pub fn resolve(&self, given: &[(String, ConfigValue)]) -> Result<Vec<(String, ConfigValue)>, Vec<ConfigProblem>> {
        if !self.is_strict() {
            return Ok(given.to_vec());
        }
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for (key, value) in given {
            let checked = self.options.iter().find(|o| o.name == *key).ok_or_else(|| self.unknown(key)).and_then(|o| check(o, value));
            match checked {
                Ok(value) => values.push((key.clone(), value)),
                Err(problem) => problems.push(problem),
            }
        }
        for option in self.options.iter().filter(|o| given.iter().all(|(key, _)| *key != o.name)) {
            match &option.default {
                Some(default) => values.push((option.name.clone(), default.clone())),
                None if option.required => problems.push(missing(option)),
                None => {}
            }
        }
        if problems.is_empty() { Ok(values) } else { Err(problems) }
    }

    fn unknown(&self, key: &str) -> ConfigProblem {
        let names: Vec<&str> = self.options.iter().map(|o| o.name.as_str()).collect();
        let help = match nearest(key, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "it takes none".to_string(),
            None => format!("it takes {}", names.join(", ")),
        };
        ConfigProblem { key: key.to_string(), message: format!("the script has no option `{key}`"), help: Some(help) }
    }
}

fn missing(option: &DeclaredOption) -> ConfigProblem {
    ConfigProblem {
        key: option.name.clone(),
        message: format!("the script needs the option `{}` ({})", option.name, option.type_.name()),
        help: Some(option.doc.clone()).filter(|doc| !doc.is_empty()),
    }
}

fn check(option: &DeclaredOption, value: &ConfigValue) -> Result<ConfigValue, ConfigProblem> {
    let refused = |help: String| ConfigProblem {
        key: option.name.clone(),
        message: format!("`{}` must be {}", option.name, expected(option.type_)),
        help: Some(help),
    };
    match (option.type_, value) {
        (OptionType::String, ConfigValue::String(_))
        | (OptionType::Integer, ConfigValue::Integer(_))
        | (OptionType::Boolean, ConfigValue::Bool(_))
        | (OptionType::Number, ConfigValue::Integer(_) | ConfigValue::Number(_)) => Ok(value.clone()),
        (OptionType::Duration, ConfigValue::Integer(n)) if *n >= 0 => Ok(value.clone()),
        (OptionType::Duration, ConfigValue::Number(n)) if *n >= 0.0 => Ok(value.clone()),
        (OptionType::Duration, ConfigValue::String(text)) => {
            unit::duration(text).map(seconds).map_err(|expected| refused(format!("found \"{text}\", {expected}")))
        }
        (OptionType::Integer, ConfigValue::Number(n)) if n.fract() == 0.0 && n.abs() < 9e15 => Ok(ConfigValue::Integer(*n as i64)),
        (_, found) => Err(refused(format!("found {}", shown(found)))),
    }
}

fn expected(type_: OptionType) -> &'static str {
    match type_ {
        OptionType::String => "a string",
        OptionType::Integer => "a whole number",
        OptionType::Number => "a number",
        OptionType::Boolean => "true or false",
        OptionType::Duration => "a duration such as \"10s\", or a number of seconds",
    }
}

fn shown(value: &ConfigValue) -> String {
    match value {
        ConfigValue::String(s) => format!("{s:?}"),
        ConfigValue::Integer(n) => n.to_string(),
        ConfigValue::Number(n) => n.to_string(),
        ConfigValue::Bool(b) => b.to_string(),
        ConfigValue::List(_) => "a list".to_string(),
        ConfigValue::Table(_) => "a table".to_string(),
    }
}

/// A duration as a script sees it: an integer when it is whole.
pub(super) fn seconds(d: Duration) -> ConfigValue {
    match (d.subsec_nanos(), i64::try_from(d.as_secs())) {
        (0, Ok(whole)) => ConfigValue::Integer(whole),
        _ => ConfigValue::Number(d.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConfigValue::{Bool, Integer, Number};

    fn declared() -> Declaration {
        let source = "--@family filter\n--@option threshold integer 500 From here on.\n--@option rows integer required Rows of it.\n\
            --@option window duration 90s W.\n--@option title string\n--@option ratio number\n--@option on boolean\n";
        Declaration::parse(source.as_bytes()).unwrap()
    }

    fn resolve(given: &[(&str, ConfigValue)]) -> Result<Vec<(String, ConfigValue)>, Vec<String>> {
        let given: Vec<_> = given.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
        declared().resolve(&given).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_fill_what_is_not_given() {
        let values = resolve(&[("rows", Number(3.0)), ("window", ConfigValue::String("1.5s".into())), ("ratio", Integer(1))]).unwrap();
        let expected = [("rows", Integer(3)), ("window", Number(1.5)), ("ratio", Integer(1)), ("threshold", Integer(500))];
        assert_eq!(values, expected.map(|(k, v)| (k.to_string(), v)));
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let given = [("treshold", Integer(1)), ("rows", Number(0.5)), ("on", Integer(1)), ("window", Integer(-1)), ("zzz", Bool(true))];
        let problems = resolve(&given).unwrap_err();
        assert_eq!(
            problems,
            [
                "the script has no option `treshold` (did you mean `threshold`?)",
                "`rows` must be a whole number (found 0.5)",
                "`on` must be true or false (found 1)",
                "`window` must be a duration such as \"10s\", or a number of seconds (found -1)",
                "the script has no option `zzz` (it takes threshold, rows, window, title, ratio, on)",
            ]
        );
        assert_eq!(resolve(&[]).unwrap_err(), ["the script needs the option `rows` (integer) (Rows of it.)"]);
    }

    #[test]
    fn a_script_that_declares_nothing_takes_anything() {
        let given = vec![("anything".to_string(), Bool(true))];
        assert_eq!(Declaration::default().resolve(&given), Ok(given));
    }
}
