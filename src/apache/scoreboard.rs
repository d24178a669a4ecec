//! httpd's scoreboard: what each process and thread of its is doing, as mod_status shows it.

use std::ffi::{c_char, c_int};

use wire::{ServerBlock, ServerFacts, ServerThread};

use super::bindings as c;

/// The letters of mod_status, by httpd's numbers: dead, starting, ready, reading, writing, keep-alive, logging, resolving,
/// closing, finishing gracefully, ending while idle.
const LETTERS: &[u8; 11] = b".S_RWKLDCGI";

/// All of the scoreboard, as a `wire::ServerBlock`; `None` if there is none. `now_us`: the present moment.
pub(crate) fn read(now_us: u64) -> Option<Vec<u8>> {
    // SAFETY: ap_exists_scoreboard_image only looks at a pointer (scoreboard.h).
    if unsafe { c::ap_exists_scoreboard_image() } == 0 {
        return None;
    }
    // SAFETY: there is a scoreboard, and it stays as long as the process (its pool is httpd's own); others write to it
    // while it is read, so every field is taken as a copy and may be of another moment than the next.
    let global = unsafe { c::ap_get_scoreboard_global().as_ref()? };
    let (processes, threads) = (number(global.server_limit), number(global.thread_limit));
    let facts = ServerFacts {
        processes,
        threads,
        generation: number(global.running_generation),
        restart_us: moment(global.restart_time),
        now_us,
    };
    let mut block = ServerBlock::begin(&facts);
    for process in 0..processes {
        add_process(&mut block, process);
        for thread in 0..threads {
            add_thread(&mut block, process, thread);
        }
    }
    Some(block.finish())
}

fn add_process(block: &mut ServerBlock, process: u32) {
    // SAFETY: within server_limit; gives a place in the scoreboard or null (scoreboard.h).
    let score = unsafe { c::ap_get_scoreboard_process(index(process)).as_ref() };
    match score {
        Some(score) => block.process(number(score.pid), number(score.generation), score.quiescing != 0),
        None => block.process(0, 0, false),
    }
}

fn add_thread(block: &mut ServerBlock, process: u32, thread: u32) {
    // SAFETY: a zeroed worker_score is a valid one; ap_copy_scoreboard_worker fills it in, for places within the limits.
    let score = unsafe {
        let mut score: c::worker_score = std::mem::zeroed();
        c::ap_copy_scoreboard_worker(&mut score, index(process), index(thread));
        score
    };
    block.thread(&ServerThread {
        number: number(score.thread_num),
        generation: number(score.generation),
        status: LETTERS.get(usize::from(score.status)).copied().unwrap_or(b'?'),
        accesses: score.access_count,
        bytes: u64::try_from(score.bytes_served).unwrap_or(0),
        start_us: moment(score.start_time),
        stop_us: moment(score.stop_time),
        used_us: moment(score.last_used),
        client: &text(&score.client64),
        request: &text(&score.request),
        host: &text(&score.vhost),
    });
}

fn index(number: u32) -> c_int {
    c_int::try_from(number).unwrap_or(c_int::MAX)
}

fn number(value: c_int) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn moment(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

/// The text before the first NUL, or all of it: another process may be writing.
fn text(field: &[c_char]) -> Vec<u8> {
    field.iter().map(|character| *character as u8).take_while(|byte| *byte != 0).collect()
}
