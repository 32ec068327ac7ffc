//! What the command line says of a script that is run without a configuration file.

use std::path::PathBuf;

use options::unit;
use sandbox::{ConfigValue, Family};

use super::subject::Setup;

#[derive(clap::Args)]
pub struct ScriptOptions {
    /// A value that the script reads with read_config.
    #[arg(long, value_name = "NAME=VALUE", value_parser = crate::tail::config::pair)]
    config: Vec<(String, String)>,
    /// What the script serves as: filter, decoder, transform, encoder, output or input. Default: as it declares, else filter.
    #[arg(long, value_name = "FAMILY")]
    family: Option<String>,
    /// How often timer_event is called, such as 10s. Default: as the script declares.
    #[arg(long, value_name = "DURATION")]
    every: Option<String>,
    /// Directory in which require() finds modules. Default: modules, beside the script or its directory.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
}

impl ScriptOptions {
    /// The setup, changed by what the command line says.
    ///
    /// # Errors
    /// There is no such family, or no such duration.
    pub fn apply(&self, mut setup: Setup) -> Result<Setup, String> {
        if let Some(name) = &self.family {
            setup.family = Family::from_name(name).ok_or_else(|| {
                let near = options::nearest(name, Family::ALL.map(Family::name)).map(|near| format!(": did you mean `{near}`?"));
                format!("there is no family {name}{}", near.unwrap_or_default())
            })?;
            setup.limits = Setup::limits(setup.family, setup.api);
        }
        if let Some(every) = &self.every {
            setup.every = Some(unit::duration(every).map_err(|e| format!("--every: found `{every}`, {e}"))?);
        }
        if let Some(dir) = &self.modules {
            setup.modules = Some(dir.clone());
        }
        setup.config = self.config.iter().map(|(name, value)| (name.clone(), config_value(value))).collect();
        Ok(setup)
    }
}

/// A number or truth if it looks like one, else a string.
fn config_value(text: &str) -> ConfigValue {
    let integer = text.parse().map(ConfigValue::Integer).ok();
    let number = || text.parse().ok().filter(|n: &f64| n.is_finite() && text.starts_with(|c: char| c.is_ascii_digit() || c == '-'));
    let truth = || text.parse().map(ConfigValue::Bool).ok();
    integer.or_else(|| number().map(ConfigValue::Number)).or_else(truth).unwrap_or_else(|| ConfigValue::String(text.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_type_they_look_like() {
        assert_eq!(config_value("5"), ConfigValue::Integer(5));
        assert_eq!(config_value("-0.5"), ConfigValue::Number(-0.5));
        assert_eq!(config_value("true"), ConfigValue::Bool(true));
        for text in ["5s", "", "inf", "nan", "a b"] {
            assert_eq!(config_value(text), ConfigValue::String(text.into()));
        }
    }
}
