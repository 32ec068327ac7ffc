//! The engine's behaviour, with plugins that can be told to fail.

mod board;
mod breaker;
mod delivery;
mod durability;
mod health;
mod injection;
mod lanes;
mod nested;
mod origins;
mod reloading;
mod scripts;
mod stress;
mod supervision;
