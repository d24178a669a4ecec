//! What stays a process group's while httpd runs: its number, its secrets, its scoreboard.
//!
//! Parent process only. Sockets are named after the number, and children of earlier generations and the workers
//! know the secrets, so a reload must find the same ones: they are kept in a static, by the group's name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use wire::{SEAT_LIMIT, Scoreboard, Secret};

/// The identity of a group.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Part of its sockets' names. Never given to another group.
    pub(super) id: u32,
    /// Shown by httpd's children.
    pub(super) secret: Secret,
    /// Shown by workers.
    pub(super) reply: Secret,
    /// Seats that are its own. They grow with `processes`, while the memory has always as many as there can be, so that
    /// children of httpd's that run see the new ones too.
    pub(super) seats: u32,
    /// The memory of its scoreboard, to be handed to the supervisor. What nobody looks at of it costs nothing.
    pub(super) memory: Arc<OwnedFd>,
    /// The same, mapped; httpd's children inherit the mapping.
    pub(super) scoreboard: Arc<Scoreboard>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { by_name: None, last_id: 0 });

struct Known {
    by_name: Option<HashMap<Vec<u8>, Identity>>,
    last_id: u32,
}

/// The identity of the group of this name, made now if it is new.
///
/// # Errors
/// Those of making a scoreboard and of reading random bytes.
pub(super) fn identity(name: &[u8], processes: u32) -> io::Result<Identity> {
    let seats = seats(processes);
    // Nothing that could be half changed is left behind by a panic.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(identity) = known.by_name.get_or_insert_default().get_mut(name) {
        identity.seats = identity.seats.max(seats);
        return Ok(identity.clone());
    }
    known.last_id += 1;
    let memory = Scoreboard::create(SEAT_LIMIT)?;
    let scoreboard = Arc::new(Scoreboard::map(&memory)?);
    let keys = (secret()?, secret()?);
    let identity =
        Identity { id: known.last_id, secret: keys.0, reply: keys.1, seats, memory: Arc::new(memory), scoreboard };
    known.by_name.get_or_insert_default().insert(name.to_vec(), identity.clone());
    Ok(identity)
}

/// Forgets the groups that a configuration has no longer.
pub(super) fn keep_only(names: &[&[u8]]) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.by_name.get_or_insert_default().retain(|name, _| names.contains(&name.as_slice()));
}

/// Seats for a group: each pool has two for each process, and while groups change there are two pools for one.
fn seats(processes: u32) -> u32 {
    const POOLS: u32 = 32;
    processes.saturating_mul(2 * POOLS).clamp(256, SEAT_LIMIT)
}

/// From the system's generator.
fn secret() -> io::Result<Secret> {
    let mut secret = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_keeps_its_identity_over_reloads_until_it_is_gone() {
        let first = identity(b"kept", 1).expect("made");
        let again = identity(b"kept", 1).expect("found");
        assert_eq!((first.id, first.secret, first.reply), (again.id, again.secret, again.reply));
        assert!(Arc::ptr_eq(&first.scoreboard, &again.scoreboard));
        let other = identity(b"other", 1).expect("made");
        assert!(other.id != first.id && other.secret != first.secret && other.secret != other.reply);
        let larger = identity(b"kept", 60).expect("found");
        assert_eq!((larger.id, larger.seats > first.seats), (first.id, true));
        assert!(Arc::ptr_eq(&first.scoreboard, &larger.scoreboard));
        assert_eq!(identity(b"kept", 1).expect("found").seats, larger.seats, "none of them is taken away");
    }

    #[test]
    fn seats_grow_with_processes_up_to_a_limit() {
        assert_eq!(seats(1), 256);
        assert_eq!(seats(10), 640);
        assert_eq!(seats(u32::MAX), SEAT_LIMIT);
    }
}
