//! Network namespaces: one for each pod, one for everything outside them, and veth pairs between.

use std::fs::File;
use std::future::Future;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use anyhow::{Context, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

const PREFIX: &str = "plainsight-";

/// Distinguishes the namespaces of one process.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A network namespace with a thread inside it; removed when dropped.
pub struct Namespace {
    name: String,
    runtime: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Namespace {
    /// Creates a namespace named after `role` and this process, with its loopback interface up.
    ///
    /// # Errors
    /// Not permitted, or no `ip` (package iproute2).
    pub fn new(role: &str) -> anyhow::Result<Self> {
        remove_leftovers();
        let name = format!(
            "{PREFIX}{}-{}-{role}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        );
        ip(&["netns", "add", &name])?;
        // From here on the namespace is removed with the value, whatever fails.
        let mut namespace = Self {
            name,
            runtime: Handle::current(),
            end: None,
            thread: None,
        };
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"])?;
        let (end, ended) = oneshot::channel::<()>();
        let (sender, started) = mpsc::channel();
        let file = File::open(Path::new("/run/netns").join(&namespace.name))?;
        namespace.end = Some(end);
        namespace.thread = Some(std::thread::spawn(move || {
            let runtime = move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .context("network: cannot enter the namespace")
                .and_then(|()| {
                    Ok(tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()?)
                });
            match runtime {
                Err(error) => drop(sender.send(Err(error))),
                Ok(runtime) => {
                    let _ = sender.send(Ok(runtime.handle().clone()));
                    let _ = runtime.block_on(ended);
                }
            }
        }));
        namespace.runtime = started
            .recv()
            .context("network: the namespace's thread ended")??;
        Ok(namespace)
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on the thread inside: the sockets it opens belong to the namespace.
    ///
    /// # Errors
    /// The error of `work`, or its panic.
    pub async fn run<T, F>(&self, work: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        self.runtime
            .spawn(work)
            .await
            .context("network: the work inside the namespace ended badly")?
    }

    /// Makes every address of a block local, so that callers can use any of them.
    ///
    /// # Errors
    /// Not a block, or it is local already.
    pub fn answer_for(&self, block: &str) -> anyhow::Result<()> {
        ip(&[
            "-n", &self.name, "route", "add", "local", block, "dev", "lo",
        ])
    }

    /// Turns the namespace into the router of pods, with an address of its own.
    ///
    /// # Errors
    /// `sysctl` is missing, or the address is there already.
    pub fn become_router(&self, address: Ipv4Addr) -> anyhow::Result<()> {
        let block = format!("{address}/32");
        ip(&["-n", &self.name, "address", "add", &block, "dev", "lo"])?;
        let forward = "net.ipv4.ip_forward=1";
        ip(&["netns", "exec", &self.name, "sysctl", "-qw", forward])
    }

    /// Creates a veth pair to `pod` and routes the address to it; everything else is reached through `router`.
    ///
    /// # Errors
    /// There is one already.
    pub fn route_to(&self, pod: &Self, address: Ipv4Addr, router: Ipv4Addr) -> anyhow::Result<()> {
        let wire = format!("pod{}", MADE.fetch_add(1, Ordering::Relaxed));
        let (block, router) = (format!("{address}/32"), router.to_string());
        let here = |arguments: &[&str]| ip(&[&["-n", &self.name][..], arguments].concat());
        let there = |arguments: &[&str]| ip(&[&["-n", &pod.name][..], arguments].concat());
        here(&[
            "link", "add", &wire, "type", "veth", "peer", "name", WIRE, "netns", &pod.name,
        ])?;
        here(&["link", "set", &wire, "up"])?;
        there(&["address", "add", &block, "dev", WIRE])?;
        there(&["link", "set", WIRE, "up"])?;
        there(&["route", "add", &router, "dev", WIRE])?;
        there(&["route", "add", "default", "via", &router])?;
        // The kernel removes the wire of an ended pod a moment later; its address may have a new pod by then.
        here(&["route", "replace", &block, "dev", &wire, "src", &router])
    }
}

const WIRE: &str = "eth0";

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

/// Namespaces of test processes that were killed.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            let _ = ip(&["netns", "delete", &name]);
        }
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let Ok(output) = Command::new("ip").args(arguments).output() else {
        bail!("network: ip: cannot be run: run make test-cluster, which installs iproute2");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "network: ip {}: {}",
        arguments.join(" "),
        said.trim()
    );
    Ok(())
}
