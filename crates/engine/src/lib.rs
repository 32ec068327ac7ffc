//! Plans, routes, runs, supervises, reloads and measures. The engine knows no concrete plugin: the
//! program hands it the [`plugin::Registry`].
//!
//! * [`Config`] reads files into sections, [`Plan`] checks them against the registry; both say
//!   everything that is wrong at once and touch nothing outside.
//! * [`Engine::start`] runs a plan: a thread for each input and output, a few workers that share
//!   all filters. Work moves in batches: an input's thread splits, decodes, transforms and matches
//!   a whole batch, and leaves each consumer its selection in that consumer's own queue.
//! * [`Engine::reload`] changes the running plan into another one and touches only what differs.
//! * A batch's [`message::Ticket`] tells the input when every consumer accepted it; only then does a
//!   checkpoint move.
//!
//! Why nothing can wedge: only inputs ever wait for room in a queue. Filters run on workers that
//! never block, outputs wait for the world alone and no longer than their timeout. What a filter
//! injects is bounded by the hop limit and by the bytes its input may have in flight.

mod activity;
mod backlog;
mod checkpoints;
mod codec;
mod config;
mod durable;
mod engine;
mod family_options;
mod globals;
mod health;
mod identity;
mod input;
mod instance;
mod intake;
mod journalled;
mod keeper;
mod leaving;
mod memory;
mod origin;
mod output;
mod outstanding;
mod plan;
mod planner;
mod probation;
mod progress;
mod queue;
mod reject;
mod reload;
mod round;
mod route;
mod sandboxes;
mod slot;
mod snapshot;
mod status;
pub mod stored;
mod supervise;
mod sync;
mod tracker;
mod watch;
mod watchdog;
mod worker;

pub use config::{Config, Section};
pub use engine::{Engine, Settings, Summary, Ticks};
pub use family_options::{CONSUMER_OPTIONS, INPUT_OPTIONS, OUTPUT_OPTIONS, options_of};
pub use globals::GLOBAL_OPTIONS;
pub use health::Health;
pub use plan::Plan;
pub use reject::{KEEP as REJECT_KEEP, TYPE as REJECT_TYPE};
pub use reload::{Change, Report};
pub use sandboxes::{SANDBOX_OPTIONS, Trouble};
pub use status::{PluginStatus, Status};
pub use watch::Watch;
pub use watchdog::Watchdog;
