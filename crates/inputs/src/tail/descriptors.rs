//! As many files open at a time as the system lets us have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit is raised to the hard one, but no further than this: some systems have no hard limit to speak of.
const ENOUGH: u64 = 1 << 16;

/// How many of the wanted descriptors may be taken: the other half is for connections, outputs and the rest of the process.
pub fn allowed(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if limit.current.is_some_and(|now| now < raised)
        && let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum })
    {
        log::debug!("tail: the limit of open files stays at {:?}: {e}", limit.current);
    }
    let now = getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH);
    wanted.min(usize::try_from(now / 2).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_is_wanted_and_than_half_of_what_there_is() {
        assert_eq!((allowed(1), allowed(0)), (1, 1));
        let most = allowed(usize::MAX) as u64;
        assert!(getrlimit(Resource::Nofile).current.is_none_or(|now| most <= now / 2 || most == 1), "{most}");
    }
}
