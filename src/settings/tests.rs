//! The configuration: every key, every kind of problem.

use super::*;
use proptest::prelude::*;

fn parse(json: &str) -> (Settings, Vec<String>) {
    let (settings, problems) = Settings::parse(json.as_bytes());
    (settings, problems.lines().to_vec())
}

/// The problems of a configuration. Asserts that its settings are the defaults.
fn problems(json: &str) -> Vec<String> {
    let (settings, problems) = parse(json);
    assert_eq!(settings, Settings::default(), "{json}");
    problems
}

#[test]
fn an_empty_configuration_gives_the_defaults() {
    for json in ["", "  \n", "{}", "null"] {
        assert_eq!(problems(json), Vec::<String>::new(), "{json:?}");
    }
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    for key in KEYS {
        let json = format!("{{\"{}\":{}}}", key.name, key.default);
        assert_eq!(problems(&json), Vec::<String>::new(), "{json}");
    }
}

#[test]
fn every_key_is_parsed() {
    let (settings, problems) = parse(
        r#"{"exempt":[{"port":8080.0},{"port":9000,"namespace":"shop","workload":"checkout"}],
        "callers":[{"cidr":"10.20.0.0/16","name":"legacy-vms"}],
        "ipv4Prefix":24,"ipv6Prefix":64.0,"maxCallers":10,"principals":true,"requestHeader":"X-Peer","responseHeader":"x-you",
        "responseHeaders":{"Sunset":"Wed, 31 Dec 2026 23:59:59 GMT","x-migrate":"soon"},"logCallers":false}"#,
    );
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(
        settings,
        Settings {
            exempt: vec![
                Exemption {
                    port: 8080,
                    namespace: None,
                    workload: None
                },
                Exemption {
                    port: 9000,
                    namespace: Some("shop".into()),
                    workload: Some("checkout".into())
                },
            ],
            callers: vec![NamedBlock {
                block: "10.20.0.0/16".parse().unwrap(),
                name: "legacy-vms".into()
            }],
            ipv4_prefix: 24,
            ipv6_prefix: 64,
            max_callers: 10,
            principals: true,
            request_header: Some("x-peer".into()),
            response_header: Some("x-you".into()),
            response_headers: vec![
                ("sunset".into(), "Wed, 31 Dec 2026 23:59:59 GMT".into()),
                ("x-migrate".into(), "soon".into()),
            ],
            log_callers: false,
        }
    );
}

#[test]
fn headers_can_be_turned_off() {
    assert_eq!(parse(r#"{"requestHeader":null}"#).0.request_header, None);
}

#[test]
fn every_problem_names_its_path_and_what_came() {
    let cases = [
        (r#"{"maxCaller":5}"#, "maxCaller: unknown key: 5"),
        (
            r#"{"maxCallers":0}"#,
            "maxCallers: not a whole number from 1 to 10000: 0",
        ),
        (
            r#"{"maxCallers":"many"}"#,
            "maxCallers: not a whole number from 1 to 10000: \"many\"",
        ),
        (
            r#"{"ipv4Prefix":32.5}"#,
            "ipv4Prefix: not a whole number from 0 to 32: 32.5",
        ),
        (
            r#"{"ipv6Prefix":1e300}"#,
            "ipv6Prefix: not a whole number from 0 to 128: 1e+300",
        ),
        (
            r#"{"principals":"yes"}"#,
            "principals: not true or false: \"yes\"",
        ),
        (r#"{"exempt":9000}"#, "exempt: not a list: 9000"),
        (r#"{"exempt":[9000]}"#, "exempt[0]: not an object: 9000"),
        (
            r#"{"exempt":[{"port":70000}]}"#,
            "exempt[0].port: not a whole number from 1 to 65535: 70000",
        ),
        (
            r#"{"exempt":[{"namespace":"shop"}]}"#,
            "exempt[0].port: not a whole number from 1 to 65535: null",
        ),
        (
            r#"{"exempt":[{"port":9000,"namespace":7}]}"#,
            "exempt[0].namespace: not a name of 1 to 256 bytes: 7",
        ),
        (
            r#"{"exempt":[{"port":9000,"workload":""}]}"#,
            "exempt[0].workload: not a name of 1 to 256 bytes: \"\"",
        ),
        (
            r#"{"callers":[{"cidr":"10.0.0/8","name":"a"}]}"#,
            "callers[0].cidr: not a CIDR block: \"10.0.0/8\"",
        ),
        (
            r#"{"callers":[{"cidr":"10.0.0.1/8","name":"a"}]}"#,
            "callers[0].cidr: a CIDR block with bits after its prefix: \"10.0.0.1/8\"",
        ),
        (
            r#"{"callers":[{"cidr":"10.0.0.0/8"}]}"#,
            "callers[0].name: not a name of 1 to 256 bytes: null",
        ),
        (
            r#"{"requestHeader":"authorization"}"#,
            "requestHeader: not a header name that begins with x-: \"authorization\"",
        ),
        (
            r#"{"requestHeader":"x-forwarded-client-cert"}"#,
            "requestHeader: a header that proxies or applications use: \"x-forwarded-client-cert\"",
        ),
        (
            r#"{"requestHeader":7}"#,
            "requestHeader: not a header name or null: 7",
        ),
        (
            r#"{"responseHeaders":{"set-cookie":"a=b"}}"#,
            "responseHeaders.set-cookie: not deprecation, sunset, link or a header name that begins with x-: \"a=b\"",
        ),
        (
            r#"{"responseHeaders":{"x-a":"b\r\nc"}}"#,
            "responseHeaders.x-a: not a header value of 1 to 1024 printable characters: \"b\\r\\nc\"",
        ),
        ("[1]", "configuration: not an object: [1]"),
    ];
    for (json, problem) in cases {
        assert_eq!(problems(json), [problem], "{json}");
    }
}

#[test]
fn invalid_json_is_one_problem_with_its_position() {
    let [problem] = &problems("{\"a\":")[..] else {
        panic!("not one problem");
    };
    assert!(
        problem.starts_with("configuration: not JSON: "),
        "{problem}"
    );
    assert!(problem.ends_with("line 1 column 5"), "{problem}");
    assert_eq!(Settings::parse(b"\xff").1.lines().len(), 1);
}

#[test]
fn one_bad_entry_leaves_the_others_in_force() {
    let (settings, problems) =
        parse(r#"{"exempt":[{"port":0},{"port":9000,"ports":1}],"logCallers":false}"#);
    assert_eq!(settings.exempt.len(), 1);
    assert!(!settings.log_callers);
    assert_eq!(
        problems,
        [
            "exempt[0].port: not a whole number from 1 to 65535: 0",
            "exempt[1].ports: unknown key: 1",
        ]
    );
}

#[test]
fn long_lists_and_long_values_are_cut() {
    let header = |number| format!("\"x-{number}\":\"a\"");
    for (given, ignored) in [(1_000, false), (1_002, true)] {
        let exempt = vec![r#"{"port":80}"#; given].join(",");
        let headers = Vec::from_iter((0..given).map(header)).join(",");
        let (settings, problems) = parse(&format!(
            "{{\"exempt\":[{exempt}],\"responseHeaders\":{{{headers}}}}}"
        ));
        assert_eq!(settings.exempt.len(), 1_000);
        assert_eq!(settings.response_headers.len(), 1_000);
        let expected = ["exempt", "responseHeaders"]
            .map(|key| format!("{key}: more than 1000 entries, the rest is ignored: {given}"));
        assert_eq!(problems, if ignored { &expected[..] } else { &[] });
    }
    let (_, problems) = parse(&format!(
        "{{\"{}\":\"{}\"}}",
        "k".repeat(500),
        "\u{e9}".repeat(500)
    ));
    assert!(
        problems[0].len() < 250 && problems[0].ends_with("..."),
        "{problems:?}"
    );
}

proptest! {
    #[test]
    fn any_bytes_give_settings_within_bounds(bytes: Vec<u8>) {
        let (settings, _) = Settings::parse(&bytes);
        prop_assert!((1..=10_000).contains(&settings.max_callers));
        prop_assert!(settings.ipv4_prefix <= 32 && settings.ipv6_prefix <= 128);
    }
}
