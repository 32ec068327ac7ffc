use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};

use super::random::Random;
use crate::moment;

/// An address nobody listens at, below the ports from which the system takes those of clients: who
/// connects again and again to a port of that range until somebody listens may meet himself there.
///
/// # Errors
/// When none is found.
pub fn listening() -> Result<SocketAddr> {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let salt = CALLS.fetch_add(1, Ordering::Relaxed) << 32 | u64::from(std::process::id());
    let mut random = Random::new(moment::now() as u64 ^ salt.rotate_left(20));
    for _ in 0..1000 {
        let port = random.within(12_000..32_000) as u16;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port from 12000 to 32000")
}
