//! A child process that never outlives the test: killed on drop, and by the kernel when the parent dies first.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};

use crate::eventually::{DEADLINE, PAUSE};

const TAIL_LINES: usize = 80;

/// A running program with its log.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// `PR_SET_PDEATHSIG` fires when the parent *thread* ends, so one thread that lives as long as the process starts all
/// children: <https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>.
static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, answer) in orders {
            let _ = answer.send(command.spawn());
        }
    });
    sender
});

impl Process {
    /// Starts `program` with its output in the file `log`; `configure` adds arguments, environment and folder.
    ///
    /// # Errors
    /// The log cannot be written, or `setpriv` (util-linux) is missing.
    pub fn start(
        program: impl AsRef<OsStr>,
        log: PathBuf,
        configure: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let program = Path::new(program.as_ref());
        let name = program.file_name().unwrap_or(program.as_os_str());
        let name = name.to_string_lossy().into_owned();
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        // setpriv (util-linux) sets the signal and becomes the program, so the process id stays.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        configure(&mut command);
        let (answer, child) = mpsc::channel();
        SPAWNER
            .send((command, answer))
            .map_err(|_| anyhow::anyhow!("{name}: the starting thread has ended"))?;
        let child = child
            .recv()?
            .with_context(|| format!("{name}: setpriv: cannot start {}", program.display()))?;
        Ok(Self { name, child, log })
    }

    /// Renames the program in messages: for one that is started through wrappers.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Polls `check` while the program runs.
    ///
    /// # Errors
    /// The program has ended, or `check` does not pass in time; the message holds the log's tail.
    pub async fn ready<T>(
        &mut self,
        what: &str,
        mut check: impl AsyncFnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let ended = self.child.try_wait()?;
            let error = match check().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            // A program that has exited has flushed its last lines to the log.
            if let Some(status) = ended {
                bail!(
                    "{}: ended at start: {status}:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            if Instant::now() > deadline {
                return Err(error.context(format!(
                    "{what}: not within {} s; the log of {}:\n{}",
                    DEADLINE.as_secs(),
                    self.name,
                    self.log_tail()
                )));
            }
            sleep(PAUSE).await;
        }
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Process) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let process = Process::start("sh", log, |command| {
            command.args(["-c", script]);
        });
        (folder, process.unwrap())
    }

    #[tokio::test]
    async fn waiting_ends_with_the_program_and_shows_its_log() {
        let (_folder, mut process) = shell("echo the reason; exit 3");
        let never = process.ready("port open", async || bail!("refused") as anyhow::Result<()>);
        let error = format!("{:#}", never.await.unwrap_err());
        assert_eq!(error, "sh: ended at start: exit status: 3:\nthe reason");
    }

    #[test]
    fn a_dropped_program_is_killed() {
        let (_folder, process) = shell("exec sleep 1000");
        let proc = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(proc.exists());
        drop(process);
        assert!(!proc.exists());
    }
}
