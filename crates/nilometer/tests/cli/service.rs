//! What service managers and probes are told.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use rustix::process::Signal;

use crate::nilo::{Dir, Running, wait_until};

const CONFIG: &str = "\
[nilo]
state = 'state'
watch = false

[input.in]
type = 'tail'
paths = 'in.log'

[output.out]
type = 'null'
match = 'TRUE'
";

/// The service manager: what comes is read at once, so that nobody has to wait to tell it.
struct Manager(Receiver<String>);

impl Manager {
    fn start(dir: &Dir, nilo: impl FnOnce(&[(&str, &str)]) -> Running) -> (Manager, Running) {
        let path = dir.path("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        let (sender, words) = bounded(1000);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n) = socket.recv(&mut buffer) {
                let told = sender.send(String::from_utf8_lossy(&buffer[..n]).into_owned());
                if n == 0 || told.is_err() {
                    return;
                }
            }
        });
        let running = nilo(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "40000")]);
        (Manager(words), running)
    }

    /// The next words, if there are any within a moment.
    fn words(&self) -> Option<String> {
        self.0.recv_timeout(Duration::from_millis(200)).ok()
    }

    /// The next words that are no mere `but` lines.
    #[track_caller]
    fn next(&self, but: &[&str]) -> String {
        let began = Instant::now();
        loop {
            match self.words() {
                Some(words) if !but.iter().any(|b| words.starts_with(b)) => return words,
                _ => assert!(began.elapsed() < Duration::from_secs(30), "nothing was told"),
            }
        }
    }
}

#[test]
fn the_service_manager_is_told_in_order() {
    let dir = Dir::with(&[("nilo.toml", CONFIG), ("in.log", "")]);
    let (manager, nilo) = Manager::start(&dir, |env| dir.spawn_with(["run", "nilo.toml"], env));
    assert_eq!(manager.next(&["WATCHDOG=1"]), "READY=1\nSTATUS=2 plugins running\n");
    assert_eq!(manager.next(&["STATUS"]), "WATCHDOG=1\n");
    let often = ["WATCHDOG=1", "STATUS="];
    for config in [CONFIG.to_string(), "[oops]\n".to_string(), CONFIG.replace("out]", "more]")] {
        dir.write("nilo.toml", &config);
        nilo.signal(Signal::HUP);
        let words = manager.next(&often);
        let time = words.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{words}"));
        assert!(time.trim_end().parse::<u64>().unwrap() > 0);
        assert_eq!(manager.next(&often), "READY=1\nSTATUS=2 plugins running\n");
    }
    nilo.signal(Signal::TERM);
    assert_eq!(manager.next(&often), "STOPPING=1\nSTATUS=stopping\n");
    nilo.end().ok();
}

#[test]
fn a_stuck_worker_is_not_live_and_the_watchdog_goes_hungry() {
    let dir = Dir::with(&[("spin.lua", "function process_message() while true do end end"), ("in.log", "x\n")]);
    let filter = "[filter.spin]\ntype = 'lua'\nscript = 'spin.lua'\nmatch = 'TRUE'\ncpu_limit = '1h'\n";
    dir.write("nilo.toml", CONFIG.replace("watch", "workers = 1\nstuck_after = '50ms'\nwatch") + filter);
    let (manager, nilo) = Manager::start(&dir, |env| dir.spawn_with(["run", "nilo.toml"], env));
    nilo.wait_for_stderr("filter.spin: stuck running on worker-0 for 0 s");
    let said = dir.nilo(["status", "nilo.toml", "--live"]).failed(1);
    assert!(said.starts_with("nilo: not live: worker-0 is stuck running filter.spin for "), "{said}");
    assert!(dir.nilo(["status", "nilo.toml"]).ok().contains("stuck: running"));
    // What was under way is received by now; nothing follows it.
    let mut told = Vec::new();
    while let Some(words) = manager.words() {
        told.push(words);
        assert!(told.len() < 1000, "it is fed on");
    }
    assert!(told.iter().any(|words| words.contains("filter.spin: running on worker-0")), "{told:?}");
    // It can be stopped all the same.
    nilo.signal(Signal::TERM);
    assert!(nilo.end().stderr.contains("worker-0 is left behind, stuck running filter.spin"));
}

#[test]
fn probes_get_a_line_and_an_exit_code() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let input = format!("[input.in]\ntype = 'udp'\nlisten = '{}'\n", taken.local_addr().unwrap());
    let dir = Dir::with(&[]);
    dir.write("nilo.toml", CONFIG.replace("[input.in]\ntype = 'tail'\npaths = 'in.log'\n", &input));
    let probe = |what: &str| dir.nilo(["status", "nilo.toml", what]);
    assert!(probe("--live").failed(1).contains("no nilo runs"));
    let nilo = dir.spawn(["run", "nilo.toml"]);
    nilo.wait_for_stderr("input.in: failed: ");
    assert_eq!(probe("--live").ok(), "live\n");
    let mut said = String::new();
    wait_until("it backs off", || {
        said = probe("--ready").failed(1);
        said.contains("backs off")
    });
    assert!(said.starts_with("nilo: not ready: input.in backs off and starts again in "), "{said}");
    drop(taken);
    wait_until("it is ready", || probe("--ready").code == Some(0));
    assert_eq!(probe("--ready").ok(), "ready\n");
    assert!(dir.nilo(["status", "nilo.toml", "--live", "--ready"]).failed(2).contains("cannot be used with"));
}
