//! What must hold for any bytes whatever; asked by `robustness.rs` on any toolchain and by the targets
//! in `fuzz/`. Each returns whether the bytes were accepted, so that a run can tell if it got there.

#![allow(unreachable_pub, reason = "the fuzz crate exports this module, a test cannot")]

use gateway::Subject;
use gateway::key::KEYS;
use gateway::proxy::{Forwarded, Network, PROXY_HEADERS, Policy, ProxyHeader};
use gateway::response::{check_header, parse_content_length, parse_status};
use wire::control::{FromDesk, FromSupervisor, FromWorker, Own, ToDesk, ToSupervisor, ToWorker, Worker};
use wire::frame::{PIECE_LIMIT, TEXT_LIMIT};
use wire::{
    Entry, Frame, Inbox, Question, RequestHead, RequestWriter, ResponseHead, ResponseWriter, Scoreboard, Seat,
    Settings, SettingsWriter, parse_answer, write_answer,
};

/// The least bytes that an entry, a header or a pair takes.
const LEAST: usize = 8;

/// A request head that is accepted is, written again, the same bytes.
pub fn request_head(data: &[u8]) -> bool {
    let Ok(head) = RequestHead::parse(data) else {
        return false;
    };
    assert!(head.entries().count() <= data.len() / LEAST);
    let entries: Vec<_> = head.entries().map_while(Result::ok).collect();
    for &key in KEYS {
        let last = entries.iter().rev().find_map(|entry| match *entry {
            Entry::Known { key: found, value } if found == key => Some(value),
            _ => None,
        });
        assert_eq!(head.get(key), last);
    }
    if head.entries().any(|entry| entry.is_err()) {
        return false;
    }
    let mut again = Vec::new();
    let mut writer = RequestWriter::begin(&mut again, head.facts());
    for entry in entries {
        match entry {
            Entry::Known { key, value } => writer.known(key, value),
            Entry::Named { name, value } => writer.named(name, value),
        }
    }
    assert_eq!(writer.finish(), Ok(()));
    assert_eq!(again, data);
    true
}

/// What stands in a seat where the end of its process belongs is read as a bounded line, whatever it is.
pub fn seat_end(data: &[u8]) -> bool {
    use std::os::unix::fs::FileExt;
    thread_local! {
        static BOARD: (std::fs::File, Scoreboard) = {
            let file = Scoreboard::create(1).expect("memory");
            let board = Scoreboard::map(&file).expect("just made");
            (file.into(), board)
        };
    }
    BOARD.with(|(file, board)| {
        let mut place = [0; 176];
        let length = data.len().min(place.len());
        place[..length].copy_from_slice(&data[..length]);
        file.write_all_at(&place, 64 + 56).expect("it is memory");
        let Some(end) = board.seat(0).and_then(Seat::last_end) else { return false };
        let text = end.to_string();
        assert!(text.len() < 1024 && is_one_line(text.as_bytes()), "{text:?}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
        true
    })
}

/// A response head that is accepted is, written again, the same bytes, and cannot break out of a line.
pub fn response_head(data: &[u8]) -> bool {
    let Ok(head) = ResponseHead::parse(data) else {
        return false;
    };
    assert!(is_one_line(head.reason().to_bytes()));
    assert!(head.headers().count() <= data.len() / LEAST);
    let mut again = Vec::new();
    let mut writer = ResponseWriter::begin(&mut again, head.code(), head.reason().to_bytes());
    for header in head.headers() {
        let Ok((name, value)) = header else {
            return false;
        };
        assert!(!name.is_empty() && is_one_line(name.to_bytes()) && is_one_line(value.to_bytes()));
        writer.header(name.to_bytes(), value.to_bytes());
    }
    assert_eq!(writer.finish(), Ok(()));
    assert_eq!(again, data);
    true
}

/// A question that is accepted is, written again, the same bytes, and its head can be read.
pub fn question(data: &[u8]) -> bool {
    let Ok(question) = Question::parse(data) else {
        return false;
    };
    assert!(RequestHead::parse(question.head).is_ok());
    let mut again = Vec::new();
    assert_eq!(question.write(&mut again), Ok(()));
    assert_eq!(again, data);
    true
}

/// An answer that is accepted is, written again, the same bytes; one that is not about a subject lets nobody in.
pub fn answer(data: &[u8]) -> bool {
    let Ok(answer) = parse_answer(data) else {
        return false;
    };
    let mut again = Vec::new();
    assert_eq!(write_answer(&answer, &mut again), Ok(()));
    assert_eq!(again, data);
    for number in 1..=5 {
        let subject = Subject::from_number(number).expect("there are five");
        let about = answer.clone().about(subject);
        assert!(about == answer || !about.grants());
    }
    true
}

/// A settings block that is accepted is, written again, the same bytes.
pub fn settings(data: &[u8]) -> bool {
    let Ok(settings) = Settings::parse(data) else {
        return false;
    };
    assert!(settings.pairs().count() <= data.len() / LEAST);
    let mut again = Vec::new();
    let mut writer = SettingsWriter::begin(&mut again);
    for pair in settings.pairs() {
        let Ok((name, value)) = pair else {
            return false;
        };
        let found = settings.get(name);
        assert_eq!(found, settings.pairs().flatten().filter(|pair| pair.0 == name).last().map(|pair| pair.1));
        writer.set(name, value);
    }
    assert_eq!(writer.finish(), Ok(()));
    assert_eq!(again, data);
    true
}

/// A status line and headers that the rules let through arrive at httpd unchanged. `data` is taken as
/// lines: the status, then names and values by turns, then a `Content-Length`.
///
/// A line ends at `0xfe`, so that line breaks and NULs can stand in it.
pub fn status_and_headers(data: &[u8]) -> bool {
    let mut lines = data.split(|byte| *byte == 0xfe);
    let text = lines.next().unwrap_or_default();
    let status = match parse_status(text) {
        Ok(status) => status,
        Err(invalid) => {
            assert!(is_one_line(invalid.to_string().as_bytes()));
            return false;
        }
    };
    assert!(status.code < 1000 && !(100..200).contains(&status.code));
    let mut headers = Vec::new();
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        match check_header(name, value) {
            Ok(()) => headers.push((name, value)),
            Err(invalid) => assert!(is_one_line(invalid.to_string().as_bytes())),
        }
        match parse_content_length(value) {
            Ok(length) => assert!(length <= i64::MAX as u64),
            Err(invalid) => assert!(is_one_line(invalid.to_string().as_bytes())),
        }
    }
    let mut block = Vec::new();
    let mut writer = ResponseWriter::begin(&mut block, status.code, status.reason);
    for (name, value) in &headers {
        writer.header(name, value);
    }
    if writer.finish().is_err() {
        return false;
    }
    let head = ResponseHead::parse(&block).expect("what the rules let through can be read");
    assert_eq!((head.code(), head.reason().to_bytes()), (status.code, status.reason));
    let arrived: Vec<_> = head
        .headers()
        .map(|header| header.expect("what the rules let through can be read"))
        .map(|(name, value)| (name.to_bytes(), value.to_bytes()))
        .collect();
    assert_eq!(arrived, headers);
    true
}

/// Whatever proxies and clients write into the headers of proxies, what comes out has the form that it should have, and
/// nobody gets past the address that a trusted proxy has seen. `data` is taken as lines that end at `0xfe`: the peer's
/// address, then headers, whose first byte says which.
///
/// Accepted is a request that got a client's address.
pub fn proxy_headers(data: &[u8]) -> bool {
    let mut lines = data.split(|byte| *byte == 0xfe);
    let peer = lines.next().unwrap_or_default();
    let headers: Vec<(ProxyHeader, &[u8])> = lines
        .filter_map(|line| line.split_first())
        .map(|(which, value)| (PROXY_HEADERS[usize::from(*which) % PROXY_HEADERS.len()], value))
        .collect();
    let proxies = [b"10.0.0.0/8".as_slice(), b"fe80::/10"].map(|text| Network::parse(text).expect("a network"));
    let policy = Policy { headers: PROXY_HEADERS, proxies: Some(&proxies) };
    let sent = |header| headers.iter().find(|(name, _)| *name == header).map(|(_, value)| *value);
    let forwarded = policy.apply(Some(peer), sent);
    check_forwarded(&forwarded);
    let everybody = Policy { proxies: None, ..policy };
    check_forwarded(&everybody.apply(None, sent));
    for (_, value) in &headers {
        check_spoofing(&policy, value);
    }
    forwarded.client.is_some()
}

fn check_forwarded(forwarded: &Forwarded<'_>) {
    let text = |bytes| std::str::from_utf8(bytes).expect("what is checked is ASCII");
    if let Some(client) = forwarded.client {
        assert!(text(client).parse::<std::net::IpAddr>().is_ok());
    }
    for host in [forwarded.host, forwarded.server].into_iter().flatten() {
        assert!(!host.is_empty() && host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte)));
    }
    if let Some(port) = forwarded.port {
        assert!(text(port).parse::<u16>().is_ok_and(|port| port > 0));
    }
    if let Some(path) = forwarded.script_name {
        assert!((path.is_empty() || path[0] == b'/') && is_one_line(path));
    }
}

/// What a client sends stands before what a trusted proxy adds.
fn check_spoofing(policy: &Policy<'_>, value: &[u8]) {
    const PROXY: Option<&[u8]> = Some(b"10.0.0.1");
    let header = [value, b", 192.0.2.9, 10.0.0.2"].concat();
    let through = |sent: ProxyHeader, header: &[u8]| {
        let forwarded = policy.apply(PROXY, |asked| (asked == sent).then_some(header));
        (forwarded.client.map(<[u8]>::to_vec), forwarded.host.map(<[u8]>::to_vec), forwarded.is_https)
    };
    assert_eq!(through(ProxyHeader::XForwardedFor, &header).0.as_deref(), Some(&b"192.0.2.9"[..]));
    let header = [value, b", for=192.0.2.9;host=real.test;proto=https, for=10.0.0.2"].concat();
    let (client, host, is_https) = through(ProxyHeader::Forwarded, &header);
    assert!(client.is_none_or(|client| client == b"192.0.2.9"));
    assert!(host.is_none_or(|host| host == b"real.test") && is_https != Some(false));
}

/// Bytes that come in chunks give the same frames, and the same error, as if they came at once; each frame is,
/// written again, the same frame. `data` is a stream of frames; its last byte also says how long the chunks are.
///
/// Accepted is a stream of whole frames.
pub fn frames(data: &[u8]) -> bool {
    let chunk = 1 + usize::from(data.last().copied().unwrap_or_default());
    let whole = read_frames(data, data.len().max(1));
    assert_eq!(read_frames(data, chunk), whole);
    whole.1
}

/// The frames of a stream, written again, and whether nothing else was in it.
fn read_frames(data: &[u8], chunk: usize) -> (Vec<Vec<u8>>, bool) {
    let mut inbox = Inbox::default();
    let mut frames = Vec::new();
    for mut part in data.chunks(chunk) {
        while !part.is_empty() {
            let room = inbox.room();
            // For as much again as has been sent, and for one frame that is no head.
            assert!(room.len() <= 2 * data.len() + (512 << 10));
            let count = room.len().min(part.len());
            room[..count].copy_from_slice(&part[..count]);
            inbox.received(count);
            part = &part[count..];
        }
        loop {
            match inbox.next_frame() {
                Ok(Some(frame)) => frames.push(written_again(&frame)),
                Ok(None) => break,
                Err(_) => return (frames, false),
            }
        }
    }
    (frames, inbox.is_empty())
}

fn written_again(frame: &Frame<'_>) -> Vec<u8> {
    match frame {
        Frame::Piece { bytes, .. } => assert!(bytes.len() <= PIECE_LIMIT),
        Frame::Log { line, .. } | Frame::Lookup(line) | Frame::Found(Some(line)) => assert!(line.len() <= TEXT_LIMIT),
        _ => {}
    }
    let mut again = Vec::new();
    frame.put(&mut again);
    let read = Frame::parse(&again).expect("what was written can be read");
    // A reason that was no UTF-8 may have become too long for a frame, and was cut.
    if !matches!(frame, Frame::InputFailed(_) | Frame::Cut(_)) || again.len() < TEXT_LIMIT {
        assert_eq!(&read, frame);
    }
    again
}

/// A control message that is accepted is, written again, the same message; no message belongs to two directions
/// of a conversation, and an error is one line.
pub fn control(data: &[u8]) -> bool {
    let mut accepted = 0;
    macro_rules! ask {
        ($($kind:ident)*) => {$(
            match $kind::parse(data) {
                Ok(message) => {
                    let mut again = Vec::new();
                    assert_eq!(message.write(&mut again), Ok(()));
                    assert_eq!($kind::parse(&again), Ok(message));
                    accepted += 1;
                }
                Err(error) => assert!(is_one_line(error.to_string().as_bytes())),
            }
        )*};
    }
    ask!(ToSupervisor FromSupervisor ToDesk FromDesk ToWorker FromWorker);
    assert!(accepted <= 1);
    accepted == 1
}

/// What a worker is told at its start is, written again, the same.
pub fn worker_settings(data: &[u8]) -> bool {
    let Ok(settings) = Settings::parse(data) else {
        return false;
    };
    let (Ok(worker), Ok(own)) = (Worker::take(&settings), Own::take(&settings)) else {
        return false;
    };
    let mut again = Vec::new();
    let mut writer = SettingsWriter::begin(&mut again);
    worker.put(&mut writer);
    own.put(&mut writer);
    assert_eq!(writer.finish(), Ok(()));
    let settings = Settings::parse(&again).expect("what was written can be read");
    assert_eq!((Worker::take(&settings), Own::take(&settings)), (Ok(worker), Ok(own)));
    true
}

fn is_one_line(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
}
