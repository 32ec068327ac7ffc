use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use options::{Options, Problem};
use plugin::OutCx;
use socket2::{Domain, SockAddr, Socket, Type};
use transport::{ClientTls, Stream};

use crate::connect::connect;
use crate::patience::Patience;

/// Whom to send to, how, and how long to wait for it.
pub struct Peer {
    /// Where it listens, as the log calls it.
    pub address: String,
    /// The file of a socket of this host.
    path: Option<PathBuf>,
    tls: Option<ClientTls>,
    connect_timeout: Duration,
    pub timeout: Duration,
}

impl Peer {
    /// From `address`, `connect_timeout`, `timeout`, and those of TLS.
    ///
    /// # Errors
    /// When the options of TLS do not go together.
    pub fn remote(o: &Options) -> Result<Peer, Problem> {
        let (address, connect_timeout, timeout) = (o.str("address").to_string(), o.duration("connect_timeout"), o.duration("timeout"));
        Ok(Peer { address, path: None, tls: ClientTls::new(o)?, connect_timeout, timeout })
    }

    /// From `path` and `timeout`.
    pub fn local(o: &Options) -> Peer {
        let (path, timeout) = (o.path("path").to_path_buf(), o.duration("timeout"));
        Peer { address: path.display().to_string(), path: Some(path), tls: None, connect_timeout: timeout, timeout }
    }

    /// Connects. A connection over the network is broken by the system when the peer takes nothing for `unacknowledged`.
    ///
    /// # Errors
    /// When nobody accepts, or it is not whom we want to talk to.
    pub fn connect(&self, unacknowledged: Duration, cx: &OutCx<'_>) -> io::Result<Stream> {
        if let Some(path) = &self.path {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            // Done, or refused, at once.
            socket.connect(&SockAddr::unix(path)?)?;
            return Ok(UnixStream::from(socket).into());
        }
        let mut patience = Patience::new(cx, self.connect_timeout);
        let socket = connect(&self.address, unacknowledged, &mut patience)?;
        let Some(tls) = &self.tls else { return Ok(socket.into()) };
        let mut stream = tls.connect(socket, &self.address, cx.clock.steady())?;
        stream.complete(|fd, events| patience.wait(fd, events)).map_err(|e| io::Error::new(e.kind(), format!("TLS: {e}")))?;
        Ok(stream)
    }
}
