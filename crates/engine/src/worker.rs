use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender as Channel, bounded};
use plugin::{Carried, Clock};

use crate::slot::{Slot, SlotSeed};

/// What a worker is told.
pub(crate) enum Command {
    /// Look at the ready list.
    Wake,
    Add {
        slot: u64,
        seed: Box<SlotSeed>,
        answer: Channel<Result<(), String>>,
    },
    Replace {
        slot: u64,
        seed: Box<SlotSeed>,
        answer: Channel<Result<Carried, String>>,
    },
    /// Works off the queue, ticks a last time, saves, and lets the filter go.
    Remove {
        slot: u64,
        answer: Channel<()>,
    },
    /// Works off all queues; the answer tells whether there was anything to do.
    Drain {
        answer: Channel<bool>,
    },
    /// A last tick for every filter.
    LastTick {
        answer: Channel<()>,
    },
    /// Saves every filter's state.
    Save {
        answer: Channel<()>,
    },
    Stop,
}

/// Where a worker is told what to do: commands, and the slots whose queues have become non-empty.
pub(crate) struct Inbox {
    commands: Channel<Command>,
    ready: Mutex<Vec<u64>>,
}

impl Inbox {
    /// The queue of this slot has work.
    pub fn ready(&self, slot: u64) {
        let mut ready = self.ready.lock().unwrap_or_else(|p| p.into_inner());
        ready.push(slot);
        if ready.len() == 1 {
            drop(ready);
            // With a full channel the worker is about to look anyway.
            let _ = self.commands.try_send(Command::Wake);
        }
    }

    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    fn take(&self, into: &mut VecDeque<u64>) {
        into.extend(self.ready.lock().unwrap_or_else(|p| p.into_inner()).drain(..));
    }
}

/// A thread that runs many filters, one batch of one filter at a time.
pub(crate) struct Worker {
    pub inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// # Errors
    /// When the system has no thread left.
    pub fn start(number: usize) -> Result<Worker, String> {
        let (commands, receiver) = bounded(1024);
        let inbox = Arc::new(Inbox { commands, ready: Mutex::default() });
        let mine = inbox.clone();
        let body = move || {
            Pool {
                inbox: mine,
                commands: receiver,
                slots: HashMap::new(),
                active: VecDeque::new(),
                due: BinaryHeap::new(),
                clock: Clock::real(),
            }
            .run()
        };
        let thread =
            thread::Builder::new().name(format!("worker-{number}")).spawn(body).map_err(|e| format!("no thread for a worker: {e}"))?;
        Ok(Worker { inbox, thread: Some(thread) })
    }

    pub fn join(mut self) {
        self.inbox.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Pool {
    inbox: Arc<Inbox>,
    commands: Receiver<Command>,
    slots: HashMap<u64, Slot>,
    /// Slots with work, in turn.
    active: VecDeque<u64>,
    /// When slots want to be looked at; entries may be out of date.
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    clock: Clock,
}

impl Pool {
    fn run(mut self) {
        loop {
            let wait = if self.active.is_empty() { self.until_due() } else { Duration::ZERO };
            if let Ok(command) = self.commands.recv_timeout(wait)
                && !self.obey(command)
            {
                return;
            }
            while let Ok(command) = self.commands.try_recv() {
                if !self.obey(command) {
                    return;
                }
            }
            self.inbox.take(&mut self.active);
            self.turn();
            self.look_at_due();
        }
    }

    /// One batch for each slot that has work.
    fn turn(&mut self) {
        for _ in 0..self.active.len() {
            let Some(id) = self.active.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            let (before, worked) = (slot.wants_at(), slot.work());
            if worked && !slot.seed.queue.is_empty() {
                self.active.push_back(id);
            }
            if slot.wants_at() != before {
                self.plan(id);
            }
        }
    }

    fn until_due(&self) -> Duration {
        self.due.peek().map_or(Duration::from_secs(3600), |Reverse((at, _))| at.saturating_sub(self.clock.steady()))
    }

    fn look_at_due(&mut self) {
        let now = self.clock.steady();
        while let Some(Reverse((at, id))) = self.due.peek().copied() {
            if at > now {
                break;
            }
            self.due.pop();
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            if slot.wants_at().is_some_and(|wants| wants <= now) {
                slot.look();
                // A filter that started again may find work waiting.
                self.active.push_back(id);
                self.plan(id);
            }
        }
    }

    fn plan(&mut self, id: u64) {
        if let Some(at) = self.slots.get(&id).and_then(Slot::wants_at) {
            self.due.push(Reverse((at, id)));
        }
    }

    /// False when told to stop.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Wake => {}
            Command::Add { slot, seed, answer } => {
                let outcome = Slot::new(*seed).map(|new| drop(self.slots.insert(slot, new)));
                self.plan(slot);
                self.active.push_back(slot);
                let _ = answer.send(outcome);
            }
            Command::Replace { slot: id, seed, answer } => match self.slots.get_mut(&id) {
                Some(slot) => {
                    slot.replace(*seed, answer);
                    self.active.push_back(id);
                    self.plan(id);
                }
                None => drop(answer.send(Err("the filter is gone".to_string()))),
            },
            Command::Remove { slot, answer } => {
                if let Some(mut slot) = self.slots.remove(&slot) {
                    slot.finish_probation();
                    while slot.work() {}
                    slot.tick(true);
                    slot.save();
                    slot.seed.queue.close();
                }
                let _ = answer.send(());
            }
            Command::Drain { answer } => {
                let mut worked = false;
                self.inbox.take(&mut self.active);
                for slot in self.slots.values_mut() {
                    slot.finish_probation();
                    while slot.work() {
                        worked = true;
                    }
                }
                let _ = answer.send(worked);
            }
            Command::LastTick { answer } => {
                self.slots.values_mut().for_each(|s| s.tick(true));
                let _ = answer.send(());
            }
            Command::Save { answer } => {
                self.slots.values_mut().for_each(Slot::save);
                let _ = answer.send(());
            }
            Command::Stop => return false,
        }
        true
    }
}
