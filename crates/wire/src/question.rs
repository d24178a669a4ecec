//! A question to a script, and the answer (`gateway::question`), as blocks.

use gateway::{Answer, Route, Subject};

use crate::block::{HEADER, Kind, Reader, Writer};
use crate::frame::PIECE_LIMIT;
use crate::{Error, RequestHead};

/// A question; its strings point into the block that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// What is asked.
    pub subject: Subject,
    /// The client's connection is TLS.
    pub is_tls: bool,
    /// Path of the script.
    pub script: &'a [u8],
    /// What the function gets after the environ; those that the subject does not have are empty.
    pub arguments: [&'a [u8]; 2],
    /// A whole request head: the environ of the question. Its facts are about the script.
    pub head: &'a [u8],
}

/// The bit of a question about a TLS connection.
const TLS: u16 = 1;

impl<'a> Question<'a> {
    /// Writes the question. The buffer gets its memory at once, so that no password is left where it grew out of.
    ///
    /// # Errors
    /// `TooLong` if the block has more than [`crate::LIMIT`] bytes.
    pub fn write(&self, buf: &mut Vec<u8>) -> Result<(), Error> {
        let length = |text: &[u8]| u32::try_from(text.len()).map(u32::to_le_bytes).map_err(|_| Error::TooLong);
        let [first, second] = self.arguments;
        let lengths = [length(self.script)?, length(first)?, length(second)?];
        buf.clear();
        buf.reserve(HEADER + 16 + self.script.len() + first.len() + second.len() + self.head.len());
        let mut writer = Writer::begin(buf, Kind::Question);
        let flags = if self.is_tls { TLS } else { 0 };
        writer.put([&(self.subject as u16).to_le_bytes(), &flags.to_le_bytes()]);
        writer.put([&lengths[0], &lengths[1], &lengths[2], self.script, first, second, self.head]);
        writer.finish()
    }

    /// Reads the question in `block`, which must be all of it and nothing more.
    ///
    /// # Errors
    /// `Length`, `TooLong`, `Version`, `Kind`, `Truncated`; `Reserved` for a subject or a flag that means nothing, and
    /// for an argument that the subject does not have; what [`RequestHead::parse`] has against the head.
    pub fn parse(block: &'a [u8]) -> Result<Question<'a>, Error> {
        let mut reader = Reader::open(block, Kind::Question)?;
        let number = reader.u16()?;
        let subject = Subject::from_number(number).ok_or(Error::Reserved(number))?;
        let flags = reader.u16()?;
        if flags & !TLS != 0 {
            return Err(Error::Reserved(flags));
        }
        let [script, first, second] = [reader.length()?, reader.length()?, reader.length()?];
        let question = Question {
            subject,
            is_tls: flags & TLS != 0,
            script: reader.bytes(script)?,
            arguments: [reader.bytes(first)?, reader.bytes(second)?],
            head: reader.rest(),
        };
        if question.arguments.iter().skip(subject.arguments()).any(|argument| !argument.is_empty()) {
            return Err(Error::Reserved(number));
        }
        RequestHead::parse(question.head)?;
        Ok(question)
    }
}

/// Most bytes of an answer's block: it is a frame as long as any that is no head.
const ANSWER_LIMIT: usize = HEADER + 1 + PIECE_LIMIT;

/// The length of a name that is not there.
const ABSENT: u32 = u32::MAX;

/// Writes an answer; after an error the buffer is empty.
///
/// # Errors
/// `TooLong` if the block would have more than some 256 KiB, or more than 65,535 names.
pub fn write_answer(answer: &Answer, buf: &mut Vec<u8>) -> Result<(), Error> {
    let (number, items): (u16, Vec<Option<&[u8]>>) = match answer {
        Answer::Failed => (0, Vec::new()),
        Answer::None => (1, Vec::new()),
        Answer::No => (2, Vec::new()),
        Answer::Yes => (3, Vec::new()),
        Answer::Text(text) => (4, vec![Some(text)]),
        Answer::Groups(names) => (5, names.iter().map(|name| Some(&name[..])).collect()),
        Answer::Route(Route { process_group, application_group, callable_object }) => {
            (6, vec![process_group.as_deref(), application_group.as_deref(), callable_object.as_deref()])
        }
    };
    let mut writer = Writer::begin(buf, Kind::Answer);
    match u16::try_from(items.len()) {
        Ok(count) => writer.put([&number.to_le_bytes(), &count.to_le_bytes()]),
        Err(_) => writer.fail(Error::TooLong),
    }
    for item in items {
        match item.map(|text| (u32::try_from(text.len()), text)) {
            None => writer.put([&ABSENT.to_le_bytes()]),
            Some((Ok(length), text)) if length != ABSENT => writer.put([&length.to_le_bytes(), text]),
            Some(_) => writer.fail(Error::TooLong),
        }
    }
    writer.finish()?;
    if buf.len() > ANSWER_LIMIT {
        buf.clear();
        return Err(Error::TooLong);
    }
    Ok(())
}

/// Reads the answer in `block`, which must be all of it and nothing more. Whether it is one about the subject is
/// for [`Answer::about`] to say.
///
/// # Errors
/// `Length`, `TooLong`, `Version`, `Kind`, `Truncated`, `Trailing`; `Reserved` for a number that means nothing, and for
/// a number of names that the answer does not have.
pub fn parse_answer(block: &[u8]) -> Result<Answer, Error> {
    if block.len() > ANSWER_LIMIT {
        return Err(Error::TooLong);
    }
    let mut reader = Reader::open(block, Kind::Answer)?;
    let (number, count) = (reader.u16()?, reader.u16()?);
    let expected = match number {
        0..=3 => 0,
        4 => 1,
        5 => count,
        6 => 3,
        other => return Err(Error::Reserved(other)),
    };
    if count != expected {
        return Err(Error::Reserved(count));
    }
    let answer = match number {
        0 => Answer::Failed,
        1 => Answer::None,
        2 => Answer::No,
        3 => Answer::Yes,
        4 => Answer::Text(present(&mut reader)?),
        5 => Answer::Groups((0..count).map(|_| present(&mut reader)).collect::<Result<_, _>>()?),
        _ => Answer::Route(Route {
            process_group: item(&mut reader)?,
            application_group: item(&mut reader)?,
            callable_object: item(&mut reader)?,
        }),
    };
    match reader.len() {
        0 => Ok(answer),
        rest => Err(Error::Trailing(rest)),
    }
}

fn item(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, Error> {
    match reader.u32()? {
        ABSENT => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| Error::Truncated)?;
            reader.bytes(length).map(|text| Some(text.to_vec()))
        }
    }
}

fn present(reader: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    item(reader)?.ok_or(Error::Reserved(u16::MAX))
}

#[cfg(test)]
mod tests {
    use gateway::Key;

    use super::*;
    use crate::{Facts, RequestWriter};

    fn head() -> Vec<u8> {
        let mut head = Vec::new();
        let mut writer = RequestWriter::begin(&mut head, Facts::default());
        writer.known(Key::RequestMethod, b"GET");
        assert_eq!(writer.finish(), Ok(()));
        head
    }

    fn block(question: &Question<'_>) -> Vec<u8> {
        let mut block = Vec::new();
        assert_eq!(question.write(&mut block), Ok(()));
        block
    }

    #[test]
    fn question_has_the_documented_bytes_and_is_read_as_it_was_written() {
        let head = head();
        let question = Question {
            subject: Subject::Password,
            is_tls: true,
            script: b"/a",
            arguments: [b"me", b"pw"],
            head: &head,
        };
        let fields = [&[2, 0, 1, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0][..], b"/amepw", &head].concat();
        let total = (HEADER + fields.len()) as u32;
        let expected = [&total.to_le_bytes()[..], &[1, 0, 12, 0], &fields].concat();
        assert_eq!(block(&question), expected);
        assert_eq!(Question::parse(&expected), Ok(question));
    }

    #[test]
    fn question_cut_anywhere_is_refused() {
        let head = head();
        let question =
            Question { subject: Subject::Groups, is_tls: false, script: b"/a", arguments: [b"me", b""], head: &head };
        let whole = block(&question);
        for length in 0..whole.len() {
            assert!(Question::parse(&whole[..length]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn subjects_flags_and_arguments_that_mean_nothing_are_refused() {
        let head = head();
        let sound =
            Question { subject: Subject::Access, is_tls: false, script: b"/a", arguments: [b"h", b""], head: &head };
        let mut bytes = block(&sound);
        bytes[8] = 9;
        assert_eq!(Question::parse(&bytes), Err(Error::Reserved(9)));
        bytes[8] = 1;
        bytes[10] = 2;
        assert_eq!(Question::parse(&bytes), Err(Error::Reserved(2)));
        let odd = block(&Question { arguments: [b"h", b"more"], ..sound });
        assert_eq!(Question::parse(&odd), Err(Error::Reserved(1)));
    }

    #[test]
    fn question_without_a_whole_head_is_refused() {
        let head = head();
        let question = Question {
            subject: Subject::Dispatch,
            is_tls: false,
            script: b"/a",
            arguments: [b"", b""],
            head: &head[..head.len() - 1],
        };
        assert!(matches!(Question::parse(&block(&question)), Err(Error::Length { .. })));
    }

    fn answers() -> Vec<(Answer, Vec<u8>)> {
        let route =
            Route { process_group: None, application_group: Some(Vec::new()), callable_object: Some(b"f".to_vec()) };
        vec![
            (Answer::Failed, vec![0, 0, 0, 0]),
            (Answer::None, vec![1, 0, 0, 0]),
            (Answer::No, vec![2, 0, 0, 0]),
            (Answer::Yes, vec![3, 0, 0, 0]),
            (Answer::Text(b"me".to_vec()), vec![4, 0, 1, 0, 2, 0, 0, 0, b'm', b'e']),
            (Answer::Groups(Vec::new()), vec![5, 0, 0, 0]),
            (Answer::Groups(vec![b"a".to_vec()]), vec![5, 0, 1, 0, 1, 0, 0, 0, b'a']),
            (Answer::Groups(vec![b"a".to_vec(), Vec::new()]), vec![5, 0, 2, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 0]),
            (Answer::Route(route), vec![6, 0, 3, 0, 255, 255, 255, 255, 0, 0, 0, 0, 1, 0, 0, 0, b'f']),
        ]
    }

    fn framed(fields: &[u8]) -> Vec<u8> {
        let total = (HEADER + fields.len()) as u32;
        [&total.to_le_bytes()[..], &[1, 0, 13, 0], fields].concat()
    }

    #[test]
    fn every_answer_has_the_documented_bytes_and_is_read_as_it_was_written() {
        for (answer, fields) in answers() {
            let mut bytes = Vec::new();
            assert_eq!(write_answer(&answer, &mut bytes), Ok(()));
            assert_eq!(bytes, framed(&fields), "{answer:?}");
            assert_eq!(parse_answer(&bytes), Ok(answer));
        }
    }

    #[test]
    fn answers_that_are_cut_or_go_on_are_refused() {
        for (answer, fields) in answers() {
            for length in 0..fields.len() {
                assert!(parse_answer(&framed(&fields[..length])).is_err(), "{answer:?} cut to {length}");
            }
            assert_eq!(parse_answer(&framed(&[&fields[..], b"?"].concat())), Err(Error::Trailing(1)));
        }
        assert_eq!(parse_answer(&framed(&[7, 0, 0, 0])), Err(Error::Reserved(7)));
        assert_eq!(parse_answer(&framed(&[3, 0, 1, 0])), Err(Error::Reserved(1)));
        assert_eq!(parse_answer(&framed(&[4, 0, 1, 0, 255, 255, 255, 255])), Err(Error::Reserved(u16::MAX)));
    }

    #[test]
    fn answer_that_no_frame_would_hold_is_not_written() {
        let mut bytes = b"before".to_vec();
        let many = Answer::Groups(vec![vec![b'g'; 1024]; 300]);
        assert_eq!(write_answer(&many, &mut bytes), Err(Error::TooLong));
        assert!(bytes.is_empty());
        let more = Answer::Groups(vec![Vec::new(); 65_536]);
        assert_eq!(write_answer(&more, &mut bytes), Err(Error::TooLong));
    }
}
