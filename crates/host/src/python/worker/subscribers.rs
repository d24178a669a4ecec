//! What subscribers in Python are told by the control thread, which waits for none of them.

use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use gateway::Level;

use super::channel::log;
use super::interrupt::help;
use crate::python::{events, process, registry};

/// Signals that wait for their subscribers; more are dropped.
const WAITING: usize = 64;

/// Passes a signal on to a thread of its own, which tells one after another.
pub(super) fn tell(signal: i32) {
    static SIGNALS: OnceLock<SyncSender<i32>> = OnceLock::new();
    let signals = SIGNALS.get_or_init(|| {
        let (sender, receiver) = sync_channel(WAITING);
        help("wsgi-signals", move || receiver.iter().filter(|_| !process::is_closing()).for_each(events::signal));
        sender
    });
    if signals.try_send(signal).is_err() {
        log(Level::Info, &format!("Signal {signal} is dropped: subscribers have not done with those before."));
    }
}

/// Has the main thread say that the process ends, while requests that run have their last seconds.
pub(super) fn tell_of_end() {
    process::post(|py| {
        if let Some(main) = registry::main() {
            registry::enter(py, main, events::stopping);
        }
    });
}
