//! What a table knows about a message: the owner of a host, the name of a code, the plan of a customer.
//!
//! The table is a CSV file. It is read when the input starts and again when it changes, between two
//! messages; a new version that cannot be read is reported, and the old one stays in use. Replace it
//! by renaming, so that nobody finds half of it. Memory: that of the file and some 60 bytes a row, for
//! each input that uses the transform.

mod table;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use matcher::Part;
use message::{Datum, Messages, Text};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Carried, Example, Gauge, Kind, Reject, Scripted, Stability, Transform, Transformed};

use super::set::place;
use crate::constants::Constants;
use table::Table;

pub const KIND: Kind = Kind::transform("lookup", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Lookup::new(o)?)))
    .summary("Adds fields from a CSV file, by a key in the message.")
    .doc(
        "The first line of the file names its columns. The row whose key column is the message's `key` is added as fields of text, one for each \
         column that is not empty; a field of that name that the message has already is overwritten. A message whose key is missing or unknown stays \
         as it is. Of rows with the same key the last counts. The file is read again when it changes; a version that cannot be read is reported, and \
         the old one stays in use.",
    )
    .options(&[
        Opt::path("file").required().sample("\"hosts.csv\"").doc("The table: CSV as RFC 4180 has it, with names of columns in the first line."),
        Opt::string("key").required().sample("\"Hostname\"").doc("Header or field of the message that is looked up."),
        Opt::string("column").sample("\"host\"").doc("Column of the table that is the key. Default: the first."),
        Opt::strings("columns").sample("[\"owner\", \"team\"]").doc("Columns that are added. Default: all but the key."),
        Opt::string("prefix").default("").sample("\"host.\"").doc("What stands before a column's name in the name of the field."),
        Opt::string("separator").default(",").doc("What separates columns: one byte, such as `;` or a tab."),
        Opt::bool("ignore_case").default("false").doc("Take ASCII letters of keys as the same in upper and lower case."),
        Opt::size("max_size").default("16MiB").doc("Largest size of the file, up to 16 MiB."),
    ])
    .examples(&[Example {
        title: "Who owns the host",
        toml: "file = \"hosts.csv\"\nkey = \"Hostname\"\ncolumn = \"host\"\ncolumns = [\"owner\", \"team\"]\nprefix = \"host.\"",
    }]);

/// Changes of larger files are not noticed.
const MOST: u64 = 16 << 20;

struct Lookup {
    file: PathBuf,
    table: Table,
    bytes: u64,
    max_size: u64,
    key: Part,
    /// Names of the fields, as they are and as constants.
    names: Vec<(Vec<u8>, usize)>,
    constants: Constants,
    scratch: Vec<u8>,
}

impl Lookup {
    fn new(o: &Options) -> Result<Lookup, Problem> {
        let separator = match *o.str("separator").as_bytes() {
            [byte] if !matches!(byte, b'"' | b'\r' | b'\n') => byte,
            _ => return Err(o.problem("separator", "`separator` is not one byte", "expected something like \",\" or \"\\t\"")),
        };
        let max_size = match o.get_size("max_size").unwrap_or(MOST) {
            n @ 1..=MOST => n,
            n => return Err(o.problem("max_size", "`max_size` is out of range", format!("found {n} bytes, expected 1 B to 16 MiB"))),
        };
        let file = o.path("file").to_path_buf();
        let unusable = |why: String| o.problem("file", "the table cannot be used", format!("{}: {why}", file.display()));
        let csv = read(&file, max_size).map_err(unusable)?;
        let table = Table::parse(&csv, separator, o.str("column"), o.strings("columns"), o.bool("ignore_case")).map_err(unusable)?;
        let mut constants = Constants::new();
        let names = table.columns.iter().map(|c| format!("{}{c}", o.str("prefix")).into_bytes());
        let names = names.map(|name| (name.clone(), constants.add(&name))).collect();
        Ok(Lookup { file, table, bytes: csv.len() as u64, max_size, key: Part::new(o.str("key")), names, constants, scratch: Vec::new() })
    }
}

fn read(file: &Path, max_size: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let open = File::open(file).map_err(|e| e.to_string())?;
    if !open.metadata().map_err(|e| e.to_string())?.is_file() {
        return Err("it is not a file".to_string());
    }
    open.take(max_size + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > max_size { Err(format!("it is larger than `max_size`, {max_size} bytes")) } else { Ok(bytes) }
}

impl Transform for Lookup {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        self.scratch.clear();
        if !self.key.write(messages.view(raw, index), &mut self.scratch) {
            return Ok(Transformed::Keep);
        }
        let Some(row) = self.table.row(&mut self.scratch) else { return Ok(Transformed::Keep) };
        let texts = self.constants.texts(messages);
        for ((name, constant), cell) in self.names.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
            let value = Datum::String(messages.store(cell));
            match place(raw, messages, index, name, 0) {
                None => messages.message(index).add(texts[*constant], value),
                Some(first) => {
                    let mut m = messages.message(index);
                    m.set_field_values(first, value.type_(), &[value]);
                    m.set_field_representation(first, Text::NONE);
                    while let Some(next) = place(raw, messages, index, name, first + 1) {
                        messages.message(index).remove_field(next);
                    }
                }
            }
        }
        Ok(Transformed::Keep)
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        Some(self)
    }
}

/// It is made of a file, as a script is: the engine builds it anew when the file changes.
impl Scripted for Lookup {
    fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }

    fn gauges(&self) -> Vec<Gauge> {
        vec![Gauge { name: "max_size", unit: "bytes", current: self.bytes, max: self.bytes, cap: self.max_size }]
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<Carried, String> {
        Ok(Carried::default())
    }
}

#[cfg(test)]
mod tests {
    use message::{BatchBuilder, Value};

    use super::*;
    use crate::transforms::tests::{apply, error};

    fn with_table(csv: &[u8], toml: &str, test: impl FnOnce(&str)) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.csv");
        std::fs::write(&file, csv).unwrap();
        test(&format!("file = {file:?}\n{toml}"));
    }

    fn of(code: Option<i64>) -> impl Fn(&mut BatchBuilder) {
        move |b: &mut BatchBuilder| {
            let mut m = b.add();
            code.into_iter().for_each(|code| m.add_integer(b"code", code));
            m.add_string(b"c.name", b"old");
            m.add_string(b"c.name", b"older");
        }
    }

    #[test]
    fn columns_become_fields() {
        with_table(b"code,name,class\n404,missing,client\n500,broken,\n", "key = 'code'\nprefix = 'c.'", |toml| {
            let makers = [Some(404), Some(500), Some(200), None].map(of);
            let (batch, _) = apply(&KIND, toml, &makers);
            let read = |i: usize| {
                let m = batch.get(i);
                (m.value(b"c.name", 0, 0), m.value(b"c.class", 0, 0), m.fields().count())
            };
            let text = |t: &'static str| Some(Value::String(t.as_bytes()));
            assert_eq!(read(0), (text("missing"), text("client"), 3));
            assert_eq!(read(1), (text("broken"), None, 2));
            assert_eq!(read(2), (text("old"), None, 3));
            assert_eq!(read(3), (text("old"), None, 2));
        });
    }

    #[test]
    fn its_file_is_told_to_who_watches_files() {
        with_table(b"a,b\n1,2", "key = 'x'", |toml| {
            let mut lookup = testkit::plugins::transform(&KIND, toml).unwrap();
            let script = lookup.script().unwrap();
            assert!(script.files()[0].ends_with("t.csv"));
            assert_eq!(script.gauges()[0].current, 7);
        });
    }

    #[test]
    fn unusable_tables_are_told() {
        with_table(b"a,b\n1", "key = 'x'", |toml| assert!(error(&KIND, toml).contains("t.csv: line 2: found 1 columns")));
        with_table(b"a,b\n1,2", "key = 'x'\nmax_size = '6B'", |toml| assert!(error(&KIND, toml).contains("larger than `max_size`")));
        with_table(b"a,b\n1,2", "key = 'x'\nseparator = ',,'", |toml| assert!(error(&KIND, toml).contains("not one byte")));
        assert!(error(&KIND, "file = 'there/is/none.csv'\nkey = 'x'").contains("none.csv: "));
        assert!(error(&KIND, "file = '.'\nkey = 'x'").contains("not a file"));
    }
}
