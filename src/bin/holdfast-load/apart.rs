//! The arrangement "apart": a program starts again in a network namespace of its own, in which the kernel does the
//! terminals' half of TCP on the load generator's cores (receive packet steering of loopback), as if they were on another
//! host. The host's own settings are never touched, and nothing is left behind.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How a figure from there is to be read. Each report with such figures says it.
pub(crate) const APART: &str = "Apart: all of it runs in a network namespace of its own, whose loopback hands what arrives to the load generator's cores (receive packet steering). Over plain loopback the kernel does the receiver's half of TCP within the sender's system call, and so charges the server for the terminals' half of each answer. Here the load generator's cores do that half, as another host would. The server's half of what terminals send is in no figure: the load generator's cores do it in both arrangements. An answer that is sent alone has to interrupt the other core, which is expensive in a virtual machine, since the hypervisor has to deliver it; answers that are sent together share one interrupt. So this arrangement favours a server that sends its answers together. Sending to a network card has a similar cost, which is lower on bare metal. The namespace has the kernel's default settings of the network.";

/// Set for a program that was started apart.
const MARKER: &str = "HOLDFAST_LOAD_APART";

/// Where the kernel is told which cores take what arrives at loopback.
const STEERING: &str = "/sys/class/net/lo/queues/rx-0/rps_cpus";

/// What the shell does in the new namespace: its arguments are the mask, the file for it, and the program with its own.
const SCRIPT: &str = r#"
mask=$1 steering=$2
shift 2
fail() { echo "$1" >&2; exit 1; }
ip=$(PATH="$PATH:/usr/sbin:/sbin"; command -v ip) || fail "the command ip is missing: install iproute2"
"$ip" link set lo up || fail "the namespace's loopback cannot be switched on"
mount -t sysfs sysfs /sys || fail "the namespace's /sys cannot be mounted"
[ -e "$steering" ] || fail "this kernel has no receive packet steering (CONFIG_RPS)"
echo "$mask" > "$steering" || fail "the kernel does not take the mask $mask of the load generator's cores"
exec "$@"
"#;

/// Cores, by number, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cores(pub(crate) Vec<usize>);

/// Those of the server and those of the load generator, with none in common.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Halves {
    pub(crate) server: Cores,
    pub(crate) generator: Cores,
}

impl Cores {
    /// Those that a thread may use; `None`: this one.
    ///
    /// # Errors
    /// If there is no such thread.
    pub(crate) fn of(thread: Option<u32>) -> io::Result<Self> {
        let thread = thread.and_then(|thread| Pid::from_raw(thread.cast_signed()));
        let allowed = sched_getaffinity(thread)?;
        let cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        Ok(Self(cores.collect()))
    }

    /// Keeps this thread, and all processes and threads that it starts from here on, on them.
    ///
    /// # Errors
    /// If there are no such cores.
    pub(crate) fn keep(&self) -> io::Result<()> {
        let mut cores = CpuSet::new();
        self.0.iter().for_each(|core| cores.set(*core));
        Ok(sched_setaffinity(None, &cores)?)
    }

    /// As the kernel takes them: hexadecimal groups of 32, the highest first, with commas between.
    fn mask(&self) -> String {
        let highest = self.0.last().map_or(0, |core| core / 32);
        let mut groups = vec![0_u32; highest + 1];
        for core in &self.0 {
            groups[core / 32] |= 1 << (core % 32);
        }
        let text: Vec<String> = groups.iter().rev().map(|group| format!("{group:08x}")).collect();
        let text = text.join(",");
        match text.trim_start_matches('0') {
            "" => "0".to_owned(),
            digits => digits.to_owned(),
        }
    }

    /// As the kernel shows them; `None` if it is no mask.
    fn of_mask(mask: &str) -> Option<Self> {
        let mut cores = Vec::new();
        for (place, group) in mask.trim().rsplit(',').enumerate() {
            let bits = u32::from_str_radix(group, 16).ok()?;
            let set = (0..32).filter(|bit| (bits >> bit) & 1 == 1);
            cores.extend(set.map(|bit| place * 32 + bit));
        }
        Some(Self(cores))
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores: Vec<String> = self.0.iter().map(usize::to_string).collect();
        match cores.as_slice() {
            [] => write!(f, "no core"),
            [one] => write!(f, "core {one}"),
            more => write!(f, "cores {}", more.join(", ")),
        }
    }
}

impl Halves {
    /// The first half of `cores` is the server's. Of an odd number the load generator has one more.
    ///
    /// # Errors
    /// If there are not two of them.
    pub(crate) fn of(cores: &Cores) -> anyhow::Result<Self> {
        let count = cores.0.len();
        ensure!(
            count >= 2,
            "this cannot run apart: the server and the load generator need a core each"
        );
        let (server, generator) = cores.0.split_at(count / 2);
        Ok(Self {
            server: Cores(server.to_vec()),
            generator: Cores(generator.to_vec()),
        })
    }
}

/// Whether this program was started apart.
///
/// # Errors
/// If it was, and the kernel does not hand what arrives to the load generator's cores.
pub(crate) fn is_apart(generator: &Cores) -> anyhow::Result<bool> {
    if std::env::var_os(MARKER).is_none() {
        return Ok(false);
    }
    let steered = steered()?;
    ensure!(
        steered == *generator,
        "{MARKER} is set, but loopback is steered by the mask {} and not by {}: {MARKER} is not to be set by hand",
        steered.mask(),
        generator.mask()
    );
    Ok(true)
}

/// The cores that take what arrives at loopback; none: whichever sends it.
///
/// # Errors
/// If the kernel does not say.
pub(crate) fn steered() -> anyhow::Result<Cores> {
    let mask =
        std::fs::read_to_string(STEERING).context("the kernel does not show how it steers loopback")?;
    Cores::of_mask(&mask).with_context(|| format!("{STEERING} has no mask: {mask}"))
}

/// The command that starts this very program once more, apart and with the same arguments. That this can be done was
/// tried before; nothing of it is left.
///
/// # Errors
/// Why it cannot be done, and what would help.
pub(crate) fn again(generator: &Cores) -> anyhow::Result<Command> {
    attempt(command(generator, OsStr::new("true"))).context("this cannot run apart")?;
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let mut command = command(generator, program.as_os_str());
    command.args(std::env::args_os().skip(1));
    Ok(command)
}

/// Becomes a program that runs apart. Its process is the command's.
fn command(generator: &Cores, program: &OsStr) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", SCRIPT, "sh"]);
    command.args([&generator.mask(), STEERING]).arg(program);
    command.env(MARKER, generator.mask());
    command
}

/// Runs a command that ends soon.
fn attempt(mut command: Command) -> anyhow::Result<()> {
    let output = match command.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("the command unshare is missing: install util-linux")
        }
        output => output.context("unshare does not start")?,
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    ensure!(
        !said.starts_with("unshare:"),
        "a network namespace needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN): {said}"
    );
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::unix::process::CommandExt;

    use super::*;

    fn check(cores: &[usize], mask: &str) {
        let cores = Cores(cores.to_vec());
        assert_eq!(cores.mask(), mask);
        assert_eq!(Cores::of_mask(mask), Some(cores));
    }

    #[test]
    fn a_mask_has_groups_of_32_cores() {
        check(&[], "0");
        check(&[0], "1");
        check(&[1], "2");
        check(&[2, 3], "c");
        check(&[31], "80000000");
        check(&[32], "1,00000000");
        check(&[4, 33, 63], "80000002,00000010");
        check(&(16..80).collect::<Vec<_>>(), "ffff,ffffffff,ffff0000");
        check(&[1_023], &format!("80000000{}", ",00000000".repeat(31)));
    }

    #[test]
    fn a_mask_is_read_as_the_kernel_shows_it() {
        assert_eq!(
            Cores::of_mask("00000000,00000002\n"),
            Some(Cores(vec![1])),
            "with all its zeros"
        );
        for mask in ["", "x", "1,", "1ffffffff"] {
            assert_eq!(Cores::of_mask(mask), None, "{mask:?}");
        }
    }

    #[test]
    fn the_server_has_the_first_half_of_the_cores() {
        let check = |cores: &[usize], expected: Option<(&[usize], &[usize])>| {
            let halves = Halves::of(&Cores(cores.to_vec())).ok();
            let halves = halves.map(|halves| (halves.server.0, halves.generator.0));
            let expected = expected.map(|(server, generator)| (server.to_vec(), generator.to_vec()));
            assert_eq!(halves, expected);
        };
        check(&[], None);
        check(&[7], None);
        check(&[0, 1], Some((&[0], &[1])));
        check(&[2, 3, 9], Some((&[2], &[3, 9])));
        check(&[0, 1, 2, 3], Some((&[0, 1], &[2, 3])));
    }

    #[test]
    fn cores_are_named_by_number() {
        let named = [vec![], vec![3], vec![2, 3]].map(|cores| Cores(cores).to_string());
        assert_eq!(named, ["no core", "core 3", "cores 2, 3"]);
    }

    #[test]
    fn a_thread_is_kept_on_its_cores() {
        let kept = std::thread::spawn(|| {
            let all = Cores::of(None).unwrap().0;
            let last = Cores(vec![all[all.len() - 1]]);
            last.keep().unwrap();
            (last, Cores::of(None).unwrap())
        });
        let (asked, seen) = kept.join().unwrap();
        assert_eq!(asked, seen);
    }

    #[test]
    fn the_shell_is_given_the_mask_and_the_program() {
        let command = command(&Cores(vec![32, 33]), OsStr::new("program"));
        let words: Vec<&OsStr> = command.get_args().collect();
        let last = words.split_at(words.len() - 3).1;
        assert_eq!(last, ["3,00000000", STEERING, "program"]);
    }

    #[test]
    fn who_may_make_no_namespace_is_told_what_it_takes() {
        let mut command = command(&Cores(vec![0]), OsStr::new("true"));
        if rustix::process::geteuid().is_root() {
            // Nobody, who has no rights.
            command.uid(65_534);
        }
        let error = attempt(command).unwrap_err().to_string();
        assert!(
            error.contains("needs root") && error.contains("CAP_SYS_ADMIN"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_command_names_its_package() {
        let mut command = command(&Cores(vec![0]), OsStr::new("true"));
        command.env("PATH", "/nowhere");
        let error = attempt(command).unwrap_err().to_string();
        assert!(error.contains("install util-linux"), "{error}");
    }

    /// Starts itself again, as the benches do, but with this one test as its argument.
    #[test]
    fn a_program_that_runs_apart_finds_loopback_steered() {
        const NAME: &str = "apart::tests::a_program_that_runs_apart_finds_loopback_steered";
        let Ok(halves) = Cores::of(None)
            .map_err(anyhow::Error::from)
            .and_then(|cores| Halves::of(&cores))
        else {
            println!("skipped: there is one core only");
            return;
        };
        if std::env::var_os(MARKER).is_some() {
            assert!(is_apart(&halves.generator).unwrap());
            assert_eq!(steered().unwrap(), halves.generator);
            is_apart(&halves.server).unwrap_err();
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            return;
        }
        assert!(!is_apart(&halves.generator).unwrap());
        let may = Command::new("unshare")
            .args(["--net", "--mount", "true"])
            .output();
        if !may.is_ok_and(|may| may.status.success()) {
            println!("skipped: this process may make no namespaces");
            return;
        }
        let host = std::fs::read_to_string(STEERING).ok();
        attempt(command(&halves.generator, OsStr::new("true"))).unwrap();
        let program = std::env::current_exe().unwrap();
        let mut command = command(&halves.generator, program.as_os_str());
        let output = command.args(["--exact", NAME]).output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && out.contains("1 passed"), "{out}");
        assert_eq!(
            std::fs::read_to_string(STEERING).ok(),
            host,
            "the host has its own"
        );
    }
}
