//! The `http_poll` input: fetches URLs again and again, and reads the answers.
//!
//! A request runs on a thread of its own ([`fetch`]), one at a time for each URL, so that a server that
//! does not answer holds up nobody else; the input's thread takes the answers in the order they come. A
//! stop waits for none of them: requests under way are left to their `timeout` and their answers dropped.

mod fetch;
mod settings;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use message::StreamId;
use options::{Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::fetch::{Answers, Client, Failure};
use self::settings::{OPTIONS, Settings, Url};

pub const KIND: Kind = Kind::input("http_poll", Stability::Experimental, |o, cx| Ok(Box::new(HttpPoll::new(o, cx)?)))
    .summary("Fetches URLs at an interval and reads the answers.")
    .doc(
        "Each URL is fetched with GET at the start and then at every `every`, whatever becomes of the others; a request that is still under \
         way when the next is due lets that one pass, counted as `skipped_requests`. The body of an answer with a status of 2xx goes to the \
         splitter, its end being the end of its last record; Logger and the field `url` of the messages are the URL without its query. \
         Redirects are not followed.\n\n\
         Any other answer, none, or one that is larger than `max_body`, makes a message of Type `http_poll.error` with the reason as \
         Payload and the fields `url`, `duration` in seconds, and `status` if there is one; all requests are counted as `requests` and \
         those as `failed_requests`. What a server would have said in between is lost: nothing is fetched twice or made up for.",
    )
    .options(OPTIONS)
    .examples(&[
        Example {
            title: "The state of a server, as one message",
            toml: "urls = \"http://127.0.0.1:8080/status\"\nevery = \"30s\"\nsplitter = \"none\"\ndecoder = \"json\"",
        },
        Example {
            title: "Several, spread over time and with a token",
            toml: "urls = [\"http://127.0.0.1:8080/events\", \"http://127.0.0.1:8081/events\"]\nevery = \"1m\"\njitter = \"10s\"\ntoken = \"the secret\"",
        },
    ]);

struct HttpPoll {
    settings: Settings,
}

/// A URL and when it is fetched.
struct Target {
    url: Url,
    stream: StreamId,
    /// The next one without jitter, and with it; by the steady clock.
    regular: Duration,
    due: Duration,
    under_way: bool,
}

impl HttpPoll {
    fn new(o: &Options, _: &BuildCx) -> Result<HttpPoll, Problem> {
        Ok(HttpPoll { settings: Settings::read(o)? })
    }

    fn targets(&self, cx: &mut InputCx<'_>) -> Vec<Target> {
        let now = cx.clock.steady();
        let target = |url: &Url| {
            let fields = vec![("url".to_string(), url.shown.clone())];
            let stream = cx.intake.open(StreamOptions { logger: url.shown.clone(), fields, ..StreamOptions::default() });
            Target { url: url.clone(), stream, regular: now, due: now + up_to(self.settings.jitter), under_way: false }
        };
        self.settings.urls.iter().map(target).collect()
    }

    /// Fetches what is due.
    fn begin(&self, targets: &mut [Target], client: &Client, answers: &Arc<Answers>, cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        for (i, target) in targets.iter_mut().enumerate().filter(|(_, target)| now >= target.due) {
            let next = target.regular + self.settings.every;
            target.regular = if next > now { next } else { now + self.settings.every };
            target.due = target.regular + up_to(self.settings.jitter);
            if target.under_way {
                cx.meter.add_extra("skipped_requests", 1);
                continue;
            }
            cx.meter.add_extra("requests", 1);
            match client.begin(i, &target.url, answers, cx.clock) {
                Ok(()) => target.under_way = true,
                Err(e) => fail(&target.url, &Failure::new(format!("there is no thread for the request: {e}")), Duration::ZERO, cx),
            }
        }
    }

    /// Takes the answers there are.
    fn take(targets: &mut [Target], answers: &Answers, cx: &mut InputCx<'_>) {
        for answer in answers.take() {
            let Some(target) = targets.get_mut(answer.target) else { continue };
            target.under_way = false;
            match answer.body {
                Ok(body) => {
                    cx.intake.push(target.stream, &body);
                    cx.intake.end_of_stream(target.stream);
                }
                Err(failure) => fail(&target.url, &failure, answer.duration, cx),
            }
        }
    }
}

fn fail(url: &Url, failure: &Failure, duration: Duration, cx: &mut InputCx<'_>) {
    cx.meter.add_extra("failed_requests", 1);
    log::debug!("{}: {}", url.shown, failure.text);
    cx.intake.make(&mut |messages| {
        let mut m = messages.add();
        m.set_type(b"http_poll.error");
        m.set_logger(url.shown.as_bytes());
        m.set_severity(3);
        m.set_payload(failure.text.as_bytes());
        m.add_string(b"url", url.shown.as_bytes());
        m.add_double(b"duration", duration.as_secs_f64());
        if let Some(status) = failure.status {
            m.add_integer(b"status", status.into());
        }
    });
}

impl Input for HttpPoll {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let client = Client::new(&self.settings)?;
        let answers = Arc::<Answers>::default();
        let mut targets = self.targets(cx);
        while !cx.stop.asked() {
            Self::take(&mut targets, &answers, cx);
            self.begin(&mut targets, &client, &answers, cx);
            cx.intake.poll();
            let due = targets.iter().map(|target| target.due).min().unwrap_or_default();
            let wait = due.saturating_sub(cx.clock.steady()).min(cx.intake.wait());
            let mut fds = [PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN), PollFd::from_borrowed_fd(answers.came(), PollFlags::IN)];
            // Fails for a signal only, and then there is another turn.
            let _ = poll(&mut fds, Some(&Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() }));
        }
        Self::take(&mut targets, &answers, cx);
        targets.iter().for_each(|target| cx.intake.close(target.stream));
        Ok(())
    }

    fn can_wait(&self) -> bool {
        true
    }
}

/// Some time up to the longest, another one each time.
fn up_to(longest: Duration) -> Duration {
    let random = RandomState::new().hash_one(0u8);
    longest.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests;
