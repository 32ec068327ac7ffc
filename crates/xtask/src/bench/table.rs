use std::fmt;

use serde_json::{Map, Value, json};

use super::contender::Values;

/// The column that is compared with the floor's, if there is one.
const COMPARED: &str = "k/CPU-s";

/// One workload's medians.
#[derive(Clone, Debug)]
pub struct Table {
    name: String,
    what: String,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    floor: bool,
    medians: Values,
    samples: Vec<Values>,
}

impl Table {
    /// From contenders: name, whether it is the floor, and what each run gave.
    pub fn new(name: &str, what: &str, rows: impl Iterator<Item = (String, bool, Vec<Values>)>) -> Table {
        let rows = rows.map(|(name, floor, samples)| Row { name, floor, medians: medians(&samples), samples }).collect();
        Table { name: name.to_string(), what: what.to_string(), rows }
    }

    fn columns(&self) -> Vec<&'static str> {
        let mut columns = Vec::new();
        for (name, _) in self.rows.iter().flat_map(|r| &r.medians) {
            if !columns.contains(name) {
                columns.push(name);
            }
        }
        columns
    }

    /// How a row compares with the floor.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let floor = self.rows.iter().find(|r| r.floor)?;
        Some(row.value(COMPARED)? / floor.value(COMPARED)?)
    }

    pub fn json(&self) -> Value {
        let object = |values: &Values| values.iter().map(|(k, v)| (k.to_string(), json!(v))).collect::<Map<_, _>>();
        let row = |r: &Row| {
            let samples: Vec<_> = r.samples.iter().map(object).collect();
            json!({ "name": r.name, "floor": r.floor, "medians": object(&r.medians), "to_floor": self.ratio(r), "runs": samples })
        };
        json!({ "name": self.name, "what": self.what, "rows": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

impl Row {
    fn value(&self, column: &str) -> Option<f64> {
        self.medians.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
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
        let columns = self.columns();
        let compared = self.rows.iter().any(|r| r.floor);
        writeln!(f, "## {}: {}\n", self.name, self.what)?;
        write!(f, "| {:<40} |", "")?;
        columns.iter().try_for_each(|c| write!(f, " {c:>14} |"))?;
        writeln!(f, "{}", if compared { " of the floor |" } else { "" })?;
        write!(f, "|{}|", "-".repeat(42))?;
        columns.iter().try_for_each(|_| write!(f, "{}:|", "-".repeat(15)))?;
        writeln!(f, "{}", if compared { "-------------:|" } else { "" })?;
        for row in &self.rows {
            write!(f, "| {:<40} |", if row.floor { format!("{} (floor)", row.name) } else { row.name.clone() })?;
            for column in &columns {
                match row.value(column) {
                    Some(v) => write!(f, " {:>14} |", number(v))?,
                    None => write!(f, " {:>14} |", "")?,
                }
            }
            match self.ratio(row) {
                Some(ratio) if compared => writeln!(f, " {ratio:>12.3} |")?,
                _ if compared => writeln!(f, " {:>12} |", "")?,
                _ => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// Three digits are what these figures are good for.
fn number(v: f64) -> String {
    match v.abs() {
        100.0.. => format!("{v:.0}"),
        10.0.. => format!("{v:.1}"),
        _ => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        let run = |v: f64| vec![("k/CPU-s", v), ("RSS MB", 1.0)];
        let rows = [("wc".to_string(), true, vec![run(30.0), run(10.0), run(20.0)]), ("nilo".to_string(), false, vec![run(4.0), run(6.0)])];
        let table = Table::new("W0", "test", rows.into_iter());
        let json = table.json();
        assert_eq!(json["rows"][0]["medians"]["k/CPU-s"], 20.0);
        assert_eq!(json["rows"][1]["to_floor"], 0.25);
        assert!(
            table.to_string().contains("| nilo                                     |           5.00 |           1.00 |        0.250 |"),
            "{table}"
        );
    }
}
