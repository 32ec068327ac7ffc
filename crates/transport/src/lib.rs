//! What inputs and outputs share of the network: streams that may be encrypted, the options that say
//! how, and the header with which a proxy tells whom it speaks for.
//!
//! TLS is rustls with the algorithms of ring, in versions 1.2 and 1.3. Nothing here waits or has a
//! thread: a [`Stream`] belongs to a non-blocking socket, and whoever owns it asks [`Stream::awaits`]
//! what to poll for. Until [`Stream::handshake`] is done, that is all there is to do with it.
//!
//! Certificates are files that others replace while we run. They are looked at when a connection
//! begins, at most once a second; what has changed is read, and when that is of no use, the log says
//! so and what was read before stays ([`ServerTls`], [`ClientTls`]).
//!
//! ```
//! let bytes = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nfirst line\n";
//! let proxied = transport::proxy_header(bytes).unwrap().expect("the whole header is there");
//! assert_eq!((proxied.source.unwrap().to_string(), &bytes[proxied.length..]), ("192.0.2.1:56324".to_string(), &b"first line\n"[..]));
//! ```

mod client;
mod error;
mod files;
mod proxy;
mod server;
mod stream;
mod tls;
mod watched;

use std::time::Duration;

use options::Opt;

pub use self::client::ClientTls;
pub use self::proxy::{LONGEST_PROXY_HEADER, Proxied, proxy_header};
pub use self::server::ServerTls;
pub use self::stream::Stream;
pub use self::tls::Tls;

/// How long a peer may take to say who it is: with a proxy's header and a handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// Options of what accepts connections, for [`ServerTls::new`].
pub const SERVER_OPTIONS: &[Opt] = &[
    Opt::bool("tls").default("false").doc("Connections are encrypted with TLS 1.2 or 1.3; `tls_cert` and `tls_key` say with which certificate."),
    Opt::path("tls_cert")
        .sample("\"/etc/nilometer/server.pem\"")
        .doc("PEM file with the certificate that peers are shown, and behind it those between it and its authority. It is read again when it changes."),
    Opt::path("tls_key").sample("\"/etc/nilometer/server.key\"").doc("PEM file with the private key of `tls_cert`."),
    Opt::path("tls_client_ca")
        .sample("\"/etc/nilometer/clients.pem\"")
        .doc("PEM file with authorities. When given, peers have to show a certificate that one of them signed; others are refused."),
];

/// The same but `tls`, for [`ServerTls::of_files`].
pub const SERVER_FILES: &[Opt] = SERVER_OPTIONS.split_at(1).1;

/// Options of what connects, for [`ClientTls::new`].
pub const CLIENT_OPTIONS: &[Opt] = &[
    Opt::bool("tls").default("false").doc("The connection is encrypted with TLS 1.2 or 1.3, and the peer's certificate checked."),
    Opt::path("tls_ca")
        .sample("\"/etc/nilometer/ca.pem\"")
        .doc("PEM file with the authorities that may have signed the peer's certificate, instead of those this system trusts."),
    Opt::path("tls_cert")
        .sample("\"/etc/nilometer/client.pem\"")
        .doc("PEM file with the certificate to show when the peer asks for one. It is read again when it changes."),
    Opt::path("tls_key").sample("\"/etc/nilometer/client.key\"").doc("PEM file with the private key of `tls_cert`."),
    Opt::string("tls_server_name")
        .sample("\"logs.example.com\"")
        .doc("Name that the peer's certificate has to be for. By default the host connected to."),
];

/// One list of options out of several, for a kind that has some of its own and some from here.
///
/// # Panics
/// While compiled, when `N` is not the number of all options.
pub const fn joined<const N: usize>(lists: &[&[Opt]]) -> [Opt; N] {
    let mut all = [lists[0][0]; N];
    let (mut list, mut n) = (0, 0);
    while list < lists.len() {
        let mut i = 0;
        while i < lists[list].len() {
            all[n] = lists[list][i];
            (i, n) = (i + 1, n + 1);
        }
        list += 1;
    }
    assert!(n == N, "N is the number of all options");
    all
}
