//! A client of Prometheus's HTTP API, or of Thanos's and Mimir's. It sends GET requests only.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderName, HeaderValue, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::Error;

/// The longest answer that is read: ten times the largest expected one.
const MAX_BODY: u64 = 512 << 20;

/// How to reach Prometheus.
#[derive(Debug, Clone, clap::Args)]
pub struct PrometheusArgs {
    /// Prometheus, Thanos or Mimir: the URL before `/api/v1`
    #[arg(long, global = true, value_name = "URL", env = "PLAINSIGHT_PROMETHEUS")]
    pub prometheus: Option<String>,
    /// A header of every request, `Name: value`, for example a tenant
    #[arg(long, global = true, value_name = "HEADER")]
    pub header: Vec<String>,
    /// A file with a bearer token
    #[arg(long, global = true, value_name = "FILE")]
    pub bearer_token_file: Option<PathBuf>,
    /// A file with the certificates to trust, instead of the public ones
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Timeout of each query
    #[arg(long, global = true, value_name = "TIME", default_value = "30s")]
    pub timeout: crate::model::span::Length,
}

/// One sample of an instant query.
#[derive(Debug, Deserialize)]
pub struct Sample<L> {
    /// Its labels, as far as they are asked for.
    pub metric: L,
    value: (f64, String),
}

impl<L> Sample<L> {
    /// The value; NaN where it is none.
    pub fn value(&self) -> f64 {
        self.value.1.parse().unwrap_or(f64::NAN)
    }

    /// The value as a moment.
    pub fn moment(&self) -> Option<Timestamp> {
        let value = self.value();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, and is then out of range"
        )]
        value
            .is_finite()
            .then_some(value as i64)
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<T> {
    status: String,
    data: Option<T>,
    error_type: Option<String>,
    error: Option<String>,
    /// Thanos and Mimir: stores that did not answer. Prometheus: what a query could not compute.
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
    /// VictoriaMetrics: storage nodes that did not answer.
    #[serde(default)]
    is_partial: bool,
}

#[derive(Deserialize)]
struct Vector<L> {
    result: Vec<Sample<L>>,
}

/// A Prometheus, and what it warned of so far.
#[derive(Debug)]
pub struct Prometheus {
    base: String,
    agent: ureq::Agent,
    headers: Vec<(String, String)>,
    verbose: bool,
    warnings: RefCell<BTreeSet<String>>,
}

impl Prometheus {
    /// Reads the token and certificate files; asks nothing yet.
    pub fn new(args: &PrometheusArgs, verbose: bool) -> Result<Prometheus, Error> {
        let base = args.prometheus.as_deref().ok_or_else(|| {
            Error::Usage(
                "no Prometheus: give --prometheus URL, PLAINSIGHT_PROMETHEUS, or --from SNAPSHOT"
                    .into(),
            )
        })?;
        let base = base.trim_end_matches('/').to_owned();
        let rest = base
            .strip_prefix("http://")
            .or_else(|| base.strip_prefix("https://"));
        let Some(authority) = rest
            .and_then(|rest| rest.split('/').next())
            .filter(|authority| !authority.is_empty())
        else {
            return Err(Error::Usage(format!(
                "--prometheus: expected http://HOST or https://HOST, got: {base}"
            )));
        };
        if authority.contains('@') {
            return Err(Error::Usage("--prometheus: credentials in the URL end up in logs: use --header or --bearer-token-file".into()));
        }
        let base = base.strip_suffix("/api/v1").unwrap_or(&base).to_owned();
        let mut headers = Vec::new();
        for header in &args.header {
            let (name, value) = header.split_once(':').ok_or_else(|| {
                Error::Usage(format!("--header: expected `Name: value`, got: {header}"))
            })?;
            let (name, value) = (name.trim(), value.trim());
            if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
                return Err(Error::Usage(format!(
                    "--header: not a name and value of HTTP, got: {header}"
                )));
            }
            headers.push((name.to_owned(), value.to_owned()));
        }
        if let Some(path) = &args.bearer_token_file {
            let token = std::fs::read_to_string(path)
                .map_err(|error| Error::file(path.display(), error))?;
            headers.push(("authorization".into(), format!("Bearer {}", token.trim())));
        }
        let timeout = u64::try_from(args.timeout.seconds()).unwrap_or(30);
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(timeout)))
            .user_agent(concat!("plainsight/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &args.ca_file {
            let pem = std::fs::read(path).map_err(|error| Error::file(path.display(), error))?;
            let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(Error::file(path.display(), "no certificate in PEM form"));
            }
            config = config.tls_config(
                TlsConfig::builder()
                    .root_certs(RootCerts::new_with_certs(&certificates))
                    .build(),
            );
        }
        Ok(Prometheus {
            base,
            agent: config.build().new_agent(),
            headers,
            verbose,
            warnings: RefCell::default(),
        })
    }

    /// The URL asked.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// What Prometheus warned of: Thanos's partial answers, for example.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.borrow().iter().cloned().collect()
    }

    fn problem(&self, problem: impl std::fmt::Display) -> Error {
        Error::Prometheus {
            url: self.base.clone(),
            problem: problem.to_string(),
        }
    }

    /// One instant query, at Prometheus's own time or at a given one.
    pub fn query<L: DeserializeOwned>(
        &self,
        promql: &str,
        at: Option<Timestamp>,
    ) -> Result<Vec<Sample<L>>, Error> {
        let time = at.map(|at| at.as_second().to_string());
        let mut parameters = vec![("query", promql)];
        if let Some(time) = &time {
            parameters.push(("time", time));
        }
        let start = Instant::now();
        let vector: Vector<L> = self.get("/api/v1/query", &parameters)?;
        if self.verbose {
            eprintln!(
                "query: {} series in {:?}: {promql}",
                vector.result.len(),
                start.elapsed()
            );
        }
        Ok(vector.result)
    }

    /// One endpoint's `data`.
    pub fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, Error> {
        let mut request = self
            .agent
            .get(format!("{}{path}", self.base))
            .header("accept", "application/json");
        for (name, value) in parameters {
            request = request.query(name, value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = request.call().map_err(|error| self.transport(&error))?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_BODY)
            .read_to_vec()
            .map_err(|error| self.transport(&error))?;
        let answer: Answer<T> = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            Err(error) => return Err(self.no_answer(status, &body, &error)),
        };
        let mut warnings = self.warnings.borrow_mut();
        warnings.extend(answer.warnings.into_iter().chain(answer.infos));
        if answer.is_partial {
            warnings.insert("isPartial: some storage nodes did not answer".into());
        }
        drop(warnings);
        match (answer.status.as_str(), answer.data) {
            ("success", Some(data)) => Ok(data),
            _ => {
                let error = answer.error.unwrap_or_default();
                let kind = answer.error_type.unwrap_or_else(|| "no data".into());
                Err(self.problem(format_args!("{status}: {kind}: {error}")))
            }
        }
    }

    /// What came instead of an answer of the API, most often from something in front of it.
    fn no_answer(&self, status: StatusCode, body: &[u8], error: &serde_json::Error) -> Error {
        let text: String = String::from_utf8_lossy(body)
            .chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect();
        let html = text.trim_start().starts_with('<');
        let got = match (text.is_empty(), html) {
            (true, _) => "an empty body".into(),
            (_, true) => "HTML".into(),
            (false, false) => text,
        };
        self.problem(match status.as_u16() {
            401 | 403 => format!(
                "{status}: give --bearer-token-file or --header with the right credentials, got: {got}"
            ),
            404 => format!("{status}: expected the URL before /api/v1, got: {got}"),
            _ if html => {
                format!("{status}, but with HTML instead of JSON: a login page, or not Prometheus's URL")
            }
            _ => format!("{status}, not an answer of Prometheus's API ({error}), got: {got}"),
        })
    }

    fn transport(&self, error: &ureq::Error) -> Error {
        match error {
            ureq::Error::Timeout(_) => {
                self.problem("no answer in time: raise --timeout, or ask for fewer namespaces")
            }
            other => {
                let text = match other {
                    ureq::Error::Io(error) => error.to_string(),
                    other => other.to_string(),
                };
                // rustls's words for an unknown authority, and for one of the same name with another key.
                let foreign = ["UnknownIssuer", "BadSignature"];
                let hint = if foreign.iter().any(|word| text.contains(word)) {
                    ": give the certificate of its authority with --ca-file"
                } else {
                    ""
                };
                self.problem(format_args!("{text}{hint}"))
            }
        }
    }
}
