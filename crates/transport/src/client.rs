use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use options::{Options, Problem};
use rustls::RootCertStore;
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;

use crate::files::PemFile;
use crate::server::only_with_tls;
use crate::stream::Stream;
use crate::tls::Tls;
use crate::watched::Watched;

/// How connections that are opened are encrypted.
#[derive(Debug)]
pub struct ClientTls {
    ca: Option<PemFile>,
    identity: Option<(PemFile, PemFile)>,
    server_name: Option<ServerName<'static>>,
    config: Watched<ClientConfig>,
}

impl ClientTls {
    /// From [`CLIENT_OPTIONS`](crate::CLIENT_OPTIONS); `None` without `tls`. No file is touched.
    ///
    /// # Errors
    /// When one of certificate and key is missing, the name is none, or options are given without `tls`.
    pub fn new(o: &Options) -> Result<Option<ClientTls>, Problem> {
        if !o.bool("tls") {
            return only_with_tls(o, &["tls_ca", "tls_cert", "tls_key", "tls_server_name"]).map(|()| None);
        }
        let [ca, cert, key] = ["tls_ca", "tls_cert", "tls_key"].map(|name| PemFile::of(o, name));
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(o.problem("tls_cert", "`tls_cert` needs `tls_key`", "this certificate has no key").help("add `tls_key`"));
            }
            (None, Some(_)) => {
                return Err(o.problem("tls_key", "`tls_key` needs `tls_cert`", "this key has no certificate").help("add `tls_cert`"));
            }
        };
        let server_name = match o.get_str("tls_server_name") {
            None => None,
            Some(name) => Some(ServerName::try_from(name.to_string()).map_err(|_| {
                o.problem("tls_server_name", "`tls_server_name` is no name", "expected the name of a host, such as \"logs.example.com\"")
            })?),
        };
        let files = ca.iter().chain(identity.iter().flat_map(|(cert, key)| [cert, key])).cloned().collect();
        Ok(Some(ClientTls { ca, identity, server_name, config: Watched::new(files) }))
    }

    /// As the files say; they are read the first time, and again when they have changed. `now` is by
    /// a steady clock.
    ///
    /// # Errors
    /// When the files are of no use, and never were; names the file and the option.
    pub fn config(&self, now: Duration) -> io::Result<Arc<ClientConfig>> {
        self.config.get(now, || self.read())
    }

    /// The stream over a connection that was opened to `address` (`host:port`), whose socket does not
    /// block. The handshake is still to come.
    ///
    /// # Errors
    /// Those of [`ClientTls::config`], and when the host is nothing a certificate can be for.
    pub fn connect(&self, socket: TcpStream, address: &str, now: Duration) -> io::Result<Stream> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
                let why = |_| {
                    io::Error::new(io::ErrorKind::InvalidInput, format!("no certificate can be for `{host}` (option `tls_server_name`)"))
                };
                ServerName::try_from(host.to_string()).map_err(why)?
            }
        };
        let connection = ClientConnection::new(self.config(now)?, name).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(Tls::new(socket, connection.into(), "tls_ca"))))
    }

    fn read(&self) -> io::Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let roots = self.ca.as_ref().map_or_else(system_authorities, PemFile::authorities)?;
        let builder = builder.with_root_certificates(roots);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((cert, key)) => {
                let config = builder.with_client_auth_cert(cert.certificates()?, key.key()?);
                config.map_err(|e| key.wrong(io::ErrorKind::InvalidData, format_args!("does not fit `tls_cert`: {e}")))
            }
        }
    }
}

/// Those this system trusts.
fn system_authorities() -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Among a hundred, one that is not understood is no harm.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or(String::new(), |e| format!(": {e}"));
        let why = format!("this system trusts no certificate authority{why}: install them, or name one (option `tls_ca`)");
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    Ok(roots)
}
