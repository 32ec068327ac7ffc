use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use plugin::{Clock, Event};
use rustix::event::PollFlags;

use crate::patience::Patience;

/// The addresses behind `host:port`. A name is looked up by the system, on a thread of its own, because that can neither be
/// hurried nor ended; whoever waits for it does so with their own patience.
///
/// # Errors
/// When there are none, and when the patience is over: the lookup goes on, and the next call waits for the same.
pub fn resolve(address: &str, patience: &mut Patience<'_>) -> io::Result<Vec<SocketAddr>> {
    match address.parse() {
        Ok(literal) => Ok(vec![literal]),
        Err(_) => UNDER_WAY.get_or_init(Lookups::default).resolve(address, patience, |address| Ok(address.to_socket_addrs()?.collect())),
    }
}

static UNDER_WAY: std::sync::OnceLock<Lookups> = std::sync::OnceLock::new();

/// What was found out later than anyone had patience for is believed for so long.
const FRESH: Duration = Duration::from_secs(30);

/// Lookups that nobody has the answer of, by address: an address is looked up by one thread at a time, so that a dead
/// resolver costs a thread for each address, however often and by however many outputs it is asked.
#[derive(Default)]
struct Lookups(Mutex<HashMap<String, Arc<Lookup>>>);

#[derive(Default)]
struct Lookup {
    answer: Mutex<Option<Answer>>,
    answered: Event,
}

#[derive(Clone)]
struct Answer {
    addresses: Result<Vec<SocketAddr>, (io::ErrorKind, String)>,
    /// When it came, on the steady clock.
    at: Duration,
}

impl Lookups {
    fn resolve(
        &self,
        address: &str,
        patience: &mut Patience<'_>,
        look_up: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Vec<SocketAddr>> {
        let lookup = self.begun(address, look_up)?;
        patience.wait(lookup.answered.fd(), PollFlags::IN).map_err(|e| io::Error::new(e.kind(), format!("looking up the name: {e}")))?;
        self.forget(address, &lookup);
        let Some(answer) = lookup.answer() else { return Err(io::Error::other("the lookup of the name ended without an answer")) };
        match answer.addresses {
            Ok(addresses) if addresses.is_empty() => Err(io::Error::other("the name has no address")),
            Ok(addresses) => Ok(addresses),
            Err((kind, why)) => Err(io::Error::new(kind, why)),
        }
    }

    /// The lookup under way, or a new one.
    fn begun(&self, address: &str, look_up: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static) -> io::Result<Arc<Lookup>> {
        let mut lookups = lock(&self.0);
        if let Some(lookup) = lookups.get(address).filter(|l| l.answer().is_none_or(|a| now().saturating_sub(a.at) < FRESH)) {
            return Ok(lookup.clone());
        }
        let lookup = Arc::new(Lookup::default());
        let (theirs, name) = (lookup.clone(), address.to_string());
        let body = move || {
            // However it ends, those who wait are told.
            let told = Told(theirs);
            let addresses = look_up(&name).map_err(|e| (e.kind(), e.to_string()));
            *lock(&told.0.answer) = Some(Answer { addresses, at: now() });
        };
        thread::Builder::new().name("lookup".into()).spawn(body)?;
        lookups.insert(address.to_string(), lookup.clone());
        Ok(lookup)
    }

    fn forget(&self, address: &str, lookup: &Arc<Lookup>) {
        let mut lookups = lock(&self.0);
        if lookups.get(address).is_some_and(|known| Arc::ptr_eq(known, lookup)) {
            lookups.remove(address);
        }
    }
}

impl Lookup {
    fn answer(&self) -> Option<Answer> {
        lock(&self.answer).clone()
    }
}

struct Told(Arc<Lookup>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.answered.set();
    }
}

fn now() -> Duration {
    Clock::real().steady()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin::Stop;
    use std::sync::mpsc::{SyncSender, sync_channel};

    const SOON: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(20);

    fn patiently(
        lookups: &Lookups,
        timeout: Duration,
        look_up: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Vec<SocketAddr>> {
        let (clock, stop) = (Clock::real(), Stop::new());
        lookups.resolve("host:1", &mut Patience::until(&clock, &stop, timeout, None), look_up)
    }

    /// A resolver that answers when it is told to.
    fn dead() -> (SyncSender<()>, impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static) {
        let (go_on, waiting) = sync_channel::<()>(1);
        let look_up = move |_: &str| {
            let _ = waiting.recv();
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], 1))])
        };
        (go_on, look_up)
    }

    #[test]
    fn a_dead_resolver_is_asked_once_and_its_late_answer_is_taken() {
        let (lookups, (go_on, look_up)) = (Lookups::default(), dead());
        let late = patiently(&lookups, SOON, look_up).unwrap_err();
        assert_eq!((late.kind(), late.to_string()), (io::ErrorKind::TimedOut, "looking up the name: nothing moved for 5ms".to_string()));
        let again = |_: &str| -> io::Result<Vec<SocketAddr>> { panic!("asked again") };
        assert_eq!(patiently(&lookups, SOON, again).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(go_on);
        assert_eq!(patiently(&lookups, LONG, again).unwrap(), [SocketAddr::from(([127, 0, 0, 1], 1))]);
        assert!(lock(&lookups.0).is_empty(), "the next one looks up anew");
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let (lookups, (go_on, look_up)) = (Lookups::default(), dead());
        let (clock, stop) = (Clock::real(), Stop::new());
        stop.ask();
        let stopped = lookups.resolve("host:1", &mut Patience::until(&clock, &stop, Duration::from_secs(3600), None), look_up);
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
        drop(go_on);
    }

    #[test]
    fn failures_and_panics_are_told_to_everyone_who_waits() {
        let lookups = Lookups::default();
        let failed = patiently(&lookups, LONG, |_| Err(io::Error::new(io::ErrorKind::NotFound, "no such host"))).unwrap_err();
        assert_eq!((failed.kind(), failed.to_string()), (io::ErrorKind::NotFound, "no such host".to_string()));
        assert!(patiently(&lookups, LONG, |_| Ok(Vec::new())).unwrap_err().to_string().contains("no address"));
        assert!(patiently(&lookups, LONG, |_| panic!("of the resolver")).unwrap_err().to_string().contains("without an answer"));
        assert!(lock(&lookups.0).is_empty());
    }

    #[test]
    fn literal_addresses_need_no_lookup() {
        let (clock, stop) = (Clock::real(), Stop::new());
        stop.ask();
        for literal in ["127.0.0.1:80", "[::1]:80"] {
            assert_eq!(resolve(literal, &mut Patience::until(&clock, &stop, LONG, None)).unwrap(), [literal.parse().unwrap()]);
        }
    }
}
