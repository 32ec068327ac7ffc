use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use options::unit::{show_duration, show_size};
use plugin::{Clock, Event, Fatal};
use ureq::http::{HeaderName, HeaderValue, Request, Uri, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

use super::settings::{Settings, Url};
use crate::http::unpack::{self, Encoding, KNOWN};

/// Bytes of a file with authorities.
const MAX_PEM: u64 = 16 << 20;

/// Makes requests that are all of one kind.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    headers: Arc<[(HeaderName, HeaderValue)]>,
    timeout: Duration,
    max_body: usize,
}

/// Answers that nobody has looked at yet.
#[derive(Default)]
pub struct Answers {
    list: Mutex<Vec<Answer>>,
    came: Event,
}

/// What became of a request.
pub struct Answer {
    /// The number it was begun with.
    pub target: usize,
    /// The body of an answer 2xx, unpacked.
    pub body: Result<Vec<u8>, Failure>,
    pub duration: Duration,
}

/// Why there is no body.
pub struct Failure {
    pub text: String,
    pub status: Option<u16>,
}

impl Failure {
    pub fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), status: None }
    }
}

impl Answers {
    pub fn take(&self) -> Vec<Answer> {
        self.came.clear();
        mem::take(&mut *self.lock())
    }

    /// Readable when there are some.
    pub fn came(&self) -> BorrowedFd<'_> {
        self.came.fd()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Follows no redirect, asks no proxy, and judges no status.
    ///
    /// # Errors
    /// When the file with the authorities is of no use.
    pub fn new(settings: &Settings) -> Result<Client, Fatal> {
        let roots = match &settings.tls_ca {
            None => RootCerts::WebPki,
            Some(path) => authorities(path).map_err(|e| Fatal::new(format!("{}: {e} (option `tls_ca`)", path.display())))?,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("nilometer/", env!("CARGO_PKG_VERSION")))
            .accept_encoding(KNOWN)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_global(Some(settings.timeout))
            .build();
        let headers = settings.headers.clone().into();
        Ok(Client { agent: config.new_agent(), headers, timeout: settings.timeout, max_body: settings.max_body })
    }

    /// Fetches a URL on a thread of its own. There will be exactly one answer.
    ///
    /// # Errors
    /// When the system has no thread left; then there will be none.
    pub fn begin(&self, target: usize, url: &Url, answers: &Arc<Answers>, clock: &Clock) -> io::Result<()> {
        let (client, uri) = (self.clone(), url.uri.clone());
        let (answers, clock) = (answers.clone(), clock.clone());
        let body = move || {
            let mut pending = Pending { target, body: None, began: clock.steady(), clock, answers };
            pending.body = Some(client.fetch(uri));
        };
        thread::Builder::new().name("http_poll".into()).spawn(body).map(|_| ())
    }

    fn fetch(&self, uri: Uri) -> Result<Vec<u8>, Failure> {
        let mut request = Request::get(uri).body(()).map_err(|e| Failure::new(e.to_string()))?;
        request.headers_mut().extend(self.headers.iter().cloned());
        let mut response = self.agent.run(request).map_err(|e| self.failure(&e))?;
        let (status, headers) = (response.status(), response.headers());
        let failure = |text: String| Failure { text, status: Some(status.as_u16()) };
        if !status.is_success() {
            let to = headers.get(header::LOCATION).map(|to| format!(", to {}", String::from_utf8_lossy(to.as_bytes())));
            return Err(failure(format!("the answer is {status}{}", to.unwrap_or_default())));
        }
        let encoding = headers.get(header::CONTENT_ENCODING).map_or(Some(Encoding::Plain), |v| Encoding::of(v.as_bytes()));
        let encoding = encoding.ok_or_else(|| failure(format!("the body has a Content-Encoding that is none of {KNOWN}")))?;
        let too_large = || format!("the body is larger than {} (option `max_body`)", show_size(self.max_body as u64));
        let mut sent = Vec::new();
        let read = response.body_mut().as_reader().take(self.max_body as u64 + 1).read_to_end(&mut sent);
        read.map_err(|e| failure(self.failure(&Error::from(e)).text))?;
        if sent.len() > self.max_body {
            return Err(failure(too_large()));
        }
        if encoding == Encoding::Plain || sent.is_empty() {
            return Ok(sent);
        }
        let mut body = Vec::new();
        let unpacked = unpack::unpack(encoding, &sent, |piece| {
            body.extend_from_slice(piece);
            if body.len() > self.max_body { Err(()) } else { Ok(()) }
        });
        unpacked.map_err(|e| match e {
            unpack::Failure::Damaged(text) => failure(text),
            unpack::Failure::Refused(()) => failure(too_large()),
        })?;
        Ok(body)
    }

    fn failure(&self, e: &Error) -> Failure {
        match e {
            Error::Timeout(_) => Failure::new(format!("no complete answer within {} (option `timeout`)", show_duration(self.timeout))),
            Error::Io(e) => Failure::new(e.to_string()),
            e => Failure::new(e.to_string()),
        }
    }
}

fn authorities(path: &Path) -> io::Result<RootCerts> {
    let mut pem = Vec::new();
    File::open(path)?.take(MAX_PEM).read_to_end(&mut pem)?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(io::Error::other)? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(io::Error::other("there is no certificate in it")) } else { Ok(RootCerts::from(found)) }
}

/// A request under way. However it ends, there is an answer.
struct Pending {
    target: usize,
    body: Option<Result<Vec<u8>, Failure>>,
    began: Duration,
    clock: Clock,
    answers: Arc<Answers>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let body = self.body.take().unwrap_or_else(|| Err(Failure::new("the request ended without an answer")));
        let duration = self.clock.steady().saturating_sub(self.began);
        self.answers.lock().push(Answer { target: self.target, body, duration });
        self.answers.came.set();
    }
}
