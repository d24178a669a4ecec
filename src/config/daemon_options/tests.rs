//! The options as they are written: what each sets, and what it refuses.

mod refusals;
mod values;

use std::collections::BTreeSet;

use super::super::sample::{System, apply_as, refusal};
use super::super::{GroupNames, ServerWritten};
use super::Daemon;

fn daemon(options: &str) -> Daemon {
    let mut server = ServerWritten::default();
    let line = format!("WSGIDaemonProcess d {options}");
    apply_as(&line, &mut server, None, &mut GroupNames::default(), &System::ROOT).expect(options);
    Daemon { order: 0, ..(*server.daemons[0]).clone() }
}

fn refused(option: &str) -> String {
    refusal(&format!("WSGIDaemonProcess d {option}"))
}

fn names(options: impl IntoIterator<Item = &'static str>) -> BTreeSet<&'static str> {
    options.into_iter().map(|option| option.split('=').next().expect("a name")).collect()
}
