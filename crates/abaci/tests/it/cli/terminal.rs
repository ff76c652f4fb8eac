//! The program on a terminal of its own, and what becomes of a fleet when its terminal goes away.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use testkit::{Listed, Process, Signal, children_of, eventually, is_alive};

use crate::rig::{Rig, code, objects};

/// The width of a terminal where it does not matter.
const COLUMNS: u16 = 100;

/// A process whose output goes to a terminal of 24 lines; killed on drop.
pub(crate) struct OnTerminal {
    child: Child,
    /// Our end, until it is taken away.
    terminal: Option<OwnedFd>,
    shown: RefCell<Vec<u8>>,
}

impl OnTerminal {
    pub(crate) fn spawn(command: Command) -> Self {
        Self::with_columns(command, COLUMNS)
    }

    /// Starts a process on a terminal that is this wide.
    pub(crate) fn with_columns(mut command: Command, columns: u16) -> Self {
        command.stdin(Stdio::null());
        Self::with(command, pair(columns))
    }

    /// Starts a process as the leader of a session whose terminal this is, so that it is told when the terminal goes.
    fn lead_session(command: &Command) -> Self {
        let (ours, theirs) = pair(COLUMNS);
        let mut leader = through(&["setsid", "--ctty"], command);
        leader.stdin(theirs.try_clone().unwrap());
        Self::with(leader, (ours, theirs))
    }

    fn with(mut command: Command, (ours, theirs): (OwnedFd, OwnedFd)) -> Self {
        let child = command
            .env("TERM", "xterm-256color")
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();
        // The other ends that the command still holds would keep the terminal open.
        drop(command);
        // Whoever looks takes what is there and does not wait for more.
        ioctl_fionbio(&ours, true).unwrap();
        Self {
            child,
            terminal: Some(ours),
            shown: RefCell::default(),
        }
    }

    /// Takes the terminal away, as closing its window does.
    fn hang_up(&mut self) {
        self.terminal = None;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that was written so far, control sequences included.
    pub(crate) fn shown(&self) -> String {
        self.read();
        String::from_utf8_lossy(&self.shown.borrow()).into_owned()
    }

    /// The exit code, once it has ended.
    pub(crate) fn code(&mut self) -> Option<i32> {
        // A terminal that nobody reads fills up, and its writers wait.
        self.read();
        self.child.try_wait().unwrap().and_then(|status| status.code())
    }

    /// Takes in what was written; an end that nobody has open any more reads as an error.
    fn read(&self) {
        let Some(terminal) = &self.terminal else { return };
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = rustix::io::read(terminal, &mut bytes) {
            self.shown.borrow_mut().extend_from_slice(&bytes[..count]);
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that has `program` start another one.
fn through(program: &[&str], command: &Command) -> Command {
    let mut started = Command::new(program[0]);
    started
        .args(&program[1..])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    started
}

/// Both ends of a new terminal; no child has them but as its standard streams.
fn pair(columns: u16) -> (OwnedFd, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let path = ptsname(&ours, Vec::new()).unwrap();
    let theirs = rustix::fs::open(
        path,
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&theirs, size).unwrap();
    (ours, theirs)
}

#[test]
fn a_terminal_that_goes_away_stops_a_fleet_in_order() {
    let rig = Rig::new();
    let fleet = rig.abaci(["fleet", "--workers", "2", "--health-addr", "none"]);
    let mut fleet = OnTerminal::lead_session(&fleet);
    eventually("a fleet", || {
        let shown = fleet.shown();
        if shown.contains("fleet ready") {
            Ok(())
        } else {
            Err(shown)
        }
    });
    // Over two seconds of one core: long enough to be met in the middle.
    let id = rig.submit(&["--algorithm", "recursive", "44"]).remove(0);
    eventually("a job at work", || fleet.shown().contains("job started"));
    let children = children_of(fleet.pid());
    assert_eq!(children.len(), 2, "{children:#?}");

    let pid = Pid::from_raw(fleet.pid().cast_signed()).unwrap();
    fleet.hang_up();
    let exit = eventually("the end of the fleet", || {
        // The kernel has told it, and a shell would tell it again, which must not count as haste.
        let _ = kill_process(pid, Signal::HUP);
        fleet.code()
    });
    assert_eq!(exit, 0, "it did not end in order; it said {}", fleet.shown());
    for Listed { pid, command, .. } in children {
        assert!(!is_alive(pid), "left over: {command}");
    }
    // What ran was finished by the worker that had it.
    let result = &objects(&rig.run(["wait", "--json", &id]))[0];
    assert_eq!(
        (&result["value"], &result["attempts"]),
        (&"701408733".into(), &1.into()),
        "{result}"
    );
}

/// Runs a fleet on a terminal of this width through a job, and returns what it logged.
#[track_caller]
fn log_of_a_fleet_on(columns: u16, colour: &[(&str, &str)]) -> String {
    let rig = Rig::new();
    let mut fleet = rig.abaci(["fleet", "--workers", "2", "--health-addr", "127.0.0.1:0"]);
    fleet.envs(colour.iter().copied());
    let mut fleet = OnTerminal::with_columns(fleet, columns);
    eventually("a fleet", || fleet.shown().contains("fleet ready"));
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
    let worker = children_of(fleet.pid()).remove(0).pid;
    kill_process(Pid::from_raw(worker.cast_signed()).unwrap(), Signal::KILL).unwrap();
    eventually("its end", || fleet.shown().contains("worker ended"));
    kill_process(Pid::from_raw(fleet.pid().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(eventually("the end of the fleet", || fleet.code()), 0);
    fleet.shown()
}

#[test]
fn on_a_terminal_an_event_is_one_line_with_the_time_of_day() {
    for columns in [80, 100] {
        let log = log_of_a_fleet_on(columns, &[("NO_COLOR", "1")]);
        assert!(!log.contains('\u{1b}'), "{log:?}");
        for line in log.lines() {
            let (time, _) = line.split_once(' ').unwrap_or_default();
            assert!(
                time.len() == "12:25:19Z".len() && time.ends_with('Z'),
                "{line:?} of {log:?}"
            );
            let is_reason = line.contains(" WARN ");
            assert!(
                is_reason || line.trim_end().chars().count() <= usize::from(columns),
                "{line}"
            );
        }
        assert!(
            log.contains("job succeeded job=") && log.contains("ready slot=0"),
            "{log}"
        );
    }
}

#[test]
fn on_a_terminal_the_level_of_an_event_has_a_colour() {
    let log = log_of_a_fleet_on(COLUMNS, &[]);
    for level in ["\u{1b}[32mINFO", "\u{1b}[33mWARN"] {
        assert!(log.contains(level), "{log:?}");
    }
}

#[test]
fn under_nohup_a_fleet_ignores_sighup_and_reloads_by_command() {
    let rig = Rig::new();
    let fleet = rig.abaci(["fleet", "--workers", "1", "--health-addr", "none"]);
    let fleet = Process::spawn(through(&["nohup"], &fleet));
    fleet.wait_for_line("fleet ready");
    let before = children_of(fleet.pid());
    fleet.signal(Signal::HUP);
    assert_eq!(code(&rig.run(["submit", "10"])), 0);
    assert_eq!(children_of(fleet.pid()), before, "the signal did something");
    // While another reload is under way this would be refused.
    let output = rig.run(["fleet", "reload"]);
    assert_eq!(code(&output), 0, "{output:#?}");
    assert_ne!(children_of(fleet.pid()), before, "the word did nothing");
    fleet.signal(Signal::TERM);
    let output = fleet.finish();
    assert_eq!(code(&output), 0, "{output:#?}");
    let told = output.stderr.iter().filter(|line| line.contains("reloaded"));
    assert_eq!(told.count(), 1, "the signal was heard: {output:#?}");
}
