//! Exit codes, the same for every command.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: ready, or done.
    Ready,
    /// 1: an error, usage included.
    Error,
    /// 2: callers in the way.
    Callers,
    /// 3: not proven: coverage, window, rules or data are missing or stale.
    NotProven,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ready => 0,
            Exit::Error => 1,
            Exit::Callers => 2,
            Exit::NotProven => 3,
        }
    }

    /// The code for both answers together. A known caller outranks missing proof: more data does not remove it.
    pub fn and(self, other: Exit) -> Exit {
        let rank = |exit| match exit {
            Exit::Ready => 0,
            Exit::NotProven => 1,
            Exit::Callers => 2,
            Exit::Error => 3,
        };
        if rank(self) >= rank(other) {
            self
        } else {
            other
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
