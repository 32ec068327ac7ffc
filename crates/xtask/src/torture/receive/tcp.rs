use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::Result;

use super::Door;
use crate::torture::GREETING;
use crate::torture::frame::{self, Frame};
use crate::torture::ledger::Delivered;

/// The acknowledging side of a stream of framed messages.
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
    socket.write_all(GREETING)?;
    let (mut block, mut bytes, mut accepted) = (vec![0; 256 << 10], Vec::new(), 0u64);
    loop {
        match socket.read(&mut block)? {
            0 => return Ok(()),
            n => bytes.extend_from_slice(&block[..n]),
        }
        let mut at = 0;
        loop {
            match frame::read(&bytes[at..]) {
                Frame::Whole(text, size) => {
                    delivered.note(text);
                    at += size;
                }
                Frame::Partial => break,
                Frame::Wrong => {
                    delivered.note(b"no frame");
                    return Ok(());
                }
            }
        }
        bytes.drain(..at);
        accepted += at as u64;
        if at > 0 {
            socket.write_all(&accepted.to_be_bytes())?;
        }
    }
}
