use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What every plugin counts, under the same names everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counter {
    /// Messages that reached the plugin (for an input: records read).
    Received,
    /// Messages passed on for good.
    Delivered,
    /// Messages refused with a reason.
    Rejected,
    /// Messages dropped by a policy.
    Dropped,
    /// Messages a filter made.
    Injected,
    /// Bytes read or written.
    Bytes,
    /// Attempts that the world refused.
    Retried,
    /// Failures of the plugin itself.
    Failed,
    /// Starts after a failure.
    Restarted,
    /// Replacements by a reload.
    Reloaded,
    /// CPU nanoseconds spent.
    CpuNs,
    /// Nanoseconds messages spent between input and delivery, summed; divide by `Delivered`.
    LatencyNs,
}

const NAMES: [&str; 12] = [
    "received",
    "delivered",
    "rejected",
    "dropped",
    "injected",
    "bytes",
    "retried",
    "failed",
    "restarted",
    "reloaded",
    "cpu_ns",
    "latency_ns",
];

/// The counters of one plugin. They belong to its name and outlive reloads.
#[derive(Default, Debug)]
pub struct Meter {
    counters: [AtomicU64; NAMES.len()],
    /// Counters particular to a plugin, such as discarded bytes.
    extra: Mutex<BTreeMap<&'static str, u64>>,
}

impl Meter {
    pub fn add(&self, counter: Counter, n: u64) {
        self.counters[counter as usize].fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].load(Ordering::Relaxed)
    }

    /// Adds to a counter that only this kind of plugin has. Takes a lock: once a batch, not a record.
    pub fn add_extra(&self, name: &'static str, n: u64) {
        if n > 0
            && let Ok(mut extra) = self.extra.lock()
        {
            *extra.entry(name).or_default() += n;
        }
    }

    /// Sets what only this kind of plugin has to a present value: a gauge, such as bytes not read yet. Takes a lock.
    pub fn set_extra(&self, name: &'static str, n: u64) {
        if let Ok(mut extra) = self.extra.lock() {
            extra.insert(name, n);
        }
    }

    /// All counters by name, the common ones first.
    pub fn read(&self) -> Vec<(&'static str, u64)> {
        let common = NAMES.iter().zip(&self.counters).map(|(name, n)| (*name, n.load(Ordering::Relaxed)));
        let extra = self.extra.lock().map(|e| e.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>()).unwrap_or_default();
        common.chain(extra).collect()
    }
}
