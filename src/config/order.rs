//! What stands before what in the configuration, over all servers.

use std::sync::atomic::{AtomicU64, Ordering};

// Only a rising number, no configuration: virtual hosts are read into values of their own, and this
// orders what they define among each other.
static READ_SO_FAR: AtomicU64 = AtomicU64::new(0);

/// The place of something that has just been read: after all that was read before.
pub(super) fn next() -> u64 {
    READ_SO_FAR.fetch_add(1, Ordering::Relaxed)
}
