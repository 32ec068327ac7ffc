use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use message::signing::{Hash, Signer};
use options::{Opt, Options, Problem};

pub const TOKEN: Opt = Opt::secret("token")
    .doc("What senders must give as `Authorization: Bearer TOKEN`; others are answered 401. With `user` as well either will do. Not given: nothing.");
pub const USER: Opt = Opt::string("user").sample("\"sender\"").doc(
    "Name that senders must give with `password` as basic authentication; others are answered 401. Without `tls` anyone on the way can read both.",
);
pub const PASSWORD: Opt = Opt::secret("password").doc("Password of `user`.");
pub const HMAC_KEY: Opt = Opt::secret("hmac_key").doc(
    "Key with which senders must sign each body as they send it, compressed or not (HMAC, RFC 2104): in hexadecimal digits, which may have the hash's name and `=` before them, or in base64. Others are answered 401.",
);
pub const HMAC_HEADER: Opt = Opt::string("hmac_header").default("X-Hub-Signature-256").doc("Header with the signature.");
pub const HMAC_HASH: Opt = Opt::choice("hmac_hash", &["sha256", "sha1"]).default("sha256").doc("Hash function of the signature.");

/// What senders must show.
pub struct Authentication {
    token: Option<String>,
    /// User and password, as they are sent.
    basic: Option<String>,
    signature: Option<(HeaderName, Signer)>,
}

/// Why a sender may not send.
pub struct Stranger {
    pub text: String,
    /// For `WWW-Authenticate`; none when the body is to be signed.
    pub challenge: Option<&'static str>,
}

impl Authentication {
    /// # Errors
    /// When a secret is empty, one of user and password is missing, or the header has no valid name.
    pub fn new(o: &Options) -> Result<Authentication, Problem> {
        for name in ["token", "password", "hmac_key"] {
            if o.get_str(name).is_some_and(str::is_empty) {
                return Err(o.problem(name, format!("`{name}` is empty"), "expected a secret, or no such option"));
            }
        }
        let basic = match (o.get_str("user"), o.get_str("password")) {
            (Some(user), _) if user.contains(':') => return Err(o.problem("user", "`user` has a colon", "expected a name without one")),
            (Some(user), Some(password)) => Some(BASE64_STANDARD.encode(format!("{user}:{password}"))),
            (None, None) => None,
            (Some(_), None) => return Err(o.problem("user", "`user` needs `password`", "this user has no password")),
            (None, Some(_)) => return Err(o.problem("password", "`password` needs `user`", "this is nobody's password")),
        };
        Ok(Authentication { token: o.get_str("token").map(str::to_string), basic, signature: signature(o)? })
    }

    /// What can be said before the body is there.
    ///
    /// # Errors
    /// When what has to be shown is not.
    pub fn of_head(&self, headers: &HeaderMap) -> Result<(), Stranger> {
        if self.signature.as_ref().is_some_and(|(name, _)| !headers.contains_key(name)) {
            return Err(self.unsigned("found none"));
        }
        let (expected, challenge) = match (&self.token, &self.basic) {
            (None, None) => return Ok(()),
            (Some(_), None) => ("`Authorization: Bearer` with the token of this input", "Bearer"),
            (None, Some(_)) => ("`Authorization: Basic` with user and password of this input", BASIC),
            (Some(_), Some(_)) => ("`Authorization: Bearer` or `Basic` with what this input knows", "Bearer, Basic realm=\"nilometer\""),
        };
        let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let (scheme, given) = given.split_once(' ').unwrap_or_default();
        let known = |name: &str, secret: &Option<String>| {
            scheme.eq_ignore_ascii_case(name) && secret.as_ref().is_some_and(|secret| same(given.as_bytes(), secret.as_bytes()))
        };
        if known("Bearer", &self.token) || known("Basic", &self.basic) {
            return Ok(());
        }
        Err(Stranger { text: format!("expected {expected}"), challenge: Some(challenge) })
    }

    /// Whether the body, as it was sent, is signed if it has to be.
    ///
    /// # Errors
    /// When it is not.
    pub fn of_body(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Stranger> {
        let Some((name, signer)) = &self.signature else { return Ok(()) };
        let given = headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        let digest = signer.digest(body);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let (prefix, digits) = given.split_at_checked(signer.hash().name().len() + 1).unwrap_or((b"", given));
        let prefixed = prefix.eq_ignore_ascii_case(format!("{}=", signer.hash().name()).as_bytes());
        let digits = if prefixed { digits } else { given }.to_ascii_lowercase();
        if same(&digits, hex.as_bytes()) || same(given, BASE64_STANDARD.encode(&*digest).as_bytes()) {
            return Ok(());
        }
        Err(self.unsigned("found another"))
    }

    fn unsigned(&self, found: &str) -> Stranger {
        let (name, hash) = self.signature.as_ref().map_or(("", ""), |(name, signer)| (name.as_str(), signer.hash().name()));
        Stranger { text: format!("expected the HMAC-{hash} of the body in the header `{name}`, {found}"), challenge: None }
    }
}

const BASIC: &str = "Basic realm=\"nilometer\"";

fn signature(o: &Options) -> Result<Option<(HeaderName, Signer)>, Problem> {
    let Some(key) = o.get_str("hmac_key") else {
        return match ["hmac_header", "hmac_hash"].into_iter().find(|name| o.given(name)) {
            Some(name) => Err(o.problem(name, format!("`{name}` without `hmac_key`"), "no signature would be looked at")),
            None => Ok(None),
        };
    };
    let name = HeaderName::from_bytes(o.str("hmac_header").as_bytes());
    let name =
        name.map_err(|_| o.problem("hmac_header", "`hmac_header` is no name of a header", "expected something like \"X-Signature\""))?;
    let hash = if o.str("hmac_hash") == "sha1" { Hash::Sha1 } else { Hash::Sha256 };
    Ok(Some((name, Signer::new(b"", 0, hash, key.as_bytes()))))
}

/// Takes as long for a wrong secret as for the right one.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let differs = given.iter().zip(secret).fold(0, |differs, (a, b)| differs | (a ^ b));
    std::hint::black_box(differs) == 0 && given.len() == secret.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authentication(toml: &str) -> Result<Authentication, Problem> {
        Authentication::new(&testkit::plugins::options(&super::super::KIND, &format!("listen = '127.0.0.1:0'\n{toml}")).unwrap())
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_token_and_a_password_are_known_and_nothing_else_is() {
        let both = authentication("token = 'open sesame'\nuser = 'Aladdin'\npassword = 'open sesame'").unwrap();
        // The example of RFC 7617.
        for known in ["Bearer open sesame", "bearer open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="] {
            assert!(both.of_head(&headers("authorization", known)).is_ok(), "{known}");
        }
        for stranger in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer open sesam",
            "Bearer open sesame ",
            "Basic open sesame",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ] {
            let stranger = both.of_head(&headers("authorization", stranger)).err().unwrap();
            assert_eq!(stranger.challenge, Some("Bearer, Basic realm=\"nilometer\""));
        }
        assert!(authentication("token = 'x'").unwrap().of_head(&headers("authorization", "Basic ")).is_err());
        assert!(authentication("").unwrap().of_head(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_signature_is_of_this_body_and_by_this_key() {
        // Case 2 of RFC 4231 and of RFC 2202.
        let body = b"what do ya want for nothing?";
        let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let sha1 = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
        let of = |toml: &str, name, value: &str, body: &[u8]| {
            let authentication = authentication(&format!("hmac_key = 'Jefe'\n{toml}")).unwrap();
            let headers = headers(name, value);
            authentication.of_head(&headers).is_ok() && authentication.of_body(&headers, body).is_ok()
        };
        let name = "x-hub-signature-256";
        assert!(of("", name, sha256, body) && of("", name, &format!("SHA256={}", sha256.to_uppercase()), body));
        assert!(of("", name, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=", body));
        assert!(of("hmac_header = 'X-Hub-Signature'\nhmac_hash = 'sha1'", "x-hub-signature", &format!("sha1={sha1}"), body));
        assert!(!of("", name, sha256, b"what do ya want for nothing!") && !of("", name, &sha256[1..], body) && !of("", name, "", body));
        assert!(!of("", name, &format!("sha1={sha256}"), body) && !of("", name, sha1, body) && !of("", "other", sha256, body));
    }

    #[test]
    fn halves_of_it_are_refused() {
        for (toml, told) in [
            ("token = ''", "`token` is empty"),
            ("user = 'a'", "needs `password`"),
            ("password = 'a'", "needs `user`"),
            ("user = 'a:b'\npassword = 'c'", "colon"),
            ("hmac_hash = 'sha1'", "without `hmac_key`"),
            ("hmac_key = 'k'\nhmac_header = 'a b'", "no name of a header"),
        ] {
            let problem = authentication(toml).err().unwrap().to_string();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
