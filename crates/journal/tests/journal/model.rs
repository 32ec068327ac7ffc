//! Any order of appends, syncs, releases, faults, kills and crashes, beside a model that keeps it all.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use journal::{AppendError, Cursors, Journal, Lost, Settings};
use proptest::prelude::*;

use crate::sim::{Fault, SimDisk};

#[derive(Clone, Debug)]
pub enum Op {
    Append(usize),
    Sync,
    /// Up to so many tenths of what is there.
    Release(u64),
    /// A cursor at so many tenths of what is there, saved.
    Cursor(u64),
    Fault(u32, Fault),
    Room(u64),
    Heal,
    Read,
    /// The process ends.
    Kill,
    /// The machine does.
    Crash,
}

use Op::*;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let fault = prop_oneof![Just(Fault::Eio), Just(Fault::Evict), Just(Fault::NoSpace), Just(Fault::Short)];
    let op = prop_oneof![
        20 => prop_oneof![9usize..200, 200usize..1500, Just(5000usize)].prop_map(Append),
        6 => Just(Sync),
        3 => (0u64..11).prop_map(Release),
        1 => (0u64..11).prop_map(Cursor),
        3 => (0u32..6, fault).prop_map(|(after, fault)| Fault(after, fault)),
        1 => (0u64..4000).prop_map(Room),
        2 => Just(Heal),
        2 => Just(Read),
        1 => Just(Kill),
        3 => Just(Crash),
    ];
    proptest::collection::vec(op, 1..80)
}

const SETTINGS: Settings = Settings { segment: 4096, max: 40 << 10 };

struct Model {
    disk: SimDisk,
    journal: Journal,
    cursors: Cursors,
    /// All that was ever appended under a number.
    ever: BTreeMap<u64, BTreeSet<Vec<u8>>>,
    /// What this journal holds, as far as is known.
    held: BTreeMap<u64, Vec<u8>>,
    durable: BTreeMap<u64, Vec<u8>>,
    lost: Vec<Range<u64>>,
    released: u64,
    cursor: u64,
    /// A failed sync may have cost records that are not durable.
    doubtful: bool,
    count: u64,
}

impl Model {
    fn new(seed: u64) -> Model {
        let disk = SimDisk::new(seed);
        let (journal, findings) = open(&disk);
        assert!(findings.is_empty(), "{findings:?}");
        let (cursors, _) = Cursors::open_on(Arc::new(disk.clone()));
        let (ever, held, durable) = Default::default();
        Model { disk, journal, cursors, ever, held, durable, lost: vec![], released: 0, cursor: 0, doubtful: false, count: 0 }
    }

    fn append(&mut self, size: usize) {
        self.count += 1;
        let mut bytes = self.count.to_be_bytes().to_vec();
        bytes.resize(size, self.count as u8 | 1);
        let end = self.journal.end();
        match self.journal.append(&[&bytes[..4], &[], &bytes[4..]]) {
            Ok(seq) => {
                assert_eq!(seq, end);
                // A crash may bring back what was cut off; then nothing is taken until there is room.
                assert!(self.journal.bytes() <= SETTINGS.max, "{} bytes", self.journal.bytes());
                self.ever.entry(seq).or_default().insert(bytes.clone());
                self.held.insert(seq, bytes);
            }
            Err(AppendError::TooLong { .. }) => panic!("{size} is not too long"),
            Err(AppendError::Full { max, bytes }) => assert!(max == SETTINGS.max && bytes + 2 * 4096 + 5064 > max),
            Err(_) => assert_eq!(self.journal.end(), end),
        }
    }

    fn sync(&mut self) {
        match self.journal.sync() {
            Ok(below) => {
                assert!(below <= self.journal.end());
                for (seq, bytes) in self.held.range(..below) {
                    if !self.lost.iter().any(|l| l.contains(seq)) {
                        self.durable.insert(*seq, bytes.clone());
                    }
                }
            }
            Err(e) => {
                self.doubtful = true;
                if let Some(lost) = e.get_ref().and_then(|e| e.downcast_ref::<Lost>()) {
                    self.lost.push(lost.seqs.clone());
                    self.journal.accept_loss(lost);
                }
            }
        }
    }

    fn tenths(&self, tenths: u64) -> u64 {
        let first = self.journal.first();
        first + (self.journal.end() - first) * tenths / 10
    }

    fn cursor(&mut self, tenths: u64) {
        let seq = self.tenths(tenths);
        self.cursors.set("one", seq);
        if self.cursors.save().is_ok() {
            self.cursor = seq;
        }
    }

    fn read(&self) -> BTreeMap<u64, Vec<u8>> {
        let mut reader = self.journal.reader(0);
        let mut found = BTreeMap::new();
        while let Some(record) = reader.next().unwrap() {
            assert!(found.keys().next_back().is_none_or(|last| *last < record.seq));
            assert!(self.ever.get(&record.seq).is_some_and(|all| all.contains(&record.bytes)), "{} was not appended", record.seq);
            found.insert(record.seq, record.bytes);
        }
        for (seq, bytes) in self.durable.range(self.released..) {
            assert!(found.get(seq) == Some(bytes), "record {seq} was durable; {:?}", reader.take_findings());
        }
        if !self.doubtful {
            let first = self.journal.first();
            assert!(found.iter().eq(self.held.range(first..)), "held {:?}, found {:?}", self.held.keys(), found.keys());
        }
        found
    }

    fn reopen(&mut self, crash: bool) {
        let others = SimDisk::new(1);
        // The old one goes first, as it does in life.
        self.journal = open(&others).0;
        if crash {
            self.disk.crash();
        }
        self.disk.heal();
        let (journal, findings) = open(&self.disk);
        findings.iter().for_each(|f| assert!(!f.to_string().is_empty()));
        self.journal = journal;
        let (cursors, findings) = Cursors::open_on(Arc::new(self.disk.clone()));
        assert!(findings.is_empty(), "{findings:?}");
        self.cursors = cursors;
        let durable = self.durable.keys().next_back().map_or(0, |last| last + 1);
        assert!(self.journal.end() >= durable, "{} is below what was durable, {durable}", self.journal.end());
        assert!(self.journal.end() >= self.cursor);
        self.doubtful = true;
        self.held = self.read();
        self.doubtful = false;
    }

    fn apply(&mut self, op: Op) {
        match op {
            Append(size) => self.append(size),
            Sync => self.sync(),
            Release(tenths) => {
                let below = self.tenths(tenths);
                self.released = self.released.max(below);
                // What could not be removed is tried again.
                let _ = self.journal.release(below);
            }
            Cursor(tenths) => self.cursor(tenths),
            Fault(after, fault) => self.disk.fault(after, fault),
            Room(more) => self.disk.set_room(more),
            Heal => self.disk.heal(),
            Read => drop(self.read()),
            Kill => self.reopen(false),
            Crash => self.reopen(true),
        }
    }
}

fn open(disk: &SimDisk) -> (Journal, Vec<journal::Finding>) {
    Journal::open_on(Arc::new(disk.clone()), SETTINGS, 2).unwrap()
}

/// Runs it all, and sees that the log works when the disk does.
pub fn run(seed: u64, ops: Vec<Op>) {
    let mut model = Model::new(seed);
    for op in ops {
        model.apply(op);
    }
    model.disk.heal();
    model.read();
    let end = model.journal.end();
    model.released = end;
    model.journal.release(end).unwrap();
    let before = model.journal.end();
    model.append(300);
    assert_eq!(model.journal.end(), before + 1, "the disk works again, and so should the journal");
    model.sync();
    model.reopen(true);
}

/// Quick unless more is asked for.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_durable_stays_whatever_happens(seed: u64, ops in ops()) {
        run(seed, ops);
    }
}
