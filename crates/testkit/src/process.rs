//! Child processes of tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

use crate::wait::Deadline;

/// The output of a process so far.
#[derive(Debug, Default)]
struct Lines {
    stdout: Vec<String>,
    stderr: Vec<String>,
    open_streams: u8,
}

#[derive(Debug, Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

/// A finished process.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// Lines of standard output.
    pub stdout: Vec<String>,
    /// Lines of standard error.
    pub stderr: Vec<String>,
}

/// A child process in a process group of its own; its standard streams are pipes. The group is killed on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Arc<Mutex<Lines>>,
    deadline: Deadline,
    name: String,
}

impl Process {
    /// Starts a process.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let name = format!("{command:?}");
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let lines = Arc::new(Mutex::new(Lines {
            open_streams: 2,
            ..Lines::default()
        }));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // A thread reads each to its end, or a child that writes much would block on a full pipe.
        collect(stdout.expect("it is a pipe"), Stream::Stdout, &lines);
        collect(stderr.expect("it is a pipe"), Stream::Stderr, &lines);
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            deadline: Deadline::default(),
            name,
        }
    }

    /// Starts a server, and returns once it says that it is ready.
    ///
    /// # Panics
    /// When it cannot be started, or is not ready in time.
    #[must_use]
    pub fn ready(command: Command) -> Self {
        let process = Self::spawn(command);
        process.wait_for_line("ready");
        process
    }

    /// Sets how long each wait for this process may take; 60 s by default.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of either stream that contains `pattern`, and returns the first.
    ///
    /// # Panics
    /// When the process closes its streams without it, or the deadline passes; with all that it has written.
    #[track_caller]
    pub fn wait_for_line(&self, pattern: &str) -> String {
        self.wait_for_lines(pattern, 1).swap_remove(0)
    }

    /// Waits for `count` lines of either stream that contain `pattern`, standard output's first.
    ///
    /// # Panics
    /// As [`Process::wait_for_line`].
    #[track_caller]
    pub fn wait_for_lines(&self, pattern: &str, count: usize) -> Vec<String> {
        let what = format!("{count} lines with {pattern:?} of {}", self.name);
        self.fresh_deadline().eventually(&what, || {
            let lines = self.lines();
            let all = lines.stdout.iter().chain(&lines.stderr);
            let found: Vec<String> = all.filter(|line| line.contains(pattern)).cloned().collect();
            assert!(
                found.len() >= count || lines.open_streams > 0,
                "{} ended without {what}; it wrote {lines:#?}",
                self.name
            );
            if found.len() >= count {
                Ok(found)
            } else {
                Err(format!("{lines:#?}"))
            }
        })
    }

    /// Returns the lines of standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.lines().stdout.clone()
    }

    /// Returns the lines of standard error so far.
    #[must_use]
    pub fn stderr(&self) -> Vec<String> {
        self.lines().stderr.clone()
    }

    /// Writes a line to standard input.
    ///
    /// # Panics
    /// When the process has closed it, or [`Process::close_stdin`] has.
    #[track_caller]
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .expect("the process reads its standard input");
    }

    /// Closes standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal to the process alone, not to its group; one that has ended ignores it.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Kills the process alone with SIGKILL and waits for its end; its children live on, as in a real crash.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_exit();
    }

    /// Kills the process and all of its group with SIGKILL, and waits for the end of the process.
    #[track_caller]
    pub fn kill_group(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        self.wait_exit();
    }

    /// Returns how the process ended, `None` while it runs.
    ///
    /// # Panics
    /// When the system refuses to tell.
    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// When the deadline passes, with what it has written.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        self.fresh_deadline().eventually(&what, || {
            let ended = self.try_exit();
            ended.ok_or_else(|| format!("{:#?}", self.lines()))
        })
    }

    /// Closes standard input, waits for the end of the process and of both streams, and returns what it wrote.
    ///
    /// # Panics
    /// When the deadline passes, also because somebody else still holds a stream open.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        self.close_stdin();
        let status = self.wait_exit();
        let what = format!("the end of the streams of {}", self.name);
        self.fresh_deadline()
            .eventually(&what, || self.lines().open_streams == 0);
        Output {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    fn fresh_deadline(&self) -> Deadline {
        self.deadline.renewed()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // A wait that panics in vain holds the lock and poisons it; the lines are whole all the same.
        self.lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also when the process itself has ended: others of its group may live, and they keep the group's id.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Says whether a process lives; a zombie does not.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    // PERM says that it lives, under an account that we may not signal.
    if matches!(test_kill_process(id), Err(error) if error != rustix::io::Errno::PERM) {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat
        .rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

fn collect(stream: impl Read + Send + 'static, which: Stream, lines: &Arc<Mutex<Lines>>) {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        let all = || lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        // Bytes, since `lines()` fails at the first that are not UTF-8.
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = String::from_utf8_lossy(&bytes)
                .trim_end_matches(['\n', '\r'])
                .to_owned();
            match which {
                Stream::Stdout => all().stdout.push(line),
                Stream::Stderr => all().stderr.push(line),
            }
            bytes.clear();
        }
        // Last of all: whoever sees no open stream has every line.
        all().open_streams -= 1;
    });
}
