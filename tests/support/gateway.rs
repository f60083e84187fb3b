//! The real binary, on free ports of the loopback, ended when it is dropped.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use holdfast::engine::process::end_with_this_process;
use tempfile::TempDir;

/// The development app and its secret, as the gateway prints them at its start.
pub const SDK_APP_ID: u64 = 1_400_000_001;

/// A running gateway.
pub struct Gateway {
    child: Child,
    /// Its store, unless the test named one. Gone with it.
    _folder: Option<TempDir>,
    pub terminals: SocketAddr,
    pub http: SocketAddr,
    pub admin: SocketAddr,
}

impl Gateway {
    /// Starts `program` with settings beside the defaults, and waits until it says that it is ready.
    pub fn start(program: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_in(program, settings, &[])
    }

    /// The same, with environment variables.
    pub fn start_in(program: &str, settings: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.envs(environment.iter().copied());
        Self::start_by(command, settings)
    }

    /// The same with any command that becomes the gateway.
    pub fn start_by(command: Command, settings: &[(&str, &str)]) -> Self {
        Self::start_at(free_addresses(), command, settings)
    }

    /// The same at these addresses, for terminals, backends and operators.
    pub fn start_at(addresses: [SocketAddr; 3], mut command: Command, settings: &[(&str, &str)]) -> Self {
        command.stdout(Stdio::piped());
        let mut gateway = Self::spawn(addresses, command, settings);
        let output = gateway.child.stdout.take().expect("its output is piped");
        let lines = BufReader::new(output).lines();
        let mut lines = lines.map(|line| line.expect("the gateway prints text"));
        let ready = lines.find(|line| line.contains("ready"));
        assert!(ready.is_some(), "the gateway ended before it was ready");
        std::thread::spawn(move || lines.for_each(drop));
        gateway
    }

    /// The same, and does not wait until it is ready.
    pub fn spawn(
        [terminals, http, admin]: [SocketAddr; 3],
        mut command: Command,
        settings: &[(&str, &str)],
    ) -> Self {
        let listen = |address: SocketAddr| format!("[\"{address}\"]");
        command
            .arg("--set")
            .arg(format!("terminals.listen={}", listen(terminals)));
        command.arg("--set").arg(format!("http.listen={}", listen(http)));
        command
            .arg("--set")
            .arg(format!("admin.listen={}", listen(admin)));
        let names_store = settings.iter().any(|(key, _)| key.starts_with("registry."));
        let folder = (!names_store).then(|| TempDir::new().expect("a folder"));
        if let Some(folder) = &folder {
            command
                .arg("--set")
                .arg(format!("registry.path={:?}", folder.path()));
        }
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        // Also when a test or a bench is killed.
        end_with_this_process(&mut command);
        Self {
            child: command.spawn().expect("the gateway's binary starts"),
            _folder: folder,
            terminals,
            http,
            admin,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to read its configuration again, as operators do.
    pub fn hang_up(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::HUP).expect("the gateway runs");
    }

    /// Stops its process: what happens meanwhile happens all at once for it.
    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets its process go on.
    pub fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("the gateway runs");
    }

    /// Kills it: it has no time for anything.
    pub fn kill(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("the gateway runs");
    }

    /// Asks it to stop, and does not wait.
    pub fn ask_to_stop(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("the gateway runs");
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is a child").is_some()
    }

    /// Waits until it has ended. Gives its exit code, if it ended by itself.
    pub fn ended(mut self) -> Option<i32> {
        self.child.wait().expect("the gateway ends").code()
    }

    /// Asks it to stop, as Ctrl-C does, and waits. Gives whether it ended well.
    pub fn stop(mut self) -> bool {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("the gateway runs");
        self.child.wait().expect("the gateway ends").success()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three addresses that nobody listens on at this moment.
pub fn free_addresses() -> [SocketAddr; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound address"))
}
