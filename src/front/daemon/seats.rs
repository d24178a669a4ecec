//! Which worker of a pool gets a request.

use wire::SeatState;

/// A seat as a child sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Its number in the scoreboard.
    pub(super) number: u32,
    /// What its process is doing.
    pub(super) state: SeatState,
    /// Which process it is.
    pub(super) incarnation: u32,
    /// Of which code.
    pub(super) generation: u32,
    /// Requests that it has, as far as is known.
    pub(super) load: u32,
}

/// What of a pool is out of the question for one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Rule {
    /// Only generations after this one.
    pub(super) after: Option<u32>,
    /// Processes that have refused the request, by seat and incarnation.
    pub(super) refused: Vec<(u32, u32)>,
}

impl Rule {
    fn admits(&self, seat: &View) -> bool {
        self.after.is_none_or(|generation| seat.generation > generation)
            && !self.refused.contains(&(seat.number, seat.incarnation))
    }
}

/// What a pool offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This seat.
    Seat(u32),
    /// Nothing, and nothing soon: processes could not be started.
    Failed,
    /// Nothing yet.
    Wait,
}

/// Chooses among the seats: of the serving ones with the newest code the one with the fewest requests (so nobody
/// who has seen the new code sees the old one again); where none serves, one of the
/// newest generation that is being started. `threads` is how many requests a process serves at once; `turn` grows with
/// each request, so that equals take turns.
pub(super) fn choose(seats: impl Iterator<Item = View>, count: u32, threads: u32, rule: &Rule, turn: u32) -> Choice {
    let mut serving: Option<((u32, u32, u32), u32)> = None;
    let mut starting: Option<((u32, u32, u32), u32)> = None;
    let mut has_failed = false;
    let first = turn % count.max(1);
    for (index, seat) in (0u32..).zip(seats) {
        if !rule.admits(&seat) {
            continue;
        }
        // How far the seat is from the one whose turn it is.
        let distance = if index >= first { index - first } else { index + count - first };
        match seat.state {
            SeatState::Serving => {
                let rank = (u32::MAX - seat.generation, seat.load, distance);
                if serving.is_none_or(|(best, _)| rank < best) {
                    serving = Some((rank, seat.number));
                }
            }
            SeatState::Starting => {
                let rank = (u32::MAX - seat.generation, seat.load, distance);
                if starting.is_none_or(|(best, _)| rank < best) {
                    starting = Some((rank, seat.number));
                }
            }
            SeatState::Failed => has_failed = true,
            SeatState::Empty | SeatState::Draining => {}
        }
    }
    // Where all threads are busy, a process that is being started will have one sooner. Not an older one, though.
    let is_overtaken = match (serving, starting) {
        (Some(((age, load, _), _)), Some(((other_age, other_load, _), _))) => {
            load >= threads && other_load < threads && other_age <= age
        }
        _ => false,
    };
    if is_overtaken {
        serving = None;
    }
    match (serving.map(|(_, number)| number).or(starting.map(|(_, number)| number)), has_failed) {
        (Some(number), _) => Choice::Seat(number),
        (None, true) => Choice::Failed,
        (None, false) => Choice::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(number: u32, state: SeatState, generation: u32, load: u32) -> View {
        View { number, state, incarnation: 1, generation, load }
    }

    fn chosen(seats: &[View], rule: &Rule, turn: u32) -> Choice {
        choose(seats.iter().copied(), seats.len() as u32, 4, rule, turn)
    }

    use SeatState::{Draining, Empty, Failed, Serving, Starting};

    #[test]
    fn the_serving_seat_with_the_fewest_requests_is_chosen() {
        let seats = [seat(4, Serving, 1, 2), seat(5, Serving, 1, 1), seat(6, Starting, 2, 0), seat(7, Draining, 1, 0)];
        for turn in 0..8 {
            assert_eq!(chosen(&seats, &Rule::default(), turn), Choice::Seat(5));
        }
    }

    #[test]
    fn of_serving_seats_those_with_the_newest_code_are_chosen() {
        let seats = [seat(0, Serving, 1, 0), seat(1, Serving, 2, 3), seat(2, Starting, 3, 0)];
        for turn in 0..4 {
            assert_eq!(chosen(&seats, &Rule::default(), turn), Choice::Seat(1));
        }
    }

    #[test]
    fn where_all_threads_are_busy_a_process_that_starts_is_waited_for() {
        let busy = [seat(0, Serving, 1, 4), seat(1, Starting, 1, 0)];
        assert_eq!(chosen(&busy, &Rule::default(), 0), Choice::Seat(1));
        let both = [seat(0, Serving, 1, 4), seat(1, Starting, 1, 4)];
        assert_eq!(chosen(&both, &Rule::default(), 0), Choice::Seat(0));
    }

    #[test]
    fn equal_seats_take_turns() {
        let seats = [seat(0, Serving, 1, 3), seat(1, Serving, 1, 3), seat(2, Serving, 1, 3)];
        let order: Vec<_> = (0..6).map(|turn| chosen(&seats, &Rule::default(), turn)).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2].map(Choice::Seat));
    }

    #[test]
    fn where_none_serves_the_newest_that_starts_is_waited_for() {
        let seats = [seat(0, Starting, 1, 0), seat(1, Starting, 2, 5), seat(2, Empty, 9, 0), seat(3, Failed, 3, 0)];
        assert_eq!(chosen(&seats, &Rule::default(), 0), Choice::Seat(1));
    }

    #[test]
    fn a_pool_without_processes_has_failed_if_one_could_not_be_started() {
        let draining = [seat(0, Draining, 1, 0), seat(1, Empty, 0, 0)];
        assert_eq!(chosen(&draining, &Rule::default(), 0), Choice::Wait);
        let failed = [seat(0, Failed, 1, 0), seat(1, Empty, 0, 0)];
        assert_eq!(chosen(&failed, &Rule::default(), 0), Choice::Failed);
    }

    #[test]
    fn after_a_reload_only_newer_generations_will_do() {
        let rule = Rule { after: Some(1), ..Rule::default() };
        assert_eq!(chosen(&[seat(0, Serving, 1, 0), seat(1, Failed, 1, 0)], &rule, 0), Choice::Wait);
        assert_eq!(chosen(&[seat(0, Serving, 1, 0), seat(1, Starting, 2, 9)], &rule, 0), Choice::Seat(1));
        assert_eq!(chosen(&[seat(0, Serving, 1, 0), seat(1, Failed, 2, 0)], &rule, 0), Choice::Failed);
    }

    #[test]
    fn a_process_that_refused_is_not_asked_again_but_its_successor_is() {
        let rule = Rule { refused: vec![(0, 1)], ..Rule::default() };
        assert_eq!(chosen(&[seat(0, Serving, 1, 0)], &rule, 0), Choice::Wait);
        let successor = View { incarnation: 2, ..seat(0, Serving, 1, 0) };
        assert_eq!(chosen(&[successor], &rule, 0), Choice::Seat(0));
    }
}
