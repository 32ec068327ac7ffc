//! An entry of the journal, and the message it becomes.

use std::sync::Arc;

use memchr::memchr;
use message::{Datum, MessageMut, Messages};

use super::file::Head;
use super::format::{Id, hex};

pub(super) struct Entry {
    pub head: Head,
    /// `NAME=value` each, those that journald vouches for first.
    fields: Vec<(usize, Arc<[u8]>)>,
}

/// Fields that are numbers, without leading underscores.
const NUMBERS: [&[u8]; 14] = [
    b"PID",
    b"UID",
    b"GID",
    b"SYSLOG_PID",
    b"ERRNO",
    b"CODE_LINE",
    b"PRIORITY",
    b"EXIT_STATUS",
    b"AUDIT_SESSION",
    b"AUDIT_LOGINUID",
    b"SOURCE_REALTIME_TIMESTAMP",
    b"SOURCE_MONOTONIC_TIMESTAMP",
    b"SOURCE_BOOTTIME_TIMESTAMP",
    b"LEADER",
];

impl Entry {
    pub fn new(head: Head, fields: Vec<Arc<[u8]>>) -> Entry {
        let mut fields: Vec<_> = fields.into_iter().filter_map(|f| Some((memchr(b'=', &f)?, f))).collect();
        fields.sort_by_key(|(_, field)| !field.starts_with(b"_"));
        Entry { head, fields }
    }

    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, field)| (&field[..*name], &field[name + 1..]))
    }

    /// Whether one of the field's values is this.
    pub fn is(&self, name: &[u8], value: &[u8]) -> bool {
        self.fields().any(|field| field == (name, value))
    }

    /// As `journalctl --show-cursor` has it. `sequence` is what the numbers are counted in.
    pub fn cursor(&self, sequence: &Id) -> String {
        let Head { sequence: number, boot, monotonic, realtime, hash, .. } = &self.head;
        format!("s={};i={number:x};b={};m={monotonic:x};t={realtime:x};x={hash:x}", hex(sequence), hex(boot))
    }

    pub fn make(&self, messages: &mut Messages) {
        let mut m = messages.add();
        m.set_type(b"journald");
        m.set_timestamp(i64::try_from(self.head.realtime).unwrap_or(i64::MAX).saturating_mul(1000));
        let mut headers = Headers::default();
        for (name, value) in self.fields() {
            if !headers.take(name, value, &mut m) {
                add(name, value, &mut m);
            }
        }
        headers.fill(&mut m);
    }
}

/// The headers that are taken so far. Of several values the first is taken.
#[derive(Default)]
struct Headers<'a> {
    payload: bool,
    severity: bool,
    hostname: bool,
    pid: bool,
    logger: bool,
    command: Option<&'a [u8]>,
    syslog_pid: Option<i32>,
}

impl<'a> Headers<'a> {
    /// False when the field is no header, or not only.
    fn take(&mut self, name: &[u8], value: &'a [u8], m: &mut MessageMut<'_>) -> bool {
        match name {
            b"MESSAGE" if !self.payload => {
                m.set_payload(value);
                self.payload = true;
            }
            b"_HOSTNAME" if !self.hostname => {
                m.set_hostname(value);
                self.hostname = true;
            }
            b"SYSLOG_IDENTIFIER" if !self.logger => {
                m.set_logger(value);
                self.logger = true;
            }
            b"PRIORITY" if !self.severity => match number(value).filter(|n| (0..=7).contains(n)) {
                Some(severity) => {
                    m.set_severity(severity as i32);
                    self.severity = true;
                }
                None => return false,
            },
            b"_PID" if !self.pid => match number(value).and_then(|n| i32::try_from(n).ok()) {
                Some(pid) => {
                    m.set_pid(pid);
                    self.pid = true;
                }
                None => return false,
            },
            b"_COMM" => {
                self.command = self.command.or(Some(value));
                return false;
            }
            b"SYSLOG_PID" => {
                self.syslog_pid = self.syslog_pid.or_else(|| number(value).and_then(|n| i32::try_from(n).ok()));
                return false;
            }
            _ => return false,
        }
        true
    }

    fn fill(&self, m: &mut MessageMut<'_>) {
        if let (false, Some(command)) = (self.logger, self.command) {
            m.set_logger(command);
        }
        if let (false, Some(pid)) = (self.pid, self.syslog_pid) {
            m.set_pid(pid);
        }
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn add(name: &[u8], value: &[u8], m: &mut MessageMut<'_>) {
    let own = &name[name.iter().take_while(|b| **b == b'_').count()..];
    let integer = (own == b"SYSLOG_FACILITY" || NUMBERS.contains(&own)).then(|| number(value)).flatten();
    let name = match own {
        b"SYSLOG_FACILITY" => m.messages().store(b"facility"),
        _ => m.messages().store_with(|into| into.extend(own.iter().map(u8::to_ascii_lowercase))),
    };
    let value = integer.map_or_else(|| Datum::String(m.messages().store(value)), Datum::Integer);
    m.add(name, value);
}
