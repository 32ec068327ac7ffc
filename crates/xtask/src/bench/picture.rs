//! The tables as bars, in SVG that is legible on light and on dark ground.

use std::fmt::Write;

use super::contender::Who;
use super::table::{Row, Table, number};

const WIDTH: f64 = 860.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 260.0;
const LENGTH: f64 = 510.0;
/// Height of a row, and of its bar.
const ROW: f64 = 19.0;
const BAR: f64 = 12.0;
/// Where the greatest is so many times the least, the scale is logarithmic.
const WIDE: f64 = 12.0;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#57606a}\
.h{font-size:14px;font-weight:600}.s{font-size:11px}.v{font-variant-numeric:tabular-nums}.e{text-anchor:end}\
.nilo{fill:#2f9e8f}.machine{fill:#8b949e}.peer{fill:#c98b3c}\
.grid{stroke:#8b949e;stroke-opacity:.25}.range{stroke:#57606a;stroke-width:1.5}\
@media(prefers-color-scheme:dark){text{fill:#b1bac4}.range{stroke:#b1bac4}}";

/// From a value to the length of its bar.
#[derive(Clone, Copy, Debug)]
enum Scale {
    Linear {
        most: f64,
    },
    /// Powers of ten.
    Log {
        least: i32,
        most: i32,
    },
}

impl Scale {
    fn of(values: &[f64]) -> Scale {
        let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let least = values.iter().copied().filter(|v| *v > 0.0).fold(most, f64::min);
        if most / least < WIDE {
            return Scale::Linear { most };
        }
        // The least has a bar too.
        Scale::Log { least: (least / 1.5).log10().floor() as i32, most: most.log10().ceil() as i32 }
    }

    fn length(self, value: f64) -> f64 {
        let share = match self {
            Scale::Linear { most } => value / most,
            Scale::Log { least, most } => (value.max(f64::MIN_POSITIVE).log10() - f64::from(least)) / f64::from(most - least),
        };
        share.clamp(0.0, 1.0) * LENGTH
    }
}

/// Grows downwards.
struct Picture {
    body: String,
    y: f64,
}

impl Picture {
    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = self.body.write_fmt(format_args!("{element}\n"));
    }

    fn text(&mut self, x: f64, class: &str, text: &str) {
        let y = self.y;
        self.put(format_args!("<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{}</text>", escaped(text)));
    }

    fn table(&mut self, table: &Table) {
        let compared = table.workload.compared;
        let drawn: Vec<(&Row, f64)> = table.rows.iter().filter_map(|r| Some((r, r.value(compared)?))).collect();
        let scale = Scale::of(&drawn.iter().map(|(_, value)| *value).collect::<Vec<_>>());
        self.y += 34.0;
        self.text(8.0, "h", &format!("{}  {}", table.workload.name, table.workload.what));
        let logarithmic = if matches!(scale, Scale::Log { .. }) { ", each line ten times the one before" } else { "" };
        self.text(WIDTH - 8.0, "s e", &format!("{compared}{logarithmic}"));
        self.y += 8.0;
        self.grid(scale, drawn.len() as f64 * ROW);
        for (row, value) in drawn {
            self.row(row, value, row.range(compared), scale);
        }
    }

    fn grid(&mut self, scale: Scale, height: f64) {
        let Scale::Log { least, most } = scale else { return };
        let (top, bottom) = (self.y, self.y + height);
        for power in least..=most {
            let x = LEFT + LENGTH * f64::from(power - least) / f64::from(most - least);
            self.put(format_args!("<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\" class=\"grid\"/>"));
        }
    }

    fn row(&mut self, row: &Row, value: f64, range: Option<(f64, f64)>, scale: Scale) {
        self.y += ROW;
        self.text(LEFT - 8.0, "e", &row.title());
        let (length, top, class) = (scale.length(value).max(1.0), self.y - BAR + 1.5, class(row.who));
        self.put(format_args!("<rect x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\" class=\"{class}\"/>"));
        let mut end = LEFT + length;
        if let Some((least, most)) = range.filter(|(least, most)| least < most) {
            let (from, to, y) = (LEFT + scale.length(least), LEFT + scale.length(most), top + BAR / 2.0);
            self.put(format_args!("<line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y}\" y2=\"{y}\" class=\"range\"/>"));
            end = end.max(to);
        }
        self.text(end + 6.0, "v", &number(value));
    }

    fn legend(&mut self, machine: &str) {
        self.y += 30.0;
        let mut x = LEFT;
        for (who, what) in [(Who::Nilo, "nilo"), (Who::Machine, "the machine itself"), (Who::Peer, "others")] {
            let (y, class) = (self.y - BAR + 1.5, class(who));
            self.put(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{BAR}\" height=\"{BAR}\" rx=\"2\" class=\"{class}\"/>"));
            self.text(x + BAR + 6.0, "", what);
            x += 60.0 + 7.0 * what.len() as f64;
        }
        self.y += 22.0;
        self.text(8.0, "s", machine);
    }
}

fn class(who: Who) -> &'static str {
    match who {
        Who::Nilo => "nilo",
        Who::Machine => "machine",
        Who::Peer => "peer",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Draws what the tables compare, of those that are to be drawn.
pub fn draw(machine: &str, tables: &[Table]) -> String {
    let mut picture = Picture { body: String::new(), y: 0.0 };
    tables.iter().filter(|t| t.workload.drawn).for_each(|t| picture.table(t));
    picture.legend(machine);
    let (body, height) = (picture.body, picture.y + 12.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>What nilo does with a second of CPU time</title>\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::contender::{Contender, RATE, Values};
    use super::super::workload;
    use super::*;

    #[test]
    fn bars_are_as_long_as_values() {
        let linear = Scale::of(&[2.0, 4.0]);
        assert_eq!((linear.length(0.0), linear.length(2.0), linear.length(4.0)), (0.0, LENGTH / 2.0, LENGTH));
        let log = Scale::of(&[20.0, 1000.0]);
        assert!((log.length(100.0) - LENGTH / 2.0).abs() < 1e-9, "{log:?}");
        // The least can be seen, even just above a power of ten.
        assert!(Scale::of(&[100.0, 10_000.0]).length(100.0) > 1.0);
        assert_eq!(Scale::of(&[]).length(1.0), LENGTH);
    }

    #[test]
    fn every_row_has_a_bar_and_names_are_escaped() {
        let run = |v: f64| vec![(RATE, v)];
        let contender = |name: &str| Contender::new(name, || Ok(Values::new()));
        let rows = [(contender("a < b & c"), vec![run(30.0), run(10.0)]), (contender("d"), vec![run(4000.0)])];
        let svg = draw("machine <1>", &[Table::new(&workload::ALL[0], rows.into_iter())]);
        assert!(svg.contains(">a &lt; b &amp; c</text>") && svg.contains("machine &lt;1&gt;"), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 2 + 3, "{svg}");
        assert_eq!(svg.matches("class=\"range\"").count(), 1, "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
