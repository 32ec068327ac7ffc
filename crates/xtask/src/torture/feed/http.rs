use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::{Feeder, Task};
use crate::torture::head::Head;
use crate::torture::ledger::Stream;

/// Lines of one request.
const LINES: u64 = 50;

/// Posts lines to an input, on one connection while it lasts.
///
/// # Errors
/// When no thread can be started.
pub fn start(stream: Arc<Stream>, address: SocketAddr, rate: u64) -> Result<Feeder> {
    Feeder::start(stream, rate, move |task| {
        while !task.over() {
            // Nobody listens while it is killed; that is what is tried here.
            let _ = session(task, address);
            std::thread::sleep(Duration::from_millis(2));
        }
    })
}

fn session(task: &Task, address: SocketAddr) -> io::Result<()> {
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    socket.set_nodelay(true)?;
    // Longer than the input makes anybody wait before it says that it cannot accept now.
    socket.set_read_timeout(Some(Duration::from_secs(35)))?;
    socket.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut answers = BufReader::new(socket.try_clone()?);
    while !task.over() {
        let first = task.stream.acknowledged() + 1;
        let last = task.due().min(first + LINES - 1);
        if last < first {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        socket.write_all(&request(task, address, first, last))?;
        match answer(&mut answers)? {
            200..=299 => task.stream.acknowledge(last),
            429 | 500..=599 => std::thread::sleep(Duration::from_millis(10)),
            // Of a request that was cut short on its way.
            400 | 408 => return Err(io::Error::other("cut short")),
            status => {
                task.wrong(format!("the answer is {status}"));
                return Err(io::Error::other("refused"));
            }
        }
    }
    Ok(())
}

fn request(task: &Task, address: SocketAddr, first: u64, last: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for number in first..=last {
        task.stream.issue(number, &mut body);
        body.push(b'\n');
    }
    let mut request =
        format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend(body);
    request
}

/// The status of an answer, whose body is read and dropped.
fn answer(from: &mut impl BufRead) -> io::Result<u16> {
    let head = Head::read(from)?;
    let status = head.first.split(' ').nth(1).and_then(|s| s.parse().ok());
    head.body(from)?;
    status.ok_or_else(|| io::Error::other("no status"))
}
