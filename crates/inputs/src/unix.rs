//! The `unix` input: reads from programs of this host over a socket in the file system.
//!
//! As a stream, it is `tcp` without a network: every connection has a splitter and decoder of its own,
//! and `acknowledge` works the same way. As datagrams, it is `udp` without loss: a program that sends
//! more than is read has to wait, unless it would rather not.
//!
//! Who may send is said by the permissions of the socket's file. One that an earlier run left behind is
//! replaced; one that another process listens at is not, nor is a file of another kind.

pub(crate) mod socket;

use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability};
use socket2::Type;

use self::socket::Bound;
use crate::connections::{ACKNOWLEDGE, IDLE_TIMEOUT, Listener, MAX_CONNECTIONS, Serving};
use crate::datagrams::{Datagrams, Receiving};

pub const KIND: Kind = Kind::input("unix", Stability::Stable, |o, cx| Ok(Box::new(Unix::new(o, cx)?)))
    .summary("Reads from programs of this host over a socket in the file system.")
    .doc(
        "Every connection is a stream of its own, with a splitter and decoder of its own; what is left when a peer closes is its last \
         record. With `mode = \"datagram\"`, a datagram is one record, or several with a splitter such as `line`. Either way peers are made \
         to wait while consumers are full. Messages that say no Hostname have this host's.\n\n\
         The file is made when the input starts and removed when it stops. A socket that an earlier run left behind is replaced; \
         one that another process listens at is not, nor is a file of another kind.",
    )
    .options(&[
        Opt::path("path").required().sample("\"/run/nilometer/in.sock\"").doc("The socket's file. Its directory has to be there."),
        Opt::choice("mode", &["stream", "datagram"]).default("stream").doc("What kind of socket the peers expect."),
        Opt::string("permissions")
            .default("0660")
            .doc("Permissions of the file, in octal: who may write to it may send. `0666`: every program of this host."),
        MAX_CONNECTIONS,
        IDLE_TIMEOUT,
        ACKNOWLEDGE,
        Receiving::MAX_DATAGRAM,
    ])
    .examples(&[
        Example { title: "Lines of local programs", toml: "path = \"/run/nilometer/lines.sock\"\nsplitter = \"line\"" },
        Example {
            title: "What programs say to syslog",
            toml: "path = \"/run/nilometer/log.sock\"\nmode = \"datagram\"\npermissions = \"0666\"",
        },
    ]);

struct Unix {
    path: PathBuf,
    permissions: u32,
    how: How,
}

enum How {
    Stream(Box<Serving>),
    Datagram { receiving: Receiving, max_datagram: usize },
}

impl Unix {
    fn new(o: &Options, _: &BuildCx) -> Result<Unix, Problem> {
        let path = o.path("path").to_path_buf();
        let text = o.str("permissions");
        let permissions = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        let Some(permissions) = permissions else {
            return Err(o.problem(
                "permissions",
                format!("`permissions` is \"{text}\""),
                "expected an octal number up to 0777, such as \"0660\"",
            ));
        };
        let (datagram, name) = (o.str("mode") == "datagram", path.display().to_string());
        let others = if datagram { &["max_connections", "idle_timeout", "acknowledge"][..] } else { &["max_datagram"] };
        if let Some(other) = others.iter().find(|other| o.given(other)) {
            let mode = o.str("mode");
            return Err(o.problem(other, format!("`{other}` with `mode = \"{mode}\"`"), "there is no such thing in this mode"));
        }
        let how = if datagram {
            How::Datagram { receiving: Receiving { name, peer_field: None }, max_datagram: Receiving::max_datagram(o)? }
        } else {
            How::Stream(Box::new(Serving::new(o, name)?))
        };
        Ok(Unix { path, permissions, how })
    }

    fn bind(&self, kind: Type) -> Result<(Bound, socket2::Socket), Fatal> {
        let failed = |e| Fatal::new(format!("cannot listen at {}: {e} (option `path`)", self.path.display()));
        Bound::new(&self.path, kind, self.permissions).map_err(failed)
    }
}

impl Input for Unix {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        match &self.how {
            How::Stream(serving) => {
                let (_bound, socket) = self.bind(Type::STREAM)?;
                serving.serve(&Listener::Unix(UnixListener::from(socket)), cx)
            }
            How::Datagram { receiving, max_datagram } => {
                let (_bound, socket) = self.bind(Type::DGRAM)?;
                receiving.serve(&mut Datagrams::local(UnixDatagram::from(socket), *max_datagram), cx)
            }
        }
    }

    fn can_wait(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    use testkit::intake::{RecordingIntake, Running, start};

    use super::*;

    fn running(path: &Path, more: &str) -> (RecordingIntake, Running) {
        let intake = RecordingIntake::default().with_block(1000);
        let running = start(testkit::plugins::input(&KIND, &format!("path = {path:?}\n{more}")).unwrap(), &intake);
        running.wait_for(|seen| seen.polls > 1);
        (intake, running)
    }

    #[test]
    fn connections_are_streams_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.sock");
        let (intake, running) = running(&path, "");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        for name in ["one", "two"] {
            write!(UnixStream::connect(&path).unwrap(), "{name}\nhalf").unwrap();
        }
        running.wait_for(|seen| seen.streams.len() == 2 && seen.streams.iter().all(|s| s.closed && s.ends == [8]));
        assert_eq!(intake.seen().streams[0].options.hostname, "");
        running.stop().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_peer_is_told_what_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.sock");
        let (_, running) = running(&path, "acknowledge = true\npermissions = '0600'");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut peer = UnixStream::connect(&path).unwrap();
        peer.write_all(b"line\n").unwrap();
        let mut said = [0; 16];
        peer.read_exact(&mut said).unwrap();
        assert_eq!(said, *b"NILOACK1\0\0\0\0\0\0\0\x05");
        running.stop().unwrap();
    }

    #[test]
    fn a_datagram_is_a_record_and_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.sock");
        let (intake, running) = running(&path, "mode = 'datagram'\nmax_datagram = '10B'\npermissions = '0666'");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let peer = UnixDatagram::unbound().unwrap();
        peer.connect(&path).unwrap();
        for n in 0..2000 {
            peer.send(format!("n {n}").as_bytes()).unwrap();
        }
        peer.send(b"this is too large").unwrap();
        peer.send(b"").unwrap();
        running.stop().unwrap();
        let seen = intake.seen();
        assert_eq!(seen.streams[0].pushed, (0..2000).map(|n| format!("n {n}").into_bytes()).collect::<Vec<_>>());
    }

    #[test]
    fn options_of_the_other_mode_and_permissions_that_are_none_are_problems() {
        for (toml, expected) in [
            ("path = 'a'\nmode = 'datagram'\nacknowledge = true", "test.toml:3:15: `acknowledge` with `mode = \"datagram\"`"),
            ("path = 'a'\nmax_datagram = '1KiB'", "test.toml:2:16: `max_datagram` with `mode = \"stream\"`"),
            ("path = 'a'\npermissions = '888'", "test.toml:2:15: `permissions` is \"888\": expected an octal number"),
            ("path = 'a'\npermissions = '4755'", "expected an octal number up to 0777"),
        ] {
            let problem = testkit::plugins::input(&KIND, toml).err().unwrap();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
