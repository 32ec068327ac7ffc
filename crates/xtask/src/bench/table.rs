use std::fmt;

use serde_json::{Map, Value, json};

use super::contender::{Contender, Values, Who};
use super::workload::{Bound, Goal, Workload};

/// The column that says what a row has of its floor's.
pub const OF_FLOOR: &str = "of floor";

/// What one workload gave.
pub struct Table {
    pub workload: &'static Workload,
    pub rows: Vec<Row>,
}

/// What one contender gave.
#[derive(Clone, Debug)]
pub struct Row {
    /// Those of one group are compared.
    pub group: String,
    pub name: String,
    pub who: Who,
    pub floor: bool,
    medians: Values,
    samples: Vec<Values>,
}

impl Table {
    pub fn new(workload: &'static Workload, rows: impl Iterator<Item = (Contender, Vec<Values>)>) -> Table {
        let rows = rows.map(|(c, samples)| {
            let medians = medians(&samples);
            Row { group: c.group, name: c.name, who: c.who, floor: c.floor, medians, samples }
        });
        let mut table = Table { workload, rows: rows.collect() };
        for n in 0..table.rows.len() {
            if let Some(ratio) = table.ratio(&table.rows[n]) {
                table.rows[n].medians.push((OF_FLOOR, ratio));
            }
        }
        table
    }

    fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec![self.workload.compared];
        for (name, _) in self.rows.iter().flat_map(|r| &r.medians) {
            if !columns.contains(name) {
                columns.push(name);
            }
        }
        columns.retain(|c| self.rows.iter().any(|r| r.value(c).is_some()));
        columns
    }

    /// What the row has of its floor's.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let floor = self.rows.iter().find(|r| r.floor && r.group == row.group)?;
        Some(row.value(self.workload.compared)? / floor.value(self.workload.compared)?)
    }

    /// The goals whose figures are there.
    fn goals(&self) -> impl Iterator<Item = (&Goal, f64)> {
        let value = |goal: &Goal| self.rows.iter().find(|r| r.title() == goal.row)?.value(goal.column);
        self.workload.goals.iter().filter_map(move |goal| Some((goal, value(goal)?)))
    }

    pub fn json(&self) -> Value {
        let object = |values: &Values| values.iter().map(|(k, v)| (k.to_string(), json!(v))).collect::<Map<_, _>>();
        let row = |r: &Row| {
            let samples: Vec<_> = r.samples.iter().map(object).collect();
            json!({ "name": r.title(), "floor": r.floor, "medians": object(&r.medians), "runs": samples })
        };
        let goal = |(goal, value): (&Goal, f64)| json!({ "goal": goal.to_string(), "is": value, "met": goal.met(value) });
        json!({
            "name": self.workload.name, "what": self.workload.what, "compared": self.workload.compared,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(), "goals": self.goals().map(goal).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    /// Group and name.
    pub fn title(&self) -> String {
        if self.group.is_empty() { self.name.clone() } else { format!("{}: {}", self.group, self.name) }
    }

    pub fn value(&self, column: &str) -> Option<f64> {
        self.medians.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
    }

    /// The least and the most of all runs.
    pub fn range(&self, column: &str) -> Option<(f64, f64)> {
        let values = || self.samples.iter().flatten().filter(|(name, _)| *name == column).map(|(_, value)| *value);
        Some((values().min_by(f64::total_cmp)?, values().max_by(f64::total_cmp)?))
    }
}

fn medians(samples: &[Values]) -> Values {
    let Some(first) = samples.first() else { return Values::new() };
    let median = |column: &'static str| {
        let mut all: Vec<f64> = samples.iter().flatten().filter(|(name, _)| *name == column).map(|(_, value)| *value).collect();
        all.sort_by(f64::total_cmp);
        let middle = all.len() / 2;
        (column, if all.len() % 2 == 1 { all[middle] } else { (all[middle - 1] + all[middle]) / 2.0 })
    };
    first.iter().map(|(column, _)| median(column)).collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (columns, compared) = (self.columns(), self.workload.compared);
        writeln!(f, "## {}: {}\n", self.workload.name, self.workload.what)?;
        write!(f, "| {:<44} |", "")?;
        columns.iter().try_for_each(|c| write!(f, " {c:>11} |"))?;
        writeln!(f, " {:>19} |", format!("{compared}, range"))?;
        write!(f, "|{}|", "-".repeat(46))?;
        columns.iter().try_for_each(|_| write!(f, "{}:|", "-".repeat(12)))?;
        writeln!(f, "{}:|", "-".repeat(20))?;
        for row in &self.rows {
            write!(f, "| {:<44} |", if row.floor { format!("{} (floor)", row.title()) } else { row.title() })?;
            for column in &columns {
                write!(f, " {:>11} |", row.value(column).map_or(String::new(), number))?;
            }
            let range = row.range(compared).map_or(String::new(), |(least, most)| format!("{}..{}", number(least), number(most)));
            writeln!(f, " {range:>19} |")?;
        }
        for (goal, value) in self.goals() {
            write!(f, "\n{}: {goal}; it is {}", if goal.met(value) { "met" } else { "MISSED" }, number(value))?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, bound) = match self.bound {
            Bound::Least(bound) => ("at least", bound),
            Bound::Most(bound) => ("at most", bound),
        };
        write!(f, "{}, {} {word} {}", self.row, self.column, number(bound))
    }
}

/// Three digits are what these figures are good for.
pub fn number(v: f64) -> String {
    match v.abs() {
        100.0.. => format!("{v:.0}"),
        10.0.. => format!("{v:.1}"),
        _ => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::contender::RATE;
    use super::super::workload;
    use super::*;

    #[test]
    fn medians_ratios_and_goals() {
        let run = |v: f64| vec![(RATE, v), ("RSS MB", 1.0)];
        let contender = |name: &str| Contender::new(name, || Ok(Values::new()));
        let rows = [
            (contender("grep").floor(), vec![run(30.0), run(10.0), run(20.0)]),
            (contender("nilo, to null"), vec![run(4.0), run(6.0)]),
            // Not of the floor's group.
            (contender("other").of("else"), vec![run(4.0)]),
        ];
        let table = Table::new(&workload::ALL[0], rows.into_iter());
        let json = table.json();
        assert_eq!(json["rows"][0]["medians"][RATE], 20.0);
        assert_eq!(json["rows"][1]["medians"][OF_FLOOR], 0.25);
        assert_eq!(json["rows"][2]["medians"].get(OF_FLOOR), None);
        assert_eq!(json["goals"][0]["met"], false);
        let text = table.to_string();
        assert!(text.contains("| grep (floor)                                 |        20.0 |        1.00 |"), "{text}");
        assert!(text.contains("10.0..30.0 |"), "{text}");
        assert!(text.contains("MISSED: nilo, to null, k/CPU-s at least 8000; it is 5.00"), "{text}");
    }
}
