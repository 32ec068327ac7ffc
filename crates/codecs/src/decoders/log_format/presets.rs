use plugin::{Family, Preset};

const fn preset(name: &'static str, summary: &'static str, toml: &'static str) -> Preset {
    Preset { family: Family::Decoder, name, kind: "log_format", summary, toml }
}

/// nginx's own default, `combined`.
pub const NGINX: Preset = preset(
    "nginx",
    "Access log of nginx in its default format.",
    r#"
style = "nginx"
format = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
"#,
);

/// Times to the millisecond.
pub const NGINX_MSEC: Preset = preset(
    "nginx_msec",
    "Access log of nginx with times in milliseconds, as Hindsight's users write it.",
    r#"
style = "nginx"
format = '$remote_addr $msec "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for"'
"#,
);

/// `combined` of the configuration that Apache ships.
pub const APACHE: Preset = preset(
    "apache",
    "Access log of Apache in the combined format.",
    r#"
style = "apache"
format = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'
"#,
);

/// `common` of the configuration that Apache ships.
pub const APACHE_COMMON: Preset = preset(
    "apache_common",
    "Access log of Apache in the common format.",
    r#"
style = "apache"
format = '%h %l %u %t "%r" %>s %b'
"#,
);
