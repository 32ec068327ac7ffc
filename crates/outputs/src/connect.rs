use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::patience::Patience;

/// After this long without traffic the peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The addresses behind `host:port`. A name is looked up by the system, which may take its own
/// time over it; a literal address is not.
///
/// # Errors
/// When there are none.
pub fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = address.to_socket_addrs()?.collect();
    if addresses.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(addresses) }
}

/// Connects to the first address that answers. The stream is non-blocking, sends at once, and is
/// broken when the peer acknowledges nothing for `unacknowledged`.
///
/// # Errors
/// That of the last address tried.
pub fn connect(address: &str, unacknowledged: Duration, patience: &mut Patience<'_>) -> io::Result<TcpStream> {
    let mut last = Err(io::Error::other("the name has no address"));
    for address in resolve(address)? {
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
