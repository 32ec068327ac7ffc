use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, bounded};
use foldhash::fast::FixedState;
use plugin::{Carried, Clock, Counter};

use crate::activity::{Activity, Deed, Doing};
use crate::slot::{Out, Slot, SlotSeed};
use crate::snapshot::Snapshot;
use crate::supervise::contained;

/// What a worker is told.
pub(crate) enum Command {
    /// Look at the ready list.
    Wake,
    Add {
        slot: u64,
        seed: Box<SlotSeed>,
        /// What it saved before.
        snapshot: Snapshot,
        answer: Channel<Result<(), String>>,
    },
    Replace {
        slot: u64,
        seed: Box<SlotSeed>,
        answer: Channel<Result<Carried, String>>,
    },
    /// Works off the queue, ticks a last time, saves, and lets the filter go; then `gone` is dropped.
    Remove {
        slot: u64,
        gone: Channel<()>,
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
    /// The worker's name: `worker-0`.
    pub name: String,
    /// Which filter's code it is in.
    pub activity: Activity,
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

    /// What it is in, when that has taken longer than `limit`.
    pub fn stuck(&self, limit: Duration) -> Option<Doing> {
        let now = Clock::real().steady();
        self.activity.doing().filter(|d| now.saturating_sub(d.since) > limit)
    }

    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.ready.lock().unwrap_or_else(|p| p.into_inner()))
    }
}

/// A thread that runs many filters, one batch of one filter at a time.
pub(crate) struct Worker {
    pub inbox: Arc<Inbox>,
    /// Filters that have their place on it.
    pub filters: usize,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// # Errors
    /// When the system has no thread left.
    pub fn start(number: usize) -> Result<Worker, String> {
        let (commands, receiver) = bounded(1024);
        let name = format!("worker-{number}");
        let inbox = Arc::new(Inbox { name: name.clone(), activity: Activity::default(), commands, ready: Mutex::default() });
        let mine = inbox.clone();
        let body = move || {
            Pool {
                inbox: mine,
                commands: receiver,
                slots: HashMap::default(),
                active: VecDeque::new(),
                due: BinaryHeap::new(),
                out: Out::default(),
                worked: Vec::new(),
                clock: Clock::real(),
            }
            .run()
        };
        let thread = thread::Builder::new().name(name).spawn(body).map_err(|e| format!("no thread for a worker: {e}"))?;
        Ok(Worker { inbox, filters: 0, thread: Some(thread) })
    }

    /// Waits for the answer to a command, but not for one that is stuck in a filter's code for longer than `limit`.
    ///
    /// # Errors
    /// Why there will be no answer.
    pub fn answer<T>(&self, answered: &Receiver<T>, limit: Duration) -> Result<T, String> {
        self.wait(answered, limit)?.ok_or_else(|| "its worker panicked".to_string())
    }

    /// As [`Worker::answer`], for a command that says by closing the channel that it is done.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn closed(&self, channel: &Receiver<()>, limit: Duration) -> Result<(), String> {
        self.wait(channel, limit).map(drop)
    }

    /// What comes by a channel; None when it is closed.
    fn wait<T>(&self, channel: &Receiver<T>, limit: Duration) -> Result<Option<T>, String> {
        loop {
            match channel.recv_timeout(LOOK) {
                Ok(answer) => return Ok(Some(answer)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(doing) = self.inbox.stuck(limit) {
                return Err(format!("{} is stuck {}", self.inbox.name, doing.deed));
            }
        }
    }

    /// Ends it. One that is stuck in a filter's code for longer than `limit` is left behind.
    pub fn join(mut self, limit: Duration) {
        let Some(thread) = self.thread.take() else { return };
        if let Some(doing) = self.inbox.stuck(limit) {
            return log::error!("{} is left behind, stuck {}", self.inbox.name, doing.deed);
        }
        self.inbox.send(Command::Stop);
        let _ = thread.join();
    }
}

struct Pool {
    inbox: Arc<Inbox>,
    commands: Receiver<Command>,
    slots: HashMap<u64, Box<Slot>, FixedState>,
    /// Slots with work, in turn.
    active: VecDeque<u64>,
    /// When slots want to be looked at; entries may be out of date.
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    out: Out,
    /// Those that worked in this turn, and how long. Scratch memory.
    worked: Vec<(u64, Duration)>,
    clock: Clock,
}

/// How often to look whether who owes an answer is stuck.
const LOOK: Duration = Duration::from_millis(50);

/// How long commands are obeyed before messages have their turn again.
const COMMANDS: Duration = Duration::from_millis(5);

impl Pool {
    fn run(mut self) {
        loop {
            let wait = if self.active.is_empty() { self.until_due() } else { Duration::ZERO };
            let mut command = self.commands.recv_timeout(wait).ok();
            let until = self.clock.steady() + COMMANDS;
            while let Some(next) = command {
                match contained(|| self.obey(next)) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(panic) => log::error!("a worker {panic}"),
                }
                command = if self.clock.steady() < until { self.commands.try_recv().ok() } else { None };
            }
            self.ready();
            self.turn();
            self.look_at_due();
        }
    }

    /// Lists the places whose queues have become non-empty.
    fn ready(&mut self) {
        for id in self.inbox.take() {
            self.list(id);
        }
    }

    fn list(&mut self, id: u64) {
        if let Some(slot) = self.slots.get_mut(&id)
            && !std::mem::replace(&mut slot.listed, true)
        {
            self.active.push_back(id);
        }
    }

    /// One batch for each slot that has work. Asking for CPU time is a system call, so it is asked for
    /// once a turn and shared out by the time each slot took.
    fn turn(&mut self) {
        if self.active.is_empty() {
            return;
        }
        let (cpu, mut since) = (Clock::thread_cpu(), self.clock.steady());
        for _ in 0..self.active.len() {
            let Some(id) = self.active.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            slot.listed = guarded(&self.inbox, slot, Slot::work) == Some(true) && !slot.seed.queue.is_empty();
            if slot.listed {
                self.active.push_back(id);
            }
            if slot.wants_at() != slot.planned {
                self.plan(id);
            }
            let now = self.clock.steady();
            self.worked.push((id, now - std::mem::replace(&mut since, now)));
        }
        self.account(Clock::thread_cpu() - cpu);
    }

    fn account(&mut self, cpu: Duration) {
        let whole: Duration = self.worked.iter().map(|(_, time)| *time).sum();
        let share = cpu.as_secs_f64() / whole.as_secs_f64().max(1e-9);
        for (id, time) in self.worked.drain(..) {
            if let Some(slot) = self.slots.get(&id) {
                slot.seed.standing.meter.add(Counter::CpuNs, (time.as_nanos() as f64 * share) as u64);
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
                guarded(&self.inbox, slot, Slot::look);
                self.plan(id);
                // A filter that started again may find work waiting.
                self.list(id);
            } else if slot.wants_at() != slot.planned {
                self.plan(id);
            }
        }
    }

    fn plan(&mut self, id: u64) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.planned = slot.wants_at();
        if let Some(at) = slot.planned {
            self.due.push(Reverse((at, id)));
        }
    }

    fn each(&mut self, call: impl Fn(&mut Slot)) {
        for slot in self.slots.values_mut() {
            guarded(&self.inbox, slot, &call);
        }
    }

    /// False when told to stop.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Wake => {}
            Command::Add { slot, seed, snapshot, answer } => {
                let starting = self.inbox.activity.call(Deed::Running(seed.filter.id.clone()));
                let outcome = Slot::new(*seed, snapshot, self.out.clone()).map(|new| drop(self.slots.insert(slot, Box::new(new))));
                drop(starting);
                self.plan(slot);
                self.list(slot);
                let _ = answer.send(outcome);
            }
            Command::Replace { slot: id, seed, answer } => match self.slots.get_mut(&id) {
                Some(slot) => {
                    guarded(&self.inbox, slot, |s| s.replace(*seed, answer));
                    self.plan(id);
                    self.list(id);
                }
                None => drop(answer.send(Err("the filter is gone".to_string()))),
            },
            Command::Remove { slot, gone } => {
                if let Some(mut slot) = self.slots.remove(&slot) {
                    work_off(&self.inbox, &mut slot);
                    guarded(&self.inbox, &mut slot, |s| s.tick(true));
                    guarded(&self.inbox, &mut slot, Slot::leave);
                    slot.seed.queue.close();
                    slot.end();
                }
                drop(gone);
            }
            Command::Drain { answer } => {
                let busy = self.slots.values_mut().filter_map(|slot| work_off(&self.inbox, slot).then_some(())).count();
                let _ = answer.send(busy > 0);
            }
            Command::LastTick { answer } => {
                self.each(|s| s.tick(true));
                let _ = answer.send(());
            }
            Command::Save { answer } => {
                self.each(Slot::save);
                let _ = answer.send(());
            }
            Command::Stop => {
                self.slots.drain().for_each(|(_, slot)| slot.end());
                return false;
            }
        }
        true
    }
}

/// Works off what waits now, and no more, so that it ends whoever still sends. True when there
/// was anything.
fn work_off(inbox: &Inbox, slot: &mut Slot) -> bool {
    guarded(inbox, slot, Slot::finish_probation);
    let (waiting, cpu) = (slot.seed.queue.len(), Clock::thread_cpu());
    let worked = (0..waiting).take_while(|_| guarded(inbox, slot, Slot::work) == Some(true)).count() > 0;
    slot.seed.standing.meter.add(Counter::CpuNs, (Clock::thread_cpu() - cpu).as_nanos() as u64);
    worked
}

/// A panic breaks down the filter it happened at; the worker and its other filters go on.
fn guarded<T>(inbox: &Inbox, slot: &mut Slot, call: impl FnOnce(&mut Slot) -> T) -> Option<T> {
    let _running = inbox.activity.call(Deed::Running(slot.seed.filter.id.clone()));
    contained(|| call(slot)).map_err(|panic| slot.break_down(&panic)).ok()
}
