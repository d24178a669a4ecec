//! An exchange in memory, for tests: what was done to it can be read back.

use std::os::fd::BorrowedFd;

use gateway::{Exchange, Flow, ReadError, WriteError};
use wire::ResponseHead;

/// Serves the given pieces of a body and records the response as events.
#[derive(Default)]
pub(crate) struct MemoryExchange {
    pub(crate) body: Vec<Result<Vec<u8>, ReadError>>,
    pub(crate) events: Vec<String>,
    pub(crate) client_leaves_after: Option<usize>,
}

impl MemoryExchange {
    pub(crate) fn with_body<const N: usize>(pieces: [&[u8]; N]) -> Self {
        MemoryExchange { body: pieces.iter().rev().map(|piece| Ok(piece.to_vec())).collect(), ..Self::default() }
    }
}

impl Exchange for MemoryExchange {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        let Some(piece) = self.body.pop() else { return Ok(0) };
        let mut piece = piece?;
        let count = piece.len().min(buf.len());
        buf[..count].copy_from_slice(&piece[..count]);
        if count < piece.len() {
            self.body.push(Ok(piece.split_off(count)));
        }
        Ok(count)
    }

    fn start(&mut self, head: &[u8]) -> Result<(), WriteError> {
        let head = ResponseHead::parse(head).expect("the host writes whole heads");
        let headers: Vec<String> = head
            .headers()
            .map(|header| header.expect("the host writes whole heads"))
            .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
            .collect();
        self.events.push(format!("head {} {}", head.code(), headers.join(",")).trim_end().to_owned());
        Ok(())
    }

    fn write(&mut self, piece: &[u8], flow: Flow) -> Result<(), WriteError> {
        if self.client_leaves_after.is_some_and(|count| self.events.len() >= count) {
            return Err(WriteError::ClientGone);
        }
        self.events.push(format!("{flow:?} {}", String::from_utf8_lossy(piece)).trim_end().to_owned());
        Ok(())
    }

    fn send_file(&mut self, _file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), WriteError> {
        self.events.push(format!("file {offset}+{length}"));
        Ok(())
    }

    fn is_client_gone(&mut self) -> bool {
        self.client_leaves_after.is_some_and(|count| self.events.len() >= count)
    }
}
