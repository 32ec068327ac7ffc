//! What a sandbox may use, and what it has used.

use std::time::Duration;

use crate::Api;

/// Caps of one sandbox. Each is named in the error that reports it broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of Lua memory (`memory_limit`).
    pub memory: usize,
    /// CPU time of one call (`cpu_limit`); loading may take ten times as much. [`Limits::ENDLESS`] for an
    /// input that loops: loading is limited all the same.
    pub cpu: Duration,
    /// Lua instructions of one call (`instruction_limit`). Deterministic, but slows every call down.
    pub instructions: Option<u64>,
    /// Bytes of payload under construction, and of one injected message (`output_limit`).
    pub output: usize,
    /// Messages injected in one `process_message` (`max_process_inject`).
    pub process_inject: usize,
    /// Messages injected in one `timer_event` (`max_timer_inject`).
    pub timer_inject: usize,
    /// Bytes of a snapshot of the globals (`state_limit`).
    pub state: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: 8 << 20,
            cpu: Duration::from_millis(100),
            instructions: None,
            output: 63 << 10,
            process_inject: 1,
            timer_inject: 10,
            state: 1 << 20,
        }
    }
}

impl Limits {
    /// A `cpu` without end.
    pub const ENDLESS: Duration = Duration::MAX;

    /// What holds where an option is not given.
    pub fn of(api: Api) -> Limits {
        match api {
            Api::Heka => Limits::default(),
            Api::Hindsight => Limits { output: 64 << 10, process_inject: 0, timer_inject: 10, ..Limits::default() },
        }
    }
}

/// One limit: value now, highest value seen, cap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gauge {
    pub current: u64,
    pub max: u64,
    pub cap: u64,
}

impl Gauge {
    pub(crate) fn capped(cap: u64) -> Gauge {
        Gauge { current: 0, max: 0, cap }
    }

    pub(crate) fn set(&mut self, value: u64) {
        self.current = value;
        self.max = self.max.max(value);
    }
}

/// All gauges of a sandbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Bytes.
    pub memory: Gauge,
    /// Nanoseconds of CPU of a call: sampled (the first of every 128 calls), and every call that was stopped.
    pub cpu: Gauge,
    /// Bytes of payload under construction.
    pub output: Gauge,
    /// Messages injected in a call; the cap is that of the last kind of call.
    pub inject: Gauge,
    /// Bytes of the last snapshot.
    pub state: Gauge,
}
