//! The conversation with the engine: what to ask next, and what to make of the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use message::StreamId;
use plugin::{Checkpoint, InputCx, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use super::Docker;
use super::container::{About, Container, LONGEST_PAUSE, PAUSE, Step};
use super::exchange::{Exchange, Progress};
use super::lines::{Lines, Place};
use super::{made, time};

/// Keys under which positions are remembered, beside the ids of containers.
const EVENTS: &str = "events";
const SINCE: &str = "since";

/// Most bytes of an answer that is kept whole.
const MAX_ANSWER: usize = 16 << 20;

/// Containers asked about at once.
const INSPECTED: usize = 16;

/// Longest wait, after which it is looked for what is due.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Purpose {
    Events,
    List,
    Inspect(String),
    Log(String),
    Stats(String),
}

struct Task {
    purpose: Purpose,
    exchange: Exchange,
    /// What came of the body and was not dealt with.
    body: Vec<u8>,
    /// Of a log, once it begins.
    lines: Option<Lines>,
    /// Until then the answer has to begin or, when it is kept whole, to be complete.
    deadline: Duration,
}

pub(super) struct Session<'a> {
    docker: &'a Docker,
    containers: BTreeMap<String, Container>,
    tasks: Vec<Task>,
    /// What earlier runs remembered, by key.
    known: BTreeMap<String, Checkpoint>,
    /// Containers that are gone, to be forgotten once what was read of them is accepted.
    leaving: BTreeSet<String>,
    /// Nanoseconds since the epoch: earlier lines are not wanted of containers that are not known.
    begin: i64,
    events: Option<StreamId>,
    /// Time of the last event that was taken.
    last_event: i64,
    /// When to speak to the engine again, and how long to wait if that fails.
    due: Duration,
    pause: Duration,
    /// The list of containers is to be asked for.
    to_list: bool,
    complained: bool,
    buffer: Vec<u8>,
}

impl<'a> Session<'a> {
    pub fn new(docker: &'a Docker, cx: &mut InputCx<'_>) -> Session<'a> {
        let known: BTreeMap<_, _> = cx.intake.checkpoints().into_iter().map(|c| (c.key.clone(), c)).collect();
        let mut session = Session {
            docker,
            containers: BTreeMap::new(),
            tasks: Vec::new(),
            leaving: BTreeSet::new(),
            begin: 0,
            events: None,
            last_event: known.get(EVENTS).and_then(|c| c.note.parse().ok()).unwrap_or(0),
            due: cx.clock.steady(),
            pause: PAUSE,
            to_list: false,
            complained: false,
            buffer: vec![0; 64 << 10],
            known,
        };
        if let Some(since) = docker.since {
            let known = session.known.get(SINCE).and_then(|c| c.note.parse().ok());
            session.begin = known.unwrap_or_else(|| cx.clock.now().saturating_sub(since).max(0));
            if known.is_none() {
                // So that the next start does not begin later than this one.
                let stream = session.open(SINCE, cx);
                cx.intake.make_at(stream, Some(&session.begin.to_string()), &mut |_| {});
                cx.intake.close(stream);
            }
        }
        if docker.events {
            session.events = Some(session.open(EVENTS, cx));
        }
        session
    }

    fn open(&self, key: &str, cx: &mut InputCx<'_>) -> StreamId {
        let position = self.known.get(key).map_or(0, |c| c.position);
        cx.intake.open(StreamOptions { key: key.into(), position, ..StreamOptions::default() })
    }

    /// Asks what is due, waits until something comes, and deals with it.
    pub fn turn(&mut self, cx: &mut InputCx<'_>) {
        self.ask(cx);
        let ready = self.wait(cx);
        for (mut task, ready) in std::mem::take(&mut self.tasks).into_iter().zip(ready) {
            let progress = if ready { self.read(&mut task, cx) } else { Ok(Progress::Nothing) };
            match progress {
                Ok(Progress::End) => self.end(task, cx),
                Ok(_) if cx.clock.steady() >= task.deadline => {
                    let why = format!("no answer within {:?} (`timeout`)", self.docker.timeout);
                    self.fail(&task.purpose, &io::Error::new(io::ErrorKind::TimedOut, why), cx);
                }
                Ok(_) => self.tasks.push(task),
                Err(e) => self.fail(&task.purpose, &e, cx),
            }
        }
        self.let_go(cx);
    }

    /// Which tasks have something to read.
    fn wait(&self, cx: &InputCx<'_>) -> Vec<bool> {
        let now = cx.clock.steady();
        let steps = self.containers.values().filter_map(|c| if let Step::Wait(until) = c.step { Some(until) } else { None });
        let next = steps.chain([self.due]).filter(|due| *due > now).map(|due| due - now).min();
        let wait = cx.intake.wait().min(LOOK).min(next.unwrap_or(LOOK));
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let mut fds: Vec<_> = self.tasks.iter().map(|task| PollFd::new(&task.exchange, PollFlags::IN)).collect();
        fds.push(PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN));
        let some = poll(&mut fds, Some(&wait)).is_ok();
        fds[..self.tasks.len()].iter().map(|fd| some && !fd.revents().is_empty()).collect()
    }

    fn has(&self, purpose: &Purpose) -> bool {
        self.tasks.iter().any(|task| task.purpose == *purpose)
    }

    /// Sends the requests that are due. Events come first: what starts while the list is made is not missed.
    fn ask(&mut self, cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        if !self.has(&Purpose::Events) {
            if now >= self.due {
                let since = if self.docker.events && self.last_event > 0 {
                    format!("since={}", time::seconds(self.last_event))
                } else {
                    String::new()
                };
                let of = if self.docker.events { "" } else { "filters=%7B%22type%22%3A%5B%22container%22%5D%7D" };
                let path = format!("/events?{since}{of}");
                self.start(Purpose::Events, path.trim_end_matches('?'), cx);
            }
            return;
        }
        if self.to_list {
            self.to_list = false;
            self.start(Purpose::List, "/containers/json?all=1", cx);
        }
        let mut room =
            self.docker.max_containers.saturating_sub(self.tasks.iter().filter(|t| matches!(t.purpose, Purpose::Log(_))).count());
        let mut inspected = self.containers.values().filter(|c| c.step == Step::Inspecting).count();
        let waiting = self.containers.iter().filter(|(_, c)| matches!(c.step, Step::Wait(until) if until <= now));
        let waiting: Vec<String> = waiting.map(|(id, _)| id.clone()).take(room.min(INSPECTED)).collect();
        for id in waiting {
            if room > 0 && inspected < INSPECTED {
                (room, inspected) = (room - 1, inspected + 1);
                self.step(&id, Step::Inspecting);
                let path = format!("/containers/{id}/json");
                self.start(Purpose::Inspect(id), &path, cx);
            }
        }
        if let Some(every) = self.docker.stats {
            let due = self.containers.iter_mut().filter(|(_, c)| c.runs() && !c.asked_stats && c.stats <= now);
            let due: Vec<String> = due
                .map(|(id, c)| {
                    (c.asked_stats, c.stats) = (true, now + every);
                    id.clone()
                })
                .collect();
            for id in due {
                let path = format!("/containers/{id}/stats?stream=0");
                self.start(Purpose::Stats(id), &path, cx);
            }
        }
    }

    fn step(&mut self, id: &str, step: Step) {
        if let Some(container) = self.containers.get_mut(id) {
            container.step = step;
        }
    }

    fn start(&mut self, purpose: Purpose, path: &str, cx: &mut InputCx<'_>) {
        match Exchange::start(&self.docker.address, path) {
            Ok(exchange) => {
                let deadline = cx.clock.steady() + self.docker.timeout;
                self.tasks.push(Task { purpose, exchange, body: Vec::new(), lines: None, deadline });
            }
            Err(e) => self.fail(&purpose, &e, cx),
        }
    }

    /// Reads once from an answer, and deals with what can be dealt with at once.
    fn read(&mut self, task: &mut Task, cx: &mut InputCx<'_>) -> io::Result<Progress> {
        let headless = task.exchange.head.is_none();
        let progress = task.exchange.read(&mut self.buffer, &mut task.body)?;
        let Some(head) = &task.exchange.head else { return Ok(progress) };
        if head.status == 200 {
            match &task.purpose {
                Purpose::Events => {
                    task.deadline = Duration::MAX;
                    if headless {
                        self.reached(cx);
                    }
                    self.take_events(&mut task.body, cx);
                }
                Purpose::Log(id) => {
                    task.deadline = Duration::MAX;
                    if let Some(container) = self.containers.get_mut(id) {
                        let multiplexed = head.content_type.contains("multiplexed");
                        let terminal = container.about.as_ref().is_some_and(|about| about.terminal) && !multiplexed;
                        let lines = task.lines.get_or_insert_with(|| Lines::new(terminal, self.docker.max_line, container.place));
                        lines.feed(&task.body);
                        task.body.clear();
                        emit(lines, container, cx);
                    }
                }
                _ => {}
            }
        }
        if task.body.len() > MAX_ANSWER {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the answer is longer than {MAX_ANSWER} bytes")));
        }
        Ok(progress)
    }

    /// The engine answers.
    fn reached(&mut self, cx: &InputCx<'_>) {
        self.pause = PAUSE;
        self.to_list = true;
        if std::mem::take(&mut self.complained) {
            log::info!(target: &cx.build.name, "the engine answers again");
        }
    }

    /// An answer is complete.
    fn end(&mut self, mut task: Task, cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        let status = task.exchange.head.as_ref().map_or(0, |head| head.status);
        if status != 200 {
            return self.refused(&task.purpose, status, &task.body, cx);
        }
        match &task.purpose {
            Purpose::Events => {
                self.fail(&task.purpose, &io::Error::new(io::ErrorKind::UnexpectedEof, "the engine ended the stream of events"), cx)
            }
            Purpose::List => self.listed(&task.body, cx),
            Purpose::Inspect(id) => self.inspected(id, &task.body, cx),
            Purpose::Log(id) => {
                let Some(container) = self.containers.get_mut(id) else { return };
                if let Some(lines) = &mut task.lines {
                    lines.end();
                    emit(lines, container, cx);
                }
                match container.about.as_ref().filter(|about| !about.running).map(|about| about.finished.clone()) {
                    Some(finished) => {
                        container.read_to = Some(finished);
                        container.rest(now);
                    }
                    None => container.back_off(now),
                }
            }
            Purpose::Stats(id) => {
                let Some(container) = self.containers.get_mut(id) else { return };
                container.asked_stats = false;
                match (serde_json::from_slice::<Value>(&task.body), &container.about) {
                    (Ok(json), Some(about)) => {
                        let (text, at) = (task.body.trim_ascii(), cx.clock.now());
                        cx.intake.make(&mut |messages| made::stats(text, &json, about, at, messages));
                    }
                    _ => cx.meter.add_extra("malformed", 1),
                }
            }
        }
    }

    /// The engine answered with another status than 200.
    fn refused(&mut self, purpose: &Purpose, status: u16, body: &[u8], cx: &mut InputCx<'_>) {
        let said = serde_json::from_slice::<Value>(body).ok().and_then(|json| Some(json["message"].as_str()?.to_string()));
        let why = said.unwrap_or_else(|| String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned());
        let (Purpose::Inspect(id) | Purpose::Log(id) | Purpose::Stats(id)) = purpose else {
            return self.fail(purpose, &io::Error::other(format!("the engine answered {status}: {why}")), cx);
        };
        let Some(container) = self.containers.get_mut(id) else { return };
        container.asked_stats = false;
        match (purpose, status) {
            (Purpose::Stats(_), _) => {}
            (_, 404) => {
                container.gone = true;
                container.step = Step::Rest;
            }
            // Such as a logging driver that cannot be read.
            _ => {
                let name = container.about.as_ref().map_or(id.as_str(), |about| &about.name);
                log::warn!(target: &cx.build.name, "the log of {name} is not read until it starts again: the engine answered {status}: {why}");
                container.rest(cx.clock.steady());
            }
        }
    }

    /// A connection could not be made, or broke.
    fn fail(&mut self, purpose: &Purpose, e: &io::Error, cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        match purpose {
            Purpose::Events | Purpose::List => {
                self.tasks.retain(|task| !matches!(task.purpose, Purpose::Events | Purpose::List));
                self.due = now + self.pause;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                if !std::mem::replace(&mut self.complained, true) {
                    log::warn!(target: &cx.build.name, "the engine at {:?} cannot be reached (`address`): {e}; trying again", self.docker.address);
                }
                cx.meter.add_extra("disconnected", 1);
            }
            Purpose::Inspect(id) | Purpose::Log(id) => {
                if let Some(container) = self.containers.get_mut(id) {
                    container.back_off(now);
                }
            }
            Purpose::Stats(id) => {
                if let Some(container) = self.containers.get_mut(id) {
                    container.asked_stats = false;
                }
            }
        }
    }

    fn listed(&mut self, body: &[u8], cx: &mut InputCx<'_>) {
        let Ok(Value::Array(list)) = serde_json::from_slice(body) else {
            return self.fail(&Purpose::List, &io::Error::new(io::ErrorKind::InvalidData, "the list of containers is no JSON array"), cx);
        };
        let now = cx.clock.steady();
        let ids: BTreeSet<&str> = list.iter().filter_map(|c| c["Id"].as_str()).collect();
        for container in &list {
            let Some(id) = container["Id"].as_str().filter(|id| is_id(id)) else { continue };
            let labels = container["Labels"].as_object().into_iter().flatten();
            let labels = labels.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_string()))).collect();
            let name = container["Names"][0].as_str().unwrap_or_default().trim_start_matches('/');
            if self.docker.select.takes(name, &labels) {
                self.meet(id, now);
            }
        }
        for (id, container) in &mut self.containers {
            container.gone |= !ids.contains(id.as_str());
        }
        for key in self.known.keys().filter(|key| is_id(key) && !ids.contains(key.as_str()) && !self.containers.contains_key(*key)) {
            self.leaving.insert(key.clone());
        }
    }

    /// A container is there, or starts.
    fn meet(&mut self, id: &str, now: Duration) {
        if self.docker.logs || self.docker.stats.is_some() {
            self.leaving.remove(id);
            self.containers.entry(id.into()).or_insert_with(|| Container::new(now)).start(now);
        }
    }

    fn inspected(&mut self, id: &str, body: &[u8], cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(about) = About::parse(body, id, self.docker) else {
            cx.meter.add_extra("malformed", 1);
            return container.back_off(now);
        };
        container.started = false;
        let read = !about.running && container.read_to.as_deref() == Some(&about.finished);
        let path = about.request(id, container.place.time.max(if container.stream.is_none() { self.begin } else { 0 }));
        let wanted = about.wanted && self.docker.logs;
        container.about = Some(about);
        if !wanted || read {
            return container.rest(now);
        }
        let path = if container.stream.is_none() {
            let known = self.known.get(id);
            let place = known.and_then(|known| Place::parse(&known.note)).unwrap_or(Place { time: self.begin, records: 0 });
            let position = known.map_or(0, |known| known.position);
            container.place = place;
            container.stream = Some(cx.intake.open(StreamOptions { key: id.into(), position, ..StreamOptions::default() }));
            container.about.as_ref().map_or(path, |about| about.request(id, place.time))
        } else {
            path
        };
        container.step = Step::Reading;
        self.start(Purpose::Log(id.into()), &path, cx);
    }

    /// Events are JSON, one a line.
    fn take_events(&mut self, body: &mut Vec<u8>, cx: &mut InputCx<'_>) {
        let Some(end) = memchr::memrchr(b'\n', body) else { return };
        for text in body[..end].split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()) {
            match serde_json::from_slice::<Value>(text) {
                Ok(json) => self.event(text, &json, cx),
                Err(_) => cx.meter.add_extra("malformed", 1),
            }
        }
        body.drain(..=end);
    }

    fn event(&mut self, text: &[u8], json: &Value, cx: &mut InputCx<'_>) {
        let at = json["timeNano"].as_i64().or_else(|| json["time"].as_i64()?.checked_mul(1_000_000_000)).unwrap_or_else(|| cx.clock.now());
        // The engine was asked for events from that of the last one on. What they say of containers does no harm when it comes again,
        // and is not to be missed when the clock is set back.
        if let Some(stream) = self.events.filter(|_| at > self.last_event) {
            self.last_event = at;
            cx.intake.make_at(stream, Some(&at.to_string()), &mut |messages| made::event(text, json, at, messages));
        }
        let (Some("container"), Some(id)) =
            (json["Type"].as_str(), json["Actor"]["ID"].as_str().or(json["id"].as_str()).filter(|id| is_id(id)))
        else {
            return;
        };
        match json["Action"].as_str().unwrap_or_default() {
            "start" => self.meet(id, cx.clock.steady()),
            "die" | "died" => {
                if let Some(about) = self.containers.get_mut(id).and_then(|c| c.about.as_mut().filter(|_| !self.docker.logs)) {
                    about.running = false;
                }
            }
            "rename" => {
                let name = json["Actor"]["Attributes"]["name"].as_str().map(|name| name.trim_start_matches('/'));
                if let (Some(name), Some(about)) = (name, self.containers.get_mut(id).and_then(|c| c.about.as_mut())) {
                    about.name = name.into();
                    about.fields[0].1 = name.into();
                }
            }
            "destroy" | "remove" => {
                if let Some(container) = self.containers.get_mut(id) {
                    container.gone = true;
                }
            }
            _ => {}
        }
    }

    /// Lets go of containers that were removed and are read.
    fn let_go(&mut self, cx: &mut InputCx<'_>) {
        let leaving = &mut self.leaving;
        self.containers.retain(|id, container| {
            let stays = !container.gone || container.step != Step::Rest;
            if !stays {
                container.stream.into_iter().for_each(|stream| cx.intake.close(stream));
                leaving.insert(id.clone());
            }
            stays
        });
        leaving.retain(|key| {
            let stays = !cx.intake.settled_stream(key);
            if !stays {
                cx.intake.forget(key);
            }
            stays
        });
    }

    pub fn close(&mut self, cx: &mut InputCx<'_>) {
        let streams = self.containers.values_mut().filter_map(|c| c.stream.take()).chain(self.events.take());
        streams.for_each(|stream| cx.intake.close(stream));
    }
}

/// Hands on the lines that are complete.
fn emit(lines: &mut Lines, container: &mut Container, cx: &mut InputCx<'_>) {
    let (Some(stream), Some(about)) = (container.stream, &container.about) else { return };
    let now = cx.clock.now();
    cx.meter.add_extra("cut_bytes", std::mem::take(&mut lines.cut));
    while let Some(line) = lines.ready.pop_front() {
        let note = line.place.map(Place::note);
        cx.intake.make_at(stream, note.as_deref(), &mut |messages| made::line(&line, about, now, messages));
        container.place = line.place.unwrap_or(container.place);
        container.pause = PAUSE;
    }
}

/// What may be part of a request's path, and no key of ours.
fn is_id(id: &str) -> bool {
    (12..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit())
}
