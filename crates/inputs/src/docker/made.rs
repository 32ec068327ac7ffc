//! The messages of containers, events and statistics.

use message::{Datum, MessageMut, Messages, Text};
use serde_json::Value;

use super::container::About;
use super::lines::Line;

pub(super) fn line(line: &Line, about: &About, now: i64, messages: &mut Messages) {
    let mut m = messages.add();
    m.set_type(b"docker.log");
    m.set_timestamp(line.time.unwrap_or(now));
    m.set_payload(&line.text);
    of_container(about, &mut m);
    m.add_string(b"stream", line.output.name().as_bytes());
}

fn of_container(about: &About, m: &mut MessageMut<'_>) {
    m.set_logger(about.name.as_bytes());
    for (name, value) in &about.fields {
        m.add_string(name.as_bytes(), value.as_bytes());
    }
}

/// An event as the engine sent it; `at` is its time.
pub(super) fn event(text: &[u8], json: &Value, at: i64, messages: &mut Messages) {
    let mut m = messages.add();
    m.set_type(b"docker.event");
    m.set_timestamp(at);
    m.set_payload(text);
    m.set_severity(6);
    let actor = &json["Actor"];
    let name = actor["Attributes"]["name"].as_str();
    if let Some(name) = name {
        m.set_logger(name.as_bytes());
    }
    let fields = [
        ("action", json["Action"].as_str()),
        ("object", json["Type"].as_str()),
        ("id", actor["ID"].as_str()),
        ("name", name),
        ("image", actor["Attributes"]["image"].as_str()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            m.add_string(name.as_bytes(), value.as_bytes());
        }
    }
}

/// The answer to `/containers/ID/stats`.
pub(super) fn stats(text: &[u8], json: &Value, about: &About, now: i64, messages: &mut Messages) {
    let mut m = messages.add();
    m.set_type(b"docker.stats");
    m.set_timestamp(json["read"].as_str().and_then(|at| super::time::parse(at.as_bytes())).unwrap_or(now));
    m.set_payload(text);
    m.set_severity(6);
    of_container(about, &mut m);
    let memory = &json["memory_stats"];
    let numbers = [
        ("cpu_ns", json["cpu_stats"]["cpu_usage"]["total_usage"].as_u64(), "ns"),
        ("memory_bytes", memory["usage"].as_u64(), "B"),
        ("memory_limit_bytes", memory["limit"].as_u64(), "B"),
        ("received_bytes", network(json, "rx_bytes"), "B"),
        ("sent_bytes", network(json, "tx_bytes"), "B"),
        ("read_bytes", disk(json, "read"), "B"),
        ("written_bytes", disk(json, "write"), "B"),
        ("pids", json["pids_stats"]["current"].as_u64(), ""),
    ];
    for (name, value, unit) in numbers {
        if let Some(value) = value {
            let name = m.messages().store(name.as_bytes());
            let unit = if unit.is_empty() { Text::NONE } else { m.messages().store(unit.as_bytes()) };
            m.add_in(name, unit, Datum::Integer(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }
    if let Some(percent) = cpu_percent(json) {
        let (name, unit) = (m.messages().store(b"cpu_percent"), m.messages().store(b"%"));
        m.add_in(name, unit, Datum::Double(percent));
    }
}

/// Over all networks.
fn network(json: &Value, of: &str) -> Option<u64> {
    let networks = json["networks"].as_object()?;
    Some(networks.values().filter_map(|n| n[of].as_u64()).fold(0, u64::saturating_add))
}

/// Over all devices.
fn disk(json: &Value, operation: &str) -> Option<u64> {
    let entries = json["blkio_stats"]["io_service_bytes_recursive"].as_array()?;
    let of = entries.iter().filter(|e| e["op"].as_str().is_some_and(|op| op.eq_ignore_ascii_case(operation)));
    Some(of.filter_map(|e| e["value"].as_u64()).fold(0, u64::saturating_add))
}

/// Of one CPU, between the two samples that an answer has: the container's time by that of the whole machine, times the number of CPUs.
fn cpu_percent(json: &Value) -> Option<f64> {
    let (now, before) = (&json["cpu_stats"], &json["precpu_stats"]);
    let used = now["cpu_usage"]["total_usage"].as_u64()?.checked_sub(before["cpu_usage"]["total_usage"].as_u64()?)?;
    let all = now["system_cpu_usage"].as_u64()?.checked_sub(before["system_cpu_usage"].as_u64()?)?;
    let cpus = now["online_cpus"].as_u64().filter(|n| *n > 0)?;
    (all > 0).then(|| used as f64 / all as f64 * cpus as f64 * 100.0)
}
