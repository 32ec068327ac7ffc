//! The formats in which container runtimes write what containers say.

pub(crate) mod cri;
pub(crate) mod docker;
pub(crate) mod join;

/// Where a container wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Stdout,
    Stderr,
}

impl Source {
    pub fn named(name: &[u8]) -> Option<Source> {
        match name {
            b"stdout" => Some(Source::Stdout),
            b"stderr" => Some(Source::Stderr),
            _ => None,
        }
    }

    pub fn name(self) -> &'static [u8] {
        match self {
            Source::Stdout => b"stdout",
            Source::Stderr => b"stderr",
        }
    }
}
