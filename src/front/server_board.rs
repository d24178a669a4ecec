//! What httpd's scoreboard says, for applications that may know: told at once where they are embedded, and kept up to date in
//! a file in memory for the workers of groups with `server-metrics=On`.
//!
//! httpd's parent makes the file. In each child a thread looks every second whether the child is the one that writes; one
//! is, and when it ends another takes over. Without such a group there is no file and no thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{SigSet, SigmaskHow};
use wire::ServerBoard;

use crate::apache::{Server, log_line, scoreboard};
use crate::codes;
use crate::config::daemons;

/// How often the file is written.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a child that ends waits for the thread to leave httpd's memory alone.
const PATIENCE: Duration = Duration::from_millis(200);

/// Made by httpd's parent when a group wants it, and kept: workers of earlier configurations go on reading it.
static BOARD: OnceLock<ServerBoard> = OnceLock::new();

/// The thread of a child.
static WRITER: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// What the scoreboard says now; `None` if httpd has none.
pub(super) fn snapshot() -> Option<Vec<u8>> {
    scoreboard::read(now_us())
}

/// The file for groups that want it, made now if there is none; `None`, after saying why, if it cannot be made. Parent
/// process only.
pub(super) fn board(server: Server<'_>) -> Option<&'static ServerBoard> {
    if BOARD.get().is_none() {
        match ServerBoard::create() {
            Ok(board) => drop(BOARD.set(board)),
            Err(error) => {
                log_line!(server, Error, codes::NO_SERVER_BOARD; "server-metrics=On has no effect: the memory for it cannot be made: {error}");
            }
        }
    }
    BOARD.get()
}

/// A child has started: begins to write, if a group of the configuration wants it. Before the child has a second thread.
pub(super) fn child_init(server: Server<'_>) {
    let is_wanted = daemons(server.all().map(Server::site)).iter().any(|defined| defined.daemon.server_metrics);
    let Some(board) = BOARD.get().filter(|_| is_wanted) else { return };
    // The thread is to take no signals: those of the process are httpd's main thread's.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let spawned = thread::Builder::new().name("wsgi-server".to_owned()).spawn(move || write(board));
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    match spawned {
        Ok(writer) => *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer),
        Err(error) => {
            log_line!(server, Error, codes::NO_SERVER_BOARD; "server-metrics=On: this child cannot keep what workers read of the scoreboard up to date: {error}");
        }
    }
}

fn write(board: &ServerBoard) {
    while !IS_ENDING.load(Ordering::SeqCst) {
        if board.lead()
            && let Some(block) = snapshot()
        {
            // What could not be written is written anew in a second.
            let _ = board.write(now_us(), &block);
        }
        thread::park_timeout(INTERVAL);
    }
}

/// A child ends: the scoreboard goes with the rest of httpd's memory, so nobody may read it any more.
pub(super) fn child_exit() {
    IS_ENDING.store(true, Ordering::SeqCst);
    // A child of prefork may be ended by a signal that has come at any place: it waits for no lock.
    let Ok(mut writer) = WRITER.try_lock() else { return };
    let Some(writer) = writer.take() else { return };
    writer.thread().unpark();
    let deadline = Instant::now() + PATIENCE;
    while !writer.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}
