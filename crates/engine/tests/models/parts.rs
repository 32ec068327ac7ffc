use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender as Channel, bounded};
use matcher::Matcher;
use message::{Batch, BatchBuilder, Outcome, Ticket};
use plugin::{Counter, Stop};
use shuttle::thread;

use crate::durable::Durable;
use crate::origin::Had;
use crate::plan::{ConsumerPlan, WhenFull};
use crate::progress::Place;
use crate::queue::{Queue, Rules, Sender, Work};
use crate::route::{Parcel, Port, Router, Table, Target, Wake};

/// What one schedule notes. A lock of the standard library: noting is no step of its own.
#[derive(Clone, Debug)]
pub struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Log<T> {
    fn default() -> Log<T> {
        Log(Arc::new(Mutex::new(Vec::new())))
    }
}

impl<T: Clone> Log<T> {
    pub fn note(&self, what: T) {
        self.0.lock().unwrap().push(what);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A batch of one message with this number, in memory that an input lent.
pub fn batch(number: i64) -> Batch {
    let mut builder = BatchBuilder::default();
    builder.add().set_timestamp(number);
    builder.finish_with(Ticket::new(|_| {}))
}

/// Share of a queue that [`batch`] takes.
pub fn size() -> usize {
    batch(1).bytes()
}

pub fn work(number: i64, ticket: Ticket) -> Work {
    let batch = Arc::new(batch(number));
    Work { selection: batch.all(), bytes: batch.bytes(), batch, queued: Duration::ZERO, ticket, place: Place::default() }
}

/// The number of a work's message.
pub fn number(work: &Work) -> i64 {
    assert_eq!(work.selection.len(), 1);
    work.batch.selected(&work.selection).map(|m| m.timestamp()).sum()
}

/// A ticket that notes what became of this number.
pub fn noted(number: i64, log: &Log<(i64, Outcome)>) -> Ticket {
    let log = log.clone();
    Ticket::new(move |outcome| log.note((number, outcome)))
}

pub fn pick(below: usize) -> usize {
    use shuttle::rand::Rng;
    shuttle::rand::thread_rng().gen_range(0..below)
}

/// Whether every sender's numbers, those with the same thousands, come in order and none twice.
pub fn in_order(numbers: &[i64]) -> bool {
    (0..10).all(|sender| {
        let own: Vec<i64> = numbers.iter().copied().filter(|n| n / 1000 == sender).collect();
        own.is_sorted_by(|a, b| a < b)
    })
}

/// A consumer that runs as outputs do: it takes what waits, and sleeps until it is woken.
pub struct Consumer {
    pub queue: Arc<Queue>,
    channel: Channel<()>,
    wakes: Receiver<()>,
    finish: AtomicBool,
    /// What it delivered.
    pub delivered: Log<i64>,
}

impl Consumer {
    pub fn new(name: &str, rules: Rules, durable: Option<Arc<Durable>>) -> Arc<Consumer> {
        let (channel, wakes) = bounded(1);
        let queue = Arc::new(Queue::new(&name.into(), rules, Arc::default(), durable));
        Arc::new(Consumer { queue, channel, wakes, finish: AtomicBool::new(false), delivered: Log::default() })
    }

    /// As the router sees it.
    pub fn target(&self) -> Target {
        let matcher = Matcher::parse("TRUE").unwrap();
        let plan = ConsumerPlan { id: self.queue.owner.clone(), matcher, from: Vec::new(), signer: None };
        Target::new(&plan, self.queue.clone(), Wake::Output(self.channel.clone()), Arc::<Had>::default())
    }

    /// Delivers until nothing is left and nothing will come.
    pub fn run(&self) {
        loop {
            while let Some(work) = self.queue.pop() {
                self.delivered.note(number(&work));
                thread::yield_now();
            }
            if self.finish.load(Ordering::Acquire) && self.queue.is_empty() {
                return;
            }
            while self.wakes.try_recv().is_err() {
                thread::yield_now();
            }
        }
    }

    pub fn wake(&self) {
        let _ = self.channel.try_send(());
    }

    pub fn finish(&self) {
        self.finish.store(true, Ordering::Release);
        self.wake();
    }

    pub fn dropped(&self) -> u64 {
        self.queue.meter.get(Counter::Dropped)
    }
}

pub fn table(consumers: &[&Arc<Consumer>]) -> Table {
    Table::new(consumers.iter().map(|c| c.target()).collect())
}

/// Sends these numbers as an input that can wait.
pub fn send(router: &Arc<Router>, numbers: impl IntoIterator<Item = i64>, ticket: impl Fn(i64) -> Ticket) {
    send_as(true, router, numbers, ticket);
}

/// Sends these numbers as an input that can wait or cannot.
pub fn send_as(can_wait: bool, router: &Arc<Router>, numbers: impl IntoIterator<Item = i64>, ticket: impl Fn(i64) -> Ticket) {
    let (mut port, stop) = (Port::new(router.clone(), "input.a".into()), Stop::new());
    for number in numbers {
        let parcel = Parcel { batch: Arc::new(batch(number)), ticket: ticket(number), origin: None };
        port.send(parcel, Sender::Input { can_wait, stop: &stop });
        thread::yield_now();
    }
}

/// Rules with room for so many batches.
pub fn rules(batches: usize, when_full: WhenFull) -> Rules {
    Rules { limit: batches * size(), when_full, durable: false }
}

pub fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all
}
