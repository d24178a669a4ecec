//! Frames to bytes, appended to what a connection is to be sent.

use gateway::embedded::{FAULT_ANSWERED, FAULT_CLIENT_GONE, FAULT_FAILED, FAULT_REFUSED, FAULT_TIMED_OUT};
use gateway::{Flow, ReadError, WriteError};

use super::{Frame, PIECE_LIMIT, TEXT_LIMIT};
use crate::block::{HEADER, Kind, VERSION};

impl Frame<'_> {
    /// Appends the frame to a buffer. Texts and pieces over their limit are cut: who sends pieces splits them.
    pub fn put(&self, buf: &mut Vec<u8>) {
        match self {
            // A block that its writer has finished is a frame as it is.
            Frame::Request(block) | Frame::Response(block) | Frame::Question(block) | Frame::Answer(block) => {
                buf.extend_from_slice(block);
            }
            Frame::Hello(hello) => put(buf, Kind::Hello, [&hello.secret]),
            Frame::Welcome(welcome) => put(
                buf,
                Kind::Welcome,
                [
                    &welcome.secret,
                    &welcome.pid.to_le_bytes(),
                    &welcome.incarnation.to_le_bytes(),
                    &welcome.cell.to_le_bytes(),
                ],
            ),
            Frame::Piece { flow, bytes } => {
                let bytes = &bytes[..bytes.len().min(PIECE_LIMIT)];
                put(buf, Kind::Piece, [&[flow_number(*flow)], bytes]);
            }
            Frame::InputFailed(error) => {
                let (number, text) = read_fault(error);
                put(buf, Kind::InputFailed, [&number.to_le_bytes(), text_part(text)]);
            }
            Frame::Want(count) => put(buf, Kind::Want, [&count.to_le_bytes()]),
            Frame::Cut(error) => {
                let (number, text) = write_fault(error);
                put(buf, Kind::Cut, [&number.to_le_bytes(), text_part(text)]);
            }
            Frame::Log { level, line } => put(buf, Kind::Log, [&[*level as u8], &line[..line.len().min(TEXT_LIMIT)]]),
            Frame::Done(outcome) => put(buf, Kind::Done, [&outcome.to_number().to_le_bytes()]),
            Frame::Refused(refusal) => put(buf, Kind::Refused, [&(*refusal as u16).to_le_bytes()]),
            Frame::Lookup(name) => put(buf, Kind::Lookup, [&name[..name.len().min(TEXT_LIMIT)]]),
            Frame::Found(value) => {
                let text = value.unwrap_or_default();
                put(buf, Kind::Found, [&[u8::from(value.is_some())], &text[..text.len().min(TEXT_LIMIT)]]);
            }
        }
    }
}

/// Header and flow of a `Piece` frame whose `length` bytes (at most [`PIECE_LIMIT`]) are sent from where they lie.
pub fn piece_header(flow: Flow, length: usize) -> [u8; HEADER + 1] {
    debug_assert!(length <= PIECE_LIMIT);
    let mut header = [0; HEADER + 1];
    header[..HEADER].copy_from_slice(&block_header(Kind::Piece, length + 1));
    header[HEADER] = flow_number(flow);
    header
}

fn block_header(kind: Kind, payload: usize) -> [u8; HEADER] {
    let total = u32::try_from(HEADER + payload).unwrap_or(u32::MAX).to_le_bytes();
    let [version, kind] = [VERSION.to_le_bytes(), (kind as u16).to_le_bytes()];
    [total[0], total[1], total[2], total[3], version[0], version[1], kind[0], kind[1]]
}

fn put<const N: usize>(buf: &mut Vec<u8>, kind: Kind, parts: [&[u8]; N]) {
    let payload = parts.iter().map(|part| part.len()).sum();
    buf.reserve(HEADER + payload);
    buf.extend_from_slice(&block_header(kind, payload));
    for part in parts {
        buf.extend_from_slice(part);
    }
}

fn flow_number(flow: Flow) -> u8 {
    match flow {
        Flow::More => 0,
        Flow::Flush => 1,
        Flow::End => 2,
    }
}

fn read_fault(error: &ReadError) -> (u16, &str) {
    match error {
        ReadError::ClientGone => (FAULT_CLIENT_GONE as u16, ""),
        ReadError::TimedOut => (FAULT_TIMED_OUT as u16, ""),
        ReadError::Refused => (FAULT_REFUSED as u16, ""),
        ReadError::Failed(text) => (FAULT_FAILED as u16, text),
    }
}

fn write_fault(error: &WriteError) -> (u16, &str) {
    match error {
        WriteError::ClientGone => (FAULT_CLIENT_GONE as u16, ""),
        WriteError::Answered => (FAULT_ANSWERED as u16, ""),
        WriteError::Failed(text) => (FAULT_FAILED as u16, text),
    }
}

/// As much of a text as a frame takes, cut between characters: the reader wants UTF-8.
fn text_part(text: &str) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(TEXT_LIMIT)]
}
