//! What is true for the whole process: the functions and settings it was given, how far its life has
//! got, how many requests are inside.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use gateway::{Level, RequestLog};

use super::attach::Attached;

static HOME: OnceLock<Home> = OnceLock::new();
static SETTINGS: OnceLock<Vec<u8>> = OnceLock::new();
static DEADLINE: OnceLock<Instant> = OnceLock::new();
static REASON: OnceLock<String> = OnceLock::new();
static IS_FORKED: AtomicBool = AtomicBool::new(false);
static IS_CLOSING: AtomicBool = AtomicBool::new(false);
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static LIFE: Life =
    Life { state: Mutex::new(State { stage: Stage::Starting, jobs: VecDeque::new() }), changed: Condvar::new() };

/// What the process's log is, and which door its requests come through.
pub(super) struct Home {
    pub(super) log: Box<dyn RequestLog + Send + Sync>,
    /// Not one of httpd's children: it serves one application group, in its main interpreter.
    pub(super) is_daemon: bool,
    /// What httpd's scoreboard says, if applications may know.
    pub(super) server: fn() -> Option<Vec<u8>>,
}

/// How far the main interpreter has got; only ever goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Starting,
    /// Set up, parked, taking requests.
    Ready,
    /// Asked to end.
    Stopping,
    /// All exit functions have run.
    Done,
    /// Python has returned without ever getting ready, or finalised by itself.
    Ended,
}

struct Life {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    stage: Stage,
    /// What the parked main thread is to do.
    jobs: VecDeque<Job>,
}

type Job = Box<dyn FnOnce(Attached) + Send>;

impl Life {
    /// A panic of another thread cannot have left a stage half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what the process is given at its start; false if it was given before.
pub(super) fn prepare(home: Home, settings: Vec<u8>) -> bool {
    // SAFETY: the handler is a static function of a library that is never unloaded, and does what a child
    // of a process with threads may do: it sets a flag and calls dup3(2) (pthread_atfork(3)).
    unsafe { libc::pthread_atfork(None, None, Some(note_fork)) };
    HOME.set(home).is_ok() && SETTINGS.set(settings).is_ok()
}

unsafe extern "C" fn note_fork() {
    IS_FORKED.store(true, Ordering::Relaxed);
    super::worker::leave_behind();
}

/// Whether this is a process that the application has forked: nobody's child but ours, and no request is its to
/// answer.
pub(super) fn is_forked() -> bool {
    IS_FORKED.load(Ordering::Relaxed)
}

/// The settings block; empty if there is none.
pub(super) fn settings() -> &'static [u8] {
    SETTINGS.get().map_or(&[], Vec::as_slice)
}

/// Whether this is a worker of a daemon group.
pub(super) fn is_daemon() -> bool {
    HOME.get().is_some_and(|home| home.is_daemon)
}

/// Keeps why the process ends; the first reason counts.
pub(super) fn set_reason(reason: &str) {
    let _ = REASON.set(reason.to_owned());
}

/// Why the process ends; empty if nobody has said.
pub(super) fn reason() -> &'static str {
    REASON.get().map_or("", String::as_str)
}

/// How long the interpreters may take to end where nobody has said.
const EXIT_LIMIT: Duration = Duration::from_secs(5);

/// Has the interpreters end, by this time.
pub(super) fn begin_end(deadline: Instant) {
    // Asked for twice, the first time counts.
    let _ = DEADLINE.set(deadline);
    advance(Stage::Stopping);
}

/// When the interpreters have to have ended.
pub(super) fn deadline() -> Instant {
    *DEADLINE.get_or_init(|| Instant::now() + EXIT_LIMIT)
}

/// Goes on to a later stage; never back.
pub(super) fn advance(stage: Stage) {
    let mut current = LIFE.lock();
    if current.stage < stage {
        current.stage = stage;
        LIFE.changed.notify_all();
    }
}

/// Has the parked main thread do something, attached to the main interpreter, and waits for it; `None` if
/// it will not, since the process is ending. The calling thread is attached to no interpreter.
///
/// Sub-interpreters are made there, so that in each of them `threading.main_thread()` is the thread that
/// runs its exit functions, as in a program of its own.
pub(super) fn on_main_thread<R: Send + 'static>(work: impl FnOnce(Attached) -> R + Send + 'static) -> Option<R> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // Who asked may have stopped waiting only by ending with the process.
    let job = move |py: Attached| drop(sender.send(work(py)));
    let mut current = LIFE.lock();
    if current.stage != Stage::Ready {
        return None;
    }
    current.jobs.push_back(Box::new(job));
    LIFE.changed.notify_all();
    drop(current);
    receiver.recv().ok()
}

/// Has the parked main thread do something, if it still does; waits for nothing.
pub(super) fn post(work: impl FnOnce(Attached) + Send + 'static) {
    let mut current = LIFE.lock();
    if current.stage == Stage::Ready {
        current.jobs.push_back(Box::new(work));
        LIFE.changed.notify_all();
    }
}

/// Has the parked main thread do something, attached to the main interpreter, some time.
pub(super) fn ask_main_thread(work: fn(Attached)) {
    let mut current = LIFE.lock();
    current.jobs.push_back(Box::new(work));
    LIFE.changed.notify_all();
}

/// The next thing for the main thread to do, waiting for it; `None` once the process is to end.
pub(super) fn next_job() -> Option<Job> {
    let mut current = LIFE.lock();
    loop {
        if current.stage >= Stage::Stopping {
            // Whoever waits for one of these learns that it will not be done.
            current.jobs.clear();
            return None;
        }
        if let Some(job) = current.jobs.pop_front() {
            return Some(job);
        }
        current = LIFE.changed.wait(current).unwrap_or_else(PoisonError::into_inner);
    }
}

/// The stage that is reached.
pub(super) fn stage() -> Stage {
    LIFE.lock().stage
}

/// Waits until a stage is reached, or the deadline has passed; gives the stage that is reached.
pub(super) fn wait_for(stage: Stage, deadline: Instant) -> Stage {
    let mut current = LIFE.lock();
    while current.stage < stage {
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            break;
        }
        current = LIFE.changed.wait_timeout(current, rest).unwrap_or_else(PoisonError::into_inner).0;
    }
    current.stage
}

/// Whether the process has begun to end.
pub(super) fn is_closing() -> bool {
    IS_CLOSING.load(Ordering::SeqCst)
}

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is serving a request.
pub(super) fn is_inside() -> bool {
    IS_INSIDE.get()
}

/// What httpd's scoreboard says; `None` if applications may not know.
pub(super) fn server() -> Option<Vec<u8>> {
    HOME.get().and_then(|home| (home.server)())
}

/// How many requests are inside.
pub(super) fn inside() -> usize {
    REQUESTS.load(Ordering::Relaxed)
}

/// A request inside the host, counted; `None` if the process is ending.
pub(super) struct Inside {
    /// Whether this thread was inside another one: a sub-request's handler runs in its outer's output.
    was_inside: bool,
}

impl Inside {
    pub(super) fn enter() -> Option<Inside> {
        REQUESTS.fetch_add(1, Ordering::SeqCst);
        // Counted first and asked after, so close() either sees this request or is seen by it.
        let inside = Inside { was_inside: IS_INSIDE.replace(true) };
        (!is_closing()).then_some(inside)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        IS_INSIDE.set(self.was_inside);
        REQUESTS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Refuses requests from now on. May be called in a signal handler.
pub(super) fn refuse_requests() {
    IS_CLOSING.store(true, Ordering::SeqCst);
}

/// Refuses requests from now on, and waits for those inside; true if none is left.
pub(super) fn close(limit: Duration) -> bool {
    refuse_requests();
    let deadline = Instant::now() + limit;
    while REQUESTS.load(Ordering::SeqCst) > 0 {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Logs a line that belongs to no request.
pub(super) fn log(level: Level, line: &[u8]) {
    if let Some(home) = HOME.get() {
        home.log.log(level, line);
    }
}

/// Whether lines of a level are written.
pub(super) fn is_logged(level: Level) -> bool {
    HOME.get().is_some_and(|home| home.log.is_logged(level))
}
