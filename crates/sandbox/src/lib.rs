//! The sandbox: a Lua script that cannot hurt the stream.
//!
//! Every sandbox is a PUC Lua 5.4 state of its own, made with an allocator that counts every byte
//! (`allocator`), watched by a thread that ends calls which take too much CPU time (`watchdog`),
//! and given the API of Heka's sandbox by plain C functions over the raw Lua API (`api`). All
//! `unsafe` code of the project is in this crate, and most of it in one file (`vm`).
//!
//! The one rule: a Lua error is a `longjmp`, so no Rust value with a destructor is alive across a
//! call that can raise one. What must survive is owned by the host or outside the protected call.
//!
//! A sandbox belongs to the thread that made it. Take [`active`] around a batch of calls. A call
//! that breaks a limit ends with a [`Failure`] that says where, how much of what limit, and which
//! option to change; what it injected is taken out again.
//!
//! ```
//! use message::BatchBuilder;
//! use sandbox::{Inject, Sandbox, SandboxConfig, Script, Status};
//!
//! let script = Script::new("count.lua", "
//!     count = 0
//!     function process_message()
//!         count = count + 1
//!         if read_message('Fields[status]') >= 500 then
//!             inject_message{Type = 'error', Fields = {seen = count}}
//!         end
//!         return 0
//!     end");
//! let mut sandbox = Sandbox::new(&script, &SandboxConfig { name: "count".into(), ..Default::default() })?;
//!
//! let mut incoming = BatchBuilder::default();
//! incoming.add().add_integer(b"status", 502);
//! let batch = incoming.finish();
//! let mut injected = BatchBuilder::default();
//! let mut inject = Inject { builder: &mut injected, now_ns: 1_000_000_000 };
//! assert_eq!(sandbox.process_message(batch.get(0), &mut inject)?, Status::Ok);
//! assert_eq!(injected.get(0).type_(), b"heka.sandbox.error");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// The lints section of Cargo.toml allows unsafe code here: a C virtual machine is driven by hand.

mod allocator;
mod api;
mod buffer;
mod clock;
mod config;
mod coverage;
mod declaration;
mod deliver;
mod dialect;
mod encode;
mod explain;
mod failure;
#[doc(hidden)]
pub mod fault;
mod globals;
mod grants;
mod hash;
pub mod heap;
mod host;
mod input;
mod labels;
mod largest;
mod library;
mod limits;
pub mod native;
mod require;
mod restore;
mod sandbox;
mod slab;
mod snapshot;
mod source;
mod state;
mod stock;
mod stop;
mod vm;
mod watchdog;

pub use api::log::{Level, LogLine};
pub use api::{Api, HOST, HostFunction, OBJECTS};
pub use config::{ConfigValue, Family, Grants, SandboxConfig, Script};
pub use coverage::Coverage;
pub use declaration::{ConfigProblem, Declaration, DeclarationError, DeclaredOption, OptionType};
pub use deliver::{Confirmed, Delivery};
pub use encode::Encoded;
pub use failure::{Failure, FailureKind, LoadError};
pub use host::ModuleFile;
pub use input::{Checkpoint, InputSink};
pub use limits::{Gauge, Limits, Usage};
pub use restore::Carried;
pub use sandbox::{Evaluated, Inject, Sandbox, Schedule, Status, common_tick};
pub use watchdog::{Active, active};
