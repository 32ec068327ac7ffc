use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use options::{Opt, Options, Problem, Raw};
use ureq::http::{HeaderName, HeaderValue, Uri, header};

/// So many requests may be under way.
const MAX_URLS: usize = 256;

pub const OPTIONS: &[Opt] = &[
    Opt::strings("urls")
        .required()
        .sample("[\"http://127.0.0.1:8080/status\"]")
        .doc("What to fetch, with `http` or `https`; at most 256. The certificate of a server must be from a well-known authority, or `tls_ca`."),
    Opt::duration("every").default("10s").doc("Time from one request to the next, 10ms at least."),
    Opt::duration("jitter")
        .default("0s")
        .doc("Each request is up to this much later than it would be, at random; at most `every`. So that many do not come at once."),
    Opt::duration("timeout").default("10s").doc("How long a request may take from its beginning to the end of the answer."),
    Opt::size("max_body").default("8MiB").doc(
        "Larger bodies are not taken. For answers that are packed with gzip or zstd it limits what is sent and what that becomes. Memory for so much may be taken for each URL.",
    ),
    Opt::tree("headers")
        .sample("{ Accept = \"application/json\" }")
        .doc("Headers of the requests. Values are strings, or taken from the environment or a file."),
    Opt::secret("token").doc("Sent as `Authorization: Bearer TOKEN`."),
    Opt::string("user").sample("\"reader\"").doc("Sent with `password` as basic authentication."),
    Opt::secret("password").doc("Password of `user`."),
    Opt::path("tls_ca")
        .sample("\"/etc/nilometer/ca.pem\"")
        .doc("PEM file with the authorities that may have signed the servers' certificates, instead of the well-known ones. It is read at the start."),
];

/// What to fetch, and how.
pub struct Settings {
    pub urls: Vec<Url>,
    pub every: Duration,
    pub jitter: Duration,
    pub timeout: Duration,
    pub max_body: usize,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub tls_ca: Option<PathBuf>,
}

#[derive(Clone)]
pub struct Url {
    pub uri: Uri,
    /// Without the query, which may hold a key.
    pub shown: String,
}

impl Settings {
    /// # Errors
    /// When options contradict one another or cannot be.
    pub fn read(o: &Options) -> Result<Settings, Problem> {
        let urls = o.strings("urls").iter().map(|text| url(o, text)).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() || urls.len() > MAX_URLS {
            return Err(o.problem("urls", format!("{} URLs in `urls`", urls.len()), format!("expected 1 to {MAX_URLS}")));
        }
        if o.duration("every") < Duration::from_millis(10) {
            return Err(o.problem("every", "`every` is too short", "expected 10ms at least"));
        }
        if o.duration("jitter") > o.duration("every") {
            return Err(o.problem("jitter", "`jitter` is longer than `every`", "expected at most that"));
        }
        if o.duration("timeout").is_zero() {
            return Err(o.problem("timeout", "`timeout` is 0", "expected some time for an answer"));
        }
        let mut headers = headers(o)?;
        if let Some(authorization) = authorization(o)? {
            if headers.iter().any(|(name, _)| name == header::AUTHORIZATION) {
                return Err(o.problem("headers", "`headers` has an Authorization", "there is one already by `token` or `user`"));
            }
            headers.push((header::AUTHORIZATION, authorization));
        }
        Ok(Settings {
            urls,
            every: o.duration("every"),
            jitter: o.duration("jitter"),
            timeout: o.duration("timeout"),
            max_body: o.size("max_body"),
            headers,
            tls_ca: o.get_path("tls_ca").map(PathBuf::from),
        })
    }
}

fn url(o: &Options, text: &str) -> Result<Url, Problem> {
    let example = "expected something like \"http://127.0.0.1:8080/status\"";
    let uri: Uri = text.parse().map_err(|e| o.problem("urls", format!("`urls` has one that is no URL: {e}"), example))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(o.problem("urls", "`urls` has one with no `http://` or `https://` or no host", example));
    }
    let authority = uri.authority().map_or("", |a| a.as_str());
    if authority.contains('@') {
        return Err(o.problem("urls", "`urls` has one with credentials", "expected none: there are `token`, `user` and `password`"));
    }
    let shown = format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path());
    Ok(Url { uri, shown })
}

fn headers(o: &Options) -> Result<Vec<(HeaderName, HeaderValue)>, Problem> {
    let Some(tree) = o.tree("headers") else { return Ok(Vec::new()) };
    let header = |(key, node): &(options::Key, options::Node)| {
        let problem = |what: &str| Problem::new(format!("header `{}` {what}", key.name)).at(&node.at, "expected a header");
        let name = HeaderName::from_bytes(key.name.as_bytes()).map_err(|_| problem("has no valid name"))?;
        let own = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::ACCEPT_ENCODING, header::CONNECTION, header::EXPECT];
        if own.contains(&name) {
            return Err(problem("is not for the configuration to set"));
        }
        let Raw::String(value) = &node.raw else { return Err(problem("is not a string")) };
        Ok((name, sensitive(value).ok_or_else(|| problem("has a value that is not printable ASCII"))?))
    };
    tree.entries.iter().map(header).collect()
}

fn authorization(o: &Options) -> Result<Option<HeaderValue>, Problem> {
    let (name, text) = match (o.get_str("token"), o.get_str("user"), o.get_str("password")) {
        (None, None, None) => return Ok(None),
        (Some(token), None, None) if !token.is_empty() => ("token", format!("Bearer {token}")),
        (Some(_), None, None) => return Err(o.problem("token", "`token` is empty", "expected a secret, or no such option")),
        (Some(_), ..) => return Err(o.problem("token", "`token` with `user` or `password`", "a request has one Authorization")),
        (None, Some(user), Some(_)) if user.contains(':') => {
            return Err(o.problem("user", "`user` has a colon", "expected a name without one"));
        }
        (None, Some(user), Some(password)) => ("password", format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))),
        (None, Some(_), None) => return Err(o.problem("user", "`user` needs `password`", "this user has no password")),
        (None, None, Some(_)) => return Err(o.problem("password", "`password` needs `user`", "this is nobody's password")),
    };
    let value = sensitive(&text).ok_or_else(|| o.problem(name, format!("`{name}` cannot be sent"), "expected printable ASCII"))?;
    Ok(Some(value))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
