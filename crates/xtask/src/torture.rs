//! Torture: the program is killed, starved, damaged and cut off under load, and everything that was
//! acknowledged must come out.
//!
//! Senders issue numbered records whose text is a function of their number ([`record`]); the books
//! ([`ledger`]) know what was issued, what was acknowledged, and what came at each output. No record
//! that was acknowledged may be missing, no text may come that was not sent, and the records of a
//! stream come in their order, but for those that come again.
//!
//! Every trial is seeded: its kills, pauses and faults fall at the same places of its schedule. What
//! the program does between them depends on the machine, so a seed leads near a failure, not always to it.

pub mod address;
pub mod command;
pub mod count;
pub mod damage;
pub mod dead;
pub mod disk;
pub mod feed;
pub mod frame;
pub mod head;
pub mod kill;
pub mod ledger;
pub mod network;
pub mod proxy;
pub mod random;
pub mod receive;
pub mod record;
pub mod reload;
pub mod report;
pub mod rotate;
pub mod soak;
pub mod stage;

/// What a receiver that acknowledges says first.
const GREETING: &[u8; 8] = b"NILOACK1";
