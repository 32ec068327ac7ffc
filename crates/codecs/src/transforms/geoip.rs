//! Where an address is, from a database in MaxMind's format.
//!
//! For GeoLite2, GeoIP2 and what else has their layout, such as the free databases of DB-IP; none is shipped. A database is read into
//! memory, once for all inputs that use it. It is read again when its file changes, between two messages; a new version that
//! cannot be read is reported, and the old one stays in use. Replace it by renaming, so that nobody finds half of it.

mod database;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use matcher::Part;
use maxminddb::{LookupResult, PathElement};
use message::{Datum, Messages};
use options::{Opt, Options, Problem, nearest};
use plugin::{BuildCx, Carried, Example, Gauge, Kind, Reject, Scripted, Stability, Transform, Transformed};

use self::database::Database;
use self::words::{Shape, WORDS, Word};
use super::user_agent::put;
use crate::constants::Constants;

pub const KIND: Kind = Kind::transform("geoip", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Geoip::new(o)?)))
    .summary("Adds country, city, location and network of an address, from a MaxMind DB file.")
    .doc(
        "Of what `fields` asks for, that which the database has becomes a field of the same name with `prefix` before it; one that the message has \
         already is overwritten. `country`, `continent` and `region` are codes, `country_name`, `region_name` and `city` names in `language`; \
         `location` is `latitude,longitude` as text, which Elasticsearch takes for a point; `asn` is the number of the autonomous system, and \
         `organization` its owner. The address may have a port; of a list, as in X-Forwarded-For, the first counts. A message without an address, or \
         with one that the database does not have, stays as it is. A database has either places or networks: for both, use the transform twice. The \
         file is read again when it changes.",
    )
    .options(&[
        Opt::path("file").required().sample("\"GeoLite2-City.mmdb\"").doc("The database."),
        Opt::string("field").required().sample("\"remote_addr\"").doc("Header or field with the address."),
        Opt::strings("fields").sample("[\"country\", \"timezone\"]").doc(
            "What to add: `country`, `country_name`, `continent`, `region`, `region_name`, `city`, `postal`, `timezone`, `location`, `latitude`, \
             `longitude`, `asn`, `organization`, `isp`, `domain`, `connection_type`. Default: `[\"country\", \"city\", \"location\", \"asn\", \"organization\"]`.",
        ),
        Opt::string("prefix").default("geoip.").doc("What stands before the names of the fields that are added."),
        Opt::string("language").default("en").doc("Language of names, as the database calls it."),
        Opt::size("max_size").default("512MiB").doc("Largest size of the file, which is held in memory."),
    ])
    .examples(&[
        Example { title: "Country and city of clients", toml: "file = \"GeoLite2-City.mmdb\"\nfield = \"remote_addr\"\nfields = [\"country\", \"city\"]" },
        Example { title: "Their networks", toml: "file = \"GeoLite2-ASN.mmdb\"\nfield = \"remote_addr\"\nfields = [\"asn\", \"organization\"]" },
    ]);

const DEFAULT: [&str; 5] = ["country", "city", "location", "asn", "organization"];

struct Geoip {
    file: PathBuf,
    database: Arc<Database>,
    max_size: u64,
    field: Part,
    language: String,
    wanted: Vec<Wanted>,
    constants: Constants,
    scratch: Vec<u8>,
}

struct Wanted {
    word: Word,
    /// The field's name, as it is and as a constant.
    name: Vec<u8>,
    constant: usize,
}

/// A value of the database, on its way into a field.
enum Found {
    Text(String),
    Number(i64),
    Double(f64),
}

impl Geoip {
    fn new(o: &Options) -> Result<Geoip, Problem> {
        let given: Vec<&str> = if o.given("fields") { o.strings("fields").iter().map(String::as_str).collect() } else { DEFAULT.to_vec() };
        let mut constants = Constants::new();
        let mut wanted = Vec::new();
        for text in given {
            let Some((_, word)) = WORDS.iter().find(|(known, _)| *known == text) else {
                let known = WORDS.map(|(word, _)| word);
                let help =
                    nearest(text, known).map_or_else(|| format!("it has: {}", known.join(", ")), |name| format!("did you mean `{name}`?"));
                return Err(o.problem("fields", format!("`{text}` is nothing that is known of an address"), "named here").help(help));
            };
            let name = format!("{}{text}", o.str("prefix")).into_bytes();
            wanted.push(Wanted { word: *word, constant: constants.add(&name), name });
        }
        if wanted.is_empty() {
            return Err(o.problem("fields", "this transform adds nothing", "expected at least one, such as \"country\""));
        }
        let (file, max_size) = (o.path("file").to_path_buf(), o.size("max_size") as u64);
        let unusable = |why: String| o.problem("file", "the database cannot be used", format!("{}: {why}", file.display()));
        let database = Database::open(&file, max_size).map_err(unusable)?;
        let (field, language) = (Part::new(o.str("field")), o.str("language").to_string());
        Ok(Geoip { file, database, max_size, field, language, wanted, constants, scratch: Vec::new() })
    }
}

/// The address that a text is, or the first of a list; with or without a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let first = text.split(|b| *b == b',').next()?.trim_ascii();
    let text = std::str::from_utf8(first).ok()?;
    let address = text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(in_brackets).map(|a: IpAddr| a.to_canonical())
}

/// What the database says; nothing where it is damaged.
fn find(of: &LookupResult<'_, Vec<u8>>, word: Word, language: &str) -> Option<Found> {
    let mut path = word.path(language);
    match word.shape() {
        Shape::Text => of.decode_path::<&str>(&path).ok().flatten().map(|text| Found::Text(text.to_string())),
        Shape::Number => of.decode_path::<u32>(&path).ok().flatten().map(|n| Found::Number(n.into())),
        Shape::Double => of.decode_path::<f64>(&path).ok().flatten().map(Found::Double),
        Shape::Pair => {
            let mut part = |name| {
                path.truncate(1);
                path.push(PathElement::Key(name));
                of.decode_path::<f64>(&path).ok().flatten()
            };
            Some(Found::Text(format!("{},{}", part("latitude")?, part("longitude")?)))
        }
    }
}

impl Transform for Geoip {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        self.scratch.clear();
        if !self.field.write(messages.view(raw, index), &mut self.scratch) {
            return Ok(Transformed::Keep);
        }
        // IPv6 in a database of IPv4 only is an error, and is not there either.
        let found = address(&self.scratch).and_then(|address| self.database.reader.lookup(address).ok()).filter(LookupResult::has_data);
        let Some(found) = found else { return Ok(Transformed::Keep) };
        for wanted in &self.wanted {
            let Some(value) = find(&found, wanted.word, &self.language) else { continue };
            let value = match value {
                Found::Text(text) => Datum::String(messages.store(text.as_bytes())),
                Found::Number(n) => Datum::Integer(n),
                Found::Double(n) => Datum::Double(n),
            };
            let text = self.constants.texts(messages)[wanted.constant];
            put(raw, messages, index, (&wanted.name, text), value);
        }
        Ok(Transformed::Keep)
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        Some(self)
    }
}

/// It is made of a file, as a script is: the engine builds it anew when the file changes.
impl Scripted for Geoip {
    fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }

    fn gauges(&self) -> Vec<Gauge> {
        vec![Gauge { name: "max_size", unit: "bytes", current: self.database.bytes, max: self.database.bytes, cap: self.max_size }]
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
    use proptest::prelude::*;
    use testkit::mmdb::{Entry, database};

    use super::*;
    use crate::transforms::tests::{apply, error, try_apply};

    fn place() -> Entry {
        let text = |t: &str| Entry::Text(t.into());
        let names = |en: &str, de: &str| Entry::map([("en", text(en)), ("de", text(de))]);
        Entry::map([
            ("city", Entry::map([("names", names("Munich", "München"))])),
            ("country", Entry::map([("iso_code", text("DE")), ("names", names("Germany", "Deutschland"))])),
            (
                "location",
                Entry::map([("latitude", Entry::Double(48.15)), ("longitude", Entry::Double(-11.5)), ("time_zone", text("Europe/Berlin"))]),
            ),
            ("subdivisions", Entry::List(vec![Entry::map([("iso_code", text("BY")), ("names", names("Bavaria", "Bayern"))])])),
        ])
    }

    fn network() -> Entry {
        Entry::map([("autonomous_system_number", Entry::Number(64512)), ("autonomous_system_organization", Entry::Text("Example".into()))])
    }

    fn bytes() -> Vec<u8> {
        database(&[("192.0.2.0/24", place()), ("198.51.100.128/25", network()), ("2001:db8::/32", network())])
    }

    fn with(content: &[u8], toml: &str, test: impl FnOnce(&str)) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("test.mmdb");
        std::fs::write(&file, content).unwrap();
        test(&format!("file = {file:?}\nfield = 'ip'\n{toml}"));
    }

    fn from(ip: &str) -> impl Fn(&mut BatchBuilder) {
        move |b: &mut BatchBuilder| {
            let mut m = b.add();
            m.add_string(b"ip", ip.as_bytes());
            m.add_string(b"geoip.city", b"old");
        }
    }

    /// The fields of a message from this address, but `ip`.
    fn fields(toml: &str, ip: &str) -> String {
        let (batch, _) = apply(&KIND, toml, &[from(ip)]);
        let value = |v: Value<'_>| v.as_bytes().map_or_else(|| format!("{v:?}"), |t| String::from_utf8(t.to_vec()).unwrap());
        batch.get(0).fields().skip(1).map(|f| format!("{}={} ", f.name().escape_ascii(), value(f.value(0).unwrap()))).collect()
    }

    #[test]
    fn addresses_are_placed() {
        with(&bytes(), "", |toml| {
            let munich = "geoip.city=Munich geoip.country=DE geoip.location=48.15,-11.5 ";
            let example = "geoip.city=old geoip.asn=Integer(64512) geoip.organization=Example ";
            for (ip, expected) in [
                ("192.0.2.7", munich),
                ("192.0.2.255:443", munich),
                (" 192.0.2.0 , 10.0.0.1", munich),
                ("::ffff:192.0.2.1", munich),
                ("198.51.100.128", example),
                ("[2001:db8:1::]:80", example),
                ("[2001:db8:ffff::1]", example),
            ] {
                assert_eq!(fields(toml, ip), expected, "{ip}");
            }
            for ip in ["192.0.3.0", "198.51.100.127", "2001:db9::", "", "-", "host.example", "192.0.2", "192.0.2.1.1"] {
                assert_eq!(fields(toml, ip), "geoip.city=old ", "{ip}");
            }
        });
    }

    #[test]
    fn fields_and_their_language_are_chosen() {
        let toml = "fields = ['region', 'region_name', 'country_name', 'timezone', 'latitude', 'longitude', 'postal']\nlanguage = 'de'\nprefix = ''";
        with(&bytes(), toml, |toml| {
            let expected = "geoip.city=old region=BY region_name=Bayern country_name=Deutschland timezone=Europe/Berlin \
                            latitude=Double(48.15) longitude=Double(-11.5) ";
            assert_eq!(fields(toml, "192.0.2.1"), expected);
        });
    }

    #[test]
    fn one_database_is_in_memory_once() {
        with(&bytes(), "", |toml| {
            let open = || Geoip::new(&testkit::plugins::options(&KIND, toml).unwrap()).unwrap();
            let (mut one, two) = (open(), open());
            assert!(Arc::ptr_eq(&one.database, &two.database));
            assert!(one.script().unwrap().files()[0].ends_with("test.mmdb"));
            // As updaters replace it.
            let next = one.file.with_extension("next");
            std::fs::write(&next, database(&[("192.0.2.0/24", network())])).unwrap();
            std::fs::rename(&next, &one.file).unwrap();
            assert!(!Arc::ptr_eq(&one.database, &open().database));
            assert_eq!(fields(toml, "192.0.2.1"), "geoip.city=old geoip.asn=Integer(64512) geoip.organization=Example ");
        });
    }

    #[test]
    fn unusable_databases_are_told() {
        with(b"no database", "", |toml| assert!(error(&KIND, toml).contains("test.mmdb: it is no MaxMind DB file: ")));
        with(&bytes(), "max_size = '100B'", |toml| assert!(error(&KIND, toml).contains("larger than `max_size`, 100 bytes")));
        with(&bytes(), "fields = ['contry']", |toml| assert!(error(&KIND, toml).ends_with("(did you mean `country`?)")));
        with(&bytes(), "fields = []", |toml| assert!(error(&KIND, toml).contains("adds nothing")));
        assert!(error(&KIND, "file = '.'\nfield = 'x'").contains("not a file"));
        assert!(error(&KIND, "file = 'no/such.mmdb'\nfield = 'x'").contains("such.mmdb: "));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn damaged_databases_and_any_addresses_do_no_harm(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
            ips in proptest::collection::vec(prop_oneof!["192\\.0\\.2\\.[0-9]", "198\\.51\\.100\\.(128|200)", "2001:db8::[0-9a-f]", ".{0,20}"], 1..6),
        ) {
            let mut content = bytes();
            for (at, byte) in changes {
                let at = at.index(content.len());
                content[at] = byte;
            }
            let mut outcome = Ok(());
            with(&content, "", |toml| {
                if testkit::plugins::transform(&KIND, toml).is_ok() {
                    let makers: Vec<_> = ips.iter().map(|ip| from(ip)).collect();
                    outcome = try_apply(&KIND, toml, &makers).map(|(batch, _)| assert_eq!(batch.len(), ips.len()));
                }
            });
            prop_assert_eq!(outcome, Ok(()));
        }
    }
}
