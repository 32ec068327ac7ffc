//! The modules a script finds with `require`: native ones, one file each, over the safe layer
//! `sandbox::native`; and those written in Lua, in `sandboxes/modules`. And [`library`], the scripts of `sandboxes/`.
//!
//! A native module is two things: an algorithm that knows no Lua (often in a room of its own, such as
//! `lpeg` or `sketch`), and a binding that reads arguments and pushes results.

mod anomaly;
mod bloom_filter;
mod circular_buffer;
mod cjson;
mod cuckoo_filter;
mod cuckoo_filter_expire;
mod ddsketch;
mod held;
mod hyperloglog;
pub mod library;
mod lpeg;
mod re;
mod regex;
mod sax;
mod r#struct;
mod topk;
mod xxhash;

use sandbox::native::{Body, Module};

/// All of them, sorted by name.
pub const ALL: &[&Module] = &[
    &text("alert", "Alerts, throttled.", include_str!("../../../sandboxes/modules/alert.lua")),
    &text("annotation", "Annotations of graphs.", include_str!("../../../sandboxes/modules/annotation.lua")),
    &anomaly::MODULE,
    &text("bind", "Grammar of BIND's query log.", include_str!("../../../sandboxes/modules/bind.lua")),
    &bloom_filter::MODULE,
    &text(
        "cbufd",
        "What another filter has sent of the changes in a circular buffer.",
        include_str!("../../../sandboxes/modules/cbufd.lua"),
    ),
    &circular_buffer::MODULE,
    &cjson::MODULE,
    &text(
        "common_log_format",
        "Grammars of web servers' logs, from their format strings.",
        include_str!("../../../sandboxes/modules/common_log_format.lua"),
    ),
    &cuckoo_filter::MODULE,
    &cuckoo_filter_expire::MODULE,
    &text("date_time", "Grammars of times, and nanoseconds of them.", include_str!("../../../sandboxes/modules/date_time.lua")),
    &ddsketch::MODULE,
    &text(
        "elasticsearch",
        "Lines and documents for Elasticsearch's bulk API.",
        include_str!("../../../sandboxes/modules/elasticsearch.lua"),
    ),
    &text(
        "field_util",
        "Sets of header and field names, as encoders have them in their options.",
        include_str!("../../../sandboxes/modules/field_util.lua"),
    ),
    &text("graph", "Checks a circular buffer, alerts, and sends its graph.", include_str!("../../../sandboxes/modules/graph.lua")),
    &text("graphite", "Lines of counters and timers for Graphite.", include_str!("../../../sandboxes/modules/graphite.lua")),
    &hyperloglog::MODULE,
    &text("ip_address", "Grammars of IP addresses and host names.", include_str!("../../../sandboxes/modules/ip_address.lua")),
    &lpeg::MODULE,
    &text(
        "msg_interpolate",
        "Texts with parts of the message and of its time in them.",
        include_str!("../../../sandboxes/modules/msg_interpolate.lua"),
    ),
    &text("mysql", "Grammars of MySQL's and MariaDB's slow query logs.", include_str!("../../../sandboxes/modules/mysql.lua")),
    &re::MODULE,
    &regex::MODULE,
    &sax::MODULE,
    &r#struct::MODULE,
    &text("syslog", "Grammars of rsyslog's templates.", include_str!("../../../sandboxes/modules/syslog.lua")),
    &topk::MODULE,
    &text(
        "ts_line_protocol",
        "Lines for InfluxDB and Graphite, of a message's fields.",
        include_str!("../../../sandboxes/modules/ts_line_protocol.lua"),
    ),
    &text("uri", "Grammar of URIs, and their parts.", include_str!("../../../sandboxes/modules/uri.lua")),
    &text("user_agent", "Browser, version and system of a user agent.", include_str!("../../../sandboxes/modules/user_agent.lua")),
    &text("util", "Small functions on tables.", include_str!("../../../sandboxes/modules/util.lua")),
    &xxhash::MODULE,
];

/// A module written in Lua; its text is `sandboxes/modules/NAME.lua`.
const fn text(name: &'static str, doc: &'static str, text: &'static str) -> Module {
    Module { name, doc, body: Body::Text(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_sorted_and_speak_for_themselves() {
        assert!(ALL.is_sorted_by_key(|m| m.name));
        for module in ALL {
            assert!(module.doc.ends_with('.'), "{}", module.name);
            if let Body::Native(functions, objects) = module.body {
                for f in functions.iter().chain(objects.iter().flat_map(|o| o.methods)) {
                    assert!(
                        f.doc.ends_with('.') && (f.signature.starts_with('(') || f.is_value()) && !f.signature.is_empty(),
                        "{}.{}",
                        module.name,
                        f.name
                    );
                }
            }
        }
    }
}
