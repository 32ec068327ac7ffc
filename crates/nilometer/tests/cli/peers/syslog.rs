//! syslog with `logger`, rsyslog and syslog-ng, both ways.

use std::net::TcpStream;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use xtask::package::{self, BSDUTILS, RSYSLOG, RSYSLOG_OPENSSL, SYSLOG_NG};

use super::{certificates, free_port, start, there};
use crate::nilo::{Dir, Running, wait_until};

/// Receives at every kind of address and writes JSON, one message a line.
fn receiver(dir: &Dir, port: u16, tls: u16) -> Running {
    dir.write(
        "in.toml",
        format!(
            "[input.syslog]\ntype = 'syslog'\n\
             listen = ['udp://127.0.0.1:{port}', 'tcp://127.0.0.1:{port}', 'tls://127.0.0.1:{tls}', 'unixgram://{}']\n\
             tls_cert = 'server.pem'\ntls_key = 'server.key'\ntls_client_ca = 'ca.pem'\n\
             [output.out]\ntype = 'file'\nmatch = 'TRUE'\ndir = 'out'\nname = 'out.json'\nencoder = 'json'\n",
            dir.path("log").display()
        ),
    );
    let nilo = dir.spawn(["run", "in.toml"]);
    wait_until("it listens", || dir.path("log").exists() && [port, tls].iter().all(|p| TcpStream::connect(("127.0.0.1", *p)).is_ok()));
    nilo
}

fn received(dir: &Dir) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.path("out/out.json")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn logger_arrives_over_every_transport() {
    if !there(&[BSDUTILS]) {
        return;
    }
    let dir = Dir::with(&[]);
    certificates(&dir, &["server"]);
    let port = free_port();
    let nilo = receiver(&dir, port, free_port());
    let number = port.to_string();
    let log = dir.path("log");
    let ways: [&[&str]; 4] = [
        &["-n", "127.0.0.1", "-P", &number, "-d"],
        &["-n", "127.0.0.1", "-P", &number, "-T"],
        &["-n", "127.0.0.1", "-P", &number, "-T", "--octet-count"],
        &["-u", log.to_str().unwrap(), "-d"],
    ];
    for (n, way) in ways.iter().enumerate() {
        for dialect in
            [["--rfc5424", "--sd-id=zoo@123", "--sd-param=tiger=\"a \\\"hungry\\\" one\"", "--msgid=m1"].as_slice(), &["--rfc3164"]]
        {
            let mut logger = BSDUTILS.command("logger").unwrap();
            logger
                .args(*way)
                .args(dialect)
                .args(["-p", "local3.warning", "-t", "teller", "--id=4711", "--"])
                .arg(format!("the tale of {n}"));
            assert!(logger.status().unwrap().success());
        }
    }
    wait_until("everything arrives", || received(&dir).len() >= 8);
    nilo.signal(Signal::TERM);
    nilo.end().ok();
    for n in 0..4 {
        let of = |n: usize| received(&dir).into_iter().filter(move |m| m["payload"] == format!("the tale of {n}")).collect::<Vec<_>>();
        let messages = of(n);
        assert_eq!(messages.len(), 2, "{:#?}", received(&dir));
        for m in messages {
            assert_eq!((&m["type"], &m["logger"], &m["severity"]), (&"syslog".into(), &"teller".into(), &4.into()), "{m:#}");
            assert_eq!((&m["pid"], &m["facility"]), (&4711.into(), &19.into()), "{m:#}");
        }
    }
}

#[test]
fn rsyslog_and_syslog_ng_send_over_tls() {
    if !there(&[BSDUTILS, RSYSLOG, RSYSLOG_OPENSSL, SYSLOG_NG]) {
        return;
    }
    let dir = Dir::with(&[]);
    certificates(&dir, &["server", "client"]);
    let tls = free_port();
    let nilo = receiver(&dir, free_port(), tls);
    let (at, sources) = (|name: &str| dir.path(name).display().to_string(), [free_port(), free_port()]);
    dir.write("rsyslog.conf", format!(
        "global(workDirectory=\"{}\" defaultNetstreamDriver=\"ossl\" defaultNetstreamDriverCAFile=\"{}\" \
         defaultNetstreamDriverCertFile=\"{}\" defaultNetstreamDriverKeyFile=\"{}\")\n\
         module(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"{}\" address=\"127.0.0.1\" StreamDriver.Name=\"ptcp\" StreamDriver.Mode=\"0\")\n\
         action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{tls}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\" \
         StreamDriver=\"ossl\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/certvalid\")\n",
        at(""), at("ca.pem"), at("client.pem"), at("client.key"), sources[0]
    ));
    dir.write("syslog-ng.conf", format!(
        "@version: 3.38\noptions {{ keep-hostname(yes); use-dns(no); stats-level(0); }};\n\
         source s {{ syslog(ip(127.0.0.1) port({}) transport(tcp)); }};\n\
         destination d {{ syslog(\"127.0.0.1\" port({tls}) transport(tls) tls(ca-file(\"{}\") cert-file(\"{}\") key-file(\"{}\") peer-verify(required-trusted))); }};\n\
         log {{ source(s); destination(d); }};\n",
        sources[1], at("ca.pem"), at("client.pem"), at("client.key")
    ));
    let _rsyslog = start(rsyslogd(&dir).arg("-f").arg(dir.path("rsyslog.conf")));
    let _syslog_ng = start(syslog_ng(&dir).arg("--cfgfile").arg(dir.path("syslog-ng.conf")));
    for (program, source) in ["rsyslog", "syslog-ng"].iter().zip(sources) {
        wait_until("the peer listens", || TcpStream::connect(("127.0.0.1", source)).is_ok());
        let mut logger = BSDUTILS.command("logger").unwrap();
        logger.args([
            "-n",
            "127.0.0.1",
            "-T",
            "--octet-count",
            "--rfc5424",
            "--sd-id=zoo@123",
            "--sd-param=tiger=\"hungry\"",
            "--msgid=m1",
            "-P",
        ]);
        logger.arg(source.to_string()).args(["-p", "auth.err", "-t", program, "--id=12", "--", "through \u{e9} and back"]);
        assert!(logger.status().unwrap().success());
    }
    wait_until("both arrive", || received(&dir).iter().filter(|m| m["payload"] == "through \u{e9} and back").count() >= 2);
    nilo.signal(Signal::TERM);
    nilo.end().ok();
    for program in ["rsyslog", "syslog-ng"] {
        let all = received(&dir);
        let m = all.iter().find(|m| m["logger"] == program).unwrap_or_else(|| panic!("{program}: {all:#?}"));
        assert_eq!((&m["severity"], &m["pid"], &m["facility"]), (&3.into(), &12.into(), &4.into()), "{m:#}");
        assert_eq!((&m["msgid"], &m["zoo@123.tiger"]), (&"m1".into(), &"hungry".into()), "{m:#}");
    }
}

#[test]
fn rsyslog_and_syslog_ng_receive_over_tls() {
    if !there(&[RSYSLOG, RSYSLOG_OPENSSL, SYSLOG_NG]) {
        return;
    }
    let dir = Dir::with(&[("in.log", "one\ntwo \"quoted\" [and] bracketed\n")]);
    certificates(&dir, &["server", "client"]);
    let (at, ports) = (|name: &str| dir.path(name).display().to_string(), [free_port(), free_port()]);
    dir.write(
        "rsyslog.conf",
        format!(
            "global(workDirectory=\"{}\" defaultNetstreamDriver=\"ossl\" defaultNetstreamDriverCAFile=\"{}\" \
         defaultNetstreamDriverCertFile=\"{}\" defaultNetstreamDriverKeyFile=\"{}\")\n\
         module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"x509/certvalid\")\n\
         template(name=\"t\" type=\"string\" string=\"%app-name%|%msgid%|%structured-data%|%msg%\\n\")\n\
         input(type=\"imtcp\" port=\"{}\" address=\"127.0.0.1\")\naction(type=\"omfile\" file=\"{}\" template=\"t\")\n",
            at(""),
            at("ca.pem"),
            at("server.pem"),
            at("server.key"),
            ports[0],
            at("rsyslog.out")
        ),
    );
    dir.write("syslog-ng.conf", format!(
        "@version: 3.38\noptions {{ keep-hostname(yes); use-dns(no); stats-level(0); }};\n\
         source s {{ syslog(ip(127.0.0.1) port({}) transport(tls) tls(ca-file(\"{}\") cert-file(\"{}\") key-file(\"{}\") peer-verify(required-trusted))); }};\n\
         destination d {{ file(\"{}\" template(\"$PROGRAM|$MSGID|$SDATA|$MSG\\n\")); }};\nlog {{ source(s); destination(d); }};\n",
        ports[1], at("ca.pem"), at("server.pem"), at("server.key"), at("syslog-ng.out")
    ));
    let _rsyslog = start(rsyslogd(&dir).arg("-f").arg(dir.path("rsyslog.conf")));
    let _syslog_ng = start(syslog_ng(&dir).arg("--cfgfile").arg(dir.path("syslog-ng.conf")));
    let outputs: String = ["rsyslog", "syslog_ng"].iter().zip(ports).map(|(name, port)| format!(
        "[output.{name}]\ntype = 'tcp'\nmatch = 'TRUE'\naddress = '127.0.0.1:{port}'\ntls = true\ntls_ca = 'ca.pem'\ntls_cert = 'client.pem'\ntls_key = 'client.key'\n\
         encoder = '{name}_syslog'\n[encoder.{name}_syslog]\ntype = 'syslog'\nframing = 'octets'\n"
    )).collect();
    dir.write("out.toml", format!("[input.in]\ntype = 'tail'\npaths = 'in.log'\n{outputs}"));
    let nilo = dir.spawn(["run", "out.toml"]);
    for name in ["rsyslog.out", "syslog-ng.out"] {
        let text = || std::fs::read_to_string(dir.path(name)).unwrap_or_default();
        wait_until("both lines arrive", || text().lines().count() >= 2);
        assert!(text().contains("|one") && text().contains("two \"quoted\" [and] bracketed"), "{name}: {}", text());
    }
    nilo.signal(Signal::TERM);
    nilo.end().ok();
}

fn rsyslogd(dir: &Dir) -> Command {
    let mut command = RSYSLOG.command("rsyslogd").unwrap();
    let own = RSYSLOG.prefix("rsyslogd").join("usr/lib").join(package::triplet()).join("rsyslog");
    let tls = RSYSLOG_OPENSSL.libraries()[0].join("rsyslog");
    command.arg("-n").arg("-i").arg(dir.path("rsyslog.pid")).arg("-M").arg(format!("{}:{}", own.display(), tls.display()));
    command
}

fn syslog_ng(dir: &Dir) -> Command {
    let mut command = SYSLOG_NG.command("syslog-ng").unwrap();
    command.args(["--foreground", "--no-caps", "--persist-file"]).arg(dir.path("persist")).arg("--control").arg(dir.path("control"));
    command.arg("--pidfile").arg(dir.path("syslog-ng.pid")).arg("--module-path");
    command.arg(SYSLOG_NG.prefix("syslog-ng").join("usr/lib/syslog-ng/3.38"));
    command
}
