//! A child process that never outlives the test: killed on drop, and by the kernel when the parent dies first.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};

use anyhow::Context;

const TAIL_LINES: usize = 80;

pub(super) struct Process {
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
    /// Starts `binary` with its output in the file `log`.
    pub(super) fn spawn(binary: &Path, arguments: &[&OsStr], log: PathBuf) -> anyhow::Result<Self> {
        let output = File::create(&log)?;
        // setpriv (util-linux) sets the signal and becomes the program, so the process id stays.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary)
            .args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let (answer, child) = mpsc::channel();
        SPAWNER
            .send((command, answer))
            .map_err(|_| anyhow::anyhow!("process: the starting thread has ended"))?;
        let child = child
            .recv()?
            .with_context(|| format!("process: cannot start {}", binary.display()))?;
        Ok(Self { child, log })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended.
    pub(super) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub(super) fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    pub(super) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
