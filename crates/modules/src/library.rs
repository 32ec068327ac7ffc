//! The scripts that come with the program: those of `sandboxes/`, where each lies beside its test.

use std::path::Path;

use sandbox::Family;

/// A script of the library.
#[derive(Debug)]
pub struct LibraryScript {
    pub family: Family,
    pub name: &'static str,
    pub text: &'static str,
}

/// What the path of a script begins with when it names one of the library: `nilo:filters/http_status.lua`. A file
/// of such a name is still reached, as `./nilo:…`.
pub const SCHEME: &str = "nilo:";

macro_rules! scripts {
    ($($family:ident $dir:literal: $($name:literal)*;)*) => {
        &[$($(LibraryScript {
            family: Family::$family,
            name: $name,
            text: include_str!(concat!("../../../sandboxes/", $dir, "/", $name, ".lua")),
        },)*)*]
    };
}

/// All of them, by family and name.
pub const SCRIPTS: &[LibraryScript] = scripts! {
    Decoder "decoders":
        "apache_access" "bind_query_log" "graylog_extended" "json_map" "linux_diskstats" "linux_loadavg" "linux_memstats"
        "linux_netdev" "linux_netstat" "linux_procstat" "mariadb_slow_query" "mysql_slow_query" "nginx_access" "nginx_error"
        "nginx_stub_status" "rsyslog";
    Transform "transforms":
        "redact_secrets" "sample_by_trace";
    Filter "filters":
        "cbufd_aggregator" "cbufd_host_aggregator" "diskstats" "error_budget" "frequent_items" "heartbeat" "http_status"
        "influx_batch" "latency_by_route" "loadavg" "memstats" "message_failures" "message_schema" "mysql_slow_query" "new_errors"
        "procstat" "rate_of_change" "sessions" "stat_graph" "top_talkers" "unique_items";
    Encoder "encoders":
        "alert" "cbuf_librato" "es_payload" "schema_carbon_line" "schema_influx" "schema_influx_line" "statmetric_influx";
};

impl LibraryScript {
    /// `filters/http_status.lua`.
    pub fn path(&self) -> String {
        format!("{}s/{}.lua", self.family.name(), self.name)
    }
}

/// What a path says behind [`SCHEME`], if it has one.
pub fn name_in(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(SCHEME)
}

/// The script of such a name: `filters/http_status.lua`.
pub fn find(name: &str) -> Option<&'static LibraryScript> {
    SCRIPTS.iter().find(|script| script.path() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_listed_and_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sandboxes");
        let mut files = Vec::new();
        for family in Family::ALL {
            let dir = format!("{}s", family.name());
            let entries = std::fs::read_dir(root.join(&dir)).into_iter().flatten();
            files.extend(entries.map(|e| format!("{dir}/{}", e.unwrap().file_name().into_string().unwrap())));
        }
        files.retain(|f| f.ends_with(".lua") && !f.ends_with("_test.lua"));
        assert!(files.len() > 40, "{files:?}");
        for file in &files {
            assert!(find(file).is_some(), "sandboxes/{file} is not in SCRIPTS");
        }
        assert_eq!(SCRIPTS.len(), files.len());
    }

    #[test]
    fn a_path_names_one_by_its_scheme() {
        assert_eq!(name_in(Path::new("nilo:filters/http_status.lua")), Some("filters/http_status.lua"));
        assert_eq!(name_in(Path::new("./nilo:x.lua")), None);
        assert_eq!(name_in(Path::new("filters/http_status.lua")), None);
    }
}
