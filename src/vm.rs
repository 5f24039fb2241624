//! The filter's callbacks: one VM per worker, one object per context. A callback looks up its object and delegates
//! to it. No callback pauses, buffers or fails.

use crate::attribute::Attribute;
use crate::connection::{ClosedBy, Connection};
use crate::connection_link;
use crate::host::Host;
use crate::peer_header::UNKNOWN;
use crate::plugin::Plugin;
use crate::plugins::Plugins;
use crate::request::Request;
use crate::settings::Settings;
use crate::worker::Worker;
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// Max requests with a pending response. No callback reports the end of a stream, so a request without a response
/// stays; cleared when full.
const MAX_REQUESTS: usize = 8_192;

/// A VM.
#[derive(Debug)]
pub struct Vm<H> {
    worker: Worker<H>,
    plugins: Plugins,
    /// The latest context, and its plugin's. Its first callback decides whether it is a connection or a request.
    /// Envoy creates a context right before its first callback
    /// (<https://github.com/envoyproxy/envoy/blob/main/source/extensions/common/wasm/context.cc>,
    /// `onNewConnection`, `decodeHeaders`).
    created: Option<(u32, u32)>,
    connections: FxHashMap<u32, Connection>,
    requests: FxHashMap<u32, Request>,
    /// The connection that received data last.
    latest: Option<u32>,
    /// Distinguishes this VM in connection links: the time of its first configuration.
    id: Option<u64>,
}

impl<H: Host> Vm<H> {
    /// A VM on a host.
    pub fn new(host: H) -> Vm<H> {
        Vm {
            worker: Worker::new(host),
            plugins: Plugins::default(),
            created: None,
            connections: FxHashMap::default(),
            requests: FxHashMap::default(),
            latest: None,
            id: None,
        }
    }

    /// A context was created; `parent` is its plugin's, or 0 for a plugin.
    pub fn on_context_create(&mut self, context: u32, parent: u32) {
        if parent != 0 {
            self.created = Some((context, parent));
        }
    }

    /// A plugin's configuration arrived.
    pub fn on_configure(&mut self, context: u32, size: usize) {
        if self.id.is_none() {
            self.id = self.worker.access.unix_nanoseconds();
            self.worker.series.define_overflow(&mut self.worker.access);
        }
        self.plugins
            .configure(&mut self.worker.access, context, size);
    }

    /// A plugin's timer.
    pub fn on_tick(&mut self, context: u32) {
        self.plugins.tick(&mut self.worker.access, context);
        let now = self.worker.access.unix_seconds();
        self.worker.series.tick(&mut self.worker.access, now);
    }

    /// A connection was accepted.
    pub fn on_new_connection(&mut self, context: u32) {
        if let Some(plugin) = self.plugin_of_new(context) {
            self.connections
                .insert(context, Connection::new(context, plugin));
        }
    }

    /// Data from a caller.
    pub fn on_downstream_data(&mut self, context: u32, size: usize) {
        self.latest = Some(context);
        if let Some(connection) = self.connections.get_mut(&context)
            && size > 0
        {
            connection.on_data(&mut self.worker, self.id);
        }
    }

    /// A connection closed.
    pub fn on_downstream_connection_close(&mut self, context: u32, closed_by: ClosedBy) {
        if let Some(connection) = self.connections.remove(&context) {
            connection.on_close(&mut self.worker, closed_by);
        }
    }

    /// A request's headers.
    pub fn on_request_headers(&mut self, context: u32) {
        let Some(plugin) = self.plugin_of_new(context) else {
            // The settings are unknown, but a forged copy of the default header must still not get through.
            if let Some(name) = Settings::default().request_header {
                self.worker.access.set_request_header(&name, UNKNOWN);
            }
            return;
        };
        let connection = self.connection_of_request();
        let connection = connection.and_then(|context| self.connections.get_mut(&context));
        if let Some(request) = Request::on_headers(&mut self.worker, plugin, connection) {
            if self.requests.len() >= MAX_REQUESTS {
                self.requests.clear();
            }
            self.requests.insert(context, request);
        }
    }

    /// A response's headers.
    pub fn on_response_headers(&mut self, context: u32) {
        if let Some(request) = self.requests.remove(&context) {
            request.on_response_headers(&mut self.worker);
        }
    }

    /// The plugin of a context at its first callback. An unknown one is counted as an error.
    fn plugin_of_new(&mut self, context: u32) -> Option<Rc<Plugin>> {
        let created = self.created.take();
        let parent = created.filter(|(created, _)| *created == context);
        let plugin = parent.and_then(|(_, parent)| self.plugins.get(parent));
        if plugin.is_none() {
            let problem = format_args!("context {context} belongs to no configured plugin");
            self.worker
                .access
                .record_error(Attribute::PLUGIN_CONTEXT, problem);
        }
        plugin
    }

    /// The context of the current request's connection, if this VM classified it: see
    /// [`crate::connection_link`].
    fn connection_of_request(&mut self) -> Option<u32> {
        let access = &mut self.worker.access;
        if let Some(latest) = self.latest
            && let Some(connection) = self.connections.get(&latest)
            && let Some(mark) = connection.link.mark()
            && access.has_connection_property(mark)
        {
            return Some(latest);
        }
        let context = connection_link::get(access, self.id)?;
        self.connections.get_mut(&context)?.link.wants_mark = true;
        Some(context)
    }
}

#[cfg(test)]
mod tests;
