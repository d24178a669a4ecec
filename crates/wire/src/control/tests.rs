//! Messages: there and back with every field, and what is refused.

use gateway::Level;

use super::*;
use crate::{Error, Settings, SettingsWriter};

/// A message with these fields, written by hand.
fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut buf = Vec::new();
    let mut writer = SettingsWriter::begin(&mut buf);
    fields.iter().for_each(|(name, value)| writer.set(name.as_bytes(), value));
    assert_eq!(writer.finish(), Ok(()));
    buf
}

fn text(bytes: &[u8]) -> Text {
    Text(bytes.to_vec())
}

/// A text with everything in it that could break an encoding.
fn odd() -> Text {
    text(b"a\0b\n\xff=;\"'")
}

fn preload() -> Vec<Preload> {
    vec![
        Preload { application_group: text(b""), is_aliased: true, script: text(b"/srv/a.wsgi") },
        Preload { application_group: text(b"www.example.org|/b"), is_aliased: false, script: text(b"/srv/b\n.wsgi") },
    ]
}

fn full_group() -> Group {
    Group {
        name: odd(),
        id: u32::MAX,
        secret: [0; 32],
        reply: [0xff; 32],
        seats: 256,
        processes: 2,
        threads: 15,
        open_limit: 16,
        uid: 33,
        gid: 34,
        groups: vec![34, 0, 34],
        user_name: Some(text(b"www-data")),
        user_home: Some(text(b"")),
        socket_uid: 35,
        umask: Some(0o27),
        directory: Some(text(b"/srv")),
        is_directory_required: true,
        chroot: Some(odd()),
        lang: Some(text(b"de_DE.UTF-8")),
        locale: Some(text(b"C.UTF-8")),
        environment: vec![text(b"A=1"), text(b""), text(b"A=1")],
        cpu_priority: -20,
        cpu_time_limit: 1,
        memory_limit: u64::MAX,
        virtual_memory_limit: 1 << 40,
        is_dumpable: true,
        listen_backlog: 100,
        send_buffer: 2,
        receive_buffer: 3,
        shutdown_timeout: 5,
        graceful_timeout: 15,
        startup_timeout: 16,
        python: text(b"/usr/bin/python3"),
        arguments: vec![text(b"-X"), text(b"utf8"), text(b"-c"), odd()],
        preload: preload(),
        has_server_board: true,
        log_level: Level::Debug,
        syslog: Some(odd()),
        worker: odd(),
    }
}

/// A group that leaves out what can be left out.
fn bare_group() -> Group {
    Group {
        name: text(b""),
        groups: vec![],
        user_name: None,
        user_home: None,
        umask: None,
        directory: None,
        is_directory_required: false,
        chroot: None,
        lang: None,
        locale: None,
        environment: vec![],
        arguments: vec![],
        preload: vec![],
        syslog: None,
        is_dumpable: false,
        ..full_group()
    }
}

fn worker() -> Worker {
    Worker {
        threads: 1,
        stack_size: 2,
        display_name: Some(odd()),
        maximum_requests: 3,
        restart_interval: 4,
        inactivity_timeout: 5,
        request_timeout: 6,
        interrupt_timeout: 7,
        graceful_timeout: 8,
        eviction_timeout: 9,
        startup_timeout: 10,
        deadlock_timeout: 11,
        shutdown_timeout: 12,
        queue_timeout: 13,
        socket_timeout: 14,
        chroot: None,
        script_user: Some(u32::MAX),
        script_group: None,
        is_dumpable: false,
        has_server_board: true,
        log_level: Level::Critical,
    }
}

fn own() -> Own {
    Own { seat: 0, incarnation: 1, generation: 2, pool_group: Some(text(b"")), preload: preload(), peer_uid: 33 }
}

macro_rules! assert_there_and_back {
    ($($message:expr => $word:literal,)*) => {$({
        let message = $message;
        let mut buf = b"left over".to_vec();
        assert_eq!(message.write(&mut buf), Ok(()));
        let first = Settings::parse(&buf).expect("a settings block").pairs().next();
        assert_eq!(first, Some(Ok((&b"message"[..], &$word[..]))));
        assert_eq!(parse_as(&message, &buf), Ok(message));
    })*};
}

trait Message: Sized {
    fn read(block: &[u8]) -> Result<Self, ControlError>;
}

macro_rules! message {
    ($($name:ident)*) => {$(
        impl Message for $name {
            fn read(block: &[u8]) -> Result<Self, ControlError> {
                $name::parse(block)
            }
        }
    )*};
}
message!(ToSupervisor FromSupervisor ToDesk FromDesk ToWorker FromWorker);

fn parse_as<T: Message>(_like: &T, block: &[u8]) -> Result<T, ControlError> {
    T::read(block)
}

#[test]
fn every_message_is_read_as_it_was_written() {
    let begin = Begin {
        socket_directory: odd(),
        httpd_uid: 33,
        httpd_gid: 34,
        httpd_groups: vec![34, 4],
        is_root_needless: true,
        syslog: Some(odd()),
    };
    let problems = vec![text(b"a: no such user"), odd()];
    assert_there_and_back! {
        ToSupervisor::Begin(begin) => b"begin",
        ToSupervisor::Group(full_group()) => b"group",
        ToSupervisor::Group(bare_group()) => b"group",
        ToSupervisor::Commit(Commit { groups: 3 }) => b"commit",
        FromSupervisor::Settled(Settled { problems, is_root_missing: false }) => b"settled",
        FromSupervisor::Settled(Settled { problems: vec![], is_root_missing: true }) => b"settled",
        ToDesk::Ask(Ask { secret: [10; 32], application_group: odd(), is_open: true }) => b"ask",
        FromDesk::Pool(Pool { first: 4, count: u32::MAX }) => b"pool",
        FromDesk::NoPool(NoPool { reason: odd() }) => b"no pool",
        ToWorker::Secrets(Secrets { secret: *b"0123456789abcdef0123456789ab\0\xff\r\n", reply: [1; 32] }) => b"secrets",
        ToWorker::Drain(Drain { reason: odd(), limit: 0 }) => b"drain",
        ToWorker::Stop(Stop { reason: text(b"") }) => b"stop",
        FromWorker::Started(Started {}) => b"started",
        FromWorker::Ready(Ready { version: text(b"3.11.2"), prefix: odd(), executable: odd() }) => b"ready",
        FromWorker::Line(Line { level: Level::Warning, text: odd() }) => b"line",
        FromWorker::Retire(Retire { reason: odd(), limit: u64::MAX }) => b"retire",
        FromWorker::Reload(Reload { script: odd() }) => b"reload",
        FromWorker::Stopping(Stopping { reason: odd(), limit: 20 }) => b"stopping",
    }
}

#[test]
fn worker_settings_share_a_block_with_others() {
    let mut buf = Vec::new();
    let mut writer = SettingsWriter::begin(&mut buf);
    writer.set(b"python_path", b"/srv");
    worker().put(&mut writer);
    own().put(&mut writer);
    assert_eq!(writer.finish(), Ok(()));
    let settings = Settings::parse(&buf).expect("sound");
    assert_eq!((Worker::take(&settings), Own::take(&settings)), (Ok(worker()), Ok(own())));
    assert_eq!(settings.get(b"python_path"), Some(&b"/srv"[..]));
}

#[test]
fn message_has_the_documented_bytes() {
    let mut buf = Vec::new();
    assert_eq!(ToSupervisor::Commit(Commit { groups: 12 }).write(&mut buf), Ok(()));
    let mut expected = vec![45, 0, 0, 0, 1, 0, 2, 0];
    expected.extend(b"\0\0\x07\0\x06\0\0\0messagecommit");
    expected.extend(b"\0\0\x06\0\x02\0\0\0groups12");
    assert_eq!(buf, expected);
}

#[test]
fn fields_are_found_in_any_order_among_others_and_the_last_counts() {
    let message = block(&[("count", b"1"), ("message", b"pool"), ("more", b""), ("first", b"2"), ("count", b"3")]);
    assert_eq!(FromDesk::parse(&message), Ok(FromDesk::Pool(Pool { first: 2, count: 3 })));
}

#[test]
fn every_field_that_must_be_there_is_missed() {
    let optional = [
        "groups",
        "user_name",
        "user_home",
        "umask",
        "directory",
        "chroot",
        "lang",
        "locale",
        "environment",
        "arguments",
        "preload",
        "syslog",
    ];
    let mut buf = Vec::new();
    assert_eq!(ToSupervisor::Group(full_group()).write(&mut buf), Ok(()));
    let settings = Settings::parse(&buf).expect("sound");
    let pairs: Vec<_> = settings.pairs().map(|pair| pair.expect("sound")).collect();
    for (name, _) in &pairs {
        let name = str::from_utf8(name).expect("a word");
        let others: Vec<_> = pairs
            .iter()
            .map(|(other, value)| (str::from_utf8(other).expect("a word"), *value))
            .filter(|(other, _)| *other != name)
            .collect();
        match ToSupervisor::parse(&block(&others)) {
            Ok(_) => assert!(optional.contains(&name), "{name} is not missed"),
            Err(ControlError::Missing(missed)) => assert!(missed == name && !optional.contains(&name), "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn values_that_a_field_cannot_have_are_refused() {
    let refused = |message: &str, fields: &[(&str, &[u8])], field: &'static str| {
        let block = block(&[&[("message", message.as_bytes())], fields].concat());
        let error = match message {
            "commit" => ToSupervisor::parse(&block).err(),
            "ask" => ToDesk::parse(&block).err(),
            "settled" => FromSupervisor::parse(&block).err(),
            _ => FromWorker::parse(&block).err(),
        };
        assert_eq!(error, Some(ControlError::Malformed(field)), "{fields:?}");
    };
    for number in ["", " 1", "1 ", "-1", "0x1", "1.0", "4294967296", "\u{661}", "1\0"] {
        refused("commit", &[("groups", number.as_bytes())], "groups");
    }
    refused("commit", &[("groups", b"\xff")], "groups");
    refused("retire", &[("reason", b""), ("limit", b"18446744073709551616")], "limit");
    for secret in [&[0; 31][..], &[0; 33], b""] {
        refused("ask", &[("secret", secret), ("application_group", b""), ("is_open", b"0")], "secret");
    }
    for flag in ["", "2", "true", "01"] {
        refused("settled", &[("is_root_missing", flag.as_bytes())], "is_root_missing");
    }
    for level in ["", "256", "-1", "info"] {
        refused("line", &[("level", level.as_bytes()), ("text", b"")], "level");
    }
}

#[test]
fn one_malformed_item_refuses_its_list() {
    let mut buf = Vec::new();
    let mut writer = SettingsWriter::begin(&mut buf);
    own().put(&mut writer);
    writer.set(b"preload", b"0without its NUL");
    assert_eq!(writer.finish(), Ok(()));
    let settings = Settings::parse(&buf).expect("sound");
    assert_eq!(Own::take(&settings), Err(ControlError::Malformed("preload")));
    for item in [&b""[..], b"\0/srv/a.wsgi", b"2\0/srv/a.wsgi", b"1"] {
        let settings = block(&[("preload", item)]);
        let settings = Settings::parse(&settings).expect("sound");
        let list = <Vec<Preload> as super::field::Field>::take("preload", &settings);
        assert_eq!(list, Err(ControlError::Malformed("preload")), "{item:?}");
    }
}

#[test]
fn script_to_preload_may_hold_what_its_group_may_not() {
    let settings = block(&[("preload", b"1group\0/srv/\0x")]);
    let settings = Settings::parse(&settings).expect("sound");
    let (_, value) = settings.pairs().next().expect("one").expect("sound");
    let preload = <Preload as super::field::Scalar>::of_text(value);
    assert_eq!(
        preload,
        Some(Preload { application_group: text(b"group"), is_aliased: true, script: text(b"/srv/\0x") })
    );
}

#[test]
fn message_of_another_conversation_is_refused() {
    let mut buf = Vec::new();
    assert_eq!(ToWorker::Stop(Stop { reason: text(b"") }).write(&mut buf), Ok(()));
    let unknown = ControlError::Unknown("stop".into());
    assert_eq!(FromWorker::parse(&buf), Err(unknown.clone()));
    assert_eq!(ToSupervisor::parse(&buf), Err(unknown.clone()));
    assert_eq!(FromDesk::parse(&buf), Err(unknown));
}

#[test]
fn unknown_name_is_cut_and_told_on_one_line() {
    let long = [b"a\nb\x1b\xff".as_slice(), &[b'x'; 100_000]].concat();
    let error = ToDesk::parse(&block(&[("message", &long)])).expect_err("unknown").to_string();
    assert!(error.starts_with("unexpected message 'a\\nb\\u{1b}"), "{error}");
    assert!(error.len() < 200 && !error.contains(['\n', '\x1b']), "{error}");
}

#[test]
fn block_without_a_message_and_what_is_no_block_are_refused() {
    assert_eq!(ToDesk::parse(&block(&[("secret", b"")])), Err(ControlError::Missing("message")));
    assert_eq!(ToDesk::parse(b""), Err(ControlError::Block(Error::Truncated)));
    let mut head = Vec::new();
    assert_eq!(crate::ResponseWriter::begin(&mut head, 200, b"").finish(), Ok(()));
    assert_eq!(ToDesk::parse(&head), Err(ControlError::Block(Error::Kind(1))));
}

#[test]
fn message_with_a_malformed_pair_is_refused_though_its_fields_are_there() {
    let mut block = block(&[("message", b"settled"), ("is_root_missing", b"0"), ("problems", b"a: gone")]);
    block.pop();
    block[0] -= 1;
    assert_eq!(FromSupervisor::parse(&block), Err(ControlError::Block(Error::Truncated)));
}

#[test]
fn over_long_message_is_not_written() {
    let mut buf = Vec::new();
    let reason = Text(vec![b'r'; crate::LIMIT]);
    assert_eq!(ToWorker::Stop(Stop { reason }).write(&mut buf), Err(Error::TooLong));
    assert!(buf.is_empty());
}

#[test]
fn sockets_have_the_documented_names() {
    assert_eq!((seat_socket(2, 11), desk_socket(2)), ("2.11.sock".into(), "2.desk.sock".into()));
}
