//! Heka's protobuf messages in Heka's framing, signed if there is a key.
//!
//! For Heka, Hindsight and other instances. Nothing of a message is lost but the verified signer.

use message::MessageRef;
use message::framing::encode_framed;
use message::signing::{Hash, Signer};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Encoder, Example, Kind, Reject, Stability};

pub const KIND: Kind = Kind::encoder("heka", Stability::Stable, build)
    .summary("Writes framed protobuf messages as Heka does.")
    .doc(
        "Each message is a record of Heka's stream framing, which the splitter `heka` reads. With `signer` and `key` it is signed; Heka itself \
         verifies `md5` and `sha1` only. A message longer than `max_message_size` is refused, because its receiver would discard it.",
    )
    .options(&[
        Opt::size("max_message_size").default("64KiB").doc("Longest message; the receiver's limit."),
        Opt::string("signer").doc("Name of the signer; unsigned when not given.").sample("\"ops\""),
        Opt::secret("key").doc("The signer's key."),
        Opt::integer("key_version").default("1").doc("Version of the key, by which the receiver finds it."),
        Opt::choice("hash", &["sha256", "sha1", "md5"]).default("sha256").doc("Hash function of the signature."),
    ])
    .examples(&[Example { title: "Signed, for Heka", toml: "signer = \"ops\"\nkey = \"the key\"\nkey_version = 0\nhash = \"sha1\"" }]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Encoder>, Problem> {
    let signer = match (o.get_str("signer"), o.get_str("key")) {
        (Some(name), Some(key)) => Some(signer(o, name, key)?),
        (Some(_), None) => return Err(o.problem("signer", "a signer needs a key", "expected `key = { env = \"NAME\" }` beside it")),
        (None, Some(_)) => return Err(o.problem("key", "a key needs a signer", "expected `signer = \"NAME\"` beside it")),
        (None, None) => None,
    };
    Ok(Box::new(Heka { signer, max_message: o.size("max_message_size") }))
}

fn signer(o: &Options, name: &str, key: &str) -> Result<Signer, Problem> {
    // Header of 255 bytes: length 6, hash 2, key version 6, digest 34, and the name's own tag and length.
    const MAX_NAME: usize = 200;
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(o.problem("signer", "`signer` does not fit the record's header", format!("expected 1 to {MAX_NAME} bytes")));
    }
    let version = u32::try_from(o.integer("key_version"));
    let version = version.map_err(|_| o.problem("key_version", "`key_version` is out of range", "expected 0 to 4294967295"))?;
    Ok(Signer::new(name.as_bytes(), version, Hash::from_name(o.str("hash")).unwrap_or(Hash::Sha256), key.as_bytes()))
}

struct Heka {
    signer: Option<Signer>,
    max_message: usize,
}

impl Encoder for Heka {
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        encode_framed(m, self.signer.as_ref(), self.max_message, into).map_err(|e| Reject::new(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use message::{Batch, BatchBuilder};
    use plugin::Split;

    use super::*;

    fn message(payload: &[u8]) -> Batch {
        let mut b = BatchBuilder::default();
        b.add().set_payload(payload);
        b.finish()
    }

    #[test]
    fn the_splitter_reads_and_verifies_it() {
        for (toml, signer) in [
            ("", None),
            ("signer = 'ops'\nkey = 'secret'", Some("ops")),
            ("signer = 'ops'\nkey = 'secret'\nhash = 'md5'", Some("ops")),
            ("signer = 'ops'\nkey = 'secret'\nhash = 'sha1'\nkey_version = 0", Some("ops")),
        ] {
            let mut out = Vec::new();
            testkit::plugins::encoder(&KIND, toml).unwrap().encode(message(b"hello").get(0), &mut out).unwrap();
            let signers = "signers = { ops_0 = 'secret', ops_1 = 'secret' }\nallow_legacy = true";
            let mut splitter = testkit::plugins::splitter(&crate::splitters::heka::KIND, signers).unwrap();
            let Split::Record { record, end } = splitter.split(&out, true) else { panic!("no record") };
            assert_eq!((end, splitter.signer()), (out.len(), signer.map(str::as_bytes)));
            let mut decoder = testkit::plugins::decoder(&crate::decoders::heka::KIND, "").unwrap();
            let (batch, _) = testkit::plugins::decode(&mut *decoder, &[&out[record]]);
            assert_eq!(batch.get(0).payload(), b"hello");
        }
    }

    #[test]
    fn long_messages_are_refused() {
        let mut encoder = testkit::plugins::encoder(&KIND, "max_message_size = '1KiB'").unwrap();
        let refused = encoder.encode(message(&[b'x'; 2000]).get(0), &mut Vec::new()).unwrap_err().to_string();
        assert!(refused.ends_with("expected at most 1024; `max_message_size` raises that"), "{refused}");
    }

    #[test]
    fn bad_options_are_refused() {
        let build = |toml: &str| testkit::plugins::encoder(&KIND, toml).err().unwrap();
        assert!(build("signer = 'ops'").contains("a signer needs a key"));
        assert!(build("key = 'x'").contains("a key needs a signer"));
        assert!(build("signer = 'ops'\nkey = 'x'\nkey_version = -1").contains("key_version"));
        assert!(build(&format!("signer = '{}'\nkey = 'x'", "n".repeat(201))).contains("expected 1 to 200 bytes"));
    }
}
