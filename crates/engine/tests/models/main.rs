//! Models of the engine's hand-written concurrency: its sources once more, on locks whose schedules are explored at random
//! (shuttle). What fails prints a schedule, which `shuttle::replay` repeats.
//!
//! Real are queue, backlog, progress, tracker, ticket, router, the journal and its user; the journal is on a disk in memory
//! and counts as one step. Stand-ins are below. Time passes only where a model says so: elsewhere a wait with a timeout
//! ends by being told or never, so that a lost wake-up is a deadlock.
//!
//! Not on the harness of the standard library, under which the tests inside these sources would run outside of shuttle.

#![allow(dead_code, unused_imports, reason = "the sources offer more than is modelled")]

#[path = "../../src/backlog.rs"]
mod backlog;
#[path = "../../src/durable.rs"]
mod durable;
#[path = "../../src/journalled.rs"]
mod journalled;
#[path = "../../src/origin.rs"]
mod origin;
#[path = "../../src/progress.rs"]
mod progress;
#[path = "../../src/queue.rs"]
mod queue;
#[path = "../../src/reject.rs"]
mod reject;
#[path = "../../src/route.rs"]
mod route;
#[path = "../../../message/src/ticket.rs"]
mod ticket;
#[path = "../../src/tracker.rs"]
mod tracker;

mod acknowledgement;
mod credits;
mod disk;
mod parts;
mod spilling;
mod stopping;
mod swapping;
mod sync;

/// Stand-in: nobody asks what a thread of a model waits for.
mod activity {
    pub fn waiting(_what: impl FnOnce() -> String) {}
}

/// Stand-in: what the router and queues use of a plan.
mod plan {
    use std::sync::Arc;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum WhenFull {
        Spill,
        Hold,
        DropOldest,
        DropNewest,
        Block,
    }

    pub struct ConsumerPlan {
        pub id: Arc<str>,
        pub matcher: matcher::Matcher,
        pub from: Vec<Arc<str>>,
        pub signer: Option<String>,
    }
}

/// Stand-in: consumers of the models are woken as outputs are.
mod worker {
    pub struct Inbox;

    impl Inbox {
        pub fn ready(&self, _slot: u64) {}
    }
}

/// Name, how many schedules are tried, and the model.
const MODELS: &[(&str, usize, fn())] = &[
    ("a_swap_of_the_table_loses_and_repeats_nothing", 4500, swapping::a_swap_of_the_table_loses_and_repeats_nothing),
    ("room_is_told_and_everything_is_counted", 9000, credits::room_is_told_and_everything_is_counted),
    ("a_ticket_settles_once_with_the_worst_outcome", 6000, acknowledgement::a_ticket_settles_once_with_the_worst_outcome),
    ("positions_never_pass_what_is_not_settled", 4500, acknowledgement::positions_never_pass_what_is_not_settled),
    ("a_sender_that_waits_hears_of_acceptance", 4500, acknowledgement::a_sender_that_waits_hears_of_acceptance),
    ("what_spills_comes_once_and_in_order", 12000, spilling::what_spills_comes_once_and_in_order),
    ("while_the_disk_is_full_order_is_kept", 6000, spilling::while_the_disk_is_full_order_is_kept),
    ("what_is_written_is_not_in_memory", 3000, spilling::what_is_written_is_not_in_memory),
    ("what_was_acknowledged_survives_the_process", 3000, spilling::what_was_acknowledged_survives_the_process),
    ("who_is_removed_leaves_no_cursor", 3000, spilling::who_is_removed_leaves_no_cursor),
    ("memory_given_back_wakes_the_input", 4500, stopping::memory_given_back_wakes_the_input),
    ("a_stop_ends_every_wait_and_loses_nothing", 4500, stopping::a_stop_ends_every_wait_and_loses_nothing),
    ("what_an_output_left_behind_gives_back_is_not_accepted", 4500, stopping::what_an_output_left_behind_gives_back_is_not_accepted),
];

/// Arguments are parts of names, as for other tests. `MODEL_TIMES=100` tries as many times more schedules.
fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let chosen: Vec<_> = MODELS.iter().filter(|(name, ..)| wanted.is_empty() || wanted.iter().any(|w| name.contains(w))).collect();
    let failed = std::thread::scope(|scope| {
        let running: Vec<_> = chosen.iter().map(|model| (model.0, scope.spawn(|| explore(model)))).collect();
        running.into_iter().filter_map(|(name, thread)| thread.join().is_err().then_some(name)).collect::<Vec<_>>()
    });
    println!("{} models, failed: {failed:?}", chosen.len());
    std::process::exit(i32::from(!failed.is_empty()));
}

fn explore((name, schedules, model): &(&str, usize, fn())) {
    let mut config = shuttle::Config::new();
    // Matchers and the journal need more than the default; a thread that polls in vain this long waits for nothing.
    config.stack_size = 256 << 10;
    config.max_steps = shuttle::MaxSteps::FailAfter(50_000);
    let since = std::time::Instant::now();
    let times = std::env::var("MODEL_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let (model, schedules) = (*model, schedules * times);
    let schedule = move || {
        sync::reset();
        model();
    };
    // Half of them any thread at any step, half with a thread that stays behind for long.
    shuttle::Runner::new(shuttle::scheduler::RandomScheduler::new(schedules / 2), config.clone()).run(schedule);
    shuttle::Runner::new(shuttle::scheduler::PctScheduler::new(3, schedules / 2), config).run(schedule);
    println!("model {name}: {schedules} schedules, {:.1?}", since.elapsed());
}
