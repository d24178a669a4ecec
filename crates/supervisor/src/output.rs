//! What a worker says for the log, over its standard output and error or over its channel: as lines, and not too many.
//! Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Longest line; what follows is another one.
const LINE_LIMIT: usize = 8 << 10;

/// Lines that are remembered, to be quoted if the worker fails to start.
const REMEMBERED: usize = 3;

/// Bytes that may come at once, and for each second after that: a loop that prints must not fill the disk.
const BURST: f64 = (16 << 20) as f64;
const PER_SECOND: f64 = (128 << 10) as f64;

/// What a line takes beside its text.
const LINE_COST: usize = 80;

/// What is too much waits in this room (bytes); what has waited longest is dropped. So what a worker dies of, which it
/// says last, is logged in any case.
const QUEUE: usize = 64 << 10;

/// How often it is said that lines are dropped.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The lines of one worker.
#[derive(Debug)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    last: VecDeque<Vec<u8>>,
    allowance: f64,
    counted: Instant,
    queue: VecDeque<Vec<u8>>,
    queue_length: usize,
    dropped: u64,
    reported: Option<Instant>,
}

impl Lines {
    pub(crate) fn new(now: Instant) -> Lines {
        Lines {
            rest: Vec::new(),
            last: VecDeque::new(),
            allowance: BURST,
            counted: now,
            queue: VecDeque::new(),
            queue_length: 0,
            dropped: 0,
            reported: None,
        }
    }

    /// Takes what was read and gives the lines that are whole, as far as they may be logged.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Instant) -> Vec<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut start = 0;
        while let Some((length, gap)) = measure(&rest[start..]) {
            self.keep(&rest[start..start + length], now, &mut lines);
            start += length + gap;
        }
        rest.drain(..start);
        self.rest = rest;
        lines
    }

    /// Nothing more comes: what waits, and the line that has no end.
    pub(crate) fn finish(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let rest = std::mem::take(&mut self.rest);
        let mut lines = Vec::new();
        if !rest.is_empty() {
            self.keep(&rest, now, &mut lines);
        }
        self.queue_length = 0;
        lines.extend(self.queue.drain(..));
        lines
    }

    /// A line that came over the channel, remembered and counted like the others: whether it may be logged. None of
    /// them waits, since each has its own level.
    pub(crate) fn admit(&mut self, text: &[u8], now: Instant) -> bool {
        self.remember(text);
        self.may_pass(text.len(), now)
    }

    /// Counts what becomes a line of that length.
    pub(crate) fn may_pass(&mut self, length: usize, now: Instant) -> bool {
        self.refill(now);
        let cost = (length + LINE_COST) as f64;
        let may_pass = cost <= self.allowance;
        if may_pass {
            self.allowance -= cost;
        } else {
            self.dropped += 1;
        }
        may_pass
    }

    fn remember(&mut self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n') {
            if self.last.len() == REMEMBERED {
                self.last.pop_front();
            }
            self.last.push_back(line.to_vec());
        }
    }

    /// The last lines, in one.
    pub(crate) fn last_words(&self) -> String {
        let lines: Vec<_> = self.last.iter().map(|line| String::from_utf8_lossy(line)).collect();
        lines.join(" | ")
    }

    /// What has waited and may be logged by now, and how many lines were dropped, if it is time to say so.
    pub(crate) fn due(&mut self, now: Instant) -> (Vec<Vec<u8>>, Option<u64>) {
        let mut lines = Vec::new();
        self.release(now, &mut lines);
        let is_told = self.report_at().is_some_and(|at| at <= now);
        let dropped = is_told.then(|| {
            self.reported = Some(now);
            std::mem::take(&mut self.dropped)
        });
        (lines, dropped)
    }

    /// When [`Lines::due`] has something.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let missing = self.queue.front().map(|line| cost(line) - self.allowance);
        let release = missing.map(|missing| self.counted + Duration::from_secs_f64(missing.max(0.0) / PER_SECOND));
        release.into_iter().chain(self.report_at()).min()
    }

    fn report_at(&self) -> Option<Instant> {
        (self.dropped > 0).then(|| self.reported.map_or(self.counted, |at| at + REPORT_EVERY))
    }

    /// How many lines were dropped that have not been told of, at the end.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn keep(&mut self, line: &[u8], now: Instant, lines: &mut Vec<Vec<u8>>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        self.remember(line);
        self.queue_length += line.len();
        self.queue.push_back(line.to_vec());
        self.release(now, lines);
        while self.queue_length > QUEUE && self.pop().is_some() {
            self.dropped += 1;
        }
    }

    /// Gives what waits as far as the allowance goes.
    fn release(&mut self, now: Instant, lines: &mut Vec<Vec<u8>>) {
        self.refill(now);
        while self.queue.front().is_some_and(|line| cost(line) <= self.allowance) {
            let Some(line) = self.pop() else { return };
            self.allowance -= cost(&line);
            lines.push(line);
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).min(Duration::from_secs(60));
        self.counted = now;
        self.allowance = (self.allowance + passed.as_secs_f64() * PER_SECOND).min(BURST);
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let line = self.queue.pop_front()?;
        self.queue_length -= line.len();
        Some(line)
    }
}

fn cost(line: &[u8]) -> f64 {
    (line.len() + LINE_COST) as f64
}

/// The length of the first line, and of what ends it.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n') {
        Some(end) => Some((end, 1)),
        None if bytes.len() >= LINE_LIMIT => Some((LINE_LIMIT, 0)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let now = Instant::now();
        let mut lines = Lines::new(now);
        assert!(lines.take(b"on", now).is_empty());
        assert_eq!(lines.take(b"e\r\n\ntwo\nthr", now), [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(lines.finish(now), [b"thr".to_vec()]);
        assert_eq!(lines.last_words(), "one | two | thr");
    }

    #[test]
    fn line_without_end_is_cut() {
        let now = Instant::now();
        let mut lines = Lines::new(now);
        let cut = lines.take(&vec![b'x'; LINE_LIMIT + 1], now);
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [LINE_LIMIT]);
    }

    fn flood(lines: &mut Lines, now: Instant) -> usize {
        (0..30_000).map(|number| lines.take(format!("{number:01000}\n").as_bytes(), now).len()).sum()
    }

    #[test]
    fn flood_is_dropped_and_counted_and_passes_again_later() {
        let now = Instant::now();
        let mut lines = Lines::new(now);
        let kept = flood(&mut lines, now);
        assert!((15_000..16_000).contains(&kept), "{kept}");
        let (none, dropped) = lines.due(now);
        assert!(none.is_empty());
        assert_eq!(lines.due(now), (Vec::new(), None));
        let later = now + REPORT_EVERY;
        assert!(lines.due_at().is_some_and(|at| at < later));
        let (waited, _) = lines.due(later);
        assert!((60..70).contains(&waited.len()) && waited.last().is_some_and(|line| line.ends_with(b"29999")));
        assert_eq!(kept as u64 + dropped.unwrap() + waited.len() as u64, 30_000);
        assert_eq!(lines.take(b"x\n", later), [b"x"]);
        assert_eq!(lines.due_at(), None);
    }

    #[test]
    fn lines_over_the_channel_and_over_the_pipe_share_one_allowance() {
        let now = Instant::now();
        let mut lines = Lines::new(now);
        let line = [b'y'; LINE_LIMIT - LINE_COST];
        let most = BURST as usize / LINE_LIMIT;
        assert_eq!((0..most).filter(|_| lines.admit(&line, now)).count(), most);
        assert!(!lines.admit(b"too many", now) && lines.take(b"waits\n", now).is_empty());
        assert_eq!(lines.due(now + REPORT_EVERY), (vec![b"waits".to_vec()], Some(1)));
        assert!(lines.last_words().ends_with("| too many | waits"));
    }

    #[test]
    fn dropping_is_reported_once_a_second() {
        let now = Instant::now();
        let mut lines = Lines::new(now);
        flood(&mut lines, now);
        assert!(lines.due(now).1.is_some());
        lines.take(format!("{:01000}\n", 1).as_bytes(), now);
        assert_eq!(lines.due(now).1, None);
        assert_eq!(lines.due(now + REPORT_EVERY).1, Some(1));
        assert_eq!(lines.due_at(), None);
    }

    #[test]
    fn what_a_worker_wrote_just_before_its_end_is_not_dropped() {
        let now = Instant::now();
        let mut lines = Lines::new(now);
        let kept = flood(&mut lines, now) as u64;
        for line in [&b"short\n"[..], b"a little longer\n", b"s\n", b"without an end"] {
            assert!(lines.take(line, now).is_empty());
        }
        let last = lines.finish(now);
        assert!(last.ends_with(&[&b"short"[..], b"a little longer", b"s", b"without an end"].map(<[u8]>::to_vec)));
        assert_eq!(kept + lines.take_dropped() + last.len() as u64, 30_004);
    }
}
