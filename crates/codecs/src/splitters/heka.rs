//! Heka's framing: records with a header that holds their length and, if signed, who sent them.
//!
//! For streams from Heka, Hindsight and other instances, and for files they wrote. After garbage
//! it finds the next record, see [`Scanner`]. Signatures are checked against `signers`; a record
//! whose signature does not hold is refused, an unsigned one is taken.

use message::framing::{Fault, Found, Scanner};
use message::signing::{Keyring, Refusal, Verdict};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Split, Splitter, Stability};

pub const KIND: Kind = Kind::splitter("heka", Stability::Stable, build)
    .summary("Finds the records of Heka's stream framing and checks their signatures.")
    .doc(
        "Unsigned records are taken, with no signer. Of signed ones the signer must be in `signers` and the signature must hold; \
         others are refused and kept as rejects. Signers are named NAME_VERSION, after the version of their key.",
    )
    .options(&[
        Opt::size("max_message_size").default("64KiB").doc("Longest message that is accepted; a longer one is discarded."),
        Opt::table("signers")
            .doc("The keys of known signers, each named after signer and key version.")
            .sample("{ ops_1 = { env = \"OPS_KEY\" } }"),
        Opt::bool("allow_legacy").default("false").doc("Whether signatures with MD5 or SHA-1, which is all that Heka makes, are accepted."),
    ])
    .examples(&[Example { title: "Signed messages from Heka", toml: "signers = { ops_0 = \"the key\" }\nallow_legacy = true" }]);

/// What the framing takes at most besides the message. Bytes.
const MIN_MESSAGE_SIZE: usize = 16;

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Splitter>, Problem> {
    let max_message = o.size("max_message_size");
    if !(MIN_MESSAGE_SIZE..=1 << 30).contains(&max_message) {
        return Err(o.problem("max_message_size", "`max_message_size` is out of range", "expected 16B to 1GiB"));
    }
    let mut keyring = Keyring::new(o.bool("allow_legacy"));
    for (signer, key) in o.table("signers") {
        let (name, version) = signer.rsplit_once('_').and_then(|(name, version)| Some((name, version.parse().ok()?))).ok_or_else(|| {
            let label = format!("found `{signer}`, expected signer and key version, such as `ops_1`");
            o.problem("signers", "a signer has no key version", label)
        })?;
        keyring.insert(name.as_bytes(), version, key.to_string().as_bytes());
    }
    Ok(Box::new(Framed { scanner: Scanner::new(max_message), keyring, signer: Vec::new(), need: 0, counts: Counts::default() }))
}

struct Framed {
    scanner: Scanner,
    keyring: Keyring,
    /// Who signed the record just returned; empty when nobody did.
    signer: Vec<u8>,
    /// Bytes that must be there before it is worth while to look again.
    need: usize,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    discarded: u64,
    too_big: u64,
    malformed: u64,
    refused: u64,
}

impl Framed {
    /// Bytes that are no record; the search goes on behind them.
    fn discard(&mut self, end: usize, fault: Option<Fault>) -> Split {
        self.counts.discarded += end as u64;
        match fault {
            Some(Fault::TooBig { .. }) => self.counts.too_big += 1,
            Some(Fault::Malformed { .. }) => self.counts.malformed += 1,
            None => {}
        }
        Split::Garbage { end }
    }
}

impl Splitter for Framed {
    fn split(&mut self, buf: &[u8], end: bool) -> Split {
        if buf.len() < self.need && !end {
            return Split::More;
        }
        self.need = 0;
        self.signer.clear();
        match self.scanner.find(buf, end) {
            Found::Record { skip: skip @ 1.., fault, .. } | Found::More { skip: skip @ 1.., fault, .. } => self.discard(skip, fault),
            Found::More { need, .. } => {
                self.need = need;
                Split::More
            }
            Found::Record { header, message, end, .. } => match self.keyring.verify(&header, &buf[message.clone()]) {
                Verdict::Unsigned => Split::Record { record: message, end },
                Verdict::Signed(name) => {
                    self.signer.extend_from_slice(name);
                    Split::Record { record: message, end }
                }
                Verdict::Refused(refusal) => {
                    self.counts.refused += 1;
                    Split::Refused { record: message, end, why: why(refusal) }
                }
            },
        }
    }

    fn signer(&self) -> Option<&[u8]> {
        if self.signer.is_empty() { None } else { Some(&self.signer) }
    }

    fn counts(&mut self, add: &mut dyn FnMut(&'static str, u64)) {
        let Counts { discarded, too_big, malformed, refused } = std::mem::take(&mut self.counts);
        for (name, n) in [
            ("framing_discarded_bytes", discarded),
            ("framing_too_big", too_big),
            ("framing_malformed", malformed),
            ("signatures_refused", refused),
        ] {
            if n > 0 {
                add(name, n);
            }
        }
    }
}

fn why(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownSigner => "found a signer or key version without a key: add it to `signers`",
        Refusal::UnknownHash(_) => "found a signature with an unknown hash function, expected md5, sha1 or sha256",
        Refusal::LegacyHash(_) => "found an md5 or sha1 signature, expected sha256: `allow_legacy = true` accepts it",
        Refusal::BadDigest => {
            "found a signature that is not that of this message: the keys in `signers` and of the sender differ, or it was changed"
        }
    }
}

/// A framed message with `n` bytes of payload.
#[cfg(test)]
pub(super) fn record(n: u8) -> Vec<u8> {
    let mut out = Vec::new();
    message::framing::write(&tests::message(n), None, &mut out).unwrap();
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use message::framing;
    use message::signing::{Hash, Signer};

    use super::*;

    /// A timestamp and a payload of `n` bytes.
    pub fn message(n: u8) -> Vec<u8> {
        [&[0x10, 1, 0x32, n][..], &vec![b'x'; usize::from(n)]].concat()
    }

    fn signed(signer: &str, version: u32, hash: Hash, key: &str) -> Vec<u8> {
        let mut out = Vec::new();
        framing::write(&message(3), Some(&Signer::new(signer.as_bytes(), version, hash, key.as_bytes())), &mut out).unwrap();
        out
    }

    fn counts(splitter: &mut dyn Splitter) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        splitter.counts(&mut |name, n| *counts.entry(name).or_default() += n);
        counts
    }

    #[test]
    fn records_are_found_between_garbage() {
        let stream = [b"BOGUS".to_vec(), record(2), record(40), b"\x1e\x02\x08\x7f\x1f".to_vec(), record(0)].concat();
        let mut splitter = testkit::plugins::splitter(&KIND, "max_message_size = '64B'").unwrap();
        let (records, discarded) = testkit::plugins::split(&mut *splitter, &stream, 1);
        assert_eq!((records, discarded), (vec![message(2), message(40), message(0)], 10));
        assert_eq!(counts(&mut *splitter), BTreeMap::from([("framing_discarded_bytes", 10), ("framing_too_big", 1)]));
        assert_eq!(counts(&mut *splitter), BTreeMap::new());
    }

    #[test]
    fn signatures_are_checked() {
        let stream = [
            signed("ops", 1, Hash::Sha256, "secret"),
            record(3),
            signed("ops", 1, Hash::Sha256, "wrong"),
            signed("ops", 2, Hash::Sha256, "secret"),
            signed("old_one", 7, Hash::Md5, "legacy"),
        ];
        let outcome = |toml: &str| {
            let mut splitter =
                testkit::plugins::splitter(&KIND, &format!("signers = {{ ops_1 = 'secret', old_one_7 = 'legacy' }}\n{toml}")).unwrap();
            let outcomes = stream.each_ref().map(|bytes| match splitter.split(bytes, false) {
                Split::Record { end, .. } if end == bytes.len() => {
                    splitter.signer().map_or("unsigned".to_string(), |s| String::from_utf8_lossy(s).into_owned())
                }
                Split::Refused { end, why, .. } if end == bytes.len() => why.split_once(':').unwrap().1.trim().to_string(),
                other => panic!("{other:?}"),
            });
            (outcomes, counts(&mut *splitter)["signatures_refused"])
        };
        let changed = "the keys in `signers` and of the sender differ, or it was changed";
        let (strict, refused) = outcome("");
        assert_eq!(strict, ["ops", "unsigned", changed, "add it to `signers`", "`allow_legacy = true` accepts it"]);
        assert_eq!(refused, 3);
        assert_eq!(outcome("allow_legacy = true").0[4], "old_one");
    }

    #[test]
    fn bad_options_are_refused() {
        let build = |toml| testkit::plugins::splitter(&KIND, toml).err().unwrap();
        assert!(build("signers = { ops = 'x' }").contains("found `ops`, expected signer and key version, such as `ops_1`"));
        assert!(build("signers = { ops_1 = { env = 'NILO_TEST_SURELY_UNSET' } }").contains("is not set"));
        assert!(build("max_message_size = '2GiB'").contains("expected 16B to 1GiB"));
    }
}
