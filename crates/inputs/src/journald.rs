//! The `journald` input: reads systemd's journal from its files, each entry once.
//!
//! Files are read directly, without systemd's library and programs, so that it works in a container that
//! has the directory only. Every file is followed on its own, and is remembered by how many of its
//! entries were accepted: an entry that comes late, as from another host or after the clock was set back, is read
//! like any other. What several files have is merged by time.

mod entry;
mod file;
mod filter;
mod follow;
mod format;
mod watch;

use std::path::PathBuf;

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability};

use self::filter::Filter;
use self::follow::Followed;

pub const KIND: Kind = Kind::input("journald", Stability::Experimental, |o, cx| Ok(Box::new(Journald::new(o, cx)?)))
    .summary("Reads the systemd journal.")
    .doc(
        "Each entry is a message of Type `journald`: MESSAGE is the Payload, PRIORITY the Severity, _HOSTNAME the Hostname, SYSLOG_IDENTIFIER (or else \
         _COMM) the Logger, _PID (or else SYSLOG_PID) the Pid, and the time at which journald received it, in microseconds, the Timestamp. All other \
         fields of the entry are fields of the message, under their names in lower case without leading underscores: _SYSTEMD_UNIT is \
         `Fields[systemd_unit]`. SYSLOG_FACILITY is `facility`. That, and ids, errno, lines and times are integers, all else is text. Where a name comes twice, \
         the first value is the one that journald vouches for (with an underscore in the journal).\n\n\
         The position in each file is kept, with the cursor of its last entry as `journalctl --after-cursor` takes it: after a restart the input goes on behind \
         the last entry that was accepted, also in files that were rotated meanwhile. Files that are deleted before they were read are lost, so the \
         journal has to be as large as what may wait. Damaged entries are left out and counted as `damaged_entries`.\n\n\
         The user must be in the group `systemd-journal`. Fields that are compressed with XZ, as before systemd 246 only, cannot be read and are counted as `unreadable_fields`.",
    )
    .options(&[
        Opt::path("path").sample("\"/var/log/journal\"").doc(
            "Directory with journal files, or with directories of such named after machines. Not given: `/var/log/journal` and `/run/log/journal`.",
        ),
        Opt::strings("units").sample("[\"nginx\", \"ssh.service\"]").doc(
            "Only entries of these units, and what systemd itself says of them, as with `journalctl --unit`. A name without a dot is one of a service.",
        ),
        Opt::strings("matches").sample("[\"_TRANSPORT=kernel\"]").doc(
            "Only entries with these fields, `FIELD=value` each. Of those with the same field one has to hold, of different fields all, as with `journalctl`.",
        ),
        Opt::duration("since").sample("\"1h\"").doc(
            "At the first start, how old the first entry may be; `0s` is for what comes from now on. Not given: all that the journal has. Later starts go on where the last one was.",
        ),
        Opt::size("max_value").default("1MiB").doc("Longer values, such as core dumps, are left out and counted as `oversized_fields`."),
        Opt::duration("poll").default("1s").doc("How often to look for new entries where the system cannot tell of changes, at least 10ms."),
    ])
    .examples(&[
        Example { title: "Everything this machine logs", toml: "" },
        Example { title: "Errors of two services", toml: "units = [\"nginx\", \"php-fpm\"]\nmatches = [\"PRIORITY=0\", \"PRIORITY=1\", \"PRIORITY=2\", \"PRIORITY=3\"]" },
        Example { title: "Journals of other machines, as systemd-journal-remote writes them", toml: "path = \"/var/log/journal/remote\"\nsince = \"24h\"" },
    ]);

struct Journald {
    roots: Vec<PathBuf>,
    filter: Filter,
    /// Of the first start, in nanoseconds.
    since: Option<i64>,
    max_value: usize,
    poll: std::time::Duration,
}

impl Journald {
    fn new(o: &Options, _: &BuildCx) -> Result<Journald, Problem> {
        let defaults = || ["/var/log/journal", "/run/log/journal"].map(PathBuf::from).to_vec();
        Ok(Journald {
            roots: o.get_path("path").map_or_else(defaults, |path| vec![path.to_path_buf()]),
            filter: Filter::new(o)?,
            since: o.get_duration("since").map(|d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)),
            max_value: o.size("max_value"),
            poll: o.duration("poll").max(std::time::Duration::from_millis(10)),
        })
    }
}

impl Input for Journald {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let mut followed = Followed::new(self, cx);
        while !cx.stop.asked() {
            let more = followed.read(cx);
            cx.intake.poll();
            if !more {
                followed.wait(cx);
            }
        }
        followed.close(cx);
        Ok(())
    }

    fn can_wait(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
