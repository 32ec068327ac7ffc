//! A copy of the examples to run one of them in.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

/// Generous: other tests may keep the machine busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The examples as they are in the repository.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port of this host that nobody listens at.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A temporary copy of `examples/`, and the one of them that is run.
pub struct Place {
    dir: TempDir,
    name: &'static str,
}

impl Place {
    pub fn new(name: &'static str) -> Place {
        let dir = tempfile::tempdir().unwrap();
        copy(&examples(), &dir.path().join("examples"));
        Place { dir, name }
    }

    /// A file of the example.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("examples").join(self.name).join(name)
    }

    /// What the example has written so far.
    pub fn output(&self, name: &str) -> String {
        fs::read_to_string(self.file("output").join(name)).unwrap_or_default()
    }

    /// What was said on standard error so far.
    pub fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap_or_default()
    }

    /// Changes a file as an editor does: a new one takes its place.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let (path, new) = (self.file(name), self.file("edited"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} does not contain {from}");
        fs::write(&new, text.replace(from, to)).unwrap();
        fs::set_permissions(&new, fs::metadata(&path).unwrap().permissions()).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Starts `nilo run`.
    pub fn run(&self, config: &str) -> Running {
        self.start(Command::new(env!("CARGO_BIN_EXE_nilo")).args(["run", config]).env("RELAY_KEY", "anything"))
    }

    /// Starts a command in the example's folder.
    pub fn start(&self, command: &mut Command) -> Running {
        let said = File::options().create(true).append(true).open(self.dir.path().join("said")).unwrap();
        let command = command.current_dir(self.file("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        Running(command.process_group(0).spawn().unwrap())
    }

    /// Compares everything in `expected` with what was written.
    pub fn compare(&self) {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let expected = examples().join(self.name).join("expected");
            let _ = fs::remove_dir_all(&expected);
            return copy(&self.file("output"), &expected);
        }
        for entry in fs::read_dir(self.file("expected")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let expected = fs::read_to_string(self.file("expected").join(&name)).unwrap();
            assert_eq!(self.output(&name), expected, "{}: output/{name}; it said:\n{}", self.name, self.said());
        }
    }
}

/// A process group that does not outlive the test.
pub struct Running(Child);

impl Running {
    /// Waits for it to end by itself, in order.
    pub fn ends(mut self) {
        let status = self.wait();
        assert!(status.success(), "{status}");
    }

    /// Stops it in order.
    pub fn stop(self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.ends();
    }

    /// As Ctrl-C on a terminal does.
    pub fn interrupt(self) {
        kill_process_group(self.pid(), Signal::INT).unwrap();
        self.ends();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn wait(&mut self) -> ExitStatus {
        until("it ends", || self.0.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// Copies a folder, without what examples wrote there.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        match path.is_dir() {
            true if name == "output" => {}
            true => copy(&path, &to.join(name)),
            false => drop(fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}
