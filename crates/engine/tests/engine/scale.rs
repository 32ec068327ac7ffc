use crate::board::{board, plan, registry, start, until};
use std::time::Instant;
#[test]
fn scale() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("c.lua"), "n = 0\nfunction process_message() n = n + 1 return 0 end\n").unwrap();
    let mut toml = String::from("[nilo]\nstate='s'\n[input.scale]\ntype='board'\nboard='scale'\n[output.scale]\ntype='board'\nboard='scale'\nfrom=['input.scale']\n");
    for n in 0..10_000 { toml += &format!("[filter.f{n}]\ntype='lua'\nscript='c.lua'\nmatch='Payload == \"{n}\"'\n"); }
    let t = Instant::now();
    let p = plan(dir.path(), &toml); eprintln!("plan {:?}", t.elapsed());
    let t = Instant::now();
    let engine = engine::Engine::start(p, engine::Settings { registry: registry(), ticks: engine::Ticks::Clock }).unwrap();
    eprintln!("start {:?}", t.elapsed());
    let t = Instant::now();
    engine.reload_changed_scripts(); eprintln!("nothing changed {:?}", t.elapsed());
    let cpu = || { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let f: Vec<&str> = s.split(' ').collect(); (f[13].parse::<u64>().unwrap() + f[14].parse::<u64>().unwrap()) * 10 };
    let c = cpu(); std::thread::sleep(std::time::Duration::from_secs(2)); eprintln!("idle cpu ms in 2 s: {}", cpu() - c);
    let t = Instant::now();
    let lines: String = (0..100_000).map(|n| format!("{}\n", n % 10_000)).collect();
    board("scale").feed(&lines); board("scale").wait_for(100_000); 
    until("settled", || board("scale").settled.load(std::sync::atomic::Ordering::Relaxed));
    eprintln!("100000 lines to 10000 filters {:?}", t.elapsed());
    let t = Instant::now();
    let p = plan(dir.path(), &(toml + "[output.x]\ntype='board'\nboard='scale'\nfrom=['input.scale']\n")); eprintln!("plan {:?}", t.elapsed());
    let t = Instant::now();
    eprintln!("{}", engine.reload(p).unwrap()); eprintln!("reload {:?}", t.elapsed());
    std::fs::write(dir.path().join("c.lua"), "n = 0\nfunction process_message() n = n + 2 return 0 end\n").unwrap();
    let t = Instant::now();
    eprintln!("{} changes", engine.reload_changed_scripts().changes.len()); eprintln!("all scripts {:?}", t.elapsed());
    let t = Instant::now(); engine.stop(); eprintln!("stop {:?}", t.elapsed());
    let _ = start;
}
