#!/usr/bin/env bash
# Breaks the filter in one place at a time and demands that the named test goes red: wasm-host/mutants.sh [NAME...]
#
# Each mutant is a substitution in src/ and the one test that must notice it. The tree itself is not touched.
# shellcheck disable=SC2016 # the dollars in the substitutions are Perl's
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wanted=("$@")
target=wasm32-unknown-unknown
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")/mutants
survivors=0

mkdir "$work/tree"
# The filter alone: a workspace of one.
sed 's/^members = .*/members = ["."]/' "$root/Cargo.toml" >"$work/tree/Cargo.toml"
cp "$root/Cargo.lock" "$work/tree/"

build() {
    (cd "$work/tree" && CARGO_PROFILE_MODULE_LTO=off CARGO_PROFILE_MODULE_CODEGEN_UNITS=16 \
        cargo rustc --quiet --offline --package plainsight --lib --crate-type cdylib --profile module \
        --target $target --target-dir "$target_dir")
}

runs() { PLAINSIGHT_WASM=$target_dir/$target/module/plainsight.wasm \
    cargo test --quiet --locked --manifest-path "$root/Cargo.toml" --package plainsight-wasm-host --test "$1" -- --exact "$2"; }

# mutant NAME FILE PERL-SUBSTITUTION TEST-FILE TEST
mutant() {
    local name=$1 file=$2 change=$3
    if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
    rm -rf "$work/tree/src" && cp -r "$root/src" "$work/tree/"
    perl -0pi -e "$change" "$work/tree/src/$file"
    if cmp -s "$root/src/$file" "$work/tree/src/$file"; then
        echo "mutants: $name: src/$file: the substitution changes nothing" >&2
        exit 1
    fi
    build || { echo "mutants: $name: does not build" >&2; exit 1; }
    if runs "$4" "$5" >"$work/log" 2>&1; then
        echo "SURVIVED $name ($4: $5)"
        survivors=$((survivors + 1))
    elif grep -q 'running 1 test' "$work/log" && grep -q 'test result: FAILED. 0 passed; 1 failed' "$work/log"; then
        echo "red      $name ($4: $5)"
    else
        cat "$work/log" >&2
        exit 1
    fi
}

mutant a_second_property vm.rs 's/(let mut missed = None;)/let _ = self.access.read(Property::MTLS);\n        $1/' \
    gates a_warm_mutual_tls_request_makes_two_host_calls
mutant a_mark_for_each_read vm.rs 's/\(Stage::Decided\(\.\.\), Mark::Wanted\) =>/(Stage::Decided(..), Mark::Wanted | Mark::Set(_)) =>/' \
    gates a_warm_mutual_tls_request_makes_two_host_calls
mutant a_mark_taken_on_trust vm.rs 's/if self\.access\.is_marked\(mark\)/if !mark.is_empty()/' \
    gates a_request_that_waited_while_another_connection_spoke_asks_for_its_id_too
mutant claims_asked_twice vm/visitor.rs 's/!self\.series\.has_requests\(series\)/true/' \
    gates a_connection_with_one_request_makes_the_host_calls_that_its_verdict_needs
mutant a_second_count vm.rs 's/(\.add_to\(&mut self\.access, series, Part::Requests\(traffic\)), 1\);/$1, 1);\n        self.series.add_to(&mut self.access, series, Part::Active, 1);/' \
    gates a_warm_plaintext_request_makes_four_host_calls_the_user_agent_among_them
mutant an_export_for_the_log abi.rs 's/(    \/\/\/ The timer of a root)/    \/\/\/ More.\n    #[unsafe(no_mangle)]\n    pub extern "C" fn proxy_on_log(_context: u32) {}\n\n$1/' \
    gates a_request_enters_the_vm_three_times_beyond_its_read_and_never_for_a_body
mutant an_export_for_bodies abi.rs 's/(    \/\/\/ The timer of a root)/    \/\/\/ More.\n    #[unsafe(no_mangle)]\n    pub extern "C" fn proxy_on_response_body(_c: u32, _s: u32, _e: u32) -> u32 {\n        0\n    }\n\n$1/' \
    gates no_callback_for_bodies_trailers_or_upstream_data_is_exported
mutant every_read_decides vm.rs 's/if size == 0 \{/if size == 0 || self.access.read(Property::MTLS).is_err() {/' \
    gates a_further_read_of_a_decided_connection_makes_no_host_call
mutant a_leak_per_request vm.rs 's/(fn count_request\(.*?\{\n)/$1        std::mem::forget(vec![1_u8; 64]);\n/s' \
    gates a_warm_request_never_grows_the_memory
mutant a_large_connection connections.rs 's/(pub fn opened\(.*?\{\n)/$1        std::mem::forget(vec![1_u8; 512]);\n/s' \
    gates a_thousand_callers_and_ten_thousand_connections_fit_into_four_mebibytes
mutant a_registry_that_grows connections.rs 's/self\.by_id\.remove\(&id\);/let _ = id;/' \
    gates memory_is_flat_while_a_hundred_thousand_connections_come_and_go
mutant a_header_beside_the_forged_one vm.rs 's/\.replace_header\(Headers::Request/.add_header(Headers::Request/' \
    contract a_forged_header_never_reaches_the_application
mutant a_guess_instead_of_the_id vm.rs 's/match self\.access\.integer\(Property::CONNECTION_ID\)/match Ok::<_, crate::property::Unreadable>(Some(1_u64))/' \
    contract a_request_is_told_by_its_own_connection_whichever_was_read_last
mutant zero_is_no_id vm.rs 's/Ok\(Some\(id\)\) => Some\(id\)/Ok(Some(id)) => Some(id).filter(|id| *id != 0)/' \
    contract connection_id_zero_is_a_connection_like_any_other
mutant a_wrong_width_is_false property.rs 's/_ => self\.wrong\(property, "one byte, 0 or 1"\)/_ => Ok(Some(false))/' \
    contract an_undecodable_property_is_an_error_and_never_plaintext
mutant no_older_names property.rs 's/Some\(\$path\)\s*\};/None\n    };/' \
    contract names_from_before_envoy_1_33_are_tried_second
mutant a_forwarded_address_is_believed caller.rs 's/Some\(Endpoint \{ port: 0, \.\. \}\) => Source::Forwarded,//' \
    contract a_forwarded_address_is_never_the_clients_word
mutant an_idle_connection_is_forgotten series.rs 's/\(series\.open > 0 \|\| series\.seen\)/series.seen/' \
    contract a_caller_is_last_seen_as_long_as_its_connection_is_open
mutant an_unbounded_cache connections.rs 's/const MOST_REMEMBERED: usize = 4096/const MOST_REMEMBERED: usize = 4_096_000/' \
    contract the_http_plugin_alone_tells_peers_and_keeps_a_bounded_number_of_them
mutant outbound_counts vm/visitor.rs 's/const OUTBOUND: u64 = 2;/const OUTBOUND: u64 = 3;/' \
    contract an_outbound_listener_is_none_of_its_business
mutant a_gauge_left_hanging vm.rs 's/Part::Active, -1\)/Part::Active, 0)/' \
    workers counters_go_on_in_the_vm_after_and_no_active_connection_stays_behind
mutant no_compare_and_swap census.rs 's/set_shared\(&key, &count\.to_le_bytes\(\), version\)/set_shared(\&key, \&count.to_le_bytes(), version.min(0))/' \
    workers the_cap_is_reached_exactly_whoever_writes_in_between
mutant forty_claims vm/claims.rs 's/MOST_PER_ADDRESS: u32 = 4;/MOST_PER_ADDRESS: u32 = 40;/' \
    workers an_address_has_at_most_four_claims_over_all_workers
mutant a_bad_configuration_stops_envoy abi.rs 's/(vm\.on_configure\(root, size\)\);\n\s+)1/$1u32::from(size < 40)/' \
    workers a_reconfiguration_good_bad_good_loses_no_call_and_tells_its_problems
mutant values_with_cache label_value.rs 's/"cache\.",/"cache_.",/' \
    labels the_values_that_were_seen_to_leak_no_longer_do
mutant values_with_semicolons label_value.rs 's/b.;. \| b/b/' \
    labels every_value_comes_out_whole_in_the_native_form
mutant values_with_commas label_value.rs 's/\| b.,. \|/|/' \
    labels every_value_comes_out_whole_in_the_stock_form
mutant errors_uncounted trouble.rs 's/self\.owed = self\.owed\.saturating_add\(1\);/self.owed = self.owed.saturating_add(i64::from(what != "connection.mtls"));/' \
    hostile twenty_thousand_hostile_cases_break_nothing
mutant a_trap_on_strange_addresses address.rs 's/rest\.strip_suffix\(.\].\)\?/rest.strip_suffix("]").unwrap()/' \
    hostile twenty_thousand_hostile_cases_break_nothing
mutant a_header_with_any_byte peer_header.rs 's/_ => push_percent\(into, byte\)/_ => into.push(char::from(byte))/' \
    hostile twenty_thousand_hostile_cases_break_nothing

echo "mutants: $survivors survived"
exit $((survivors > 0))
