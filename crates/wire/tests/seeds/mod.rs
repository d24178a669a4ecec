//! Real blocks, frames and messages to begin mutations with: those of `robustness.rs`, and the fuzz targets'
//! (`examples/fuzz_seeds.rs`).

use gateway::proxy::ProxyHeader;
use gateway::{Answer, Flow, Key, Level, Outcome, ReadError, Route, Subject, WriteError};
use wire::control::{
    Ask, Begin, Commit, Drain, FromDesk, FromSupervisor, FromWorker, Group, Line, NoPool, Own, Pool, Preload, Ready,
    Reload, Retire, Secrets, Settled, Started, Stop, Stopping, Text, ToDesk, ToSupervisor, ToWorker, Worker,
};
use wire::frame::{NO_CELL, Refusal};
use wire::{
    Facts, Frame, Hello, Question, RequestWriter, ResponseWriter, SettingsWriter, Welcome, flags, write_answer,
};

/// Requests that came through proxies, for `properties::proxy_headers`.
pub(crate) fn proxy_headers() -> Vec<Vec<u8>> {
    let line = |header: ProxyHeader, value: &[u8]| [&[0xfe, header as u8], value].concat();
    let peer = b"10.0.0.1".to_vec();
    vec![
        [
            peer.clone(),
            line(ProxyHeader::XForwardedFor, b"6.6.6.6, 192.0.2.9:4711, 10.0.0.2"),
            line(ProxyHeader::XForwardedHost, b"evil.test, www.test:8443"),
            line(ProxyHeader::XForwardedPort, b"8443"),
            line(ProxyHeader::XScriptName, b"/mount"),
            line(ProxyHeader::XForwardedProto, b"https"),
        ]
        .concat(),
        [
            peer,
            line(ProxyHeader::Forwarded, br#"for=_x, for="[2001:db8::1]:80";proto=https; host=www.test,for=10.0.0.2"#),
        ]
        .concat(),
    ]
}

const SECRET: [u8; 32] = [7; 32];

/// Request heads.
pub(crate) fn request_heads() -> Vec<Vec<u8>> {
    vec![request_head(), empty_request_head()]
}

/// Response heads.
pub(crate) fn response_heads() -> Vec<Vec<u8>> {
    vec![response_head(), bare_response_head()]
}

/// Questions to scripts.
pub(crate) fn questions() -> Vec<Vec<u8>> {
    let head = request_head();
    let empty = empty_request_head();
    let questions = [
        Question {
            subject: Subject::Password,
            is_tls: true,
            script: b"/srv/auth.py",
            arguments: [b"me", b"pass"],
            head: &head,
        },
        Question {
            subject: Subject::Access,
            is_tls: false,
            script: b"/srv/a.py",
            arguments: [b"192.0.2.1", b""],
            head: &head,
        },
        Question { subject: Subject::Dispatch, is_tls: false, script: b"/d", arguments: [b"", b""], head: &empty },
    ];
    let write = |question: &Question<'_>| {
        let mut block = Vec::new();
        assert_eq!(question.write(&mut block), Ok(()));
        block
    };
    questions.iter().map(write).collect()
}

/// Answers of scripts.
pub(crate) fn answers() -> Vec<Vec<u8>> {
    let route =
        Route { process_group: Some(b"site".to_vec()), application_group: None, callable_object: Some(Vec::new()) };
    let answers = [
        Answer::Failed,
        Answer::Yes,
        Answer::Text(b"me".to_vec()),
        Answer::Groups(vec![b"staff".to_vec(), b"admin".to_vec()]),
        Answer::Route(route),
    ];
    let write = |answer: &Answer| {
        let mut block = Vec::new();
        assert_eq!(write_answer(answer, &mut block), Ok(()));
        block
    };
    answers.iter().map(write).collect()
}

/// Settings of the embedded door.
pub(crate) fn settings() -> Vec<Vec<u8>> {
    vec![embedded_settings()]
}

/// Status lines and headers, as the property of that name takes them.
pub(crate) fn status_and_headers() -> Vec<Vec<u8>> {
    vec![
        b"200 OK\xfeContent-Type\xfetext/plain\xfeContent-Length\xfe42".to_vec(),
        b"404 Not Found\xfeSet-Cookie\xfea='\"\\\t\xfeX\xfe\r\n\xfe".to_vec(),
        b"204".to_vec(),
    ]
}

/// Every kind of frame.
pub(crate) fn frames() -> Vec<Vec<u8>> {
    let (request, response) = (request_head(), response_head());
    let frames = [
        Frame::Hello(Hello { secret: SECRET }),
        Frame::Welcome(Welcome { secret: SECRET, pid: 4711, incarnation: 1, cell: NO_CELL }),
        Frame::Request(&request),
        Frame::Response(&response),
        Frame::Piece { flow: Flow::Flush, bytes: b"some of a body" },
        Frame::Piece { flow: Flow::End, bytes: b"" },
        Frame::InputFailed(ReadError::ClientGone),
        Frame::InputFailed(ReadError::Failed("no disc".into())),
        Frame::Want(65_536),
        Frame::Cut(WriteError::Answered),
        Frame::Cut(WriteError::Failed("broken pipe".into())),
        Frame::Log { level: Level::Error, line: b"Traceback (most recent call last):" },
        Frame::Refused(Refusal::Outdated),
        Frame::Done(Outcome::Status(500)),
        Frame::Lookup(b"SSL_CLIENT_S_DN"),
        Frame::Found(Some(b"CN=me")),
        Frame::Found(None),
    ];
    let (questions, answers) = (questions(), answers());
    let more =
        questions.iter().map(|block| Frame::Question(block)).chain(answers.iter().map(|block| Frame::Answer(block)));
    frames.iter().map(written).chain(more.map(|frame| written(&frame))).collect()
}

fn written(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.put(&mut bytes);
    bytes
}

fn text(bytes: &str) -> Text {
    Text::from(bytes)
}

macro_rules! blocks {
    ($($message:expr,)*) => {
        vec![$({
            let mut block = Vec::new();
            assert_eq!($message.write(&mut block), Ok(()));
            block
        },)*]
    };
}

/// Every control message.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    blocks![
        ToSupervisor::Begin(Begin {
            socket_directory: text("/run/wsgi.1"),
            httpd_uid: 33,
            httpd_gid: 33,
            httpd_groups: vec![33, 4],
            is_root_needless: true,
            syslog: Some(text("local7:httpd")),
        }),
        ToSupervisor::Group(group()),
        ToSupervisor::Commit(Commit { groups: 1 }),
        FromSupervisor::Settled(Settled { problems: vec![text("a: gone")], is_root_missing: false }),
        ToDesk::Ask(Ask { secret: SECRET, application_group: text("www.example.org|/"), is_open: true }),
        FromDesk::Pool(Pool { first: 2, count: 4 }),
        FromDesk::NoPool(NoPool { reason: text("too many") }),
        ToWorker::Secrets(Secrets { secret: SECRET, reply: SECRET }),
        ToWorker::Drain(Drain { reason: text("reload"), limit: 15 }),
        ToWorker::Stop(Stop { reason: text("httpd ends") }),
        FromWorker::Started(Started {}),
        FromWorker::Ready(Ready {
            version: text("3.11.2"),
            prefix: text("/srv/venv"),
            executable: text("/srv/venv/bin/python"),
        }),
        FromWorker::Line(Line { level: Level::Warning, text: text("careful") }),
        FromWorker::Retire(Retire { reason: text("maximum-requests"), limit: 15 }),
        FromWorker::Reload(Reload { script: text("/srv/app.wsgi") }),
        FromWorker::Stopping(Stopping { reason: text("drained"), limit: 0 }),
    ]
}

fn preload() -> Vec<Preload> {
    vec![Preload { application_group: text(""), is_aliased: true, script: text("/srv/app.wsgi") }]
}

fn group() -> Group {
    Group {
        name: text("site"),
        id: 1,
        secret: SECRET,
        reply: SECRET,
        seats: 256,
        processes: 2,
        threads: 15,
        open_limit: 16,
        uid: 1000,
        gid: 1000,
        groups: vec![1000, 27],
        user_name: Some(text("site")),
        user_home: None,
        socket_uid: 33,
        umask: Some(0o22),
        directory: None,
        is_directory_required: true,
        chroot: None,
        lang: Some(text("C.UTF-8")),
        locale: None,
        environment: vec![text("A=1"), text("B=")],
        cpu_priority: -1,
        cpu_time_limit: 0,
        memory_limit: 1 << 30,
        virtual_memory_limit: 0,
        is_dumpable: false,
        listen_backlog: 100,
        send_buffer: 0,
        receive_buffer: 0,
        shutdown_timeout: 5,
        graceful_timeout: 15,
        startup_timeout: 16,
        python: text("/srv/venv/bin/python"),
        arguments: vec![text("-c"), text("import wsgi_host")],
        preload: preload(),
        has_server_board: true,
        log_level: Level::Info,
        syslog: None,
        worker: Text(worker_settings()),
    }
}

/// The block that a worker is started with.
pub(crate) fn worker_settings() -> Vec<u8> {
    let mut block = Vec::new();
    let mut writer = SettingsWriter::begin(&mut block);
    writer.set(b"process_group", b"site");
    Worker {
        threads: 15,
        stack_size: 0,
        display_name: Some(text("(wsgi:site)")),
        maximum_requests: 1000,
        restart_interval: 0,
        inactivity_timeout: 0,
        request_timeout: 60,
        interrupt_timeout: 0,
        graceful_timeout: 15,
        eviction_timeout: 0,
        startup_timeout: 0,
        deadlock_timeout: 300,
        shutdown_timeout: 5,
        queue_timeout: 0,
        socket_timeout: 60,
        chroot: None,
        script_user: Some(1000),
        script_group: None,
        is_dumpable: false,
        has_server_board: true,
        log_level: Level::Info,
    }
    .put(&mut writer);
    Own { seat: 3, incarnation: 1, generation: 1, pool_group: None, preload: preload(), peer_uid: 33 }.put(&mut writer);
    assert_eq!(writer.finish(), Ok(()));
    block
}

fn request_head() -> Vec<u8> {
    let mut block = Vec::new();
    let facts = Facts {
        script_mtime_us: 1_700_000_000_000_000,
        request_start_us: 1_700_000_001_000_000,
        flags: flags::RELOADING | flags::OPEN_GROUP,
    };
    let mut writer = RequestWriter::begin(&mut block, facts);
    writer.known(Key::RequestMethod, b"GET");
    writer.known(Key::ScriptName, b"/app");
    writer.known(Key::PathInfo, b"/caf\xc3\xa9");
    writer.known(Key::QueryString, b"");
    writer.known(Key::HttpHost, b"www.example.org");
    writer.named(b"HTTP_X_REAL_IP", b"192.0.2.1");
    writer.named(b"UNIQUE_ID", b"");
    assert_eq!(writer.finish(), Ok(()));
    block
}

fn empty_request_head() -> Vec<u8> {
    let mut block = Vec::new();
    assert_eq!(RequestWriter::begin(&mut block, Facts::default()).finish(), Ok(()));
    block
}

fn response_head() -> Vec<u8> {
    let mut block = Vec::new();
    let mut writer = ResponseWriter::begin(&mut block, 200, b"OK");
    writer.header(b"Content-Type", b"text/html; charset=utf-8");
    writer.header(b"Set-Cookie", b"a=1");
    writer.header(b"Set-Cookie", b"");
    assert_eq!(writer.finish(), Ok(()));
    block
}

fn bare_response_head() -> Vec<u8> {
    let mut block = Vec::new();
    assert_eq!(ResponseWriter::begin(&mut block, 204, b"").finish(), Ok(()));
    block
}

fn embedded_settings() -> Vec<u8> {
    let mut block = Vec::new();
    let mut writer = SettingsWriter::begin(&mut block);
    writer.set(b"door", b"embedded");
    writer.set(b"process_group", b"");
    writer.set(b"python_path", b"/srv/app:/srv/lib");
    assert_eq!(writer.finish(), Ok(()));
    block
}

/// The bytes of a seat that tell how its process ended.
pub fn seat_ends() -> Vec<Vec<u8>> {
    let one = |kind: u32, number: u32, reason: &[u8]| {
        let numbers = [7, 4321, kind, number];
        let mut bytes: Vec<u8> = numbers.into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.extend([12_345_u64, 3, 1_700_000_000_000_000].into_iter().flat_map(u64::to_ne_bytes));
        bytes.extend([1_u32, reason.len() as u32].into_iter().flat_map(u32::to_ne_bytes));
        bytes.extend(reason);
        bytes.resize(176, 0);
        bytes
    };
    vec![one(1, 3, b"request_timeout"), one(2, 9, b""), one(3, 11, &[b'x'; 128])]
}
