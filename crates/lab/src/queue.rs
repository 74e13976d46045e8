//! Jobs that several workers carry out, some of them only when another one has been.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Result, anyhow};

/// Carries out jobs until none is left, `seats` of them at a time.
///
/// A worker takes the first job for which `ready` says yes. `work` gets the number of its seat, from zero, and gives
/// the jobs that follow from this one, which come first. Once one fails nobody takes another.
///
/// # Errors
/// The first error of a job; or where jobs are left that nothing makes ready.
pub(crate) fn run<J: Send>(
    seats: usize,
    jobs: Vec<J>,
    ready: &(dyn Fn(&J) -> bool + Sync),
    work: &(dyn Fn(usize, J) -> Result<Vec<J>> + Sync),
) -> Result<()> {
    let state = Mutex::new(State { waiting: jobs, running: 0, error: None });
    let changed = Condvar::new();
    thread::scope(|scope| {
        for seat in 0..seats.max(1) {
            let (state, changed) = (&state, &changed);
            scope.spawn(move || sit(seat, state, changed, ready, work));
        }
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.error {
        Some(error) => Err(error),
        None if state.waiting.is_empty() => Ok(()),
        None => Err(anyhow!("{} machines wait for one that never came", state.waiting.len())),
    }
}

struct State<J> {
    waiting: Vec<J>,
    running: usize,
    error: Option<anyhow::Error>,
}

fn sit<J>(
    seat: usize,
    state: &Mutex<State<J>>,
    changed: &Condvar,
    ready: &(dyn Fn(&J) -> bool + Sync),
    work: &(dyn Fn(usize, J) -> Result<Vec<J>> + Sync),
) {
    let mut now = lock(state);
    loop {
        let next = now.waiting.iter().position(ready).filter(|_| now.error.is_none());
        let Some(next) = next else {
            if now.running == 0 || now.error.is_some() {
                return;
            }
            now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let job = now.waiting.remove(next);
        now.running = now.running.saturating_add(1);
        drop(now);
        let done = work(seat, job);
        now = lock(state);
        now.running = now.running.saturating_sub(1);
        match done {
            Ok(more) => {
                now.waiting.splice(0..0, more);
            }
            Err(error) => {
                now.error.get_or_insert(error);
            }
        }
        changed.notify_all();
    }
}

/// A job that panics takes its worker with it, and the scope passes the panic on.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_job_is_done_once_and_so_is_what_follows() {
        let done = Mutex::new(Vec::new());
        let work = |_: usize, job: u32| {
            done.lock().unwrap().push(job);
            Ok(if job < 3 { vec![job + 10] } else { Vec::new() })
        };
        run(2, vec![1, 2, 3, 4], &|_| true, &work).unwrap();
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, [1, 2, 3, 4, 11, 12]);
    }

    #[test]
    fn a_job_waits_for_what_it_needs_and_others_go_before_it() {
        let first = AtomicBool::new(false);
        let order = Mutex::new(Vec::new());
        let work = |_: usize, job: &'static str| {
            order.lock().unwrap().push(job);
            if job == "first" {
                thread::sleep(Duration::from_millis(20));
                first.store(true, Ordering::SeqCst);
            }
            Ok(Vec::new())
        };
        let ready = |job: &&'static str| *job != "needs first" || first.load(Ordering::SeqCst);
        run(2, vec!["first", "needs first", "other"], &ready, &work).unwrap();
        assert_eq!(order.into_inner().unwrap(), ["first", "other", "needs first"]);
    }

    #[test]
    fn no_more_than_there_are_seats_run_at_once() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |seat: usize, _: u32| {
            assert!(seat < 3);
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(Vec::new())
        };
        run(3, (0..12).collect(), &|_| true, &work).unwrap();
        assert!(most.into_inner() <= 3);
    }

    #[test]
    fn an_error_ends_it_and_a_job_that_is_never_ready_is_one() {
        let count = AtomicUsize::new(0);
        let work = |_: usize, job: u32| {
            count.fetch_add(1, Ordering::SeqCst);
            if job == 0 { Err(anyhow!("broken")) } else { Ok(Vec::new()) }
        };
        assert_eq!(run(1, vec![0, 1, 2], &|_| true, &work).unwrap_err().to_string(), "broken");
        assert_eq!(count.into_inner(), 1);
        assert!(run(2, vec![1], &|_| false, &|_, _| Ok(Vec::new())).is_err());
    }
}
