//! `WSGITelemetryService`, `WSGISlowRequests` and `WSGITelemetryOptions`: where each process sends what it measures, and what
//! beside its figures.

use std::time::Duration;

use super::word::{OptionWord, Words};
use super::written::Text;
use super::{Place, Refusal};

/// Shortest interval.
const LEAST_INTERVAL: Duration = Duration::from_millis(500);

/// Longest path of a Unix socket, bytes (unix(7): `sun_path`, with the NUL that ends it).
const LONGEST_PATH: usize = 107;

/// Where to, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Path of a Unix socket for datagrams.
    pub path: Text,
    /// Time between two reports.
    pub interval: Duration,
}

/// The argument of `WSGITelemetryService`: `unix:/path [interval=N]`.
pub(super) fn service(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let mut words = Words::of(line);
    let target = words.word().unwrap_or_default();
    let path = target.strip_prefix(b"unix:").filter(|path| path.starts_with(b"/")).ok_or_else(|| {
        Refusal::new(format!("WSGITelemetryService target must be 'unix:/path'; given was '{}'", target.escape_ascii()))
    })?;
    if path.len() > LONGEST_PATH {
        return Err(Refusal::new(format!(
            "WSGITelemetryService target has {} bytes, and the path of a socket has at most {LONGEST_PATH}",
            path.len()
        )));
    }
    let interval = match words.option() {
        None => Duration::from_secs(1),
        Some(OptionWord::Pair(b"interval", value)) => interval(&value)?,
        Some(_) => return Err(Refusal::new("WSGITelemetryService second argument must be 'interval=N'")),
    };
    if words.option().is_some() {
        return Err(Refusal::new("WSGITelemetryService takes a target and 'interval=N', and nothing else"));
    }
    place.server.python.telemetry = Some(Telemetry { path: path.into(), interval });
    Ok(())
}

fn interval(value: &[u8]) -> Result<Duration, Refusal> {
    seconds(value).filter(|interval| *interval >= LEAST_INTERVAL).ok_or_else(|| {
        let least = LEAST_INTERVAL.as_secs_f64();
        Refusal::new(format!(
            "WSGITelemetryService interval must be at least {least} seconds; given was '{}'",
            value.escape_ascii()
        ))
    })
}

/// The argument of `WSGISlowRequests`: seconds.
pub(super) fn slow_requests(place: &mut Place<'_>, word: &[u8]) -> Result<(), Refusal> {
    let threshold = seconds(word).ok_or_else(|| {
        let given = word.escape_ascii();
        Refusal::new(format!("WSGISlowRequests must be non-negative, a number of seconds; given was '{given}'"))
    })?;
    place.server.python.slow_requests = Some(threshold);
    Ok(())
}

/// The argument of `WSGITelemetryOptions`: flags, each with a sign or each without one. Those without replace what was said
/// before.
pub(super) fn options(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    let mut words = Words::of(line);
    let (mut signed, mut plain) = (false, false);
    let mut captures = place.server.python.capture_user_agent;
    while let Some(word) = words.word() {
        let (sign, flag) = match word.split_first() {
            Some((sign @ (b'+' | b'-'), flag)) => (Some(*sign), flag),
            _ => (None, &word[..]),
        };
        signed |= sign.is_some();
        plain |= sign.is_none();
        if signed && plain {
            return Err(Refusal::new("WSGITelemetryOptions cannot mix +/- form and flags without a sign on one line"));
        }
        let is_whole = |name: &[u8]| sign.is_none() && flag.eq_ignore_ascii_case(name);
        let is_on = match sign {
            _ if is_whole(b"None") => false,
            _ if is_whole(b"All") => true,
            _ if flag.eq_ignore_ascii_case(b"CaptureUserAgent") => sign != Some(b'-'),
            _ => {
                let given = word.escape_ascii();
                return Err(Refusal::new(format!(
                    "WSGITelemetryOptions has an unknown flag '{given}'; there are CaptureUserAgent, None and All"
                )));
            }
        };
        captures = Some(is_on);
    }
    if !(signed || plain) {
        return Err(Refusal::new("WSGITelemetryOptions takes at least one flag: CaptureUserAgent, None or All"));
    }
    place.server.python.capture_user_agent = captures;
    Ok(())
}

fn seconds(word: &[u8]) -> Option<Duration> {
    let seconds: f64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::super::PythonSettings;
    use super::super::sample::{refusal, server};
    use super::*;

    fn settings(lines: &[&str]) -> PythonSettings {
        PythonSettings::of(&server(lines))
    }

    #[test]
    fn the_target_is_a_unix_socket_and_the_interval_half_a_second_or_more() {
        let telemetry = |line: &str| settings(&[line]).telemetry.expect("set");
        let plain = telemetry("WSGITelemetryService unix:/run/t.sock");
        assert_eq!((&plain.path[..], plain.interval), (&b"/run/t.sock"[..], Duration::from_secs(1)));
        let often = telemetry("WSGITelemetryService unix:/run/t.sock interval=0.5");
        assert_eq!(often.interval, Duration::from_millis(500));
        for (line, said) in [
            ("udp:127.0.0.1:99", "target must be 'unix:/path'"),
            ("unix:relative", "target must be 'unix:/path'"),
            ("", "target must be 'unix:/path'"),
            ("unix:/p interval=0.1", "interval must be at least 0.5"),
            ("unix:/p interval=-1", "interval must be at least 0.5"),
            ("unix:/p interval=often", "interval must be at least 0.5"),
            ("unix:/p 5", "second argument must be 'interval=N'"),
            ("unix:/p period=5", "second argument must be 'interval=N'"),
            ("unix:/p interval=1 more", "nothing else"),
        ] {
            let refused = refusal(&format!("WSGITelemetryService {line}"));
            assert!(refused.contains(said), "{line}: {refused}");
        }
        let long = refusal(&format!("WSGITelemetryService unix:/{}", "x".repeat(107)));
        assert!(long.contains("at most 107"), "{long}");
    }

    #[test]
    fn flags_replace_or_add_up_but_not_both_on_one_line() {
        let captures = |lines: &[&str]| settings(lines).capture_user_agent;
        assert!(!captures(&[]));
        assert!(captures(&["WSGITelemetryOptions +captureuseragent"]));
        assert!(captures(&["WSGITelemetryOptions All"]));
        assert!(!captures(&["WSGITelemetryOptions All", "WSGITelemetryOptions -CaptureUserAgent"]));
        assert!(!captures(&["WSGITelemetryOptions CaptureUserAgent", "WSGITelemetryOptions None"]));
        for (line, said) in [
            ("+CaptureUserAgent All", "cannot mix +/- form"),
            ("None -CaptureUserAgent", "cannot mix +/- form"),
            ("CaptureCookies", "unknown flag 'CaptureCookies'"),
            ("+All", "unknown flag '+All'"),
            ("", "at least one flag"),
        ] {
            let refused = refusal(&format!("WSGITelemetryOptions {line}"));
            assert!(refused.contains(said), "{line}: {refused}");
        }
    }

    #[test]
    fn a_threshold_is_no_less_than_nothing() {
        assert_eq!(settings(&["WSGISlowRequests 0"]).slow_requests, None);
        assert_eq!(settings(&["WSGISlowRequests 2.5"]).slow_requests, Some(Duration::from_millis(2500)));
        assert_eq!(settings(&[]).slow_requests, None);
        for value in ["-1", "soon", "nan", "inf"] {
            assert!(refusal(&format!("WSGISlowRequests {value}")).contains("must be non-negative"), "{value}");
        }
    }
}
