//! Runs Lua with all modules at hand.

use message::BatchBuilder;
use sandbox::{Failure, Inject, Sandbox, SandboxConfig, Script};

pub const NOW: i64 = 1_700_000_000_000_000_000;

/// A filter with the limits of a default configuration, but for these.
pub fn load(source: &str, change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let mut config = SandboxConfig { name: "test".into(), modules: modules::ALL, now_ns: NOW, ..SandboxConfig::default() };
    config.limits.cpu = std::time::Duration::from_secs(5);
    change(&mut config);
    Sandbox::new(&Script::new("t.lua", source), &config).unwrap_or_else(|e| panic!("{e}"))
}

/// Calls `process_message` once; returns the payloads of what was injected.
pub fn call(sandbox: &mut Sandbox) -> Result<Vec<String>, Failure> {
    let mut incoming = BatchBuilder::default();
    incoming.add().set_payload(b"line");
    let incoming = incoming.finish();
    let mut out = BatchBuilder::default();
    sandbox.process_message(incoming.get(0), &mut Inject { builder: &mut out, now_ns: NOW })?;
    let out = out.finish();
    Ok((0..out.len()).map(|i| String::from_utf8_lossy(out.get(i).payload()).into_owned()).collect())
}

fn body(source: &str) -> String {
    format!("function process_message() {source} return 0 end")
}

/// Runs a body that asserts things in Lua.
pub fn passes(source: &str) {
    if let Err(failure) = call(&mut load(&body(source), |_| {})) {
        panic!("{failure}");
    }
}

/// The message of the error that a body raises.
pub fn error_of(source: &str) -> String {
    match call(&mut load(&body(source), |_| {})) {
        Ok(_) => panic!("this does not fail: {source}"),
        Err(failure) => failure.message,
    }
}

/// What a body leaves in the payload.
pub fn payload_of(source: &str) -> String {
    call(&mut load(&body(&format!("{source} inject_payload()")), |_| {})).unwrap_or_else(|f| panic!("{f}")).concat()
}
