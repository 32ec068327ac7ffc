use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// No longer header is read. The protocol allows one of 64 KiB, which nobody sends: it is the address
/// and some notes on the connection, of which a client's certificate is the largest.
pub const LONGEST_PROXY_HEADER: usize = 16 << 10;

/// The longest header of version 1, with its line end.
const LONGEST_LINE: usize = 107;

/// How a header of version 2 begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a header of version 2 before its addresses.
const FIXED: usize = 16;

/// What a proxy says of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proxied {
    /// Bytes of the header; the peer's own begin behind it.
    pub length: usize,
    /// Whom the proxy speaks for; `None`: for itself (it looks whether we are there), or for someone
    /// without an address.
    pub source: Option<SocketAddr>,
}

/// The header of the PROXY protocol, version 1 or 2, with which a connection begins: `None` as long as
/// there is not all of it. All that there is is part of the header then.
///
/// Source: "The PROXY protocol, versions 1 & 2", W. Tarreau, HAProxy, section 2.
///
/// # Errors
/// What was found instead.
pub fn proxy_header(bytes: &[u8]) -> Result<Option<Proxied>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if starts(bytes, &SIGNATURE) {
        return if bytes.len() < FIXED { Ok(None) } else { binary(bytes) };
    }
    if starts(bytes, b"PROXY ") {
        return line(bytes);
    }
    let found = bytes[..bytes.len().min(SIGNATURE.len())].escape_ascii();
    Err(format!("expected a header of the PROXY protocol, found \"{found}\""))
}

/// Whether one is the beginning of the other.
fn starts(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(a, b)| a == b)
}

/// Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`.
fn line(bytes: &[u8]) -> Result<Option<Proxied>, String> {
    let limit = bytes.len().min(LONGEST_LINE);
    let Some(end) = bytes[..limit].iter().position(|b| *b == b'\n') else {
        return if limit < LONGEST_LINE { Ok(None) } else { Err(format!("a PROXY line has no end within {LONGEST_LINE} bytes")) };
    };
    let wrong =
        || format!("expected a line such as `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`, found \"{}\"", bytes[..end].escape_ascii());
    let text = bytes[..end].strip_suffix(b"\r").and_then(|l| std::str::from_utf8(l).ok()).ok_or_else(wrong)?;
    let mut words = text.split(' ').skip(1);
    let family = words.next().ok_or_else(wrong)?;
    let length = end + 1;
    if family == "UNKNOWN" {
        return Ok(Some(Proxied { length, source: None }));
    }
    let words: Vec<&str> = words.collect();
    let &[source, destination, from, to] = &words[..] else { return Err(wrong()) };
    let ip = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| wrong()),
        "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| wrong()),
        _ => Err(wrong()),
    };
    let port = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    let source = SocketAddr::new(ip(source)?, port(from)?);
    ip(destination)?;
    port(to)?;
    Ok(Some(Proxied { length, source: Some(source) }))
}

/// Version 2: signature, version and command, family, length of the rest (big endian); addresses, notes.
fn binary(bytes: &[u8]) -> Result<Option<Proxied>, String> {
    let (version, command) = (bytes[12] >> 4, bytes[12] & 0xf);
    if version != 2 || command > 1 {
        return Err(format!("expected version 2 of the PROXY protocol and command 0 or 1, found {version} and {command}"));
    }
    let length = FIXED + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if length > LONGEST_PROXY_HEADER {
        return Err(format!("a PROXY header of {length} bytes, expected at most {LONGEST_PROXY_HEADER}"));
    }
    let Some(rest) = bytes.get(FIXED..length) else { return Ok(None) };
    // Family in the upper half, protocol in the lower: 1 is TCP, 2 is UDP; all of them have these addresses.
    let source = match (command, bytes[13] >> 4) {
        (0, _) | (_, 0 | 3) => None,
        (_, 1) => Some(addresses::<4>(rest)?),
        (_, 2) => Some(addresses::<16>(rest)?),
        (_, family) => return Err(format!("expected an address family of 0 to 3 in a PROXY header, found {family}")),
    };
    Ok(Some(Proxied { length, source }))
}

/// The first of two addresses of `N` bytes each, behind which are two ports.
fn addresses<const N: usize>(rest: &[u8]) -> Result<SocketAddr, String>
where
    IpAddr: From<[u8; N]>,
{
    let short = || format!("expected {} bytes of addresses in a PROXY header, found {}", 2 * N + 4, rest.len());
    let rest = rest.get(..2 * N + 4).ok_or_else(short)?;
    let ip: [u8; N] = rest[..N].try_into().map_err(|_| short())?;
    Ok(SocketAddr::new(IpAddr::from(ip), u16::from_be_bytes([rest[2 * N], rest[2 * N + 1]])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of version 2.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[0x20 | command, family], &(rest.len() as u16).to_be_bytes(), rest].concat()
    }

    fn rest(source: SocketAddr, notes: &[u8]) -> Vec<u8> {
        let ip = match source.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        [&ip[..], &vec![9; ip.len()], &source.port().to_be_bytes(), &[0, 9], notes].concat()
    }

    fn address() -> impl Strategy<Value = SocketAddr> {
        let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
        (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
    }

    /// Every header with what it says.
    fn valid() -> impl Strategy<Value = (Vec<u8>, Option<SocketAddr>)> {
        let line = address().prop_map(|a| {
            let (family, other) = if a.is_ipv4() { ("TCP4", "198.51.100.1") } else { ("TCP6", "2001:db8::1") };
            (format!("PROXY {family} {} {other} {} 443\r\n", a.ip(), a.port()).into_bytes(), Some(a))
        });
        let unknown = Just((b"PROXY UNKNOWN ffff::1 and whatever\r\n".to_vec(), None));
        let notes = || prop::collection::vec(any::<u8>(), 0..100);
        let binary =
            (address(), notes()).prop_map(|(a, notes)| (header(1, if a.is_ipv4() { 0x11 } else { 0x21 }, &rest(a, &notes)), Some(a)));
        let local = (address(), notes()).prop_map(|(a, notes)| (header(0, 0x11, &rest(a, &notes)), None));
        let unix = notes().prop_map(|notes| (header(1, 0x31, &notes), None));
        prop_oneof![line, unknown, binary, local, unix]
    }

    proptest! {
        #[test]
        fn what_a_proxy_says_is_understood_when_all_of_it_is_there((header, source) in valid(), behind in prop::collection::vec(any::<u8>(), 0..50)) {
            let length = header.len();
            for part in 0..length {
                prop_assert_eq!(proxy_header(&header[..part]), Ok(None));
            }
            prop_assert_eq!(proxy_header(&[header, behind].concat()), Ok(Some(Proxied { length, source })));
        }

        #[test]
        fn whatever_comes_is_bounded(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..3usize) {
            let begin = [&b""[..], b"PROXY ", &SIGNATURE][kind];
            bytes.splice(0..0, begin.iter().copied());
            match proxy_header(&bytes) {
                Ok(Some(proxied)) => prop_assert!(proxied.length <= bytes.len()),
                Ok(None) => prop_assert!(bytes.len() < LONGEST_PROXY_HEADER),
                Err(why) => prop_assert!(why.len() < 1000),
            }
        }
    }

    #[test]
    fn what_is_no_header_is_said() {
        let long = header(1, 0x11, &vec![0; LONGEST_PROXY_HEADER]);
        for (bytes, why) in [
            (&b"GET / HTTP/1.1"[..], "found \"GET / HTTP/1"),
            (b"PROXY TCP4 1.2.3.4\r\n", "expected a line such as"),
            (b"PROXY TCP4 ::1 ::2 1 2\r\n", "expected a line such as"),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n", "expected a line such as"),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "expected a line such as"),
            (&[b'P', b'R', b'O', b'X', b'Y', b' '].into_iter().chain([b'x'; 200]).collect::<Vec<_>>(), "no end within 107 bytes"),
            (&header(2, 0x11, &[0; 12]), "found 2 and 2"),
            (&header(1, 0x11, &[0; 11]), "expected 12 bytes of addresses in a PROXY header, found 11"),
            (&header(1, 0x21, &[0; 12]), "expected 36 bytes"),
            (&header(1, 0x41, &[0; 12]), "found 4"),
            (&long, "expected at most 16384"),
        ] {
            let found = proxy_header(bytes).unwrap_err();
            assert!(found.contains(why), "{found}");
        }
    }
}
