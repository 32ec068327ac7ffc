use std::convert::Infallible;
use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use options::unit::{show_duration, show_size};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Settings;
use super::queue::{Body, Count, Held, Outcome, Queue};

/// So much of a body nobody wants is read, for so long, so that its sender gets to read the answer.
const UNWANTED: usize = 64 << 20;
const UNWANTED_TIME: Duration = Duration::from_secs(1);

/// Answers a request: 200 when all who wanted the records of its body accepted them.
pub async fn handle(settings: &Settings, queue: &Arc<Queue>, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    queue.count(Count::Requests);
    let (head, mut body) = request.into_parts();
    let result = async {
        let encoding = permitted(settings, &head)?;
        let (bytes, held) = receive(settings, queue, &mut body, encoding).await?;
        await_acceptance(settings, queue, bytes, held).await
    };
    Ok(match result.await {
        Ok(()) => Response::new(String::new()),
        Err(refusal) => {
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

    fn response(self) -> Response<String> {
        let mut response = Response::new(self.text + "\n");
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.headers_mut().extend(self.header);
        response
    }
}

#[derive(Clone, Copy)]
enum Encoding {
    Plain,
    Gzip,
}

/// What can be said before the body is there.
fn permitted(settings: &Settings, head: &Parts) -> Result<Encoding, Refusal> {
    if let Some(token) = &settings.token
        && !bears(&head.headers, token)
    {
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "expected `Authorization: Bearer` with the token of this input");
        return Err(refusal.with(header::WWW_AUTHENTICATE, "Bearer"));
    }
    if let Some(endpoint) = &settings.endpoint
        && head.uri.path() != endpoint
    {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("expected the path {endpoint}")));
    }
    if ![Method::POST, Method::PUT].contains(&head.method) {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "expected POST or PUT").with(header::ALLOW, "POST, PUT"));
    }
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > settings.max_body as u64) {
        return Err(too_large(settings));
    }
    match head.headers.get(header::CONTENT_ENCODING).map(|v| v.as_bytes().to_ascii_lowercase()).as_deref() {
        None | Some(b"identity" | b"") => Ok(Encoding::Plain),
        Some(b"gzip" | b"x-gzip") => Ok(Encoding::Gzip),
        Some(_) => {
            let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected the Content-Encoding `gzip`, or none");
            Err(refusal.with(header::ACCEPT_ENCODING, "gzip"))
        }
    }
}

fn too_large(settings: &Settings) -> Refusal {
    let max = show_size(settings.max_body as u64);
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("expected a body of at most {max} (option `max_body`)"))
}

/// Takes as long for a wrong token as for the right one.
fn bears(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some((scheme, given)) = given.split_at_checked(b"Bearer ".len()) else { return false };
    let differs = given.iter().zip(token.as_bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    scheme.eq_ignore_ascii_case(b"Bearer ") && given.len() == token.len() && differs == 0
}

/// The whole body, decompressed.
async fn receive(settings: &Settings, queue: &Arc<Queue>, body: &mut Incoming, encoding: Encoding) -> Result<(Vec<u8>, Held), Refusal> {
    let mut held = Held::none(queue.clone());
    let mut bytes = Vec::new();
    let read = async {
        while let Some(data) = next(body).await {
            let data = data.map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, format!("the body is cut or wrong: {e}")))?;
            take(settings, &mut bytes, &data, &mut held)?;
        }
        Ok(())
    };
    match timeout(settings.timeout, read).await {
        Ok(read) => read?,
        Err(_) => {
            let text = format!("expected the whole body within {} (option `timeout`)", show_duration(settings.timeout));
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, text));
        }
    }
    match encoding {
        Encoding::Plain => Ok((bytes, held)),
        Encoding::Gzip => Ok((gunzip(settings, &bytes, &mut held)?, held)),
    }
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

fn gunzip(settings: &Settings, compressed: &[u8], held: &mut Held) -> Result<Vec<u8>, Refusal> {
    let mut decoder = MultiGzDecoder::new(compressed);
    let (mut plain, mut block) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match decoder.read(&mut block) {
            Ok(0) => break,
            Ok(n) => take(settings, &mut plain, &block[..n], held)?,
            Err(e) => return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not gzip: {e}"))),
        }
    }
    held.shrink(plain.len());
    Ok(plain)
}

/// Hands the body to the input's thread and waits for what becomes of it.
async fn await_acceptance(settings: &Settings, queue: &Queue, bytes: Vec<u8>, held: Held) -> Result<(), Refusal> {
    if bytes.is_empty() {
        return Ok(());
    }
    let (reply, outcome) = oneshot::channel();
    queue.put(Body { bytes, held, reply });
    match timeout(settings.answer_timeout, outcome).await {
        Ok(Ok(Outcome::Accepted)) => Ok(()),
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
