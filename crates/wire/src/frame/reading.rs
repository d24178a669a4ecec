//! Frames from bytes: every number and length is checked, and nothing may be left over.

use gateway::embedded::{FAULT_ANSWERED, FAULT_CLIENT_GONE, FAULT_FAILED, FAULT_REFUSED, FAULT_TIMED_OUT};
use gateway::{Flow, Level, Outcome, ReadError, WriteError};

use super::{Frame, Hello, PIECE_LIMIT, Refusal, TEXT_LIMIT, Welcome};
use crate::Error;
use crate::block::{HEADER, Kind, Reader};

impl<'a> Frame<'a> {
    /// Reads the frame in `block`, which must be all of it and nothing more.
    ///
    /// # Errors
    /// `Length`, `TooLong`, `Version`, `Kind`, `Truncated`, `Trailing`, `Reserved` (a number that means nothing).
    pub fn parse(block: &'a [u8]) -> Result<Frame<'a>, Error> {
        let kind = block.get(6..HEADER).and_then(|bytes| bytes.first_chunk()).ok_or(Error::Truncated)?;
        let kind = u16::from_le_bytes(*kind);
        let open = |kind| Reader::open(block, kind);
        match kind {
            _ if kind == Kind::Request as u16 => open(Kind::Request).map(|_| Frame::Request(block)),
            _ if kind == Kind::Response as u16 => open(Kind::Response).map(|_| Frame::Response(block)),
            _ if kind == Kind::Hello as u16 => whole(open(Kind::Hello)?, hello),
            _ if kind == Kind::Welcome as u16 => whole(open(Kind::Welcome)?, welcome),
            _ if kind == Kind::Piece as u16 => whole(open(Kind::Piece)?, piece),
            _ if kind == Kind::InputFailed as u16 => whole(open(Kind::InputFailed)?, input_failed),
            _ if kind == Kind::Want as u16 => whole(open(Kind::Want)?, |reader| reader.u32().map(Frame::Want)),
            _ if kind == Kind::Cut as u16 => whole(open(Kind::Cut)?, cut),
            _ if kind == Kind::Log as u16 => whole(open(Kind::Log)?, log),
            _ if kind == Kind::Done as u16 => whole(open(Kind::Done)?, done),
            _ if kind == Kind::Refused as u16 => whole(open(Kind::Refused)?, refused),
            _ if kind == Kind::Question as u16 => open(Kind::Question).map(|_| Frame::Question(block)),
            _ if kind == Kind::Answer as u16 => open(Kind::Answer).map(|_| Frame::Answer(block)),
            _ if kind == Kind::Lookup as u16 => whole(open(Kind::Lookup)?, |reader| line(reader).map(Frame::Lookup)),
            _ if kind == Kind::Found as u16 => whole(open(Kind::Found)?, found),
            other => Err(Error::Kind(other)),
        }
    }
}

fn whole<'a>(
    mut reader: Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<Frame<'a>, Error>,
) -> Result<Frame<'a>, Error> {
    let frame = read(&mut reader)?;
    match reader.len() {
        0 => Ok(frame),
        rest => Err(Error::Trailing(rest)),
    }
}

fn hello<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    Ok(Frame::Hello(Hello { secret: reader.array()? }))
}

fn welcome<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    Ok(Frame::Welcome(Welcome {
        secret: reader.array()?,
        pid: reader.u32()?,
        incarnation: reader.u32()?,
        cell: reader.u32()?,
    }))
}

fn piece<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    let [flow] = reader.array()?;
    let flow = match flow {
        0 => Flow::More,
        1 => Flow::Flush,
        2 => Flow::End,
        other => return Err(Error::Reserved(u16::from(other))),
    };
    if reader.len() > PIECE_LIMIT {
        return Err(Error::TooLong);
    }
    Ok(Frame::Piece { flow, bytes: reader.rest() })
}

fn input_failed<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    let number = reader.u16()?;
    Ok(Frame::InputFailed(match i32::from(number) {
        FAULT_CLIENT_GONE => ReadError::ClientGone,
        FAULT_TIMED_OUT => ReadError::TimedOut,
        FAULT_REFUSED => ReadError::Refused,
        FAULT_FAILED => ReadError::Failed(text(reader)?),
        _ => return Err(Error::Reserved(number)),
    }))
}

fn cut<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    let number = reader.u16()?;
    Ok(Frame::Cut(match i32::from(number) {
        FAULT_CLIENT_GONE => WriteError::ClientGone,
        FAULT_ANSWERED => WriteError::Answered,
        FAULT_FAILED => WriteError::Failed(text(reader)?),
        _ => return Err(Error::Reserved(number)),
    }))
}

fn text(reader: &mut Reader<'_>) -> Result<String, Error> {
    line(reader).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn line<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    match reader.len() {
        0..=TEXT_LIMIT => Ok(reader.rest()),
        _ => Err(Error::TooLong),
    }
}

fn log<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    let [level] = reader.array()?;
    Ok(Frame::Log { level: Level::from_number(i32::from(level)), line: line(reader)? })
}

fn done<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    reader.array().map(|number| Frame::Done(Outcome::from_number(i32::from_le_bytes(number))))
}

fn found<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    let [is_there] = reader.array()?;
    match is_there {
        0 => Ok(Frame::Found(None)),
        1 => Ok(Frame::Found(Some(line(reader)?))),
        other => Err(Error::Reserved(u16::from(other))),
    }
}

fn refused<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, Error> {
    Ok(Frame::Refused(match reader.u16()? {
        1 => Refusal::Leaving,
        2 => Refusal::Outdated,
        3 => Refusal::Misdirected,
        other => return Err(Error::Reserved(other)),
    }))
}
