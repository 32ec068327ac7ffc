use std::fmt;
use std::time::Duration;

use super::ledger::{Delivered, Ledger, Tally};
use crate::prove;

/// What came out at one output.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub name: &'static str,
    pub tally: Tally,
    /// Acknowledged records that did not come, and some of the runs of numbers they are.
    pub lost: u64,
    pub gaps: Vec<String>,
    /// Repeated records of each run.
    pub repeats: Vec<u64>,
    /// Beginnings of records that a killed writer may have left.
    pub torn_allowed: u64,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    pub title: String,
    /// Times the program ran.
    pub runs: usize,
    pub issued: u64,
    pub acknowledged: u64,
    pub outcomes: Vec<Outcome>,
    /// From each restart to the first delivery anywhere.
    pub restarts: Vec<Duration>,
    /// What else was measured, a line each.
    pub notes: Vec<String>,
    /// What else is not as promised.
    pub broken: Vec<String>,
    /// Acknowledged records that may be missing in all, where what they were kept in was damaged.
    pub may_lose: u64,
}

impl Outcome {
    pub fn of(output: &Delivered, repeats: Vec<u64>, torn_allowed: u64) -> Outcome {
        let mut gaps = output.gaps();
        gaps.truncate(5);
        Outcome { name: output.name, tally: output.tally(), lost: output.missing(), gaps, repeats, torn_allowed }
    }

    /// Whether all that was delivered is what was sent, in its order.
    fn is_sound(&self) -> bool {
        let t = &self.tally;
        t.damaged == 0 && t.foreign == 0 && t.misordered == 0 && t.torn <= self.torn_allowed
    }
}

impl Report {
    pub fn new(title: String, ledger: &Ledger, outcomes: Vec<Outcome>) -> Report {
        Report {
            title,
            runs: 1,
            issued: ledger.issued(),
            acknowledged: ledger.acknowledged(),
            outcomes,
            restarts: Vec::new(),
            notes: Vec::new(),
            broken: Vec::new(),
            may_lose: 0,
        }
    }

    pub fn lost(&self) -> u64 {
        self.outcomes.iter().map(|o| o.lost).sum()
    }
}

impl prove::Report for Report {
    fn holds(&self) -> bool {
        self.lost() <= self.may_lose && self.broken.is_empty() && self.outcomes.iter().all(Outcome::is_sound)
    }
}

fn middle<T: Copy + Ord + Default>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        writeln!(
            f,
            "  {:<8} {:>5} {:>10} {:>12} {:>10} {:>21} {:>10} {:>9} {:>9} {:>8} {:>8} {:>10} {:>5}",
            "output",
            "runs",
            "issued",
            "acknowledged",
            "delivered",
            "acknowledged-and-lost",
            "duplicates",
            "max/run",
            "med/run",
            "damaged",
            "foreign",
            "misordered",
            "torn"
        )?;
        for o in &self.outcomes {
            let (t, max, median) = (&o.tally, o.repeats.iter().max().unwrap_or(&0), middle(&o.repeats));
            writeln!(
                f,
                "  {:<8} {:>5} {:>10} {:>12} {:>10} {:>21} {:>10} {max:>9} {median:>9} {:>8} {:>8} {:>10} {:>5}",
                o.name,
                self.runs,
                self.issued,
                self.acknowledged,
                t.delivered,
                o.lost,
                t.repeated,
                t.damaged,
                t.foreign,
                t.misordered,
                t.torn
            )?;
        }
        if !self.restarts.is_empty() {
            let max = self.restarts.iter().max().copied().unwrap_or_default();
            writeln!(f, "  restart to first delivery: median {:.0?}, longest {max:.0?}", middle(&self.restarts))?;
        }
        for o in self.outcomes.iter().filter(|o| o.repeats.len() > 2) {
            let mut runs: Vec<(u64, usize)> = o.repeats.iter().copied().zip(1..).filter(|(n, _)| *n > 0).collect();
            runs.sort_unstable_by(|a, b| b.cmp(a));
            let most: Vec<String> = runs.iter().take(6).map(|(n, run)| format!("{n} in {run}")).collect();
            writeln!(f, "  {}: runs with most duplicates: {}", o.name, most.join(", "))?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))?;
        for o in &self.outcomes {
            o.gaps.iter().try_for_each(|gap| writeln!(f, "  {}: lost {gap}", o.name))?;
            o.tally.first_wrong.iter().try_for_each(|wrong| writeln!(f, "  {}: first wrong: {wrong}", o.name))?;
        }
        self.broken.iter().try_for_each(|what| writeln!(f, "  BROKEN: {what}"))?;
        write!(f, "  {}", if prove::Report::holds(self) { "holds" } else { "DOES NOT HOLD" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::Report as _;

    #[test]
    fn one_lost_record_is_a_broken_promise() {
        let ledger = Ledger::new();
        let (stream, output) = (ledger.stream("tail"), ledger.output("file"));
        let mut text = Vec::new();
        stream.issue(1, &mut text);
        stream.acknowledge(1);
        let report = || Report::new("test".into(), &ledger, vec![Outcome::of(&output, vec![0], 0)]);
        assert!(!report().holds() && report().lost() == 1);
        assert!(report().to_string().contains("file: lost tail 1..=1 of 1"), "{}", report());
        output.note(&text);
        assert!(report().holds());
        output.note(&text[..text.len() - 1]);
        assert!(!report().holds());
    }
}
