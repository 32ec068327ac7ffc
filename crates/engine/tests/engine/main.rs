//! The engine's behaviour, with plugins that can be told to fail.

mod board;
mod delivery;
mod durability;
mod health;
mod reloading;
mod scripts;
mod stress;
mod supervision;
