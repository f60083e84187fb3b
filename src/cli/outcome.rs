//! How a command ends: its output, its exit code, and the one sentence about what went wrong. It never prints anything else.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::engine::process::EndSignal;
use crate::node::config::Problem;

/// Wrong arguments, a wrong configuration, as clap has it, or input that is wrong.
pub(super) const EXIT_USAGE: u8 = 2;

/// What went wrong, mostly at the other end, in a sentence that says what would do. Its exit code says which kind it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandFault {
    /// An argument that only the command itself can tell to be wrong.
    #[error("{0}")]
    Usage(String),
    /// The gateway refuses it, or whoever asks.
    #[error("{0}")]
    Refused(String),
    /// There is no gateway where it was looked for.
    #[error("{0}")]
    Unreached(String),
    /// There was one, and it did not come back, or did not answer.
    #[error("{0}")]
    Lost(String),
}

impl CommandFault {
    /// What scripts read. `holdfast connect --help` names them.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Refused(_) => 3,
            Self::Unreached(_) => 4,
            Self::Lost(_) => 5,
        })
    }
}

/// Standard output takes no more. A type of its own: links that break are something else.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
pub(super) struct OutputFault(#[from] io::Error);

/// Prints to standard output.
pub(super) fn print(text: &str) -> Result<(), OutputFault> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// The exit code of a command that a signal ended.
pub(super) fn ended_by(signal: EndSignal) -> ExitCode {
    ExitCode::from(signal.exit_code())
}

/// Tells what is wrong, while the command goes on.
pub(super) fn tell(text: &str) {
    // As below.
    let _ = io::stderr().write_all(format!("holdfast: {text}\n").as_bytes());
}

/// Tells each problem of the configuration.
pub(super) fn tell_problems(problems: &[Problem]) -> ExitCode {
    let mut text = "holdfast: the configuration cannot be used:\n".to_owned();
    for problem in problems {
        text.push_str(&format!("  - {problem}\n"));
    }
    // Nobody reads it: the exit code still tells.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(EXIT_USAGE)
}

/// Tells what went wrong, unless nobody wants to know more.
pub(super) fn tell_error(error: &anyhow::Error) -> ExitCode {
    let output = error.downcast_ref::<OutputFault>();
    if output.is_some_and(|fault| fault.0.kind() == io::ErrorKind::BrokenPipe) {
        // Whoever read the output has seen enough.
        return ExitCode::SUCCESS;
    }
    // As above.
    let _ = io::stderr().write_all(format!("holdfast: {error:#}\n").as_bytes());
    let fault = error.downcast_ref::<CommandFault>();
    fault.map_or(ExitCode::FAILURE, CommandFault::exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_output_is_no_failure() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let code = |error: anyhow::Error| tell_error(&error);
        assert_eq!(code(OutputFault(broken()).into()), ExitCode::SUCCESS);
        let context = anyhow::Error::from(OutputFault(broken())).context("a list");
        assert_eq!(code(context), ExitCode::SUCCESS);
        // A link to the gateway that broke.
        assert_eq!(code(broken().into()), ExitCode::FAILURE);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(code(OutputFault(full).into()), ExitCode::FAILURE);
    }

    #[test]
    fn scripts_read_what_went_wrong_in_the_exit_code() {
        let check = |fault: CommandFault, expected: u8| {
            assert_eq!(tell_error(&fault.into()), ExitCode::from(expected));
        };
        check(CommandFault::Usage("usage".to_owned()), 2);
        check(CommandFault::Refused("refused".to_owned()), 3);
        check(CommandFault::Unreached("unreached".to_owned()), 4);
        check(CommandFault::Lost("lost".to_owned()), 5);
    }
}
