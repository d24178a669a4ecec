//! One value from a configuration line, checked on its own; and the refusal that httpd prints when it
//! does not pass.

use std::ffi::CStr;
use std::fmt;
use std::time::Duration;

use super::python::HashSeed;
use super::settled::HeadMapping;

/// Why a directive is not accepted: the text that httpd prints after the file and line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// A refusal in these words; the text never contains a NUL, so it can be handed to C.
    pub fn new(text: impl Into<String>) -> Refusal {
        Refusal(text.into().replace('\0', "\\0"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Bytes from a configuration line, for use in a message.
pub(super) fn shown(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// `On` or `Off` in any case.
pub(super) fn on_or_off(word: &[u8]) -> Option<bool> {
    match word {
        _ if word.eq_ignore_ascii_case(b"on") => Some(true),
        _ if word.eq_ignore_ascii_case(b"off") => Some(false),
        _ => None,
    }
}

/// The argument of a flag directive.
pub(super) fn flag(name: &CStr, word: &[u8]) -> Result<bool, Refusal> {
    on_or_off(word).ok_or_else(|| refuse(name, "must be one of: Off | On", word))
}

/// The argument of `WSGIMapHEADToGET`.
pub(super) fn head_mapping(name: &CStr, word: &[u8]) -> Result<HeadMapping, Refusal> {
    match on_or_off(word) {
        Some(true) => Ok(HeadMapping::On),
        Some(false) => Ok(HeadMapping::Off),
        None if word.eq_ignore_ascii_case(b"auto") => Ok(HeadMapping::Auto),
        None => Err(refuse(name, "must be one of: Off | On | Auto", word)),
    }
}

/// The argument of `WSGIPythonHashSeed`.
pub(super) fn hash_seed(name: &CStr, word: &[u8]) -> Result<HashSeed, Refusal> {
    if word == b"random" {
        return Ok(HashSeed::Random);
    }
    parsed(word)
        .map(HashSeed::Fixed)
        .ok_or_else(|| refuse(name, "must be \"random\" or an integer in range [0; 4294967295]", word))
}

/// The argument of `WSGIPythonOptimize`: nothing below 1 optimises, nothing above 2 does more than 2.
pub(super) fn optimisation(name: &CStr, word: &[u8]) -> Result<u8, Refusal> {
    let level: i64 = parsed(word).ok_or_else(|| refuse(name, "must be a number: 0, 1 or 2", word))?;
    Ok(level.clamp(0, 2) as u8)
}

/// The argument of `WSGISwitchInterval`, in seconds.
pub(super) fn interval(name: &CStr, word: &[u8]) -> Result<Duration, Refusal> {
    parsed(word)
        .and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok())
        .filter(|interval| !interval.is_zero())
        .ok_or_else(|| refuse(name, "must be a positive number of seconds", word))
}

fn parsed<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn refuse(name: &CStr, rule: &str, word: &[u8]) -> Refusal {
    Refusal::new(format!("{} {rule}; given was '{}'", name.to_string_lossy(), shown(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_on_or_off_in_any_case_and_nothing_else() {
        assert_eq!(flag(c"X", b"On"), Ok(true));
        assert_eq!(flag(c"X", b"OFF"), Ok(false));
        let refusal = flag(c"X", b"maybe").expect_err("no flag");
        assert_eq!(refusal.to_string(), "X must be one of: Off | On; given was 'maybe'");
        assert!(flag(c"X", b"1").is_err());
        assert!(flag(c"X", b"").is_err());
    }

    #[test]
    fn head_mapping_also_takes_auto() {
        assert_eq!(head_mapping(c"X", b"AUTO"), Ok(HeadMapping::Auto));
        assert_eq!(head_mapping(c"X", b"off"), Ok(HeadMapping::Off));
        let refusal = head_mapping(c"X", b"maybe").expect_err("no mapping").to_string();
        assert!(refusal.contains("must be one of: Off | On | Auto"), "{refusal}");
    }

    #[test]
    fn a_hash_seed_is_random_or_32_bits() {
        assert_eq!(hash_seed(c"X", b"0"), Ok(HashSeed::Fixed(0)));
        assert_eq!(hash_seed(c"X", b"4294967295"), Ok(HashSeed::Fixed(u32::MAX)));
        assert_eq!(hash_seed(c"X", b"random"), Ok(HashSeed::Random));
        for word in ["-1", "4294967296", "abc", "", "1x"] {
            let refusal = hash_seed(c"X", word.as_bytes()).expect_err(word).to_string();
            assert!(refusal.contains("must be \"random\" or an integer in range"), "{refusal}");
        }
    }

    #[test]
    fn a_switch_interval_is_a_positive_number_of_seconds() {
        assert_eq!(interval(c"X", b"0.002"), Ok(Duration::from_millis(2)));
        assert_eq!(interval(c"X", b"1e-3"), Ok(Duration::from_millis(1)));
        for word in ["0", "x", "-1", "nan", "inf", "1s", ""] {
            let refusal = interval(c"X", word.as_bytes()).expect_err(word).to_string();
            assert!(refusal.contains("must be a positive number of seconds"), "{refusal}");
        }
    }

    #[test]
    fn optimisation_stays_between_0_and_2_and_must_be_a_number() {
        assert_eq!(optimisation(c"X", b"-1"), Ok(0));
        assert_eq!(optimisation(c"X", b"1"), Ok(1));
        assert_eq!(optimisation(c"X", b"9"), Ok(2));
        assert!(optimisation(c"X", b"On").is_err());
        assert!(optimisation(c"X", b"2x").is_err());
    }

    #[test]
    fn a_refusal_never_holds_a_nul() {
        assert_eq!(Refusal::new("a\0b").to_string(), "a\\0b");
    }
}
