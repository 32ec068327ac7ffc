use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use message::Outcome;
use plugin::{Counter, Stop};
use shuttle::thread;

use crate::parts::{Log, in_order, noted, number, pick, rules, work};
use crate::plan::WhenFull;
use crate::queue::{Offered, Queue, Sender};

const EVERY: [WhenFull; 4] = [WhenFull::Hold, WhenFull::Block, WhenFull::DropOldest, WhenFull::DropNewest];

fn offer(queue: &Queue, numbers: impl IntoIterator<Item = i64>, heard: &Log<(i64, Outcome)>) {
    let stop = Stop::new();
    for n in numbers {
        let offered = queue.offer(work(n, noted(n, heard)), Sender::Input { can_wait: true, stop: &stop });
        assert!(matches!(offered, Offered::Taken { .. }));
    }
}

/// How a consumer ends.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Drained,
    Closed,
    Abandoned,
}

/// Senders wait for room, the consumer takes some work, gives some back and ends in one of three ways, and meanwhile the
/// rules change.
pub fn room_is_told_and_everything_is_counted() {
    let (end, policy) = ([End::Drained, End::Closed, End::Abandoned][pick(3)], EVERY[pick(4)]);
    let (queue, heard, popped) =
        (Arc::new(Queue::new(&"output.x".into(), rules(2, policy), Arc::default(), None)), Log::default(), Log::default());
    let senders = [1000, 2000].map(|first| {
        let (queue, heard) = (queue.clone(), heard.clone());
        thread::spawn(move || offer(&queue, first..first + 4, &heard))
    });
    let sent = Arc::new(AtomicBool::new(false));
    let change = {
        let queue = queue.clone();
        thread::spawn(move || queue.configure(rules(1 + pick(4), EVERY[pick(4)])))
    };
    let consumer = {
        let (queue, popped, sent) = (queue.clone(), popped.clone(), sent.clone());
        thread::spawn(move || consume(&queue, &popped, &sent, end))
    };
    senders.into_iter().for_each(|s| s.join().unwrap());
    sent.store(true, Ordering::Release);
    change.join().unwrap();
    consumer.join().unwrap();
    let (left, bytes, _) = queue.depth();
    let dropped = queue.meter.get(Counter::Dropped) as usize;
    assert_eq!((popped.len() + dropped + left, queue.meter.get(Counter::Received)), (8, 8), "{end:?}");
    assert_eq!((bytes, left > 0 && end != End::Abandoned), (0, false), "{end:?}");
    assert!(in_order(&popped.all()), "{:?}", popped.all());
    let abandoned = heard.all().iter().filter(|(_, outcome)| *outcome == Outcome::Abandoned).count();
    assert_eq!((heard.len(), abandoned), (8, left), "{end:?}");
}

fn consume(queue: &Queue, popped: &Log<i64>, sent: &AtomicBool, end: End) {
    for _ in 0..if end == End::Drained { 40 } else { pick(6) } {
        match queue.pop() {
            Some(work) if pick(4) == 0 => queue.unpop(work),
            Some(work) => popped.note(number(&work)),
            None => thread::yield_now(),
        }
    }
    match end {
        End::Drained => {
            while !sent.load(Ordering::Acquire) || !queue.is_empty() {
                match queue.pop() {
                    Some(work) => popped.note(number(&work)),
                    None => thread::yield_now(),
                }
            }
        }
        End::Closed => queue.close(),
        End::Abandoned => drop(queue.abandon()),
    }
}
