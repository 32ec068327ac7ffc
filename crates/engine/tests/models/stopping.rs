use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use message::Outcome;
use plugin::{Counter, Stop};
use shuttle::thread::{self, JoinHandle};

use crate::parts::{Log, noted, number, pick, rules, work};
use crate::plan::WhenFull;
use crate::queue::{Queue, Sender};
use crate::sync;
use crate::tracker::Tracker;

fn tracker() -> Arc<Tracker> {
    Arc::new(Tracker::new("input.a".into(), Vec::new(), crossbeam_channel::bounded(1).0))
}

/// An input waits until batches give their memory back; time does not help it.
pub fn memory_given_back_wakes_the_input() {
    let (tracker, stop) = (tracker(), Stop::new());
    let loans = [4, 3, 2, 1].map(|bytes| tracker.lend(bytes));
    let holders = loans.map(|loan| {
        let copy = loan.clone();
        [thread::spawn(move || drop(loan)), thread::spawn(move || drop(copy))]
    });
    tracker.wait_below([0, 5][pick(2)], &stop);
    holders.into_iter().flatten().for_each(|h| h.join().unwrap());
    tracker.wait_below(0, &stop);
}

/// Nobody takes anything, and time passes.
pub fn a_stop_ends_every_wait_and_loses_nothing() {
    let (tracker, stop, heard) = (tracker(), Stop::new(), Log::default());
    let policy = [WhenFull::Hold, WhenFull::Block, WhenFull::Spill][pick(3)];
    let queue = Arc::new(Queue::new(&"output.x".into(), rules(2, policy), Arc::default(), None));
    let senders = [1000, 2000].map(|first| {
        let (queue, stop, heard) = (queue.clone(), stop.clone(), heard.clone());
        thread::spawn(move || {
            for n in (first..first + 3).take_while(|_| !stop.asked()) {
                queue.offer(work(n, noted(n, &heard)), Sender::Input { can_wait: true, stop: &stop });
            }
        })
    });
    let loan = tracker.lend(10);
    let input = {
        let (tracker, stop) = (tracker.clone(), stop.clone());
        thread::spawn(move || tracker.wait_below(5, &stop))
    };
    let (over, clock) = clock();
    (0..pick(20)).for_each(|_| thread::yield_now());
    stop.ask();
    senders.into_iter().chain([input]).for_each(|t| t.join().unwrap());
    over.store(true, Ordering::Release);
    clock.join().unwrap();
    drop(loan);
    let (waits, received) = (queue.depth().0, queue.meter.get(Counter::Received) as usize);
    assert_eq!((waits, heard.len()), (received, 0));
    assert_eq!((queue.abandon(), queue.depth().1), (received, 0));
    assert!(heard.len() == received && heard.all().iter().all(|(_, outcome)| *outcome == Outcome::Abandoned));
}

fn clock() -> (Arc<AtomicBool>, JoinHandle<()>) {
    let over = Arc::new(AtomicBool::new(false));
    let seen = over.clone();
    let clock = thread::spawn(move || {
        while !seen.load(Ordering::Acquire) {
            sync::tick();
            thread::yield_now();
        }
    });
    (over, clock)
}

/// The program stops while an output, which does not, takes work and gives it back.
pub fn what_an_output_left_behind_gives_back_is_not_accepted() {
    let heard = Log::default();
    let queue = Arc::new(Queue::new(&"output.x".into(), rules(9, WhenFull::Hold), Arc::default(), None));
    let (stop, delivered) = (Stop::new(), Log::default());
    for n in 0..4 {
        queue.offer(work(n, noted(n, &heard)), Sender::Input { can_wait: true, stop: &stop });
    }
    let output = {
        let (queue, delivered) = (queue.clone(), delivered.clone());
        thread::spawn(move || {
            let taken: Vec<_> = (0..3).filter_map(|_| queue.pop()).collect();
            for work in taken.into_iter().rev() {
                thread::yield_now();
                match pick(2) {
                    0 => delivered.note(number(&work)),
                    _ => queue.unpop(work),
                }
            }
        })
    };
    thread::yield_now();
    queue.abandon();
    output.join().unwrap();
    let (left, bytes, _) = queue.depth();
    drop(queue);
    let accepted = heard.all().iter().filter(|(_, outcome)| *outcome == Outcome::Accepted).count();
    assert_eq!((accepted, left, bytes), (delivered.len(), 4 - delivered.len(), 0));
}
