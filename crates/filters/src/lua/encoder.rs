//! `lua`: an encoder written in Lua: it writes messages as bytes.
//!
//! For formats no native encoder knows. What the script makes is written as it is: a delimiter, where
//! the output wants one, is the script's.

use message::MessageRef;
use options::{Options, Problem};
use plugin::{BuildCx, Clock, Encoder, Example, Kind, Refusal, Reject, Scripted, Stability};
use sandbox::{Encoded, Family};

use super::{API, CONFIG, CPU, INSTRUCTIONS, Loaded, MEMORY, MODULES, OUTPUT, SCRIPT, STATE, load, sandbox_config};

pub const KIND: Kind = Kind::encoder("lua", Stability::Stable, build)
    .summary("Writes messages as bytes made by a sandboxed Lua script.")
    .doc(
        "The script defines process_message(). What it hands to inject_payload(type, name, …) is written; inject_message{…} is written as \
         protobuf; without either the message itself is, with the changes of write_message. The last one counts. −2 means that there is \
         nothing to write for this message; another negative number, with a text, refuses it.",
    )
    .options(&[SCRIPT, CONFIG, MODULES, API, MEMORY, CPU, INSTRUCTIONS, OUTPUT, STATE])
    .examples(&[Example { title: "Write with a script", toml: "script = \"encode.lua\"" }]);

struct LuaEncoder {
    name: String,
    loaded: Loaded,
    clock: Clock,
}

fn build(o: &Options, cx: &BuildCx) -> Result<Box<dyn Encoder>, Problem> {
    let config = sandbox_config(o, cx, Family::Encoder, 0, 0);
    Ok(Box::new(LuaEncoder { name: format!("encoder.{}", cx.name), loaded: load(o, config)?, clock: cx.clock.clone() }))
}

impl Encoder for LuaEncoder {
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        let _awake = sandbox::active();
        let outcome = self.loaded.sandbox.encode(m, self.clock.now(), into);
        self.loaded.log_prints(&self.name);
        match outcome {
            Ok(Encoded::Bytes) => Ok(()),
            Ok(Encoded::Skipped) => {
                self.loaded.refusal = Refusal::Skipped;
                Err(Reject::new("there is nothing to write for it"))
            }
            Ok(Encoded::Failed(why)) => Err(self.loaded.refused(why)),
            Err(failure) => Err(self.loaded.failed(&failure)),
        }
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        Some(&mut self.loaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::BatchBuilder;

    #[test]
    fn writes_skips_and_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.lua");
        let source = "function process_message()\nlocal p = read_message('Payload')\nif p == 'skip' then return -2 end\n\
            if p == 'bad' then return -1, 'not this' end\nif p == 'boom' then error('boom') end\n\
            inject_payload('txt', '', '<', p, '>\\n')\nreturn 0\nend";
        std::fs::write(&path, source).unwrap();
        let mut encoder = testkit::plugins::encoder(&KIND, &format!("script = {path:?}")).unwrap();
        let mut b = BatchBuilder::default();
        ["a", "skip", "bad", "boom", "b"].iter().for_each(|p| b.add().set_payload(p.as_bytes()));
        let (batch, mut into, mut said) = (b.finish(), b"before ".to_vec(), Vec::new());
        for m in batch.iter() {
            if let Err(why) = encoder.encode(m, &mut into) {
                said.push((encoder.script().unwrap().refusal(), why.0.into_owned()));
            }
        }
        assert_eq!(into, b"before <a>\n<b>\n");
        assert_eq!(said.iter().map(|(r, _)| *r).collect::<Vec<_>>(), [Refusal::Skipped, Refusal::Refused, Refusal::Failed]);
        assert!(said[1].1 == "not this" && said[2].1.contains("e.lua:5: boom"), "{said:?}");
    }
}
