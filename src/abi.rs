//! The filter's side of proxy-wasm ABI 0.2.1: Envoy's functions behind [`crate::host::Host`], and the callbacks that
//! Envoy calls. The only file with `unsafe` code.
//!
//! Only the callbacks that the filter needs are exported: Envoy enters the VM for every exported one and skips the
//! others (<https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/wasm.cc>, `getFunctions`). CONTRIBUTING.md
//! explains why the SDK is not linked; `abi/tests.rs` compares numbers and signatures with it.
//!
//! Invariants of the `unsafe` blocks:
//! - A VM runs on one thread and never in two callbacks at once. In a host call the host re-enters it only through
//!   `proxy_on_memory_allocate`, which uses `Inbox` alone.
//! - A block that the host allocated there is freed by exactly one host call, and read only if it is the latest
//!   allocation. Any other pointer from the host is rejected.
#![cfg_attr(target_arch = "wasm32", allow(unsafe_code))]

/// `proxy_buffer_type_t`: data that a network filter just received.
pub const DOWNSTREAM_DATA: u32 = 2;
/// `proxy_buffer_type_t`: the plugin's configuration.
pub const PLUGIN_CONFIGURATION: u32 = 7;
/// `proxy_header_map_type_t`: request headers.
pub const REQUEST_HEADERS: u32 = 0;
/// `proxy_header_map_type_t`: response headers.
pub const RESPONSE_HEADERS: u32 = 2;
/// `proxy_metric_type_t`: counter.
pub const COUNTER: u32 = 0;
/// `proxy_metric_type_t`: gauge.
pub const GAUGE: u32 = 1;
/// `proxy_action_t`: continue.
pub const CONTINUE: u32 = 0;
/// `proxy_peer_type_t`: closed by Envoy.
pub const LOCAL: u32 = 1;
/// `proxy_log_level_t`: info.
pub const INFO: u32 = 2;
/// `proxy_log_level_t`: warn.
pub const WARN: u32 = 3;
/// `proxy_log_level_t`: error.
pub const ERROR: u32 = 4;

#[cfg(test)]
mod tests;

#[cfg(target_arch = "wasm32")]
pub use wasm::*;

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::*;
    use crate::connection::ClosedBy;
    use crate::host::{HeaderMap, Host, MetricId, MetricKind, Status};
    use crate::logger::Logger;
    use crate::vm::Vm;
    use std::cell::{Cell, RefCell, UnsafeCell};

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
        fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            value: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        fn proxy_set_property(
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            most: usize,
            value: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        fn proxy_get_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        fn proxy_replace_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        fn proxy_add_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
        fn proxy_increment_metric(id: u32, by: i64) -> u32;
        fn proxy_record_metric(id: u32, value: u64) -> u32;
        fn proxy_get_current_time_nanoseconds(now: *mut u64) -> u32;
        fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    }

    /// Values up to this size need no allocation: a connection id, a User-Agent, a SPIFFE id.
    const FIXED: usize = 1024;

    /// The buffer for the value that the current host call returns.
    struct Inbox {
        fixed: UnsafeCell<[u64; FIXED / 8]>,
        /// The latest allocation, for a value larger than `fixed`: its address and capacity.
        large: Cell<Option<(*mut u8, usize)>>,
    }

    // SAFETY: a VM has one thread.
    unsafe impl Sync for Inbox {}

    static INBOX: Inbox = Inbox {
        fixed: UnsafeCell::new([0; FIXED / 8]),
        large: Cell::new(None),
    };

    impl Inbox {
        fn allocate(&self, size: usize) -> *mut u8 {
            if size <= FIXED {
                return self.fixed.get().cast();
            }
            self.release();
            let mut block: Vec<u8> = Vec::new();
            if block.try_reserve_exact(size).is_err() {
                return std::ptr::null_mut();
            }
            let size = block.capacity();
            let block = std::mem::ManuallyDrop::new(block).as_mut_ptr();
            self.large.set(Some((block, size)));
            block
        }

        fn release(&self) {
            if let Some((block, size)) = self.large.take() {
                // SAFETY: `allocate` made the block with this capacity, and only this function frees it.
                drop(unsafe { Vec::from_raw_parts(block, 0, size) });
            }
        }

        /// Copies the value from the address and size that the host returned.
        fn receive(&self, value: *mut u8, size: usize, into: &mut Vec<u8>) -> Result<(), Status> {
            let fixed: *mut u8 = self.fixed.get().cast();
            let room = match self.large.get() {
                Some((block, room)) if block == value => room,
                _ if value == fixed => FIXED,
                _ => 0,
            };
            let outcome = if size == 0 {
                Ok(())
            } else if size > room || into.try_reserve(size).is_err() {
                Err(Status::INVALID_MEMORY_ACCESS)
            } else {
                // SAFETY: `value` is a block from `allocate` with at least `size` bytes: `fixed` is initialised,
                // and the host has written the large one.
                into.extend_from_slice(unsafe { std::slice::from_raw_parts(value, size) });
                Ok(())
            };
            self.release();
            outcome
        }
    }

    fn checked(status: u32) -> Result<(), Status> {
        if status == 0 {
            Ok(())
        } else {
            Err(Status(status))
        }
    }

    fn value(
        into: &mut Vec<u8>,
        call: impl FnOnce(*mut *mut u8, *mut usize) -> u32,
    ) -> Result<(), Status> {
        into.clear();
        let mut block = std::ptr::null_mut();
        let mut size = 0;
        match call(&mut block, &mut size) {
            0 => INBOX.receive(block, size, into),
            status => {
                INBOX.release();
                Err(Status(status))
            }
        }
    }

    fn number(map: HeaderMap) -> u32 {
        match map {
            HeaderMap::Request => REQUEST_HEADERS,
            HeaderMap::Response => RESPONSE_HEADERS,
        }
    }

    /// The Envoy that runs this VM.
    #[derive(Debug, Default)]
    pub struct Envoy;

    // SAFETY of every block below: pointers and sizes come from live borrows or locals of the right
    // type, and the host reads or writes them during the call only.
    impl Host for Envoy {
        fn property(&mut self, path: &str, into: &mut Vec<u8>) -> Result<(), Status> {
            value(into, |block, size| unsafe {
                proxy_get_property(path.as_ptr(), path.len(), block, size)
            })
        }

        fn set_property(&mut self, name: &str, value: &[u8]) -> Result<(), Status> {
            checked(unsafe {
                proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len())
            })
        }

        fn downstream_data(&mut self, max: usize, into: &mut Vec<u8>) -> Result<(), Status> {
            value(into, |block, size| unsafe {
                proxy_get_buffer_bytes(DOWNSTREAM_DATA, 0, max, block, size)
            })
        }

        fn plugin_configuration(&mut self, max: usize, into: &mut Vec<u8>) -> Result<(), Status> {
            value(into, |block, size| unsafe {
                proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, max, block, size)
            })
        }

        fn header(&mut self, map: HeaderMap, name: &str, into: &mut Vec<u8>) -> Result<(), Status> {
            value(into, |block, size| unsafe {
                proxy_get_header_map_value(number(map), name.as_ptr(), name.len(), block, size)
            })
        }

        fn replace_header(
            &mut self,
            map: HeaderMap,
            name: &str,
            value: &str,
        ) -> Result<(), Status> {
            checked(unsafe {
                proxy_replace_header_map_value(
                    number(map),
                    name.as_ptr(),
                    name.len(),
                    value.as_ptr(),
                    value.len(),
                )
            })
        }

        fn add_header(&mut self, map: HeaderMap, name: &str, value: &str) -> Result<(), Status> {
            checked(unsafe {
                proxy_add_header_map_value(
                    number(map),
                    name.as_ptr(),
                    name.len(),
                    value.as_ptr(),
                    value.len(),
                )
            })
        }

        fn define_metric(&mut self, kind: MetricKind, name: &str) -> Result<MetricId, Status> {
            let kind = match kind {
                MetricKind::Counter => COUNTER,
                MetricKind::Gauge => GAUGE,
            };
            let mut id = 0;
            checked(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) })?;
            Ok(MetricId(id))
        }

        fn increment_metric(&mut self, id: MetricId, by: i64) -> Result<(), Status> {
            checked(unsafe { proxy_increment_metric(id.0, by) })
        }

        fn record_metric(&mut self, id: MetricId, value: u64) -> Result<(), Status> {
            checked(unsafe { proxy_record_metric(id.0, value) })
        }

        fn now(&mut self) -> Result<u64, Status> {
            let mut now = 0;
            checked(unsafe { proxy_get_current_time_nanoseconds(&mut now) })?;
            Ok(now)
        }

        fn tick_every(&mut self, milliseconds: u32) -> Result<(), Status> {
            checked(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
        }
    }

    static LOGGER: Logger = Logger(|level, line| {
        // SAFETY: the host reads the line during the call only. Errors are ignored.
        unsafe { proxy_log(level, line.as_ptr(), line.len()) };
    });

    thread_local! {
        static VM: RefCell<Vm<Envoy>> = RefCell::new(Vm::new(Envoy));
    }

    /// Runs a callback on the VM. Skips it if the VM is already borrowed, because a panic would trap.
    fn enter(callback: impl FnOnce(&mut Vm<Envoy>)) {
        VM.with(|vm| {
            if let Ok(mut vm) = vm.try_borrow_mut() {
                callback(&mut vm);
            }
        });
    }

    /// Declares the ABI version.
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_abi_version_0_2_1() {}

    /// Allocates a buffer for a value from the host; null if out of memory.
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
        INBOX.allocate(size)
    }

    /// See [`Vm::on_context_create`].
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
        enter(|vm| vm.on_context_create(context, parent));
    }

    /// See [`Vm::on_configure`]. Always true: false would stop Envoy at startup, under FAIL_OPEN too (measured).
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_configure(plugin: u32, size: usize) -> bool {
        if log::set_logger(&LOGGER).is_ok() {
            log::set_max_level(log::STATIC_MAX_LEVEL);
        }
        enter(|vm| vm.on_configure(plugin, size));
        true
    }

    /// See [`Vm::on_tick`].
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_tick(plugin: u32) {
        enter(|vm| vm.on_tick(plugin));
    }

    /// See [`Vm::on_new_connection`].
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_new_connection(context: u32) -> u32 {
        enter(|vm| vm.on_new_connection(context));
        CONTINUE
    }

    /// See [`Vm::on_downstream_data`].
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_downstream_data(context: u32, size: usize, _end: bool) -> u32 {
        enter(|vm| vm.on_downstream_data(context, size));
        CONTINUE
    }

    /// See [`Vm::on_downstream_connection_close`].
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_downstream_connection_close(context: u32, by: u32) {
        let by = if by == LOCAL {
            ClosedBy::Local
        } else {
            ClosedBy::Remote
        };
        enter(|vm| vm.on_downstream_connection_close(context, by));
    }

    /// See [`Vm::on_request_headers`].
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_request_headers(context: u32, _count: usize, _end: bool) -> u32 {
        enter(|vm| vm.on_request_headers(context));
        CONTINUE
    }

    /// See [`Vm::on_response_headers`].
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_response_headers(context: u32, _count: usize, _end: bool) -> u32 {
        enter(|vm| vm.on_response_headers(context));
        CONTINUE
    }
}
