//! Which processes a pool starts and which it lets go, from what its seats are doing. Pure.

use std::time::Instant;

/// What a seat is doing, as far as the plan needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing.
    Empty,
    /// Its process failed, and another is to be started here.
    Failed {
        /// Now.
        is_due: bool,
    },
    /// Its process is not ready yet.
    Starting,
    /// Its process serves.
    Serving,
    /// Its process serves, and wants to be replaced.
    Retiring,
    /// Its process ends when its requests have, however long they take.
    Draining,
    /// Its process ends.
    Leaving,
}

/// A seat and its process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) standing: Standing,
    pub(crate) generation: u32,
    /// When the process was started.
    pub(crate) since: Instant,
}

/// What is to be done with a seat, by its place in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a process.
    Start(usize),
    /// Let the process end gently.
    Drain(usize),
    /// The seat is needed: requests get a limit.
    Press(usize),
}

/// The next actions of a pool that is to have `processes` serving processes of this generation.
///
/// New before old: a process that is to be replaced goes on until enough others serve. What asked to be replaced is
/// replaced one at a time; another generation, all at once.
pub(crate) fn plan(processes: u32, generation: u32, may_start: bool, places: &[Place]) -> Vec<Action> {
    let processes = processes as usize;
    let mut actions = Vec::new();
    if may_start {
        start(processes, generation, places, &mut actions);
    }
    drain(processes, generation, places, &mut actions);
    actions
}

fn start(processes: usize, generation: u32, places: &[Place], actions: &mut Vec<Action>) {
    let is_due = |place: &Place| place.standing == (Standing::Failed { is_due: true });
    actions.extend(indices(places, is_due).map(Action::Start));
    let count = |wanted: fn(Standing) -> bool| {
        places.iter().filter(|place| place.generation == generation && wanted(place.standing)).count()
    };
    let starting = count(|standing| standing == Standing::Starting);
    let serving = count(|standing| standing == Standing::Serving);
    let retiring = count(|standing| standing == Standing::Retiring);
    let failed = places.iter().filter(|place| matches!(place.standing, Standing::Failed { .. })).count();
    let missing = processes.saturating_sub(starting + serving + failed);
    let uncovered = missing.saturating_sub(retiring);
    let wanted = match uncovered {
        0 if starting == 0 => missing.min(1),
        uncovered => uncovered,
    };
    let mut empty = indices(places, |place| place.standing == Standing::Empty);
    let found: Vec<_> = empty.by_ref().take(wanted).map(Action::Start).collect();
    let lacking = wanted - found.len();
    actions.extend(found);
    let mut draining: Vec<_> = indices(places, |place| place.standing == Standing::Draining).collect();
    draining.sort_by_key(|index| places[*index].since);
    // Seats that are being left already come free without that.
    let coming = indices(places, |place| place.standing == Standing::Leaving).count();
    actions.extend(draining.into_iter().take(lacking.saturating_sub(coming)).map(Action::Press));
}

fn drain(processes: usize, generation: u32, places: &[Place], actions: &mut Vec<Action>) {
    let is_current = |place: &Place| place.generation == generation;
    let serving = indices(places, |place| is_current(place) && place.standing == Standing::Serving).count();
    let is_outdated = |place: &Place| match place.standing {
        Standing::Retiring => true,
        Standing::Starting | Standing::Serving => !is_current(place),
        _ => false,
    };
    let mut outdated: Vec<_> = indices(places, is_outdated).collect();
    outdated.sort_by_key(|index| (is_current(&places[*index]), places[*index].since));
    let surplus = (serving + outdated.len()).saturating_sub(processes);
    actions.extend(outdated.into_iter().take(surplus).map(Action::Drain));
}

fn indices<'a>(places: &'a [Place], wanted: impl Fn(&Place) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
    places.iter().enumerate().filter(move |(_, place)| wanted(place)).map(|(index, _)| index)
}

/// The first run of free seats: of `wanted` if there is one, else of the most that there are, but of `least`.
/// Gives the first seat and the count.
pub(crate) fn find_run(is_free: &[bool], wanted: u32, least: u32) -> Option<(u32, u32)> {
    let (mut best, mut first) = (None::<(usize, usize)>, 0);
    for end in 0..=is_free.len() {
        if end < is_free.len() && is_free[end] {
            continue;
        }
        let length = (end - first).min(wanted as usize);
        if best.is_none_or(|(_, found)| length > found) {
            best = Some((first, length));
        }
        first = end + 1;
    }
    let (first, count) = best.filter(|(_, count)| *count >= least.max(1) as usize)?;
    Some((u32::try_from(first).ok()?, u32::try_from(count).ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Seats as letters, upper case for the generation before: e(mpty) f(ailed) d(ue) s(tarting) v (serving)
    /// r(etiring) g (draining) l(eaving).
    fn actions(processes: u32, seats: &str) -> Vec<Action> {
        let start = Instant::now();
        let places = (0..).zip(seats.chars()).map(|(index, letter)| {
            let standing = match letter.to_ascii_lowercase() {
                'f' => Standing::Failed { is_due: false },
                'd' => Standing::Failed { is_due: true },
                's' => Standing::Starting,
                'v' => Standing::Serving,
                'r' => Standing::Retiring,
                'g' => Standing::Draining,
                'l' => Standing::Leaving,
                _ => Standing::Empty,
            };
            let generation = if letter.is_ascii_uppercase() { 4 } else { 5 };
            Place { standing, generation, since: start + Duration::from_secs(index) }
        });
        plan(processes, 5, true, &places.collect::<Vec<_>>())
    }

    use Action::{Drain, Press, Start};

    #[test]
    fn new_pool_starts_all_its_processes_at_once() {
        assert_eq!(actions(2, "eeee"), [Start(0), Start(1)]);
        assert_eq!(actions(2, "ssee"), []);
        assert_eq!(actions(2, "vvee"), []);
    }

    #[test]
    fn failed_seat_is_waited_for_and_used_again() {
        assert_eq!(actions(2, "vfee"), []);
        assert_eq!(actions(2, "vdee"), [Start(1)]);
    }

    #[test]
    fn what_retires_is_replaced_one_at_a_time_and_drained_when_the_new_one_serves() {
        assert_eq!(actions(2, "rree"), [Start(2)]);
        assert_eq!(actions(2, "rrse"), []);
        assert_eq!(actions(2, "rrve"), [Start(3), Drain(0)]);
        assert_eq!(actions(2, "grvs"), []);
        assert_eq!(actions(2, "grvv"), [Drain(1)]);
    }

    #[test]
    fn reload_starts_the_next_generation_whole_and_drains_one_old_for_each_that_serves() {
        assert_eq!(actions(2, "VVee"), [Start(2), Start(3)]);
        assert_eq!(actions(2, "VVss"), []);
        assert_eq!(actions(2, "VVvs"), [Drain(0)]);
        assert_eq!(actions(2, "GVvv"), [Drain(1)]);
    }

    #[test]
    fn old_generation_serves_on_while_the_new_one_fails() {
        assert_eq!(actions(2, "VVff"), []);
        assert_eq!(actions(2, "VVvf"), [Drain(0)]);
        assert_eq!(actions(2, "GVvf"), []);
    }

    #[test]
    fn draining_process_is_pressed_only_when_its_seat_is_needed() {
        assert_eq!(actions(2, "GGvv"), []);
        assert_eq!(actions(2, "GGrv"), [Press(0)]);
        assert_eq!(actions(2, "LGrv"), []);
    }

    #[test]
    fn leaving_process_is_replaced_at_once() {
        assert_eq!(actions(1, "le"), [Start(1)]);
    }

    #[test]
    fn held_pool_starts_nothing_and_still_drains() {
        let now = Instant::now();
        let place = |standing, generation| Place { standing, generation, since: now };
        let places = [place(Standing::Serving, 4), place(Standing::Serving, 5), place(Standing::Empty, 0)];
        assert_eq!(plan(1, 5, false, &places), [Drain(0)]);
        assert_eq!(plan(3, 5, false, &places), []);
    }

    #[test]
    fn free_seats_are_taken_in_one_run_of_what_is_wanted_or_a_little_less() {
        let free = |text: &str| text.bytes().map(|byte| byte == b'.').collect::<Vec<_>>();
        assert_eq!(find_run(&free("x.x...."), 4, 3), Some((3, 4)));
        assert_eq!(find_run(&free("......."), 4, 3), Some((0, 4)));
        assert_eq!(find_run(&free("x.x...x"), 4, 3), Some((3, 3)));
        assert_eq!(find_run(&free("x.x..xx"), 4, 3), None);
        assert_eq!(find_run(&[], 4, 3), None);
    }
}
