//! The `http` output: sends each batch as the body of one request.
//!
//! One request at a time, in order, over a connection that is kept; with `concurrency` the engine runs several of these. Every answer is a verdict on the
//! whole body ([`answer`]); where the server refuses a body of several messages, halves of it are sent,
//! so that only the messages it will not have are rejected. How a stop is heard while the server says
//! nothing is in [`transport`].

mod answer;
mod transport;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use options::unit::show_duration;
use options::{Opt, Options, Problem, Raw};
use plugin::{BuildCx, Example, Kind, OutBatch, OutCx, Output, Stability};
use ureq::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use ureq::{Agent, Timeout};

use self::answer::{Answer, MAX_ANSWER};
use self::transport::{Line, agent};

/// Requests made of one batch at most, to find the messages that are refused; what is left is offered again.
const MAX_REQUESTS: usize = 64;

pub const KIND: Kind = Kind::output("http", Stability::Experimental, build)
    .concurrent()
    .summary("Sends batches of encoded messages to an HTTP server.")
    .doc(
        "A batch is the body of one request, and delivered when the server answers 2xx. No answer, 408, 425, 429, 5xx and redirects \
         are tried again for as long as it takes, no sooner than `Retry-After` says (up to an hour). Any other 4xx refuses the \
         body: if it has several messages, halves of it are sent, and messages refused alone are rejected with the answer. \
         Messages arrive in order and at least once: a batch whose answer was lost is sent again, and the server may see it \
         twice. With `concurrency` several requests are under way at once, each over a connection of its own; `order_by` says what \
         order is kept then.",
    )
    .options(&[
        Opt::string("url")
            .required()
            .sample("\"http://127.0.0.1:8080/logs\"")
            .doc("Where to send to, with `http` or `https`. The certificate of the server must be from a well-known authority."),
        Opt::choice("method", &["POST", "PUT"]).default("POST").doc("Method of the requests."),
        Opt::tree("headers")
            .sample("{ Authorization = { env = \"LOGS_AUTHORIZATION\" } }")
            .doc("Further headers of the requests. Values are strings, or taken from the environment or a file."),
        Opt::string("content_type").default("application/x-ndjson").doc("Content-Type of the bodies: what the encoder writes."),
        Opt::bool("gzip").default("false").doc("Compresses bodies; the server has to know `Content-Encoding: gzip`."),
        Opt::strings("retry_status")
            .sample("[\"401\", \"403\", \"409\"]")
            .doc("Statuses of 4xx after which messages are kept and sent again, because they are no fault of the messages, besides 408, 425 and 429. Default: 401, 403, 404 and 407, for a wrong password or URL."),
        Opt::duration("connect_timeout").default("5s").doc("How long one attempt to connect may take, with the lookup of the name."),
        Opt::duration("timeout").default("30s").doc("How long a request may take from its beginning to the end of the answer."),
    ])
    .examples(&[
        Example { title: "Everything as JSON lines", toml: "match = 'TRUE'\nurl = \"http://127.0.0.1:8080/logs\"" },
        Example {
            title: "To another router, compressed",
            toml: "match = 'TRUE'\nurl = \"http://10.0.0.7:5580/\"\nencoder = \"heka\"\ncontent_type = \"application/octet-stream\"\ngzip = true",
        },
    ]);

struct Http {
    uri: Uri,
    /// The URL as errors name it: without the query, which may hold a key.
    shown: String,
    method: Method,
    headers: Vec<(HeaderName, HeaderValue)>,
    gzip: bool,
    retry_status: Vec<StatusCode>,
    connect_timeout: Duration,
    timeout: Duration,
    line: Arc<Line>,
    /// Made when there is something to send: only then is it known who asks for a stop.
    agent: Option<Agent>,
}

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Output>, Problem> {
    let uri = url(o)?;
    let content_type = HeaderValue::from_str(o.str("content_type"))
        .map_err(|_| o.problem("content_type", "`content_type` is no header value", "expected printable ASCII"))?;
    let gzip = o.bool("gzip");
    let mut headers = vec![(header::CONTENT_TYPE, content_type)];
    headers.extend(gzip.then_some((header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))));
    headers.extend(further_headers(o)?);
    Ok(Box::new(Http {
        shown: format!("{}://{}{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |a| a.as_str()), uri.path()),
        uri,
        method: if o.str("method") == "PUT" { Method::PUT } else { Method::POST },
        headers,
        gzip,
        retry_status: retry_status(o)?,
        connect_timeout: o.duration("connect_timeout"),
        timeout: o.duration("timeout"),
        line: Arc::default(),
        agent: None,
    }))
}

fn url(o: &Options) -> Result<Uri, Problem> {
    let example = "expected something like \"http://127.0.0.1:8080/logs\"";
    let uri: Uri = o.str("url").parse().map_err(|e| o.problem("url", format!("`url` is not a URL: {e}"), example))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(o.problem("url", "`url` has no `http://` or `https://` or no host", example));
    }
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(o.problem("url", "`url` holds credentials", "expected none: give them in `headers`, as Authorization"));
    }
    Ok(uri)
}

fn further_headers(o: &Options) -> Result<Vec<(HeaderName, HeaderValue)>, Problem> {
    let Some(tree) = o.tree("headers") else { return Ok(Vec::new()) };
    let header = |(key, node): &(options::Key, options::Node)| {
        let problem = |what: &str| Problem::new(format!("header `{}` {what}", key.name)).at(&node.at, "expected a header");
        let name = HeaderName::from_bytes(key.name.as_bytes()).map_err(|_| problem("has no valid name"))?;
        // Set by the output itself, and wrong if it were otherwise.
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONTENT_ENCODING, header::EXPECT, header::CONNECTION].contains(&name)
        {
            return Err(problem("is not for the configuration to set"));
        }
        if name == header::CONTENT_TYPE {
            return Err(problem("is there already: option `content_type`"));
        }
        let Raw::String(value) = &node.raw else { return Err(problem("is not a string")) };
        let mut value = HeaderValue::from_str(value).map_err(|_| problem("has a value that is not printable ASCII"))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    tree.entries.iter().map(header).collect()
}

fn retry_status(o: &Options) -> Result<Vec<StatusCode>, Problem> {
    let status = |text: &String| {
        let status = StatusCode::from_bytes(text.as_bytes()).ok().filter(StatusCode::is_client_error);
        status.ok_or_else(|| o.problem("retry_status", format!("`{text}` in `retry_status`"), "expected statuses from 400 to 499"))
    };
    if !o.given("retry_status") {
        return Ok(NO_FAULT.to_vec());
    }
    o.strings("retry_status").iter().map(status).collect()
}

/// Statuses that tell of the configuration, not of messages.
const NO_FAULT: [StatusCode; 4] =
    [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::PROXY_AUTHENTICATION_REQUIRED];

impl Output for Http {
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>) {
        self.line.begin();
        // Ranges still to be sent, the next one last.
        let mut left = Vec::from_iter((!batch.is_empty()).then_some(0..batch.len()));
        let mut refused = String::new();
        let mut requests = 0;
        while let Some(range) = left.pop() {
            if requests == MAX_REQUESTS {
                let why = format!("{requests} requests were not enough to find all messages that are refused: {refused}");
                return cx.retry(range.start..batch.len(), None, why);
            }
            requests += 1;
            match self.send(batch.bytes_of(range.clone()), cx) {
                Answer::Done => cx.done(range),
                Answer::Retry { after, why } => return cx.retry(range.start..batch.len(), after, self.named(&why)),
                Answer::Refused(why) if range.len() == 1 => cx.reject(range.start, self.named(&why)),
                Answer::Refused(why) => {
                    let middle = range.start + range.len() / 2;
                    left.extend([middle..range.end, range.start..middle]);
                    refused = self.named(&why);
                }
            }
        }
    }

    fn close(&mut self, _: &mut OutCx<'_>) {
        self.agent = None;
    }

    fn default_encoder(&self) -> &'static str {
        "json"
    }
}

impl Http {
    fn named(&self, why: &str) -> String {
        format!("{}: {why}", self.shown)
    }

    fn send(&mut self, bytes: &[u8], cx: &OutCx<'_>) -> Answer {
        match self.exchange(bytes, cx) {
            // A server that answers well before it has read everything has not taken everything.
            Ok(Answer::Done) if self.line.was_cut() => Answer::retry("the server took the message before it had read all of it"),
            Ok(answer) => answer,
            Err(ureq::Error::Timeout(Timeout::Connect)) => {
                Answer::retry(format!("not connected within {} (option `connect_timeout`)", show_duration(self.connect_timeout)))
            }
            Err(ureq::Error::Timeout(_)) => {
                Answer::retry(format!("no complete answer within {} (option `timeout`)", show_duration(self.timeout)))
            }
            Err(ureq::Error::Io(e)) => Answer::retry(e.to_string()),
            Err(e) => Answer::retry(e.to_string()),
        }
    }

    fn exchange(&mut self, bytes: &[u8], cx: &OutCx<'_>) -> Result<Answer, ureq::Error> {
        let compressed;
        let body = if self.gzip {
            compressed = compress(bytes)?;
            &compressed[..]
        } else {
            bytes
        };
        let mut request = Request::builder().method(self.method.clone()).uri(self.uri.clone()).body(body)?;
        request.headers_mut().extend(self.headers.iter().cloned());
        let agent = self.agent.get_or_insert_with(|| agent(&self.line, self.connect_timeout, self.timeout, cx));
        self.line.next();
        let mut response = agent.run(request)?;
        let mut text = Vec::new();
        // The status is the verdict, whatever comes of the rest; what is read to its end leaves the connection usable.
        let _ = response.body_mut().as_reader().take(MAX_ANSWER).read_to_end(&mut text);
        Ok(answer::judge(response.status(), response.headers(), &text, &self.retry_status, cx.clock.now()))
    }
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests;
