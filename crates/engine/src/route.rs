use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::Sender as Channel;
use matcher::{Index, Matcher, Selected};
use message::{Batch, BatchBuilder, Pool, Selection, Ticket};
use plugin::Clock;

use crate::plan::ConsumerPlan;
use crate::queue::{Queue, Sender, Work};
use crate::reject;
use crate::worker::Inbox;

/// The routing table: every consumer with its queue, and all their matchers in one index. It is
/// swapped as a whole.
pub(crate) struct Table {
    index: Index,
    targets: Vec<Target>,
    /// Consumers that want rejects.
    rejects: Vec<usize>,
}

/// A consumer as the router sees it.
pub(crate) struct Target {
    id: Arc<str>,
    queue: Arc<Queue>,
    wake: Wake,
    matcher: Matcher,
    from: Vec<Arc<str>>,
    signer: Option<String>,
}

/// How a consumer learns that its queue is no longer empty.
#[derive(Clone)]
pub(crate) enum Wake {
    Worker { inbox: Arc<Inbox>, slot: u64 },
    Output(Channel<()>),
}

impl Wake {
    pub fn wake(&self) {
        match self {
            Wake::Worker { inbox, slot } => inbox.ready(*slot),
            // A full channel holds a wake-up already.
            Wake::Output(channel) => drop(channel.try_send(())),
        }
    }
}

impl Target {
    pub fn new(plan: &ConsumerPlan, queue: Arc<Queue>, wake: Wake) -> Target {
        Target { id: plan.id.clone(), queue, wake, matcher: plan.matcher.clone(), from: plan.from.clone(), signer: plan.signer.clone() }
    }

    fn takes_from(&self, source: &Arc<str>) -> bool {
        self.from.is_empty() || self.from.contains(source)
    }

    /// Narrows a selection to the signer this consumer trusts.
    fn signed(&self, batch: &Batch, selection: Selection) -> Selection {
        match &self.signer {
            None => selection,
            Some(signer) => selection.iter().filter(|i| batch.get(*i).signer() == signer.as_bytes()).map(|i| i as u32).collect(),
        }
    }
}

impl Table {
    pub fn new(targets: Vec<Target>) -> Table {
        let matchers = targets.iter().enumerate().map(|(i, t)| (i, t.matcher.clone())).collect();
        let rejects = (0..targets.len()).filter(|i| reject::wanted_by(&targets[*i].matcher)).collect();
        Table { index: Index::new(matchers), targets, rejects }
    }
}

/// Where all messages pass. It has no thread: senders evaluate the table themselves.
pub(crate) struct Router {
    table: ArcSwap<Table>,
    clock: Clock,
}

/// A selection this much smaller than its batch is copied out for a consumer that lags behind, so
/// that it does not keep whole batches in memory.
const SMALL: usize = 8;

impl Router {
    pub fn new() -> Router {
        Router { table: ArcSwap::from_pointee(Table::new(Vec::new())), clock: Clock::real() }
    }

    pub fn swap(&self, table: Table) {
        self.table.store(Arc::new(table));
    }

    pub fn wants_rejects(&self) -> bool {
        !self.table.load().rejects.is_empty()
    }

    fn deliver(&self, target: &Target, batch: &Arc<Batch>, selection: Selection, sender: Sender<'_>, now: Duration, copies: &mut Copies) {
        let selection = target.signed(batch, selection);
        if selection.is_empty() {
            return;
        }
        let small = selection.len() * SMALL <= batch.len() && target.queue.lags(batch.bytes());
        let (batch, selection) = if small { copied(batch, &selection, copies) } else { (batch.clone(), selection) };
        let work = Work { bytes: batch.bytes(), queued: now, batch, selection };
        if target.queue.push(work, sender) {
            target.wake.wake();
        }
    }
}

/// One sender's access to the router, with its scratch memory.
pub(crate) struct Port {
    router: Arc<Router>,
    source: Arc<str>,
    selected: Selected,
    copies: Copies,
}

/// Makes copies of small selections, in memory of earlier ones. There is none until one is needed: most
/// filters never copy any.
type Copies = Option<Box<BatchBuilder>>;

impl Port {
    /// `source` is the sender's name, such as `input.access`.
    pub fn new(router: Arc<Router>, source: Arc<str>) -> Port {
        Port { router, source, selected: Selected::default(), copies: None }
    }

    pub fn wants_rejects(&self) -> bool {
        self.router.wants_rejects()
    }

    /// Gives each consumer its selection.
    pub fn send(&mut self, batch: Batch, sender: Sender<'_>) {
        let Port { router, source, selected, copies } = self;
        let (batch, table) = (Arc::new(batch), router.table.load());
        table.index.select(&batch, selected);
        let now = router.clock.steady();
        for (consumer, selection) in selected.selections() {
            let target = &table.targets[consumer];
            // A filter never gets back what it injected itself, whatever it matches.
            if target.id != *source && target.takes_from(source) {
                router.deliver(target, &batch, selection, sender, now, copies);
            }
        }
    }

    /// Gives rejects to those consumers that name them.
    pub fn send_rejects(&mut self, batch: Batch, sender: Sender<'_>) {
        let batch = Arc::new(batch);
        let (table, now) = (self.router.table.load(), self.router.clock.steady());
        for target in table.rejects.iter().map(|i| &table.targets[*i]).filter(|t| t.takes_from(&self.source)) {
            let list = (0..batch.len()).filter(|i| target.matcher.matches(batch.get(*i))).map(|i| i as u32).collect();
            self.router.deliver(target, &batch, list, sender, now, &mut self.copies);
        }
    }
}

fn copied(batch: &Arc<Batch>, selection: &Selection, copies: &mut Copies) -> (Arc<Batch>, Selection) {
    // Taken out: nothing half copied is left should a panic pass.
    let mut builder = copies.take().unwrap_or_else(|| Box::new(BatchBuilder::new(Pool::new())));
    for m in batch.selected(selection) {
        builder.copy(m);
    }
    let copy = builder.finish_with(Ticket::derived(vec![batch.ticket().clone()]));
    *copies = Some(builder);
    let all = copy.all();
    (Arc::new(copy), all)
}
