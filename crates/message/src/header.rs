/// The fixed parts of a message, by the names that matchers and scripts use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Header {
    Uuid,
    Timestamp,
    Type,
    Logger,
    Severity,
    Payload,
    EnvVersion,
    Pid,
    Hostname,
}

impl Header {
    pub const ALL: [Header; 9] = [
        Header::Uuid,
        Header::Timestamp,
        Header::Type,
        Header::Logger,
        Header::Severity,
        Header::Payload,
        Header::EnvVersion,
        Header::Pid,
        Header::Hostname,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Header::Uuid => "Uuid",
            Header::Timestamp => "Timestamp",
            Header::Type => "Type",
            Header::Logger => "Logger",
            Header::Severity => "Severity",
            Header::Payload => "Payload",
            Header::EnvVersion => "EnvVersion",
            Header::Pid => "Pid",
            Header::Hostname => "Hostname",
        }
    }

    /// The header with this name; names are case-sensitive.
    pub fn from_name(name: &[u8]) -> Option<Header> {
        Header::ALL.into_iter().find(|h| h.name().as_bytes() == name)
    }
}
