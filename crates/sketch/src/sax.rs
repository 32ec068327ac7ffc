//! Shapes of time series as words.
//!
//! SAX, Symbolic Aggregate approXimation (Lin, Keogh, Lonardi, Chiu 2003): a series of n values is
//! made to have mean 0 and (population) standard deviation 1, cut into w frames of n ⁄ w values, and
//! each frame's mean becomes one of c letters, which are equally likely under the normal
//! distribution. [`mindist`] of two words is a lower bound of the Euclidean distance of the two
//! normalised series. `#` is a frame without values; it is as far from any other letter as can be.
//!
//! Values that are not finite do not count in mean and deviation; NaN is no value at all.

use std::collections::VecDeque;
use std::sync::OnceLock;

use crate::Sketch;
use crate::saved::{Reader, Writer};

/// Most values of a window.
pub const MOST_VALUES: usize = 4096;
/// Most letters.
pub const MOST_LETTERS: usize = 16;
/// The letter of a frame without values.
const NONE: u8 = u8::MAX;
/// Deviations below count as 0, so that noise of a constant is not made a shape.
const FLAT: f64 = 1e-9;
const VERSION: u8 = 1;

/// A series as letters.
#[derive(Clone, Debug)]
pub struct Word {
    letters: Vec<u8>,
    cardinality: usize,
    /// Values it was made of, if it was.
    values: Option<usize>,
}

impl PartialEq for Word {
    /// Same letters of the same alphabet, whatever the number of values.
    fn eq(&self, other: &Word) -> bool {
        self.cardinality == other.cardinality && self.letters == other.letters
    }
}

impl Word {
    /// Of `values` in `w` frames and `c` letters.
    ///
    /// # Errors
    /// What the three should be.
    pub fn new(values: &[f64], w: usize, c: usize) -> Result<Word, &'static str> {
        check(values.len(), w, c)?;
        Ok(of(values.iter().copied(), values.len(), w, c))
    }

    /// As it is written: letters from `A` on, and `#`.
    ///
    /// # Errors
    /// What it should be.
    pub fn parse(text: &[u8], c: usize) -> Result<Word, &'static str> {
        check_letters(c)?;
        if text.is_empty() || text.len() > MOST_VALUES {
            return Err("a word has 1 to 4096 letters");
        }
        let letter = |&b: &u8| match b {
            b'#' => Some(NONE),
            b if b.checked_sub(b'A').is_some_and(|l| usize::from(l) < c) => Some(b - b'A'),
            _ => None,
        };
        let letters: Option<Vec<u8>> = text.iter().map(letter).collect();
        let letters = letters.ok_or("letters are A to the last of the cardinality, and #")?;
        Ok(Word { letters, cardinality: c, values: None })
    }

    pub fn cardinality(&self) -> usize {
        self.cardinality
    }
}

impl Sketch for Word {
    fn bytes(&self) -> usize {
        self.letters.capacity()
    }

    fn save(&self, into: &mut Vec<u8>) {
        let mut writer = Writer::new(into, VERSION);
        writer.u32(self.cardinality as u32);
        writer.u32(self.values.unwrap_or(0) as u32);
        writer.bytes(self.to_string().as_bytes());
    }

    fn restore(saved: &[u8]) -> Option<Word> {
        let mut reader = Reader::new(saved, VERSION)?;
        let (c, n) = (reader.u32()? as usize, reader.u32()? as usize);
        let mut word = Word::parse(reader.bytes(reader.rest())?, c).ok()?;
        if n > 0 {
            check(n, word.letters.len(), c).ok()?;
            word.values = Some(n);
        }
        Some(word)
    }
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.letters.iter().try_for_each(|&l| write!(f, "{}", if l == NONE { '#' } else { char::from(b'A' + l) }))
    }
}

/// The last n values of a series, and their word.
#[derive(Clone, Debug)]
pub struct Window {
    values: VecDeque<f64>,
    n: usize,
    w: usize,
    c: usize,
}

impl Window {
    /// A window of `n` values in `w` frames and `c` letters; at first without values.
    ///
    /// # Errors
    /// What the three should be.
    pub fn new(n: usize, w: usize, c: usize) -> Result<Window, &'static str> {
        check(n, w, c)?;
        Ok(Window { values: VecDeque::with_capacity(n), n, w, c })
    }

    /// Bytes that a window of `n` values takes, of as many as there may be.
    pub fn bytes_for(n: usize) -> usize {
        n.min(MOST_VALUES) * 8
    }

    /// Adds a value behind the others; drops the first when there are n. True when there are n.
    pub fn add(&mut self, value: f64) -> bool {
        if self.values.len() == self.n {
            self.values.pop_front();
        }
        self.values.push_back(value);
        self.is_full()
    }

    pub fn is_full(&self) -> bool {
        self.values.len() == self.n
    }

    /// The word of the values; those that are missing come first.
    pub fn word(&self) -> Word {
        let missing = self.n - self.values.len();
        of(std::iter::repeat_n(f64::NAN, missing).chain(self.values.iter().copied()), self.n, self.w, self.c)
    }

    pub fn clear(&mut self) {
        self.values.clear();
    }
}

impl Sketch for Window {
    fn bytes(&self) -> usize {
        self.values.capacity() * 8
    }

    fn save(&self, into: &mut Vec<u8>) {
        let mut writer = Writer::new(into, VERSION);
        [self.n, self.w, self.c].into_iter().for_each(|x| writer.u32(x as u32));
        self.values.iter().for_each(|&v| writer.f64(v));
    }

    fn restore(saved: &[u8]) -> Option<Window> {
        let mut reader = Reader::new(saved, VERSION)?;
        let mut window = Window::new(reader.u32()? as usize, reader.u32()? as usize, reader.u32()? as usize).ok()?;
        if reader.rest() > window.n * 8 {
            return None;
        }
        while reader.rest() > 0 {
            window.add(reader.f64()?);
        }
        Some(window)
    }
}

/// A lower bound of the distance of two series, and its parts: where the first is the higher one,
/// and where the second is.
///
/// # Errors
/// Words of different shape.
pub fn mindist(a: &Word, b: &Word) -> Result<[f64; 3], &'static str> {
    if a.letters.len() != b.letters.len() || a.cardinality != b.cardinality {
        return Err("words of the same length and cardinality expected");
    }
    let values = match (a.values, b.values) {
        (Some(a), Some(b)) if a != b => return Err("words of as many values expected"),
        (n, m) => n.or(m).unwrap_or(a.letters.len()),
    };
    let (mut higher, mut lower) = (0.0, 0.0);
    for (&x, &y) in a.letters.iter().zip(&b.letters) {
        let (x, y) = (farthest(x, y, a.cardinality), farthest(y, x, a.cardinality));
        let distance = gap(x.min(y), x.max(y), a.cardinality).powi(2);
        *(if x > y { &mut higher } else { &mut lower }) += distance;
    }
    let per_frame = values as f64 / a.letters.len() as f64;
    Ok([higher + lower, higher, lower].map(|d| (per_frame * d).sqrt()))
}

/// A letter, or for no values the one farthest from the other.
fn farthest(letter: u8, other: u8, c: usize) -> u8 {
    match (letter, other) {
        (NONE, NONE) => 0,
        (NONE, other) if usize::from(other) >= c / 2 => 0,
        (NONE, _) => c as u8 - 1,
        (letter, _) => letter,
    }
}

/// The distance of what two letters stand for at the least.
fn gap(low: u8, high: u8, c: usize) -> f64 {
    if high - low < 2 { 0.0 } else { breakpoints(c)[usize::from(high) - 1] - breakpoints(c)[usize::from(low)] }
}

fn check_letters(c: usize) -> Result<(), &'static str> {
    if (2..=MOST_LETTERS).contains(&c) { Ok(()) } else { Err("the cardinality is 2 to 16") }
}

fn check(n: usize, w: usize, c: usize) -> Result<(), &'static str> {
    check_letters(c)?;
    if !(2..=MOST_VALUES).contains(&n) {
        return Err("there are 2 to 4096 values");
    }
    if w < 2 || w > n || !n.is_multiple_of(w) {
        return Err("the number of frames is at least 2 and divides the number of values");
    }
    Ok(())
}

fn of(values: impl Iterator<Item = f64> + Clone, n: usize, w: usize, c: usize) -> Word {
    let finite = || values.clone().filter(|v| v.is_finite());
    let count = finite().count().max(1) as f64;
    let mean = finite().map(|v| v / count).sum::<f64>();
    let deviation = (finite().map(|v| (v - mean).powi(2) / count).sum::<f64>()).sqrt();
    let scale = if deviation < FLAT || !deviation.is_finite() { 1.0 } else { deviation };
    let frame = n / w;
    let mut letters = Vec::with_capacity(w);
    let mut values = values;
    for _ in 0..w {
        let (mut sum, mut seen) = (0.0, 0);
        for value in values.by_ref().take(frame).filter(|v| !v.is_nan()) {
            sum += (value - mean) / scale;
            seen += 1;
        }
        letters.push(letter(sum / f64::from(seen), c));
    }
    Word { letters, cardinality: c, values: Some(n) }
}

fn letter(x: f64, c: usize) -> u8 {
    if x.is_nan() { NONE } else { breakpoints(c).iter().take_while(|&&b| b <= x).count() as u8 }
}

/// What parts the letters: the i ⁄ c quantiles of the normal distribution.
fn breakpoints(c: usize) -> &'static [f64] {
    static TABLE: OnceLock<Vec<Vec<f64>>> = OnceLock::new();
    &TABLE.get_or_init(|| (0..=MOST_LETTERS).map(|c| (1..c).map(|i| quantile(i as f64 / c as f64)).collect()).collect())[c]
}

/// Where the normal distribution reaches `p`, by bisection; within ±2, where the quantiles of 16 lie.
fn quantile(p: f64) -> f64 {
    if p == 0.5 {
        return 0.0;
    }
    let (mut low, mut high) = (-2.0, 2.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        *(if normal(middle) < p { &mut low } else { &mut high }) = middle;
    }
    (low + high) / 2.0
}

/// The normal distribution function, by its series about 0.
fn normal(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for i in 1..40 {
        term *= x * x / f64::from(2 * i + 1);
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(values: &[f64], w: usize, c: usize) -> String {
        Word::new(values, w, c).unwrap().to_string()
    }

    fn distance(a: &str, b: &str, c: usize) -> [f64; 3] {
        mindist(&Word::parse(a.as_bytes(), c).unwrap(), &Word::parse(b.as_bytes(), c).unwrap()).unwrap()
    }

    #[test]
    fn breakpoints_are_those_of_the_paper() {
        let paper: [&[f64]; 3] = [&[-0.43, 0.43], &[-0.67, 0.0, 0.67], &[-0.84, -0.25, 0.25, 0.84]];
        for (c, expected) in (3..).zip(paper) {
            assert!(breakpoints(c).len() == c - 1 && breakpoints(c).iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.006), "{c}");
        }
        assert!((breakpoints(16)[0] + 1.534_120_544).abs() < 1e-9);
    }

    #[test]
    fn words() {
        assert_eq!(word(&[10.3, 7.0, 1.0, -5.0, -5.0, 7.2], 2, 8), "FC");
        assert_eq!(word(&[1.0, 2.0, 3.0, 10.1], 2, 4), "AD");
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        assert_eq!(word(&[inf, inf, inf, inf, inf, inf, -inf, -inf, -inf], 3, 5), "EEA");
        assert_eq!(word(&[inf, inf, 5.0, 0.0, 0.0, 0.0, -inf, -inf, -5.0], 3, 5), "ECA");
        assert_eq!(word(&[nan, 5.0, 5.0, 0.0, 0.0, 0.0, nan, -5.0, -5.0], 3, 5), "ECA");
        assert_eq!(word(&[inf, inf, 5.0, nan, nan, nan, -inf, -inf, -5.0], 3, 5), "E#A");
        assert_eq!(word(&[nan; 9], 3, 5), "###");
    }

    #[test]
    fn distances() {
        let near = |[a, b, c]: [f64; 3], [x, y, z]: [f64; 3]| (a - x).abs() < 1e-5 && (b - y).abs() < 1e-5 && (c - z).abs() < 1e-5;
        assert!(near(distance("ABDD", "DBAA", 4), [2.336_508, 1.907_751, 1.348_980]), "{:?}", distance("ABDD", "DBAA", 4));
        assert_eq!(distance("ABCD", "####", 4), distance("ABCD", "DDAA", 4));
        assert_eq!(distance("####", "ABCD", 4), distance("DDAA", "ABCD", 4));
        assert_eq!(distance("####", "####", 4)[0], 0.0);
        assert_eq!(distance("CCCCC", "#####", 5)[2], 0.0);
        assert!(mindist(&Word::parse(b"AB", 4).unwrap(), &Word::parse(b"AB", 5).unwrap()).is_err());
    }

    #[test]
    fn windows_slide() {
        let mut window = Window::new(4, 2, 4).unwrap();
        assert_eq!(window.word().to_string(), "##");
        assert!(!window.add(23.0));
        assert_eq!(window.word().to_string(), "#C");
        let full: Vec<bool> = [1.0, 2.0, 3.0, 10.1].map(|v| window.add(v)).to_vec();
        assert_eq!(full, [false, false, true, true]);
        assert_eq!(window.word(), Word::new(&[1.0, 2.0, 3.0, 10.1], 2, 4).unwrap());
        window.clear();
        assert_eq!(window.word(), Word::parse(b"##", 4).unwrap());
    }

    #[test]
    fn ranges() {
        for (n, w, c) in [(1, 1, 3), (9, 1, 3), (9, 3, 1), (9, 3, 17), (5000, 5, 5), (10, 3, 3), (0, 0, 2)] {
            assert!(Window::new(n, w, c).is_err(), "{n} {w} {c}");
        }
        for (text, c) in [("", 5), ("AAABF", 5), ("aaabc", 5), ("AABBC", 1), ("AABBC", 17)] {
            assert!(Word::parse(text.as_bytes(), c).is_err(), "{text} {c}");
        }
    }

    proptest! {
        /// The theorem that SAX stands on.
        #[test]
        fn bounds_the_distance_from_below(pairs in proptest::collection::vec((-10.0_f64..10.0, -10.0_f64..10.0), 24), w in prop_oneof![Just(2_usize), Just(4), Just(8), Just(24)], c in 2_usize..=16) {
            let normalised = |v: &[f64]| {
                let mean = v.iter().sum::<f64>() / 24.0;
                let sd = (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 24.0).sqrt();
                v.iter().map(|x| (x - mean) / sd).collect::<Vec<_>>()
            };
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let [bound, higher, lower] = mindist(&Word::new(&a, w, c).unwrap(), &Word::new(&b, w, c).unwrap()).unwrap();
            let exact = normalised(&a).iter().zip(normalised(&b)).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
            prop_assert!(bound <= exact + 1e-9, "{bound} > {exact}");
            prop_assert!((bound.powi(2) - higher.powi(2) - lower.powi(2)).abs() < 1e-9);
        }

        #[test]
        fn come_back(values in proptest::collection::vec(any::<f64>(), 0..30)) {
            let mut window = Window::new(12, 3, 7).unwrap();
            values.iter().for_each(|&v| { window.add(v); });
            let mut saved = Vec::new();
            window.save(&mut saved);
            prop_assert_eq!(Window::restore(&saved).unwrap().word(), window.word());
            prop_assert!(Window::restore(&saved[..saved.len() - 1]).is_none());
            let mut saved = Vec::new();
            window.word().save(&mut saved);
            let word = Word::restore(&saved).unwrap();
            prop_assert_eq!(word.values, Some(12));
            prop_assert_eq!(word, window.word());
        }
    }
}
