use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use options::Options;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// No larger file is read: some thousand certificates fit.
const MAX_FILE: u64 = 4 << 20;

/// A PEM file that an option names.
#[derive(Clone, Debug)]
pub struct PemFile {
    option: &'static str,
    path: PathBuf,
}

/// What a file looked like: device, inode, size, and when it was changed last in seconds and nanoseconds.
pub type Stamp = (u64, u64, u64, i64, i64);

impl PemFile {
    /// None when the option is not given.
    pub fn of(o: &Options, option: &'static str) -> Option<PemFile> {
        o.get_path(option).map(|path| PemFile { option, path: path.to_path_buf() })
    }

    /// An error about this file.
    pub fn wrong(&self, kind: io::ErrorKind, what: impl std::fmt::Display) -> io::Error {
        io::Error::new(kind, format!("{}: {what} (option `{}`)", self.path.display(), self.option))
    }

    /// What it looks like; `None` when it is not there.
    pub fn stamp(&self) -> Option<Stamp> {
        let m = fs::metadata(&self.path).ok()?;
        Some((m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec()))
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let fail = |e: io::Error| self.wrong(e.kind(), e);
        // Whoever writes into a pipe might be waited for.
        if !fs::metadata(&self.path).map_err(fail)?.is_file() {
            return Err(self.wrong(io::ErrorKind::InvalidInput, "is not a file"));
        }
        let mut text = Vec::new();
        let n = File::open(&self.path).map_err(fail)?.take(MAX_FILE + 1).read_to_end(&mut text).map_err(fail)?;
        if n as u64 > MAX_FILE {
            return Err(self.wrong(io::ErrorKind::InvalidData, format_args!("is larger than {} MiB", MAX_FILE >> 20)));
        }
        Ok(text)
    }

    /// At least one.
    ///
    /// # Errors
    /// When it cannot be read or holds no certificate.
    pub fn certificates(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        let invalid = |what: String| self.wrong(io::ErrorKind::InvalidData, what);
        let text = self.read()?;
        let all = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>().map_err(|e| invalid(format!("is not PEM: {e}")))?;
        if all.is_empty() {
            return Err(invalid("holds no certificate: expected `-----BEGIN CERTIFICATE-----`".to_string()));
        }
        Ok(all)
    }

    /// # Errors
    /// When it cannot be read or holds no private key that is not encrypted itself.
    pub fn key(&self) -> io::Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|e| {
            let what = format!("holds no private key: expected `-----BEGIN PRIVATE KEY-----`, without a passphrase ({e})");
            self.wrong(io::ErrorKind::InvalidData, what)
        })
    }

    /// # Errors
    /// When it cannot be read or one of its certificates cannot be used.
    pub fn authorities(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|e| self.wrong(io::ErrorKind::InvalidData, format_args!("a certificate is of no use: {e}")))?;
        }
        Ok(roots)
    }
}
