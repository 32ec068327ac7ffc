//! Which containers are wanted.

use std::collections::BTreeMap;

use glob::Pattern;
use options::{Options, Problem};

pub(super) struct Select {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    include_labels: Vec<Label>,
    exclude_labels: Vec<Label>,
}

struct Label {
    name: String,
    value: Option<String>,
}

impl Label {
    fn parse(text: &str) -> Label {
        match text.split_once('=') {
            Some((name, value)) => Label { name: name.into(), value: Some(value.into()) },
            None => Label { name: text.into(), value: None },
        }
    }

    fn is_among(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(&self.name).is_some_and(|value| self.value.as_ref().is_none_or(|wanted| wanted == value))
    }
}

impl Select {
    pub fn new(o: &Options) -> Result<Select, Problem> {
        let names = |option: &str| {
            let pattern =
                |text: &String| Pattern::new(text).map_err(|e| o.problem(option, format!("\"{text}\" is no pattern"), e.to_string()));
            o.strings(option).iter().map(pattern).collect::<Result<Vec<_>, _>>()
        };
        let labels = |option: &str| o.strings(option).iter().map(|text| Label::parse(text)).collect();
        Ok(Select {
            include: names("include")?,
            exclude: names("exclude")?,
            include_labels: labels("include_labels"),
            exclude_labels: labels("exclude_labels"),
        })
    }

    pub fn takes(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        let named = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches(name));
        let labelled = |wanted: &[Label]| wanted.iter().any(|label| label.is_among(labels));
        (self.include.is_empty() || named(&self.include))
            && (self.include_labels.is_empty() || labelled(&self.include_labels))
            && !named(&self.exclude)
            && !labelled(&self.exclude_labels)
    }
}
