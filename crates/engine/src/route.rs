use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::Sender as Channel;
use matcher::{Index, Matcher, Selected};
use message::{Batch, BatchBuilder, Pool, Selection, Ticket};
use plugin::Clock;

use crate::durable::{Durable, Entry};
use crate::origin::{Had, Life, Origin};
use crate::plan::ConsumerPlan;
use crate::progress::Place;
use crate::queue::{Offered, Queue, Sender, Work};
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
    /// What it had already when it was started.
    had: Arc<Had>,
}

/// A batch on its way, with what its sender hears and where it comes from.
pub(crate) struct Parcel {
    pub batch: Arc<Batch>,
    pub ticket: Ticket,
    pub origin: Option<Arc<Origin>>,
}

impl From<Batch> for Parcel {
    /// One that nobody waits for.
    fn from(batch: Batch) -> Parcel {
        Parcel { batch: Arc::new(batch), ticket: Ticket::none(), origin: None }
    }
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
    pub fn new(plan: &ConsumerPlan, queue: Arc<Queue>, wake: Wake, had: Arc<Had>) -> Target {
        let ConsumerPlan { id, matcher, from, signer, .. } = plan;
        Target { id: id.clone(), queue, wake, matcher: matcher.clone(), from: from.clone(), signer: signer.clone(), had }
    }

    fn has(&self, origin: Option<&Origin>) -> bool {
        origin.is_some_and(|origin| self.had.covers(origin))
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
    durable: Option<Arc<Durable>>,
}

/// A selection this much smaller than its batch is copied out for a consumer that lags behind, so
/// that it does not keep whole batches in memory.
const SMALL: usize = 8;

impl Router {
    pub fn new(durable: Option<Arc<Durable>>) -> Router {
        Router { table: ArcSwap::from_pointee(Table::new(Vec::new())), clock: Clock::real(), durable }
    }

    pub fn swap(&self, table: Table) {
        self.table.store(Arc::new(table));
    }

    pub fn wants_rejects(&self) -> bool {
        !self.table.load().rejects.is_empty()
    }

    /// Queues of all consumers.
    pub fn queues(&self) -> Vec<Arc<Queue>> {
        self.table.load().targets.iter().map(|t| t.queue.clone()).collect()
    }

    /// Wakes consumers that have something in the journal and nothing in memory: they may have been unable to read it.
    pub fn nudge(&self) {
        self.table.load().targets.iter().filter(|t| t.queue.starves()).for_each(|t| t.wake.wake());
    }

    /// Gives a consumer its messages; what has to be written to the journal first is put on a list.
    fn deliver(&self, target: usize, delivery: &mut Delivery<'_>, selection: Selection) {
        let Delivery { table, parcel, sender, now, copies, journal } = delivery;
        let (place, target_index, target) = (Place { origin: parcel.origin.clone(), ..Place::default() }, target, &table.targets[target]);
        let batch = &parcel.batch;
        let selection = target.signed(batch, selection);
        if selection.is_empty() || target.has(parcel.origin.as_deref()) {
            return;
        }
        let small = selection.len() * SMALL <= batch.len() && target.queue.lags(batch.bytes());
        let (batch, selection) = if small { copied(batch, &selection, copies) } else { (batch.clone(), selection) };
        let work = Work { bytes: batch.bytes(), queued: *now, batch, selection, ticket: parcel.ticket.clone(), place };
        match target.queue.offer(work, *sender) {
            Offered::Taken { wake: true } => target.wake.wake(),
            Offered::Taken { wake: false } => {}
            Offered::Journal { work, spilled } => journal.push(Held { target: target_index, work, spilled }),
        }
    }

    /// Writes what is on the list to the journal, once for all, and gives it to its consumers.
    fn spill(&self, delivery: Delivery<'_>) {
        let Delivery { table, parcel, sender, mut journal, .. } = delivery;
        let Some(durable) = self.durable.as_ref().filter(|_| !journal.is_empty()) else { return };
        // Copies for single consumers are records of their own.
        let (same, copies): (Vec<_>, Vec<_>) = journal.drain(..).partition(|held| Arc::ptr_eq(&held.work.batch, &parcel.batch));
        for mut group in std::iter::once(same).chain(copies.into_iter().map(|one| vec![one])) {
            let Some(batch) = group.first().map(|held| held.work.batch.clone()) else { continue };
            let target = |held: &Held| &table.targets[held.target];
            let shares: Vec<_> = group.iter().map(|held| (target(held).id.clone(), held.work.selection.clone())).collect();
            let spilling: Vec<_> = group.iter().filter(|held| held.spilled).map(|held| &*target(held).queue).collect();
            let entry = Entry { batch: &batch, shares: &shares, origin: parcel.origin.as_deref() };
            let give = |record| {
                for held in group.drain(..) {
                    let target = &table.targets[held.target];
                    if target.queue.journalled(held.work, record) {
                        target.wake.wake();
                    }
                }
            };
            if !durable.write(&entry, parcel.ticket.clone(), &spilling, sender, give) {
                for held in group {
                    let target = &table.targets[held.target];
                    if target.queue.keep(held.work, sender) {
                        target.wake.wake();
                    }
                }
            }
        }
    }
}

/// A parcel while it is handed out.
struct Delivery<'a> {
    table: &'a Table,
    parcel: &'a Parcel,
    sender: Sender<'a>,
    now: Duration,
    copies: &'a mut Copies,
    journal: Vec<Held>,
}

/// Work that has to be written to the journal first.
struct Held {
    target: usize,
    work: Work,
    /// There was no room for it in memory.
    spilled: bool,
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

    /// Positions of a stream where what some consumer has already begins or ends, in order.
    pub fn cuts(&self, input: &str, life: Life) -> Vec<u64> {
        let table = self.router.table.load();
        let mut cuts: Vec<u64> = table.targets.iter().flat_map(|t| t.had.cuts(input, life)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// Gives each consumer its selection.
    pub fn send(&mut self, parcel: impl Into<Parcel>, sender: Sender<'_>) {
        let Port { router, source, selected, copies } = self;
        let (parcel, table) = (parcel.into(), router.table.load());
        table.index.select(&parcel.batch, selected);
        let mut delivery = Delivery { table: &table, parcel: &parcel, sender, now: router.clock.steady(), copies, journal: Vec::new() };
        for (consumer, selection) in selected.selections() {
            let target = &table.targets[consumer];
            // A filter never gets back what it injected itself, whatever it matches.
            if target.id != *source && target.takes_from(source) {
                router.deliver(consumer, &mut delivery, selection);
            }
        }
        router.spill(delivery);
    }

    /// Gives rejects to those consumers that name them.
    pub fn send_rejects(&mut self, parcel: impl Into<Parcel>, sender: Sender<'_>) {
        let Port { router, source, copies, .. } = self;
        let (parcel, table) = (parcel.into(), router.table.load());
        let mut delivery = Delivery { table: &table, parcel: &parcel, sender, now: router.clock.steady(), copies, journal: Vec::new() };
        for index in &table.rejects {
            let target = &table.targets[*index];
            if target.takes_from(source) {
                let matching = (0..parcel.batch.len()).filter(|i| target.matcher.matches(parcel.batch.get(*i)));
                router.deliver(*index, &mut delivery, matching.map(|i| i as u32).collect());
            }
        }
        router.spill(delivery);
    }
}

fn copied(batch: &Arc<Batch>, selection: &Selection, copies: &mut Copies) -> (Arc<Batch>, Selection) {
    // Taken out: nothing half copied is left should a panic pass.
    let mut builder = copies.take().unwrap_or_else(|| Box::new(BatchBuilder::new(Pool::new())));
    for m in batch.selected(selection) {
        builder.copy(m);
    }
    let copy = builder.finish();
    *copies = Some(builder);
    let all = copy.all();
    (Arc::new(copy), all)
}
