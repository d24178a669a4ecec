//! The end of the interpreters: each runs its exit functions, and none can take all of the time.
//!
//! They end one after another on Python's main thread, as in a program of its own. One that is still at it when its
//! fair part of what is left has passed (a thread that never ends, an `atexit` function that hangs) goes on, and
//! another thread goes on with those that wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::attach::{Attached, attach};
use super::interpreter::Interpreter;
use super::registry;

/// Ends all interpreters, the main one last, and returns when all have ended. On the main thread, attached to main.
pub(super) fn run(py: Attached, deadline: Instant) {
    // Sub-interpreters first: their applications may use what the main one holds.
    let interpreters: VecDeque<_> = registry::subs().into_iter().chain(registry::main()).collect();
    let ending = Arc::new(Ending::of(interpreters));
    let watched = Arc::clone(&ending);
    // Without a watcher nothing is lost but its help.
    let _ = std::thread::Builder::new().name("python-exit".to_owned()).spawn(move || watch(&watched, deadline));
    while let Some(interpreter) = ending.next() {
        registry::enter(py, interpreter, |py| exit_functions(py, interpreter));
        ending.note_end();
    }
    py.detach(|| ending.wait());
}

/// Sends another thread whenever nobody has ended for the fair part of one.
fn watch(ending: &Arc<Ending<&'static Interpreter>>, deadline: Instant) {
    while ending.is_stuck(deadline) {
        let helped = Arc::clone(ending);
        let help = move || {
            while let Some(interpreter) = helped.next() {
                attach(interpreter, |py| exit_functions(py, interpreter));
                helped.note_end();
            }
        };
        // If there can be no thread, those that wait are left.
        let _ = std::thread::Builder::new().name("python-exit".to_owned()).spawn(help);
    }
}

fn exit_functions(py: Attached, interpreter: &'static Interpreter) {
    if py.call(&interpreter.support.exit_functions, []).is_err() {
        // exits.run() logs and never raises.
        py.clear_exception();
    }
}

/// Who waits for its end, and how many have not come to it.
struct Ending<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    not_ended: usize,
}

impl<T> Ending<T> {
    fn of(waiting: VecDeque<T>) -> Self {
        let not_ended = waiting.len();
        Ending { state: Mutex::new(State { waiting, not_ended }), changed: Condvar::new() }
    }

    /// A panic of another thread cannot have left the queue half changed.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<T> {
        let next = self.lock().waiting.pop_front();
        self.changed.notify_all();
        next
    }

    fn note_end(&self) {
        self.lock().not_ended -= 1;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let all = self.changed.wait_while(self.lock(), |state| state.not_ended > 0);
        drop(all.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until somebody waits in vain: true if none has begun or ended for the fair part of one, false if nobody
    /// waits any more.
    fn is_stuck(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        while !state.waiting.is_empty() {
            let rest = deadline.saturating_duration_since(Instant::now());
            let part = rest / u32::try_from(state.waiting.len() + 1).unwrap_or(u32::MAX);
            let before = (state.waiting.len(), state.not_ended);
            let unchanged = |state: &mut State<T>| (state.waiting.len(), state.not_ended) == before;
            let waited = self.changed.wait_timeout_while(state, part, unchanged);
            let (after, result) = waited.unwrap_or_else(PoisonError::into_inner);
            if result.timed_out() && !after.waiting.is_empty() {
                return !rest.is_zero();
            }
            state = after;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_that_does_not_end_is_stuck_after_its_fair_part() {
        let ending = Ending::of(VecDeque::from([1, 2, 3]));
        assert_eq!(ending.next(), Some(1));
        let begin = Instant::now();
        assert!(ending.is_stuck(begin + Duration::from_millis(300)));
        let waited = begin.elapsed();
        assert!(waited >= Duration::from_millis(100) && waited < Duration::from_millis(290), "{waited:?}");
    }

    #[test]
    fn nobody_is_stuck_when_nobody_waits_or_the_time_is_up() {
        let ending = Ending::of(VecDeque::from([1]));
        assert!(!ending.is_stuck(Instant::now()), "time is up");
        assert_eq!(ending.next(), Some(1));
        assert!(!ending.is_stuck(Instant::now() + Duration::from_secs(60)), "the last one may take all of it");
        ending.note_end();
        ending.wait();
    }
}
