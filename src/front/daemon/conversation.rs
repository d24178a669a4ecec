//! What a child and a worker say to each other about one request: which frame may come when, and what
//! follows from it. Moves no bytes; `relay` does.

use gateway::{Flow, Level, Outcome};
use wire::{Frame, Refusal, Welcome};

/// What is to be done about a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Nothing more.
    Nothing,
    /// Look whether the worker is one of ours.
    Welcome(Welcome),
    /// Write a line to the request's log.
    Log(Level, &'a [u8]),
    /// Set status and headers from this block.
    Head(&'a [u8]),
    /// Hand part of the body on.
    Piece(Flow, &'a [u8]),
    /// The request has ended.
    Done(Outcome),
    /// The request was not begun.
    Refused(Refusal),
    /// The script that is asked wants this variable.
    Lookup(&'a [u8]),
    /// Take the answer to the question.
    Answer(&'a [u8]),
}

/// A frame that does not belong where it came. The connection is of no use after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Breach(pub(super) &'static str);

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Response {
    /// No head has come.
    Awaited,
    /// The head is here.
    Begun,
    /// The last piece is here.
    Whole,
}

/// One request on one connection.
#[derive(Debug)]
pub(super) struct Conversation {
    awaits_welcome: bool,
    response: Response,
    /// Nothing more of the response can be delivered, so what still comes of it is dropped.
    is_cut: bool,
    /// Whether more of the request's body may be sent.
    is_uploading: bool,
    /// Bytes of it that the worker has asked for and not been sent.
    wanted: u64,
    /// It is a question: an answer takes the place of the response.
    is_question: bool,
}

impl Conversation {
    /// Of a request that is sent now: `awaits_welcome` on a new connection, `is_uploading` if the worker may
    /// ask for a body.
    pub(super) fn new(awaits_welcome: bool, is_uploading: bool) -> Conversation {
        let response = Response::Awaited;
        Conversation { awaits_welcome, response, is_cut: false, is_uploading, wanted: 0, is_question: false }
    }

    /// Of a question that is put now.
    pub(super) fn of_question(awaits_welcome: bool) -> Conversation {
        Conversation { is_question: true, ..Conversation::new(awaits_welcome, false) }
    }

    /// Takes the worker's next frame.
    ///
    /// # Errors
    /// [`Breach`].
    pub(super) fn receive<'a>(&mut self, frame: Frame<'a>) -> Result<Step<'a>, Breach> {
        if self.awaits_welcome {
            let Frame::Welcome(welcome) = frame else { return Err(Breach("an answer without a welcome before it")) };
            self.awaits_welcome = false;
            return Ok(Step::Welcome(welcome));
        }
        match frame {
            Frame::Log { level, line } => Ok(Step::Log(level, line)),
            Frame::Response(_) | Frame::Piece { .. } if self.is_question => Err(Breach("a response to a question")),
            Frame::Answer(_) | Frame::Lookup(_) if !self.is_question => Err(Breach("an answer to no question")),
            Frame::Answer(_) | Frame::Lookup(_) if self.response != Response::Awaited => {
                Err(Breach("something after an answer"))
            }
            Frame::Answer(block) => {
                self.response = Response::Whole;
                Ok(Step::Answer(block))
            }
            Frame::Lookup(name) => Ok(Step::Lookup(name)),
            Frame::Response(block) => self.head(block),
            Frame::Piece { flow, bytes } => self.piece(flow, bytes),
            Frame::Want(count) => {
                // Asked for after the end as well: what was sent last and this have passed each other.
                self.wanted = self.wanted.saturating_add(u64::from(count));
                Ok(Step::Nothing)
            }
            Frame::Done(outcome) => Ok(Step::Done(self.outcome(outcome))),
            Frame::Refused(_) if self.response != Response::Awaited => Err(Breach("a refusal after a response")),
            Frame::Refused(refusal) => Ok(Step::Refused(refusal)),
            Frame::Welcome(_) => Err(Breach("a second welcome")),
            Frame::Hello(_)
            | Frame::Request(_)
            | Frame::Question(_)
            | Frame::InputFailed(_)
            | Frame::Cut(_)
            | Frame::Found(_) => Err(Breach("a frame that only httpd sends")),
        }
    }

    fn head<'a>(&mut self, block: &'a [u8]) -> Result<Step<'a>, Breach> {
        if self.response != Response::Awaited {
            return Err(Breach("a second response head"));
        }
        self.response = Response::Begun;
        Ok(if self.is_cut { Step::Nothing } else { Step::Head(block) })
    }

    fn piece<'a>(&mut self, flow: Flow, bytes: &'a [u8]) -> Result<Step<'a>, Breach> {
        match self.response {
            Response::Awaited => return Err(Breach("a body without a response head")),
            Response::Whole => return Err(Breach("a body after its end")),
            Response::Begun => {}
        }
        if flow == Flow::End {
            self.response = Response::Whole;
        }
        Ok(if self.is_cut { Step::Nothing } else { Step::Piece(flow, bytes) })
    }

    /// A worker that says more than it has sent is not believed.
    fn outcome(&self, said: Outcome) -> Outcome {
        match said {
            Outcome::Complete if self.response != Response::Whole && !self.is_cut => Outcome::Incomplete,
            // A status is for httpd's own document, for which it is too late then.
            Outcome::Status(_) if self.response != Response::Awaited => Outcome::Incomplete,
            other => other,
        }
    }

    /// Nothing more of the response can be delivered.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// See [`Conversation::cut`].
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The worker has shown that it is there.
    pub(super) fn is_welcomed(&self) -> bool {
        !self.awaits_welcome
    }

    /// A response head has come.
    pub(super) fn is_answered(&self) -> bool {
        self.response != Response::Awaited
    }

    /// The whole response has come.
    pub(super) fn is_whole(&self) -> bool {
        self.response == Response::Whole
    }

    /// How many bytes of the request's body may be sent now.
    pub(super) fn room(&self) -> u64 {
        if self.is_uploading { self.wanted } else { 0 }
    }

    /// The request's body has not been sent to its end.
    pub(super) fn is_uploading(&self) -> bool {
        self.is_uploading
    }

    /// So many bytes of the request's body are being sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.wanted = self.wanted.saturating_sub(count as u64);
    }

    /// The request's body has ended, one way or another.
    pub(super) fn end_upload(&mut self) {
        self.is_uploading = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(flow: Flow) -> Frame<'static> {
        Frame::Piece { flow, bytes: b"x" }
    }

    const WELCOME: Welcome = Welcome { secret: [1; 32], pid: 2, incarnation: 3, cell: 4 };

    #[test]
    fn an_answer_goes_on_as_it_comes() {
        let mut conversation = Conversation::new(true, false);
        assert_eq!(conversation.receive(Frame::Welcome(WELCOME)), Ok(Step::Welcome(WELCOME)));
        let line = Frame::Log { level: Level::Error, line: b"oh" };
        assert_eq!(conversation.receive(line), Ok(Step::Log(Level::Error, b"oh")));
        assert_eq!(conversation.receive(Frame::Response(b"head")), Ok(Step::Head(b"head")));
        assert_eq!(conversation.receive(piece(Flow::Flush)), Ok(Step::Piece(Flow::Flush, b"x")));
        assert_eq!(conversation.receive(piece(Flow::End)), Ok(Step::Piece(Flow::End, b"x")));
        assert_eq!(conversation.receive(Frame::Done(Outcome::Complete)), Ok(Step::Done(Outcome::Complete)));
    }

    #[test]
    fn nothing_is_believed_before_the_welcome_and_none_comes_twice() {
        assert!(Conversation::new(true, false).receive(Frame::Done(Outcome::Complete)).is_err());
        assert!(Conversation::new(false, false).receive(Frame::Welcome(WELCOME)).is_err());
    }

    #[test]
    fn frames_out_of_their_order_are_breaches() {
        let mut conversation = Conversation::new(false, false);
        assert!(conversation.receive(piece(Flow::More)).is_err());
        assert!(conversation.receive(Frame::Cut(gateway::WriteError::ClientGone)).is_err());
        assert!(conversation.receive(Frame::Response(b"")).is_ok());
        assert!(conversation.receive(Frame::Response(b"")).is_err());
        assert!(conversation.receive(Frame::Refused(Refusal::Leaving)).is_err());
        assert!(conversation.receive(piece(Flow::End)).is_ok());
        assert!(conversation.receive(piece(Flow::More)).is_err());
    }

    #[test]
    fn a_response_without_its_last_piece_is_not_complete_whatever_the_worker_says() {
        let mut conversation = Conversation::new(false, false);
        assert_eq!(conversation.receive(Frame::Done(Outcome::Complete)), Ok(Step::Done(Outcome::Incomplete)));
        assert!(conversation.receive(Frame::Response(b"")).is_ok());
        assert_eq!(conversation.receive(Frame::Done(Outcome::Status(500))), Ok(Step::Done(Outcome::Incomplete)));
    }

    #[test]
    fn what_comes_after_a_cut_is_dropped_and_the_end_still_told() {
        let mut conversation = Conversation::new(false, false);
        conversation.cut();
        assert_eq!(conversation.receive(Frame::Response(b"")), Ok(Step::Nothing));
        assert_eq!(conversation.receive(piece(Flow::More)), Ok(Step::Nothing));
        assert_eq!(conversation.receive(Frame::Done(Outcome::Complete)), Ok(Step::Done(Outcome::Complete)));
    }

    #[test]
    fn no_more_of_the_body_is_sent_than_was_asked_for_and_none_after_its_end() {
        let mut conversation = Conversation::new(false, true);
        assert_eq!(conversation.room(), 0);
        assert_eq!(conversation.receive(Frame::Want(10)), Ok(Step::Nothing));
        conversation.sent(4);
        assert_eq!(conversation.receive(Frame::Want(1)), Ok(Step::Nothing));
        assert_eq!(conversation.room(), 7);
        conversation.end_upload();
        assert_eq!(conversation.room(), 0);
    }

    #[test]
    fn a_request_without_a_body_sends_none() {
        let mut conversation = Conversation::new(false, false);
        assert_eq!(conversation.receive(Frame::Want(10)), Ok(Step::Nothing));
        assert_eq!(conversation.room(), 0);
    }
}
