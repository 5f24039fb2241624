//! The functions that the module may import from `env`, with Envoy's semantics.
//!
//! Returned bytes are written to memory from the module's own allocator, so a call that returns bytes re-enters the VM:
//! <https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/include/proxy-wasm/wasm.h> (`copyToPointerSize`).

use crate::{
    Status,
    facts::{Answer, Headers},
    host_state::{HostState, Interfered, Map},
    metric_store::Kind,
};
use anyhow::Result;
use wasmi::{Caller, Extern, Linker, Memory};

type Host<'a> = Caller<'a, HostState>;

/// The result of a host call: a value, or a status other than Ok.
type Answered<T> = std::result::Result<T, Status>;

fn memory(host: &Host) -> Answered<Memory> {
    host.get_export("memory")
        .and_then(Extern::into_memory)
        .ok_or(Status::INVALID_MEMORY_ACCESS)
}

fn read(host: &Host, at: u32, length: u32) -> Answered<Vec<u8>> {
    let start = at as usize;
    memory(host)?
        .data(host)
        .get(start..start + length as usize)
        .map(<[u8]>::to_vec)
        .ok_or(Status::INVALID_MEMORY_ACCESS)
}

fn write(host: &mut Host, at: u32, bytes: &[u8]) -> Answered<()> {
    memory(host)?
        .write(host, at as usize, bytes)
        .map_err(|_| Status::INVALID_MEMORY_ACCESS)
}

/// Allocates memory in the module and writes `bytes` to it. Without bytes nothing is allocated and the pointer is 0.
fn hand_over(host: &mut Host, bytes: &[u8], pointer: u32, size: u32) -> Answered<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| Status::INTERNAL_FAILURE)?;
    let mut at = 0;
    if length > 0 {
        host.data_mut().tally.allocations += 1;
        at = crate::vm::ALLOCATORS
            .into_iter()
            .find_map(|name| host.get_export(name).and_then(Extern::into_func))
            .and_then(|function| function.typed::<u32, u32>(&*host).ok())
            .and_then(|allocate| allocate.call(&mut *host, length).ok())
            .filter(|at| *at != 0)
            .ok_or(Status::INVALID_MEMORY_ACCESS)?;
        write(host, at, bytes)?;
    }
    write(host, pointer, &at.to_le_bytes())?;
    write(host, size, &length.to_le_bytes())
}

/// Counts the call and lets interference override the answer.
fn enter(host: &mut Host, name: &'static str) -> Answered<Option<Vec<u8>>> {
    let state = host.data_mut();
    *state.tally.calls.entry(name).or_insert(0) += 1;
    match state.interference.as_mut().and_then(|answer| answer(name)) {
        Some(Interfered::Status(status)) if status != Status::OK => Err(status),
        Some(Interfered::Bytes(bytes)) => Ok(Some(bytes)),
        Some(Interfered::Status(_)) | None => Ok(None),
    }
}

fn number(answered: Answered<()>) -> u32 {
    answered.err().unwrap_or(Status::OK).0
}

fn positive(status: Status) -> Answered<()> {
    if status == Status::OK {
        Ok(())
    } else {
        Err(status)
    }
}

fn headers<'a>(host: &'a mut Host, map: u32) -> Answered<&'a mut Headers> {
    // 0 = request headers, 2 = response headers; the filter needs no others.
    let wanted = match map {
        0 => Map::Request,
        2 => Map::Response,
        _ => return Err(Status::BAD_ARGUMENT),
    };
    match &mut host.data_mut().headers {
        Some((open, headers)) if *open == wanted => Ok(headers),
        _ => Err(Status::BAD_ARGUMENT),
    }
}

fn lower(name: &[u8]) -> Vec<u8> {
    name.to_ascii_lowercase()
}

fn get_property(host: &mut Host, path: u32, length: u32, at: u32, size: u32) -> Answered<()> {
    let path = read(host, path, length)?;
    if let Some(asked) = &mut host.data_mut().asked {
        asked.push(String::from_utf8_lossy(&path).replace('\0', "."));
    }
    let scripted = enter(host, "proxy_get_property")?;
    let answer = scripted.map_or_else(|| host.data().property(&path), Answer::Bytes);
    match answer {
        Answer::Bytes(bytes) => hand_over(host, &bytes, at, size),
        Answer::Refused(status) => Err(status),
    }
}

/// Sets one of the module's own properties, on the current request, or on the connection for all of its requests.
///
/// <https://github.com/envoyproxy/envoy/blob/v1.36.2/source/extensions/common/wasm/context.cc> (`setProperty`).
fn set_property(host: &mut Host, name: (u32, u32), value: (u32, u32)) -> Answered<()> {
    enter(host, "proxy_set_property")?;
    let name = read(host, name.0, name.1)?;
    let value = Answer::Bytes(read(host, value.0, value.1)?);
    let facts = host.data_mut().own_facts().ok_or(Status::NOT_FOUND)?;
    facts.set_wire(&name, value);
    Ok(())
}

fn get_header(host: &mut Host, map: u32, name: (u32, u32), at: u32, size: u32) -> Answered<()> {
    let scripted = enter(host, "proxy_get_header_map_value")?;
    let name = lower(&read(host, name.0, name.1)?);
    let value = match scripted {
        Some(bytes) => bytes,
        None => headers(host, map)?
            .iter()
            .find(|(held, _)| *held == name)
            .map(|(_, value)| value.clone())
            .ok_or(Status::NOT_FOUND)?,
    };
    hand_over(host, &value, at, size)
}

fn change_header(
    host: &mut Host,
    call: &'static str,
    map: u32,
    name: (u32, u32),
    value: (u32, u32),
) -> Answered<()> {
    enter(host, call)?;
    let name = lower(&read(host, name.0, name.1)?);
    let value = read(host, value.0, value.1)?;
    let headers = headers(host, map)?;
    if call == "proxy_replace_header_map_value" {
        headers.retain(|(held, _)| *held != name);
    }
    headers.push((name, value));
    Ok(())
}

fn get_buffer(
    host: &mut Host,
    kind: u32,
    start: u32,
    most: u32,
    at: u32,
    size: u32,
) -> Answered<()> {
    let scripted = enter(host, "proxy_get_buffer_bytes")?;
    let state = host.data();
    // 2 = downstream data, 6 = VM configuration, 7 = plugin configuration.
    let buffer = match kind {
        2 => state.downstream.clone(),
        6 => Some(Vec::new()),
        7 => state.configuration.clone(),
        _ => return Err(Status::BAD_ARGUMENT),
    };
    let buffer = scripted.or(buffer).ok_or(Status::NOT_FOUND)?;
    let end = start.checked_add(most).ok_or(Status::BAD_ARGUMENT)?;
    let start = (start as usize).min(buffer.len());
    let end = (end as usize).min(buffer.len());
    hand_over(host, &buffer[start..end], at, size)
}

fn define_metric(host: &mut Host, kind: u32, name: (u32, u32), id: u32) -> Answered<()> {
    enter(host, "proxy_define_metric")?;
    let name = read(host, name.0, name.1)?;
    let kind = Kind::from_abi(kind).ok_or(Status::BAD_ARGUMENT)?;
    let number = host.data_mut().define(kind, &name);
    write(host, id, &number.to_le_bytes())
}

fn metric(host: &mut Host, call: &'static str, id: u32) -> Answered<(Kind, Vec<u8>)> {
    enter(host, call)?;
    let state = host.data();
    state.metric_ids.get(&id).cloned().ok_or(Status::NOT_FOUND)
}

fn increment(host: &mut Host, id: u32, offset: i64) -> Answered<()> {
    let (kind, name) = metric(host, "proxy_increment_metric", id)?;
    positive(host.data().process.metrics.increment(kind, &name, offset))
}

fn record(host: &mut Host, id: u32, value: u64) -> Answered<()> {
    let (kind, name) = metric(host, "proxy_record_metric", id)?;
    positive(host.data().process.metrics.record(kind, &name, value))
}

fn log(host: &mut Host, level: u32, at: u32, size: u32) -> Answered<()> {
    enter(host, "proxy_log")?;
    let line = String::from_utf8_lossy(&read(host, at, size)?).into_owned();
    host.data_mut().logs.push((level, line));
    Ok(())
}

fn current_time(host: &mut Host, at: u32) -> Answered<()> {
    enter(host, "proxy_get_current_time_nanoseconds")?;
    let now = host.data().process.clock.get();
    write(host, at, &now.to_le_bytes())
}

fn tick_period(host: &mut Host, milliseconds: u32) -> Answered<()> {
    enter(host, "proxy_set_tick_period_milliseconds")?;
    let state = host.data_mut();
    state.tick_periods.insert(state.current, milliseconds);
    Ok(())
}

/// Defines the imports that the filter needs. Any other import fails the load, so that adding one is deliberate.
pub(crate) fn offer(linker: &mut Linker<HostState>) -> Result<()> {
    const ENV: &str = "env";
    linker.func_wrap(ENV, "proxy_log", |mut h: Host, l: u32, p: u32, s: u32| {
        number(log(&mut h, l, p, s))
    })?;
    linker.func_wrap(
        ENV,
        "proxy_get_property",
        |mut h: Host, p: u32, n: u32, at: u32, s: u32| number(get_property(&mut h, p, n, at, s)),
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_property",
        |mut h: Host, p: u32, n: u32, v: u32, s: u32| number(set_property(&mut h, (p, n), (v, s))),
    )?;
    linker.func_wrap(
        ENV,
        "proxy_define_metric",
        |mut h: Host, k: u32, p: u32, s: u32, id: u32| number(define_metric(&mut h, k, (p, s), id)),
    )?;
    linker.func_wrap(
        ENV,
        "proxy_increment_metric",
        |mut h: Host, id: u32, by: i64| number(increment(&mut h, id, by)),
    )?;
    linker.func_wrap(
        ENV,
        "proxy_record_metric",
        |mut h: Host, id: u32, to: u64| number(record(&mut h, id, to)),
    )?;
    linker.func_wrap(
        ENV,
        "proxy_get_header_map_value",
        |mut h: Host, m: u32, p: u32, n: u32, at: u32, s: u32| {
            number(get_header(&mut h, m, (p, n), at, s))
        },
    )?;
    for call in [
        "proxy_add_header_map_value",
        "proxy_replace_header_map_value",
    ] {
        linker.func_wrap(
            ENV,
            call,
            move |mut h: Host, m: u32, p: u32, n: u32, v: u32, s: u32| {
                number(change_header(&mut h, call, m, (p, n), (v, s)))
            },
        )?;
    }
    linker.func_wrap(
        ENV,
        "proxy_get_buffer_bytes",
        |mut h: Host, k: u32, from: u32, n: u32, at: u32, s: u32| {
            number(get_buffer(&mut h, k, from, n, at, s))
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_get_current_time_nanoseconds",
        |mut h: Host, at: u32| number(current_time(&mut h, at)),
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_tick_period_milliseconds",
        |mut h: Host, ms: u32| number(tick_period(&mut h, ms)),
    )?;
    Ok(())
}
