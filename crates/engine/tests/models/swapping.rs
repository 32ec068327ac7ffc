use std::sync::Arc;

use shuttle::thread;

use crate::parts::{Consumer, Log, in_order, noted, rules, send, sorted, table};
use crate::plan::WhenFull;
use crate::route::Router;

/// One consumer is in both tables, one leaves and one comes.
pub fn a_swap_of_the_table_loses_and_repeats_nothing() {
    let [stays, leaves, comes] =
        ["output.stays", "output.leaves", "output.comes"].map(|n| Consumer::new(n, rules(2, WhenFull::Hold), None));
    let (router, heard) = (Arc::new(Router::new(None)), Log::default());
    router.swap(table(&[&stays, &leaves]));
    let running = [&stays, &leaves, &comes].map(|c| c.clone()).map(|c| thread::spawn(move || c.run()));
    let senders = [1000, 2000].map(|first| {
        let (router, heard) = (router.clone(), heard.clone());
        thread::spawn(move || send(&router, first..first + 3, |n| noted(n, &heard)))
    });
    thread::yield_now();
    router.swap(table(&[&stays, &comes]));
    // As it is removed: it delivers what it has, and what comes yet from a sender with the old table is dropped.
    leaves.finish();
    let [one, gone, two] = running;
    gone.join().unwrap();
    leaves.queue.close();
    senders.into_iter().for_each(|s| s.join().unwrap());
    [&stays, &comes].iter().for_each(|c| c.finish());
    [one, two].into_iter().for_each(|r| r.join().unwrap());

    let sent: Vec<i64> = (1000..1003).chain(2000..2003).collect();
    let [all, old, new] = [&stays, &leaves, &comes].map(|c| c.delivered.all());
    assert!([&all, &old, &new].iter().all(|list| in_order(list)));
    assert_eq!(sorted(all), sent);
    assert!(old.iter().all(|n| !new.contains(n)));
    assert_eq!(old.len() + new.len() + leaves.dropped() as usize, sent.len());
    assert_eq!(sorted(heard.all()), sent.iter().map(|n| (*n, message::Outcome::Accepted)).collect::<Vec<_>>());
    assert_eq!([&stays, &leaves, &comes].map(|c| c.queue.depth().1), [0; 3]);
}
