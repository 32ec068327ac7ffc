use std::collections::BTreeMap;

use codecs::time::write_rfc3339;

use super::letter::{Letter, Original};
use super::{Each, Taken};
use crate::status::table;
use crate::terminal::printable;
use crate::{Failure, print};

/// Counts dead letters by plugin and reason.
#[derive(Default)]
pub struct Groups(BTreeMap<(String, String), Group>);

#[derive(Default)]
struct Group {
    messages: u64,
    records: u64,
    /// Of which the original is not there whole.
    cut: u64,
    oldest: Option<i64>,
    newest: Option<i64>,
}

/// Reasons told apart; some hold what was refused, and are all different.
const MOST: usize = 10_000;

impl Each for Groups {
    fn letter(&mut self, letter: &Letter<'_>) -> Result<Taken, Failure> {
        let mut key = (letter.plugin.clone(), letter.reason.clone());
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            key.1 = "(other reasons)".to_string();
        }
        let group = self.0.entry(key).or_default();
        match letter.original {
            Original::Message(_) => group.messages += 1,
            Original::Record(_) => group.records += 1,
            Original::Not(_) => group.cut += 1,
        }
        group.oldest = Some(group.oldest.map_or(letter.time, |t| t.min(letter.time)));
        group.newest = Some(group.newest.map_or(letter.time, |t| t.max(letter.time)));
        Ok(Taken::Done)
    }

    fn end(&mut self) -> Result<(), Failure> {
        let mut groups: Vec<_> = std::mem::take(&mut self.0).into_iter().collect();
        groups.sort_by_key(|(_, g)| std::cmp::Reverse(g.messages + g.records + g.cut));
        let mut rows = vec![["plugin", "messages", "records", "cut", "oldest", "newest", "reason"].map(String::from).to_vec()];
        for ((plugin, reason), g) in groups {
            let mut row = vec![printable(&plugin)];
            row.extend([g.messages, g.records, g.cut].map(|n| n.to_string()));
            row.extend([show_time(g.oldest), show_time(g.newest), printable(&reason)]);
            rows.push(row);
        }
        print(&table(&rows, &[1, 2, 3]))
    }
}

fn show_time(ns: Option<i64>) -> String {
    let mut text = Vec::new();
    write_rfc3339(ns.unwrap_or_default(), 0, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
