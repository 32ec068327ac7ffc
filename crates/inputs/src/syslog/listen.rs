use std::fmt;
use std::io;
use std::path::PathBuf;

use options::{Options, Problem};
use plugin::Fatal;

/// An address to receive syslog at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Listen {
    Udp(String),
    Tcp(String),
    Tls(String),
    /// A socket for streams in the file system.
    Unix(PathBuf),
    /// One for datagrams.
    Unixgram(PathBuf),
}

impl Listen {
    /// The option `listen`.
    ///
    /// # Errors
    /// When there is none, or one is no address.
    pub fn all(o: &Options) -> Result<Vec<Listen>, Problem> {
        let listen = o.strings("listen");
        if listen.is_empty() {
            return Err(o.problem("listen", "`listen` is empty", "expected an address such as \"udp://127.0.0.1:5514\""));
        }
        let parse = |text: &String| {
            Listen::parse(text).ok_or_else(|| {
                let label = format!(
                    "found `{text}`, expected `udp://host:port`, `tcp://host:port`, `tls://host:port`, `unix:///path` or `unixgram:///path`"
                );
                o.problem("listen", "`listen` has an address that is none", label)
            })
        };
        listen.iter().map(parse).collect()
    }

    fn parse(text: &str) -> Option<Listen> {
        let (scheme, rest) = text.split_once("://")?;
        let address = || {
            let (host, port) = rest.rsplit_once(':')?;
            (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| rest.to_string())
        };
        let path = || rest.starts_with('/').then(|| PathBuf::from(rest));
        match scheme {
            "udp" => address().map(Listen::Udp),
            "tcp" => address().map(Listen::Tcp),
            "tls" => address().map(Listen::Tls),
            "unix" => path().map(Listen::Unix),
            "unixgram" => path().map(Listen::Unixgram),
            _ => None,
        }
    }

    /// Host and port; nothing for a socket in the file system.
    pub fn address(&self) -> &str {
        match self {
            Listen::Udp(address) | Listen::Tcp(address) | Listen::Tls(address) => address,
            Listen::Unix(_) | Listen::Unixgram(_) => "",
        }
    }

    /// It cannot be listened at.
    pub fn failed(&self, e: &io::Error) -> Fatal {
        Fatal::new(format!("cannot listen at {self}: {e} (option `listen`)"))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Udp(address) => write!(f, "udp://{address}"),
            Listen::Tcp(address) => write!(f, "tcp://{address}"),
            Listen::Tls(address) => write!(f, "tls://{address}"),
            Listen::Unix(path) => write!(f, "unix://{}", path.display()),
            Listen::Unixgram(path) => write!(f, "unixgram://{}", path.display()),
        }
    }
}
