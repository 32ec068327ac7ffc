//! Certificates for tests, as files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// Whoever trusts it trusts the certificates it issues.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// The files of a certificate and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// # Panics
    /// When there is no randomness.
    pub fn new() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name each: one of the same name would be another kind of stranger.
        static AUTHORITIES: AtomicUsize = AtomicUsize::new(0);
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", AUTHORITIES.fetch_add(1, Ordering::Relaxed)));
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Writes its own certificate to a file of this directory.
    ///
    /// # Panics
    /// When that fails, as do the others.
    pub fn write(&self, dir: &Path) -> PathBuf {
        let path = dir.join("ca.pem");
        fs::write(&path, &self.pem).expect("a file");
        path
    }

    /// A certificate for this machine: `localhost`, 127.0.0.1 and ::1, and the `name`, after which the
    /// files are called. Files of that name are replaced.
    pub fn issue(&self, dir: &Path, name: &str) -> Identity {
        self.sign(dir, name, |_| {})
    }

    /// One that has expired long ago.
    pub fn issue_expired(&self, dir: &Path, name: &str) -> Identity {
        self.sign(dir, name, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    fn sign(&self, dir: &Path, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost", "127.0.0.1", "::1", name].map(str::to_string);
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let write = |ending: &str, text: String| {
            let path = dir.join(format!("{name}.{ending}"));
            // As those do it who replace files in use.
            fs::write(path.with_extension("new"), text).expect("a file");
            fs::rename(path.with_extension("new"), &path).expect("a file");
            path
        };
        Identity { cert: write("pem", cert.pem()), key: write("key", key.serialize_pem()) }
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}
