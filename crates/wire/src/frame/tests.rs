//! Each frame: its bytes as docs/wire.md has them, there and back, and what is refused.

use gateway::{Flow, Level, Outcome, ReadError, WriteError};

use super::*;
use crate::block::{HEADER, LIMIT};
use crate::{Error, Facts, RequestWriter, ResponseWriter};

fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    let mut buf = Vec::new();
    frame.put(&mut buf);
    buf
}

/// A block of this kind, its header right.
fn block(kind: u8, payload: &[u8]) -> Vec<u8> {
    let total = (HEADER + payload.len()) as u32;
    [&total.to_le_bytes()[..], &[1, 0, kind, 0], payload].concat()
}

/// Every kind of frame but the heads, and what stands behind its header.
fn samples() -> Vec<(Frame<'static>, u8, Vec<u8>)> {
    let secret = std::array::from_fn(|index| index as u8);
    let welcome = Welcome { secret, pid: 0x0102, incarnation: 3, cell: NO_CELL };
    vec![
        (Frame::Hello(Hello { secret }), 3, secret.to_vec()),
        (Frame::Welcome(welcome), 4, [&secret[..], &[2, 1, 0, 0, 3, 0, 0, 0], &[0xff; 4]].concat()),
        (Frame::Piece { flow: Flow::More, bytes: b"abc" }, 5, b"\0abc".to_vec()),
        (Frame::Piece { flow: Flow::Flush, bytes: b"abc" }, 5, b"\x01abc".to_vec()),
        (Frame::Piece { flow: Flow::Flush, bytes: b"\0" }, 5, vec![1, 0]),
        (Frame::Piece { flow: Flow::End, bytes: b"" }, 5, vec![2]),
        (Frame::InputFailed(ReadError::ClientGone), 6, vec![1, 0]),
        (Frame::InputFailed(ReadError::TimedOut), 6, vec![2, 0]),
        (Frame::InputFailed(ReadError::Refused), 6, vec![3, 0]),
        (Frame::InputFailed(ReadError::Failed("no é".into())), 6, b"\x05\0no \xc3\xa9".to_vec()),
        (Frame::Want(0x0001_0203), 7, vec![3, 2, 1, 0]),
        (Frame::Cut(WriteError::ClientGone), 8, vec![1, 0]),
        (Frame::Cut(WriteError::Answered), 8, vec![4, 0]),
        (Frame::Cut(WriteError::Failed("full".into())), 8, b"\x05\0full".to_vec()),
        (Frame::Log { level: Level::Error, line: b"a\xffb" }, 9, b"\x03a\xffb".to_vec()),
        (Frame::Done(Outcome::Complete), 10, vec![0; 4]),
        (Frame::Done(Outcome::Status(503)), 10, vec![0xf7, 1, 0, 0]),
        (Frame::Done(Outcome::Incomplete), 10, vec![0xff; 4]),
        (Frame::Refused(Refusal::Leaving), 11, vec![1, 0]),
        (Frame::Refused(Refusal::Outdated), 11, vec![2, 0]),
        (Frame::Refused(Refusal::Misdirected), 11, vec![3, 0]),
        (Frame::Lookup(b"SSL_PROTOCOL"), 14, b"SSL_PROTOCOL".to_vec()),
        (Frame::Found(None), 15, vec![0]),
        (Frame::Found(Some(b"TLSv1.3")), 15, b"\x01TLSv1.3".to_vec()),
        (Frame::Found(Some(b"")), 15, vec![1]),
    ]
}

#[test]
fn every_frame_has_the_documented_bytes_and_is_read_as_it_was_written() {
    for (frame, kind, payload) in samples() {
        let expected = block(kind, &payload);
        assert_eq!(bytes(&frame), expected, "{frame:?}");
        assert_eq!(Frame::parse(&expected), Ok(frame));
    }
}

#[test]
fn heads_are_frames_as_they_are() {
    let mut head = Vec::new();
    assert_eq!(RequestWriter::begin(&mut head, Facts::default()).finish(), Ok(()));
    assert_eq!(Frame::parse(&head), Ok(Frame::Request(&head)));
    assert_eq!(bytes(&Frame::Request(&head)), head);
    assert_eq!(ResponseWriter::begin(&mut head, 200, b"OK").finish(), Ok(()));
    assert_eq!(Frame::parse(&head), Ok(Frame::Response(&head)));
    assert_eq!(bytes(&Frame::Response(&head)), head);
}

#[test]
fn frames_are_appended_to_what_is_there() {
    let mut buf = b"before".to_vec();
    Frame::Want(1).put(&mut buf);
    assert_eq!(buf, [b"before", &block(7, &[1, 0, 0, 0])[..]].concat());
}

#[test]
fn frame_cut_anywhere_is_refused() {
    for (frame, _, _) in samples() {
        let whole = bytes(&frame);
        for length in 0..whole.len() {
            assert!(Frame::parse(&whole[..length]).is_err(), "{frame:?} cut to {length}");
        }
    }
}

#[test]
fn frame_that_states_its_shorter_length_is_refused_where_the_length_is_fixed() {
    for (frame, kind, payload) in samples() {
        // A shorter piece or text is one as well; only what stands before it must be there.
        let fixed = match frame {
            Frame::Piece { .. } | Frame::Log { .. } | Frame::Found(_) => 1,
            Frame::Lookup(_) => 0,
            Frame::InputFailed(_) | Frame::Cut(_) => 2,
            _ => payload.len(),
        };
        for length in 0..fixed {
            let error = Frame::parse(&block(kind, &payload[..length])).map(|_| ());
            assert_eq!(error, Err(Error::Truncated), "{frame:?} cut to {length}");
        }
    }
}

#[test]
fn bytes_behind_what_a_frame_holds_are_refused() {
    for (frame, kind, payload) in samples() {
        let is_open = matches!(
            frame,
            Frame::Piece { .. }
                | Frame::Log { .. }
                | Frame::Lookup(_)
                | Frame::Found(Some(_))
                | Frame::InputFailed(ReadError::Failed(_))
                | Frame::Cut(WriteError::Failed(_))
        );
        let longer = block(kind, &[&payload[..], b"??"].concat());
        let error = Frame::parse(&longer).map(|_| ());
        assert_eq!(error, if is_open { Ok(()) } else { Err(Error::Trailing(2)) }, "{frame:?}");
    }
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    for (kind, payload, number) in [
        (5, &[3, b'x'][..], 3),
        (5, &[255], 255),
        (6, &[0, 0], 0),
        (6, &[4, 0], 4),
        (6, &[6, 0], 6),
        (6, &[1, 1], 257),
        (8, &[0, 0], 0),
        (8, &[2, 0], 2),
        (8, &[3, 0], 3),
        (11, &[0, 0], 0),
        (11, &[4, 0], 4),
        (15, &[2], 2),
    ] {
        let block = block(kind, payload);
        assert_eq!(Frame::parse(&block), Err(Error::Reserved(number)), "kind {kind}");
    }
}

#[test]
fn levels_and_outcomes_out_of_range_are_taken_as_the_nearest() {
    let log = |level| block(9, &[level]);
    assert_eq!(Frame::parse(&log(0)), Ok(Frame::Log { level: Level::Critical, line: b"" }));
    assert_eq!(Frame::parse(&log(255)), Ok(Frame::Log { level: Level::Debug, line: b"" }));
    let done = |number: i32| block(10, &number.to_le_bytes());
    for number in [-2, i32::MIN, i32::MAX, 65_536] {
        assert_eq!(Frame::parse(&done(number)), Ok(Frame::Done(Outcome::Incomplete)), "{number}");
    }
}

#[test]
fn kinds_that_are_no_frames_are_refused() {
    for kind in [2, 16, 255] {
        assert_eq!(Frame::parse(&block(kind, b"")), Err(Error::Kind(u16::from(kind))));
    }
    let mut high = block(7, &[0; 4]);
    high[7] = 1;
    assert_eq!(Frame::parse(&high), Err(Error::Kind(0x0107)));
}

#[test]
fn frame_of_another_version_or_length_is_refused() {
    let mut frame = bytes(&Frame::Want(1));
    frame[4] = 2;
    assert_eq!(Frame::parse(&frame), Err(Error::Version(2)));
    frame[4] = 1;
    frame.push(0);
    assert_eq!(Frame::parse(&frame), Err(Error::Length { stated: 12, actual: 13 }));
    let mut head = block(0, &vec![0; LIMIT]);
    assert_eq!(Frame::parse(&head), Err(Error::TooLong));
    head[6] = 1;
    assert_eq!(Frame::parse(&head), Err(Error::TooLong));
}

#[test]
fn pieces_and_lines_may_have_exactly_their_limits() {
    let piece = vec![b'p'; PIECE_LIMIT + 1];
    let frame = Frame::Piece { flow: Flow::More, bytes: &piece[..PIECE_LIMIT] };
    assert_eq!(Frame::parse(&bytes(&frame)), Ok(frame));
    assert_eq!(Frame::parse(&block(5, &[b"\0", &piece[..]].concat())), Err(Error::TooLong));
    let line = vec![b'l'; TEXT_LIMIT + 1];
    let frame = Frame::Log { level: Level::Info, line: &line[..TEXT_LIMIT] };
    assert_eq!(Frame::parse(&bytes(&frame)), Ok(frame));
    assert_eq!(Frame::parse(&block(9, &[b"\x06", &line[..]].concat())), Err(Error::TooLong));
    for kind in [6, 8] {
        assert!(Frame::parse(&block(kind, &[b"\x05\0", &line[1..]].concat())).is_ok());
        assert_eq!(Frame::parse(&block(kind, &[b"\x05\0", &line[..]].concat())), Err(Error::TooLong));
    }
}

#[test]
fn what_is_over_a_limit_is_cut_when_it_is_written() {
    let long = vec![b'x'; PIECE_LIMIT + 1];
    let piece = bytes(&Frame::Piece { flow: Flow::End, bytes: &long });
    assert_eq!(piece.len(), HEADER + 1 + PIECE_LIMIT);
    let log = bytes(&Frame::Log { level: Level::Info, line: &long });
    assert_eq!(log.len(), HEADER + 1 + TEXT_LIMIT);
    assert!(Frame::parse(&piece).is_ok() && Frame::parse(&log).is_ok());
}

#[test]
fn long_reason_is_cut_between_characters() {
    let long = "é".repeat(TEXT_LIMIT);
    let mut reason = long.clone();
    reason.insert(0, 'x');
    let frame = bytes(&Frame::InputFailed(ReadError::Failed(reason.clone())));
    let kept = format!("x{}", &long[..TEXT_LIMIT - 2]);
    assert_eq!(Frame::parse(&frame), Ok(Frame::InputFailed(ReadError::Failed(kept.clone()))));
    let frame = bytes(&Frame::Cut(WriteError::Failed(reason)));
    assert_eq!(Frame::parse(&frame), Ok(Frame::Cut(WriteError::Failed(kept))));
}

#[test]
fn reason_that_is_no_utf8_is_read_with_replacements() {
    let frame = block(8, b"\x05\0a\xff");
    assert_eq!(Frame::parse(&frame), Ok(Frame::Cut(WriteError::Failed("a\u{fffd}".into()))));
}

#[test]
fn header_of_a_piece_that_is_sent_from_where_it_lies_is_that_of_the_frame() {
    for (flow, length) in [(Flow::More, 0), (Flow::Flush, 3), (Flow::End, PIECE_LIMIT)] {
        let body = vec![b'p'; length];
        let sent = [&piece_header(flow, length)[..], &body].concat();
        assert_eq!(sent, bytes(&Frame::Piece { flow, bytes: &body }));
    }
}
