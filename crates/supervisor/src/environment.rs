//! The environment of a worker. Pure.

use std::collections::BTreeMap;
use std::ffi::CString;

use wire::control::Group;

/// Talk with the service manager, which is httpd's own.
fn is_service_managers(name: &[u8]) -> bool {
    name == b"NOTIFY_SOCKET" || name.starts_with(b"LISTEN_") || name.starts_with(b"WATCHDOG_")
}

/// What changes how an interpreter starts: httpd's surroundings do not decide it, the configuration does. Only
/// variables without a directive, which change what is logged or written, are left.
fn is_pythons(name: &[u8]) -> bool {
    const HARMLESS: [&[u8]; 4] =
        [b"PYTHONFAULTHANDLER", b"PYTHONUNBUFFERED", b"PYTHONDONTWRITEBYTECODE", b"PYTHONPYCACHEPREFIX"];
    name.starts_with(b"PYTHON") && !HARMLESS.contains(&name)
}

/// The worker's variables: those of httpd, without the service manager's and Python's; who the user is; locale; the group's own.
pub(crate) fn build(group: &Group, inherited: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<CString> {
    let mut variables: BTreeMap<Vec<u8>, Vec<u8>> =
        inherited.filter(|(name, _)| !is_service_managers(name) && !is_pythons(name)).collect();
    if let Some(home) = &group.user_home {
        variables.insert(b"HOME".to_vec(), home.to_vec());
    }
    if let Some(name) = &group.user_name {
        // As mod_wsgi: only where httpd was started with them.
        for key in [b"USER".as_slice(), b"LOGNAME", b"USERNAME"] {
            if let Some(value) = variables.get_mut(key) {
                *value = name.to_vec();
            }
        }
    }
    for (key, value) in [(b"LANG".as_slice(), &group.lang), (b"LC_ALL", &group.locale)] {
        if let Some(value) = value {
            variables.insert(key.to_vec(), value.to_vec());
        }
    }
    for text in &group.environment {
        if let Some(end) = text.iter().position(|byte| *byte == b'=') {
            variables.insert(text[..end].to_vec(), text[end + 1..].to_vec());
        }
    }
    let pairs = variables.into_iter().map(|(name, value)| [&name[..], b"=", &value].concat());
    // A NUL can come from the group's own variables only, and then the program would not see the rest anyway.
    pairs.filter_map(|pair| CString::new(pair).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn built(group: &Group, inherited: &[(&str, &str)]) -> Vec<String> {
        let inherited = inherited.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        build(group, inherited).into_iter().map(|pair| pair.into_string().expect("UTF-8")).collect()
    }

    #[test]
    fn variables_that_change_how_python_starts_do_not_reach_a_worker() {
        let inherited =
            [("PYTHONFAULTHANDLER", "1"), ("PYTHONHOME", "/x"), ("PYTHONPATH", "/x"), ("PYTHONSTARTUP", "/x")];
        assert_eq!(built(&sample::group(), &inherited), ["PYTHONFAULTHANDLER=1"]);
    }

    #[test]
    fn service_managers_variables_do_not_reach_a_worker() {
        let inherited = [("NOTIFY_SOCKET", "/x"), ("LISTEN_FDS", "1"), ("WATCHDOG_USEC", "1"), ("PATH", "/bin")];
        assert_eq!(built(&sample::group(), &inherited), ["PATH=/bin"]);
    }

    #[test]
    fn user_is_named_only_where_httpd_had_a_name_and_home_always() {
        let group = Group {
            user_name: Some("www".into()),
            user_home: Some("/srv".into()),
            lang: Some("C.UTF-8".into()),
            environment: vec!["A=b=c".into()],
            ..sample::group()
        };
        let built = built(&group, &[("USER", "root"), ("HOME", "/root")]);
        assert_eq!(built, ["A=b=c", "HOME=/srv", "LANG=C.UTF-8", "USER=www"]);
    }
}
