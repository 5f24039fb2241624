//! The filter's side of proxy-wasm ABI 0.2.1: Envoy's functions behind `Host`, and the callbacks
//! that Envoy enters. The one file with `unsafe` code.
//!
//! It holds the module's memory discipline and no decision of the filter. Only the callbacks that the
//! filter needs are exported: Envoy enters the VM for each exported one, and skips the others
//! (<https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/wasm.cc>, `getFunctions`).
//!
//! Invariants that the `unsafe` blocks rest on:
//! - A VM runs on one thread and never in two callbacks at once; the host re-enters it in a host call only
//!   through `proxy_on_memory_allocate`, which touches `Inbox` alone.
//! - A block that the host got from that function is taken back by exactly one of our own calls,
//!   and only if it is the block handed out last; any other pointer from the host is refused.
#![cfg_attr(target_arch = "wasm32", allow(unsafe_code))]

#[cfg(target_arch = "wasm32")]
pub use wasm::*;

#[cfg(target_arch = "wasm32")]
mod wasm {
    use crate::host::{Headers, Host, Level, MetricId, MetricKind, Status};
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
        fn proxy_get_shared_data(
            key: *const u8,
            key_size: usize,
            value: *mut *mut u8,
            size: *mut usize,
            version: *mut u32,
        ) -> u32;
        fn proxy_set_shared_data(
            key: *const u8,
            key_size: usize,
            value: *const u8,
            size: usize,
            version: u32,
        ) -> u32;
        fn proxy_get_current_time_nanoseconds(now: *mut u64) -> u32;
        fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    }

    /// `proxy_buffer_type_t`: data a network filter has just received.
    const DOWNSTREAM_DATA: u32 = 2;
    /// `proxy_buffer_type_t`: the plugin's configuration.
    const PLUGIN_CONFIGURATION: u32 = 7;
    /// Values up to this size need no allocation: a connection id, a User-Agent, a SPIFFE id.
    const FIXED: usize = 1024;

    /// Where the host puts the value of the call under way.
    struct Inbox {
        fixed: UnsafeCell<[u64; FIXED / 8]>,
        /// The block handed out last, if it was too large for `fixed`: its address and size.
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
                // SAFETY: `allocate` made the block with this capacity and nobody else frees it.
                drop(unsafe { Vec::from_raw_parts(block, 0, size) });
            }
        }

        /// Copies the value that the host says it wrote.
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
                // SAFETY: `value` is a block of ours with at least `size` bytes, initialised when it is
                // `fixed`, and written by the host when it is the large one.
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

    fn map(headers: Headers) -> u32 {
        // `proxy_header_map_type_t`
        match headers {
            Headers::Request => 0,
            Headers::Response => 2,
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

        fn downstream_data(&mut self, most: u32, into: &mut Vec<u8>) -> Result<(), Status> {
            value(into, |block, size| unsafe {
                proxy_get_buffer_bytes(DOWNSTREAM_DATA, 0, most as usize, block, size)
            })
        }

        fn plugin_configuration(&mut self, size: u32, into: &mut Vec<u8>) -> Result<(), Status> {
            let most = size as usize;
            value(into, |block, size| unsafe {
                proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, most, block, size)
            })
        }

        fn header(
            &mut self,
            headers: Headers,
            name: &str,
            into: &mut Vec<u8>,
        ) -> Result<(), Status> {
            value(into, |block, size| unsafe {
                proxy_get_header_map_value(map(headers), name.as_ptr(), name.len(), block, size)
            })
        }

        fn replace_header(
            &mut self,
            headers: Headers,
            name: &str,
            value: &[u8],
        ) -> Result<(), Status> {
            checked(unsafe {
                proxy_replace_header_map_value(
                    map(headers),
                    name.as_ptr(),
                    name.len(),
                    value.as_ptr(),
                    value.len(),
                )
            })
        }

        fn add_header(&mut self, headers: Headers, name: &str, value: &[u8]) -> Result<(), Status> {
            checked(unsafe {
                proxy_add_header_map_value(
                    map(headers),
                    name.as_ptr(),
                    name.len(),
                    value.as_ptr(),
                    value.len(),
                )
            })
        }

        fn define_metric(&mut self, kind: MetricKind, name: &str) -> Result<MetricId, Status> {
            let kind = match kind {
                MetricKind::Counter => 0,
                MetricKind::Gauge => 1,
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

        fn shared(&mut self, key: &str, into: &mut Vec<u8>) -> Result<u32, Status> {
            let mut version = 0;
            value(into, |block, size| unsafe {
                proxy_get_shared_data(key.as_ptr(), key.len(), block, size, &mut version)
            })?;
            Ok(version)
        }

        fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Status> {
            checked(unsafe {
                proxy_set_shared_data(
                    key.as_ptr(),
                    key.len(),
                    value.as_ptr(),
                    value.len(),
                    version,
                )
            })
        }

        fn now(&mut self) -> Result<u64, Status> {
            let mut now = 0;
            checked(unsafe { proxy_get_current_time_nanoseconds(&mut now) })?;
            Ok(now)
        }

        fn tick_every(&mut self, milliseconds: u32) -> Result<(), Status> {
            checked(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
        }

        fn log(&mut self, level: Level, line: &str) {
            let level = match level {
                Level::Info => 2,
                Level::Warn => 3,
                Level::Error => 4,
            };
            unsafe { proxy_log(level, line.as_ptr(), line.len()) };
        }
    }

    thread_local! {
        static VM: RefCell<Vm<Envoy>> = RefCell::new(Vm::new(Envoy));
    }

    /// Runs a callback on the VM's state; a state that is in use is left alone instead of trapping.
    fn enter(callback: impl FnOnce(&mut Vm<Envoy>)) {
        VM.with(|vm| {
            if let Ok(mut vm) = vm.try_borrow_mut() {
                callback(&mut vm);
            }
        });
    }

    /// Tells the host which ABI this is.
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_abi_version_0_2_1() {}

    /// Gives the host room for a value; null when there is none.
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
        INBOX.allocate(size)
    }

    /// A root context (parent 0), or the context of a connection or a stream.
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
        enter(|vm| vm.on_context_create(context, parent));
    }

    /// A configuration for a root context. Always true: see [`Vm::on_configure`].
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_configure(root: u32, size: u32) -> u32 {
        enter(|vm| vm.on_configure(root, size));
        1
    }

    /// The timer of a root context.
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_tick(root: u32) {
        enter(|vm| vm.on_tick(root));
    }

    /// A connection was accepted; 0 is "continue".
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_new_connection(context: u32) -> u32 {
        enter(|vm| vm.on_new_connection(context));
        0
    }

    /// Data came from the caller; 0 is "continue".
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_downstream_data(context: u32, size: u32, _end: u32) -> u32 {
        enter(|vm| vm.on_downstream_data(context, size));
        0
    }

    /// The caller's connection ended.
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_downstream_connection_close(context: u32, _by: u32) {
        enter(|vm| vm.on_downstream_connection_close(context));
    }

    /// A request's headers are there; 0 is "continue".
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_request_headers(context: u32, _count: u32, _end: u32) -> u32 {
        enter(|vm| vm.on_request_headers(context));
        0
    }

    /// The response's headers are there; 0 is "continue".
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_response_headers(context: u32, _count: u32, _end: u32) -> u32 {
        enter(|vm| vm.on_response_headers(context));
        0
    }
}
