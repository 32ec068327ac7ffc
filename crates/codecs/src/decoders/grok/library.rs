//! Patterns by their well-known names.
//!
//! Written for expressions over bytes that are matched in linear time: without look-around. What other
//! implementations keep out by looking ahead (a digit before an address) is kept out by word boundaries or not at all.

/// Name and pattern.
pub(super) const LIBRARY: &[(&str, &str)] = &[
    // Numbers and words.
    ("INT", r"[+-]?[0-9]+"),
    ("POSINT", r"\b[1-9][0-9]*\b"),
    ("NONNEGINT", r"\b[0-9]+\b"),
    ("BASE10NUM", r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    ("NUMBER", r"%{BASE10NUM}"),
    ("BASE16NUM", r"[+-]?(?:0[xX])?[0-9A-Fa-f]+"),
    ("BASE16FLOAT", r"\b[+-]?(?:0[xX])?(?:[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]*)?|\.[0-9A-Fa-f]+)\b"),
    ("WORD", r"\b\w+\b"),
    ("NOTSPACE", r"\S+"),
    ("SPACE", r"\s*"),
    ("DATA", r"(?s:.*?)"),
    ("GREEDYDATA", r"(?s:.*)"),
    ("QUOTEDSTRING", r#"(?:"(?:[^"\\]|\\(?s:.))*"|'(?:[^'\\]|\\(?s:.))*'|`(?:[^`\\]|\\(?s:.))*`)"#),
    ("QS", r"%{QUOTEDSTRING}"),
    ("UUID", r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
    ("URN", r"urn:[0-9A-Za-z][0-9A-Za-z-]{0,31}:[!-~]+"),
    // People.
    ("USERNAME", r"[a-zA-Z0-9._-]+"),
    ("USER", r"%{USERNAME}"),
    ("EMAILLOCALPART", r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+)*"),
    ("EMAILADDRESS", r"%{EMAILLOCALPART}@%{HOSTNAME}"),
    // The network.
    ("CISCOMAC", r"(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}"),
    ("WINDOWSMAC", r"(?:[0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}"),
    ("COMMONMAC", r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}"),
    ("MAC", r"(?:%{CISCOMAC}|%{WINDOWSMAC}|%{COMMONMAC})"),
    ("IPV4", r"\b(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\b"),
    (
        "IPV6",
        concat!(
            r"(?:(?:[0-9A-Fa-f]{1,4}:){6}%{IPV4}|(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}",
            r"|(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6})?::(?:[0-9A-Fa-f]{1,4}:){0,5}%{IPV4}",
            r"|(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6})?::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6})?)(?:%[0-9A-Za-z]+)?"
        ),
    ),
    ("IP", r"(?:%{IPV6}|%{IPV4})"),
    ("HOSTNAME", r"\b[0-9A-Za-z](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z])?(?:\.[0-9A-Za-z](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z])?)*\.?"),
    ("HOST", r"%{HOSTNAME}"),
    ("IPORHOST", r"(?:%{IP}|%{HOSTNAME})"),
    ("HOSTPORT", r"%{IPORHOST}:%{POSINT}"),
    ("URIPROTO", r"[A-Za-z][A-Za-z0-9+.-]*"),
    ("URIHOST", r"(?:%{IPORHOST}|\[%{IPV6}\])(?::[0-9]+)?"),
    ("URIPATH", r"(?:/[A-Za-z0-9$.+!*'(){},~:;=@#%&_-]*)+"),
    ("URIQUERY", r#"[^\s"<>#]*"#),
    ("URIPARAM", r"\?%{URIQUERY}"),
    ("URIPATHPARAM", r"%{URIPATH}(?:%{URIPARAM})?"),
    ("URI", r"%{URIPROTO}://(?:[^\s@/]+@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?(?:#%{URIQUERY})?"),
    // Files and programs.
    ("UNIXPATH", r#"(?:/[^\s/"'<>|:]*)+"#),
    ("WINPATH", r#"(?:[A-Za-z]:|\\)(?:\\[^\\?*"<>|\r\n]*)+"#),
    ("PATH", r"(?:%{UNIXPATH}|%{WINPATH})"),
    ("TTY", r"/dev/(?:pts|tty(?:[pq])?)(?:\w+)?/?(?:[0-9]+)"),
    ("PROG", r"[!-Z\\^-~]+"),
    ("JAVACLASS", r"(?:[a-zA-Z$_][a-zA-Z$_0-9]*\.)*[a-zA-Z$_][a-zA-Z$_0-9]*"),
    ("JAVAFILE", r"[a-zA-Z$_0-9. -]+"),
    ("JAVAMETHOD", r"(?:<(?:cl)?init>|[a-zA-Z$_][a-zA-Z$_0-9]*)"),
    ("JAVASTACKTRACEPART", r"\s*at %{JAVACLASS:class}\.%{JAVAMETHOD:method}\(%{JAVAFILE:file}(?::%{INT:line:integer})?\)"),
    ("JAVALOGMESSAGE", r"%{GREEDYDATA}"),
    // Dates and times.
    (
        "MONTH",
        r"\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b",
    ),
    ("MONTHNUM", r"(?:0?[1-9]|1[0-2])"),
    ("MONTHNUM2", r"(?:0[1-9]|1[0-2])"),
    ("MONTHDAY", r"(?:0[1-9]|[12][0-9]|3[01]|[1-9])"),
    ("DAY", r"(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)"),
    ("YEAR", r"[0-9]{2}(?:[0-9]{2})?"),
    ("HOUR", r"(?:2[0-3]|[01]?[0-9])"),
    ("MINUTE", r"[0-5][0-9]"),
    ("SECOND", r"(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?"),
    ("TIME", r"%{HOUR}:%{MINUTE}(?::%{SECOND})?"),
    ("DATE_US", r"%{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}"),
    ("DATE_EU", r"%{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}"),
    ("DATE", r"(?:%{DATE_US}|%{DATE_EU})"),
    ("DATESTAMP", r"%{DATE}[- ]%{TIME}"),
    ("ISO8601_TIMEZONE", r"(?:Z|[+-]%{HOUR}(?::?%{MINUTE})?)"),
    ("ISO8601_SECOND", r"%{SECOND}"),
    (
        "TIMESTAMP_ISO8601",
        r"[0-9]{4}-%{MONTHNUM}-%{MONTHDAY}[Tt ]%{HOUR}:?%{MINUTE}(?::?(?:[0-5][0-9]|60)(?:[.,][0-9]+)?)?(?:%{ISO8601_TIMEZONE})?",
    ),
    ("TZ", r"[A-Z]{3,4}"),
    ("DATESTAMP_RFC822", r"%{DAY} %{MONTH} %{MONTHDAY} %{YEAR} %{TIME} %{TZ}"),
    ("DATESTAMP_RFC2822", r"%{DAY}, %{MONTHDAY} %{MONTH} %{YEAR} %{TIME} %{ISO8601_TIMEZONE}"),
    ("DATESTAMP_OTHER", r"%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{TZ} %{YEAR}"),
    ("DATESTAMP_EVENTLOG", r"[0-9]{4}%{MONTHNUM2}(?:0[1-9]|[12][0-9]|3[01])[0-2][0-9]%{MINUTE}[0-5][0-9]"),
    ("HTTPDATE", r"%{MONTHDAY}/%{MONTH}/[0-9]{4}:[0-2][0-9]:[0-5][0-9]:[0-6][0-9] [+-][0-9]{4}"),
    ("HTTPDERROR_DATE", r"%{DAY} %{MONTH} %{MONTHDAY} %{TIME} [0-9]{4}"),
    ("SYSLOGTIMESTAMP", r"%{MONTH} +%{MONTHDAY} %{TIME}"),
    // Levels.
    (
        "LOGLEVEL",
        concat!(
            r"(?i:alert|trace|debug|notice|info(?:rmation(?:al)?)?|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|severe",
            r"|emerg(?:ency)?|panic|verbose)\b"
        ),
    ),
    // syslog.
    ("SYSLOGPROG", r"%{PROG:program}(?:\[%{POSINT:pid:integer}\])?"),
    ("SYSLOGHOST", r"%{IPORHOST}"),
    ("SYSLOGFACILITY", r"<%{NONNEGINT:facility:integer}\.%{NONNEGINT:priority:integer}>"),
    ("SYSLOGBASE", r"%{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:logsource} %{SYSLOGPROG}:"),
    ("SYSLOGLINE", r"%{SYSLOGBASE} %{GREEDYDATA:message}"),
    // Web servers.
    ("HTTPDUSER", r"(?:%{EMAILADDRESS}|%{USER})"),
    (
        "HTTPD_COMMONLOG",
        concat!(
            r"%{IPORHOST:clientip} %{HTTPDUSER:ident} %{HTTPDUSER:auth} \[%{HTTPDATE:timestamp}\] ",
            r#""(?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|%{DATA:rawrequest})" "#,
            r"(?:-|%{INT:response:integer}) (?:-|%{INT:bytes:integer})"
        ),
    ),
    ("HTTPD_COMBINEDLOG", r"%{HTTPD_COMMONLOG} %{QS:referrer} %{QS:agent}"),
    ("COMMONAPACHELOG", r"%{HTTPD_COMMONLOG}"),
    ("COMBINEDAPACHELOG", r"%{HTTPD_COMBINEDLOG}"),
    (
        "HTTPD_ERRORLOG",
        concat!(
            r"\[%{HTTPDERROR_DATE:timestamp}\] \[(?:%{WORD:module})?:?%{LOGLEVEL:loglevel}\]",
            r"(?: \[pid %{POSINT:pid:integer}(?::tid %{INT:tid:integer})?\])?(?: \[client %{IPORHOST:clientip}(?::%{POSINT:clientport:integer})?\])?",
            r" (?:(?P<errorcode>AH[0-9]+): )?%{GREEDYDATA:message}"
        ),
    ),
    // Load balancers.
    (
        "HAPROXYHTTP",
        concat!(
            r"%{IP:client_ip}:%{INT:client_port:integer} \[%{NOTSPACE:accept_date}\] %{NOTSPACE:frontend_name} ",
            r"(?:%{NOTSPACE:backend_name}/%{NOTSPACE:server_name}) ",
            r"%{INT:time_request:integer}/%{INT:time_queue:integer}/%{INT:time_backend_connect:integer}",
            r"/%{INT:time_backend_response:integer}/%{INT:time_duration:integer} ",
            r"(?:-|%{INT:http_status_code:integer}) \+?%{INT:bytes_read:integer} %{NOTSPACE:captured_request_cookie} ",
            r"%{NOTSPACE:captured_response_cookie} %{NOTSPACE:termination_state} ",
            r"%{INT:actconn:integer}/%{INT:feconn:integer}/%{INT:beconn:integer}/%{INT:srvconn:integer}/\+?%{INT:retries:integer} ",
            r"%{INT:srv_queue:integer}/%{INT:backend_queue:integer} ",
            r"(?:\{(?P<captured_request_headers>[^}]*)\} )?(?:\{(?P<captured_response_headers>[^}]*)\} )?",
            r#""(?:<BADREQ>|%{WORD:http_verb} %{NOTSPACE:http_request}(?: HTTP/%{NUMBER:http_version})?)""#
        ),
    ),
    (
        "ELB_ACCESS_LOG",
        concat!(
            r"%{TIMESTAMP_ISO8601:timestamp} %{NOTSPACE:elb} %{IP:clientip}:%{INT:clientport:integer} ",
            r"(?:-|%{IP:backendip}:%{INT:backendport:integer}) %{NUMBER:request_processing_time:double} ",
            r"%{NUMBER:backend_processing_time:double} %{NUMBER:response_processing_time:double} ",
            r"(?:-|%{INT:response:integer}) (?:-|%{INT:backend_response:integer}) %{INT:received_bytes:integer} %{INT:bytes:integer} ",
            r#""%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?""#
        ),
    ),
    // Databases.
    ("REDISTIMESTAMP", r"%{MONTHDAY} %{MONTH} (?:[0-9]{4} )?%{TIME}"),
    (
        "REDISLOG",
        r"(?:\[%{POSINT:pid:integer}\]|%{POSINT:pid:integer}:(?P<role>[XCSM])) %{REDISTIMESTAMP:timestamp} (?P<level>[.*#-]) %{GREEDYDATA:message}",
    ),
    (
        "POSTGRESQL",
        r"%{TIMESTAMP_ISO8601:timestamp} %{TZ:zone} (?:\[%{POSINT:pid:integer}\] )?(?:%{USER:user}@%{NOTSPACE:database} )?(?P<level>[A-Z]+[0-9]?): +%{GREEDYDATA:message}",
    ),
];
