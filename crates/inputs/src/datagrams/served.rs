use std::io;
use std::net::IpAddr;

use message::StreamId;
use options::unit::show_size;
use options::{Opt, Options, Problem};
use plugin::{Fatal, InputCx, Intake, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Datagrams, LARGEST, Taken};

/// After a stop, so many batches of what has already arrived are still taken.
const LAST_BATCHES: usize = 64;

/// How an input receives datagrams: each is one record or several, and never a part of one.
#[derive(Debug)]
pub struct Receiving {
    /// Where it listens, for error texts.
    pub name: String,
    /// Field of each message that says where it came from.
    pub peer_field: Option<String>,
}

impl Receiving {
    pub const MAX_DATAGRAM: Opt =
        Opt::size("max_datagram").default("64KiB").doc("Larger datagrams are dropped and counted as `oversized`. At most 64KiB.");

    /// The option `max_datagram`, in bytes.
    ///
    /// # Errors
    /// When it is beyond what a datagram can be.
    pub fn max_datagram(o: &Options) -> Result<usize, Problem> {
        let max = o.size("max_datagram");
        if !(1..=LARGEST).contains(&max) {
            let title = format!("`max_datagram` is {}", show_size(max as u64));
            return Err(o.problem("max_datagram", title, "expected 1B to 64KiB"));
        }
        Ok(max)
    }

    /// Receives until a stop is asked for, and then what had arrived by then.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn serve(&self, socket: &mut Datagrams, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let stream = cx.intake.open(StreamOptions::default());
        let mut from = None;
        let result = self.receive_all(socket, stream, &mut from, cx);
        cx.intake.close(stream);
        result.map_err(|e| Fatal::new(format!("receiving at {} failed: {e}", self.name)))
    }

    fn receive_all(&self, socket: &mut Datagrams, stream: StreamId, from: &mut Option<IpAddr>, cx: &mut InputCx<'_>) -> io::Result<()> {
        while !cx.stop.asked() {
            let more = self.receive(socket, stream, from, cx)?.more;
            cx.intake.poll();
            if !more {
                let wait = cx.intake.wait();
                let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
                let mut fds = [PollFd::new(&*socket, PollFlags::IN), PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN)];
                // When this fails, the next receive says why.
                let _ = poll(&mut fds, Some(&wait));
            }
        }
        for _ in 0..LAST_BATCHES {
            if self.receive(socket, stream, from, cx)?.datagrams == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Takes what has arrived, without waiting. `from` is where the last datagram came from.
    fn receive(&self, socket: &mut Datagrams, stream: StreamId, from: &mut Option<IpAddr>, cx: &mut InputCx<'_>) -> io::Result<Taken> {
        let push = |intake: &mut dyn Intake, datagram: &[u8]| {
            // An empty datagram is no record.
            if !datagram.is_empty() {
                intake.push(stream, datagram);
                intake.end_of_stream(stream);
            }
        };
        let taken = match &self.peer_field {
            None => socket.receive(|datagram| push(cx.intake, datagram))?,
            Some(field) => socket.receive_from(|datagram, ip| {
                if ip != *from {
                    *from = ip;
                    let fields: Vec<_> = ip.iter().map(|ip| (field.clone(), ip.to_string())).collect();
                    cx.intake.attribute(stream, "", &fields);
                }
                push(cx.intake, datagram);
            })?,
        };
        cx.meter.add_extra("dropped_by_kernel", taken.dropped.into());
        cx.meter.add_extra("oversized", taken.oversized);
        Ok(taken)
    }
}
