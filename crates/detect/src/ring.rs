//! The newest rows of a table of numbers over time.

use std::fmt;

use crate::Statistic;

const SECOND: i64 = 1_000_000_000;
const DAY: u32 = 86_400;

/// How the values of one row from many sources become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Aggregation {
    #[default]
    Sum,
    Min,
    Max,
    None,
}

impl Aggregation {
    pub const ALL: [Aggregation; 4] = [Aggregation::Sum, Aggregation::Min, Aggregation::Max, Aggregation::None];

    pub const fn name(self) -> &'static str {
        match self {
            Aggregation::Sum => "sum",
            Aggregation::Min => "min",
            Aggregation::Max => "max",
            Aggregation::None => "none",
        }
    }

    pub fn from_name(name: &[u8]) -> Option<Aggregation> {
        Self::ALL.into_iter().find(|a| a.name().as_bytes() == name)
    }
}

/// What a column is. Names have at most 15 bytes of `[A-Za-z0-9_]`, units 7 bytes, as Heka's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    pub(crate) name: Box<str>,
    pub(crate) unit: Box<str>,
    pub aggregation: Aggregation,
}

impl Column {
    /// Longer texts are cut; characters that a name may not have become `_`. A unit may not hold
    /// what JSON would have to escape: such bytes become `_`, too.
    pub fn new(name: &[u8], unit: &[u8], aggregation: Aggregation) -> Column {
        let clean = |text: &[u8], len, fits: fn(&u8) -> bool| -> Box<str> {
            text.iter().take(len).map(|b| if fits(b) { char::from(*b) } else { '_' }).collect::<String>().into()
        };
        Column {
            name: clean(name, 15, |b| b.is_ascii_alphanumeric()),
            unit: clean(unit, 7, |b| (b.is_ascii_graphic() || *b == b' ') && !b"\"\\".contains(b)),
            aggregation,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn unit(&self) -> &str {
        &self.unit
    }
}

/// A remark about a moment of a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Annotation {
    pub ns: i64,
    /// From 0.
    pub column: usize,
    /// False: it is for information.
    pub alert: bool,
    pub text: String,
    /// Whether it belongs to the next delta output.
    pub fresh: bool,
}

/// Why a ring cannot have this size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    Rows,
    Columns,
    SecondsPerRow,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Size::Rows => "rows must be > 1 and fit in 32 bits",
            Size::Columns => "columns must be > 0 and fit in 32 bits",
            Size::SecondsPerRow => "seconds_per_row is out of range (1 to 86400)",
        })
    }
}

impl std::error::Error for Size {}

/// Rows of a ring from the first to the last, in numbers of intervals since the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rows {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Rows {
    pub fn count(self) -> usize {
        (self.last - self.first + 1) as usize
    }
}

/// Rows × columns of numbers, a row for each interval of time. A later time than the newest row's
/// advances the ring, which forgets its oldest rows. NaN is the value of a cell that has none.
#[derive(Clone, Debug)]
pub struct Ring {
    pub(crate) rows: usize,
    pub(crate) seconds_per_row: u32,
    /// Number of the newest row: its time in intervals since the epoch.
    pub(crate) newest: i64,
    pub(crate) columns: Vec<Column>,
    /// The row with number n begins at (n mod rows) · columns.
    pub(crate) values: Vec<f64>,
    /// What has been added to each cell since the last delta output; NaN where nothing was. Empty
    /// when deltas are not kept.
    pub(crate) deltas: Vec<f64>,
    pub(crate) annotations: Vec<Annotation>,
}

impl Ring {
    /// An empty ring whose oldest row begins at the epoch.
    ///
    /// # Errors
    /// Fewer than 2 rows, no column, or an interval beyond 1 to 86,400 seconds.
    pub fn new(rows: usize, columns: usize, seconds_per_row: u32, deltas: bool) -> Result<Ring, Size> {
        Self::check(rows, columns, seconds_per_row)?;
        let column = |n| Column::new(format!("Column_{n}").as_bytes(), b"count", Aggregation::Sum);
        Ok(Ring {
            rows,
            seconds_per_row,
            newest: rows as i64 - 1,
            columns: (1..=columns).map(column).collect(),
            values: vec![f64::NAN; rows * columns],
            deltas: if deltas { vec![f64::NAN; rows * columns] } else { Vec::new() },
            annotations: Vec::new(),
        })
    }

    /// Whether a ring may have this size.
    ///
    /// # Errors
    /// As [`Ring::new`].
    pub fn check(rows: usize, columns: usize, seconds_per_row: u32) -> Result<(), Size> {
        match () {
            () if rows < 2 || rows > u32::MAX as usize => Err(Size::Rows),
            () if columns < 1 || columns > u32::MAX as usize => Err(Size::Columns),
            () if !(1..=DAY).contains(&seconds_per_row) => Err(Size::SecondsPerRow),
            () => Ok(()),
        }
    }

    /// Bytes of memory that a new ring takes; saturates.
    pub fn bytes_for(rows: usize, columns: usize, deltas: bool) -> usize {
        let cells = rows.saturating_mul(columns).saturating_mul(if deltas { 16 } else { 8 });
        cells.saturating_add(columns.saturating_mul(size_of::<Column>() + 15 + 7))
    }

    /// Bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let annotations =
            self.annotations.capacity() * size_of::<Annotation>() + self.annotations.iter().map(|a| a.text.len()).sum::<usize>();
        Self::bytes_for(self.rows, self.columns.len(), self.keeps_deltas()) + annotations
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    pub fn seconds_per_row(&self) -> u32 {
        self.seconds_per_row
    }

    pub fn keeps_deltas(&self) -> bool {
        !self.deltas.is_empty()
    }

    pub fn column(&self, column: usize) -> Option<&Column> {
        self.columns.get(column)
    }

    /// Describes a column; one that is not there is let be.
    pub fn set_column(&mut self, column: usize, what: Column) {
        if let Some(c) = self.columns.get_mut(column) {
            *c = what;
        }
    }

    /// The time at which a row begins, in nanoseconds; saturates.
    pub(crate) fn ns_of(&self, row: i64) -> i64 {
        self.seconds_of(row).saturating_mul(SECOND)
    }

    pub(crate) fn seconds_of(&self, row: i64) -> i64 {
        row.saturating_mul(i64::from(self.seconds_per_row))
    }

    /// The time at which the newest row begins, in nanoseconds since the epoch.
    pub fn newest_ns(&self) -> i64 {
        self.ns_of(self.newest)
    }

    /// The number of the row that holds a time.
    pub(crate) fn row_of(&self, ns: i64) -> i64 {
        ns.div_euclid(i64::from(self.seconds_per_row) * SECOND)
    }

    pub(crate) fn oldest(&self) -> i64 {
        self.newest - (self.rows as i64 - 1)
    }

    pub(crate) fn holds(&self, row: i64) -> bool {
        (self.oldest()..=self.newest).contains(&row)
    }

    /// Where a cell that the ring holds is in `values` and `deltas`.
    pub(crate) fn place(&self, row: i64, column: usize) -> usize {
        row.rem_euclid(self.rows as i64) as usize * self.columns.len() + column
    }

    /// The cell of a time, after advancing to it; nothing when it is too old or the column is not there.
    fn cell(&mut self, ns: i64, column: usize) -> Option<usize> {
        let row = self.row_of(ns);
        if column >= self.columns.len() || row < self.oldest() {
            return None;
        }
        self.advance(row);
        Some(self.place(row, column))
    }

    /// Makes a row the newest unless there is a newer one.
    fn advance(&mut self, row: i64) {
        if row <= self.newest {
            return;
        }
        let cleared = (row - self.newest).min(self.rows as i64);
        self.newest = row;
        for row in row - cleared + 1..=row {
            let start = self.place(row, 0);
            let end = start + self.columns.len();
            self.values[start..end].fill(f64::NAN);
            if let Some(deltas) = self.deltas.get_mut(start..end) {
                deltas.fill(f64::NAN);
            }
        }
        if !self.annotations.is_empty() {
            let oldest = self.ns_of(self.oldest());
            self.annotations.retain(|a| a.ns >= oldest);
        }
    }

    /// The value of the cell that holds a time; NaN when it has none. Nothing for times and columns
    /// that the ring does not hold.
    pub fn get(&self, ns: i64, column: usize) -> Option<f64> {
        let row = self.row_of(ns);
        (column < self.columns.len() && self.holds(row)).then(|| self.values[self.place(row, column)])
    }

    /// What has been added to a cell since the last delta output; NaN when nothing was.
    pub fn get_delta(&self, ns: i64, column: usize) -> Option<f64> {
        let row = self.row_of(ns);
        (self.keeps_deltas() && column < self.columns.len() && self.holds(row)).then(|| self.deltas[self.place(row, column)])
    }

    /// Adds to a cell and returns its new value: an empty one becomes `value`, and adding NaN
    /// empties it. Nothing when the time is older than the ring, or the column is not there.
    pub fn add(&mut self, ns: i64, column: usize, value: f64) -> Option<f64> {
        let place = self.cell(ns, column)?;
        let old = self.values[place];
        let new = if old.is_nan() { value } else { old + value };
        self.store(place, column, new);
        Some(new)
    }

    /// Sets a cell and returns what it holds then. A column aggregated as `min` or `max` keeps its
    /// value unless the new one is smaller or larger. Nothing as for [`Ring::add`].
    pub fn set(&mut self, ns: i64, column: usize, value: f64) -> Option<f64> {
        let place = self.cell(ns, column)?;
        let old = self.values[place];
        let keeps = match self.columns[column].aggregation {
            Aggregation::Min => !(old.is_nan() || value < old),
            Aggregation::Max => !(old.is_nan() || value > old),
            Aggregation::Sum | Aggregation::None => false,
        };
        if keeps {
            return Some(old);
        }
        self.store(place, column, value);
        Some(value)
    }

    /// Stores a value, and notes what whoever follows the ring by its deltas has to be told: of a
    /// sum the difference, else the value.
    fn store(&mut self, place: usize, column: usize, new: f64) {
        let old = std::mem::replace(&mut self.values[place], new);
        let Some(delta) = self.deltas.get_mut(place) else { return };
        if self.columns[column].aggregation != Aggregation::Sum {
            *delta = if new.is_nan() { *delta } else { new };
        } else if !(old.is_nan() && new.is_nan()) {
            let zero_for_nan = |x: f64| if x.is_nan() { 0.0 } else { x };
            *delta = zero_for_nan(*delta) + zero_for_nan(new) - zero_for_nan(old);
        }
    }

    /// Forgets what has changed.
    pub fn reset_deltas(&mut self) {
        self.deltas.fill(f64::NAN);
        for annotation in &mut self.annotations {
            annotation.fresh = false;
        }
    }

    /// The rows that hold the times from `start` (or the oldest) to `end` (or the newest), both
    /// included. Nothing unless the ring holds both.
    pub fn between(&self, start: Option<i64>, end: Option<i64>) -> Option<Rows> {
        let first = start.map_or(self.oldest(), |ns| self.row_of(ns));
        let last = end.map_or(self.newest, |ns| self.row_of(ns));
        (self.holds(first) && self.holds(last) && first <= last).then_some(Rows { first, last })
    }

    /// The rows from so many before the newest to so many before it, as far as the ring holds them.
    pub(crate) fn before_newest(&self, first: usize, last: usize) -> Rows {
        let back = |n: usize| self.newest - n.min(self.rows - 1) as i64;
        Rows { first: back(first), last: back(last) }
    }

    /// The values of a column from the first row to the last. Rows and column must be the ring's.
    pub fn values(&self, column: usize, rows: Rows) -> impl Iterator<Item = f64> + Clone {
        (rows.first..=rows.last).map(move |row| self.values[self.place(row, column)])
    }

    /// The deltas of a column, as [`Ring::values`]; none when they are not kept.
    pub fn deltas(&self, column: usize, rows: Rows) -> impl Iterator<Item = f64> + Clone {
        let kept = self.keeps_deltas().then_some(rows.first..=rows.last);
        kept.into_iter().flatten().map(move |row| self.deltas[self.place(row, column)])
    }

    /// A statistic over some rows of a column, and how many of them have a value.
    pub fn compute(&self, statistic: Statistic, column: usize, rows: Rows) -> (f64, usize) {
        statistic.of(self.values(column, rows))
    }

    /// Notes something about a moment. False: the ring does not hold it.
    pub fn annotate(&mut self, annotation: Annotation) -> bool {
        let held = annotation.column < self.columns.len() && self.holds(self.row_of(annotation.ns));
        if held {
            self.annotations.reserve_exact(self.more_annotations());
            self.annotations.push(annotation);
        }
        held
    }

    /// Bytes of memory by which the ring grows when something with a text of this length is noted.
    pub fn annotation_bytes(&self, text: usize) -> usize {
        let (len, had) = (self.annotations.len(), self.annotations.capacity());
        (len + self.more_annotations()).saturating_sub(had) * size_of::<Annotation>() + text
    }

    /// For how many more there is to be room before the next is noted: half as many again as there are, when there is none.
    fn more_annotations(&self) -> usize {
        let (len, had) = (self.annotations.len(), self.annotations.capacity());
        if len < had { 1 } else { (len / 2).max(4) }
    }

    pub fn annotations(&self) -> &[Annotation] {
        &self.annotations
    }
}
