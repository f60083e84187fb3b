//! Finds out at start whether the kernel gives us io_uring with everything that a shard needs, and if not, why not
//! and what to do. Changes nothing.

use std::io;

use io_uring::{Probe, opcode};

use super::setup::{builder, remedy};

/// The first kernel that has everything.
pub const KERNEL_OLDEST: &str = "6.1";

/// Why there can be no shard here, and what to do about it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The administrator has switched it off.
    #[error(
        "io_uring is switched off on this machine: sysctl kernel.io_uring_disabled is {level}; \
         set it to 0 (`sysctl -w kernel.io_uring_disabled=0`), or to 1 and run holdfast in the group of kernel.io_uring_group"
    )]
    Disabled {
        /// 1: for those outside of a group; 2: for all.
        level: u8,
    },
    /// A filter of system calls answers in the kernel's place.
    #[error(
        "io_uring is refused (EPERM) though the kernel would give it: a seccomp filter, as Docker and containerd have by default; \
         run it with the profile that `holdfast print seccomp` writes, or allow io_uring_setup, io_uring_enter and io_uring_register in yours"
    )]
    Seccomp,
    /// The kernel does not know the system call.
    #[error(
        "this kernel ({kernel}) has no io_uring (ENOSYS), or a seccomp filter hides it, as Podman has by default; \
         holdfast needs Linux {KERNEL_OLDEST} or newer, and in a container the seccomp profile that `holdfast print seccomp` writes"
    )]
    Absent {
        /// Its release.
        kernel: String,
    },
    /// The kernel knows io_uring, but not the kind that a shard needs.
    #[error(
        "the io_uring of this kernel ({kernel}) lacks {feature}; holdfast needs Linux {KERNEL_OLDEST} or newer"
    )]
    Missing {
        /// Its release.
        kernel: String,
        /// What it lacks.
        feature: &'static str,
    },
    /// Something else.
    #[error("io_uring cannot be used: {0}")]
    Other(String),
}

/// Whether shards can work here.
///
/// # Errors
/// Says why not.
pub fn check() -> Result<(), Unavailable> {
    let ring = builder()
        .build(8)
        .map_err(|error| explain(&error, disabled_level(), kernel()))?;
    if !ring.params().is_feature_skip_cqe_on_success() {
        return Err(missing("completions on failure alone"));
    }
    if !ring.params().is_feature_ext_arg() {
        return Err(missing("waiting with a time-out"));
    }
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    probed.map_err(|error| explain(&error, disabled_level(), kernel()))?;
    match OPCODES.iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, name)) => Err(missing(name)),
        None => Ok(()),
    }
}

const OPCODES: [(u8, &str); 8] = [
    (opcode::Accept::CODE, "the operation ACCEPT"),
    (opcode::Recv::CODE, "the operation RECV"),
    (opcode::Send::CODE, "the operation SEND"),
    (opcode::PollAdd::CODE, "the operation POLL_ADD"),
    (opcode::AsyncCancel::CODE, "the operation ASYNC_CANCEL"),
    (opcode::Close::CODE, "the operation CLOSE"),
    (opcode::Connect::CODE, "the operation CONNECT"),
    (opcode::MsgRingSendFd::CODE, "the operation MSG_RING"),
];

fn missing(feature: &'static str) -> Unavailable {
    Unavailable::Missing {
        kernel: kernel(),
        feature,
    }
}

fn explain(error: &io::Error, disabled_level: u8, kernel: String) -> Unavailable {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if disabled_level > 0 => Unavailable::Disabled {
            level: disabled_level,
        },
        Some(libc::EPERM | libc::EACCES) => Unavailable::Seccomp,
        Some(libc::ENOSYS) => Unavailable::Absent { kernel },
        Some(libc::EINVAL) => Unavailable::Missing {
            kernel,
            feature: "rings of one issuer with deferred work (SINGLE_ISSUER, DEFER_TASKRUN)",
        },
        _ => Unavailable::Other(format!("{error}{}", remedy(error))),
    }
}

/// Older kernels do not have the setting: then nothing is switched off.
fn disabled_level() -> u8 {
    let text = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(errno: i32, disabled_level: u8, words: &[&str]) {
        let error = io::Error::from_raw_os_error(errno);
        let text = explain(&error, disabled_level, "5.4.0".to_owned()).to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }

    #[test]
    fn every_reason_says_what_to_do() {
        check_text(libc::EPERM, 2, &["kernel.io_uring_disabled is 2", "set it to 0"]);
        check_text(
            libc::EPERM,
            1,
            &["kernel.io_uring_disabled is 1", "io_uring_group"],
        );
        check_text(
            libc::EPERM,
            0,
            &["seccomp", "holdfast print seccomp", "allow io_uring_setup"],
        );
        check_text(
            libc::ENOSYS,
            0,
            &["5.4.0", "no io_uring", KERNEL_OLDEST, "holdfast print seccomp"],
        );
        check_text(libc::EINVAL, 0, &["5.4.0", "DEFER_TASKRUN", KERNEL_OLDEST]);
        check_text(
            libc::ENOMEM,
            0,
            &["cannot be used", "memory", "raise RLIMIT_MEMLOCK"],
        );
    }

    #[test]
    fn this_machine_has_everything() {
        assert_eq!(check(), Ok(()));
    }
}
