//! Signals, as messages.

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The exit code of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// What signals ask for. The second one that asks to stop ends the process at once.
/// With `reload`, SIGHUP asks for a reload; without, it ends the process as usual.
///
/// # Errors
/// When the system does not let signals be caught.
pub fn listen(reload: bool) -> Result<Receiver<Signal>, String> {
    let (sender, signals) = bounded(4);
    let wanted: &[i32] = if reload { &[SIGTERM, SIGINT, SIGHUP] } else { &[SIGTERM, SIGINT] };
    let mut caught = Signals::new(wanted).map_err(|e| format!("cannot catch signals: {e}"))?;
    let body = move || {
        let mut asked = false;
        for signal in caught.forever() {
            if signal == SIGHUP {
                let _ = sender.try_send(Signal::Reload);
            } else if asked {
                std::process::exit(INTERRUPTED);
            } else {
                asked = true;
                let _ = sender.try_send(Signal::Stop);
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(body).map_err(|e| format!("no thread for signals: {e}"))?;
    Ok(signals)
}
