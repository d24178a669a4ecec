//! What httpd's scoreboard says, for groups that may know it (`server-metrics=On`): a block that httpd's children
//! write, and a file in memory through which workers get it.
//!
//! Workers get the file for reading only, and it is owned by the user of httpd's parent: no application can write what
//! another one reads. Readers are handed nothing but bytes, and look for whole blocks alone.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Longest block, bytes: httpd has at most some ten thousand threads.
const LIMIT: usize = 64 << 20;

/// How often a reader looks again for a block that was being written.
const TRIES: usize = 20;

/// The file, as httpd's parent makes it and its children write it.
///
/// Its bytes: a number that grows with each block, the block's length (both u64, little-endian), the block, the number
/// again.
#[derive(Debug)]
pub struct ServerBoard {
    file: File,
    reading: OwnedFd,
}

impl ServerBoard {
    /// Makes one.
    ///
    /// # Errors
    /// Those of memfd_create(2), fchmod(2), and of opening `/proc/self/fd`.
    pub fn create() -> io::Result<ServerBoard> {
        let file = File::from(memfd_create(c"wsgi-server", MFdFlags::MFD_CLOEXEC)?);
        // Whoever has a descriptor could open the file anew for writing through /proc, if its mode let them.
        file.set_permissions(Permissions::from_mode(0o600))?;
        let reading = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?.into();
        Ok(ServerBoard { file, reading })
    }

    /// The file for reading only.
    pub fn reading(&self) -> BorrowedFd<'_> {
        self.reading.as_fd()
    }

    /// Whether this process is the one that writes, of all that have the file: it stays so while it lives.
    pub fn lead(&self) -> bool {
        // Of the process (fcntl(2), "Traditional record locks"): goes with it, and forked ones do not share it.
        let lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 1,
            l_pid: 0,
        };
        !matches!(fcntl(&self.file, FcntlArg::F_SETLK(&lock)), Err(Errno::EAGAIN | Errno::EACCES))
    }

    /// Writes a block; `number` is another one than that of the block before.
    ///
    /// # Errors
    /// Those of pwrite(2).
    pub fn write(&self, number: u64, block: &[u8]) -> io::Result<()> {
        let number = number.to_le_bytes();
        let length = (block.len() as u64).to_le_bytes();
        let whole = [&number[..], &length, block, &number].concat();
        self.file.write_all_at(&whole, 0)
    }
}

/// The block that was written last; `None` if there is none yet, or writers do not get done with one.
///
/// # Errors
/// Those of pread(2).
pub fn read_server_board(file: impl AsFd) -> io::Result<Option<Vec<u8>>> {
    let file = File::from(file.as_fd().try_clone_to_owned()?);
    for _ in 0..TRIES {
        if let Some(block) = read_once(&file)? {
            return Ok(block);
        }
        std::thread::yield_now();
    }
    Ok(None)
}

/// `None`: a block was being written; `Some(None)`: there is none yet.
fn read_once(file: &File) -> io::Result<Option<Option<Vec<u8>>>> {
    let mut head = [0; 16];
    if let Err(error) = file.read_exact_at(&mut head, 0) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(Some(None)) } else { Err(error) };
    }
    let (number, length) = head.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > LIMIT {
        return Ok(None);
    }
    let mut block = vec![0; length + 8];
    if let Err(error) = file.read_exact_at(&mut block, 16) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let is_whole = block.split_off(length) == number;
    Ok(is_whole.then_some(Some(block)))
}

/// A server, in [`ServerBlock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// `ServerLimit`.
    pub processes: u32,
    /// `ThreadLimit`.
    pub threads: u32,
    /// How often it was reloaded.
    pub generation: u32,
    /// When it was started or reloaded, µs since 1970.
    pub restart_us: u64,
    /// The moment of all this, µs since 1970.
    pub now_us: u64,
}

/// One place for a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerThread<'a> {
    /// Number of the thread.
    pub number: u32,
    /// Generation of its process.
    pub generation: u32,
    /// What it does, as mod_status shows it.
    pub status: u8,
    /// Requests.
    pub accesses: u64,
    /// Bytes of responses.
    pub bytes: u64,
    /// When its request began, µs since 1970.
    pub start_us: u64,
    /// When its request ended.
    pub stop_us: u64,
    /// When it was last used.
    pub used_us: u64,
    /// The client's address.
    pub client: &'a [u8],
    /// The request line, cut.
    pub request: &'a [u8],
    /// The virtual host.
    pub host: &'a [u8],
}

/// Writes the block: the server's facts, then each place for a process with its threads. Numbers are little-endian.
#[derive(Debug)]
pub struct ServerBlock(Vec<u8>);

impl ServerBlock {
    /// Begins it.
    pub fn begin(facts: &ServerFacts) -> ServerBlock {
        let mut block = ServerBlock(Vec::new());
        block.short(facts.processes).short(facts.threads).short(facts.generation);
        block.long(facts.restart_us).long(facts.now_us);
        block
    }

    /// Adds a place for a process; `facts.threads` threads have to follow.
    pub fn process(&mut self, pid: u32, generation: u32, is_quiescing: bool) {
        self.short(pid).short(generation).short(u32::from(is_quiescing));
    }

    /// Adds a place for a thread.
    pub fn thread(&mut self, thread: &ServerThread<'_>) {
        self.short(thread.number).short(thread.generation).short(u32::from(thread.status));
        self.long(thread.accesses).long(thread.bytes);
        self.long(thread.start_us).long(thread.stop_us).long(thread.used_us);
        for text in [thread.client, thread.request, thread.host] {
            let text = &text[..text.len().min(usize::from(u16::MAX))];
            self.0.extend((text.len() as u16).to_le_bytes());
            self.0.extend(text);
        }
    }

    /// All of it.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn short(&mut self, number: u32) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn long(&mut self, number: u64) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_read_also_if_it_is_the_shorter_one() {
        let board = ServerBoard::create().expect("made");
        assert_eq!(read_server_board(board.reading()).expect("readable"), None);
        for (number, block) in [(1, &b"a long block"[..]), (2, b"short"), (3, b"")] {
            board.write(number, block).expect("written");
            assert_eq!(read_server_board(board.reading()).expect("readable").as_deref(), Some(block));
        }
    }

    #[test]
    fn a_block_that_is_half_written_is_none() {
        let board = ServerBoard::create().expect("made");
        board.write(1, b"block").expect("written");
        board.file.write_all_at(&2_u64.to_le_bytes(), 0).expect("written");
        assert_eq!(read_server_board(board.reading()).expect("readable"), None);
        board.file.write_all_at(&u64::MAX.to_le_bytes(), 8).expect("written");
        assert_eq!(read_server_board(board.reading()).expect("readable"), None);
    }

    #[test]
    fn whoever_reads_cannot_write() {
        let board = ServerBoard::create().expect("made");
        let reading = File::from(board.reading().try_clone_to_owned().expect("copied"));
        assert!(reading.write_at(b"x", 0).is_err());
        assert_eq!(reading.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_process_that_leads_goes_on_leading() {
        let board = ServerBoard::create().expect("made");
        assert!(board.lead() && board.lead());
    }

    #[test]
    fn a_block_has_the_documented_bytes() {
        let facts = ServerFacts { processes: 1, threads: 1, generation: 2, restart_us: 3, now_us: 4 };
        let mut block = ServerBlock::begin(&facts);
        block.process(7, 2, true);
        block.thread(&ServerThread { number: 5, status: b'W', bytes: 9, client: b"::1", ..ServerThread::default() });
        let mut expected = Vec::new();
        for number in [1_u32, 1, 2] {
            expected.extend(number.to_le_bytes());
        }
        for number in [3_u64, 4] {
            expected.extend(number.to_le_bytes());
        }
        for number in [7_u32, 2, 1, 5, 0, u32::from(b'W')] {
            expected.extend(number.to_le_bytes());
        }
        for number in [0_u64, 9, 0, 0, 0] {
            expected.extend(number.to_le_bytes());
        }
        expected.extend(b"\x03\0::1\0\0\0\0");
        assert_eq!(block.finish(), expected);
    }
}
