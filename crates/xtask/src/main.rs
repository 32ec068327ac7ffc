//! `cargo xtask`: what is done to the project and to its program from outside.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::bench::{self, Settings, floor, tcp};
use xtask::package;
use xtask::prove::{Report, config, contain, many, reload, rotate};
use xtask::torture::command::Torture;
use xtask::{validate, workspace};

#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Does what continuous integration does, until something fails.
    Validate,
    /// Measures the workloads of the speed table beside their floor.
    Bench(Bench),
    /// Keeps a promise under load, and counts.
    #[command(subcommand)]
    Prove(Prove),
    /// Kills, starves, damages and cuts off the program under load: nothing acknowledged may be lost.
    #[command(subcommand)]
    Torture(Torture),
    /// Fetches real programs to test against, from Debian and PyPI, and unpacks them below target/packages.
    Packages,
    /// What the machine itself takes; used by `bench`.
    #[command(subcommand, hide = true)]
    Floor(Floor),
}

#[derive(clap::Args)]
struct Bench {
    /// Which, such as W1 W3 sandbox. Default: all.
    workloads: Vec<String>,
    /// Measure rsyslog, syslog-ng and collectd too, if they are there.
    #[arg(long)]
    peers: bool,
    /// Get the peers' packages first.
    #[arg(long)]
    install_peers: bool,
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// A tenth of the input: whether it works.
    #[arg(long)]
    quick: bool,
    /// Leave configurations and what came out in target/bench/W1 and so on.
    #[arg(long)]
    keep: bool,
    /// Copy results and picture to docs/performance.json and .svg.
    #[arg(long, conflicts_with = "quick")]
    publish: bool,
    /// Where to write all figures; a picture goes beside it. Default: results.json in target/bench.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The program to measure. Default: build it with --release.
    #[arg(long)]
    nilo: Option<PathBuf>,
    /// Measure target/release/nilo as it is.
    #[arg(long, conflicts_with = "nilo")]
    no_build: bool,
}

#[derive(clap::Args)]
struct Load {
    /// Lines a second.
    #[arg(long, default_value_t = 50_000)]
    rate: u64,
    /// The program to run. Default: build it with --release.
    #[arg(long)]
    nilo: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Prove {
    /// Edits of a script, every tenth broken: its state stays exact.
    Reload {
        #[arg(long, default_value_t = 200)]
        edits: usize,
        #[command(flatten)]
        load: Load,
    },
    /// Changes of the configuration, every tenth broken.
    Config {
        #[arg(long, default_value_t = 100)]
        changes: usize,
        #[command(flatten)]
        load: Load,
    },
    /// Rotations of each kind, without and with kill -9: no line is lost.
    Rotate {
        #[arg(long, default_value_t = 50)]
        rotations: usize,
        #[command(flatten)]
        load: Load,
    },
    /// A thousand files, rotated in each way, with compression and kill -9 among it: no line is lost, memory stays flat.
    Many {
        #[arg(long, default_value_t = 1000)]
        files: usize,
        /// Lines a second, of all files together.
        #[arg(long, default_value_t = 10_000)]
        rate: u64,
        /// How long each way is gone.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// The program to run. Default: build it with --release.
        #[arg(long)]
        nilo: Option<PathBuf>,
    },
    /// Neighbours that misbehave: everything else keeps its rate.
    Contain {
        /// How long each is watched.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        #[command(flatten)]
        load: Load,
    },
}

#[derive(Subcommand)]
enum Floor {
    Tcp {
        listen: String,
        file: PathBuf,
        #[arg(long)]
        stay: bool,
    },
    Send {
        address: SocketAddr,
        file: PathBuf,
    },
    Udp {
        listen: String,
    },
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Validate => {
            let code = validate::validate()?;
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
        Command::Bench(args) => measure(args),
        Command::Prove(what) => prove(what),
        Command::Packages => {
            package::ALL.iter().try_for_each(|p| p.fetch())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Torture(what) => {
            let nilo = program(what.nilo())?;
            Ok(if what.run(nilo)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Floor(floor) => run_floor(floor).map(|()| ExitCode::SUCCESS),
    }
}

fn run_floor(floor: Floor) -> Result<()> {
    match floor {
        Floor::Tcp { listen, file, stay } => floor::tcp(&listen, &file, stay),
        Floor::Send { address, file } => tcp::send(&file, address),
        Floor::Udp { listen } => floor::udp(&listen),
    }
}

fn measure(args: Bench) -> Result<ExitCode> {
    if args.install_peers {
        bench::install()?;
    }
    let dir = bench::directory();
    let results = args.json.unwrap_or_else(|| dir.join("results.json"));
    let nilo = match args.no_build {
        true => workspace::target().join("release/nilo"),
        false if bench::runs_nilo(&args.workloads) => program(args.nilo)?,
        false => PathBuf::new(),
    };
    let Bench { workloads, peers, runs, quick, keep, .. } = args;
    let settings = Settings { nilo, workloads, peers, runs: runs.max(1), quick, keep, dir };
    bench::bench(&settings, &results)?;
    if args.publish {
        bench::publish(&results)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn program(given: Option<PathBuf>) -> Result<PathBuf> {
    given.map_or_else(workspace::build_nilo, |path| Ok(std::path::absolute(path)?))
}

/// How long to wait for anything before it counts as not happening.
const LIMIT: Duration = Duration::from_secs(30);

fn prove(what: Prove) -> Result<ExitCode> {
    let held = match what {
        Prove::Reload { edits, load } => {
            let round = reload::Round { edits, rate: load.rate, pause: Duration::from_millis(100), limit: LIMIT };
            tell(&reload::prove(&program(load.nilo)?, round)?)
        }
        Prove::Config { changes, load } => {
            let round = config::Round { edits: changes, rate: load.rate, pause: Duration::from_millis(100), limit: LIMIT };
            tell(&config::prove(&program(load.nilo)?, round)?)
        }
        Prove::Rotate { rotations, load } => {
            let nilo = program(load.nilo)?;
            let round =
                |kill_every| rotate::Round { rotations, rate: load.rate, pause: Duration::from_millis(200), kill_every, limit: LIMIT };
            let mut held = true;
            for (kind, kill_every) in rotate::Kind::ALL.into_iter().flat_map(|kind| [(kind, 0), (kind, 5)]) {
                held &= tell(&rotate::prove(&nilo, kind, round(kill_every))?);
            }
            held
        }
        Prove::Many { files, rate, seconds, nilo } => {
            let nilo = program(nilo)?;
            let round = many::Round { files, rate, time: Duration::from_secs(seconds), rotations: 8, limit: LIMIT };
            let mut held = true;
            for kind in many::Kind::ALL {
                held &= tell(&many::prove(&nilo, kind, round)?);
            }
            held
        }
        Prove::Contain { seconds, load } => {
            let nilo = program(load.nilo)?;
            let round = contain::Round { rate: load.rate, time: Duration::from_secs(seconds), limit: LIMIT };
            let mut held = true;
            for neighbour in [contain::Neighbour::Nobody].into_iter().chain(contain::Neighbour::ALL) {
                held &= tell(&contain::prove(&nilo, neighbour, round)?);
            }
            held
        }
    };
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(report: &dyn Report) -> bool {
    println!("{report}");
    report.holds()
}
