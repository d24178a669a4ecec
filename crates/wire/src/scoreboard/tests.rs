//! The layout that docs/wire.md gives, the seals, and what two mappings see of each other.

use std::io::ErrorKind;
use std::mem::offset_of;
use std::os::fd::OwnedFd;

use std::time::Duration;

use super::*;
use crate::ending::{Ending, Limits};

fn scoreboard(seats: u32) -> Scoreboard {
    Scoreboard::map(Scoreboard::create(seats).expect("made")).expect("mapped")
}

fn seat(scoreboard: &Scoreboard) -> &Seat {
    scoreboard.seat(0).expect("every scoreboard has one")
}

/// A memfd of so many bytes.
fn file(length: usize, seals: SealFlag) -> File {
    let file = File::from(memfd_create(c"test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).expect("made"));
    file.set_len(length as u64).expect("set");
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).expect("sealed");
    file
}

fn map_error(file: impl AsFd) -> Option<ErrorKind> {
    Scoreboard::map(file).err().map(|error| error.kind())
}

const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW);

#[test]
fn layout_is_the_documented_one() {
    assert_eq!((size_of::<Head>(), offset_of!(Head, magic), offset_of!(Head, seats)), (64, 0, 4));
    assert_eq!((size_of::<Seat>(), align_of::<Seat>()), (8448, 64));
    let offsets = [
        offset_of!(Seat, state),
        offset_of!(Seat, incarnation),
        offset_of!(Seat, pid),
        offset_of!(Seat, generation),
        offset_of!(Seat, active),
        offset_of!(Seat, reserved),
        offset_of!(Seat, begun),
        offset_of!(Seat, started_us),
        offset_of!(Seat, active_us),
        offset_of!(Seat, alive_us),
        offset_of!(Seat, end),
        offset_of!(Seat, more),
        offset_of!(Seat, cells),
    ];
    assert_eq!(offsets, [0, 4, 8, 12, 16, 20, 24, 32, 40, 48, 56, 232, 248]);
    let ends = [
        offset_of!(end::Cell, incarnation),
        offset_of!(end::Cell, pid),
        offset_of!(end::Cell, kind),
        offset_of!(end::Cell, number),
        offset_of!(end::Cell, age_ms),
        offset_of!(end::Cell, begun),
        offset_of!(end::Cell, ended_us),
        offset_of!(end::Cell, flags),
        offset_of!(end::Cell, length),
        offset_of!(end::Cell, reason),
    ];
    assert_eq!(ends, [0, 4, 8, 12, 16, 24, 32, 40, 44, 48]);
    assert_eq!(size(3), 64 + 3 * 8448);
    assert_eq!(MAGIC.to_le_bytes(), *b"wsg1");
}

#[test]
fn file_has_its_head_and_the_seats_behind_it() {
    use std::os::unix::fs::FileExt;
    let file = Scoreboard::create(2).expect("made");
    let scoreboard = Scoreboard::map(&file).expect("mapped");
    scoreboard.seat(1).expect("there are two").pid.store(0x0102_0304, Ordering::Relaxed);
    let file = File::from(file);
    let mut head = [0; 8];
    file.read_exact_at(&mut head, 0).expect("read");
    assert_eq!(head, *b"wsg1\x02\0\0\0");
    let mut pid = [0; 4];
    file.read_exact_at(&mut pid, 64 + 8448 + 8).expect("read");
    assert_eq!(u32::from_ne_bytes(pid), 0x0102_0304);
}

#[test]
fn nobody_can_change_the_length_or_the_seals() {
    let file = File::from(Scoreboard::create(1).expect("made"));
    let length = file.metadata().expect("facts").len();
    for other in [0, length - 1, length + 1] {
        assert_eq!(file.set_len(other).err().map(|error| error.kind()), Some(ErrorKind::PermissionDenied));
    }
    assert_eq!(fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)), Err(Errno::EPERM));
}

#[test]
fn file_that_somebody_can_make_shorter_is_refused() {
    assert_eq!(map_error(file(size(1), SEALS)), None);
    assert_eq!(map_error(file(size(1), SealFlag::empty())), Some(ErrorKind::InvalidData));
    assert_eq!(map_error(file(size(1), SealFlag::F_SEAL_GROW)), Some(ErrorKind::InvalidData));
}

#[test]
fn file_of_another_length_than_seats_have_is_refused() {
    for length in [0, 63, 64, size(1) - 1, size(1) + 1, size(SEAT_LIMIT + 1)] {
        assert_eq!(map_error(file(length, SEALS)), Some(ErrorKind::InvalidData), "{length} bytes");
    }
    assert_eq!(map_error(file(size(SEAT_LIMIT), SEALS)), None);
}

#[test]
fn file_that_knows_no_seals_is_refused_as_none_of_ours() {
    let program = File::open(std::env::current_exe().expect("this test")).expect("opened");
    let pipe = std::io::pipe().expect("a pipe");
    assert_eq!(map_error(program), Some(ErrorKind::InvalidData));
    assert_eq!(map_error(pipe.0), Some(ErrorKind::InvalidData));
}

#[test]
fn number_of_seats_is_kept_within_its_limits() {
    for (asked, given) in [(0, 1), (1, 1), (7, 7), (SEAT_LIMIT, SEAT_LIMIT), (u32::MAX, SEAT_LIMIT)] {
        let scoreboard = scoreboard(asked);
        assert_eq!(scoreboard.seats(), given);
        assert!(scoreboard.seat(given - 1).is_some() && scoreboard.seat(given).is_none());
    }
}

#[test]
fn number_of_seats_is_not_believed_from_the_memory() {
    let file: OwnedFd = Scoreboard::create(2).expect("made");
    Mapping::of(&File::from(file.try_clone().expect("cloned")), size(2))
        .expect("mapped")
        .head()
        .seats
        .store(4000, Ordering::Relaxed);
    let scoreboard = Scoreboard::map(&file).expect("mapped");
    assert_eq!(scoreboard.seats(), 2);
    assert!(scoreboard.seat(2).is_none());
}

#[test]
fn two_mappings_see_each_other() {
    let file = Scoreboard::create(2).expect("made");
    let (one, other) = (Scoreboard::map(&file).expect("mapped"), Scoreboard::map(&file).expect("mapped"));
    drop(file);
    let write = one.seat(1).expect("there are two");
    let read = other.seat(1).expect("there are two");
    write.set_state(SeatState::Serving);
    write.active.fetch_add(3, Ordering::Relaxed);
    write.open_cell(5, 1);
    write.count_begun(5);
    assert_eq!((read.state(), read.active.load(Ordering::Relaxed)), (SeatState::Serving, 3));
    assert!(read.was_begun(5, 1, 1) && !read.was_begun(5, 1, 2));
    assert_eq!(seat(&other).state(), SeatState::Empty);
    drop(one);
    assert_eq!(read.state(), SeatState::Serving);
}

#[test]
fn state_is_read_as_it_was_set_and_nonsense_as_empty() {
    let scoreboard = scoreboard(1);
    let seat = seat(&scoreboard);
    assert_eq!(seat.state(), SeatState::Empty);
    use SeatState::{Draining, Empty, Failed, Serving, Starting};
    for (number, state) in [Empty, Starting, Serving, Draining, Failed].into_iter().enumerate() {
        seat.set_state(state);
        assert_eq!((seat.state(), state as usize), (state, number));
    }
    seat.replace_state(Starting, Serving);
    assert_eq!(seat.state(), Failed);
    seat.replace_state(Failed, Starting);
    assert_eq!(seat.state(), Starting);
    seat.state.store(5, Ordering::Relaxed);
    assert_eq!(seat.state(), Empty);
    seat.state.store(u32::MAX, Ordering::Relaxed);
    assert_eq!(seat.state(), Empty);
}

#[test]
fn cell_tells_which_requests_of_its_connection_were_begun() {
    let scoreboard = scoreboard(1);
    let seat = seat(&scoreboard);
    seat.open_cell(0, 7);
    assert!(!seat.was_begun(0, 7, 1));
    seat.count_begun(0);
    assert!(seat.was_begun(0, 7, 1) && !seat.was_begun(0, 7, 2));
    seat.count_begun(0);
    assert!(seat.was_begun(0, 7, 1) && seat.was_begun(0, 7, 2) && !seat.was_begun(0, 7, 3));
    assert!(!seat.was_begun(1, 0, 1), "cells are apart");
    seat.open_cell(0, 7);
    assert!(!seat.was_begun(0, 7, 1), "a new connection counts from the beginning");
}

#[test]
fn cell_of_another_incarnation_or_out_of_range_says_begun() {
    let scoreboard = scoreboard(1);
    let seat = seat(&scoreboard);
    seat.open_cell(3, 8);
    assert!(seat.was_begun(3, 7, 1) && seat.was_begun(3, 9, 1));
    assert!(!seat.was_begun(3, 8, 1));
    for cell in [CELLS as u32, crate::frame::NO_CELL] {
        seat.open_cell(cell, 8);
        seat.count_begun(cell);
        assert!(seat.was_begun(cell, 8, 1));
    }
    seat.open_cell(CELLS as u32 - 1, 8);
    assert!(!seat.was_begun(CELLS as u32 - 1, 8, 1));
}

fn end() -> End {
    End {
        incarnation: 7,
        pid: 4321,
        ending: Ending::Signal(nix::libc::SIGSEGV, true),
        age: Duration::from_millis(12_345),
        begun: 3,
        ended_us: 1_700_000_000_000_000,
        was_killed: false,
        limits: Limits { cpu: false, memory: true },
        reason: String::new(),
    }
}

#[test]
fn end_of_a_process_is_read_as_it_was_written_and_for_its_incarnation_alone() {
    let scoreboard = scoreboard(1);
    let seat = seat(&scoreboard);
    assert_eq!((seat.last_end(), seat.end_of(0), seat.end_of(7)), (None, None, None));
    let limit = Limits { cpu: true, memory: false };
    let told =
        End { ending: Ending::Exit(3), was_killed: true, limits: limit, reason: "request_timeout".into(), ..end() };
    for end in [end(), told] {
        seat.write_end(&end);
        assert_eq!((seat.last_end(), seat.end_of(7)), (Some(end.clone()), Some(end)));
        assert_eq!((seat.end_of(6), seat.end_of(8)), (None, None));
    }
}

#[test]
fn end_that_is_being_written_or_is_none_of_a_kind_is_not_read() {
    let scoreboard = scoreboard(1);
    let seat = seat(&scoreboard);
    seat.write_end(&end());
    seat.end.kind.store(4, Ordering::Relaxed);
    assert_eq!(seat.end_of(7), None);
    seat.write_end(&end());
    seat.end.incarnation.store(0, Ordering::Relaxed);
    assert_eq!((seat.last_end(), seat.end_of(0)), (None, None));
}

#[test]
fn reason_is_bounded_and_cannot_begin_another_line_whoever_wrote_it() {
    let scoreboard = scoreboard(1);
    let seat = seat(&scoreboard);
    seat.write_end(&End { reason: "x".repeat(500), ..end() });
    assert_eq!(seat.last_end().map(|end| end.reason), Some("x".repeat(128)));
    seat.end.length.store(u32::MAX, Ordering::Relaxed);
    seat.end.reason[0].store(u64::from_ne_bytes(*b"a\nb\x1b\xff\r\0c"), Ordering::Relaxed);
    let reason = seat.last_end().expect("there is one").reason;
    assert!(reason.starts_with("a?b?\u{fffd}??c") && reason.chars().count() == 128, "{reason:?}");
}

#[test]
fn end_says_how_why_at_what_age_and_after_how_many_requests() {
    let text = end().to_string();
    assert!(text.starts_with("process 4321 has died: signal SIGSEGV (core dumped); a C extension"), "{text}");
    assert!(text.ends_with("; it was 12 s old and had begun 3 requests"), "{text}");
    let told = End { ending: Ending::Exit(0), reason: "request_timeout".into(), ..end() };
    assert!(told.to_string().starts_with("process 4321 has ended: request_timeout (exit status 0); it was"), "{told}");
    let killed = End { was_killed: true, ..told };
    let text = killed.to_string();
    assert!(text.starts_with("process 4321 was to end (request_timeout), did not in time, and was killed"), "{text}");
}

#[test]
fn some_of_the_seats_can_be_mapped_and_are_the_same() {
    let file = Scoreboard::create(SEAT_LIMIT).expect("made");
    let (all, some) = (Scoreboard::map(&file).expect("mapped"), Scoreboard::map_first(&file, 3).expect("mapped"));
    assert_eq!((all.seats(), some.seats()), (SEAT_LIMIT, 3));
    some.seat(2).expect("there are three").set_state(SeatState::Serving);
    assert_eq!(all.seat(2).map(Seat::state), Some(SeatState::Serving));
    assert!(some.seat(3).is_none());
    assert_eq!(Scoreboard::map_first(&file, u32::MAX).map(|map| map.seats()).ok(), Some(SEAT_LIMIT));
}
