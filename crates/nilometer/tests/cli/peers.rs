//! Real programs at the other end of the wire.

mod fluent;
mod journald;
mod otlp;
mod syslog;

use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};

use testkit::certificates::Authority;
use xtask::package::{self, Package};
use xtask::process::Process;

use crate::nilo::Dir;

/// Makes sure that packages are there; false where they cannot be got.
fn there(packages: &[Package]) -> bool {
    if package::in_path("apt-get").is_none() {
        eprintln!("left out: there is no apt-get to fetch {packages:?}");
        return false;
    }
    packages.iter().for_each(|p| p.fetch().unwrap());
    true
}

/// A program of a package, started and silent; it is killed when the test is over.
fn start(command: &mut Command) -> Process {
    Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap()
}

/// A port nobody listens at for the moment, for either protocol.
fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Writes `ca.pem`, and for each name `NAME.pem` and `NAME.key`, good for 127.0.0.1 and localhost.
fn certificates(dir: &Dir, names: &[&str]) {
    let (authority, at) = (Authority::new(), dir.path(""));
    authority.write(&at);
    for name in names {
        authority.issue(&at, name);
    }
}
