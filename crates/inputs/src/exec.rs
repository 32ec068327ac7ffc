//! The `exec` input: runs a command and reads what it writes.
//!
//! With `every` the command is to end by itself and is run again and again; with `restart` it is to
//! go on and is started again when it ends, after pauses that grow. No shell is involved.
//!
//! A command is a process group of its own ([`running`]), which is ended as a whole: when the command
//! itself has ended, when it takes too long or writes too much, and at a stop. What a pipe holds cannot
//! be read twice, so what was written and not delivered when this program is killed is lost. A command
//! that is killed with this program is not: it is left to find its pipe closed.

mod output;
mod running;
mod settings;

use std::time::Duration;

use message::StreamId;
use options::{Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};

use self::output::Output;
use self::running::{End, Running};
use self::settings::{OPTIONS, Settings};

pub const KIND: Kind = Kind::input("exec", Stability::Experimental, |o, cx| Ok(Box::new(Exec::new(o, cx)?)))
    .summary("Runs a command, once in a while or all the time, and reads what it writes.")
    .doc(
        "The command is started without a shell, with nothing on its standard input; messages of what it writes have the field `stream` \
         (`stdout` or `stderr`). A run that is still going on when the next is due lets that one pass, counted as `skipped_runs`. The \
         command is told to end with SIGTERM, together with all processes it started that are still in its process group, and half a \
         second later with SIGKILL: when it has run for `timeout` or written more than `max_output`, and at a stop; what is left of the \
         group when the command itself has ended goes the same way.\n\n\
         A run that fails (a status other than 0, a signal, `timeout`, `max_output`, or no start at all) makes a message of Type \
         `exec.error` with the reason as Payload and the fields `command`, `duration` in seconds, and `exit_status` or `signal`; it is \
         counted as `failed_runs`, and all as `runs`. With `restart` any end of the command is a failure.",
    )
    .options(OPTIONS)
    .examples(&[
        Example { title: "Space on disks, every minute", toml: "command = [\"df\", \"-k\"]\nevery = \"1m\"" },
        Example {
            title: "All a command writes as one message",
            toml: "command = [\"uptime\"]\nwhole = true\nsplitter = \"none\"\nstderr = false",
        },
        Example { title: "A command that goes on", toml: "command = [\"vmstat\", \"-n\", \"10\"]\nrestart = true" },
    ]);

/// First and longest pause before a command that ended is started again. The longest is also how long it has to run for
/// the pauses to begin anew.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

struct Exec {
    settings: Settings,
    /// The failure that the log told last.
    told: String,
}

/// The streams of what commands write, and when to start the next.
struct State {
    outputs: [Output; 2],
    /// By the steady clock.
    due: Duration,
    pause: Duration,
}

impl Exec {
    fn new(o: &Options, _: &BuildCx) -> Result<Exec, Problem> {
        Ok(Exec { settings: Settings::read(o)?, told: String::new() })
    }

    /// Starts the command, or tells why that cannot be.
    fn start(&mut self, cx: &mut InputCx<'_>) -> Option<Running> {
        cx.meter.add_extra("runs", 1);
        match Running::start(&self.settings, cx.clock.steady()) {
            Ok(running) => Some(running),
            Err(e) => {
                self.fail(&format!("it cannot be started: {e} (option `command`)"), None, Duration::ZERO, cx);
                None
            }
        }
    }

    /// After a run that began at `began`.
    fn after(&mut self, end: &End, began: Duration, state: &mut State, cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        for output in &mut state.outputs {
            output.end(cx);
        }
        if let Some(why) = end.failure(self.settings.restart) {
            self.fail(&why, Some(end), now.saturating_sub(began), cx);
        }
    }

    /// When to start next, `now` being when the last run ended.
    fn schedule(&self, state: &mut State, began: Duration, now: Duration) {
        if !self.settings.restart {
            return;
        }
        if now.saturating_sub(began) >= LONGEST_PAUSE {
            state.pause = FIRST_PAUSE;
        }
        state.due = now + state.pause;
        state.pause = (state.pause * 2).min(LONGEST_PAUSE);
    }

    fn fail(&mut self, why: &str, end: Option<&End>, duration: Duration, cx: &mut InputCx<'_>) {
        let command = self.settings.command.join(" ");
        cx.meter.add_extra("failed_runs", 1);
        if self.told != why {
            log::warn!("`{command}`: {why}");
            self.told = why.to_string();
        }
        cx.intake.make(&mut |messages| {
            let mut m = messages.add();
            m.set_type(b"exec.error");
            m.set_severity(3);
            m.set_payload(why.as_bytes());
            m.add_string(b"command", command.as_bytes());
            m.add_double(b"duration", duration.as_secs_f64());
            if let Some(status) = end.and_then(End::status) {
                m.add_integer(b"exit_status", status.into());
            }
            if let Some(signal) = end.and_then(End::signal) {
                m.add_integer(b"signal", signal.into());
            }
        });
    }

    /// One run from the start of the command to its end, or to a stop.
    fn run_once(&mut self, state: &mut State, cx: &mut InputCx<'_>) {
        let began = cx.clock.steady();
        if let Some(mut running) = self.start(cx) {
            let end = loop {
                cx.intake.poll();
                if cx.stop.asked() {
                    running.finish(&mut state.outputs, cx);
                    state.outputs.iter_mut().for_each(|output| output.end(cx));
                    return;
                }
                self.pass(state, cx);
                if let Some(end) = running.turn(&mut state.outputs, if self.settings.restart { Duration::MAX } else { state.due }, cx) {
                    break end;
                }
            };
            self.after(&end, began, state, cx);
        }
        self.schedule(state, began, cx.clock.steady());
    }

    /// Lets runs pass that are due while one is going on.
    fn pass(&self, state: &mut State, cx: &InputCx<'_>) {
        while !self.settings.restart && cx.clock.steady() >= state.due {
            state.due += self.settings.every;
            cx.meter.add_extra("skipped_runs", 1);
        }
    }
}

impl Input for Exec {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let outputs = ["stdout", "stderr"].map(|name| Output::new(open(name, cx), &self.settings));
        let mut state = State { outputs, due: cx.clock.steady(), pause: FIRST_PAUSE };
        while !cx.stop.asked() {
            let now = cx.clock.steady();
            if now >= state.due {
                // Nothing is made up for after a long sleep of the machine.
                state.due = if state.due + self.settings.every > now { state.due + self.settings.every } else { now + self.settings.every };
                self.run_once(&mut state, cx);
            }
            cx.intake.poll();
            cx.stop.wait(state.due.saturating_sub(cx.clock.steady()).min(cx.intake.wait()));
        }
        for output in &state.outputs {
            cx.intake.close(output.stream);
        }
        Ok(())
    }

    fn can_wait(&self) -> bool {
        true
    }
}

fn open(name: &str, cx: &mut InputCx<'_>) -> StreamId {
    cx.intake.open(StreamOptions { fields: vec![("stream".to_string(), name.to_string())], ..StreamOptions::default() })
}

#[cfg(test)]
mod tests;
