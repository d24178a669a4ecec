//! What needs the GIL and must not hold up the control thread: done on helper threads, which may wait for ever.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use gateway::Level;
use pyo3::ffi;

use super::channel::log;
use super::limits::Slot;
use super::signals::block_all;
use super::state::Worker;
use super::{dump, state};
use crate::python::attach::attach;
use crate::python::{process, registry};

/// How often Python's life is looked at.
const PULSE: Duration = Duration::from_secs(1);

/// Raises `RequestTimeout` in a request thread, if it still serves the same request when the GIL is to be had.
pub(super) fn interrupt(worker: &'static Worker, slot: &'static Slot, sequence: u64) {
    help("wsgi-interrupt", move || {
        let Some(main) = registry::main() else { return };
        attach(main, |py| {
            let is_same = slot.sequence() == sequence && slot.since_us() != 0;
            let Some(thread) = slot.in_python().filter(|_| is_same) else { return };
            let text = format!("Injected RequestTimeout into {}; its stack:", slot.about());
            log(Level::Info, &text);
            if process::is_logged(Level::Info) {
                dump::write(Level::Info, Some(thread));
            }
            slot.note_interrupt();
            let class = &py.interpreter().support.request_timeout;
            // SAFETY: attached; a live class; the number is that of a thread that is in Python (see Slot::in_python).
            unsafe { ffi::PyThreadState_SetAsyncExc(thread as _, class.as_ptr()) };
        });
        worker.wakeup.wake();
    });
}

/// Notes every second that the GIL can be had.
pub(super) fn pulse(worker: &'static Worker) {
    help("wsgi-pulse", move || {
        while !process::is_closing() {
            let Some(main) = registry::main() else { return };
            attach(main, |_py| {});
            worker.alive_us.store(worker.now_us(), Ordering::Relaxed);
            worker.seat.note_alive();
            thread::sleep(PULSE);
        }
    });
}

/// Logs the stacks of all threads: under the GIL if it can be had soon, else without, since the process ends anyway.
pub(super) fn dump_all(level: Level) {
    let (sender, receiver) = std::sync::mpsc::channel();
    help("wsgi-stacks", move || {
        if let Some(main) = registry::main() {
            attach(main, |_py| dump::write(level, None));
            let _ = sender.send(());
        }
    });
    if receiver.recv_timeout(Duration::from_millis(500)).is_err() {
        dump::write(level, None);
    }
}

/// Does something on a thread of its own.
pub(super) fn help(name: &str, work: impl FnOnce() + Send + 'static) {
    let made = thread::Builder::new().name(name.to_owned()).spawn(move || {
        block_all();
        work();
    });
    if let Err(error) = made {
        log(Level::Error, &format!("WSGI0341: cannot start the helper thread {name}: {error}; going on without it"));
        if let Some(worker) = state::worker() {
            // Without a pulse nobody can tell a deadlock from a missing helper.
            worker.alive_us.store(u64::MAX, Ordering::Relaxed);
        }
    }
}
