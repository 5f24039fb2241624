//! What Istio's metadata says of a caller without mutual TLS: a claim, for the caller may have forged it. It
//! stands in a metric of its own and in no other series.

use super::Vm;
use crate::census::{Admission, Roll};
use crate::connections::{Claims, Stage, Verdict};
use crate::host::Host;
use crate::metrics::Label;
use crate::property::Property;
use crate::series::{Part, SeriesId, Subject};
use crate::trouble::push_number;

/// Claims kept for one address.
const MOST_PER_ADDRESS: u32 = 4;
/// Names of workloads and namespaces are DNS names: 253 bytes at most (RFC 1123).
const MOST_NAME: usize = 253;

impl<H: Host> Vm<H> {
    /// Asks a network context, once, unless a request of its connection was asked.
    pub(super) fn ask_claims_of_connection(&mut self, context: u32) {
        if let Some(connection) = self.connections.open(context)
            && let Stage::Decided(registered, _) = &mut connection.stage
            && registered.claims == Claims::Unasked
        {
            // Whoever has none to ask for is done with, too, so that no later read comes here.
            registered.claims = Claims::OfConnection;
            if let Verdict::Peer {
                series,
                mutual_tls: false,
                ..
            } = registered.verdict
            {
                let root = connection.root;
                self.ask_claims(root, series);
            }
        }
    }

    /// Asks the context at hand.
    pub(super) fn ask_claims(&mut self, root: u32, series: SeriesId) {
        // Whoever has no series of its own has no claims either.
        let caller = self
            .series
            .get(series)
            .filter(|series| !series.is_overflow());
        let Some(ip) = caller.map(|series| String::from(series.source_ip())) else {
            return;
        };
        // A peer that Istio knows has all fields, empty ones too
        // (<https://github.com/istio/proxy/blob/master/extensions/common/metadata_object.cc>, `getField`), so without
        // this one there is no other.
        if self.access.read(Property::CLAIMED_WORKLOAD) != Ok(true) {
            return;
        }
        let workload = self.access.decoded(Property::CLAIMED_WORKLOAD, MOST_NAME);
        let namespace = self.access.text(Property::CLAIMED_NAMESPACE, MOST_NAME);
        let (Ok(workload), Ok(namespace)) = (workload, namespace) else {
            return;
        };
        if workload.is_none() && namespace.is_none() {
            return;
        }
        let Some(root) = self.roots.find(root) else {
            return;
        };
        let (workload, namespace) = (workload.unwrap_or_default(), namespace.unwrap_or_default());
        let form = root.settings.labels;
        let mut labels = String::new();
        form.push(&mut labels, Label::SourceIp, &ip);
        form.push(&mut labels, Label::ClaimedWorkload, &workload);
        form.push(&mut labels, Label::ClaimedWorkloadNamespace, &namespace);
        if self.series.find(&labels).is_some() {
            return;
        }
        let limit = root.settings.max_callers;
        // The length says where the workload ends: both names may hold spaces, and what reads alike would be
        // admitted once and have a series for each way to part it.
        let mut entry = String::new();
        push_number(
            &mut entry,
            u32::try_from(workload.len()).unwrap_or(u32::MAX),
        );
        for part in [ip.as_str(), &workload, &namespace] {
            entry.push(' ');
            entry.push_str(part);
        }
        let of_address = ["claims/", &ip].concat();
        let here = Roll {
            name: &of_address,
            limit: MOST_PER_ADDRESS,
            small: true,
        };
        let all = Roll {
            name: "claims",
            limit,
            small: false,
        };
        if self.census.admit(&mut self.access, here, &entry) == Admission::Full
            || self.census.admit(&mut self.access, all, &entry) == Admission::Full
        {
            return;
        }
        let series = self.series.add(&labels, form, Subject::Claim, &ip, false);
        self.series
            .record(&mut self.access, series, Part::Claims, 1);
    }
}
