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

mod discover;
mod file;
mod follow;
mod identity;
mod look;
mod watch;

use std::path::Path;
use std::time::Duration;

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability};

use discover::Patterns;
use follow::Follower;

pub const KIND: Kind = Kind::input("tail", Stability::Stable, build)
    .summary("Follows files that others append to.")
    .doc(
        "Reads files from where it left off, and goes on as they grow. Files may be renamed, truncated, deleted \
         and replaced while it reads and while it is stopped: every line is read once.\n\n\
         Rotation by rename is safe under any load. Rotation by copy and truncation (`copytruncate`) loses what is \
         written between the two; keep the copies out of `paths`, as they are files of their own. Where files are \
         rotated several times while this is stopped, let `paths` match the rotated names too (`access.log*`): a file is known \
         under any name and not read twice.\n\n\
         Compressed files (`.gz`, `.bz2`, `.xz`, `.zst`, `.lz4`, `.Z`, `.zip`) are left out. Only regular files are followed; \
         for pipes use `stdin`.",
    )
    .options(&[
        Opt::paths("paths").required().sample("[\"/var/log/nginx/*.log\"]").doc(
            "The files. `*`, `?` and `[a-z]` match within a name, but not its leading dot; `**` matches any number of directories.",
        ),
        Opt::strings("exclude").doc("Patterns of files to leave out: of names, or of whole paths when they contain a slash."),
        Opt::choice("from", &["start", "end"]).default("start").doc(
            "Where to begin with files that are there at the first start and have never been read. Files that appear later are read from their start.",
        ),
        Opt::bool("once").default("false").doc("Read all files to their end, the incomplete last line included, and finish."),
        Opt::duration("poll").default("1s").doc(
            "How often to look at all files, at least 10ms. Changes are noticed at once without that where the system can watch files; network file systems cannot.",
        ),
        Opt::duration("rotate_wait").default("5s").doc("How long a renamed or deleted file must be quiet before it is let go."),
    ])
    .examples(&[
        Example { title: "All logs of nginx, with those rotated while stopped", toml: "paths = \"/var/log/nginx/*.log*\"" },
        Example {
            title: "New lines only, except some",
            toml: "paths = [\"/var/log/**/*.log\"]\nexclude = [\"debug*\", \"/var/log/private/*\"]\nfrom = \"end\"",
        },
        Example { title: "A file, once", toml: "paths = \"access.log\"\nonce = true" },
    ]);

/// The options, as the parts need them.
#[derive(Debug)]
struct Setup {
    patterns: Patterns,
    from_end: bool,
    once: bool,
    poll: Duration,
    rotate_wait: Duration,
}

struct Tail {
    setup: Setup,
    /// Whether it ran before: files without a position are then new, and read from their start.
    ran: bool,
}

/// Looking more often than that is a busy loop.
const MIN_POLL: Duration = Duration::from_millis(10);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Input>, Problem> {
    let bad_path = |why: String| o.problem("paths", "`paths` cannot be used", why);
    let absolute = |path: &Path| std::path::absolute(path).map_err(|e| bad_path(format!("{}: {e}", path.display())));
    let paths = o.paths("paths").iter().map(|p| absolute(p)).collect::<Result<Vec<_>, _>>()?;
    let dir = absolute(&o.location("exclude").source.path().parent().unwrap_or(Path::new("")).join("."))?;
    let patterns = Patterns::new(&paths, o.strings("exclude"), &dir)
        .map_err(|bad| o.problem(bad.option, format!("`{}` is not a valid pattern", bad.option), bad.why))?;
    let setup = Setup {
        patterns,
        from_end: o.str("from") == "end",
        once: o.bool("once"),
        poll: o.duration("poll").max(MIN_POLL),
        rotate_wait: o.duration("rotate_wait"),
    };
    Ok(Box::new(Tail { setup, ran: false }))
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
