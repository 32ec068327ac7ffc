use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plugin::Clock;

use crate::health::{Health, Subject};
use crate::route::Port;
use crate::supervise::announce;

/// Notices who has been in the middle of something for too long, and says so: once when it is long, once
/// when it is too long, and once when it is over. It ends nothing by itself.
pub struct Watchdog {
    health: Arc<Health>,
    port: Port,
    noticed: BTreeMap<(Arc<str>, Duration), Noticed>,
}

struct Noticed {
    what: String,
    stuck: bool,
}

/// Looks are no further apart.
const LONGEST: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(10);

impl Watchdog {
    pub fn new(health: Arc<Health>) -> Watchdog {
        Watchdog { port: health.port(), health, noticed: BTreeMap::new() }
    }

    /// How long to wait before the next look.
    pub fn pause(&self) -> Duration {
        (self.health.stuck_after() / 4).clamp(SHORTEST, LONGEST)
    }

    /// Looks at everything once.
    pub fn look(&mut self) {
        let now = Clock::real().steady();
        let subjects = self.health.subjects(now);
        self.compare(subjects, now);
    }

    fn compare(&mut self, subjects: Vec<Subject>, now: Duration) {
        let mut before = std::mem::take(&mut self.noticed);
        for subject in subjects {
            let (time, key) = (now.saturating_sub(subject.since), (subject.id.clone(), subject.since));
            let known = before.remove(&key);
            if known.is_none() && time < subject.notice {
                continue;
            }
            let stuck = subject.limit.is_some_and(|limit| time >= limit);
            if stuck && !known.as_ref().is_some_and(|k| k.stuck) {
                self.bark(&subject, time);
            } else if known.is_none() {
                log::warn!(target: &subject.id, "{}", sentence(&subject, time));
            }
            self.noticed.insert(key, Noticed { what: subject.what, stuck });
        }
        for ((id, since), noticed) in before {
            log::info!(target: &id, "no longer {}: it took {} s", noticed.what, now.saturating_sub(since).as_secs());
        }
    }

    /// It should have come back long ago.
    fn bark(&mut self, subject: &Subject, time: Duration) {
        let why = format!("stuck {}", sentence(subject, time));
        log::error!(target: &subject.id, "{why}");
        subject.standing.iter().for_each(|s| s.meter.add_extra("stuck", 1));
        announce(&mut self.port, "nilometer.stuck", &subject.id, &why, &self.health.hostname());
    }
}

/// `writing for 40 s; 12 messages (3 KiB) in its queue`.
fn sentence(subject: &Subject, time: Duration) -> String {
    let queued = if subject.queued.is_empty() { String::new() } else { format!("; {}", subject.queued) };
    format!("{} for {} s{queued}", subject.what, time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Router;
    use crate::status::Standing;

    fn subject(since: u64, limit: Option<u64>, standing: &Standing) -> Vec<Subject> {
        vec![Subject {
            id: Arc::from("output.relay"),
            standing: Some(standing.clone()),
            what: "writing".to_string(),
            since: Duration::from_secs(since),
            notice: Duration::from_secs(5),
            limit: limit.map(Duration::from_secs),
            queued: "12 messages (3 KiB) in its queue".to_string(),
        }]
    }

    #[test]
    fn each_stage_is_told_once() {
        let (s, standing) = (Duration::from_secs, Standing::default());
        let mut dog = Watchdog::new(Arc::new(Health::new(&[], Arc::new(Router::new(None)), Duration::from_secs(30))));
        let state = |dog: &Watchdog| dog.noticed.values().map(|n| n.stuck).collect::<Vec<_>>();
        let barks = || standing.meter.read().iter().find(|(name, _)| *name == "stuck").map_or(0, |(_, n)| *n);
        dog.compare(subject(100, Some(30), &standing), s(104));
        assert!(state(&dog).is_empty());
        dog.compare(subject(100, Some(30), &standing), s(105));
        assert_eq!((state(&dog), barks()), (vec![false], 0));
        for now in [130, 131, 140] {
            dog.compare(subject(100, Some(30), &standing), s(now));
            assert_eq!((state(&dog), barks()), (vec![true], 1));
        }
        // It came back, and is at the next call, which is young.
        dog.compare(subject(141, Some(30), &standing), s(141));
        assert!(state(&dog).is_empty());
        // Who only waits is never stuck.
        dog.compare(subject(141, None, &standing), s(1000));
        assert_eq!((state(&dog), barks()), (vec![false], 1));
    }

    #[test]
    fn it_is_said_what_and_for_how_long() {
        let all = subject(100, None, &Standing::default());
        assert_eq!(sentence(&all[0], Duration::from_secs(40)), "writing for 40 s; 12 messages (3 KiB) in its queue");
    }
}
