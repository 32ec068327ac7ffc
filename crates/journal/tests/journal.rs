//! The log as its owner sees it, on real directories and on a disk that fails and forgets.

#[path = "journal/sim.rs"]
mod sim;

#[path = "journal/behaviour.rs"]
mod behaviour;
#[path = "journal/damage.rs"]
mod damage;
#[path = "journal/faults.rs"]
mod faults;
#[path = "journal/impostors.rs"]
mod impostors;
#[path = "journal/model.rs"]
mod model;
