//! `cargo xtask torture`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::damage::{self, Damage};
use super::disk::{self, Full, Trial};
use super::report::Report;
use super::stage::{Load, Sink, Source};
use super::{count, dead, kill, network, reload, rotate, soak};
use crate::prove::Report as _;

/// What every trial takes.
#[derive(Args, Debug)]
pub struct Common {
    /// The program to run. Default: build it with --release.
    #[arg(long)]
    pub nilo: Option<PathBuf>,
    /// Of the random instants and faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Records a second, of all senders together. Default: 20000; 50000 for `dead`, 3000 for `soak`.
    #[arg(long)]
    rate: Option<u64>,
    /// `durable = true` on the outputs.
    #[arg(long)]
    durable: bool,
    /// Inputs, where a trial leaves the choice.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["tail", "tcp", "http"])]
    inputs: Vec<Source>,
    /// Outputs, where a trial leaves the choice.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["file", "tcp", "http"])]
    outputs: Vec<Sink>,
    /// Seconds to wait for anything before it counts as not happening.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// Run in this directory and leave everything there. What is in its subdirectories of the same names is removed.
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub enum Torture {
    /// kill -9 at random instants under load.
    Kill {
        #[arg(long, default_value_t = 20)]
        kills: usize,
        /// Count in a script instead, from tail and from acknowledged tcp: the counts must be exact.
        #[arg(long)]
        count: bool,
        #[command(flatten)]
        common: Common,
    },
    /// A full disk, or a damaged journal.
    Disk {
        /// Damage the journal in ten ways instead.
        #[arg(long)]
        damage: bool,
        /// How much journal is damaged, in MiB.
        #[arg(long, default_value_t = 48)]
        journal: u64,
        /// How long there is no space.
        #[arg(long, default_value = "10s", value_parser = duration)]
        r#for: Duration,
        #[command(flatten)]
        common: Common,
    },
    /// One output is dead for a while; the other keeps its rate.
    Dead {
        #[arg(long, default_value = "20s", value_parser = duration)]
        r#for: Duration,
        #[command(flatten)]
        common: Common,
    },
    /// Reloads and kill -9 in random order.
    Reload {
        #[arg(long, default_value_t = 60)]
        changes: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Rotations and kill -9 in random order.
    Rotate {
        #[arg(long, default_value_t = 50)]
        rotations: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Two instances and receivers over a bad network.
    Network {
        #[arg(long, default_value = "20s", value_parser = duration)]
        r#for: Duration,
        #[command(flatten)]
        common: Common,
    },
    /// Moderate load for long: memory, descriptors, threads.
    Soak {
        #[arg(long, default_value_t = 30)]
        minutes: u64,
        /// How often it is looked at.
        #[arg(long, default_value = "1m", value_parser = duration)]
        every: Duration,
        #[command(flatten)]
        common: Common,
    },
}

/// Reads `500ms`, `20s` or `10m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| format!("{text}: expected a number and a unit, such as 20s"))?;
    match &text[digits..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(format!("{text}: expected the unit ms, s or m")),
    }
}

impl Torture {
    /// The program that was named.
    pub fn nilo(&self) -> Option<PathBuf> {
        self.common().nilo.clone()
    }

    fn common(&self) -> &Common {
        match self {
            Torture::Kill { common, .. }
            | Torture::Disk { common, .. }
            | Torture::Dead { common, .. }
            | Torture::Reload { common, .. }
            | Torture::Rotate { common, .. }
            | Torture::Network { common, .. }
            | Torture::Soak { common, .. } => common,
        }
    }

    fn load(&self, nilo: PathBuf) -> Load {
        let common = self.common();
        let usual = match self {
            Torture::Dead { .. } => 50_000,
            Torture::Soak { .. } => 3_000,
            _ => 20_000,
        };
        Load {
            nilo,
            seed: common.seed,
            rate: common.rate.unwrap_or(usual),
            sources: common.inputs.clone(),
            sinks: common.outputs.clone(),
            durable: common.durable,
            queue: "1MiB",
            limit: Duration::from_secs(common.limit),
            dir: common.keep.clone(),
        }
    }

    /// Runs it and prints what was found; whether everything is as promised.
    ///
    /// # Errors
    /// When the program does not run, or ends by itself.
    pub fn run(self, nilo: PathBuf) -> Result<bool> {
        let load = self.load(nilo);
        Ok(match self {
            Torture::Kill { count: true, kills, .. } => {
                tell(&count::torture(&load, Source::Tail, kills)?) & tell(&count::torture(&load, Source::Tcp, kills)?)
            }
            Torture::Kill { kills, .. } => tell(&kill::torture(load, kills)?),
            Torture::Disk { damage: true, journal, .. } => {
                damage::torture(&load, journal << 20, &Damage::ALL)?.iter().fold(true, |held, report| tell(report) & held)
            }
            Torture::Disk { r#for, .. } => {
                let mut held = true;
                for (full, kill) in [(Full::Journal, false), (Full::Disk, false), (Full::Journal, true), (Full::Disk, true)] {
                    held &= tell(&disk::torture(load.clone(), Trial { full, time: r#for, kill })?);
                }
                held
            }
            Torture::Dead { r#for, .. } => tell(&dead::torture(load, r#for)?),
            Torture::Reload { changes, .. } => tell(&reload::torture(load, changes)?),
            Torture::Rotate { rotations, .. } => tell(&rotate::torture(load, rotations)?),
            Torture::Network { r#for, .. } => tell(&network::torture(load, r#for)?),
            Torture::Soak { minutes, every, .. } => {
                let samples = (minutes * 60_000) / (every.as_millis() as u64).max(1);
                tell(&soak::torture(load, samples as usize, every)?)
            }
        })
    }
}

fn tell(report: &Report) -> bool {
    println!("{report}\n");
    report.holds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("10").is_err() && duration("m").is_err() && duration("1h").is_err());
    }
}
