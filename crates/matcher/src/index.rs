use crate::Matcher;
use crate::expr::{Check, Compare, Expr, Test};
use crate::subject::Subject;
use message::{Batch, Header, MessageRef, Selection, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Subjects that are read from every message; matchers that need others are evaluated one by one.
const MAX_TABLES: usize = 64;

/// Many matchers, asked at once.
///
/// Most matchers can only match if some header or field equals a literal: `Type == 'nginx.access'`
/// in a chain of `&&`, or one such equality in each branch of a `||`. Those literals are keys of hash
/// tables, one a header or field. A message's value is looked up once, which names the few
/// matchers that are then evaluated, or match for sure. Where a matcher offers a choice of keys, the
/// one it shares with the fewest others is taken. Matchers without a key are evaluated for every
/// message; constant ones never.
pub struct Index {
    /// Consumers, ascending; a *slot* is a place in this list.
    consumers: Arc<[usize]>,
    /// Consumers that get every message, ascending.
    all: Arc<[usize]>,
    matchers: Vec<Entry>,
    tables: Vec<Table>,
    /// Matchers (places in `matchers`) without a key.
    always: Vec<u32>,
}

struct Entry {
    slot: u32,
    matcher: Matcher,
}

/// The matchers that need a subject to equal a literal.
struct Table {
    subject: Subject,
    texts: HashMap<Box<[u8]>, Vec<Candidate>>,
    /// Length of the longest of `texts`: longer values need not be hashed.
    longest: usize,
    numbers: HashMap<u64, Vec<Candidate>>,
    bools: [Vec<Candidate>; 2],
}

#[derive(Clone, Copy)]
struct Candidate {
    matcher: u32,
    /// Whether it matches without further ado.
    sure: bool,
}

/// `subject == literal`, which makes a matcher a candidate.
#[derive(Clone, Copy)]
struct Key<'a> {
    subject: &'a Subject,
    literal: Literal<'a>,
    sure: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Literal<'a> {
    Text(&'a str),
    /// Bits of a double, as both types of numbers are looked up.
    Number(u64),
    Bool(bool),
}

impl Index {
    /// Builds the index. A consumer may have several matchers: it gets what any of them matches.
    pub fn new(matchers: Vec<(usize, Matcher)>) -> Index {
        let mut all: Vec<usize> = matchers.iter().filter(|(_, m)| m.is_true()).map(|(consumer, _)| *consumer).collect();
        all.sort_unstable();
        all.dedup();
        let never = |m: &Matcher| matches!(m.expr(), Expr::Const(false));
        let matchers: Vec<_> = matchers.into_iter().filter(|(c, m)| all.binary_search(c).is_err() && !never(m)).collect();
        let mut consumers: Vec<usize> = matchers.iter().map(|(consumer, _)| *consumer).collect();
        consumers.sort_unstable();
        consumers.dedup();
        let slot = |consumer| consumers.partition_point(|c| *c < consumer) as u32;
        let matchers: Vec<Entry> = matchers.into_iter().map(|(c, matcher)| Entry { slot: slot(c), matcher }).collect();
        let (tables, always) = build(&matchers);
        Index { consumers: consumers.into(), all: all.into(), matchers, tables, always }
    }

    /// Finds which messages of the batch each consumer gets. What `out` held is forgotten, its
    /// memory is reused; it need not be the same index each time.
    pub fn select(&self, batch: &Batch, out: &mut Selected) {
        out.reset(self, batch.len() as u32);
        for i in 0..batch.len() {
            let m = batch.get(i);
            for table in &self.tables {
                let candidates = table.subject.with(m, |value| table.candidates(value));
                for candidate in candidates {
                    self.offer(*candidate, m, i as u32, out);
                }
            }
            for matcher in &self.always {
                self.offer(Candidate { matcher: *matcher, sure: false }, m, i as u32, out);
            }
        }
    }

    fn offer(&self, candidate: Candidate, m: MessageRef<'_>, i: u32, out: &mut Selected) {
        let Entry { slot, matcher } = &self.matchers[candidate.matcher as usize];
        // A matcher may be a candidate by several keys, a consumer have several matchers.
        let list = &mut out.lists[*slot as usize];
        if list.last() == Some(&i) || !(candidate.sure || matcher.matches(m)) {
            return;
        }
        if list.is_empty() {
            out.touched.push(*slot);
        }
        list.push(i);
    }
}

/// The tables, and the matchers that are in none.
fn build(matchers: &[Entry]) -> (Vec<Table>, Vec<u32>) {
    let popularity = Popularity::new(matchers);
    let mut places: HashMap<&Subject, usize> = HashMap::new();
    let mut tables: Vec<Table> = Vec::new();
    let mut always = Vec::new();
    for (number, entry) in matchers.iter().enumerate() {
        let Some((_, keys)) = necessary(entry.matcher.expr(), &popularity) else {
            always.push(number as u32);
            continue;
        };
        for key in keys {
            let place = *places.entry(key.subject).or_insert_with(|| {
                tables.push(Table::new(key.subject.clone()));
                tables.len() - 1
            });
            tables[place].insert(key.literal, Candidate { matcher: number as u32, sure: key.sure });
        }
    }
    (tables, always)
}

/// How often each key is asked for, and by which subjects messages are looked up.
struct Popularity<'a> {
    keys: HashMap<(&'a Subject, Literal<'a>), usize>,
    subjects: HashSet<&'a Subject>,
}

impl<'a> Popularity<'a> {
    fn new(matchers: &'a [Entry]) -> Popularity<'a> {
        let mut keys = HashMap::new();
        let mut subjects: HashMap<&Subject, usize> = HashMap::new();
        for entry in matchers {
            each_key(entry.matcher.expr(), &mut |key| {
                *keys.entry((key.subject, key.literal)).or_default() += 1;
                *subjects.entry(key.subject).or_default() += 1;
            });
        }
        let mut subjects: Vec<_> = subjects.into_iter().collect();
        subjects.sort_by_key(|(_, uses)| std::cmp::Reverse(*uses));
        Popularity { keys, subjects: subjects.into_iter().take(MAX_TABLES).map(|(subject, _)| subject).collect() }
    }

    /// How many evaluations this key is expected to cause, in arbitrary units: what shares the key,
    /// times how common such values are in messages.
    fn cost(&self, key: &Key<'_>) -> Option<usize> {
        if !self.subjects.contains(key.subject) {
            return None;
        }
        let common = match (key.subject, key.literal) {
            (_, Literal::Text("") | Literal::Bool(_)) | (Subject::Header(Header::Severity), _) => 64,
            (Subject::Header(Header::Logger | Header::Hostname | Header::EnvVersion | Header::Payload), _) => 4,
            _ => 1,
        };
        Some(common * self.keys.get(&(key.subject, key.literal)).copied().unwrap_or(1))
    }
}

fn each_key<'a>(expr: &'a Expr, visit: &mut impl FnMut(Key<'a>)) {
    match expr {
        Expr::Test(test) => test.key().into_iter().for_each(visit),
        Expr::All(list) | Expr::Any(list) => list.iter().for_each(|e| each_key(e, visit)),
        Expr::Const(_) | Expr::Not(_) => {}
    }
}

/// Keys of which at least one holds for every message that matches, the cheapest such set, and its
/// cost; `None` if there is no such set.
fn necessary<'a>(expr: &'a Expr, popularity: &Popularity<'_>) -> Option<(usize, Vec<Key<'a>>)> {
    match expr {
        Expr::Test(test) => {
            let key = test.key()?;
            Some((popularity.cost(&key)?, vec![key]))
        }
        Expr::All(list) => {
            let (cost, mut keys) = list.iter().filter_map(|e| necessary(e, popularity)).min_by_key(|(cost, _)| *cost)?;
            keys.iter_mut().for_each(|key| key.sure = false);
            Some((cost, keys))
        }
        Expr::Any(list) => list.iter().try_fold((0, Vec::new()), |(sum, mut keys), e| {
            let (cost, more) = necessary(e, popularity)?;
            keys.extend(more);
            Some((sum + cost, keys))
        }),
        Expr::Const(_) | Expr::Not(_) => None,
    }
}

impl Test {
    /// The key of a test for equality.
    fn key(&self) -> Option<Key<'_>> {
        let (literal, sure) = match &self.check {
            Check::Text(Compare::Equal, text) => (Literal::Text(text), true),
            Check::Matches(pattern) => (Literal::Text(pattern.only_match()?), true),
            Check::Number(Compare::Equal, n) => (Literal::Number(number_bits(n.as_f64())), n.is_exact_as_f64()),
            Check::Bool(value) => (Literal::Bool(*value), true),
            _ => return None,
        };
        Some(Key { subject: &self.subject, literal, sure })
    }
}

/// The same for both zeros.
fn number_bits(n: f64) -> u64 {
    (n + 0.0).to_bits()
}

impl Table {
    fn new(subject: Subject) -> Table {
        Table { subject, texts: HashMap::new(), longest: 0, numbers: HashMap::new(), bools: Default::default() }
    }

    fn insert(&mut self, literal: Literal<'_>, candidate: Candidate) {
        let list = match literal {
            Literal::Text(text) => {
                self.longest = self.longest.max(text.len());
                self.texts.entry(text.as_bytes().into()).or_default()
            }
            Literal::Number(bits) => self.numbers.entry(bits).or_default(),
            Literal::Bool(value) => &mut self.bools[usize::from(value)],
        };
        list.push(candidate);
    }

    fn candidates(&self, value: Option<Value<'_>>) -> &[Candidate] {
        let found = match value {
            None => None,
            Some(Value::String(text) | Value::Bytes(text)) if text.len() > self.longest => None,
            Some(Value::String(text) | Value::Bytes(text)) => self.texts.get(text),
            Some(Value::Integer(n)) => self.numbers.get(&number_bits(n as f64)),
            Some(Value::Double(n)) => self.numbers.get(&number_bits(n)),
            Some(Value::Bool(value)) => Some(&self.bools[usize::from(value)]),
        };
        found.map_or(&[], Vec::as_slice)
    }
}

/// Which messages of a batch each consumer gets: the result of [`Index::select`], and its memory
/// for the next time.
#[derive(Default)]
pub struct Selected {
    len: u32,
    consumers: Arc<[usize]>,
    all: Arc<[usize]>,
    /// By slot; empty unless in `touched`.
    lists: Vec<Vec<u32>>,
    touched: Vec<u32>,
}

impl Selected {
    fn reset(&mut self, index: &Index, len: u32) {
        for slot in self.touched.drain(..) {
            self.lists[slot as usize].clear();
        }
        self.lists.resize_with(index.consumers.len(), Vec::new);
        self.consumers = index.consumers.clone();
        self.all = index.all.clone();
        self.len = len;
    }

    /// Consumers that get every message because their matcher says so, ascending. They are not
    /// among [`Selected::some`].
    pub fn all(&self) -> &[usize] {
        &self.all
    }

    /// Each other consumer that gets a message, with the ascending, non-empty list of the messages'
    /// places in the batch; consumers in the order of their first message.
    pub fn some(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.touched.iter().map(|slot| (self.consumers[*slot as usize], self.lists[*slot as usize].as_slice()))
    }

    /// Each consumer that gets a message, with its selection.
    pub fn selections(&self) -> impl Iterator<Item = (usize, Selection)> {
        let every = self.all.iter().filter(|_| self.len > 0).map(|consumer| (*consumer, Selection::All(self.len)));
        let some = self.some().map(|(consumer, list)| {
            let complete = list.len() == self.len as usize;
            (consumer, if complete { Selection::All(self.len) } else { Selection::Some(list.into()) })
        });
        every.chain(some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::BatchBuilder;

    fn index(expressions: &[&str]) -> Index {
        Index::new(expressions.iter().enumerate().map(|(i, e)| (i, Matcher::parse(e).unwrap())).collect())
    }

    fn candidates(index: &Index, batch: &Batch) -> usize {
        let of = |m| index.tables.iter().map(move |t| t.subject.with(m, |v| t.candidates(v).len())).sum::<usize>();
        batch.iter().map(of).sum()
    }

    #[test]
    fn ten_thousand_matchers_make_one_candidate() {
        for shape in [
            "Type == 't{}'",
            "Fields[n] == {}",
            "Severity == 7 && Logger == '' && (Type =~ /^t{}$/ || Fields[n] == 'no{}')",
            "Type != 'x' && Type =~ /^t/ && Fields[s] == 's{}'",
        ] {
            let matcher = |i: usize| Matcher::parse(&shape.replace("{}", &i.to_string())).unwrap();
            let index = Index::new((0..10_000).map(|i| (i, matcher(i))).collect());
            let mut builder = BatchBuilder::default();
            let mut m = builder.add();
            m.set_type(b"t4711");
            m.add_integer(b"n", 4711);
            m.add_string(b"s", b"s4711");
            let batch = builder.finish();
            assert_eq!((candidates(&index, &batch), index.always.len()), (1, 0), "{shape}");
            let mut out = Selected::default();
            index.select(&batch, &mut out);
            assert_eq!(out.some().collect::<Vec<_>>(), [(4711, &[0][..])], "{shape}");
        }
    }

    #[test]
    fn constants_cost_nothing() {
        let index = index(&["TRUE", "FALSE", "Type == 'a' || TRUE", "Type == 'a' && FALSE"]);
        assert!(index.matchers.is_empty());
        let mut builder = BatchBuilder::default();
        builder.add();
        let mut out = Selected::default();
        index.select(&builder.finish(), &mut out);
        assert_eq!(out.selections().collect::<Vec<_>>(), [(0, Selection::All(1)), (2, Selection::All(1))]);
        index.select(&builder.finish(), &mut out);
        assert_eq!(out.selections().count(), 0);
    }

    #[test]
    fn too_many_subjects_are_evaluated_one_by_one() {
        let expressions: Vec<String> = (0..MAX_TABLES + 5).map(|i| format!("Fields[f{i}] == 1")).collect();
        let index = index(&expressions.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((index.tables.len(), index.always.len()), (MAX_TABLES, 5));
    }

    #[test]
    fn a_result_serves_one_index_after_another() {
        let mut builder = BatchBuilder::default();
        builder.add().set_type(b"a");
        builder.add().set_type(b"b");
        let batch = builder.finish();
        let mut out = Selected::default();
        index(&["Type == 'a'", "Type == 'b'", "Type =~ /./"]).select(&batch, &mut out);
        assert_eq!(out.selections().last(), Some((1, Selection::Some([1].into()))));
        Index::new(vec![(usize::MAX, Matcher::parse("Type == 'b'").unwrap())]).select(&batch, &mut out);
        assert_eq!(out.some().collect::<Vec<_>>(), [(usize::MAX, &[1][..])]);
    }
}
