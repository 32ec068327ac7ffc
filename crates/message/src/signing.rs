//! Who sent a record: an HMAC over the bytes of the message, in the record's header.
//!
//! The hash functions are numbered as in Heka's header, plus SHA-256, which Heka does not know. A
//! [`Keyring`] refuses MD5 and SHA-1 unless told otherwise. A signature does not hide anything and
//! does not keep a record from being sent again.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::Sha256;

use crate::framing::FrameHeader;

/// Hash function of a signature, numbered as on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Hash {
    /// Heka's default; legacy.
    Md5 = 0,
    /// Legacy.
    Sha1 = 1,
    /// Ours: Heka's schema ends at 1, and its readers do not survive a number they do not know.
    Sha256 = 2,
}

impl Hash {
    /// The hash function with this wire number.
    pub fn from_number(n: u32) -> Option<Hash> {
        [Hash::Md5, Hash::Sha1, Hash::Sha256].into_iter().find(|h| *h as u32 == n)
    }

    /// `md5`, `sha1` or `sha256`.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Md5 => "md5",
            Hash::Sha1 => "sha1",
            Hash::Sha256 => "sha256",
        }
    }

    /// The hash function of this name.
    pub fn from_name(name: &str) -> Option<Hash> {
        [Hash::Md5, Hash::Sha1, Hash::Sha256].into_iter().find(|h| h.name() == name)
    }
}

/// A hash function that has taken in the key; cloned for each message.
#[derive(Clone)]
enum Keyed {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
}

fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("an HMAC takes a key of any length")
}

impl Keyed {
    fn new(hash: Hash, key: &[u8]) -> Keyed {
        match hash {
            Hash::Md5 => Keyed::Md5(keyed(key)),
            Hash::Sha1 => Keyed::Sha1(keyed(key)),
            Hash::Sha256 => Keyed::Sha256(keyed(key)),
        }
    }

    fn digest(&self, message: &[u8]) -> Digest {
        match self {
            Keyed::Md5(mac) => Digest::new(&mac.clone().chain_update(message).finalize().into_bytes()),
            Keyed::Sha1(mac) => Digest::new(&mac.clone().chain_update(message).finalize().into_bytes()),
            Keyed::Sha256(mac) => Digest::new(&mac.clone().chain_update(message).finalize().into_bytes()),
        }
    }

    /// Compares in a time that does not depend on the digest.
    fn verify(&self, message: &[u8], digest: &[u8]) -> bool {
        let verified = match self {
            Keyed::Md5(mac) => mac.clone().chain_update(message).verify_slice(digest),
            Keyed::Sha1(mac) => mac.clone().chain_update(message).verify_slice(digest),
            Keyed::Sha256(mac) => mac.clone().chain_update(message).verify_slice(digest),
        };
        verified.is_ok()
    }
}

/// Signs what is sent.
#[derive(Clone)]
pub struct Signer {
    name: Box<[u8]>,
    key_version: u32,
    hash: Hash,
    keyed: Keyed,
}

impl Signer {
    pub fn new(name: &[u8], key_version: u32, hash: Hash, key: &[u8]) -> Signer {
        Signer { name: name.into(), key_version, hash, keyed: Keyed::new(hash, key) }
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    pub fn key_version(&self) -> u32 {
        self.key_version
    }

    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The signature of `message`.
    pub fn digest(&self, message: &[u8]) -> Digest {
        self.keyed.digest(message)
    }
}

/// A signature: 16, 20 or 32 bytes, after the hash function.
#[derive(Clone, Copy)]
pub struct Digest {
    bytes: [u8; 32],
    len: usize,
}

impl Digest {
    fn new(of: &[u8]) -> Digest {
        let mut bytes = [0; 32];
        bytes[..of.len()].copy_from_slice(of);
        Digest { bytes, len: of.len() }
    }
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The key is not shown.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}_{}, {})", String::from_utf8_lossy(&self.name), self.key_version, self.hash.name())
    }
}

/// The keys of the signers that a receiver knows.
#[derive(Clone, Default)]
pub struct Keyring {
    signers: HashMap<Box<[u8]>, Vec<Key>>,
    allow_legacy: bool,
}

#[derive(Clone)]
struct Key {
    version: u32,
    /// Indexed by [`Hash`]: the header chooses the hash function.
    keyed: [Keyed; 3],
}

impl Keyring {
    /// An empty ring; `allow_legacy` accepts MD5 and SHA-1 signatures too.
    pub fn new(allow_legacy: bool) -> Keyring {
        Keyring { signers: HashMap::new(), allow_legacy }
    }

    /// Adds or replaces a version of a signer's key.
    pub fn insert(&mut self, name: &[u8], version: u32, key: &[u8]) {
        let keys = self.signers.entry(name.into()).or_default();
        keys.retain(|k| k.version != version);
        keys.push(Key { version, keyed: [Hash::Md5, Hash::Sha1, Hash::Sha256].map(|hash| Keyed::new(hash, key)) });
    }

    pub fn is_empty(&self) -> bool {
        self.signers.is_empty()
    }

    /// Checks the signature that `header` holds of `message`, the bytes of the message.
    pub fn verify<'h>(&self, header: &FrameHeader<'h>, message: &[u8]) -> Verdict<'h> {
        if header.signer.is_empty() && header.hmac.is_empty() {
            return Verdict::Unsigned;
        }
        match self.check(header, message) {
            Ok(()) => Verdict::Signed(header.signer),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    fn check(&self, header: &FrameHeader<'_>, message: &[u8]) -> Result<(), Refusal> {
        let hash = Hash::from_number(header.hash).ok_or(Refusal::UnknownHash(header.hash))?;
        if hash != Hash::Sha256 && !self.allow_legacy {
            return Err(Refusal::LegacyHash(hash));
        }
        let keys = self.signers.get(header.signer).ok_or(Refusal::UnknownSigner)?;
        let key = keys.iter().find(|k| k.version == header.key_version).ok_or(Refusal::UnknownSigner)?;
        if key.keyed[hash as usize].verify(message, header.hmac) { Ok(()) } else { Err(Refusal::BadDigest) }
    }
}

/// The keys are not shown.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} signers, allow_legacy = {})", self.signers.len(), self.allow_legacy)
    }
}

/// What a record's signature says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict<'a> {
    /// The header names no signer and holds no digest. Whether that is acceptable is the
    /// receiver's policy.
    Unsigned,
    /// The record is from this signer.
    Signed(&'a [u8]),
    /// The record claims a signature that does not hold: it is to be refused.
    Refused(Refusal),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No key for this signer and key version.
    UnknownSigner,
    /// No hash function has this number.
    UnknownHash(u32),
    /// MD5 or SHA-1, and the ring does not allow them.
    LegacyHash(Hash),
    /// The digest is not that of the message, or is missing.
    BadDigest,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::UnknownSigner => f.write_str("no key is known for this signer and key version"),
            Refusal::UnknownHash(n) => write!(f, "found hash function {n}, expected 0 (md5), 1 (sha1) or 2 (sha256)"),
            Refusal::LegacyHash(hash) => {
                write!(f, "signed with {}, expected sha256; `allow_legacy = true` accepts md5 and sha1", hash.name())
            }
            Refusal::BadDigest => f.write_str("the signature is not that of this message: the keys differ, or the message was changed"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"what is signed";

    fn ring(allow_legacy: bool) -> Keyring {
        let mut ring = Keyring::new(allow_legacy);
        ring.insert(b"ops", 1, b"old");
        ring.insert(b"ops", 2, b"new");
        ring
    }

    fn verdict(ring: &Keyring, hash: Hash, version: u32, key: &[u8], change: impl Fn(&mut FrameHeader<'_>)) -> Result<Vec<u8>, Refusal> {
        let hmac = Signer::new(b"ops", version, hash, key).digest(MESSAGE);
        let mut header =
            FrameHeader { message_length: MESSAGE.len(), signer: b"ops", hash: hash as u32, key_version: version, hmac: &hmac };
        change(&mut header);
        match ring.verify(&header, MESSAGE) {
            Verdict::Unsigned => Ok(Vec::new()),
            Verdict::Signed(name) => Ok(name.to_vec()),
            Verdict::Refused(refusal) => Err(refusal),
        }
    }

    #[test]
    fn each_version_of_a_key_and_each_hash_verifies() {
        for hash in [Hash::Md5, Hash::Sha1, Hash::Sha256] {
            assert_eq!(verdict(&ring(true), hash, 1, b"old", |_| ()), Ok(b"ops".to_vec()));
            assert_eq!(verdict(&ring(true), hash, 2, b"new", |_| ()), Ok(b"ops".to_vec()));
            assert_eq!(verdict(&ring(true), hash, 2, b"old", |_| ()), Err(Refusal::BadDigest));
        }
    }

    #[test]
    fn refusals() {
        let sha256 = |change: fn(&mut FrameHeader<'_>)| verdict(&ring(false), Hash::Sha256, 2, b"new", change);
        assert_eq!(sha256(|h| h.signer = b"other"), Err(Refusal::UnknownSigner));
        assert_eq!(sha256(|h| h.key_version = 3), Err(Refusal::UnknownSigner));
        assert_eq!(sha256(|h| h.hash = 3), Err(Refusal::UnknownHash(3)));
        assert_eq!(sha256(|h| h.hmac = &h.hmac[..31]), Err(Refusal::BadDigest));
        assert_eq!(sha256(|h| h.hmac = b""), Err(Refusal::BadDigest));
        assert_eq!(sha256(|h| h.signer = b""), Err(Refusal::UnknownSigner));
        assert_eq!(sha256(|h| (h.signer, h.hmac) = (b"", b"")), Ok(Vec::new()));
        assert_eq!(verdict(&ring(false), Hash::Md5, 2, b"new", |_| ()), Err(Refusal::LegacyHash(Hash::Md5)));
        assert_eq!(verdict(&ring(false), Hash::Sha1, 2, b"new", |_| ()), Err(Refusal::LegacyHash(Hash::Sha1)));
    }

    #[test]
    fn keys_are_not_shown() {
        let signer = Signer::new(b"ops", 2, Hash::Sha256, b"new");
        assert_eq!(format!("{signer:?} {:?}", ring(false)), "Signer(ops_2, sha256) Keyring(1 signers, allow_legacy = false)");
    }
}
