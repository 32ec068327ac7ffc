use std::collections::HashMap;

/// Rows of text by a key.
#[derive(Default, Debug)]
pub(super) struct Table {
    /// Names of the columns, but that of the key.
    pub columns: Vec<String>,
    /// Where a key's row begins in `cells`, which has as many for each as there are columns.
    rows: HashMap<Box<[u8]>, u32>,
    /// Where the text of a cell begins and ends.
    cells: Vec<(u32, u32)>,
    text: Vec<u8>,
    ignore_case: bool,
}

/// One line of a CSV file, as cells in `text`.
#[derive(Default)]
struct Record {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Record {
    fn cell(&self, nth: usize) -> &[u8] {
        let begin = nth.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[begin..self.ends[nth]]
    }
}

impl Table {
    /// Reads CSV (RFC 4180): a header with the names of columns, then a row a line. `key` names the column of the key (empty: the
    /// first), `wanted` the others (empty: all). Of rows with the same key the last counts. At most 4 GiB.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn parse(csv: &[u8], separator: u8, key: &str, wanted: &[String], ignore_case: bool) -> Result<Table, String> {
        let mut reader = Reader { rest: csv.strip_prefix(b"\xef\xbb\xbf").unwrap_or(csv), separator, line: 1 };
        let mut record = Record::default();
        if reader.next(&mut record)?.is_none() {
            return Err("it is empty: expected a line with the names of columns".to_string());
        }
        let names: Vec<String> =
            (0..record.ends.len()).map(|n| String::from_utf8_lossy(record.cell(n).trim_ascii()).into_owned()).collect();
        let find = |name: &str| {
            let missing = || format!("line 1: there is no column `{}`, only {}", name, shown(&names));
            names.iter().position(|n| n == name).ok_or_else(missing)
        };
        let key = if key.is_empty() { 0 } else { find(key)? };
        let places: Vec<usize> = match wanted {
            [] => (0..names.len()).filter(|n| *n != key).collect(),
            names => names.iter().map(|n| find(n)).collect::<Result<_, _>>()?,
        };
        let mut table = Table { columns: places.iter().map(|n| names[*n].clone()).collect(), ignore_case, ..Table::default() };
        while let Some(line) = reader.next(&mut record)? {
            if record.ends.len() != names.len() {
                return Err(format!("line {line}: found {} columns, expected {} as in the first line", record.ends.len(), names.len()));
            }
            table.add(&record, key, &places);
        }
        Ok(table)
    }

    fn add(&mut self, record: &Record, key: usize, places: &[usize]) {
        let mut key: Box<[u8]> = record.cell(key).into();
        if self.ignore_case {
            key.make_ascii_lowercase();
        }
        self.rows.insert(key, self.cells.len() as u32);
        for place in places {
            let begin = self.text.len();
            self.text.extend_from_slice(record.cell(*place));
            self.cells.push((begin as u32, self.text.len() as u32));
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.rows.len()
    }

    /// The cells of a key's row, in the order of the columns. `key` is changed.
    pub fn row(&self, key: &mut [u8]) -> Option<impl Iterator<Item = &[u8]>> {
        if self.ignore_case {
            key.make_ascii_lowercase();
        }
        let first = *self.rows.get(key)? as usize;
        Some(self.cells[first..first + self.columns.len()].iter().map(|(begin, end)| &self.text[*begin as usize..*end as usize]))
    }
}

fn shown(names: &[String]) -> String {
    let some: Vec<String> = names.iter().take(10).map(|n| format!("`{}`", n.chars().take(40).collect::<String>())).collect();
    format!("{}{}", some.join(", "), if names.len() > 10 { ", …" } else { "" })
}

struct Reader<'a> {
    rest: &'a [u8],
    separator: u8,
    /// Of the first byte of `rest`.
    line: usize,
}

impl Reader<'_> {
    /// Reads a record, and returns the line it begins in; nothing at the end. Empty lines are passed over.
    fn next(&mut self, record: &mut Record) -> Result<Option<usize>, String> {
        while let Some(rest) = self.rest.strip_prefix(b"\n").or_else(|| self.rest.strip_prefix(b"\r\n")) {
            (self.rest, self.line) = (rest, self.line + 1);
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        record.text.clear();
        record.ends.clear();
        loop {
            self.cell(&mut record.text)?;
            record.ends.push(record.text.len());
            match self.rest.split_first() {
                Some((byte, rest)) if *byte == self.separator => self.rest = rest,
                _ => break,
            }
        }
        Ok(Some(line))
    }

    /// Reads a cell up to the separator or line end behind it.
    fn cell(&mut self, into: &mut Vec<u8>) -> Result<(), String> {
        if let Some(quoted) = self.rest.strip_prefix(b"\"") {
            let begin = self.line;
            self.rest = quoted;
            loop {
                let end = memchr::memchr(b'"', self.rest).ok_or_else(|| format!("line {begin}: a quote is not closed"))?;
                self.line += memchr::memchr_iter(b'\n', &self.rest[..end]).count();
                into.extend_from_slice(&self.rest[..end]);
                self.rest = &self.rest[end + 1..];
                match self.rest.strip_prefix(b"\"") {
                    Some(rest) => {
                        into.push(b'"');
                        self.rest = rest;
                    }
                    None => break,
                }
            }
            let ends = [&b"\n"[..], b"\r\n", &[self.separator]].iter().any(|end| self.rest.starts_with(end));
            return if ends || self.rest.is_empty() {
                Ok(())
            } else {
                Err(format!("line {}: there is text behind a closing quote", self.line))
            };
        }
        let end = memchr::memchr2(self.separator, b'\n', self.rest).unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        let is_last = self.rest.get(end).is_none_or(|b| *b == b'\n');
        let text = text.strip_suffix(b"\r").filter(|_| is_last).unwrap_or(text);
        into.extend_from_slice(text);
        self.rest = &self.rest[end..];
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use proptest::prelude::*;

    fn row(table: &Table, key: &str) -> Option<Vec<String>> {
        let cells = table.row(&mut key.as_bytes().to_vec())?.map(|c| String::from_utf8_lossy(c).into_owned()).collect();
        Some(cells)
    }

    #[test]
    fn cells_are_read_with_their_quotes() {
        let csv = b"\xef\xbb\xbfhost, owner ,note\r\nweb1,ann,\"a \"\"b\"\", c\nd\"\r\n\r\nWEB2,,\nweb1,bob,x";
        let table = Table::parse(csv, b',', "", &[], false).unwrap();
        assert_eq!((table.len(), &table.columns[..]), (2, &["owner".to_string(), "note".into()][..]));
        assert_eq!(row(&table, "web1"), Some(vec!["bob".into(), "x".into()]));
        assert_eq!((row(&table, "WEB2"), row(&table, "web2")), (Some(vec!["".into(), "".into()]), None));
        let table = Table::parse(csv, b',', "owner", &["note".into()], true).unwrap();
        assert_eq!(row(&table, "ANN"), Some(vec!["a \"b\", c\nd".into()]));
        assert_eq!(row(&Table::parse(b"a;b\n1;2", b';', "b", &[], false).unwrap(), "2"), Some(vec!["1".into()]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let error = |csv: &str, key: &str| Table::parse(csv.as_bytes(), b',', key, &[], false).unwrap_err();
        assert!(error("", "").contains("it is empty"));
        assert_eq!(error("a,b\n", "c"), "line 1: there is no column `c`, only `a`, `b`");
        assert_eq!(error("a,b\n\"1\n2\",3\n4", ""), "line 4: found 1 columns, expected 2 as in the first line");
        assert_eq!(error("a,b\n1,2\n3,\"4\n5", ""), "line 3: a quote is not closed");
        assert_eq!(error("a,b\n\"1\"x,2", ""), "line 2: there is text behind a closing quote");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in proptest::collection::vec("[a-c\",;\r\n ]{0,6}", 0..12)) {
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let lines: Vec<String> = rows.iter().enumerate().map(|(n, text)| format!("{n},{},{n}\n", quote(text))).collect();
            let table = Table::parse(format!("key,text,again\n{}", lines.concat()).as_bytes(), b',', "key", &[], false).unwrap();
            prop_assert_eq!(table.len(), rows.len());
            for (n, text) in rows.iter().enumerate() {
                prop_assert_eq!(row(&table, &n.to_string()), Some(vec![text.clone(), n.to_string()]));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), any::<u8>()], 0..80)) {
            if let Err(why) = Table::parse(&bytes, b',', "", &[], true) {
                prop_assert!(!why.is_empty());
            }
        }
    }
}
