use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// Something that serves one connection until it ends.
type Serve = dyn Fn(&TcpStream) + Send + Sync;

/// A listener that can be closed, with all its connections, and opened again. Dropped, it is closed.
pub struct Door {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    open: AtomicBool,
    stopped: AtomicBool,
    visitors: Mutex<HashMap<u64, TcpStream>>,
    serve: Box<Serve>,
}

impl Door {
    /// Serves each connection on a thread of its own.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn open(address: SocketAddr, serve: impl Fn(&TcpStream) + Send + Sync + 'static) -> Result<Door> {
        let (open, stopped) = (AtomicBool::new(true), AtomicBool::new(false));
        let shared = Arc::new(Shared { address, open, stopped, visitors: Mutex::default(), serve: Box::new(serve) });
        let door = Door { shared: shared.clone() };
        std::thread::Builder::new().name("door".into()).spawn(move || keep(&shared))?;
        Ok(door)
    }

    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Nobody listens any more, and every connection is broken.
    pub fn close(&self) {
        self.shared.open.store(false, Ordering::Release);
        self.shared.expel();
    }

    pub fn reopen(&self) {
        self.shared.open.store(true, Ordering::Release);
    }

    /// Breaks every connection; new ones are served.
    pub fn expel(&self) {
        self.shared.expel();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.close();
    }
}

impl Shared {
    fn expel(&self) {
        let mut visitors = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has left already cannot be sent away.
        visitors.drain().for_each(|(_, socket)| drop(socket.shutdown(Shutdown::Both)));
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
}

fn keep(shared: &Arc<Shared>) {
    let (mut listener, mut visits) = (None, 0);
    while !shared.stopped.load(Ordering::Acquire) {
        match &listener {
            _ if !shared.is_open() => listener = None,
            // The address may be taken for a moment by connections that end.
            None => listener = TcpListener::bind(shared.address).and_then(|l| l.set_nonblocking(true).map(|()| l)).ok(),
            Some(open) => match open.accept() {
                Ok((socket, _)) => {
                    visits += 1;
                    admit(shared, visits, socket);
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => listener = None,
            },
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn admit(shared: &Arc<Shared>, visit: u64, socket: TcpStream) {
    let prepared = socket.set_nonblocking(false).and_then(|()| socket.set_nodelay(true)).and_then(|()| socket.try_clone());
    let Ok(copy) = prepared else { return };
    {
        let mut visitors = shared.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        if !shared.is_open() {
            return;
        }
        visitors.insert(visit, copy);
    }
    let shared = shared.clone();
    std::thread::spawn(move || {
        (shared.serve)(&socket);
        shared.visitors.lock().unwrap_or_else(PoisonError::into_inner).remove(&visit);
    });
}
