use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::patience::Patience;
use crate::resolve::resolve;

/// After this long without traffic the peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Connects to the first address that answers, looking the name up if it is one. The stream is non-blocking, sends at once, and is
/// broken when the peer acknowledges nothing for `unacknowledged`.
///
/// # Errors
/// That of the last address tried.
pub fn connect(address: &str, unacknowledged: Duration, patience: &mut Patience<'_>) -> io::Result<TcpStream> {
    let mut last = Err(io::Error::other("the name has no address"));
    for address in resolve(address, patience)? {
        last = connect_to(address, unacknowledged, patience);
        if last.is_ok() {
            break;
        }
    }
    last
}

fn connect_to(address: SocketAddr, unacknowledged: Duration, patience: &mut Patience<'_>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    socket.set_tcp_user_timeout(Some(unacknowledged))?;
    match socket.connect(&address.into()) {
        Err(e) if e.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {
            patience.wait(&socket, PollFlags::OUT)?;
            match socket.take_error()? {
                Some(e) => Err(e),
                None => Ok(socket.into()),
            }
        }
        Err(e) => Err(e),
        Ok(()) => Ok(socket.into()),
    }
}
