//! What was recorded, as plain Python lists; `wsgi_host.metrics` (crates/host/python) names it and gives it units.

use super::attach::Attached;
use super::object::{Raised, Ref};
use super::recording::{self, Present};
use crate::metrics::{Interval, Moment, Series, ThreadFigures};

/// The figures of an interval, µs and bytes; None if nothing is recorded.
///
/// `[scalars, statuses, phases, threads]`, where scalars are `START_US, STOP_US, USER_US, SYSTEM_US, REQUESTS, INPUT_CALLS,
/// INPUT_BYTES, OUTPUT_CALLS, OUTPUT_BYTES, GIL_WAITS, ACTIVE, LIVING`, a phase is `COUNT, SUM, LEAST, GREATEST, BUCKETS…`, and a
/// thread `COMPLETED, BUSY, CPU, LONGEST, CURRENT`.
pub(super) fn interval(py: Attached, taken: Option<(Interval, Moment)>) -> Result<Ref, Raised> {
    let Some((interval, now)) = taken else { return Ok(py.none()) };
    let present = recording::present();
    let whole = py.new_list()?;
    py.list_append(&whole, &scalars(py, &interval, now, &present)?)?;
    py.list_append(&whole, &py.numbers(interval.statuses)?)?;
    let phases = py.new_list()?;
    for series in &interval.phases {
        py.list_append(&phases, &phase(py, series)?)?;
    }
    py.list_append(&whole, &phases)?;
    py.list_append(&whole, &threads(py, &interval, now, &present)?)?;
    Ok(whole)
}

fn scalars(py: Attached, interval: &Interval, now: Moment, present: &Present) -> Result<Ref, Raised> {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    py.numbers([
        interval.start.us,
        now.us,
        now.user_us.saturating_sub(interval.start.user_us),
        now.system_us.saturating_sub(interval.start.system_us),
        interval.requests,
        interval.input.calls,
        interval.input.bytes,
        interval.output.calls,
        interval.output.bytes,
        interval.gil_waits,
        count(present.active),
        count(present.threads),
    ])
}

fn phase(py: Attached, series: &Series) -> Result<Ref, Raised> {
    let (least, greatest) = series.range_us().unwrap_or((0, 0));
    py.numbers([series.count(), series.sum_us(), least, greatest].into_iter().chain(*series.buckets()))
}

fn threads(py: Attached, interval: &Interval, now: Moment, present: &Present) -> Result<Ref, Raised> {
    let list = py.new_list()?;
    for number in 0..interval.threads.len().max(present.busy_since_us.len()) {
        let thread: ThreadFigures = interval.threads.get(number).copied().unwrap_or_default();
        let since_us = present.busy_since_us.get(number).copied().flatten();
        // The request that runs has been busy in this interval, too.
        let current_us = since_us.map_or(0, |since_us| now.us.saturating_sub(since_us));
        let current_here_us = current_us.min(now.us.saturating_sub(interval.start.us));
        py.list_append(
            &list,
            &py.numbers([
                thread.completed,
                thread.busy_us + current_here_us,
                thread.cpu_us,
                thread.longest_us,
                current_us,
            ])?,
        )?;
    }
    Ok(list)
}
