//! The properties of the wire on 600,000 mutations of real blocks, frames and messages: the same on every run and on
//! every toolchain. `fuzz/` asks the same properties for longer, guided by coverage.

mod properties;
mod seeds;

const CASES_PER_PROPERTY: usize = 50_000;

#[test]
fn no_request_head_breaks_the_reader() {
    torture(properties::request_head, &seeds::request_heads(), Length::Mended);
}

#[test]
fn no_response_head_breaks_the_reader() {
    torture(properties::response_head, &seeds::response_heads(), Length::Mended);
}

#[test]
fn no_question_breaks_the_reader() {
    torture(properties::question, &seeds::questions(), Length::Mended);
}

#[test]
fn no_answer_breaks_the_reader() {
    torture(properties::answer, &seeds::answers(), Length::Mended);
}

#[test]
fn no_settings_break_the_reader() {
    torture(properties::settings, &seeds::settings(), Length::Mended);
}

#[test]
fn no_stream_of_frames_breaks_the_inbox() {
    torture(properties::frames, &seeds::frames(), Length::Mended);
    torture(properties::frames, &[seeds::frames().concat()], Length::Absent);
}

#[test]
fn no_control_message_breaks_the_reader() {
    torture(properties::control, &seeds::messages(), Length::Mended);
}

#[test]
fn no_worker_settings_break_the_reader() {
    torture(properties::worker_settings, &[seeds::worker_settings()], Length::Mended);
}

#[test]
fn no_status_or_header_gets_past_the_rules_and_not_over_the_wire() {
    torture(properties::status_and_headers, &seeds::status_and_headers(), Length::Absent);
}

#[test]
fn no_header_of_a_proxy_gets_past_the_rules() {
    torture(properties::proxy_headers, &seeds::proxy_headers(), Length::Absent);
}

#[test]
fn nothing_in_a_scoreboard_breaks_the_reader_of_a_process_end() {
    torture(properties::seat_end, &seeds::seat_ends(), Length::Absent);
}

/// Whether a case begins with its own length, which has to be right in most cases: or else nothing
/// but the check of the length would ever be tried.
#[derive(Clone, Copy, PartialEq)]
enum Length {
    Mended,
    Absent,
}

fn torture(property: fn(&[u8]) -> bool, seeds: &[Vec<u8>], length: Length) {
    for seed in seeds {
        assert!(property(seed), "a seed is refused");
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for _ in 0..CASES_PER_PROPERTY {
        let mut case = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut case, &mut random);
        }
        if length == Length::Mended && random.below(8) != 0 {
            mend_length(&mut case);
        }
        accepted += usize::from(property(&case));
    }
    assert!(accepted > CASES_PER_PROPERTY / 100, "only {accepted} cases got through the reader");
    assert!(accepted < CASES_PER_PROPERTY, "no case was refused");
}

fn mutate(case: &mut Vec<u8>, random: &mut Random) {
    const BYTES: [u8; 10] = [0, 1, 7, 8, b'\n', b'\r', b' ', 0x7f, 0x80, 0xff];
    let at = random.below(case.len() + 1);
    match random.below(6) {
        0 => case.truncate(at),
        1 => case.insert(at, random.pick(&BYTES)),
        2 => {
            let piece = case[at..].to_vec();
            case.extend(piece);
        }
        3 => overwrite(case, at, &[random.next() as u8]),
        4 => overwrite(case, at, &[random.pick(&BYTES)]),
        _ => overwrite(case, at, &[random.pick(&BYTES), 0, 0, random.pick(&BYTES)]),
    }
}

fn overwrite(case: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in case[at..].iter_mut().zip(bytes) {
        *place = *byte;
    }
}

fn mend_length(case: &mut [u8]) {
    let total = case.len() as u32;
    overwrite(case, 0, &total.to_le_bytes());
}

/// Marsaglia's xorshift with 64 bits of state, which must not be 0.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick(&mut self, bytes: &[u8]) -> u8 {
        bytes[self.below(bytes.len())]
    }
}
