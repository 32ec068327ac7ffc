use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use options::{Options, Problem};
use rustls::crypto::ring::default_provider;
use rustls::server::{NoServerSessionStorage, ServerConfig, ServerConnection, WebPkiClientVerifier};

use crate::files::PemFile;
use crate::stream::Stream;
use crate::tls::Tls;
use crate::watched::Watched;

/// How connections that are accepted are encrypted.
#[derive(Debug)]
pub struct ServerTls {
    cert: PemFile,
    key: PemFile,
    client_ca: Option<PemFile>,
    config: Watched<ServerConfig>,
}

impl ServerTls {
    /// From [`SERVER_OPTIONS`](crate::SERVER_OPTIONS); `None` without `tls`. No file is touched.
    ///
    /// # Errors
    /// When options are missing, or given without `tls`.
    pub fn new(o: &Options) -> Result<Option<ServerTls>, Problem> {
        if !o.bool("tls") {
            return only_with_tls(o, &["tls_cert", "tls_key", "tls_client_ca"]).map(|()| None);
        }
        ServerTls::with("tls", o).map(Some)
    }

    /// From the same options but `tls`, for who says in another way that connections are encrypted.
    ///
    /// # Errors
    /// When options are missing.
    pub fn of_files(o: &Options) -> Result<ServerTls, Problem> {
        ServerTls::with("tls_cert", o)
    }

    /// What is missing is missing because of the option `wanted`.
    fn with(wanted: &str, o: &Options) -> Result<ServerTls, Problem> {
        let [cert, key, client_ca] = ["tls_cert", "tls_key", "tls_client_ca"].map(|name| PemFile::of(o, name));
        let missing = |name| {
            let problem = o.problem(wanted, format!("TLS needs `{name}`"), "there is nothing to encrypt with");
            problem.help(format!("add `{name}`"))
        };
        let cert = cert.ok_or_else(|| missing("tls_cert"))?;
        let key = key.ok_or_else(|| missing("tls_key"))?;
        let files = [&cert, &key].into_iter().chain(&client_ca).cloned().collect();
        Ok(ServerTls { cert, key, client_ca, config: Watched::new(files) })
    }

    /// As the files say; they are read the first time, and again when they have changed. `now` is by
    /// a steady clock. To be called before the first connection, so that what is wrong is known at once.
    ///
    /// # Errors
    /// When the files are of no use, and never were; names the file and the option.
    pub fn config(&self, now: Duration) -> io::Result<Arc<ServerConfig>> {
        self.config.get(now, || self.read())
    }

    /// The stream over a connection that was accepted, whose socket does not block. The handshake is still to come.
    ///
    /// # Errors
    /// Those of [`ServerTls::config`].
    pub fn accept(&self, socket: TcpStream, now: Duration) -> io::Result<Stream> {
        let connection = ServerConnection::new(self.config(now)?).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(Tls::new(socket, connection.into(), "tls_client_ca"))))
    }

    fn read(&self) -> io::Result<ServerConfig> {
        let provider = Arc::new(default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(file.authorities()?), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|e| file.wrong(io::ErrorKind::InvalidData, e))?)
            }
        };
        let config = builder.with_single_cert(self.cert.certificates()?, self.key.key()?);
        let mut config = config.map_err(|e| self.key.wrong(io::ErrorKind::InvalidData, format_args!("does not fit `tls_cert`: {e}")))?;
        if self.client_ca.is_some() {
            // A session that goes on would go on with a certificate that may have expired.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}

/// # Errors
/// When one of the options is given though there is no `tls`: who gives a certificate means it.
pub(crate) fn only_with_tls(o: &Options, names: &[&str]) -> Result<(), Problem> {
    match names.iter().find(|name| o.given(name)) {
        None => Ok(()),
        Some(name) => Err(o.problem(name, format!("`{name}` without `tls`"), "nothing would be encrypted").help("add `tls = true`")),
    }
}
