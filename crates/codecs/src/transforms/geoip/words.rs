use maxminddb::PathElement;

/// What can be asked for, by the word in the configuration, which is the field's name too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    Country,
    CountryName,
    Continent,
    Region,
    RegionName,
    City,
    Postal,
    Timezone,
    Location,
    Latitude,
    Longitude,
    Asn,
    Organization,
    Isp,
    Domain,
    ConnectionType,
}

/// All of them.
pub(super) const WORDS: [(&str, Word); 16] = [
    ("country", Word::Country),
    ("country_name", Word::CountryName),
    ("continent", Word::Continent),
    ("region", Word::Region),
    ("region_name", Word::RegionName),
    ("city", Word::City),
    ("postal", Word::Postal),
    ("timezone", Word::Timezone),
    ("location", Word::Location),
    ("latitude", Word::Latitude),
    ("longitude", Word::Longitude),
    ("asn", Word::Asn),
    ("organization", Word::Organization),
    ("isp", Word::Isp),
    ("domain", Word::Domain),
    ("connection_type", Word::ConnectionType),
];

/// How a value stands in a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    Text,
    Number,
    Double,
    /// Latitude and longitude of a map.
    Pair,
}

impl Word {
    /// Where databases of MaxMind's layout have it; names are in several languages.
    pub fn path(self, language: &str) -> Vec<PathElement<'_>> {
        let key = PathElement::Key;
        match self {
            Word::Country => vec![key("country"), key("iso_code")],
            Word::CountryName => vec![key("country"), key("names"), key(language)],
            Word::Continent => vec![key("continent"), key("code")],
            Word::Region => vec![key("subdivisions"), PathElement::Index(0), key("iso_code")],
            Word::RegionName => vec![key("subdivisions"), PathElement::Index(0), key("names"), key(language)],
            Word::City => vec![key("city"), key("names"), key(language)],
            Word::Postal => vec![key("postal"), key("code")],
            Word::Timezone => vec![key("location"), key("time_zone")],
            Word::Location => vec![key("location")],
            Word::Latitude => vec![key("location"), key("latitude")],
            Word::Longitude => vec![key("location"), key("longitude")],
            Word::Asn => vec![key("autonomous_system_number")],
            Word::Organization => vec![key("autonomous_system_organization")],
            Word::Isp => vec![key("isp")],
            Word::Domain => vec![key("domain")],
            Word::ConnectionType => vec![key("connection_type")],
        }
    }

    pub fn shape(self) -> Shape {
        match self {
            Word::Location => Shape::Pair,
            Word::Latitude | Word::Longitude => Shape::Double,
            Word::Asn => Shape::Number,
            _ => Shape::Text,
        }
    }
}
