//! Checks of a ring's newest window against those before: those of Heka's `anomaly` module.
//!
//! The newest row is left out of every window, because it is not complete. With `win` rows a window
//! and time counted in rows back from the newest, the newest window is win … 1, the one before it
//! 2·win … win + 1, and so on.

use std::fmt;

use crate::{Ring, Rows, Statistic, general, mann_whitney};

/// In which direction values are to move for a check to fire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trend {
    Decreasing,
    Increasing,
    Any,
}

impl Trend {
    pub const ALL: [Trend; 3] = [Trend::Decreasing, Trend::Increasing, Trend::Any];

    pub const fn name(self) -> &'static str {
        match self {
            Trend::Decreasing => "decreasing",
            Trend::Increasing => "increasing",
            Trend::Any => "any",
        }
    }
}

/// What is compared, and from which difference on the check fires.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Algorithm {
    /// Rate of change: the mean of the newest window differs from that of the one before by more
    /// than `sd` standard deviations of the `hwin` rows (0: all rows) before both.
    Roc { win: usize, hwin: usize, sd: f64, loss_of_data: bool, start_of_data: bool },
    /// The newest window is compared by rank with the `nwin` − 2 before it. Fires when more than a
    /// quarter of `nwin` differ with a probability below `pvalue`. For values that are about normally
    /// distributed; `win` should be at least 20.
    Mww { win: usize, nwin: usize, pvalue: f64, trend: Trend },
    /// As `Mww`, but fires when the share of pairs in which the newer value is the larger one, averaged
    /// over the windows, is beyond `pstat`: above it if `pstat` is more than a half, below it if less.
    MwwNonparametric { win: usize, nwin: usize, pstat: f64 },
}

/// A check of one column.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Check {
    /// From 1, as in the configuration.
    pub column: usize,
    pub algorithm: Algorithm,
}

/// The check asks for rows or a column that the ring does not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutOfRange(String);

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OutOfRange {}

impl Algorithm {
    pub const fn name(&self) -> &'static str {
        match self {
            Algorithm::Roc { .. } => "roc",
            Algorithm::Mww { .. } => "mww",
            Algorithm::MwwNonparametric { .. } => "mww_nonparametric",
        }
    }
}

impl Check {
    /// What is out of the ordinary in the ring, if anything: a short text for people.
    ///
    /// # Errors
    /// `roc` needs more than 3 · win rows and, if given, hwin ≥ win; the others more than win · nwin rows.
    pub fn run(&self, ring: &Ring) -> Result<Option<String>, OutOfRange> {
        let out_of_range = |what: String| Err(OutOfRange(format!("{what} arguments out of range (rows={})", ring.rows())));
        if self.column == 0 || self.column > ring.columns() {
            return Err(OutOfRange(format!("column {} out of range (1 to {})", self.column, ring.columns())));
        }
        let windows = Windows { ring, column: self.column - 1 };
        match self.algorithm {
            Algorithm::Roc { win, hwin, .. } if win == 0 || win.saturating_mul(3) >= ring.rows() || (hwin > 0 && hwin < win) => {
                out_of_range(format!("win={win} hwin={hwin}"))
            }
            Algorithm::Mww { win, nwin, .. } | Algorithm::MwwNonparametric { win, nwin, .. }
                if win == 0 || nwin == 0 || win.saturating_mul(nwin) >= ring.rows() =>
            {
                out_of_range(format!("win={win} nwin={nwin}"))
            }
            Algorithm::Roc { win, hwin, sd, loss_of_data, start_of_data } => Ok(windows.roc(win, hwin, sd, loss_of_data, start_of_data)),
            Algorithm::Mww { win, nwin, pvalue, trend } => Ok(windows.mww(win, nwin, pvalue, trend)),
            Algorithm::MwwNonparametric { win, nwin, pstat } => Ok(windows.nonparametric(win, nwin, pstat)),
        }
    }
}

struct Windows<'r> {
    ring: &'r Ring,
    column: usize,
}

impl Windows<'_> {
    /// The n-th window of `win` rows before the newest row, from 0.
    fn window(&self, n: usize, win: usize) -> Rows {
        self.ring.before_newest((n + 1) * win, n * win + 1)
    }

    fn mean(&self, rows: Rows) -> (f64, usize) {
        self.ring.compute(Statistic::Avg, self.column, rows)
    }

    /// A history longer than the ring is cut off at the oldest row; Heka's raised an error then.
    fn roc(&self, win: usize, hwin: usize, sd: f64, loss_of_data: bool, start_of_data: bool) -> Option<String> {
        let history = if hwin == 0 { self.ring.rows() } else { hwin.saturating_add(2 * win) };
        let history = self.ring.before_newest(history, 2 * win + 1);
        let (historical, _) = self.ring.compute(Statistic::Sd, self.column, history);
        let (current, now) = self.mean(self.window(0, win));
        let (previous, before) = self.mean(self.window(1, win));
        if loss_of_data && before > 0 && now == 0 {
            Some("no new data".into())
        } else if start_of_data && before == 0 && now > 0 {
            Some("unexpected data".into())
        } else if (current - previous).abs() > sd * historical {
            Some(format!("detected anomaly, standard deviation exceeds {}", general(sd, 6, 'E')))
        } else {
            None
        }
    }

    /// The windows that the newest is compared with. Heka's documentation speaks of `nwin` − 1; the
    /// program has always taken one less, and thresholds have been tuned with that.
    fn earlier(&self, win: usize, nwin: usize) -> impl Iterator<Item = Rows> {
        (1..nwin.saturating_sub(1)).map(move |n| self.window(n, win))
    }

    fn mww(&self, win: usize, nwin: usize, pvalue: f64, trend: Trend) -> Option<String> {
        let newest = self.window(0, win);
        let mean = self.mean(newest).0;
        let differs = |rows: &Rows| {
            let moved = match trend {
                Trend::Decreasing => self.mean(*rows).0 > mean,
                Trend::Increasing => self.mean(*rows).0 < mean,
                Trend::Any => true,
            };
            moved && self.rank(newest, *rows).is_some_and(|t| t.p < pvalue)
        };
        let count = self.earlier(win, nwin).filter(differs).count();
        let found = match trend {
            Trend::Any => "detected anomaly".to_string(),
            trend => format!("detected anomaly, {} values", trend.name()),
        };
        (count as f64 > nwin as f64 / 4.0).then_some(found)
    }

    /// The sum over `nwin` − 2 windows is divided by `nwin` − 1, as Heka's: nothing known leans to a half.
    /// A window with gaps counts with the pairs that it has, where Heka's took win² for granted.
    fn nonparametric(&self, win: usize, nwin: usize, pstat: f64) -> Option<String> {
        let newest = self.window(0, win);
        let lean = |rows| self.rank(newest, rows).map_or(0.0, |t| t.u / (t.n.0 * t.n.1) as f64 - 0.5);
        let sum: f64 = self.earlier(win, nwin).map(lean).sum();
        let result = sum / (nwin as f64 - 1.0) + 0.5;
        let fires = (pstat < 0.5 && result < pstat) || (pstat > 0.5 && result > pstat);
        fires.then(|| format!("detected anomaly, pstat: {}", general(result, 6, 'E')))
    }

    fn rank(&self, a: Rows, b: Rows) -> Option<crate::RankTest> {
        mann_whitney(self.ring.values(self.column, a), self.ring.values(self.column, b), true)
    }
}
