use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::event::PollFlags;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use transport::Stream;

/// A connection, encrypted or not, as the server's runtime wants it.
pub struct Socket(AsyncFd<Stream>);

impl Socket {
    /// # Errors
    /// When the system will not watch the socket.
    pub fn new(stream: Stream) -> io::Result<Socket> {
        #[expect(deprecated, reason = "its successor is unsafe; a stream has one socket, and owns it as long as it lives")]
        AsyncFd::new(stream).map(Socket)
    }

    /// The whole handshake of an encrypted connection.
    ///
    /// # Errors
    /// Why there will be no connection.
    pub async fn handshake(&mut self) -> io::Result<()> {
        // There may be none to wait for.
        if self.0.get_mut().handshake()? {
            return Ok(());
        }
        loop {
            let interest =
                if self.0.get_ref().awaits(true, false).contains(PollFlags::OUT) { Interest::WRITABLE } else { Interest::READABLE };
            let mut guard = self.0.ready_mut(interest).await?;
            let shaken = guard.try_io(|fd| if fd.get_mut().handshake()? { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) });
            if let Ok(result) = shaken {
                return result;
            }
        }
    }

    fn write_with<R>(&mut self, cx: &mut Context<'_>, mut write: impl FnMut(&mut Stream) -> io::Result<R>) -> Poll<io::Result<R>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready_mut(cx))?;
            match guard.try_io(|fd| write(fd.get_mut())) {
                Ok(Err(e)) if e.kind() == ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_) => {}
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = &mut self.get_mut().0;
        loop {
            // What was decrypted already is told of by no event: readiness ends only when a read finds nothing.
            let mut guard = ready!(socket.poll_read_ready_mut(cx))?;
            match guard.try_io(|fd| fd.get_mut().read(buf.initialize_unfilled())) {
                Ok(Ok(n)) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(e)) if e.kind() == ErrorKind::Interrupted => {}
                Ok(Err(e)) => return Poll::Ready(Err(e)),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().write_with(cx, |stream| stream.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().write_with(cx, Stream::flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().write_with(cx, |stream| match stream.shutdown_write() {
            Err(e) if e.kind() == ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}
