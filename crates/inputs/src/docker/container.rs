//! A container, and how far its log was read.

use std::collections::BTreeMap;
use std::time::Duration;

use message::StreamId;
use serde_json::Value;

use super::Docker;
use super::lines::Place;
use super::time;

/// What is done about a container's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Nothing until then, on the steady clock; then the engine is asked what it is.
    Wait(Duration),
    Inspecting,
    Reading,
    /// There is nothing to read until it starts again.
    Rest,
}

/// What the engine says of a container.
pub(super) struct About {
    pub name: String,
    pub running: bool,
    pub terminal: bool,
    /// When it came to its end last, as the engine writes it.
    pub finished: String,
    /// What all its messages get.
    pub fields: Vec<(String, String)>,
    pub wanted: bool,
}

pub(super) struct Container {
    pub about: Option<About>,
    pub step: Step,
    /// How long to wait after the next failure.
    pub pause: Duration,
    pub stream: Option<StreamId>,
    pub place: Place,
    /// The end of the container up to which its log was read.
    pub read_to: Option<String>,
    /// It started again while its log was read.
    pub started: bool,
    /// It was removed: it is let go once its log is read.
    pub gone: bool,
    /// When its statistics are due.
    pub stats: Duration,
    pub asked_stats: bool,
}

/// Between the end of an answer and the next question about the same container.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Container {
    pub fn new(now: Duration) -> Container {
        Container {
            about: None,
            step: Step::Wait(now),
            pause: PAUSE,
            stream: None,
            place: Place::default(),
            read_to: None,
            started: false,
            gone: false,
            stats: now,
            asked_stats: false,
        }
    }

    /// Asks again later, and later still the next time.
    pub fn back_off(&mut self, now: Duration) {
        self.step = Step::Wait(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// There is nothing more to read of it, unless it has started again.
    pub fn rest(&mut self, now: Duration) {
        self.step = if std::mem::take(&mut self.started) { Step::Wait(now) } else { Step::Rest };
    }

    /// It starts again: there will be more to read.
    pub fn start(&mut self, now: Duration) {
        if self.step == Step::Rest {
            self.step = Step::Wait(now);
        } else {
            self.started = true;
        }
    }

    pub fn runs(&self) -> bool {
        self.about.as_ref().is_some_and(|about| about.wanted && about.running) && !self.gone
    }
}

impl About {
    /// Reads the answer to `/containers/ID/json`.
    pub fn parse(json: &[u8], id: &str, docker: &Docker) -> Option<About> {
        let json: Value = serde_json::from_slice(json).ok()?;
        let text = |at: &Value| at.as_str().unwrap_or_default().to_string();
        let (state, config) = (&json["State"], &json["Config"]);
        let name = text(&json["Name"]).trim_start_matches('/').to_string();
        let labels: BTreeMap<String, String> =
            config["Labels"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect();
        let env = config["Env"].as_array().into_iter().flatten().filter_map(|v| v.as_str()?.split_once('='));
        let env: BTreeMap<&str, &str> = env.collect();
        let image = text(&config["Image"]);
        let mut fields = vec![("container".to_string(), name.clone()), ("container_id".into(), id.into()), ("image".into(), image)];
        fields.extend(docker.label_fields.iter().filter_map(|label| Some((label.clone(), labels.get(label)?.clone()))));
        fields.extend(docker.env_fields.iter().filter_map(|variable| Some((variable.clone(), env.get(variable.as_str())?.to_string()))));
        Some(About {
            wanted: docker.select.takes(&name, &labels),
            running: state["Running"].as_bool()?,
            terminal: config["Tty"].as_bool().unwrap_or(false),
            finished: text(&state["FinishedAt"]),
            name,
            fields,
        })
    }

    /// What to ask for its log, from a time on.
    pub fn request(&self, id: &str, from: i64) -> String {
        let since = if from > 0 { format!("&since={}", time::seconds(from)) } else { String::new() };
        format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&follow={}{since}", u8::from(self.running))
    }
}
