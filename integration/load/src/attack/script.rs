//! The actions of one attacker and the expected counts.

use std::net::SocketAddr;

use plainsight_harness::callers::{CallerProtocol, Tls, TlsVersion};
use plainsight_harness::eventually::in_time;
use plainsight_harness::pki::Identity;

use super::attacker;
use crate::conversation::{Conversation, Ports};
use crate::tally::{Counts, Tally};
use crate::wire::{Dial, End, answers, echo, request, send};

/// One connection of one attacker.
#[derive(Debug)]
pub(super) struct Act {
    /// The source address.
    pub source: String,
    to: SocketAddr,
    how: How,
}

#[derive(Debug)]
enum How {
    /// HTTP/1.1 requests with these headers, one after the other.
    Requests(Vec<String>),
    /// Bytes.
    Bytes,
    /// TLS terminated by the application.
    Passthrough,
    /// Mutual TLS without a certificate.
    NoCertificate,
    /// A request over mutual TLS.
    MutualTls(Box<Identity>),
}

/// User-Agents of an application, a prober and a scraper, and one that tries to forge labels.
const AGENTS: [&str; 4] = [
    "curl/8.5",
    "kube-probe/1.34",
    "Prometheus/3.5.0",
    "a,peer=mutual_tls;.x",
];

impl Act {
    /// The `at`th address: HTTP with forged headers, some with bytes or TLS.
    pub(super) fn forging(at: u32, ports: Ports) -> Self {
        let forged = |turn: u32| {
            let agent = AGENTS[((at + turn) % 4) as usize];
            let [_, b, c, d] = attacker(at).octets();
            format!(
                "x-forwarded-for: 9.{b}.{c}.{d}\r\nuser-agent: {agent}-{at}\r\n\
                 x-plainsight-peer: mutual_tls;strict=allow\r\n"
            )
        };
        let (to, how) = match at % 10 {
            9 if at % 50 == 49 => (ports.tcp, How::Passthrough),
            8 | 9 => (ports.tcp, How::Bytes),
            7 => (ports.http, How::Requests((0..4).map(forged).collect())),
            _ => (ports.http, How::Requests(vec![forged(0)])),
        };
        Self {
            source: attacker(at).to_string(),
            to,
            how,
        }
    }

    pub(super) fn without_certificate(at: u32, to: SocketAddr) -> Self {
        Self {
            source: attacker(at).to_string(),
            to,
            how: How::NoCertificate,
        }
    }

    pub(super) fn bytes(source: &str, to: SocketAddr) -> Self {
        Self {
            source: source.to_owned(),
            to,
            how: How::Bytes,
        }
    }

    pub(super) fn identity(at: u32, identity: Identity, to: SocketAddr) -> Self {
        Self {
            source: attacker(at).to_string(),
            to,
            how: How::MutualTls(Box::new(identity)),
        }
    }

    /// The expected counts.
    pub(super) fn counts(&self) -> Tally {
        let one = |requests| Counts {
            connections: 1,
            requests,
        };
        let mut tally = Tally::default();
        match &self.how {
            How::Requests(all) => tally.plaintext = one(all.len() as u64),
            How::Bytes => tally.plaintext = one(0),
            How::Passthrough => tally.tls_passthrough = one(0),
            How::NoCertificate => tally.handshake_failures = 1,
            How::MutualTls(_) => tally.mutual_tls = one(1),
        }
        tally
    }

    /// Performs the actions. Connections end with a reset, so that none keeps a port in TIME_WAIT.
    pub(super) async fn perform(&self) -> anyhow::Result<()> {
        let identity = match &self.how {
            How::MutualTls(identity) => Some(&**identity),
            _ => None,
        };
        let dial = Dial {
            source: &self.source,
            identity,
            to: self.to,
        };
        match &self.how {
            How::Requests(all) => {
                let mut stream = dial.open(CallerProtocol::Http1, End::Reset).await?;
                for headers in all {
                    send(&mut stream, request(headers).as_bytes()).await?;
                    answers(&mut stream, 1).await?;
                }
            }
            How::Bytes => echo(&mut dial.open(CallerProtocol::Bytes, End::Reset).await?).await?,
            How::Passthrough => {
                let stream = dial.tcp(End::Reset).await?;
                let tls = Tls::own(TlsVersion::V1_3).without_alpn();
                echo(&mut in_time("passthrough", tls.handshake(stream)).await?).await?;
            }
            How::NoCertificate => {
                Conversation::NoCertificate.hold(&dial).await?;
            }
            How::MutualTls(_) => {
                let mut stream = dial.open(CallerProtocol::Http1, End::Reset).await?;
                send(&mut stream, request("").as_bytes()).await?;
                answers(&mut stream, 1).await?;
            }
        }
        Ok(())
    }
}
