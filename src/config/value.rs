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
pub(super) fn optimisation(name: &CStr, word: &[u8]) -> Result<Optimisation, Refusal> {
    let given: i64 = parsed(word).ok_or_else(|| refuse(name, "must be a number: 0, 1 or 2", word))?;
    let level = given.clamp(0, 2);
    Ok(Optimisation { level: level as u8, is_given: level == given })
}

/// A level of optimisation, and whether it is the one that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Optimisation {
    pub(super) level: u8,
    pub(super) is_given: bool,
}

/// Why Python would ignore a warning filter; `None` if it takes it, or may.
///
/// Source: CPython `warnings._setoption`, without the lookup of the category, which may be the application's own.
pub(super) fn filter_fault(filter: &[u8]) -> Option<&'static str> {
    const ACTIONS: [&str; 7] = ["default", "always", "ignore", "module", "once", "error", "all"];
    let fields: Vec<&[u8]> = filter.split(|byte| *byte == b':').map(<[u8]>::trim_ascii).collect();
    if fields.len() > 5 {
        return Some("it has more than five fields");
    }
    if !ACTIONS.iter().any(|action| action.as_bytes().starts_with(fields[0])) {
        return Some("its action is none of default, error, always, module, once, ignore");
    }
    let is_number = |line: &&[u8]| line.is_empty() || line.iter().all(u8::is_ascii_digit);
    if fields.get(4).is_some_and(|line| !is_number(line)) {
        return Some("its line is no number");
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') || !byte.is_ascii();
    if fields.get(2).is_some_and(|category| !category.iter().all(is_name)) {
        return Some("its category is no name of a class");
    }
    None
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
        let read = |word: &[u8]| optimisation(c"X", word).map(|found| (found.level, found.is_given));
        assert_eq!(read(b"-1"), Ok((0, false)));
        assert_eq!(read(b"1"), Ok((1, true)));
        assert_eq!(read(b"9"), Ok((2, false)));
        assert!(optimisation(c"X", b"On").is_err());
        assert!(optimisation(c"X", b"2x").is_err());
    }

    #[test]
    fn filters_that_python_takes_have_no_fault() {
        for filter in [
            "ignore",
            "i",
            "",
            "error::DeprecationWarning",
            "default::my.own.Warning:some_module:17",
            "once:a message",
            "all",
            "error:: ResourceWarning : x.y : 0",
        ] {
            assert_eq!(filter_fault(filter.as_bytes()), None, "{filter}");
        }
    }

    #[test]
    fn filters_that_python_ignores_have_one() {
        for (filter, fault) in [
            ("bogus", "action"),
            ("Ignore", "action"),
            ("a:b:c:d:5:f", "five"),
            ("error::::x", "line"),
            ("error::::-1", "line"),
            ("error::a b", "category"),
        ] {
            let found = filter_fault(filter.as_bytes()).expect(filter);
            assert!(found.contains(fault), "{filter}: {found}");
        }
    }

    #[test]
    fn a_refusal_never_holds_a_nul() {
        assert_eq!(Refusal::new("a\0b").to_string(), "a\\0b");
    }
}
