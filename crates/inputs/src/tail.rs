//! Follows files as they grow, are renamed, truncated and replaced.
//!
//! A file is told by device, inode and its first bytes, not by its name. A file that was renamed
//! or deleted is read to its end before it is let go; one that was truncated is read from its
//! start; and where the program was stopped meanwhile, it looks for the rotated file beside the
//! name it knew and finishes that first.
//!
//! Each file is a stream. Its key is `device:inode` (with a number behind it in the rare case that
//! the key is still in use), its identity the length and hash of its first bytes and its path.
//!
//! What no reader of files can give: what was written and truncated away before it was read is
//! lost (counted as `abandoned_bytes`); so is a file that was created and deleted, or created and
//! rotated while the program was not running, before it was ever seen. A truncated file that begins
//! with the same bytes as before and has grown beyond the old position is taken for the old one.

mod arrange;
mod begin;
mod descriptors;
mod discover;
mod file;
mod follow;
mod identity;
mod inflate;
mod known;
mod look;
mod naming;
mod pipe;
mod remembered;
pub mod survey;
mod transcode;
mod watch;

use std::path::Path;
use std::time::Duration;

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability};

use discover::Patterns;
use follow::Follower;
use naming::Naming;
use transcode::Encoding;

pub const KIND: Kind = Kind::input("tail", Stability::Stable, build)
    .summary("Follows files that others append to.")
    .doc(
        "Reads files from where it left off, and goes on as they grow. Files may be renamed, truncated, deleted, compressed \
         and replaced while it reads and while it is stopped: every line is read once.\n\n\
         Rotation by rename is safe under any load. Rotation by copy and truncation (`copytruncate`) loses what is \
         written between the two; keep the copies out of `paths`, as they are files of their own. Where files are \
         rotated several times while this is stopped, let `paths` match the rotated names too (`access.log*`): a file is known \
         under any name and not read twice.\n\n\
         Files that differ only in a number or date at the end of the name (`access.log`, `access.log.1`, `access.log-20261123.gz`) are \
         read one after the other, the one that was written first first. Where names tell it better, or files of other names belong \
         together, `groups` takes their names apart: `differentiator` makes the Logger, which also tells streams from one another, and `priority` \
         puts the files of a stream in order. `nilo streams` shows what comes of it.\n\n\
         Files packed by gzip or Zstandard are unpacked, once. One that begins like a file beside it that was read (its first 1 KiB) is \
         taken for a copy of that: only what is missing is read. Files of other formats (`.bz2`, `.xz`, `.lz4`, `.Z`, `.zip`) \
         are left out. Only regular files are followed; for pipes use `stdin`.",
    )
    .options(&[
        Opt::paths("paths").required().sample("[\"/var/log/nginx/*.log\"]").doc(
            "The files. `*`, `?` and `[a-z]` match within a name, but not its leading dot; `**` matches any number of directories.",
        ),
        Opt::strings("exclude").doc("Patterns of files to leave out: of names, or of whole paths when they contain a slash."),
        Opt::regex("groups").sample(r"'/(?<site>[^/]+)/access\.log(\.(?<day>\w+))?(\.(?<n>\d+))?(\.gz)?$'").doc(
            "Held against each path; its named groups are what `differentiator` and `priority` speak of. Files it does not match are left out.",
        ),
        Opt::string("differentiator").sample("\"nginx.{site}\"").doc(
            "Text with groups in braces: the Logger of the messages. Files for which it comes out the same are one stream. \
             Default: the path is the Logger, and files are one stream whose groups are the same but for those in `priority`.",
        ),
        Opt::strings("priority").sample("[\"day\", \"n descending\"]").doc(
            "Groups by which the files of a stream are put in order, the oldest first; with `descending` where a higher number is older. \
             Numbers and the English names of months are understood, other text goes by the alphabet, and where a group matches nothing the file is the newest.",
        ),
        Opt::tree("translation").sample("{ day = { Mon = 1, Tue = 2 } }").doc(
            "Numbers for what a group in `priority` may match; `missing` is for a group that matches nothing.",
        ),
        Opt::choice("encoding", Encoding::NAMES).default("utf-8").doc(
            "Of the text, which is made UTF-8. `utf-16` goes by the byte order mark, and is little-endian without one. What is not valid becomes U+FFFD; \
             with `utf-8` all bytes are taken as they are.",
        ),
        Opt::choice("from", &["start", "end"]).default("start").doc(
            "Where to begin with files that are there at the first start and have never been read. Files that appear later are read from their start.",
        ),
        Opt::bool("once").default("false").doc("Read all files to their end, the incomplete last line included, and finish."),
        Opt::duration("poll").default("1s").doc(
            "How often to look at all files, at least 10ms. Changes are noticed at once without that where the system can watch files; network file systems cannot.",
        ),
        Opt::duration("rotate_wait").default("5s").doc("How long a renamed or deleted file must be quiet before it is let go."),
        Opt::integer("max_open").default("8192").doc(
            "Files kept open, at most half of what the system grants (`ulimit -n`). Beyond that, those that have been quiet longest are closed until they \
             grow; renamed and deleted ones stay open until they are read. What is written to a closed file that is deleted at once is lost, unless a packed copy of it is there.",
        ),
        Opt::size("max_unpacked").default("64GiB").doc("Of a packed file no more is read than this, unpacked."),
    ])
    .examples(&[
        Example { title: "All logs of nginx, with those rotated while stopped", toml: "paths = \"/var/log/nginx/*.log*\"" },
        Example {
            title: "A stream for each site, its rotated files in order",
            toml: "paths = \"/var/log/sites/*/access.log*\"\n\
                   groups = '/(?<site>[^/]+)/access\\.log(\\.(?<n>\\d+))?(\\.gz)?$'\n\
                   differentiator = \"nginx.{site}\"\npriority = \"n descending\"",
        },
        Example {
            title: "Files named by date, with words for months and parts of the day",
            toml: "paths = \"/srv/app/logs/*\"\n\
                   groups = '/(?<app>\\w+)-(?<year>\\d+)-(?<month>[A-Z][a-z]+)-(?<part>\\w+)\\.log$'\n\
                   differentiator = \"{app}\"\npriority = [\"year\", \"month\", \"part\"]\n\
                   translation.part = { night = 1, morning = 2, afternoon = 3, evening = 4 }",
        },
        Example {
            title: "New lines only, except some",
            toml: "paths = [\"/var/log/**/*.log\"]\nexclude = [\"debug*\", \"/var/log/private/*\"]\nfrom = \"end\"",
        },
        Example { title: "What a Windows server writes", toml: "paths = \"/mnt/server/logs/*.log\"\nencoding = \"utf-16\"" },
        Example { title: "A file, once", toml: "paths = \"access.log\"\nonce = true" },
    ]);

/// The options, as the parts need them.
#[derive(Debug)]
struct Setup {
    patterns: Patterns,
    naming: Naming,
    encoding: Encoding,
    from_end: bool,
    once: bool,
    poll: Duration,
    rotate_wait: Duration,
    /// Descriptors kept while nothing happens to the files.
    max_open: usize,
    /// Bytes that may be unpacked of one file.
    max_unpacked: u64,
}

struct Tail {
    setup: Setup,
    /// Whether it ran before: files without a position are then new, and read from their start.
    ran: bool,
}

/// Looking more often than that is a busy loop.
const MIN_POLL: Duration = Duration::from_millis(10);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Input>, Problem> {
    Ok(Box::new(Tail { setup: Setup::new(o)?, ran: false }))
}

impl Setup {
    fn new(o: &Options) -> Result<Setup, Problem> {
        let bad_path = |why: String| o.problem("paths", "`paths` cannot be used", why);
        let absolute = |path: &Path| std::path::absolute(path).map_err(|e| bad_path(format!("{}: {e}", path.display())));
        let paths = o.paths("paths").iter().map(|p| absolute(p)).collect::<Result<Vec<_>, _>>()?;
        let dir = absolute(&o.location("exclude").source.path().parent().unwrap_or(Path::new("")).join("."))?;
        let patterns = Patterns::new(&paths, o.strings("exclude"), &dir)
            .map_err(|bad| o.problem(bad.option, format!("`{}` is not a valid pattern", bad.option), bad.why))?;
        let max_open = usize::try_from(o.integer("max_open")).ok().filter(|n| *n > 0);
        Ok(Setup {
            patterns,
            naming: Naming::new(o)?,
            encoding: Encoding::named(o.str("encoding")),
            from_end: o.str("from") == "end",
            once: o.bool("once"),
            poll: o.duration("poll").max(MIN_POLL),
            rotate_wait: o.duration("rotate_wait"),
            max_open: max_open.ok_or_else(|| o.problem("max_open", "`max_open` is out of range", "expected 1 or more"))?,
            max_unpacked: o.get_size("max_unpacked").unwrap_or(u64::MAX),
        })
    }
}

impl Input for Tail {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let from_end = self.setup.from_end && !std::mem::replace(&mut self.ran, true);
        let follower = Follower::new(&self.setup, cx);
        if self.setup.once {
            follower.once(from_end)
        } else {
            follower.follow(from_end)
        }
        Ok(())
    }

    fn can_wait(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
