//! Which picture is asked for next: no host more often at once than it bears, none while it rests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Pictures that wait; the table of samples is read on as they go.
const WAITING: usize = 1024;

/// A picture to fetch.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) url: String,
    pub(super) attempts: u32,
    ready: Instant,
}

impl Job {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.into(), attempts: 0, ready: Instant::now() }
    }

    fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        host.rsplit('@').next().unwrap_or(host)
    }
}

#[derive(Default)]
struct Host {
    jobs: VecDeque<Job>,
    active: usize,
    rests_until: Option<Instant>,
}

#[derive(Default)]
struct State {
    hosts: BTreeMap<String, Host>,
    waiting: usize,
    active: usize,
    closed: bool,
    /// The host that was asked last: the next one behind it is asked first.
    last: String,
}

pub(super) struct Queue {
    per_host: usize,
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    pub(super) fn new(per_host: usize) -> Self {
        Self { per_host: per_host.max(1), state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a job; waits while there are many.
    pub(super) fn push(&self, job: Job) {
        let state = self.lock();
        let waits = |state: &mut State| state.waiting >= WAITING;
        let mut state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        state.put(job);
        self.changed.notify_all();
    }

    /// Nothing more comes from outside.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The next job, when its time has come; none when all are done.
    pub(super) fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            match state.next(self.per_host, now) {
                Ok(job) => {
                    self.changed.notify_all();
                    return Some(job);
                }
                Err(_) if state.closed && state.waiting == 0 && state.active == 0 => return None,
                Err(pause) => {
                    let waited = self.changed.wait_timeout(state, pause);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Asks for `job` once more, not before `ready`.
    pub(super) fn again(&self, job: &Job, ready: Instant) {
        self.lock().put(Job { attempts: job.attempts + 1, ready, ..job.clone() });
        self.changed.notify_all();
    }

    /// Leaves the host of `job` alone until then.
    pub(super) fn rest(&self, job: &Job, until: Instant) {
        let mut state = self.lock();
        let host = state.hosts.entry(job.host().to_owned()).or_default();
        host.rests_until = host.rests_until.max(Some(until));
    }

    /// `job` takes no connection any more.
    pub(super) fn done(&self, job: &Job) {
        let mut state = self.lock();
        state.active -= 1;
        if let Some(host) = state.hosts.get_mut(job.host()) {
            host.active -= 1;
        }
        self.changed.notify_all();
    }
}

impl State {
    fn put(&mut self, job: Job) {
        self.waiting += 1;
        self.hosts.entry(job.host().to_owned()).or_default().jobs.push_back(job);
    }

    /// A job that may be done now, or how long to wait for one.
    fn next(&mut self, per_host: usize, now: Instant) -> Result<Job, Duration> {
        let mut pause = Duration::from_secs(60);
        let mut names: Vec<String> = self.hosts.keys().cloned().collect();
        let turn = names.partition_point(|name| *name <= self.last);
        names.rotate_left(turn);
        for name in names {
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            if host.jobs.is_empty() || host.active >= per_host {
                continue;
            }
            if let Some(until) = host.rests_until.filter(|&until| until > now) {
                pause = pause.min(until - now);
                continue;
            }
            if let Some(position) = host.jobs.iter().position(|job| job.ready <= now)
                && let Some(job) = host.jobs.remove(position)
            {
                host.active += 1;
                self.active += 1;
                self.waiting -= 1;
                self.last = name;
                return Ok(job);
            }
            let soonest = host.jobs.iter().map(|job| job.ready).min();
            pause = pause.min(soonest.map_or(pause, |ready| ready - now));
        }
        Err(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_take_turns_and_none_gets_more_than_it_bears() {
        let queue = Queue::new(2);
        for url in ["http://a/1", "http://a/2", "http://a/3", "http://b:80/1"] {
            queue.push(Job::new(url));
        }
        let taken: Vec<Job> = (0..3).map(|_| queue.take().expect("a job")).collect();
        let urls: Vec<&str> = taken.iter().map(|job| job.url.as_str()).collect();
        assert_eq!(urls, ["http://a/1", "http://b:80/1", "http://a/2"]);
        assert!(queue.lock().next(2, Instant::now()).is_err(), "host a is busy");
        queue.done(&taken[0]);
        assert_eq!(queue.take().expect("a job").url, "http://a/3");
    }

    #[test]
    fn a_host_that_rests_is_left_alone_and_the_end_waits_for_what_comes_again() {
        let queue = Queue::new(4);
        queue.push(Job::new("http://a/1"));
        queue.close();
        let job = queue.take().expect("a job");
        let until = Instant::now() + Duration::from_millis(30);
        queue.rest(&job, until);
        queue.again(&job, Instant::now());
        queue.done(&job);
        let again = queue.take().expect("once more");
        assert!(Instant::now() >= until);
        assert_eq!(again.attempts, 1);
        queue.done(&again);
        assert!(queue.take().is_none());
    }
}
