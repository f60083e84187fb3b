//! Mosquitto, an MQTT broker, where it is installed: found, started with settings of its own, and awaited. It changes
//! nothing of a broker that runs already.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use holdfast::base::time::Stopwatch;
use rustix::process::geteuid;

use crate::ending::Started;
use crate::generator::mqtt::{self, MqttPacket, ParsedPacket};

const NAME: &str = "mosquitto";
/// Where Debian has it, which is not in everyone's PATH.
const ALSO_IN: &str = "/usr/sbin";
/// How long it may take to answer, and how often it is asked. It tells nobody that it is ready.
const READY_WAIT: Duration = Duration::from_secs(10);
const READY_AGAIN: Duration = Duration::from_millis(20);

/// The program.
pub(crate) struct Mosquitto(PathBuf);

impl Mosquitto {
    /// # Errors
    /// If it is not installed.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::find_in(std::env::split_paths(&path).chain([PathBuf::from(ALSO_IN)]))
    }

    fn find_in(folders: impl Iterator<Item = PathBuf>) -> anyhow::Result<Self> {
        let mut programs = folders.map(|folder| folder.join(NAME));
        let found = programs.find(|program| program.is_file());
        found.map(Self).context(
            "mosquitto is neither in PATH nor in /usr/sbin: install the package `mosquitto` (Debian: `apt-get install mosquitto`), and stop the service that it starts",
        )
    }

    /// As it says itself, as in "mosquitto version 2.0.11".
    pub(crate) fn version(&self) -> String {
        let said = Command::new(&self.0).arg("-h").output();
        let text = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
        let line = text.ok().and_then(|text| text.lines().next().map(str::to_owned));
        line.unwrap_or_else(|| "mosquitto of unknown version".to_owned())
    }

    /// The lines of its settings: one listener, nothing kept, nothing logged, nobody refused.
    pub(crate) fn settings(terminals: SocketAddrV4) -> Vec<String> {
        let mut lines = vec![
            format!("listener {} {}", terminals.port(), terminals.ip()),
            "max_connections -1".to_owned(),
            "allow_anonymous true".to_owned(),
            "set_tcp_nodelay true".to_owned(),
            "persistence false".to_owned(),
            "log_type none".to_owned(),
            "connection_messages false".to_owned(),
            "sys_interval 0".to_owned(),
        ];
        if geteuid().is_root() {
            // With another user it would no longer end with this program.
            lines.push("user root".to_owned());
        }
        lines
    }

    /// Starts it. Its settings are in a file that it reads from its standard input, so that nothing is left behind.
    pub(crate) fn spawn(&self, terminals: SocketAddrV4) -> anyhow::Result<Started> {
        let mut command = Command::new(&self.0);
        command.args([Path::new("-c"), Path::new("/dev/stdin")]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = Started::spawn(&mut command).context("cannot start mosquitto")?;
        let settings = Self::settings(terminals).join("\n") + "\n";
        let mut file = child.take_input().context("its input is piped")?;
        let read = file.write_all(settings.as_bytes());
        read.context("mosquitto does not read its settings")?;
        Ok(child)
    }

    /// Connects until it is let in.
    pub(crate) fn wait_until_it_answers(child: &mut Started, terminals: SocketAddrV4) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        loop {
            if let Some(status) = child.ended()? {
                bail!("mosquitto ended before it was ready: {status}");
            }
            match answer(terminals) {
                Ok(true) => return Ok(()),
                Ok(false) => bail!("mosquitto does not let a terminal in"),
                Err(error) if watch.elapsed() > READY_WAIT => {
                    return Err(error).context("mosquitto does not answer");
                }
                Err(_) => std::thread::sleep(READY_AGAIN),
            }
        }
    }
}

/// Whether a client is let in.
fn answer(terminals: SocketAddrV4) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(terminals)?;
    stream.set_read_timeout(Some(READY_WAIT))?;
    stream.write_all(&mqtt::connect("ready", "ready", "ready"))?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    stream.write_all(mqtt::DISCONNECT)?;
    Ok(mqtt::next(&answer) == ParsedPacket::Packet(MqttPacket::Accepted, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_package() {
        let Err(error) = Mosquitto::find_in([PathBuf::from("/nowhere")].into_iter()) else {
            panic!("nothing is there");
        };
        assert!(error.to_string().contains("apt-get install mosquitto"), "{error}");
    }
}
