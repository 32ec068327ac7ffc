use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender as Channel, bounded, select};
use plugin::{Clock, Counter};

use super::lane::{Lane, Load, Source};
use super::order::Order;
use super::runner::Runner;
use super::{Asked, OutputSeed};
use crate::queue::Work;
use crate::status::{Shared, Standing};
use crate::supervise::{BackOff, contained, failed};

/// An output with several instances: shares its queue out to them.
///
/// A lane delivers, retries and fails by itself. What all of them hold is bounded as it is for a single one: messages by
/// `unconfirmed`, bytes by `queue`. Without an order a lane gets no more than it delivers next, so that one which is stuck
/// keeps little; with one, what waits for it is behind it, and may take all there is.
pub(super) struct Lanes {
    seed: OutputSeed,
    order: Order,
    running: Vec<Running>,
    /// How many breakers are open.
    open: Arc<AtomicUsize>,
    asked: Asked,
    wakes: Receiver<()>,
    room: (Channel<()>, Receiver<()>),
    /// Nothing more will come to the lanes.
    last: Arc<AtomicBool>,
    wanted: usize,
    /// Most that all lanes may hold.
    most: Load,
    /// What a lane is to deliver next.
    next: Load,
}

struct Running {
    lane: Arc<Lane>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Lanes {
    pub fn new(seed: OutputSeed, wanted: usize, asked: Asked, wakes: Receiver<()>) -> Lanes {
        let o = &seed.output.spec.options;
        let count = |name| usize::try_from(o.integer(name)).unwrap_or(0).max(1);
        let most = Load { messages: count("unconfirmed"), bytes: o.size("queue").max(1) };
        let next = Load { messages: count("batch_count"), bytes: o.size("batch_bytes").max(1) };
        let (order, running, open, room, last) = (Order::of(o), Vec::new(), Arc::default(), bounded(1), Arc::default());
        Lanes { seed, order, running, open, asked, wakes, room, last, wanted, most, next }
    }

    /// Until it is finished or stopped. What was not delivered goes back to the queue.
    pub fn run(mut self) {
        let mut back_off = BackOff::default();
        loop {
            self.seed.standing.shared.starting();
            let ran = contained(|| self.start().and_then(|()| self.share_out()));
            let Err(why) = ran.and_then(|ran| ran) else { break };
            if self.asked.stop.wait(failed(&self.seed.output.id, &self.seed.standing, &mut back_off, &why)) {
                break;
            }
        }
        self.asked.stop.ask();
        self.give_back();
        self.seed.standing.shared.set_lanes(Vec::new());
        self.seed.standing.shared.ended("stopped");
    }

    /// Starts the lanes that do not run yet.
    fn start(&mut self) -> Result<(), String> {
        while self.running.len() < self.wanted {
            let (wake, wakes) = bounded(1);
            let lane = Arc::new(Lane::new(wake, self.room.0.clone()));
            let standing = Standing { meter: self.seed.standing.meter.clone(), shared: Arc::default() };
            let shared = standing.shared.clone();
            let seed = OutputSeed { standing, ..self.seed.clone() };
            let asked = Asked { finish: self.last.clone(), ..self.asked.clone() };
            let runner = Runner::new(seed, Source::Lane(lane.clone()), asked, wakes, self.open.clone());
            let own = lane.clone();
            let body = move || {
                runner.supervise();
                own.end();
            };
            let name = format!("{}/{}", self.seed.output.id, self.running.len() + 1);
            let thread = thread::Builder::new().name(name).spawn(body).map_err(|e| format!("no thread for a lane: {e}"))?;
            self.running.push(Running { lane, shared, thread });
        }
        self.seed.standing.shared.set_lanes(self.running.iter().map(|r| r.shared.clone()).collect());
        Ok(())
    }

    fn share_out(&mut self) -> Result<(), String> {
        let mut used = Clock::thread_cpu();
        loop {
            while !self.asked.stop.asked() && self.has_room() {
                let Some(work) = self.seed.queue.pop() else { break };
                self.hand_on(work);
            }
            if self.asked.finish.load(Ordering::Acquire) && self.seed.queue.is_empty() && !self.last.swap(true, Ordering::AcqRel) {
                self.running.iter().for_each(|r| r.lane.wake());
            }
            if self.asked.stop.asked() || self.running.iter().all(|r| r.lane.ended()) {
                return Ok(());
            }
            let now = Clock::thread_cpu();
            self.seed.standing.meter.add(Counter::CpuNs, (now - std::mem::replace(&mut used, now)).as_nanos() as u64);
            let reachable = select! {
                recv(self.wakes) -> woken => woken.is_ok(),
                recv(self.room.1) -> _ => true,
            };
            if !reachable {
                return Ok(());
            }
        }
    }

    /// Whether more may be taken from the queue, and there is a lane to give it to.
    fn has_room(&self) -> bool {
        let loads: Vec<(Load, Load)> = self.running.iter().map(|r| r.lane.load()).collect();
        let all = loads.iter().map(|(waiting, taken)| waiting.and(*taken)).fold(Load::default(), Load::and);
        let wanting = |(waiting, _): &(Load, Load)| waiting.messages < self.next.messages && waiting.bytes < self.next.bytes;
        all.messages < self.most.messages && all.bytes < self.most.bytes && (!self.order.is_none() || loads.iter().any(wanting))
    }

    fn hand_on(&self, work: Work) {
        if !self.order.is_none() {
            let shares = self.order.split(work, self.running.len());
            return shares.into_iter().for_each(|(lane, share)| self.running[lane].lane.push(share));
        }
        for piece in pieces(work, self.next.messages) {
            // One that is refused holds little, and yet wants nothing.
            let rank = |(waiting, taken): (Load, Load)| {
                (waiting.messages >= self.next.messages || waiting.bytes >= self.next.bytes, waiting.and(taken).messages)
            };
            if let Some(least) = self.running.iter().min_by_key(|r| rank(r.lane.load())) {
                least.lane.push(piece);
            }
        }
    }

    /// Ends the lanes; the order of each is kept, and among them that in which their work was queued.
    fn give_back(&mut self) {
        let lanes = std::mem::take(&mut self.running);
        lanes.iter().for_each(|r| r.lane.wake());
        let mut left: Vec<VecDeque<Work>> = Vec::new();
        for Running { lane, thread, .. } in lanes {
            let _ = thread.join();
            left.push(lane.take_all());
        }
        let mut all = Vec::new();
        while let Some(first) = left.iter_mut().filter(|works| !works.is_empty()).min_by_key(|works| works[0].queued) {
            all.extend(first.pop_front());
        }
        all.into_iter().rev().for_each(|work| self.seed.queue.unpop(work));
    }
}

/// Work in pieces of no more than so many messages.
fn pieces(work: Work, most: usize) -> Vec<Work> {
    if work.selection.len() <= most {
        return vec![work];
    }
    let indices: Vec<u32> = work.selection.iter().map(|i| i as u32).collect();
    indices.chunks(most).map(|piece| work.part(piece.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::work;

    #[test]
    fn large_work_goes_in_pieces() {
        let lens = |n, most| pieces(work(n), most).iter().map(|w| w.selection.len()).collect::<Vec<_>>();
        assert_eq!((lens(10, 4), lens(4, 4), lens(1, 1)), (vec![4, 4, 2], vec![4], vec![1]));
    }
}
