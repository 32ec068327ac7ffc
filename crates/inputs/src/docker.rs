//! The `docker` input: what containers log, what becomes of them, and what they use, from the engine's socket.
//!
//! One thread speaks to the engine over as many connections as there are containers. Containers are
//! found by listing them once and hearing of new ones after that; when the engine goes away, it
//! starts over. The position in each container's log is the time of its last record, and how many
//! had that time, so that a restart neither loses nor repeats lines.
//!
//! Where the engine writes to journald, or log files are at hand, `journald` and `tail` are cheaper.

mod body;
mod container;
mod exchange;
mod lines;
mod made;
mod select;
mod session;
mod time;

use std::time::Duration;

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability};

use self::exchange::Address;
use self::select::Select;
use self::session::Session;

pub const KIND: Kind = Kind::input("docker", Stability::Experimental, |o, cx| Ok(Box::new(Docker::new(o, cx)?)))
    .summary("Reads logs, events and statistics of Docker's containers.")
    .doc(
        "A line of a container's log is a message of Type `docker.log`: the line is the Payload, and the record of `decoder` if there is one; Logger is \
         the container's name, and the fields are `container` (its name), `container_id`, `image`, `stream` (`stdout`, `stderr`, or `console` of a \
         container with a terminal), and labels and variables that the options name. Lines that the engine keeps in pieces are joined. \
         Containers that start later are found by the engine's events; a container's log is read to its end also when it has stopped. \
         After a restart every log is read on behind the last line that was accepted, as far as the engine still has it.\n\n\
         An event is a message of Type `docker.event` with the engine's JSON as Payload, the fields `action`, `object` (`container`, `image`, `network` …), `id`, \
         and `name` and `image` where it has them. Statistics are messages of Type `docker.stats`, with the engine's JSON as Payload and the fields \
         `cpu_percent` (of one CPU), `cpu_ns`, `memory_bytes`, `memory_limit_bytes`, `received_bytes`, `sent_bytes`, `read_bytes`, `written_bytes` and `pids`.\n\n\
         Logs can be read of containers whose logging driver can be, such as `json-file`, `local` and `journald`; with others the engine keeps a copy by default (`dual logging`). \
         Who may speak to the socket is as good as root on that host: a proxy that lets through GET of `/containers` and `/events` suffices here. \
         Podman's socket is understood, too. While the engine cannot be reached the input says so once, and tries again.",
    )
    .options(&[
        Opt::string("address")
            .default("unix:///var/run/docker.sock")
            .doc("The engine's socket, `unix:///path`, or `tcp://host:port` without TLS."),
        Opt::bool("logs").default("true").doc("Read what containers log."),
        Opt::bool("events").default("false").doc("Read the engine's events."),
        Opt::duration("stats").sample("\"10s\"").doc("How often to read statistics of each running container, at least 1s. Not given: never."),
        Opt::strings("include").sample("[\"web-*\"]").doc("Names of containers, with `*` and `?`. Not given: all."),
        Opt::strings("exclude").sample("[\"*-test\"]").doc("Names of containers to leave out, even if others include them."),
        Opt::strings("include_labels").sample("[\"team=shop\"]").doc("Only containers with one of these labels: `name`, or `name=value`."),
        Opt::strings("exclude_labels").sample("[\"logging=off\"]").doc("Containers with one of these labels are left out."),
        Opt::strings("label_fields").sample("[\"com.example.team\"]").doc("Labels of the container that its messages get as fields of that name."),
        Opt::strings("env_fields").sample("[\"RELEASE\"]").doc("Variables of the container's environment that its messages get as fields of that name."),
        Opt::duration("since").sample("\"1h\"").doc(
            "At the first start, how old the first lines may be; `0s` is for what comes from now on. Not given: all that the engine has. Later starts go on where the last one was.",
        ),
        Opt::size("max_line").default("1MiB").doc("What is longer of a line is left out, and counted as `cut_bytes`."),
        Opt::integer("max_containers").default("1000").doc("Containers that are followed at once; each takes a connection. Others wait until there is room."),
        Opt::duration("timeout").default("30s").doc("How long the engine may take to begin an answer."),
    ])
    .examples(&[
        Example { title: "Logs of all containers", toml: "" },
        Example { title: "JSON that the shop's containers log, with their team", toml: "include_labels = [\"com.example.team=shop\"]\nlabel_fields = [\"com.example.team\"]\ndecoder = \"json\"" },
        Example { title: "Only events and statistics", toml: "logs = false\nevents = true\nstats = \"10s\"" },
    ]);

struct Docker {
    address: Address,
    logs: bool,
    events: bool,
    stats: Option<Duration>,
    select: Select,
    label_fields: Vec<String>,
    env_fields: Vec<String>,
    /// Of the first start, in nanoseconds.
    since: Option<i64>,
    max_line: usize,
    max_containers: usize,
    timeout: Duration,
}

impl Docker {
    fn new(o: &Options, _: &BuildCx) -> Result<Docker, Problem> {
        let text = o.str("address");
        let address = Address::parse(text).ok_or_else(|| {
            o.problem(
                "address",
                format!("\"{text}\" is no address of an engine"),
                "expected \"unix:///var/run/docker.sock\" or \"tcp://host:port\"",
            )
        })?;
        let most = o.integer("max_containers");
        Ok(Docker {
            address,
            logs: o.bool("logs"),
            events: o.bool("events"),
            stats: o.get_duration("stats").map(|every| every.max(Duration::from_secs(1))),
            select: Select::new(o)?,
            label_fields: o.strings("label_fields").to_vec(),
            env_fields: o.strings("env_fields").to_vec(),
            since: o.get_duration("since").map(|d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)),
            max_line: o.size("max_line"),
            max_containers: usize::try_from(most)
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| o.problem("max_containers", format!("`max_containers` is {most}"), "expected at least 1"))?,
            timeout: o.duration("timeout"),
        })
    }
}

impl Input for Docker {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let mut session = Session::new(self, cx);
        while !cx.stop.asked() {
            session.turn(cx);
            cx.intake.poll();
        }
        session.close(cx);
        Ok(())
    }

    /// The engine keeps the logs.
    fn can_wait(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
