//! What httpd asks a script about a request, and what it may be told: access control, authentication, groups and
//! dispatch (docs/access.md). One question, one answer, no body and no response.

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Subject {
    /// Whether a client is let in.
    Access = 1,
    /// Whether a password is a user's.
    Password = 2,
    /// What a user's password comes to in a realm (RFC 7616, `A1` hashed).
    RealmHash = 3,
    /// Which groups a user is in.
    Groups = 4,
    /// Where the request's application runs.
    Dispatch = 5,
}

impl Subject {
    /// The subject of a number that crossed.
    pub fn from_number(number: u16) -> Option<Subject> {
        [Self::Access, Self::Password, Self::RealmHash, Self::Groups, Self::Dispatch]
            .into_iter()
            .find(|subject| *subject as u16 == number)
    }

    /// The functions of the script that are asked, in order. A dispatch script may lack any of its three, others have
    /// to have their one.
    pub fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Access => &["allow_access"],
            Self::Password => &["check_password"],
            Self::RealmHash => &["get_realm_hash"],
            Self::Groups => &["groups_for_user"],
            Self::Dispatch => &["process_group", "application_group", "callable_object"],
        }
    }

    /// How many arguments a function gets after the environ.
    pub fn arguments(self) -> usize {
        match self {
            Self::Dispatch => 0,
            Self::Access | Self::Groups => 1,
            Self::Password | Self::RealmHash => 2,
        }
    }
}

/// Where an application is to run; what is `None` stays as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Name of the process group; may be a macro.
    pub process_group: Option<Vec<u8>>,
    /// Name of the application group; may be a macro.
    pub application_group: Option<Vec<u8>>,
    /// Name of the callable; may be a macro.
    pub callable_object: Option<Vec<u8>>,
}

/// What a script says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing that counts; why has been logged. Never lets anybody in.
    Failed,
    /// `None`: no opinion, or an unknown user.
    None,
    /// `False`.
    No,
    /// `True`.
    Yes,
    /// A name or a hash, not empty.
    Text(Vec<u8>),
    /// Names of groups, perhaps none.
    Groups(Vec<Vec<u8>>),
    /// Where to run.
    Route(Route),
}

impl Answer {
    /// The answer, if the subject knows such a one; else `Failed`.
    pub fn about(self, subject: Subject) -> Answer {
        let is_known = match &self {
            Self::Failed => true,
            Self::None => matches!(subject, Subject::Access | Subject::Password | Subject::RealmHash),
            Self::Yes | Self::No => matches!(subject, Subject::Access | Subject::Password),
            Self::Text(text) => !text.is_empty() && matches!(subject, Subject::Password | Subject::RealmHash),
            Self::Groups(_) => subject == Subject::Groups,
            Self::Route(_) => subject == Subject::Dispatch,
        };
        if is_known { self } else { Self::Failed }
    }

    /// Whether somebody is let in by it, as far as it goes.
    pub fn grants(&self) -> bool {
        match self {
            Self::Yes | Self::Text(_) => true,
            Self::Groups(names) => !names.is_empty(),
            Self::Failed | Self::None | Self::No | Self::Route(_) => false,
        }
    }
}

/// Whoever asks, as the script that is asked may turn back to.
pub trait Asker {
    /// A variable of the client's TLS connection by mod_ssl's name for it; `None` without TLS, or without mod_ssl.
    ///
    /// Source: mod_ssl, "Environment Variables" (`ssl_var_lookup`).
    fn variable(&mut self, name: &[u8]) -> Option<Vec<u8>>;

    /// httpd's own request, for a script that is to have it (`WSGIPassApacheRequest`); else null.
    fn request_rec(&self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Subject; 5] =
        [Subject::Access, Subject::Password, Subject::RealmHash, Subject::Groups, Subject::Dispatch];

    #[test]
    fn numbers_go_there_and_back() {
        for subject in ALL {
            assert_eq!(Subject::from_number(subject as u16), Some(subject));
        }
        assert_eq!(Subject::from_number(0), None);
        assert_eq!(Subject::from_number(6), None);
    }

    #[test]
    fn answer_that_the_subject_does_not_know_has_failed() {
        let answers = [
            (Answer::Failed, 5),
            (Answer::None, 3),
            (Answer::Yes, 2),
            (Answer::No, 2),
            (Answer::Text(b"x".to_vec()), 2),
            (Answer::Text(Vec::new()), 0),
            (Answer::Groups(Vec::new()), 1),
            (Answer::Route(Route::default()), 1),
        ];
        for (answer, count) in answers {
            let known = ALL.iter().filter(|subject| answer.clone().about(**subject) == answer).count();
            assert_eq!(known, count, "{answer:?}");
        }
    }

    #[test]
    fn only_answers_that_let_somebody_in_grant() {
        assert!(Answer::Yes.grants() && Answer::Text(b"a".to_vec()).grants());
        assert!(Answer::Groups(vec![b"staff".to_vec()]).grants());
        for answer in [Answer::Failed, Answer::None, Answer::No, Answer::Groups(Vec::new())] {
            assert!(!answer.grants(), "{answer:?}");
        }
    }
}
