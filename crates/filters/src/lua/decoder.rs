//! `lua`: a decoder written in Lua: it makes messages of records.
//!
//! For formats no native decoder knows. One that `log_format`, `regex` or `json` can describe costs a
//! tenth there. A record the script refuses is a reject; one at which it fails is tried once more by a
//! new instance, and is a reject then.

use message::Messages;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Scripted, Stability};
use sandbox::{Family, Status};

use super::{API, CONFIG, CPU, INSTRUCTIONS, Loaded, MEMORY, MODULES, OUTPUT, SCRIPT, STATE, count, load, sandbox_config};

pub const KIND: Kind = Kind::decoder("lua", Stability::Stable, build)
    .summary("Makes messages of records in a sandboxed Lua script.")
    .doc(
        "The script defines process_message(). It finds the record as read_message(\"Payload\"). With write_message(name, value) it changes the \
         message that comes of it; or it makes messages of its own with inject_message{…}, as many as `max_process_inject`, and they take the \
         record's place: headers they leave unset are the record's. A negative number, with a text, refuses the record. Each stream has a \
         script of its own; globals outlive reloads and, for streams with a name such as files, restarts.",
    )
    .options(&[
        SCRIPT,
        CONFIG,
        MODULES,
        API,
        MEMORY,
        CPU,
        INSTRUCTIONS,
        OUTPUT,
        Opt::integer("max_process_inject").default("1000").doc("Messages that may come of one record."),
        STATE,
    ])
    .examples(&[Example { title: "Decode with a script", toml: "script = \"decode.lua\"" }]);

struct LuaDecoder {
    name: String,
    loaded: Loaded,
}

fn build(o: &Options, cx: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    let config = sandbox_config(o, cx, Family::Decoder, count(o, "max_process_inject")?, 0);
    Ok(Box::new(LuaDecoder { name: format!("decoder.{}", cx.name), loaded: load(o, config)? }))
}

impl Decoder for LuaDecoder {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        let _awake = sandbox::active();
        let index = out.len();
        let mut m = out.add();
        m.set_timestamp(cx.now);
        // Copied: the script sees the message, not the block it was read into.
        m.set_payload(record.bytes());
        let outcome = self.loaded.sandbox.process_message_mut(out, b"", index, cx.now);
        self.loaded.log_prints(&self.name);
        match outcome {
            Ok(Status::Ok) => {}
            Ok(Status::Skipped(why) | Status::Failed(why)) => return Err(self.loaded.refused(why)),
            Err(failure) => return Err(self.loaded.failed(&failure)),
        }
        let injected = index + 1..out.len();
        if !injected.is_empty() {
            injected.for_each(|i| out.inherit(i, index));
            out.remove(index);
        }
        Ok(())
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        Some(&mut self.loaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin::Refusal;
    use testkit::plugins::decode;

    fn decoder(source: &str) -> Box<dyn Decoder> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.lua");
        std::fs::write(&path, source).unwrap();
        testkit::plugins::decoder(&KIND, &format!("script = {path:?}\nmax_process_inject = 2")).unwrap()
    }

    #[test]
    fn a_changed_message_passes() {
        let source = "n = 0\nfunction process_message()\nn = n + 1\nwrite_message('Fields[n]', n)\nwrite_message('Type', 'seen')\n\
            if read_message('Payload') == 'odd' then return -1, 'too odd' end\nreturn 0\nend";
        let mut d = decoder(source);
        let (batch, rejects) = decode(&mut *d, &[b"one", b"odd", b"two"]);
        let seen: Vec<_> = batch.iter().map(|m| (m.payload().to_vec(), m.type_().to_vec())).collect();
        assert_eq!(seen, [(b"one".to_vec(), b"seen".to_vec()), (b"two".to_vec(), b"seen".to_vec())]);
        assert_eq!((rejects, d.script().unwrap().refusal()), (vec!["too odd".to_string()], Refusal::Refused));
        let mut next = decoder(source);
        assert_eq!(next.script().unwrap().restore(&d.script().unwrap().save().unwrap()).unwrap().carried, ["n"]);
    }

    #[test]
    fn injected_messages_take_its_place_and_its_headers() {
        let mut d = decoder(
            "function process_message()\nwrite_message('Hostname', 'h')\nwrite_message('Severity', 3)\n\
             for w in read_message('Payload'):gmatch('%a+') do inject_message{Payload = w, Type = w == 'b' and 'own' or nil} end\nreturn 0\nend",
        );
        let (batch, rejects) = decode(&mut *d, &[b"a b"]);
        let seen: Vec<_> = batch.iter().map(|m| (m.payload(), m.type_(), m.hostname(), m.severity(), m.timestamp() > 0)).collect();
        assert_eq!(seen, [(&b"a"[..], &b""[..], &b"h"[..], 3, true), (&b"b"[..], &b"own"[..], &b"h"[..], 3, true)]);
        assert_eq!(rejects, [""; 0]);
        let (batch, rejects) = decode(&mut *d, &[b"a b c"]);
        assert_eq!((batch.len(), d.script().unwrap().refusal()), (0, Refusal::Failed));
        assert!(rejects[0].contains("max_process_inject"), "{rejects:?}");
    }
}
