//! A server that says yes to every HTTP request, for outputs that want no more than that.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Answers until it is dropped.
pub struct Answering {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    /// # Panics
    /// When the listener has no address.
    pub fn new(listener: TcpListener) -> Answering {
        let (address, ended) = (listener.local_addr().expect("its address"), Arc::new(AtomicBool::new(false)));
        let over = ended.clone();
        let accept = move || {
            for socket in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // Ends when the other side closes.
                thread::spawn(move || while answer(&socket).is_some() {});
            }
        };
        Answering { address, ended, thread: Some(thread::spawn(accept)) }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Reads a request with a `Content-Length` and answers it.
fn answer(mut socket: &TcpStream) -> Option<()> {
    let (mut reader, mut length) = (BufReader::new(socket), 0);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()
}
