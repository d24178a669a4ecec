//! The properties of the wire on 200,000 mutations of real blocks: the same on every run and on every
//! toolchain. `fuzz/` asks the same properties for longer, guided by coverage.

use gateway::Key;
use wire::{Facts, RequestWriter, ResponseWriter, SettingsWriter, flags};

mod properties;

const CASES_PER_PROPERTY: usize = 50_000;

#[test]
fn no_request_head_breaks_the_reader() {
    torture(properties::request_head, &[request_head(), empty_request_head()], Length::Mended);
}

#[test]
fn no_response_head_breaks_the_reader() {
    torture(properties::response_head, &[response_head(), bare_response_head()], Length::Mended);
}

#[test]
fn no_settings_break_the_reader() {
    torture(properties::settings, &[settings()], Length::Mended);
}

#[test]
fn no_status_or_header_gets_past_the_rules_and_not_over_the_wire() {
    let seeds = [
        b"200 OK\xfeContent-Type\xfetext/plain\xfeContent-Length\xfe42".to_vec(),
        b"404 Not Found\xfeSet-Cookie\xfea='\"\\\t\xfeX\xfe\r\n\xfe".to_vec(),
        b"204".to_vec(),
    ];
    torture(properties::status_and_headers, &seeds, Length::Absent);
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

fn request_head() -> Vec<u8> {
    let mut block = Vec::new();
    let facts = Facts {
        script_mtime_us: 1_700_000_000_000_000,
        request_start_us: 1_700_000_001_000_000,
        flags: flags::RELOADING | flags::OPEN_GROUP,
    };
    let mut writer = RequestWriter::begin(&mut block, facts);
    writer.known(Key::RequestMethod, b"GET");
    writer.known(Key::ScriptName, b"/app");
    writer.known(Key::PathInfo, b"/caf\xc3\xa9");
    writer.known(Key::QueryString, b"");
    writer.known(Key::HttpHost, b"www.example.org");
    writer.named(b"HTTP_X_REAL_IP", b"192.0.2.1");
    writer.named(b"UNIQUE_ID", b"");
    assert_eq!(writer.finish(), Ok(()));
    block
}

fn empty_request_head() -> Vec<u8> {
    let mut block = Vec::new();
    assert_eq!(RequestWriter::begin(&mut block, Facts::default()).finish(), Ok(()));
    block
}

fn response_head() -> Vec<u8> {
    let mut block = Vec::new();
    let mut writer = ResponseWriter::begin(&mut block, 200, b"OK");
    writer.header(b"Content-Type", b"text/html; charset=utf-8");
    writer.header(b"Set-Cookie", b"a=1");
    writer.header(b"Set-Cookie", b"");
    assert_eq!(writer.finish(), Ok(()));
    block
}

fn bare_response_head() -> Vec<u8> {
    let mut block = Vec::new();
    assert_eq!(ResponseWriter::begin(&mut block, 204, b"").finish(), Ok(()));
    block
}

fn settings() -> Vec<u8> {
    let mut block = Vec::new();
    let mut writer = SettingsWriter::begin(&mut block);
    writer.set(b"door", b"embedded");
    writer.set(b"process_group", b"");
    writer.set(b"python_path", b"/srv/app:/srv/lib");
    assert_eq!(writer.finish(), Ok(()));
    block
}
