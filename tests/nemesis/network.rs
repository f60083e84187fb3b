//! Hosts that share nothing but a network: each is a network namespace of its own, and a router is between all of them. What goes from
//! some to others can be dropped at the router, each way alone; nobody is told. All of it is gone with the process.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The router's address on each of its links.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A network namespace.
pub struct Host {
    /// Holds it.
    namespace: File,
    pub address: Ipv4Addr,
}

impl Host {
    fn new(address: Ipv4Addr) -> Option<Self> {
        let mut holder = Command::new("unshare");
        holder
            .args(["--net", "sh", "-c", "echo made; read end"])
            .stdin(Stdio::piped());
        holder.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = holder.spawn().ok()?;
        let mut line = String::new();
        let said = BufReader::new(holder.stdout.take()?).read_line(&mut line);
        let namespace = File::open(format!("/proc/{}/ns/net", holder.id()));
        drop(holder.stdin.take());
        holder.wait().ok()?;
        said.ok().filter(|count| *count > 0)?;
        Some(Self {
            namespace: namespace.ok()?,
            address,
        })
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// A command on this host.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path()))
            .arg("--")
            .arg(program);
        command
    }

    /// From now on the thread that calls is on this host.
    pub fn enter(&self) {
        let net = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(self.namespace.as_fd(), net).expect("root may change its namespace");
    }

    fn shell(&self, script: &str) {
        let output = self.command("sh").args(["-ec", script]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {errors}");
    }
}

/// Some hosts, as an address with the length of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(pub Ipv4Addr, pub u8);

impl Group {
    pub fn one(address: Ipv4Addr) -> Self {
        Self(address, 32)
    }
}

/// A way that is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub from: Group,
    pub to: Group,
}

/// The router, and how many hosts it has.
pub struct Network {
    router: Host,
    hosts: usize,
    cuts: Vec<(usize, Cut)>,
    cuts_ever: usize,
}

impl Network {
    /// `None` if this process may not make namespaces, or cannot join them.
    pub fn new() -> Option<Self> {
        let mut ip = Command::new("ip");
        ip.arg("-V").stdout(Stdio::null()).status().ok()?;
        let router = Host::new(ROUTER)?;
        // Addresses are checked by nobody: with rules for where something comes from, the kernel would look for the way back by them.
        router.shell(
            "ip link set lo up; cd /proc/sys/net/ipv4; echo 1 > ip_forward
             for of in all default; do
                 echo 0 > conf/$of/rp_filter; echo 1 > conf/$of/accept_local; echo 0 > conf/$of/send_redirects
             done",
        );
        Some(Self {
            router,
            hosts: 0,
            cuts: Vec::new(),
            cuts_ever: 0,
        })
    }

    /// A host with this address.
    pub fn host(&mut self, address: Ipv4Addr) -> Host {
        let host = Host::new(address).expect("there was a namespace before");
        self.hosts += 1;
        let link = format!("host{}", self.hosts);
        self.router.shell(&format!(
            "ip link add {link} type veth peer name eth0 netns {}
             ip addr add {ROUTER}/32 dev {link}; ip link set {link} up; ip route add {address}/32 dev {link}",
            host.path()
        ));
        host.shell(&format!(
            "ip link set lo up; ip addr add {address}/32 dev eth0; ip link set eth0 up
             ip route add {ROUTER} dev eth0; ip route add default via {ROUTER}"
        ));
        host
    }

    /// Drops what goes that way from now on.
    pub fn cut(&mut self, cut: Cut) {
        self.cuts_ever += 1;
        let place = 1_000 + self.cuts_ever;
        let Cut { from, to } = cut;
        self.router.shell(&format!(
            "ip rule add pref {place} from {}/{} to {}/{} blackhole",
            from.0, from.1, to.0, to.1
        ));
        self.cuts.push((place, cut));
    }

    /// Mends it.
    pub fn mend(&mut self, cut: Cut) {
        let place = self.cuts.iter().position(|(_, known)| *known == cut);
        let (place, _) = self.cuts.remove(place.expect("it was cut"));
        self.router.shell(&format!("ip rule del pref {place}"));
    }
}
