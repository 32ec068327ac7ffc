use std::path::PathBuf;
use std::time::Duration;

use options::{Opt, Options, Problem};

use crate::durable::SyncPolicy;

/// Options of `[nilo]`.
pub const GLOBAL_OPTIONS: &[Opt] = &[
    Opt::path("state")
        .doc("Directory for checkpoints, filter state and the control socket. Without it nothing is remembered over a restart."),
    Opt::integer("workers").doc("Threads that share all filters. Default: one a core."),
    Opt::string("hostname").doc("Name of this host in messages that carry none. Default: the system's."),
    Opt::path("modules").doc("Directory in which scripts' require() finds modules."),
    Opt::integer("max_hops").default("4").doc("How many filters a message's ancestry may go through before it is refused as a loop."),
    Opt::bool("watch").default("true").doc("Reload scripts and configuration the moment their files change."),
    Opt::duration("snapshot").default("10s").doc("How often filter state is saved. It is always saved at an orderly stop."),
    Opt::size("journal_max").default("10GiB").doc("Most bytes the journal in the state directory takes. It holds what does not fit in queues (`when_full = \"spill\"`) and what is to outlive the process (`durable`)."),
    Opt::string("journal_sync").default("200ms").sample("\"always\"").doc("When what was written to the journal is made to outlive a loss of power; inputs are told then: every so often, \"always\" (at once), or \"never\" (as the system pleases; it outlives the process all the same)."),
    Opt::duration("grace").default("5s").doc("How long an orderly stop waits for outputs to deliver what is queued."),
    Opt::duration("stuck_after").default("30s").doc("How long a worker may be in one call of a filter before it counts as stuck: that is told, and nilo counts as not live, so that a service manager restarts it."),
];

/// What `[nilo]` says.
#[derive(Clone, Debug)]
pub(crate) struct Globals {
    pub state: Option<PathBuf>,
    pub workers: usize,
    pub hostname: String,
    pub modules: Option<PathBuf>,
    pub max_hops: u8,
    pub watch: bool,
    pub snapshot: Duration,
    pub grace: Duration,
    pub journal_max: u64,
    pub journal_sync: SyncPolicy,
    pub stuck_after: Duration,
}

impl Globals {
    pub fn read(o: &Options, problems: &mut Vec<Problem>) -> Globals {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = o.get_integer("workers").unwrap_or(cores.min(64) as i64);
        if !(1..=64).contains(&workers) {
            problems.push(o.problem("workers", "`workers` is out of range", "expected 1 to 64"));
        }
        if !(1..=100).contains(&o.integer("max_hops")) {
            problems.push(o.problem("max_hops", "`max_hops` is out of range", "expected 1 to 100"));
        }
        let system = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Globals {
            state: o.get_path("state").map(PathBuf::from),
            workers: workers.clamp(1, 64) as usize,
            hostname: o.get_str("hostname").map_or(system, str::to_string),
            modules: o.get_path("modules").map(PathBuf::from),
            max_hops: o.integer("max_hops").clamp(1, 100) as u8,
            watch: o.bool("watch"),
            snapshot: o.duration("snapshot"),
            grace: o.duration("grace"),
            journal_max: o.size("journal_max") as u64,
            journal_sync: sync(o, problems),
            stuck_after: o.duration("stuck_after"),
        }
    }
}

fn sync(o: &Options, problems: &mut Vec<Problem>) -> SyncPolicy {
    match o.str("journal_sync") {
        "always" => SyncPolicy::Always,
        "never" => SyncPolicy::Never,
        text => options::unit::duration(text).map(SyncPolicy::Every).unwrap_or_else(|_| {
            problems.push(o.problem(
                "journal_sync",
                "malformed `journal_sync`",
                "expected a duration such as \"200ms\", \"always\" or \"never\"",
            ));
            SyncPolicy::Always
        }),
    }
}
