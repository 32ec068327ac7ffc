//! Small databases in MaxMind's format (*MaxMind DB File Format Specification*, version 2.0), for tests of what reads them.

use std::net::IpAddr;

/// A value in a database.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    Text(String),
    Double(f64),
    Number(u32),
    List(Vec<Entry>),
    Map(Vec<(String, Entry)>),
}

impl Entry {
    pub fn map<const N: usize>(entries: [(&str, Entry); N]) -> Entry {
        Entry::Map(entries.map(|(key, value)| (key.to_string(), value)).into())
    }

    fn write(&self, into: &mut Vec<u8>) {
        match self {
            Entry::Text(text) => {
                control(2, text.len(), into);
                into.extend_from_slice(text.as_bytes());
            }
            Entry::Double(n) => {
                control(3, 8, into);
                into.extend_from_slice(&n.to_be_bytes());
            }
            Entry::Number(n) => integer(6, u64::from(*n), into),
            Entry::List(entries) => {
                control(11, entries.len(), into);
                entries.iter().for_each(|entry| entry.write(into));
            }
            Entry::Map(entries) => {
                control(7, entries.len(), into);
                for (key, value) in entries {
                    Entry::Text(key.clone()).write(into);
                    value.write(into);
                }
            }
        }
    }
}

/// Type and size of a value. Sizes of up to 284 are enough for tests.
fn control(type_: u8, size: usize, into: &mut Vec<u8>) {
    assert!(size < 285, "a value of {size}");
    let (first, extended) = if type_ < 8 { (type_ << 5, None) } else { (0, Some(type_ - 7)) };
    into.push(first | size.min(29) as u8);
    into.extend(extended);
    if size >= 29 {
        into.push((size - 29) as u8);
    }
}

fn integer(type_: u8, n: u64, into: &mut Vec<u8>) {
    let digits: Vec<u8> = n.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
    control(type_, digits.len(), into);
    into.extend(digits);
}

/// Where one bit of an address leads.
#[derive(Clone, Copy)]
enum Next {
    Nowhere,
    Node(usize),
    /// Offset in the section of data.
    Data(usize),
}

/// Bits to follow for a network such as `192.0.2.0/24`. IPv4 lies in IPv6 at `::/96`.
fn bits(network: &str) -> Vec<usize> {
    let (address, length) = network.split_once('/').expect("a network with a length");
    let (number, length) = match (address.parse().expect("an address"), length.parse::<u32>().expect("a length")) {
        (IpAddr::V4(v4), length) => (u128::from(u32::from(v4)), length + 96),
        (IpAddr::V6(v6), length) => (u128::from(v6), length),
    };
    (0..length).map(|place| (number >> (127 - place) & 1) as usize).collect()
}

/// A database with these networks, none within another.
///
/// # Panics
/// When that is not what they are.
pub fn database(networks: &[(&str, Entry)]) -> Vec<u8> {
    let (mut nodes, mut data) = (vec![[Next::Nowhere; 2]], Vec::new());
    for (network, entry) in networks {
        let (mut at, bits) = (0, bits(network));
        let (last, way) = bits.split_last().expect("a network that is not everything");
        for bit in way {
            at = match nodes[at][*bit] {
                Next::Node(next) => next,
                Next::Nowhere => {
                    nodes.push([Next::Nowhere; 2]);
                    let new = nodes.len() - 1;
                    nodes[at][*bit] = Next::Node(new);
                    new
                }
                Next::Data(_) => panic!("{network} lies within another"),
            };
        }
        nodes[at][*last] = Next::Data(data.len());
        entry.write(&mut data);
    }
    let mut file = Vec::new();
    for next in nodes.iter().flatten() {
        let record = match next {
            Next::Nowhere => nodes.len(),
            Next::Node(node) => *node,
            Next::Data(offset) => nodes.len() + 16 + offset,
        };
        file.extend_from_slice(&(record as u32).to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.extend(data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    metadata(nodes.len(), &mut file);
    file
}

fn metadata(nodes: usize, into: &mut Vec<u8>) {
    let text = |text: &str| Entry::Text(text.to_string());
    control(7, 9, into);
    let numbers = [("binary_format_major_version", 5, 2), ("binary_format_minor_version", 5, 0), ("build_epoch", 9, 1_700_000_000)];
    let more = [("ip_version", 5, 6), ("node_count", 6, nodes as u64), ("record_size", 5, 24)];
    for (key, type_, n) in numbers.into_iter().chain(more) {
        text(key).write(into);
        integer(type_, n, into);
    }
    for (key, entry) in [
        ("database_type", text("Test")),
        ("description", Entry::map([("en", text("A test"))])),
        ("languages", Entry::List(vec![text("en")])),
    ] {
        text(key).write(into);
        entry.write(into);
    }
}
