use std::fs::File;
use std::io::Read;

use msgpack::{Item, Reader, Wrong};
use sha2::{Digest, Sha512};

/// The handshake of a peer that has to know a shared key: we say HELO, it says PING, we say PONG.
#[derive(Debug)]
pub struct Handshake {
    nonce: [u8; 16],
}

impl Handshake {
    /// And the HELO to send.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn begin() -> std::io::Result<(Handshake, Vec<u8>)> {
        let mut nonce = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut nonce)?;
        let mut helo = b"\x92\xa4HELO\x83\xa5nonce\xc4\x10".to_vec();
        helo.extend_from_slice(&nonce);
        // No authentication of users.
        helo.extend_from_slice(b"\xa4auth\xa0\xa9keepalive\xc3");
        Ok((Handshake { nonce }, helo))
    }

    /// The PONG to send for a PING, and whether the peer knows the key.
    ///
    /// # Errors
    /// What is not a PING.
    pub fn answer(&self, ping: &[u8], key: &str, hostname: &str) -> Result<(Vec<u8>, bool), Wrong> {
        let mut r = Reader::new(ping);
        if r.array("PING: an array")? != 6 || r.text("PING")? != b"PING" {
            return Err(r.expected("PING of six parts; the option `shared_key` asks for a handshake"));
        }
        let (client, salt, digest) = (r.text("a host name")?, r.text("a salt")?, r.text("a digest")?);
        let known = same(digest, self.digest(salt, client, key).as_bytes());
        let mut pong = b"\x95\xa4PONG".to_vec();
        if known {
            pong.push(0xc3);
            text(b"", &mut pong);
            text(hostname.as_bytes(), &mut pong);
            text(self.digest(salt, hostname.as_bytes(), key).as_bytes(), &mut pong);
        } else {
            pong.push(0xc2);
            text(b"shared key mismatch", &mut pong);
            text(b"", &mut pong);
            text(b"", &mut pong);
        }
        Ok((pong, known))
    }

    /// In hexadecimal digits.
    fn digest(&self, salt: &[u8], hostname: &[u8], key: &str) -> String {
        let digest = Sha512::new().chain_update(salt).chain_update(hostname).chain_update(self.nonce).chain_update(key).finalize();
        digest.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Takes as long for a wrong digest as for the right one.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Appends a text of at most 255 bytes.
fn text(bytes: &[u8], into: &mut Vec<u8>) {
    let bytes = &bytes[..bytes.len().min(255)];
    into.extend_from_slice(&[0xd9, bytes.len() as u8]);
    into.extend_from_slice(bytes);
}

/// The answer to a message whose events are accepted.
pub fn ack(chunk: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(b"\x81\xa3ack");
    into.push(0xda);
    into.extend_from_slice(&(chunk.len() as u16).to_be_bytes());
    into.extend_from_slice(chunk);
}

/// Whether a message is a PING, which a peer sends that was configured with a key.
pub fn is_ping(bytes: &[u8]) -> bool {
    let mut r = Reader::new(bytes);
    r.array("") == Ok(6) && matches!(r.item(), Ok(Item::Text(b"PING")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(handshake: &Handshake, key: &str) -> Vec<u8> {
        let digest = handshake.digest(b"salt", b"client", key);
        rmp_serde::to_vec(&("PING", "client", "salt", digest, "", "")).unwrap()
    }

    #[test]
    fn who_knows_the_key_is_let_in_and_hears_that_we_know_it() {
        let (handshake, helo) = Handshake::begin().unwrap();
        let mut r = Reader::new(&helo);
        assert_eq!((r.array("").unwrap(), r.text("").unwrap(), r.map("").unwrap()), (2, &b"HELO"[..], 3));
        let (pong, known) = handshake.answer(&ping(&handshake, "secret"), "secret", "server").unwrap();
        let read: (String, bool, String, String, String) = rmp_serde::from_slice(&pong).unwrap();
        assert!(known && read == ("PONG".into(), true, String::new(), "server".into(), handshake.digest(b"salt", b"server", "secret")));
        let (pong, known) = handshake.answer(&ping(&handshake, "guess"), "secret", "server").unwrap();
        let read: (String, bool, String, String, String) = rmp_serde::from_slice(&pong).unwrap();
        assert!(!known && !read.1 && read.4.is_empty());
        assert!(handshake.answer(b"\x92\xa1t\x01", "secret", "server").is_err() && is_ping(&ping(&handshake, "x")) && !is_ping(b"\x01"));
    }

    #[test]
    fn an_acknowledgement_is_a_map() {
        let mut out = Vec::new();
        ack(b"p8n9gmxTQVC8/nh2wlKKeQ==", &mut out);
        assert_eq!(rmp_serde::from_slice::<serde_json::Value>(&out).unwrap(), serde_json::json!({"ack": "p8n9gmxTQVC8/nh2wlKKeQ=="}));
    }
}
