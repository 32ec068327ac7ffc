//! A directory, and `nilo` run in it.

use std::ffi::OsStr;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// More than anything here takes on a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until it holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory that is removed in the end.
pub struct Dir(tempfile::TempDir);

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    pub bytes: Vec<u8>,
    /// The same, as text.
    pub stdout: String,
    pub stderr: String,
    /// `None`: ended by a signal.
    pub code: Option<i32>,
}

impl Outcome {
    /// Standard output of a run that was to succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

impl Dir {
    /// A directory with these files.
    pub fn with(files: &[(&str, &str)]) -> Dir {
        let dir = Dir(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| dir.write(name, text));
        dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file as editors do: a new one in the place of the old one.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    pub fn append(&self, name: &str, text: &str) {
        std::fs::OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Runs to the end, without standard input.
    pub fn nilo<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        self.spawn(args).end()
    }

    pub fn nilo_with_input<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &[u8]) -> Outcome {
        let mut running = start(self.0.path(), args, &[], Stdio::piped());
        running.child.stdin.take().unwrap().write_all(input).unwrap();
        running.end()
    }

    pub fn spawn<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        self.spawn_with(args, &[])
    }

    /// With these in its environment.
    pub fn spawn_with<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, env: &[(&str, &str)]) -> Running {
        start(self.0.path(), args, env, Stdio::null())
    }
}

/// Runs in a directory that is there already.
pub fn nilo_in<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> Outcome {
    start(dir, args, &[], Stdio::null()).end()
}

fn start<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>, env: &[(&str, &str)], stdin: Stdio) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilo"));
    // Whoever runs the tests may be a service itself.
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").envs(env.iter().copied());
    command.args(args).current_dir(dir).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (stdout, stderr) = (Gathered::of(child.stdout.take().unwrap()), Gathered::of(child.stderr.take().unwrap()));
    Running { child, stdout, stderr }
}

/// A process that is killed when the test is over, however it ends.
pub struct Running {
    child: Child,
    stdout: Gathered,
    stderr: Gathered,
}

impl Running {
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    #[track_caller]
    pub fn wait_for_stdout(&self, text: &str) {
        self.wait_for(text, || self.stdout());
    }

    #[track_caller]
    pub fn wait_for_stderr(&self, text: &str) {
        self.wait_for(text, || self.stderr());
    }

    #[track_caller]
    fn wait_for(&self, text: &str, of: impl Fn() -> String) {
        let began = Instant::now();
        while !of().contains(text) {
            let given_up = began.elapsed() > DEADLINE || self.stderr().contains("panicked at");
            assert!(!given_up, "never said {text:?}\nstdout: {}\nstderr: {}", self.stdout(), self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        let status = self.wait();
        let bytes = self.stdout.all();
        let stdout = String::from_utf8_lossy(&bytes).into_owned();
        Outcome { bytes, stdout, stderr: String::from_utf8_lossy(&self.stderr.all()).into_owned(), code: status.code() }
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < DEADLINE, "does not end\nstdout: {}\nstderr: {}", self.stdout(), self.stderr());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes out of a pipe, as it comes.
struct Gathered {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Gathered {
    fn of(pipe: impl Read + Send + 'static) -> Gathered {
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let mine = bytes.clone();
        let thread = std::thread::spawn(move || {
            let (mut pipe, mut block) = (BufReader::new(pipe), [0; 4096]);
            while let Ok(n @ 1..) = pipe.read(&mut block) {
                mine.lock().unwrap().extend_from_slice(&block[..n]);
            }
        });
        Gathered { bytes, thread: Some(thread) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it: the pipe is closed by now.
    fn all(&mut self) -> Vec<u8> {
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.bytes.lock().unwrap())
    }
}
