//! Answers that let somebody in, kept for a short time in this child, where a site asks for it (`cache=`).
//!
//! Nothing else is kept: who is shut out is asked about again. What is compared is a hash under a key that this process
//! has drawn for itself, so neither names nor passwords are in it, and nobody outside can make two questions meet.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gateway::{Answer, Subject};
use wire::secret::wipe;
use wire::{Entry, RequestHead};

use super::ask::Place;
use super::siphash::siphash;
use crate::apache::Request;

/// Most answers.
const LIMIT: usize = 1024;

/// A question, as far as its answer may depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u64, u64);

impl Key {
    /// Of a question with this environ, a request head.
    ///
    /// Source: docs/access.md, "The cache", which says what is in it and what is not.
    pub(super) fn of(
        request: Request<'_>,
        place: &Place<'_>,
        subject: Subject,
        arguments: [&[u8]; 2],
        head: &[u8],
    ) -> Key {
        let mut parts: Vec<&[u8]> = vec![
            &place.script.file,
            &place.script.process_group,
            &place.application_group,
            // One virtual host may have sites by the name that is asked for.
            request.host().unwrap_or(b""),
            request.client_address().unwrap_or(b""),
            arguments[0],
            arguments[1],
        ];
        // Whoever is let in may decide by anything. A password or a group is asked about again for each picture of a page,
        // whose requests differ in most: there would be nothing to find.
        if subject == Subject::Access {
            parts.extend(environ(head));
        }
        // What may be kept for long in one section may not in another.
        let time = i64::try_from(place.script.cache.as_secs()).unwrap_or(i64::MAX);
        let server = request.server().identity() as i64;
        let numbers = [(subject as u16).into(), place.facts.script_mtime_us, server, time, i64::from(request.is_tls())];
        Key::hashed(&numbers, &parts)
    }

    fn hashed(numbers: &[i64], parts: &[&[u8]]) -> Key {
        let length = 8 * numbers.len() + parts.iter().map(|part| 8 + part.len()).sum::<usize>();
        // All of its memory at once: it has a password in it, and is wiped.
        let mut message = Vec::with_capacity(length);
        for number in numbers {
            message.extend_from_slice(&number.to_le_bytes());
        }
        for part in parts {
            message.extend_from_slice(&(part.len() as u64).to_le_bytes());
            message.extend_from_slice(part);
        }
        let [one, two, three, four] = *secret();
        let key = Key(siphash([one, two], &message), siphash([three, four], &message));
        wipe(&mut message);
        key
    }
}

/// What the environ says, name after value after name; without the client's port, by which nobody is told from another.
fn environ(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let head = RequestHead::parse(head).expect("the head has just been written");
    let entries = head.entries().map(|entry| entry.expect("the head has just been written"));
    entries.flat_map(|entry| match entry {
        Entry::Known { key: gateway::Key::RemotePort, .. } => [b"".as_slice(); 2],
        Entry::Known { key, value } => [key.name().as_bytes(), value],
        Entry::Named { name, value } => [name, value],
    })
}

/// Drawn at the first question of the process, which is a child: true for its whole life, as statics here must be.
fn secret() -> &'static [u64; 4] {
    static SECRET: OnceLock<[u64; 4]> = OnceLock::new();
    SECRET.get_or_init(|| {
        let mut bytes = [0; 32];
        // Without the system's generator a hash could be guessed: what cannot be drawn is a reason to stop.
        let drawn = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        drawn.expect("every system that httpd runs on has /dev/urandom");
        let (words, _) = bytes.as_chunks::<8>();
        std::array::from_fn(|index| u64::from_ne_bytes(words[index]))
    })
}

struct Kept {
    answer: Answer,
    until: Instant,
}

fn kept() -> MutexGuard<'static, HashMap<Key, Kept>> {
    static KEPT: OnceLock<Mutex<HashMap<Key, Kept>>> = OnceLock::new();
    // An entry is whole at every moment, whoever panics.
    KEPT.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer to this question, if it is kept.
pub(super) fn find(key: &Key) -> Option<Answer> {
    kept().get(key).filter(|kept| Instant::now() < kept.until).map(|kept| kept.answer.clone())
}

/// Keeps an answer, if it lets somebody in.
pub(super) fn keep(key: Key, answer: &Answer, time: Duration) {
    if answer.grants() {
        insert(&mut kept(), key, answer.clone(), Instant::now(), time);
    }
}

fn insert(kept: &mut HashMap<Key, Kept>, key: Key, answer: Answer, now: Instant, time: Duration) {
    // What is over is let go of at the next chance: it may be as good as a password where digests are used.
    kept.retain(|_, kept| now < kept.until);
    if kept.len() >= LIMIT
        && !kept.contains_key(&key)
        && let Some(first) = kept.iter().min_by_key(|(_, kept)| kept.until).map(|(key, _)| *key)
    {
        kept.remove(&first);
    }
    kept.insert(key, Kept { answer, until: now + time });
}

#[cfg(test)]
mod tests {
    use wire::{Facts, RequestWriter};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_differs_in_any_part_has_another_key() {
        let key = Key::hashed(&[1, 2], &[b"user", b"password"]);
        assert_eq!(key, Key::hashed(&[1, 2], &[b"user", b"password"]));
        assert_ne!(key, Key::hashed(&[1, 3], &[b"user", b"password"]));
        assert_ne!(key, Key::hashed(&[1, 2], &[b"user", b"passwore"]));
        assert_ne!(key, Key::hashed(&[1, 2], &[b"userp", b"assword"]));
    }

    fn environ_key(entries: &[(Option<gateway::Key>, &[u8], &[u8])], started_us: u64) -> Key {
        let mut block = Vec::new();
        let facts = Facts { script_mtime_us: 1, request_start_us: started_us, flags: 0 };
        let mut writer = RequestWriter::begin(&mut block, facts);
        for (key, name, value) in entries {
            match key {
                Some(key) => writer.known(*key, value),
                None => writer.named(name, value),
            }
        }
        assert_eq!(writer.finish(), Ok(()));
        Key::hashed(&[], &environ(&block).collect::<Vec<_>>())
    }

    #[test]
    fn environ_counts_but_for_the_port_and_the_time() {
        let forwarded = Some(gateway::Key::HttpXForwardedFor);
        let port = Some(gateway::Key::RemotePort);
        let key = environ_key(&[(forwarded, b"", b"10.0.0.1"), (port, b"", b"4711")], 1);
        assert_eq!(key, environ_key(&[(forwarded, b"", b"10.0.0.1"), (port, b"", b"4712")], 2));
        assert_ne!(key, environ_key(&[(forwarded, b"", b"10.0.0.2"), (port, b"", b"4711")], 1));
        assert_ne!(key, environ_key(&[(port, b"", b"4711")], 1));
        let other = [(forwarded, b"".as_slice(), b"10.0.0.1".as_slice()), (port, b"", b"4711"), (None, b"HTTP_X", b"")];
        assert_ne!(key, environ_key(&other, 1));
    }

    #[test]
    fn answers_that_let_nobody_in_are_not_kept() {
        for answer in [Answer::Failed, Answer::None, Answer::No, Answer::Groups(Vec::new())] {
            let key = Key::hashed(&[77], &[]);
            keep(key, &answer, MINUTE);
            assert_eq!(find(&key), None, "{answer:?}");
        }
    }

    #[test]
    fn answer_is_kept_for_its_time_and_no_longer() {
        let (key, other) = (Key::hashed(&[78], &[]), Key::hashed(&[79], &[]));
        keep(key, &Answer::Yes, MINUTE);
        keep(other, &Answer::Yes, Duration::ZERO);
        assert_eq!(find(&key), Some(Answer::Yes));
        assert_eq!(find(&other), None);
    }

    #[test]
    fn the_number_of_answers_is_bounded_and_the_oldest_goes_first() {
        let (mut kept, now) = (HashMap::new(), Instant::now());
        let key = |number: i64| Key::hashed(&[number], &[]);
        for number in 0..LIMIT as i64 + 10 {
            insert(&mut kept, key(number), Answer::Yes, now, MINUTE + Duration::from_millis(number as u64));
        }
        assert_eq!(kept.len(), LIMIT);
        assert!(!kept.contains_key(&key(0)) && kept.contains_key(&key(LIMIT as i64)));
        // Those that are over go with the next one that comes.
        insert(&mut kept, key(-1), Answer::Yes, now + 3 * MINUTE, MINUTE);
        assert_eq!(kept.len(), 1);
    }
}
