//! What the machine itself takes: loops that do the workload's reading and nothing else. They run as
//! processes of their own, so that they are measured as everyone else is.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

/// One connection into a file, a mebibyte at a time. With `stay` it does not end with the connection, but
/// when it is told to.
///
/// # Errors
/// Those of the socket and the file.
pub fn tcp(listen: &str, file: &Path, stay: bool) -> Result<()> {
    let (mut peer, _) = TcpListener::bind(listen)?.accept()?;
    let (mut file, mut block) = (File::create(file)?, vec![0; 1 << 20]);
    loop {
        match peer.read(&mut block)? {
            0 if stay => loop {
                std::thread::park();
            },
            0 => return Ok(()),
            read => file.write_all(&block[..read])?,
        }
    }
}

/// How long nothing may arrive before the sender is taken to be done.
const SILENCE: Duration = Duration::from_millis(500);

/// Receives datagrams until they end; prints how many metrics they held, one a line.
///
/// # Errors
/// Those of the socket.
pub fn udp(listen: &str) -> Result<()> {
    let socket = UdpSocket::bind(listen)?;
    // As large as `nilo` asks for.
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &(4 << 20))?;
    let mut first = [0; 2048];
    let size = socket.recv(&mut first)?;
    let mut metrics = count(&first[..size]);
    socket.set_read_timeout(Some(SILENCE))?;
    let mut buffer = vec![0; 256 * 2048];
    loop {
        // The types of `nix` do not let these be used again; beside the call they cost next to nothing.
        let mut slices: Vec<_> = buffer.chunks_mut(2048).map(|chunk| [IoSliceMut::new(chunk)]).collect();
        let mut headers = MultiHeaders::<()>::preallocate(slices.len(), None);
        match recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
            Ok(received) => metrics += received.map(|d| d.iovs().next().map_or(0, count)).sum::<u64>(),
            Err(e) if std::io::Error::from(e).kind() == ErrorKind::WouldBlock => break,
            Err(e) => return Err(e.into()),
        }
    }
    println!("{metrics}");
    Ok(())
}

/// Lines of a datagram, the last of which has no newline.
fn count(datagram: &[u8]) -> u64 {
    1 + datagram.iter().filter(|b| **b == b'\n').count() as u64
}
