use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::Result;

use super::Door;
use crate::torture::head::Head;
use crate::torture::ledger::Delivered;

/// Takes posted lines and answers 200 once they are noted.
///
/// # Errors
/// When no thread can be started.
pub fn start(address: SocketAddr, delivered: Arc<Delivered>) -> Result<Door> {
    Door::open(address, move |socket| {
        // A connection that breaks is the sender's to open again.
        let _ = serve(socket, &delivered);
    })
}

fn serve(mut socket: &TcpStream, delivered: &Delivered) -> io::Result<()> {
    let mut from = BufReader::with_capacity(64 << 10, socket);
    loop {
        let head = Head::read(&mut from)?;
        if head.expects {
            socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = head.body(&mut from)?;
        body.split(|b| *b == b'\n').filter(|line| !line.is_empty()).for_each(|line| delivered.note(line));
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}
