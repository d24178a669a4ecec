//! httpd's parent and children, as far as a supervisor sees them.
#![allow(dead_code, reason = "each test file uses some of it")]

#[path = "../../src/sample.rs"]
pub mod sample;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::Pid;
use wire::control::{
    Ask, Begin, Commit, FromDesk, FromSupervisor, Group, Settled, ToDesk, ToSupervisor, desk_socket, seat_socket,
};
use wire::{Channel, Scoreboard, SeatState, SettingsWriter};

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory of a test's own, that everybody may enter.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wsgi-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
        // The checkout may be where other users cannot go.
        fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/worker.py"), path.join("worker.py"))
            .expect("copied");
        Place(path)
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// httpd's parent.
pub struct Httpd {
    pub channel: Channel,
    pub supervisor: Child,
    pub place: Place,
    pub board: OwnedFd,
    pub map: Scoreboard,
    pub uid: u32,
    pub gid: u32,
    pub is_root_needless: bool,
}

fn append(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("opened")
}

fn spawn(place: &Place, theirs: Channel, command: &str) -> Child {
    Command::new("/bin/sh")
        .args(["-c", command, env!("CARGO_BIN_EXE_wsgictl")])
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(append(&place.log("main.log")))
        .current_dir("/")
        .env("LISTEN_FDS", "1")
        .env("USER", "root")
        .env("FROM_HTTPD", "yes")
        .spawn()
        .expect("started")
}

const START: &str = r#"exec 9</etc/passwd; exec "$0" supervise 3<&0 </dev/null"#;

impl Httpd {
    /// Starts a supervisor, with a scoreboard of so many seats for its group.
    pub fn start(seats: u32) -> Httpd {
        Httpd::start_with(seats, START)
    }

    /// The same, as a child of a shell that lives on.
    pub fn start_below_a_shell(seats: u32) -> Httpd {
        Httpd::start_with(seats, r#"exec 3<&0; "$0" supervise </dev/null & wait"#)
    }

    fn start_with(seats: u32, command: &str) -> Httpd {
        let place = Place::new();
        let (channel, theirs) = Channel::pair().expect("made");
        let supervisor = spawn(&place, theirs, command);
        let board = Scoreboard::create(seats).expect("made");
        let map = Scoreboard::map(&board).expect("mapped");
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Httpd { channel, supervisor, place, board, map, uid, gid, is_root_needless: false }
    }

    /// Starts another supervisor in the place of the one that has ended.
    pub fn start_again(&mut self) {
        let (channel, theirs) = Channel::pair().expect("made");
        self.channel = channel;
        let _ = self.supervisor.wait();
        self.supervisor = spawn(&self.place, theirs, START);
    }

    /// A group of one process, with a fake worker that behaves in this way.
    pub fn group(&self, behaviour: &str) -> Group {
        let mut worker = Vec::new();
        let mut writer = SettingsWriter::begin(&mut worker);
        writer.set(b"fake", behaviour.as_bytes());
        writer.set(b"stride", size_of::<wire::Seat>().to_string().as_bytes());
        writer.set(b"gate", self.place.0.join("gate").as_os_str().as_encoded_bytes());
        writer.finish().expect("short");
        Group {
            processes: 1,
            uid: self.uid,
            gid: self.gid,
            socket_uid: self.uid,
            arguments: vec![self.place.0.join("worker.py").as_os_str().as_encoded_bytes().into()],
            worker: worker.as_slice().into(),
            ..sample::group()
        }
    }

    pub fn directory(&self) -> PathBuf {
        self.place.0.join(format!("wsgi.{}", std::process::id()))
    }

    fn send(&self, message: &ToSupervisor, descriptors: &[std::os::fd::BorrowedFd<'_>]) {
        let mut buf = Vec::new();
        message.write(&mut buf).expect("short");
        self.channel.send(&buf, descriptors).expect("sent");
    }

    /// Sends a configuration and waits for the answer.
    pub fn configure(&self, groups: &[Group]) -> Settled {
        self.send(
            &ToSupervisor::Begin(Begin {
                socket_directory: self.directory().as_os_str().as_encoded_bytes().into(),
                httpd_uid: self.uid,
                httpd_gid: self.gid,
                httpd_groups: groups.first().map_or_else(Vec::new, |group| group.groups.clone()),
                is_root_needless: self.is_root_needless,
                syslog: None,
            }),
            &[append(&self.place.log("main.log")).as_fd()],
        );
        for group in groups {
            let log = append(&self.place.log("site.log"));
            self.send(&ToSupervisor::Group(group.clone()), &[self.board.as_fd(), log.as_fd()]);
        }
        self.send(&ToSupervisor::Commit(Commit { groups: u32::try_from(groups.len()).expect("few") }), &[]);
        let mut buf = Vec::new();
        self.channel.receive(&mut buf, true).expect("received").expect("answered");
        let FromSupervisor::Settled(settled) = FromSupervisor::parse(&buf).expect("sound");
        settled
    }

    /// Configures groups that are sound.
    #[track_caller]
    pub fn settle(&self, groups: &[Group]) {
        let settled = self.configure(groups);
        assert_eq!(settled, Settled { problems: Vec::new(), is_root_missing: false }, "{}", self.log());
    }

    /// A connection to the desk.
    pub fn knock(&self, group: u32) -> Channel {
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).expect("made");
        let path = self.directory().join(desk_socket(group));
        connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &UnixAddr::new(&path).expect("short")).expect("connected");
        Channel::over(socket)
    }

    /// Asks at the desk; `None` if it closes the connection.
    pub fn ask(&self, group: u32, secret: [u8; 32], name: &str, is_open: bool) -> Option<FromDesk> {
        let channel = self.knock(group);
        let mut buf = Vec::new();
        ToDesk::Ask(Ask { secret, application_group: name.into(), is_open }).write(&mut buf).expect("short");
        channel.send(&buf, &[]).expect("sent");
        channel.receive(&mut buf, true).ok()??;
        Some(FromDesk::parse(&buf).expect("sound"))
    }

    pub fn connect(&self, seat: u32) -> std::io::Result<Connection> {
        let stream = UnixStream::connect(self.directory().join(seat_socket(1, seat)))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Says a word to the worker of a seat and gives its answer; empty if it closed the connection.
    #[track_caller]
    pub fn say(&self, seat: u32, word: &str) -> String {
        self.connect(seat).expect("connected").say(word)
    }

    pub fn state(&self, seat: u32) -> SeatState {
        self.map.seat(seat).expect("in range").state()
    }

    pub fn pid(&self, seat: u32) -> u32 {
        self.map.seat(seat).expect("in range").pid.load(Relaxed)
    }

    #[track_caller]
    pub fn until_serving(&self, seat: u32) -> u32 {
        until(&format!("seat {seat} serves\n{}", self.log()), || self.state(seat) == SeatState::Serving);
        self.pid(seat)
    }

    /// Everything that was logged.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.place.log(name)).unwrap_or_default();
        read("main.log") + &read("site.log")
    }

    #[track_caller]
    pub fn until_logged(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < PATIENCE, "not logged: {text}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub fn until_ended(&mut self) -> Option<i32> {
        let mut code = None;
        let supervisor = &mut self.supervisor;
        until("the supervisor ends", || match supervisor.try_wait().expect("ours") {
            Some(status) => {
                code = status.code();
                true
            }
            None => false,
        });
        code
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.supervisor.id()).expect("small");
        kill(Pid::from_raw(pid), signal).expect("sent");
    }
}

impl Drop for Httpd {
    fn drop(&mut self) {
        // Closing the channel ends the supervisor; it is given the time to end its workers.
        self.channel = Channel::pair().expect("made").0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if self.supervisor.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.supervisor.kill();
    }
}

/// A connection to a fake worker.
pub struct Connection(BufReader<UnixStream>);

impl Connection {
    pub fn say(&mut self, word: &str) -> String {
        if self.0.get_mut().write_all(word.as_bytes()).is_err() {
            return String::new();
        }
        let mut line = String::new();
        let _ = self.0.read_line(&mut line);
        line
    }
}

/// Whether a process is there, and no zombie.
pub fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}
