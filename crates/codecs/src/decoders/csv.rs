//! Lines of values between commas, tabs or bars: CSV and its relatives
//! ([RFC 4180](https://www.rfc-editor.org/rfc/rfc4180)).
//!
//! For exports, load balancers, databases. The columns are named in the configuration, because a stream
//! may be read from its middle. A quoted value may hold newlines if the splitter keeps them together.

use memchr::{memchr, memchr2};
use message::{MessageMut, Messages};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use super::fields::{Fields, MAX_FIELDS, Piece, one_byte};
use super::headers::header_options;
use super::types::{FieldType, Typed, excerpt};

pub const KIND: Kind = Kind::decoder("csv", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Csv::new(o)?)))
    .summary("Reads values between commas or another character.")
    .doc(
        "Each value becomes a field with the name of its column, or a header where the column's name stands for one; a column with \
         the name `_` is left out. A value may be quoted, with quotes in it doubled. Values are strings unless `types` says otherwise; \
         a number or boolean that is empty or `-` is left out. A record with more or fewer values than columns is refused, unless \
         `flexible` is set.",
    )
    .options(header_options![
        Opt::strings("columns").required().sample("[\"time\", \"user\", \"status\"]").doc("Names of the columns, in their order."),
        Opt::string("delimiter").default(",").sample("\"\\t\"").doc("Character between values."),
        Opt::string("quote").default("\"").doc("Character around values that hold others; empty: none."),
        Opt::string("escape")
            .default("")
            .doc("Character that takes the meaning away from a quote within quotes, beside doubling it; empty: none."),
        Opt::bool("trim").default("false").doc("Drop spaces and tabs around values that are not quoted."),
        Opt::bool("header").default("false").doc("Pass over records that hold the names of the columns."),
        Opt::bool("flexible")
            .default("false")
            .doc("Take records with fewer values, and put what is behind the last column into the field `rest`."),
        Opt::table("types")
            .sample("{ status = \"integer\", took = \"double\" }")
            .doc("Columns that are not strings: integer, double, bool or bytes."),
        MAX_FIELDS,
    ])
    .examples(&[
        Example {
            title: "A slow log of a database",
            toml: "columns = [\"time\", \"user\", \"query\", \"took\"]\ntypes = { took = \"double\" }",
        },
        Example {
            title: "Values between tabs, never quoted",
            toml: "columns = [\"time\", \"level\", \"message\"]\ndelimiter = \"\\t\"\nquote = \"\"",
        },
    ]);

struct Csv {
    fields: Fields,
    columns: Vec<Column>,
    syntax: Syntax,
    header: bool,
    flexible: bool,
    /// Memory for a value without its escapes.
    made: Vec<u8>,
}

struct Column {
    name: Box<[u8]>,
    type_: FieldType,
    skipped: bool,
}

#[derive(Clone, Copy)]
struct Syntax {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    trim: bool,
}

impl Csv {
    fn new(o: &Options) -> Result<Csv, Problem> {
        let column = |name: &String| Column { name: name.as_bytes().into(), type_: FieldType::String, skipped: name == "_" };
        let mut columns: Vec<Column> = o.strings("columns").iter().map(column).collect();
        if columns.is_empty() {
            return Err(o.problem("columns", "`columns` names none", "expected the names of the columns"));
        }
        for (name, type_) in o.table("types") {
            let type_ = FieldType::given(o, name, type_)?;
            let mut found = false;
            columns.iter_mut().filter(|c| *c.name == *name.as_bytes()).for_each(|c| (c.type_, found) = (type_, true));
            if !found {
                let problem = o.problem("types", format!("there is no column `{name}`"), "named here");
                return Err(problem.help(format!("the columns are: {}", o.strings("columns").join(", "))));
            }
        }
        let (delimiter, quote, escape) = (one_byte(o, "delimiter")?, one_byte(o, "quote")?, one_byte(o, "escape")?);
        let delimiter = delimiter.ok_or_else(|| o.problem("delimiter", "`delimiter` is empty", "expected a character, such as \",\""))?;
        if Some(delimiter) == quote || Some(delimiter) == escape {
            return Err(o.problem("delimiter", "`delimiter` has two meanings", "it is the quote or escape, too"));
        }
        let syntax = Syntax { delimiter, quote, escape, trim: o.bool("trim") };
        let (header, flexible) = (o.bool("header"), o.bool("flexible"));
        Ok(Csv { fields: Fields::new(o)?, columns, syntax, header, flexible, made: Vec::new() })
    }

    /// Whether the record is the columns' names.
    fn is_header(&mut self, bytes: &[u8]) -> bool {
        let Csv { columns, syntax, made, .. } = self;
        let mut at = Some(0);
        columns.iter().all(|column| {
            let Some(from) = at else { return false };
            let Ok(cell) = syntax.cell(bytes, from, made) else { return false };
            at = cell.next;
            cell.value.bytes() == &*column.name || column.skipped
        }) && at.is_none()
    }

    fn add(&mut self, m: &mut MessageMut<'_>, record: &Record<'_>, nth: usize, value: Piece<'_>, at: usize) -> Result<(), Reject> {
        let Column { name, type_, skipped } = &self.columns[nth];
        let (name, bytes) = (Piece::Made(name), value.bytes());
        match (type_, value) {
            _ if *skipped => Ok(()),
            (FieldType::String, value) => self.fields.add(m, record, name, value, false),
            (type_, value) => match type_.read_plain(bytes) {
                Typed::Value(datum) => self.fields.put(m, record, name, datum, bytes),
                Typed::Nothing if *type_ != FieldType::Bytes => Ok(()),
                _ if *type_ == FieldType::Bytes => {
                    let text = value.text(record, m.messages());
                    self.fields.put(m, record, name, message::Datum::Bytes(text), bytes)
                }
                _ => {
                    let name = name.bytes().escape_ascii();
                    Err(Reject::new(format!(
                        "column {} `{name}` at byte {at} is {}, expected {}",
                        nth + 1,
                        excerpt(bytes),
                        type_.expected()
                    )))
                }
            },
        }
    }
}

impl Decoder for Csv {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        let bytes = record.bytes();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.is_empty() {
            return Err(Reject::new(format!("found nothing, expected {} columns", self.columns.len())));
        }
        if self.header && self.is_header(bytes) {
            return Ok(());
        }
        let mut m = self.fields.begin(&record, out);
        let mut made = std::mem::take(&mut self.made);
        let (mut nth, mut next) = (0, Some(0));
        let mut outcome = Ok(());
        while let (Some(at), Ok(())) = (next, &outcome) {
            if nth == self.columns.len() {
                outcome = self.more(&mut m, &record, &bytes[at..], at);
                break;
            }
            outcome = match self.syntax.cell(bytes, at, &mut made) {
                Ok(cell) => {
                    next = cell.next;
                    self.add(&mut m, &record, nth, cell.value, at)
                }
                Err(wrong) => Err(wrong.reject(bytes, nth, &self.columns[nth].name)),
            };
            nth += 1;
        }
        self.made = made;
        match outcome {
            Ok(()) if nth < self.columns.len() && !self.flexible => {
                let missing = self.columns[nth].name.escape_ascii();
                let expected = self.columns.len();
                Err(Reject::new(format!("found {nth} columns, expected {expected}: `{missing}` is missing; `flexible` takes it so")))
            }
            outcome => outcome,
        }
    }
}

impl Csv {
    /// What is behind the last column.
    fn more(&mut self, m: &mut MessageMut<'_>, record: &Record<'_>, rest: &[u8], at: usize) -> Result<(), Reject> {
        if self.flexible {
            return self.fields.add(m, record, Piece::Made(b"rest"), Piece::Here(rest), false);
        }
        let (found, expected) = (excerpt(rest), self.columns.len());
        Err(Reject::new(format!(
            "at byte {at}: found {found} behind the last of {expected} columns, expected the end; `flexible` takes it so"
        )))
    }
}

/// One value, and where the next one begins, if there is one.
struct Cell<'a> {
    value: Piece<'a>,
    next: Option<usize>,
}

/// Where a quoted value goes wrong.
struct Wrong {
    at: usize,
    expected: &'static str,
}

impl Wrong {
    fn reject(self, bytes: &[u8], nth: usize, name: &[u8]) -> Reject {
        let found = bytes.get(self.at).map_or("the end".to_string(), |b| format!("`{}`", b.escape_ascii()));
        Reject::new(format!("column {} `{}` at byte {}: found {found}, expected {}", nth + 1, name.escape_ascii(), self.at, self.expected))
    }
}

impl Syntax {
    fn cell<'a>(&self, bytes: &'a [u8], from: usize, made: &'a mut Vec<u8>) -> Result<Cell<'a>, Wrong> {
        let blank = |b: &u8| self.trim && matches!(b, b' ' | b'\t') && *b != self.delimiter;
        let start = from + bytes[from..].iter().take_while(|b| blank(b)).count();
        if let (Some(quote), Some(first)) = (self.quote, bytes.get(start))
            && quote == *first
        {
            return self.quoted(bytes, start + 1, quote, made);
        }
        let end = memchr(self.delimiter, &bytes[start..]).map_or(bytes.len(), |n| start + n);
        let blanks = bytes[start..end].iter().rev().take_while(|b| blank(b)).count();
        Ok(Cell { value: Piece::Here(&bytes[start..end - blanks]), next: (end < bytes.len()).then_some(end + 1) })
    }

    /// A value whose quote has been read. Without escapes it stays where it is.
    fn quoted<'a>(&self, bytes: &'a [u8], start: usize, quote: u8, made: &'a mut Vec<u8>) -> Result<Cell<'a>, Wrong> {
        made.clear();
        let (mut from, mut at) = (start, start);
        let end = loop {
            let Some(n) = memchr2(quote, self.escape.unwrap_or(quote), &bytes[at..]) else {
                return Err(Wrong { at: bytes.len(), expected: "the closing quote" });
            };
            at += n;
            let escape = Some(bytes[at]) == self.escape && bytes[at] != quote;
            match bytes.get(at + 1) {
                Some(next) if *next == quote || (escape && Some(*next) == self.escape) => {
                    made.extend_from_slice(&bytes[from..at]);
                    (from, at) = (at + 1, at + 2);
                }
                _ if escape => at += 1,
                _ => break at,
            }
        };
        let value = if from == start {
            Piece::Here(&bytes[start..end])
        } else {
            made.extend_from_slice(&bytes[from..end]);
            Piece::Made(made)
        };
        let blanks = bytes[end + 1..].iter().take_while(|b| self.trim && matches!(b, b' ' | b'\t') && **b != self.delimiter).count();
        let behind = end + 1 + blanks;
        match bytes.get(behind) {
            None => Ok(Cell { value, next: None }),
            Some(byte) if *byte == self.delimiter => Ok(Cell { value, next: Some(behind + 1) }),
            Some(_) => Err(Wrong { at: behind, expected: "the delimiter or the end behind the closing quote" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use message::{Batch, Value};
    use proptest::prelude::*;
    use testkit::plugins::{decode, decoder};

    use super::*;

    const NONE: &str = "timestamp = []\nseverity = []\npayload = []\nhostname = []\nmessage_type = []\nlogger = []\npid = []\n";

    fn read(toml: &str, record: &[u8]) -> Result<Batch, String> {
        let (batch, rejects) = decode(&mut *decoder(&KIND, toml).unwrap(), &[record]);
        rejects.into_iter().next().map_or(Ok(batch), Err)
    }

    fn values(batch: &Batch) -> Vec<Vec<u8>> {
        batch.get(0).fields().map(|f| f.value(0).unwrap().as_bytes().unwrap().to_vec()).collect()
    }

    #[test]
    fn columns_are_named_and_typed() {
        let toml = "columns = ['time', 'level', 'user', '_', 'took', 'ok']\ntypes = { took = 'double', ok = 'bool' }\nheader = true";
        let records: [&[u8]; 3] = [
            b"time,level,user,x,took,ok",
            b"2023-11-14T22:13:20Z,warn,\"Ann \"\"A\"\" B\",x,1.5,yes\r\n",
            b"2023-11-14T22:13:20Z,warn,,,-,",
        ];
        let (batch, rejects) = decode(&mut *decoder(&KIND, toml).unwrap(), &records);
        assert_eq!((batch.len(), rejects.len()), (2, 0));
        let m = batch.get(0);
        assert_eq!((m.timestamp(), m.severity(), m.fields().count()), (1_700_000_000_000_000_000, 4, 3));
        assert_eq!(m.value(b"user", 0, 0), Some(Value::String(b"Ann \"A\" B")));
        assert_eq!((m.value(b"took", 0, 0), m.value(b"ok", 0, 0)), (Some(Value::Double(1.5)), Some(Value::Bool(true))));
        assert_eq!(batch.get(1).fields().map(|f| (f.name(), f.value(0))).collect::<Vec<_>>(), [(&b"user"[..], Some(Value::String(b"")))]);
    }

    #[test]
    fn dialects_differ() {
        let toml = "columns = ['a', 'b']\n";
        assert_eq!(values(&read(&format!("{toml}delimiter = '|'\ntrim = true"), b" x | 'y' ").unwrap()), [&b"x"[..], b"'y'"]);
        assert_eq!(values(&read(&format!("{toml}quote = \"'\"\nescape = '\\'"), br"'a\'b\\','\n'").unwrap()), [&br"a'b\"[..], br"\n"]);
        assert_eq!(values(&read(&format!("{toml}delimiter = \"\\t\"\nquote = ''"), b"\"x\t\"").unwrap()), [&b"\"x"[..], b"\""]);
        assert_eq!(values(&read(&format!("{toml}flexible = true"), b"1").unwrap()), [b"1"]);
        assert_eq!(values(&read(&format!("{toml}flexible = true"), b"1,2,3,\"4").unwrap()), [&b"1"[..], b"2", b"3,\"4"]);
    }

    #[test]
    fn refusals_say_the_column() {
        let error = |record: &str| read("columns = ['a', 'b']\ntypes = { b = 'integer' }", record.as_bytes()).unwrap_err();
        assert_eq!(error("1"), "found 1 columns, expected 2: `b` is missing; `flexible` takes it so");
        assert_eq!(error("1,2,3"), "at byte 4: found `3` behind the last of 2 columns, expected the end; `flexible` takes it so");
        assert_eq!(error("1,x"), "column 2 `b` at byte 2 is `x`, expected a whole number");
        assert_eq!(error("\"1\"x,2"), "column 1 `a` at byte 3: found `x`, expected the delimiter or the end behind the closing quote");
        assert_eq!(error("1,\"2"), "column 2 `b` at byte 4: found the end, expected the closing quote");
        assert_eq!(error(""), "found nothing, expected 2 columns");
        let problem = |toml: &str| decoder(&KIND, toml).err().unwrap();
        assert!(problem("columns = []").contains("names none"));
        assert!(problem("columns = 'a'\ntypes = { b = 'integer' }").contains("there is no column `b`"));
        assert!(problem("columns = 'a'\ndelimiter = ', '").contains("expected one character"));
    }

    /// Columns enough for any record of a test.
    fn columns() -> String {
        let names: Vec<String> = (0..40).map(|n| format!("'c{n}'")).collect();
        format!("{NONE}columns = [{}]\nflexible = true", names.join(","))
    }

    fn oracle(record: &[u8]) -> Vec<Vec<u8>> {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record);
        reader.byte_records().next().map_or(Vec::new(), |r| r.unwrap().iter().map(<[u8]>::to_vec).collect())
    }

    proptest! {
        #[test]
        fn what_another_wrote_is_read(cells in prop::collection::vec(prop::collection::vec(prop_oneof![3 => prop::sample::select(&b"a,\"\n\r '"[..]), 1 => any::<u8>()], 0..6), 1..20)) {
            let mut writer = ::csv::Writer::from_writer(Vec::new());
            writer.write_record(&cells).unwrap();
            let record = writer.into_inner().unwrap();
            prop_assert_eq!(values(&read(&columns(), &record).unwrap()), cells);
        }

        #[test]
        fn what_is_taken_is_what_another_reads(record in "[ab,\" ]{1,30}") {
            if let Ok(batch) = read(&columns(), record.as_bytes()) {
                prop_assert_eq!(values(&batch), oracle(record.as_bytes()), "{}", record);
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(record in prop::collection::vec(prop_oneof![prop::sample::select(&b"a,\"\\\n 1"[..]), any::<u8>()], 0..40)) {
            for more in ["", "escape = '\\'", "trim = true\nheader = true", "quote = ''"] {
                let toml = format!("columns = ['a', 'b']\ntypes = {{ b = 'integer' }}\n{more}");
                let (batch, rejects) = decode(&mut *decoder(&KIND, &toml).unwrap(), &[&record]);
                prop_assert_eq!(batch.len() + rejects.len(), 1);
            }
        }
    }
}
