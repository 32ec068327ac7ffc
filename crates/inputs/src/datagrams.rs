//! Datagrams, taken many at a time, and served as inputs share it.

mod served;

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrLike, SockaddrStorage, recvmmsg, setsockopt,
    sockopt::{RcvBufForce, RxqOvfl},
};
use options::unit::show_size;
use socket2::SockRef;

pub use self::served::Receiving;

/// Datagrams taken at a time: at most, and when few arrive.
const BATCH: usize = 64;
const FEW: usize = 8;

/// Bytes between the rooms for two datagrams. Rooms a power of two apart would all share the same few
/// lines of the processor's cache.
const APART: usize = 1536;

/// No datagram is larger.
pub const LARGEST: usize = 64 << 10;

/// A socket from which datagrams are taken many at a time.
#[derive(Debug)]
pub struct Datagrams {
    socket: Socket,
    buffer: Vec<u8>,
    /// Longest datagram taken, in bytes.
    largest: usize,
    /// What the kernel holds for this socket before it drops, in bytes of its own accounting.
    capacity: usize,
    /// Datagrams to ask for: making ready for each takes time, so not many more than there are.
    ask: usize,
    /// The kernel's count of datagrams it had no room for, as last seen; it wraps.
    drops: u32,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// What one call took.
#[derive(Clone, Copy, Default, Debug)]
pub struct Taken {
    pub datagrams: usize,
    pub bytes: u64,
    /// Datagrams left out because they were longer than the limit.
    pub oversized: u64,
    /// Datagrams the kernel lost since the last call.
    pub dropped: u32,
    /// There may be more to take.
    pub more: bool,
}

impl Datagrams {
    /// Binds and asks the kernel for a buffer; it may give less, which is logged. Datagrams of more
    /// than `largest` bytes, which is at most [`LARGEST`], are left out.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(listen: &str, receive_buffer: usize, largest: usize) -> io::Result<Datagrams> {
        let socket = UdpSocket::bind(listen)?;
        socket.set_nonblocking(true)?;
        let capacity = enlarge(&socket, listen, receive_buffer);
        let mut datagrams = Datagrams::over(Socket::Udp(socket), largest);
        datagrams.capacity = capacity;
        if let Err(e) = setsockopt(&datagrams.socket, RxqOvfl, &1) {
            log::info!("{listen}: the kernel does not tell how many datagrams it drops: {e}");
        }
        Ok(datagrams)
    }

    /// Those that programs of this host send to a socket that is bound and does not block. None is dropped:
    /// who sends waits, or is told.
    pub fn local(socket: UnixDatagram, largest: usize) -> Datagrams {
        Datagrams::over(Socket::Unix(socket), largest)
    }

    fn over(socket: Socket, largest: usize) -> Datagrams {
        Datagrams { socket, buffer: vec![0; BATCH * (largest + APART)], largest, capacity: 0, ask: FEW, drops: 0 }
    }

    /// # Errors
    /// Those of the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Socket::Udp(socket) => socket.local_addr(),
            Socket::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// How long datagrams may be left to the kernel: a flood of a million a second, of 768 bytes each
    /// in its accounting, fills a quarter of its buffer meanwhile.
    pub fn patience(&self) -> Duration {
        Duration::from_micros(self.capacity as u64 / (4 * 768))
    }

    /// Takes datagrams that have arrived, without waiting.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn receive(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<Taken> {
        self.receive_as::<()>(|datagram, _| each(datagram))
    }

    /// As [`Datagrams::receive`], with the address that each datagram comes from.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn receive_from(&mut self, mut each: impl FnMut(&[u8], Option<IpAddr>)) -> io::Result<Taken> {
        self.receive_as::<SockaddrStorage>(|datagram, from| each(datagram, from.as_ref().and_then(ip)))
    }

    fn receive_as<A: SockaddrLike + Copy>(&mut self, mut each: impl FnMut(&[u8], Option<A>)) -> io::Result<Taken> {
        let (ask, largest) = (self.ask, self.largest);
        let rooms = self.buffer.chunks_mut(largest + APART).take(ask);
        let mut slices: Vec<_> = rooms.map(|room| [IoSliceMut::new(&mut room[..largest])]).collect();
        // Headers are made for each call because the kernel overwrites the sizes in them.
        let mut headers = MultiHeaders::<A>::preallocate(slices.len(), Some(cmsg_space!(u32)));
        let received = match recvmmsg(self.socket.as_fd().as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Taken::default()),
            Err(e) => return Err(e.into()),
        };
        let (mut taken, mut drops) = (Taken::default(), self.drops);
        for datagram in received {
            taken.datagrams += 1;
            taken.bytes += datagram.bytes as u64;
            for cmsg in datagram.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::RxqOvfl(n) = cmsg {
                    drops = n;
                }
            }
            if datagram.flags.contains(MsgFlags::MSG_TRUNC) {
                taken.oversized += 1;
            } else {
                // An empty datagram has no slice.
                each(datagram.iovs().next().unwrap_or_default(), datagram.address);
            }
        }
        taken.dropped = drops.wrapping_sub(self.drops);
        taken.more = taken.datagrams == ask;
        self.ask = (2 * taken.datagrams).clamp(FEW, BATCH);
        self.drops = drops;
        Ok(taken)
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip()).to_canonical()))
}

/// Returns what the socket has then.
fn enlarge(socket: &UdpSocket, listen: &str, size: usize) -> usize {
    // Past the sysctl when privileged. A failure shows in what is given.
    let forced = setsockopt(socket, RcvBufForce, &size).is_ok();
    let socket = SockRef::from(socket);
    let asked = show_size(size as u64);
    let set = if forced { Ok(()) } else { socket.set_recv_buffer_size(size) };
    match set.and_then(|()| socket.recv_buffer_size()) {
        // The kernel doubles what it is asked for, to have room for its own.
        Ok(given) => {
            if given / 2 < size {
                let given = show_size(given as u64 / 2);
                log::warn!("{listen}: the kernel gives a buffer of {given}, not {asked}: raise the sysctl net.core.rmem_max");
            }
            given
        }
        Err(e) => {
            log::warn!("{listen}: cannot set a buffer of {asked}: {e} (option `receive_buffer`)");
            0
        }
    }
}
