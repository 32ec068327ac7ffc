use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use options::unit::{show_duration, show_size};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Settings;
use super::authentication::Stranger;
use super::json_lines::separate;
use super::protocol::{LeftOut, Whole};
use super::queue::{Body, Count, Held, Outcome, Queue};
use super::unpack::{Encoding, Failure, KNOWN, unpack};

/// So much of a body nobody wants is read, for so long, so that its sender gets to read the answer.
const UNWANTED: usize = 64 << 20;
const UNWANTED_TIME: Duration = Duration::from_secs(1);

/// Answers a request: 200 when all who wanted the records of its body accepted them.
pub async fn handle(settings: &Settings, queue: &Arc<Queue>, request: Request<Incoming>) -> Result<Response<Whole>, Infallible> {
    queue.count(Count::Requests);
    let (head, mut body) = request.into_parts();
    let result = async {
        let encoding = permitted(settings, &head)?;
        let (bytes, mut held) = receive(settings, queue, &mut body).await?;
        let bytes = prepared(settings, &head, encoding, bytes, &mut held)?;
        await_acceptance(settings, queue, bytes, held).await
    };
    Ok(match result.await {
        Ok(left_out) => match &settings.protocol {
            Some(protocol) => {
                let (type_, body) = protocol.answer(&head, left_out);
                let mut response = Response::new(Whole::from(body));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(type_));
                response
            }
            None => Response::default(),
        },
        Err(refusal) => {
            if refusal.status == StatusCode::UNAUTHORIZED {
                queue.count(Count::UnauthorizedRequests);
            }
            queue.count(if refusal.status.is_server_error() { Count::PutOffRequests } else { Count::RefusedRequests });
            // One that asks first does not send when the answer is no.
            if !head.headers.contains_key(header::EXPECT) {
                let _ = timeout(UNWANTED_TIME, ignore(&mut body)).await;
            }
            refusal.response()
        }
    })
}

/// Why a body was not accepted.
struct Refusal {
    status: StatusCode,
    /// What was expected.
    text: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal { status, text: text.into(), header: None }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Refusal {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    /// The sender is to send again.
    fn later(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text).with(header::RETRY_AFTER, "1")
    }

    fn response(self) -> Response<Whole> {
        let mut response = Response::new(Whole::from((self.text + "\n").into_bytes()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.headers_mut().extend(self.header);
        response
    }
}

impl From<Stranger> for Refusal {
    fn from(stranger: Stranger) -> Refusal {
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, stranger.text);
        match stranger.challenge {
            Some(challenge) => refusal.with(header::WWW_AUTHENTICATE, challenge),
            None => refusal,
        }
    }
}

/// What can be said before the body is there.
fn permitted(settings: &Settings, head: &Parts) -> Result<Encoding, Refusal> {
    settings.authentication.of_head(&head.headers)?;
    if let Some(endpoint) = &settings.endpoint
        && head.uri.path() != endpoint
    {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("expected the path {endpoint}")));
    }
    if let Some(protocol) = &settings.protocol {
        protocol.permitted(head).map_err(|(status, text)| Refusal::new(status, text))?;
    }
    if ![Method::POST, Method::PUT].contains(&head.method) {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "expected POST or PUT").with(header::ALLOW, "POST, PUT"));
    }
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > settings.max_body as u64) {
        return Err(too_large(settings));
    }
    let encoding = head.headers.get(header::CONTENT_ENCODING).map_or(Some(Encoding::Plain), |v| Encoding::of(v.as_bytes()));
    encoding.ok_or_else(|| {
        let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("expected a Content-Encoding of {KNOWN}, or none"));
        refusal.with(header::ACCEPT_ENCODING, KNOWN)
    })
}

fn too_large(settings: &Settings) -> Refusal {
    let max = show_size(settings.max_body as u64);
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("expected a body of at most {max}, unpacked (option `max_body`)"))
}

/// The whole body, as it was sent.
async fn receive(settings: &Settings, queue: &Arc<Queue>, body: &mut Incoming) -> Result<(Vec<u8>, Held), Refusal> {
    let mut held = Held::none(queue.clone());
    let mut bytes = Vec::new();
    let read = async {
        while let Some(data) = next(body).await {
            let data = data.map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, format!("the body is cut or wrong: {e}")))?;
            take(settings, &mut bytes, &data, &mut held)?;
        }
        Ok::<(), Refusal>(())
    };
    match timeout(settings.timeout, read).await {
        Ok(read) => read?,
        Err(_) => {
            let text = format!("expected the whole body within {} (option `timeout`)", show_duration(settings.timeout));
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, text));
        }
    }
    Ok((bytes, held))
}

/// Adds to a body what the limits allow.
fn take(settings: &Settings, bytes: &mut Vec<u8>, more: &[u8], held: &mut Held) -> Result<(), Refusal> {
    if bytes.len() + more.len() > settings.max_body {
        return Err(too_large(settings));
    }
    if !held.grow(more.len()) {
        return Err(Refusal::later("consumers are full and too much is waiting (option `max_waiting`): send again"));
    }
    bytes.extend_from_slice(more);
    Ok(())
}

/// The body as its records are read: of someone who may send, unpacked, and in lines.
fn prepared(settings: &Settings, head: &Parts, encoding: Encoding, bytes: Vec<u8>, held: &mut Held) -> Result<Vec<u8>, Refusal> {
    // What strangers sent is not unpacked.
    settings.authentication.of_body(&head.headers, &bytes)?;
    let mut bytes = if encoding == Encoding::Plain { bytes } else { unpacked(settings, encoding, &bytes, held)? };
    if settings.json {
        separate(&mut bytes).map_err(|text| Refusal::new(StatusCode::BAD_REQUEST, format!("expected JSON: {text}")))?;
    }
    match &settings.protocol {
        Some(protocol) => protocol.prepared(head, bytes).map_err(|text| Refusal::new(StatusCode::BAD_REQUEST, text)),
        None => Ok(bytes),
    }
}

fn unpacked(settings: &Settings, encoding: Encoding, packed: &[u8], held: &mut Held) -> Result<Vec<u8>, Refusal> {
    // An empty body is one that was not packed at all.
    if packed.is_empty() {
        return Ok(Vec::new());
    }
    let mut plain = Vec::new();
    unpack(encoding, packed, |piece| take(settings, &mut plain, piece, held)).map_err(|failure| match failure {
        Failure::Damaged(text) => Refusal::new(StatusCode::BAD_REQUEST, text),
        Failure::Refused(refusal) => refusal,
    })?;
    held.shrink(plain.len());
    Ok(plain)
}

/// Hands the body to the input's thread and waits for what becomes of it.
async fn await_acceptance(settings: &Settings, queue: &Queue, bytes: Vec<u8>, held: Held) -> Result<Option<LeftOut>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (reply, outcome) = oneshot::channel();
    queue.put(Body { bytes, held, reply });
    match timeout(settings.answer_timeout, outcome).await {
        Ok(Ok(Outcome::Accepted)) => Ok(None),
        Ok(Ok(Outcome::AcceptedBut(left_out))) => Ok(Some(left_out)),
        Ok(Ok(Outcome::Lost)) => Err(Refusal::later("not everyone who wanted the records took them: send again")),
        Ok(Err(_)) => Err(Refusal::later("this input ends before the records were accepted: send again")),
        Err(_) => {
            let limit = show_duration(settings.answer_timeout);
            Err(Refusal::later(format!("the records were not accepted within {limit} (option `answer_timeout`): send again")))
        }
    }
}

/// The next piece of a body; trailers are nothing to us.
async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await? {
            Ok(frame) => match frame.into_data() {
                Ok(data) => return Some(Ok(data)),
                Err(_) => continue,
            },
            Err(e) => return Some(Err(e)),
        }
    }
}

async fn ignore(body: &mut Incoming) {
    let mut left = UNWANTED;
    while let Some(Ok(data)) = next(body).await {
        let Some(less) = left.checked_sub(data.len()) else { return };
        left = less;
    }
}
