//! A real Prometheus filled with evidence, a small HTTP server that misbehaves, and the command.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

pub mod mesh;

/// The command's answer.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the command with neither a kubeconfig nor a Prometheus in its environment.
pub fn plainsight(arguments: &[&str]) -> Answer {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_plainsight"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Answer {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A real Prometheus on a free port; it ends with the test.
pub struct Prometheus {
    pub url: String,
    _running: plainsight_harness::prometheus::Prometheus,
}

impl Prometheus {
    /// Starts it on blocks made of an OpenMetrics text.
    pub fn with(openmetrics: &str) -> Prometheus {
        Prometheus::start(openmetrics, "global: {}\n")
    }

    /// The same with a configuration.
    pub fn start(openmetrics: &str, configuration: &str) -> Prometheus {
        let files = [("prometheus.yml", configuration.to_owned())];
        let started = plainsight_harness::prometheus::Prometheus::start_with(&files, openmetrics);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let running = runtime.block_on(started).unwrap();
        let url = format!("http://{}", running.address());
        Prometheus {
            url,
            _running: running,
        }
    }

    /// The command, asking this Prometheus.
    pub fn ask(&self, arguments: &[&str]) -> Answer {
        let mut all = vec!["--prometheus", &self.url];
        all.extend(arguments);
        plainsight(&all)
    }
}

/// A loopback server that gives each request to a closure: status line, headers and body come back as one text.
pub struct Server {
    pub url: String,
    /// Method and path of each request.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (answer.clone(), seen.clone());
                std::thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Server { url, requests }
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &dyn Fn(&str) -> Option<String>,
    seen: &Mutex<Vec<String>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    seen.lock().unwrap().push(head.clone());
    match answer(&head) {
        Some(response) => {
            let _ = stream.write_all(response.as_bytes());
        }
        // No answer: the client's own timeout has to end it.
        None => {
            let _ = reader.read_line(&mut String::new());
        }
    }
}

/// An HTTP response that closes its connection.
pub fn response(status: &str, kind: &str, body: &str) -> String {
    let mut text = String::new();
    write!(text, "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
    text
}
