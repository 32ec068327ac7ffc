//! The `file` output: appends encoded messages to files below one directory.
//!
//! For keeping a stream, for other programs to read, and for archives by host or by day. Not a
//! database: there is no index.
//!
//! * No path leaves `dir`, whatever a message says: see [`template`] and [`beneath`].
//! * A batch is one write per file. When the disk is full, what was written of it is taken back, the
//!   messages are retried, and no half line stays.
//! * A message counts as delivered when the system has it; with `sync_writes`, when the disk has it.
//! * A file renamed or removed by someone else (`logrotate`) is noticed within a second.
//!
//! Messages from the network decide how many files there are when the name contains their values;
//! only the number of open ones is bounded.

mod beneath;
mod files;
mod log;
mod rotation;
mod template;

use std::collections::HashMap;
use std::ops::Range;
use std::slice;
use std::time::Duration;

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, OutBatch, OutCx, Output, Stability};

use files::{Files, Trouble};
use rotation::Rotation;
use template::Template;

pub const KIND: Kind = Kind::output("file", Stability::Stable, build)
    .summary("Appends encoded messages to files below one directory.")
    .doc(
        "Writes to files below `dir` and never outside of it, whatever a message says: values of messages lose every `/` and \
         leading `.` on their way into a name, and the kernel is asked to follow no link out of `dir`. Directories are created. \
         When the disk is full, messages are retried and no half line stays. A file that another program renames or removes is \
         noticed within a second and opened anew.",
    )
    .options(&[
        Opt::path("dir").required().sample("\"/var/log/nilo\"").doc("Directory to write below; it is created when missing."),
        Opt::string("name").default("nilo.log").doc(
            "Path of the file below `dir`. `{Type}` or any other header, `{field}`, and `%Y %m %d %H %M %S` (UTC, from the \
             message's time) are replaced; `%%` is a percent sign.",
        ),
        Opt::size("rotate_size").sample("\"100MiB\"").doc("Start a new file before one grows larger than this."),
        Opt::duration("rotate_every")
            .sample("\"1d\"")
            .doc("Start a new file when this much of UTC has passed, counted from 1970: `1d` is midnight."),
        Opt::integer("keep").default("5").doc("Rotated files that stay, as `name.1` (the latest), `name.2` and so on."),
        Opt::bool("sync_writes")
            .default("false")
            .doc("A message counts as delivered only when it is on disk, not when the system has taken it."),
        Opt::duration("sync").sample("\"1s\"").doc("Force what was written to disk this often. Not needed with `sync_writes`."),
        Opt::string("mode").default("0640").doc("Permissions of new files, in octal; the umask is taken off."),
        Opt::integer("max_open_files").default("64").doc("Files held open; the one not written for longest is closed first."),
    ])
    .examples(&[
        Example { title: "One file, 5 old ones of 100 MiB", toml: "match = 'TRUE'\ndir = \"/var/log/nilo\"\nrotate_size = \"100MiB\"" },
        Example { title: "By type and day", toml: "match = 'TRUE'\ndir = \"/var/log/nilo\"\nname = \"{Type}/%Y%m%d.log\"" },
    ]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Output>, Problem> {
    let template = Template::parse(o.str("name")).map_err(|e| o.problem("name", "`name` is not a valid template", e))?;
    let mode = u32::from_str_radix(o.str("mode"), 8).ok().filter(|mode| *mode <= 0o777);
    let mode = mode.ok_or_else(|| o.problem("mode", "`mode` is not a file mode", "expected octal permissions, such as \"0640\""))?;
    let between = |name: &str, max: i64| match o.integer(name) {
        n if (1..=max).contains(&n) => Ok(n as u32),
        n => Err(o.problem(name, format!("`{name}` is {n}"), format!("expected 1 to {max}"))),
    };
    if o.get_duration("rotate_every").is_some_and(|every| every < Duration::from_secs(1)) {
        return Err(o.problem("rotate_every", "`rotate_every` is too short", "expected at least \"1s\""));
    }
    let rotation = Rotation { size: o.get_size("rotate_size"), every: o.get_duration("rotate_every"), keep: between("keep", 10_000)? };
    let mut files = Files::new(o.path("dir").to_path_buf(), mode, rotation);
    files.durable = o.bool("sync_writes");
    files.sync = o.get_duration("sync");
    files.max_open = between("max_open_files", 100_000)? as usize;
    Ok(Box::new(File { template, files, gathered: Vec::new() }))
}

struct File {
    template: Template,
    files: Files,
    /// Bytes of messages that do not lie side by side in the batch.
    gathered: Vec<u8>,
}

impl Output for File {
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>) {
        self.files.look_after(cx.clock);
        if let Some(path) = self.template.constant() {
            let result = self.files.append(path, batch.bytes(), cx.clock);
            self.tell(path, slice::from_ref(&(0..batch.len())), result, cx);
            return;
        }
        for group in by_path(&self.template, batch) {
            let bytes = match &group.ranges[..] {
                [one] => batch.bytes_of(one.clone()),
                many => {
                    self.gathered.clear();
                    many.iter().for_each(|range| self.gathered.extend_from_slice(batch.bytes_of(range.clone())));
                    &self.gathered
                }
            };
            let result = self.files.append(&group.path, bytes, cx.clock);
            self.tell(&group.path, &group.ranges, result, cx);
        }
    }

    fn every(&self) -> Option<Duration> {
        Some(files::CHECK)
    }

    fn poll(&mut self, cx: &mut OutCx<'_>) {
        self.files.look_after(cx.clock);
    }

    fn close(&mut self, _: &mut OutCx<'_>) {
        self.files.close();
    }
}

impl File {
    /// A path that no file can have is the message's fault when its values made it: retrying would
    /// hold up all others.
    fn tell(&self, path: &str, ranges: &[Range<usize>], result: Result<(), Trouble>, cx: &mut OutCx<'_>) {
        let why = |e| format!("{}: {e}", self.files.dir.join(path).display());
        for range in ranges.iter().cloned() {
            match &result {
                Ok(()) => cx.done(range),
                Err(Trouble::Path(e)) if self.template.takes_values() => range.for_each(|i| cx.reject(i, why(e))),
                Err(Trouble::Path(e) | Trouble::World(e)) => cx.retry(range, None, why(e)),
            }
        }
    }
}

/// The messages of a batch that go to one file, in order.
struct Group {
    path: String,
    ranges: Vec<Range<usize>>,
}

fn by_path(template: &Template, batch: &OutBatch<'_>) -> Vec<Group> {
    let (mut groups, mut index, mut path) = (Vec::<Group>::new(), HashMap::new(), String::new());
    let mut at = 0;
    for (i, item) in batch.iter().enumerate() {
        template.render(item.message, &mut path);
        if groups.get(at).is_none_or(|last| last.path != path) {
            at = *index.entry(path.clone()).or_insert(groups.len());
            if at == groups.len() {
                groups.push(Group { path: path.clone(), ranges: Vec::new() });
            }
        }
        match groups[at].ranges.last_mut() {
            Some(range) if range.end == i => range.end += 1,
            _ => groups[at].ranges.push(i..i + 1),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use message::{Batch, BatchBuilder};
    use plugin::{Clock, Verdict};
    use testkit::deliver::{Delivery, payloads};

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn output(dir: &Path, more: &str) -> Result<Delivery, String> {
        testkit::plugins::output(&KIND, &format!("dir = '{}'\n{more}", dir.display())).map(Delivery::new)
    }

    /// Messages of a type, each with its payload.
    fn typed(messages: &[(&str, &str)]) -> Batch {
        let mut builder = BatchBuilder::default();
        for (type_, payload) in messages {
            let mut m = builder.add();
            m.set_type(type_.as_bytes());
            m.set_payload(payload.as_bytes());
        }
        builder.finish()
    }

    fn done(verdicts: &[Verdict]) -> bool {
        verdicts.iter().all(|v| *v == Verdict::Done)
    }

    fn read(dir: &Path, name: &str) -> String {
        std::fs::read_to_string(dir.join(name)).unwrap_or_else(|e| format!("{name}: {e}"))
    }

    #[test]
    fn batches_are_appended_to_what_was_there() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("new/dir");
        for durable in [false, true] {
            let mut delivery = output(&dir, &format!("mode = '0600'\nsync_writes = {durable}\nsync = '1s'")).unwrap();
            assert!(done(&delivery.write(&payloads(["a", "b"]))) && done(&delivery.write(&payloads(["c"]))));
            delivery.close();
        }
        assert_eq!(read(&dir, "nilo.log"), "a\nb\nc\na\nb\nc\n");
        assert_eq!(std::fs::metadata(dir.join("nilo.log")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn messages_find_their_files_and_keep_their_order() {
        let tmp = tempfile::tempdir().unwrap();
        let mut delivery = output(tmp.path(), "name = '{Type}/x.log'\nmax_open_files = 1").unwrap();
        let batch = typed(&[("a", "1"), ("b", "2"), ("a", "3"), ("a", "4"), ("", "5")]);
        assert!(done(&delivery.write(&batch)));
        assert_eq!(["a/x.log", "b/x.log", "_/x.log"].map(|name| read(tmp.path(), name)), ["1\n3\n4\n", "2\n", "5\n"]);
    }

    #[test]
    fn no_message_reaches_a_file_outside() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("in");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(tmp.path().join("secret"), "untouched").unwrap();
        symlink(tmp.path(), dir.join("out")).unwrap();
        symlink("../secret", dir.join("link")).unwrap();
        let long = "x".repeat(90);
        let secret = tmp.path().join("secret").display().to_string();
        let mut delivery = output(&dir, "name = '{Type}'").unwrap();
        let verdicts =
            delivery.write(&typed(&[("link", "1"), ("../secret", "2"), ("out", "3"), ("out/secret", "4"), (&secret, "5"), (&long, "6")]));
        assert!(matches!((&verdicts[0], &verdicts[2]), (Verdict::Reject(_), Verdict::Reject(_))), "{verdicts:?}");
        assert!([1, 3, 4, 5].iter().all(|&i| verdicts[i] == Verdict::Done), "{verdicts:?}");
        assert_eq!(read(&dir, "_._secret"), "2\n");
        assert_eq!(read(tmp.path(), "secret"), "untouched");
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_path_from_the_configuration_alone_is_retried_for_someone_to_repair() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("in");
        std::fs::write(&dir, "a file where the directory should be").unwrap();
        let mut delivery = output(&dir, "").unwrap();
        let verdicts = delivery.write(&payloads(["a"]));
        assert!(matches!(&verdicts[0], Verdict::Retry { why, .. } if why.contains("in/nilo.log: ")), "{verdicts:?}");

        std::fs::remove_file(&dir).unwrap();
        std::fs::create_dir_all(dir.join("nilo.log")).unwrap();
        assert!(matches!(&delivery.write(&payloads(["a"]))[0], Verdict::Retry { .. }));

        std::fs::remove_dir(dir.join("nilo.log")).unwrap();
        assert!(done(&delivery.write(&payloads(["a"]))));
        assert_eq!(read(&dir, "nilo.log"), "a\n");
    }

    #[test]
    fn files_rotate_by_size_and_by_time() {
        let tmp = tempfile::tempdir().unwrap();
        let clock = Clock::standing(100 * SECOND);
        let mut delivery = output(tmp.path(), "rotate_size = '4B'\nrotate_every = '10s'\nkeep = 2").unwrap().clock(clock.clone());
        for payload in ["a", "b", "c", "much longer", "d"] {
            assert!(done(&delivery.write(&payloads([payload]))));
        }
        let all = |names: [&str; 4]| names.map(|name| std::fs::read_to_string(tmp.path().join(name)).ok());
        let names = ["nilo.log", "nilo.log.1", "nilo.log.2", "nilo.log.3"];
        assert_eq!(all(names), [Some("d\n".into()), Some("much longer\n".into()), Some("c\n".into()), None]);
        clock.set(110 * SECOND);
        delivery.poll();
        assert_eq!(all(names), [None, Some("d\n".into()), Some("much longer\n".into()), None]);
    }

    #[test]
    fn a_file_or_directory_moved_by_someone_else_is_opened_anew() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("logs");
        let clock = Clock::standing(100 * SECOND);
        let mut delivery = output(&dir, "").unwrap().clock(clock.clone());
        assert!(done(&delivery.write(&payloads(["a"]))));
        std::fs::rename(dir.join("nilo.log"), dir.join("nilo.log.old")).unwrap();
        clock.set(101 * SECOND);
        assert!(done(&delivery.write(&payloads(["b"]))));
        assert_eq!([read(&dir, "nilo.log.old"), read(&dir, "nilo.log")], ["a\n", "b\n"]);

        std::fs::rename(&dir, tmp.path().join("gone")).unwrap();
        clock.set(102 * SECOND);
        assert!(done(&delivery.write(&payloads(["c"]))));
        assert_eq!(read(&dir, "nilo.log"), "c\n");
    }

    #[test]
    fn a_file_that_someone_truncates_is_written_from_its_new_end() {
        let tmp = tempfile::tempdir().unwrap();
        let mut delivery = output(tmp.path(), "").unwrap();
        assert!(done(&delivery.write(&payloads(["before"]))));
        std::fs::File::create(tmp.path().join("nilo.log")).unwrap();
        assert!(done(&delivery.write(&payloads(["after"]))));
        assert_eq!(read(tmp.path(), "nilo.log"), "after\n");
    }

    #[test]
    fn what_cannot_be_is_a_problem_of_the_configuration() {
        for (toml, says) in [
            ("name = '../x'", "`name` is not a valid template: found `..`"),
            ("mode = '0888'", "`mode` is not a file mode"),
            ("keep = 0", "`keep` is 0: expected 1 to 10000"),
            ("rotate_every = '1ms'", "expected at least \"1s\""),
        ] {
            let problem = output(Path::new("/nowhere"), toml).err().unwrap();
            assert!(problem.contains(says), "{problem}");
        }
    }
}
