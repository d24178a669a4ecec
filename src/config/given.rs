//! What an option of `WSGIDaemonProcess` was given, read as what the option takes.
//!
//! mod_wsgi reads numbers with `atoi`, which takes `5s` for 5 and `abc` for 0. What it reads right is accepted
//! here too (blanks around, leading zeros, a plus sign), anything else is refused.

use std::str::FromStr;
use std::time::Duration;

use super::accounts::{Accounts, User};
use super::value::{Refusal, on_or_off, shown};
use super::written::Text;

/// Most of what mod_wsgi keeps in an `int`.
const INT_MAX: u64 = i32::MAX as u64;

/// An option's value, and the system that it may name users of.
pub(super) struct Given<'g> {
    pub(super) value: &'g [u8],
    pub(super) accounts: &'g dyn Accounts,
}

/// Why a value does not do.
pub(super) enum Fault {
    /// It is none that the option takes.
    Invalid,
    /// A reason of its own.
    Because(Refusal),
}

fn because(text: String) -> Fault {
    Fault::Because(Refusal::new(text))
}

impl Given<'_> {
    /// A whole number in this range.
    pub(super) fn number<T: TryFrom<u64>>(&self, least: u64, most: u64) -> Result<T, Fault> {
        let number: u64 = parsed(self.value)?;
        let number = Some(number).filter(|number| (least..=most).contains(number)).ok_or(Fault::Invalid)?;
        T::try_from(number).map_err(|_| Fault::Invalid)
    }

    /// As [`Given::number`], of an option whose being given counts for itself.
    pub(super) fn some_number<T: TryFrom<u64>>(&self, least: u64, most: u64) -> Result<Option<T>, Fault> {
        self.number(least, most).map(Some)
    }

    /// Whole seconds, 0 included.
    pub(super) fn seconds(&self) -> Result<Duration, Fault> {
        self.number(0, INT_MAX).map(Duration::from_secs)
    }

    /// Whole milliseconds, 0 included.
    pub(super) fn milliseconds(&self) -> Result<Duration, Fault> {
        self.number(0, INT_MAX).map(Duration::from_millis)
    }

    /// Seconds above 0, fractions allowed.
    pub(super) fn interval(&self) -> Result<Option<Duration>, Fault> {
        let interval = Duration::try_from_secs_f64(parsed(self.value)?).map_err(|_| Fault::Invalid)?;
        if interval.is_zero() { Err(Fault::Invalid) } else { Ok(Some(interval)) }
    }

    /// Bytes: at least `least`, or 0, which stands for `default`.
    pub(super) fn buffer(&self, least: u64, default: u64) -> Result<u64, Fault> {
        match self.number(0, INT_MAX)? {
            0 => Ok(default),
            size if size < least => Err(Fault::Invalid),
            size => Ok(size),
        }
    }

    /// Bytes for a limit; 0 is none.
    pub(super) fn limit(&self) -> Result<u64, Fault> {
        self.number(0, i64::MAX as u64)
    }

    /// A priority; what lies beyond the system's range is its end, as `setpriority(2)` has it.
    pub(super) fn priority(&self) -> Result<i32, Fault> {
        parsed::<i32>(self.value).map(|priority| priority.clamp(-20, 19))
    }

    /// Octal digits; what is no permission bit does not matter.
    pub(super) fn umask(&self) -> Result<Option<u32>, Fault> {
        let text = std::str::from_utf8(self.value.trim_ascii()).map_err(|_| Fault::Invalid)?;
        let mask = u32::from_str_radix(text, 8).map_err(|_| Fault::Invalid)?;
        if mask > 0o7777 { Err(Fault::Invalid) } else { Ok(Some(mask & 0o777)) }
    }

    /// `On` or `Off`.
    pub(super) fn flag(&self) -> Result<bool, Fault> {
        on_or_off(self.value).ok_or(Fault::Invalid)
    }

    /// Any text, the empty one too.
    pub(super) fn text(&self) -> Result<Option<Text>, Fault> {
        Ok(Some(self.value.into()))
    }

    /// A text, of which the empty one is as good as none.
    pub(super) fn filled(&self) -> Result<Option<Text>, Fault> {
        Ok(Some(self.value).filter(|value| !value.is_empty()).map(Text::from))
    }

    /// A path from the root.
    pub(super) fn absolute(&self) -> Result<Option<Text>, Fault> {
        if self.value.starts_with(b"/") { self.text() } else { Err(Fault::Invalid) }
    }

    /// A path from the root, if the process may make it another one's.
    pub(super) fn root_directory(&self) -> Result<Option<Text>, Fault> {
        if !self.accounts.is_root() {
            return Err(because(format!(
                "Cannot chroot WSGI daemon process when not root: 'chroot={}'; start httpd as root, or leave the option out",
                shown(self.value)
            )));
        }
        self.absolute()
    }

    /// A user that an application may run as.
    pub(super) fn user(&self) -> Result<Option<User>, Fault> {
        let user = self.any_user()?;
        if user.uid == 0 {
            return Err(because(format!(
                "WSGI process blocked from running as root: 'user={}'; give another user, or leave the option out for httpd's \
                 own (User)",
                shown(self.value)
            )));
        }
        Ok(Some(user))
    }

    /// The id of a user.
    pub(super) fn uid(&self) -> Result<Option<u32>, Fault> {
        self.any_user().map(|user| Some(user.uid))
    }

    /// The id of a group that an application may have.
    pub(super) fn gid(&self) -> Result<Option<u32>, Fault> {
        self.own_group(self.value).map(Some)
    }

    /// The id of any group.
    pub(super) fn any_gid(&self) -> Result<Option<u32>, Fault> {
        self.group(self.value).map(Some)
    }

    /// The ids of groups, separated by commas; an empty name ends the list, as in mod_wsgi.
    pub(super) fn gids(&self) -> Result<Option<Vec<u32>>, Fault> {
        let names = self.value.split(|byte| *byte == b',').take_while(|name| !name.is_empty());
        let groups = names.map(|name| self.own_group(name)).collect::<Result<Vec<u32>, Fault>>()?;
        // The group itself is one of them.
        let limit = self.accounts.group_limit();
        if groups.len() >= limit {
            return Err(because(format!(
                "Too many supplementary groups for WSGI daemon process: {} were given; accepted are fewer than {limit}",
                groups.len()
            )));
        }
        Ok(Some(groups))
    }

    fn any_user(&self) -> Result<User, Fault> {
        if self.value.is_empty() {
            return Err(Fault::Invalid);
        }
        let Some(number) = self.value.strip_prefix(b"#") else {
            return self.accounts.user_named(self.value).ok_or_else(|| bad_name("user", self.value));
        };
        self.accounts.user_numbered(parsed(number)?).ok_or_else(|| {
            because(format!(
                "Couldn't determine user name from uid: '{}'; give a user that the system knows",
                shown(self.value)
            ))
        })
    }

    fn own_group(&self, name: &[u8]) -> Result<u32, Fault> {
        match self.group(name)? {
            0 => Err(because(format!(
                "WSGI process blocked from running with root's group: '{}'; give another group, or leave it out",
                shown(name)
            ))),
            gid => Ok(gid),
        }
    }

    fn group(&self, name: &[u8]) -> Result<u32, Fault> {
        if name.is_empty() {
            return Err(Fault::Invalid);
        }
        match name.strip_prefix(b"#") {
            Some(number) => parsed(number),
            None => self.accounts.group_named(name).ok_or_else(|| bad_name("group", name)),
        }
    }
}

fn bad_name(what: &str, name: &[u8]) -> Fault {
    let name = shown(name);
    because(format!(
        "bad {what} name '{name}' for WSGI daemon process: the system knows no such {what}; accepted are a {what}'s name, or its \
         number behind a #"
    ))
}

fn parsed<T: FromStr>(value: &[u8]) -> Result<T, Fault> {
    std::str::from_utf8(value.trim_ascii()).ok().and_then(|text| text.parse().ok()).ok_or(Fault::Invalid)
}
