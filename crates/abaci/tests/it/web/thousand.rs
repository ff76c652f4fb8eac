//! A thousand listeners, and thousands of jobs, whatever happens to the process that tells of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Deadline, Signal, eventually};

use super::listeners::succeeded;
use super::rig::{WebFleet, WebRig};
use super::stream::Listener;
use crate::children::{kill, signal, stop};
use crate::fleet_rig::memory_kib;

/// The listeners.
const LISTENERS: usize = 1_000;

/// The memory that a listener may need in the server.
const LISTENER_KIB: u64 = 64;

/// The listeners of a server as far as they have come.
#[derive(Default)]
struct Heard {
    /// Those that have been told something.
    seated: AtomicUsize,
    /// The jobs that all together have heard of.
    jobs: AtomicUsize,
    /// The jobs that were told again, at all listeners.
    twice: AtomicUsize,
}

impl Heard {
    /// Waits until all listeners have heard of so many jobs, and prints the time since they began.
    #[track_caller]
    fn await_all(&self, jobs: usize, begun: Instant) {
        let deadline = Deadline::after(Duration::from_mins(2));
        deadline.eventually("the same at all listeners", || {
            let now = self.jobs.load(Ordering::Relaxed);
            if now == jobs * LISTENERS { Ok(()) } else { Err(now) }
        });
        println!(
            "{jobs} jobs, twice {}, after {:?}",
            self.twice.load(Ordering::Relaxed),
            begun.elapsed()
        );
    }
}

/// Listens until so many jobs have succeeded, and tests that each was told once.
fn listen(address: &str, jobs: usize, heard: &Heard) {
    let mut listener =
        Listener::new(address, "/api/v1/events").with_deadline(Deadline::after(Duration::from_mins(4)));
    let mut times = HashMap::<String, u32>::new();
    listener.next();
    heard.seated.fetch_add(1, Ordering::Relaxed);
    while times.len() < jobs {
        for id in succeeded(&listener.next()) {
            let count = times.entry(id).or_default();
            *count += 1;
            if *count > 1 {
                heard.twice.fetch_add(1, Ordering::Relaxed);
            } else {
                heard.jobs.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn submit(web: &WebFleet, jobs: usize) {
    web.submit(&json!(vec![json!({"n": 30}); jobs]));
}

/// Asserts that a server has grown by less than what all listeners may need.
#[track_caller]
fn assert_small(before_kib: u64, now_kib: u64, when: &str) {
    assert!(
        now_kib - before_kib < LISTENER_KIB * LISTENERS as u64,
        "{before_kib} KiB, and {now_kib} KiB {when}"
    );
}

#[test]
fn a_thousand_listeners_outlive_their_server() {
    let rig = WebRig::alone();
    let web = rig.fleet(&["--workers", "1"]);
    let before = memory_kib(web.pid, "VmRSS");
    let heard = Heard::default();
    let begun = Instant::now();
    thread::scope(|threads| {
        for _ in 0..LISTENERS {
            let small = Builder::new().stack_size(256 << 10);
            small
                .spawn_scoped(threads, || listen(web.address(), 60, &heard))
                .unwrap();
        }
        eventually("all listeners", || {
            heard.seated.load(Ordering::Relaxed) == LISTENERS
        });
        submit(&web, 15);
        heard.await_all(15, begun);
        let with_all = memory_kib(web.pid, "VmRSS");
        assert_small(before, with_all, "with all listeners");
        // Killed while jobs end.
        submit(&web, 15);
        kill(web.pid);
        heard.await_all(30, begun);
        let second = rig.web_pid();
        assert_ne!(second, web.pid);
        // Stopped while jobs end.
        stop(second);
        rig.run(&[&["submit", "--detach"], &["30"; 15][..]].concat());
        rig.await_jobs(45);
        signal(second, Signal::CONT);
        heard.await_all(45, begun);
        // Ended in good order.
        let third = rig.web_pid();
        signal(third, Signal::TERM);
        eventually("another process", || rig.web_pid() != third);
        submit(&web, 15);
        heard.await_all(60, begun);
        let after = memory_kib(rig.web_pid(), "VmRSS");
        assert_small(before, after, "after all restarts");
        assert_eq!(heard.twice.load(Ordering::Relaxed), 0, "something was told twice");
        println!(
            "before any listener {before} KiB, with {LISTENERS} {with_all} KiB, after three restarts {after} KiB"
        );
    });
}

#[test]
#[ignore = "it takes a minute of a quiet machine; run it by its name"]
fn five_thousand_jobs_in_a_minute_are_all_told() {
    let rig = WebRig::alone();
    let web = rig.fleet(&["--workers", "2", "--concurrency", "4"]);
    let heard = Heard::default();
    let before = memory_kib(web.pid, "VmHWM");
    thread::scope(|threads| {
        threads.spawn(|| listen(web.address(), 5_000, &heard));
        eventually("a listener", || heard.seated.load(Ordering::Relaxed) == 1);
        let begun = Instant::now();
        for part in 1..=50 {
            submit(&web, 100);
            let due = begun + Duration::from_secs(part);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let deadline = Deadline::after(Duration::from_mins(2));
        deadline.eventually("all jobs", || {
            let now = heard.jobs.load(Ordering::Relaxed);
            if now == 5_000 { Ok(()) } else { Err(now) }
        });
        let (took, after) = (begun.elapsed(), memory_kib(web.pid, "VmHWM"));
        println!("all were told after {took:?}; the server's peak went from {before} to {after} KiB");
        assert!(
            after - before < 32 * 1024,
            "{before} KiB, and {after} KiB at last"
        );
    });
    let state: Value = web.fleet.health();
    assert_eq!(state["status"], "healthy", "{state}");
}
