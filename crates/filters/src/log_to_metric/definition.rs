use matcher::{Part, Parts};
use message::MessageRef;
use options::{Location, Node, Options, Problem, Raw, Tree, nearest};

/// A metric as the configuration describes it.
pub(super) struct Definition {
    pub name: String,
    pub measure: Measure,
    /// Without: messages are counted.
    field: Option<Part>,
    pub by: Parts,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Measure {
    Counter,
    Gauge,
    /// Bounds, ascending.
    Histogram(Vec<f64>),
}

/// Bounds of a histogram that names none: seconds that people wait.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const MAX_BOUNDS: usize = 200;
const MAX_METRICS: usize = 1000;
const KEYS: [&str; 4] = ["kind", "field", "by", "bounds"];
const KINDS: [&str; 3] = ["counter", "gauge", "histogram"];

impl Measure {
    pub fn name(&self) -> &'static str {
        match self {
            Measure::Counter => KINDS[0],
            Measure::Gauge => KINDS[1],
            Measure::Histogram(_) => KINDS[2],
        }
    }
}

impl Definition {
    /// What a message adds; nothing when it has no such number.
    pub fn value(&self, m: MessageRef<'_>) -> Option<f64> {
        let value = self.field.as_ref().map_or(Some(1.0), |field| field.number(m))?;
        (value >= 0.0 || self.measure != Measure::Counter).then_some(value)
    }

    pub fn bounds(&self) -> &[f64] {
        match &self.measure {
            Measure::Histogram(bounds) => bounds,
            _ => &[],
        }
    }

    /// What a saved series must agree with.
    pub fn meaning(&self) -> String {
        let by: Vec<&str> = self.by.iter().map(Part::name).collect();
        let field = self.field.as_ref().map_or("", |f| f.name());
        format!("{}\t{:?}\t{field}\t{}", self.name, self.measure, by.join("\t"))
    }
}

/// Reads the definitions that the option `name` holds; `by` are tags of all.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn read(o: &Options, name: &str, by: &[String]) -> Result<Vec<Definition>, Problem> {
    let entries = o.tree(name).map(|tree| &tree.entries[..]).unwrap_or_default();
    if entries.is_empty() || entries.len() > MAX_METRICS {
        return Err(o.problem(
            name,
            "this filter makes no metric",
            format!("expected 1 to {MAX_METRICS} metrics, found {}", entries.len()),
        ));
    }
    entries.iter().map(|(key, node)| definition(&key.name, node, by)).collect()
}

fn definition(name: &str, node: &Node, by: &[String]) -> Result<Definition, Problem> {
    let Raw::Table(table) = &node.raw else {
        return Err(wrong(
            &node.at,
            format!("`{name}` is not a metric"),
            format!("found {}, expected a table such as {{ kind = \"counter\" }}", node.raw.kind()),
        ));
    };
    if let Some((key, _)) = table.entries.iter().find(|(key, _)| !KEYS.contains(&&key.name[..])) {
        let problem = wrong(&key.at, format!("a metric has no `{}`", key.name), format!("expected {}", KEYS.join(", ")));
        return Err(match nearest(&key.name, KEYS) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        });
    }
    let field = text(table, "field")?.map(|(field, _)| Part::new(field));
    let (kind, at) = text(table, "kind")?
        .ok_or_else(|| wrong(&node.at, format!("`{name}` has no kind"), format!("expected kind = {}", KINDS.join(", "))))?;
    let measure = match kind {
        "counter" => Measure::Counter,
        "gauge" => Measure::Gauge,
        "histogram" => Measure::Histogram(bounds(table)?),
        _ => return Err(wrong(at, format!("there is no kind `{kind}`"), format!("expected {}", KINDS.join(", ")))),
    };
    if field.is_none() && measure != Measure::Counter {
        return Err(wrong(&node.at, format!("`{name}` has no field"), format!("expected the field whose numbers the {kind} is made of")));
    }
    if let (Some(bounds), false) = (table.get("bounds"), matches!(measure, Measure::Histogram(_))) {
        return Err(wrong(&bounds.at, format!("a {kind} has no bounds"), "expected them of a histogram"));
    }
    let own = texts(table, "by")?;
    let all: Vec<&str> = by.iter().map(String::as_str).chain(own).collect();
    Ok(Definition { name: name.to_string(), measure, field, by: Parts::new(&all) })
}

fn wrong(at: &Location, title: String, label: impl Into<String>) -> Problem {
    Problem::new(title).at(at, label)
}

fn text<'t>(table: &'t Tree, name: &str) -> Result<Option<(&'t str, &'t Location)>, Problem> {
    match table.get(name) {
        None => Ok(None),
        Some(Node { raw: Raw::String(text), at }) => Ok(Some((text, at))),
        Some(other) => Err(wrong(&other.at, format!("`{name}` must be a string"), format!("found {}", other.raw.kind()))),
    }
}

fn texts<'t>(table: &'t Tree, name: &str) -> Result<Vec<&'t str>, Problem> {
    let one = |node: &'t Node| match &node.raw {
        Raw::String(text) => Ok(&text[..]),
        other => Err(wrong(&node.at, format!("`{name}` must be a list of strings"), format!("found {}", other.kind()))),
    };
    match table.get(name) {
        None => Ok(Vec::new()),
        Some(Node { raw: Raw::List(list), .. }) => list.iter().map(one).collect(),
        Some(node) => Ok(vec![one(node)?]),
    }
}

fn bounds(table: &Tree) -> Result<Vec<f64>, Problem> {
    let Some(node) = table.get("bounds") else { return Ok(BOUNDS.to_vec()) };
    let expected = || {
        wrong(
            &node.at,
            "`bounds` must be a list of numbers that ascend".to_string(),
            format!("expected 1 to {MAX_BOUNDS} of them, such as [0.1, 1]"),
        )
    };
    let Raw::List(list) = &node.raw else { return Err(expected()) };
    let number = |node: &Node| match node.raw {
        Raw::Integer(n) => Some(n as f64),
        Raw::Float(n) if n.is_finite() => Some(n),
        _ => None,
    };
    let bounds: Vec<f64> = list.iter().map(number).collect::<Option<_>>().ok_or_else(expected)?;
    let ascend = bounds.windows(2).all(|pair| pair[0] < pair[1]);
    if ascend && (1..=MAX_BOUNDS).contains(&bounds.len()) { Ok(bounds) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use crate::log_to_metric::KIND;
    use testkit::plugins::filter;

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (metrics, said) in [
            ("{}", "expected 1 to 1000 metrics"),
            ("{ a = 1 }", "test.toml:1:17: `a` is not a metric"),
            ("{ a = { kind = 'cuonter' } }", "there is no kind `cuonter`"),
            ("{ a = { feild = 'x', kind = 'gauge' } }", "did you mean `field`?"),
            ("{ a = { field = 'x' } }", "`a` has no kind"),
            ("{ a = { kind = 'gauge' } }", "`a` has no field"),
            ("{ a = { kind = 'gauge', field = 1 } }", "`field` must be a string"),
            ("{ a = { kind = 'gauge', field = 'x', bounds = [1] } }", "a gauge has no bounds"),
            ("{ a = { kind = 'histogram', field = 'x', bounds = [2, 1] } }", "numbers that ascend"),
            ("{ a = { kind = 'histogram', field = 'x', bounds = [nan] } }", "numbers that ascend"),
            ("{ a = { kind = 'counter', by = [1] } }", "`by` must be a list of strings"),
        ] {
            let problem = filter(&KIND, &format!("metrics = {metrics}")).err().unwrap();
            assert!(problem.contains(said), "{metrics}: {problem}");
        }
        assert!(filter(&KIND, "metrics = { a = { kind = 'histogram', field = 'x' } }").is_ok());
    }
}
