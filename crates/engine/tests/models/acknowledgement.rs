use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use message::{Outcome, Span, Ticket};
use plugin::{Acceptance, Checkpoint};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shuttle::thread;

use crate::origin::Positions;
use crate::parts::{Log, pick};
use crate::progress::{Place, Progress};
use crate::ticket;
use crate::tracker::Tracker;

/// Copies and what is derived are let go on several threads, some without a verdict.
pub fn a_ticket_settles_once_with_the_worst_outcome() {
    let (parent, own) = (Log::default(), Log::default());
    let (to_parent, to_own) = (parent.clone(), own.clone());
    let first = ticket::Ticket::new(move |outcome| to_parent.note(outcome));
    let derived = ticket::Ticket::derived(vec![first.clone(), ticket::Ticket::none()]);
    let child = ticket::Ticket::following(derived.clone(), move |outcome| to_own.note(outcome));
    // Which of the three holders abandons, and whether its verdict concerns the child.
    let holders = [(first, false), (derived, false), (child.clone(), true), (child, true)].map(|(ticket, below)| {
        let abandons = pick(4) == 0;
        let settled = parent.clone();
        let body = move || {
            if abandons {
                ticket.abandon();
            }
            thread::yield_now();
            assert_eq!(settled.len(), 0, "somebody holds it still");
            drop(ticket);
        };
        (thread::spawn(body), abandons, below)
    });
    let (mut any, mut any_below) = (false, false);
    for (thread, abandons, below) in holders {
        thread.join().unwrap();
        any |= abandons;
        any_below |= abandons && below;
    }
    let outcome = |abandoned| if abandoned { ticket::Outcome::Abandoned } else { ticket::Outcome::Accepted };
    assert_eq!((parent.all(), own.all()), (vec![outcome(any)], vec![outcome(any_below)]));
}

/// So many batches of one stream, ten bytes each.
const BATCHES: u64 = 4;

fn tracker() -> Arc<Tracker> {
    let tracker = Arc::new(Tracker::new("input.a".into(), Vec::new(), crossbeam_channel::bounded(1).0));
    tracker.open(1, Checkpoint { key: "a".into(), identity: "x".into(), ..Checkpoint::default() });
    tracker.accepted_if_changed();
    tracker
}

fn batch(tracker: &Arc<Tracker>, number: u64) -> (Ticket, Place) {
    let span = Span { stream: 1, from: number * 10, to: number * 10 + 10 };
    let (ticket, origin) = tracker.ticket(&[span], &mut BTreeMap::new());
    (ticket, Place { origin, ..Place::default() })
}

/// Two consumers, one of them followed by its progress, let go of batches in any order, one of which perhaps without a
/// verdict; meanwhile positions are written down.
pub fn positions_never_pass_what_is_not_settled() {
    let (tracker, progress) = (tracker(), Arc::new(Progress::default()));
    progress.start(Positions::default(), 0);
    // Batch 9 is none.
    let (abandoned, released, saved) = ([0, 1, 2, 9, 9][pick(5)], [Log::default(), Log::default()], Log::default());
    let (mut direct, mut followed) = (Vec::new(), Vec::new());
    let mut life = 0;
    for number in 0..BATCHES {
        let (ticket, place) = batch(&tracker, number);
        life = place.origin.as_ref().map_or(0, |o| o.reached[0].life);
        direct.push((number, ticket.clone()));
        followed.push((number, progress.follow(ticket, place, None, Duration::ZERO).1));
    }
    let consumers = [(0, direct), (1, followed)].map(|(who, mut tickets)| {
        let released = released[who].clone();
        thread::spawn(move || {
            while !tickets.is_empty() {
                let (number, ticket) = tickets.remove(pick(tickets.len()));
                if who == 1 && number == abandoned {
                    ticket.abandon();
                } else {
                    released.note(number);
                }
                thread::yield_now();
                drop(ticket);
            }
        })
    });
    let save = {
        let (tracker, progress, saved, released) = (tracker.clone(), progress.clone(), saved.clone(), released.clone());
        move || {
            if let Some(list) = tracker.accepted_if_changed() {
                let position = list[0].checkpoint.position;
                assert!((0..position / 10).all(|n| released.iter().all(|log| log.all().contains(&n))), "{position}");
                saved.note(position);
            }
            if let Some(positions) = progress.positions_if_changed() {
                let position = positions.of("input.a", life).unwrap_or_default();
                assert!((0..position / 10).all(|n| released[1].all().contains(&n)), "{position}");
            }
        }
    };
    let saver = thread::spawn({
        let save = save.clone();
        move || (0..6).for_each(|_| save_and_yield(&save))
    });
    consumers.into_iter().for_each(|c| c.join().unwrap());
    saver.join().unwrap();
    save();
    let reached = abandoned.min(BATCHES) * 10;
    assert_eq!((saved.all().last().copied().unwrap_or_default(), tracker.settled()), (reached, true));
    assert!(saved.all().is_sorted());
}

fn save_and_yield(save: &impl Fn()) {
    save();
    thread::yield_now();
}

/// A sender waits for the answer as inputs do: it polls, and asks once there is something to hear.
pub fn a_sender_that_waits_hears_of_acceptance() {
    let tracker = tracker();
    tracker.open(2, Checkpoint::default());
    tracker.await_acceptance(2, 0);
    let loses = pick(3) == 0;
    let tickets = [1, 2, 3].map(|n| {
        let (stream, to) = (2, n * 10);
        tracker.ticket(&[Span { stream, from: to - 10, to }], &mut BTreeMap::new()).0
    });
    let waiter = {
        let tracker = tracker.clone();
        thread::spawn(move || {
            let mut last = 0;
            loop {
                while !readable(&tracker) {
                    thread::yield_now();
                }
                let Acceptance { position, lost } = tracker.acceptance(2);
                assert!(position >= last);
                last = position;
                if lost || position == 30 {
                    return (position, lost);
                }
            }
        })
    };
    let consumers = tickets.map(|ticket| {
        let abandons = loses && pick(2) == 0;
        thread::spawn(move || {
            if abandons {
                ticket.abandon();
            }
            thread::yield_now();
            drop(ticket);
            abandons
        })
    });
    let abandons = consumers.map(|c| c.join().unwrap());
    let accepted = abandons.iter().take_while(|a| !**a).count() as u64 * 10;
    assert_eq!(waiter.join().unwrap(), (accepted, abandons.contains(&true)));
}

fn readable(tracker: &Tracker) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(tracker.acknowledged.fd(), PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1)
}
