//! Against an engine that answers as the documented API does.

mod engine;

use message::Value;
use testkit::intake::{RecordingIntake, Running, Seen, start};
use testkit::plugins::input;

use self::engine::Engine;
use super::*;

const WEB: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const SHOP: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn run(engine: &Engine, more: &str, intake: &RecordingIntake) -> Running {
    start(input(&KIND, &format!("address = 'unix://{}'\n{more}", engine.path().display())).unwrap(), intake)
}

/// `CONTAINER STREAM TEXT` of each line.
fn lines(seen: &Seen) -> Vec<String> {
    let made = seen.made.iter().flat_map(|b| (0..b.len()).map(|i| b.get(i))).filter(|m| m.type_() == b"docker.log");
    let text = |value: Option<Value<'_>>| match value {
        Some(Value::String(text)) => String::from_utf8_lossy(text).into_owned(),
        other => format!("{other:?}"),
    };
    made.map(|m| {
        format!("{} {} {}", text(m.value(b"container", 0, 0)), text(m.value(b"stream", 0, 0)), String::from_utf8_lossy(m.payload()))
    })
    .collect()
}

#[test]
fn logs_of_containers_are_read_and_new_ones_are_found() {
    let (engine, intake) = (Engine::start(), RecordingIntake::default());
    engine.create(WEB, "web", false, &[("team", "front")]);
    engine.log(WEB, 1, 1_000_000_001, "GET /\n");
    engine.log(WEB, 2, 1_000_000_002, "oops\n");
    let running = run(&engine, "label_fields = 'team'\nenv_fields = 'RELEASE'", &intake);
    running.wait_for(|seen| lines(seen).len() == 2);
    engine.log(WEB, 1, 1_000_000_003, "a long ");
    engine.log(WEB, 1, 1_000_000_003, "line\n");
    engine.create(SHOP, "shop", true, &[]);
    engine.log(SHOP, 0, 1_000_000_004, "on a terminal\r\n");
    running.wait_for(|seen| lines(seen).len() == 4);
    running.stop().unwrap();
    let mut all = lines(&intake.seen());
    all.sort();
    assert_eq!(all, ["shop console on a terminal", "web stderr oops", "web stdout GET /", "web stdout a long line"]);
    let seen = intake.seen();
    let m = seen.made.iter().find(|b| !b.is_empty()).unwrap().get(0);
    assert_eq!((m.logger(), m.timestamp()), (&b"web"[..], 1_000_000_001));
    let field = |name: &str| m.value(name.as_bytes(), 0, 0);
    assert_eq!((field("team"), field("RELEASE")), (Some(Value::String(b"front")), Some(Value::String(b"7"))));
    assert_eq!((field("container_id"), field("image")), (Some(Value::String(WEB.as_bytes())), Some(Value::String(b"nginx:1"))));
}

#[test]
fn a_restart_neither_loses_nor_repeats_lines() {
    let (engine, intake) = (Engine::start(), RecordingIntake::default());
    engine.create(WEB, "web", false, &[]);
    // Several have the same time.
    ["1", "2", "3"].iter().for_each(|text| engine.log(WEB, 1, 5_000_000_000, &format!("{text}\n")));
    let running = run(&engine, "", &intake);
    running.wait_for(|seen| lines(seen).len() == 3);
    running.stop().unwrap();
    engine.log(WEB, 1, 5_000_000_000, "4\n");
    engine.log(WEB, 1, 6_000_000_000, "5\n");
    engine.stop(WEB);
    let again = intake.restarted();
    let running = run(&engine, "", &again);
    running.wait_for(|seen| lines(seen).len() == 2);
    assert!(engine.requests().iter().any(|r| r.contains("since=5.000000000")), "{:?}", engine.requests());
    // It starts again, and is removed in the end.
    engine.start_again(WEB);
    engine.log(WEB, 1, 7_000_000_000, "6\n");
    running.wait_for(|seen| lines(seen).len() == 3);
    engine.remove(WEB);
    running.wait_for(|seen| seen.forgotten == [WEB]);
    running.stop().unwrap();
    assert_eq!(lines(&again.seen()), ["web stdout 4", "web stdout 5", "web stdout 6"]);
}

#[test]
fn an_engine_that_goes_away_is_waited_for() {
    let (engine, intake) = (Engine::start(), RecordingIntake::default());
    engine.create(WEB, "web", false, &[]);
    engine.log(WEB, 1, 1_000_000_000, "before\n");
    let running = run(&engine, "", &intake);
    running.wait_for(|seen| lines(seen).len() == 1);
    engine.break_connections();
    engine.log(WEB, 1, 2_000_000_000, "after\n");
    engine.create(SHOP, "shop", false, &[]);
    engine.log(SHOP, 1, 2_000_000_000, "new\n");
    running.wait_for(|seen| lines(seen).len() == 3);
    running.stop().unwrap();
    let mut all = lines(&intake.seen());
    all.sort();
    assert_eq!(all, ["shop stdout new", "web stdout after", "web stdout before"]);
}

#[test]
fn containers_are_chosen_by_name_and_label() {
    let (engine, intake) = (Engine::start(), RecordingIntake::default());
    let ids: Vec<String> = (3..7).map(|n| n.to_string().repeat(64)).collect();
    engine.create(&ids[0], "web-1", false, &[("team", "front")]);
    engine.create(&ids[1], "web-2", false, &[("team", "front"), ("logging", "off")]);
    engine.create(&ids[2], "web-test", false, &[("team", "front")]);
    engine.create(&ids[3], "web-4", false, &[("team", "back")]);
    ids.iter().for_each(|id| engine.log(id, 1, 1_000_000_000, "line\n"));
    let running = run(&engine, "include = 'web-*'\nexclude = '*-test'\ninclude_labels = 'team=front'\nexclude_labels = 'logging'", &intake);
    running.wait_for(|seen| lines(seen).len() == 1);
    // One that comes later is held to the same.
    engine.create(WEB, "web-5", false, &[("team", "back")]);
    engine.log(WEB, 1, 1_000_000_000, "line\n");
    engine.create(SHOP, "web-6", false, &[("team", "front")]);
    engine.log(SHOP, 1, 1_000_000_000, "line\n");
    running.wait_for(|seen| lines(seen).len() == 2);
    running.stop().unwrap();
    assert_eq!(lines(&intake.seen()), ["web-1 stdout line", "web-6 stdout line"]);
    assert!(input(&KIND, "include = '['").err().unwrap().contains("no pattern"));
    assert!(input(&KIND, "address = 'docker'").err().unwrap().contains("unix:///var/run/docker.sock"));
}

#[test]
fn events_and_statistics_become_messages() {
    let (engine, intake) = (Engine::start(), RecordingIntake::default());
    engine.create(WEB, "web", false, &[]);
    let running = run(&engine, "logs = false\nevents = true\nstats = '1s'", &intake);
    let of = |seen: &Seen, type_: &str| seen.made.iter().filter(|b| !b.is_empty() && b.get(0).type_() == type_.as_bytes()).count();
    running.wait_for(|seen| of(seen, "docker.stats") > 0);
    engine.create(SHOP, "shop", false, &[]);
    running.wait_for(|seen| of(seen, "docker.event") > 0);
    running.stop().unwrap();
    let seen = intake.seen();
    let first = |type_: &str| seen.made.iter().find(|b| !b.is_empty() && b.get(0).type_() == type_.as_bytes()).unwrap();
    let (event, stats) = (first("docker.event"), first("docker.stats"));
    let (event, stats) = (event.get(0), stats.get(0));
    let field = |name: &str| event.value(name.as_bytes(), 0, 0);
    assert_eq!(
        (field("action"), field("object"), field("name")),
        (Some(Value::String(b"start")), Some(Value::String(b"container")), Some(Value::String(b"shop")))
    );
    assert_eq!(event.timestamp(), 1_461_943_101_000_000_001);
    let field = |name: &str| stats.value(name.as_bytes(), 0, 0);
    assert_eq!(
        (field("memory_bytes"), field("received_bytes"), field("pids")),
        (Some(Value::Integer(6_537_216)), Some(Value::Integer(5338 + 641)), Some(Value::Integer(3)))
    );
    assert_eq!(
        (field("cpu_percent"), field("read_bytes"), field("container")),
        (Some(Value::Double(40.0)), Some(Value::Integer(4096)), Some(Value::String(b"web")))
    );
    // Events that were seen are not seen again.
    drop(seen);
    let again = intake.restarted();
    let running = run(&engine, "logs = false\nevents = true", &again);
    running.wait_for(|_| engine.requests().iter().any(|r| r.contains("/events?since=1461943101.000000001")));
    engine.remove(SHOP);
    running.wait_for(|seen| of(seen, "docker.event") == 2);
    running.stop().unwrap();
}

#[test]
fn since_leaves_out_what_is_old_at_the_first_start() {
    let (engine, intake) = (Engine::start(), RecordingIntake::default());
    let now = plugin::Clock::real().now();
    engine.create(WEB, "web", false, &[]);
    engine.log(WEB, 1, now - 7_200_000_000_000, "old\n");
    engine.log(WEB, 1, now - 60_000_000_000, "new\n");
    let running = run(&engine, "since = '1h'", &intake);
    running.wait_for(|seen| lines(seen).len() == 1);
    running.stop().unwrap();
    assert_eq!(lines(&intake.seen()), ["web stdout new"]);
    let note = |intake: &RecordingIntake| intake.seen().remembered().into_iter().find(|c| c.key == "since").unwrap().note;
    let first = note(&intake);
    let again = intake.restarted();
    let running = run(&engine, "since = '1h'", &again);
    running.wait_for(|seen| seen.polls > 2);
    running.stop().unwrap();
    assert_eq!(note(&again), first);
}
