use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use journal::{Cursors, Journal, Settings};
use message::{Outcome, Ticket};
use plugin::Counter;
use shuttle::thread::{self, JoinHandle};

use crate::disk::{Crash, Ram};
use crate::durable::{Durable, Entry, SyncPolicy};
use crate::origin::Positions;
use crate::parts::{Consumer, Log, batch, in_order, noted, number, pick, rules, send, send_as, size, sorted, table};
use crate::plan::WhenFull;
use crate::queue::{Queue, Rules, Sender};
use crate::route::Router;

/// A journal with the thread that synchronises it.
struct Bench {
    durable: Arc<Durable>,
    wakes: Receiver<()>,
    router: Arc<Router>,
    over: Arc<AtomicBool>,
    heard: Log<(i64, Outcome)>,
}

impl Bench {
    fn on(disk: &Arc<Ram>) -> Bench {
        Bench::with(disk, [SyncPolicy::Every(Duration::ZERO), SyncPolicy::Never][pick(2)])
    }

    fn with(disk: &Arc<Ram>, policy: SyncPolicy) -> Bench {
        let (journal, _unfinished) = Journal::open_on(disk.clone(), Settings { segment: 1 << 13, max: 1 << 20 }, 0).unwrap();
        let (cursors, lost) = Cursors::open_on(disk.clone());
        assert!(lost.is_empty());
        let (wake, wakes) = bounded(1);
        let durable = Arc::new(Durable::over(journal, cursors, true, 1 << 20, policy, wake));
        let router = Arc::new(Router::new(Some(durable.clone())));
        Bench { durable, wakes, router, over: Arc::default(), heard: Log::default() }
    }

    /// As the engine starts one.
    fn consumer(&self, name: &str, rules: Rules) -> Arc<Consumer> {
        let consumer = Consumer::new(name, rules, Some(self.durable.clone()));
        let cursor = self.durable.cursor(name);
        consumer.queue.resume(cursor, self.durable.end());
        consumer.queue.progress.start(Positions::default(), cursor);
        consumer
    }

    fn syncer(&self) -> JoinHandle<()> {
        let (durable, wakes, over) = (self.durable.clone(), self.wakes.clone(), self.over.clone());
        thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                // Nobody waits longer than for a while.
                crate::sync::tick();
                if wakes.try_recv().is_ok() {
                    durable.sync();
                }
                thread::yield_now();
            }
            durable.sync();
        })
    }

    /// What housekeeping does, a few times.
    fn keeper(&self, saved: impl Fn() + Send + 'static) -> JoinHandle<()> {
        let (durable, router) = (self.durable.clone(), self.router.clone());
        thread::spawn(move || {
            for _ in 0..4 {
                let queues = router.queues();
                if pick(2) == 0 {
                    durable.write_waiting(&queues, Duration::MAX);
                }
                (0..pick(8)).for_each(|_| thread::yield_now());
                durable.save(&queues);
                saved();
                router.nudge();
                thread::yield_now();
            }
        })
    }

    fn sender(&self, first: i64, count: i64) -> JoinHandle<()> {
        let (router, heard) = (self.router.clone(), self.heard.clone());
        thread::spawn(move || send(&router, first..first + count, |n| noted(n, &heard)))
    }
}

fn run(consumer: &Arc<Consumer>) -> JoinHandle<()> {
    let consumer = consumer.clone();
    thread::spawn(move || consumer.run())
}

/// Rules of a consumer that spills, with little room.
fn spills(batches: usize) -> Rules {
    Rules { durable: pick(3) == 0, ..rules(batches, WhenFull::Spill) }
}

/// Two consumers, one of them perhaps with something of an earlier process, behind which numbers are missing.
pub fn what_spills_comes_once_and_in_order() {
    let bench = Bench::on(&Arc::default());
    let inherited = pick(2) == 0;
    bench.durable.cursor("output.a");
    if inherited {
        let (batch, shares) = (batch(0), [("output.a".into(), batch(0).all())]);
        let entry = Entry { batch: &batch, shares: &shares, origin: None };
        assert!(bench.durable.write(&entry, Ticket::none(), &[], Sender::Filter { bounded: false }, |_| {}));
        bench.durable.skip_to(20);
    }
    let consumers = [bench.consumer("output.a", spills(1)), bench.consumer("output.b", spills(2))];
    bench.router.swap(table(&[&consumers[0], &consumers[1]]));
    let running = [run(&consumers[0]), run(&consumers[1])];
    consumers.iter().for_each(|c| c.wake());
    let (syncer, keeper) = (bench.syncer(), bench.keeper(|| {}));
    [bench.sender(1000, 4), bench.sender(2000, 2)].into_iter().for_each(|s| s.join().unwrap());
    consumers.iter().for_each(|c| c.finish());
    running.into_iter().chain([keeper]).for_each(|r| r.join().unwrap());
    bench.over.store(true, Ordering::Release);
    syncer.join().unwrap();

    let sent: Vec<i64> = (1000..1004).chain(2000..2002).collect();
    for (consumer, before) in consumers.iter().zip([inherited.then_some(0), None]) {
        let delivered = consumer.delivered.all();
        assert!(in_order(&delivered), "{delivered:?}");
        assert_eq!(sorted(delivered), before.into_iter().chain(sent.clone()).collect::<Vec<_>>(), "{}", consumer.queue.owner);
        assert_eq!((consumer.dropped(), consumer.queue.depth().0, consumer.queue.depth().1), (0, 0, 0));
        assert!(!consumer.queue.holds_records());
    }
    assert_eq!(sorted(bench.heard.all()), sent.iter().map(|n| (*n, Outcome::Accepted)).collect::<Vec<_>>());
    bench.durable.save(&bench.router.queues());
    assert_eq!(consumers.map(|c| c.queue.cursor()), [bench.durable.end(); 2]);
}

/// The disk is full now and then, and senders cannot wait: the oldest of their messages in memory are dropped and counted,
/// and what is left comes in order.
pub fn while_the_disk_is_full_order_is_kept() {
    let disk = Arc::<Ram>::default();
    let bench = Bench::on(&disk);
    let consumer = bench.consumer("output.a", spills(2));
    bench.router.swap(table(&[&consumer]));
    // Half of the time its output does nothing until everything is sent.
    let running = (pick(2) == 0).then(|| run(&consumer));
    let (syncer, keeper) = (bench.syncer(), bench.keeper(|| {}));
    let full = {
        let disk = disk.clone();
        thread::spawn(move || {
            for full in [true, false, true, false] {
                disk.full.store(full, Ordering::Relaxed);
                (0..pick(30)).for_each(|_| thread::yield_now());
            }
        })
    };
    let senders = [1000..1002, 2000..2006].map(|numbers| {
        let (router, heard) = (bench.router.clone(), bench.heard.clone());
        thread::spawn(move || send_as(false, &router, numbers, |n| noted(n, &heard)))
    });
    senders.into_iter().chain([full]).for_each(|t| t.join().unwrap());
    consumer.finish();
    [running.unwrap_or_else(|| run(&consumer)), keeper].into_iter().for_each(|r| r.join().unwrap());
    bench.over.store(true, Ordering::Release);
    syncer.join().unwrap();

    let delivered = consumer.delivered.all();
    assert!(in_order(&delivered), "{delivered:?}");
    assert_eq!((delivered.len() as u64 + consumer.dropped(), consumer.queue.depth().0), (8, 0), "{delivered:?}");
    assert_eq!(bench.heard.len(), 8);
}

/// An output is dead: once what waits for it is written, none of it is in memory, and all of it comes in order.
pub fn what_is_written_is_not_in_memory() {
    let bench = Bench::on(&Arc::default());
    let consumer = bench.consumer("output.a", spills(9));
    bench.router.swap(table(&[&consumer]));
    let taken = Arc::new(AtomicBool::new(false));
    let (syncer, keeper, sender) = (bench.syncer(), bench.keeper(|| {}), bench.sender(1000, 5));
    let dead = {
        let (consumer, taken) = (consumer.clone(), taken.clone());
        thread::spawn(move || {
            // As an output that fails: what it has taken goes back, and is taken again.
            let work = consumer.queue.pop();
            taken.store(work.is_some(), Ordering::Release);
            thread::yield_now();
            work.into_iter().for_each(|work| consumer.queue.unpop(work));
        })
    };
    [keeper, sender, dead].into_iter().for_each(|t| t.join().unwrap());
    bench.durable.write_waiting(&bench.router.queues(), Duration::MAX);
    let given_back = usize::from(taken.load(Ordering::Acquire)) * size();
    assert!(consumer.queue.depth().1 <= given_back, "{:?}", consumer.queue.depth());
    consumer.finish();
    run(&consumer).join().unwrap();
    bench.over.store(true, Ordering::Release);
    syncer.join().unwrap();
    assert_eq!(consumer.delivered.all(), [1000, 1001, 1002, 1003, 1004]);
    assert_eq!((consumer.queue.depth().0, consumer.queue.holds_records(), bench.heard.len()), (0, false, 5));
}

/// The disk after a crash, what senders had heard of by then, and what was delivered.
type Left = (Arc<Ram>, Vec<i64>, Vec<i64>);

/// The process is killed, or the power is lost, just when a sender has heard that its message is safe, or cursors are written:
/// whatever any sender had heard of by then was delivered, or is delivered by the next process.
pub fn what_was_acknowledged_survives_the_process() {
    let disk = Arc::<Ram>::default();
    let (crash, policy) = match pick(2) {
        0 => (Crash::Killed, SyncPolicy::Never),
        _ => (Crash::PowerLost, SyncPolicy::Every(Duration::ZERO)),
    };
    let bench = Bench::with(&disk, policy);
    // Somebody else had been there before.
    bench.durable.cursor("output.other");
    bench.durable.save(&[]);
    let consumer = bench.consumer("output.a", spills(1));
    bench.durable.remember();
    bench.router.swap(table(&[&consumer]));
    let (crashes, heard) = (Log::<Left>::default(), Log::default());
    let crashes_now = {
        let (crashes, heard, delivered) = (crashes.clone(), heard.clone(), consumer.delivered.clone());
        move || crashes.note((disk.after(crash), heard.all(), delivered.all()))
    };
    // Half of the time its output does nothing until everything is sent.
    let running = (pick(2) == 0).then(|| run(&consumer));
    let (syncer, router) = (bench.syncer(), bench.router.clone());
    let keeper = bench.keeper(crashes_now.clone());
    let hear = move |number| {
        let (heard, crashes_now) = (heard.clone(), crashes_now.clone());
        Ticket::new(move |outcome| {
            assert_eq!(outcome, Outcome::Accepted);
            heard.note(number);
            crashes_now();
        })
    };
    thread::spawn(move || send(&router, 1000..1005, hear)).join().unwrap();
    consumer.finish();
    [running.unwrap_or_else(|| run(&consumer)), keeper].into_iter().for_each(|r| r.join().unwrap());
    bench.over.store(true, Ordering::Release);
    syncer.join().unwrap();
    crashes.all().into_iter().for_each(next_process);
}

fn next_process((disk, heard, delivered): Left) {
    let next = Bench::on(&disk).consumer("output.a", rules(1, WhenFull::Spill));
    let again: Vec<i64> = std::iter::from_fn(|| next.queue.pop()).map(|work| number(&work)).collect();
    assert!(in_order(&again), "{again:?}");
    assert!(heard.iter().all(|n| delivered.contains(n) || again.contains(n)), "{heard:?}: {delivered:?} {again:?}");
}

/// A consumer is removed while senders know it and housekeeping writes down how far it is.
pub fn who_is_removed_leaves_no_cursor() {
    let bench = Bench::on(&Arc::default());
    let [stays, leaves] = ["output.stays", "output.leaves"].map(|name| bench.consumer(name, spills(1)));
    bench.router.swap(table(&[&stays, &leaves]));
    let running = [run(&stays), run(&leaves)];
    let (syncer, keeper, sender) = (bench.syncer(), bench.keeper(|| {}), bench.sender(1000, 4));
    (0..pick(40)).for_each(|_| thread::yield_now());
    bench.router.swap(table(&[&stays]));
    leaves.finish();
    let [one, gone] = running;
    gone.join().unwrap();
    leaves.queue.close();
    [sender, keeper].into_iter().for_each(|t| t.join().unwrap());
    stays.finish();
    one.join().unwrap();
    bench.over.store(true, Ordering::Release);
    syncer.join().unwrap();

    bench.durable.save(&bench.router.queues());
    assert_eq!(stays.delivered.all(), [1000, 1001, 1002, 1003]);
    let strangers = bench.durable.strangers(|name| name == "output.stays");
    let held = leaves.queue.depth().0;
    assert_eq!(strangers.len(), usize::from(held > 0), "held {held}");
    let received = leaves.queue.meter.get(Counter::Received);
    assert_eq!(leaves.delivered.len() as u64 + leaves.dropped() + held as u64, received);
}
