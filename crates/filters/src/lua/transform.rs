//! `lua`: a transform written in Lua: it changes a message with write_message before anyone else
//! sees it, or drops it by returning −2.
//!
//! For what `set`, `drop`, `rename` and `redact` cannot express. It runs on its input's thread, so
//! its time is the input's. A script that fails keeps the message from everyone: a redaction that
//! fails leaks nothing. Its globals are carried over reloads and restarts.

use message::Messages;
use options::{Options, Problem};
use plugin::{BuildCx, Clock, Example, Kind, Reject, Scripted, Stability, Transform, Transformed};
use sandbox::{Family, Status};

use super::{API, CONFIG, CPU, INSTRUCTIONS, Loaded, MEMORY, MODULES, OUTPUT, SCRIPT, STATE, load, sandbox_config};

pub const KIND: Kind = Kind::transform("lua", Stability::Stable, build)
    .summary("Changes messages in a sandboxed Lua script before they are routed.")
    .doc(
        "The script defines process_message(). It reads with read_message(name) and changes with write_message(name, value); value nil \
         removes a field. Returning 0 keeps the message, −2 drops it, any other negative number rejects it.",
    )
    .options(&[SCRIPT, CONFIG, MODULES, API, MEMORY, CPU, INSTRUCTIONS, OUTPUT, STATE])
    .examples(&[Example { title: "Enrich with a script", toml: "script = \"enrich.lua\"" }]);

struct LuaTransform {
    name: String,
    loaded: Loaded,
    clock: Clock,
}

fn build(o: &Options, cx: &BuildCx) -> Result<Box<dyn Transform>, Problem> {
    // Injected messages would run through this very transform again.
    let config = sandbox_config(o, cx, Family::Transform, 0, 0);
    Ok(Box::new(LuaTransform { name: format!("transform.{}", cx.name), loaded: load(o, config)?, clock: cx.clock.clone() }))
}

impl Transform for LuaTransform {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        let _awake = sandbox::active();
        let outcome = self.loaded.sandbox.process_message_mut(messages, raw, index, self.clock.now());
        self.loaded.log_prints(&self.name);
        match outcome {
            Ok(Status::Ok) => Ok(Transformed::Keep),
            Ok(Status::Skipped(_)) => Ok(Transformed::Drop),
            Ok(Status::Failed(why)) => Err(self.loaded.refused(why)),
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

    fn run(source: &str) -> (Result<Transformed, Reject>, message::Batch) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.lua");
        std::fs::write(&path, source).unwrap();
        let mut transform = testkit::plugins::transform(&KIND, &format!("script = {path:?}")).unwrap();
        let mut b = BatchBuilder::default();
        b.add().add_string(b"user", b"ann");
        let (raw, messages) = b.parts();
        let outcome = transform.transform(raw, messages, 0);
        (outcome, b.finish())
    }

    #[test]
    fn changes_drops_and_rejects() {
        let (kept, batch) = run("function process_message() write_message('Fields[user]', 'x') return 0 end");
        assert_eq!(kept, Ok(Transformed::Keep));
        assert_eq!(batch.get(0).value(b"user", 0, 0), Some(message::Value::String(b"x")));
        assert_eq!(run("function process_message() return -2 end").0, Ok(Transformed::Drop));
        assert_eq!(run("function process_message() return -1, 'bad user' end").0, Err(Reject::new("bad user")));
        assert!(run("function process_message() error('boom') end").0.unwrap_err().0.contains("t.lua:1: boom"));
    }
}
