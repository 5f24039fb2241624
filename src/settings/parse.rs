//! JSON into [`Settings`], with every problem and its path.

use super::json::{self, Json};
use super::{Deprecation, NamedCidr, Settings};
use crate::address::Cidr;
use crate::date;
use crate::metrics::LabelForm;
/// At most so many entries in a list, and so many problems told: a configuration is not a data set.
const MOST_ENTRIES: usize = 1000;
const MOST_PROBLEMS: usize = 50;
/// A longer name, header or link is a mistake.
const MOST_TEXT: usize = 256;

pub(super) fn parse(json: &[u8]) -> (Settings, Vec<String>) {
    let mut problems = Problems::default();
    let mut settings = Settings::default();
    if json.iter().all(u8::is_ascii_whitespace) {
        return (settings, problems.list);
    }
    match std::str::from_utf8(json).map(json::parse) {
        Ok(Ok(Json::Object(keys))) => read(&keys, &mut settings, &mut problems),
        // An absent pluginConfig may arrive as a null.
        Ok(Ok(Json::Null)) => {}
        Ok(Ok(other)) => problems.tell("configuration", "not an object", &other),
        Ok(Err((line, column))) => problems.push(format!(
            "configuration: not JSON: from line {line} column {column} on"
        )),
        Err(error) => problems.push(format!(
            "configuration: not UTF-8: from byte {} on",
            error.valid_up_to()
        )),
    }
    (settings, problems.list)
}

#[derive(Default)]
struct Problems {
    list: Vec<String>,
}

impl Problems {
    fn push(&mut self, problem: String) {
        match self.list.len() {
            0..MOST_PROBLEMS => self.list.push(problem),
            MOST_PROBLEMS => self
                .list
                .push("configuration: more problems, not listed".into()),
            _ => {}
        }
    }

    fn tell(&mut self, path: &str, problem: &str, came: &Json) {
        let mut line = [path, ": ", problem, ": "].concat();
        let room = line.len().saturating_add(80);
        came.quote(&mut line, room);
        self.push(line);
    }
}

fn read(keys: &[(String, Json)], settings: &mut Settings, problems: &mut Problems) {
    for (at, (key, value)) in keys.iter().enumerate() {
        let path = key.as_str();
        let mut later = keys.iter().skip(at.saturating_add(1));
        if later.any(|(other, _)| other == key) {
            problems.push([path, ": given more than once, the last one counts"].concat());
            continue;
        }
        match path {
            "labels" => match value.text() {
                Some("stock") => settings.labels = LabelForm::Stock,
                Some("native") => settings.labels = LabelForm::Native,
                _ => problems.tell(path, "not \"stock\" or \"native\"", value),
            },
            "exemptPorts" => {
                for (path, entry) in entries(path, value, problems) {
                    match entry
                        .whole(1, 65535)
                        .and_then(|port| u16::try_from(port).ok())
                    {
                        Some(port) => settings.exempt_ports.push(port),
                        None => problems.tell(&path, "not a port, 1 to 65535", entry),
                    }
                }
            }
            "callers" => {
                for (path, entry) in entries(path, value, problems) {
                    settings.callers.extend(named_cidr(&path, entry, problems));
                }
            }
            "ipv4Prefix" => prefix(path, value, 32, &mut settings.ipv4_prefix, problems),
            "ipv6Prefix" => prefix(path, value, 128, &mut settings.ipv6_prefix, problems),
            "maxCallers" => match value.whole(1, 10_000) {
                Some(most) => settings.max_callers = most,
                None => problems.tell(path, "not a whole number from 1 to 10000", value),
            },
            "principals" => boolean(path, value, &mut settings.principals, problems),
            "logCallers" => boolean(path, value, &mut settings.log_callers, problems),
            "requestHeader" => header(path, value, &mut settings.request_header, problems),
            "responseHeader" => header(path, value, &mut settings.response_header, problems),
            "deprecation" => match value {
                Json::Object(parts) => settings.deprecation = deprecation(path, parts, problems),
                Json::Null => {}
                _ => problems.tell(path, "not an object", value),
            },
            _ => problems.tell(path, "unknown key", value),
        }
    }
    if settings.deprecation != Deprecation::default() && settings.response_header.is_none() {
        problems.push("deprecation: needs responseHeader: it is not set".into());
        settings.deprecation = Deprecation::default();
    }
}

/// A list's entries, each with its path.
fn entries<'j>(path: &str, value: &'j Json, problems: &mut Problems) -> Vec<(String, &'j Json)> {
    let Json::List(list) = value else {
        problems.tell(path, "not a list", value);
        return Vec::new();
    };
    if list.len() > MOST_ENTRIES {
        problems.push(format!(
            "{path}: more than {MOST_ENTRIES} entries, the rest is left out: {}",
            list.len()
        ));
    }
    let entries = list.iter().take(MOST_ENTRIES).enumerate();
    entries
        .map(|(at, entry)| (format!("{path}[{at}]"), entry))
        .collect()
}

fn prefix(path: &str, value: &Json, most: u8, into: &mut u8, problems: &mut Problems) {
    match value
        .whole(0, u32::from(most))
        .and_then(|bits| u8::try_from(bits).ok())
    {
        Some(bits) => *into = bits,
        None => problems.tell(path, &format!("not a prefix length, 0 to {most}"), value),
    }
}

fn boolean(path: &str, value: &Json, into: &mut bool, problems: &mut Problems) {
    match value {
        Json::Bool(value) => *into = *value,
        _ => problems.tell(path, "not true or false", value),
    }
}

/// A header's name, or null. HTTP/2 wants it in lower case (RFC 9113, section 8.2.1).
fn header(path: &str, value: &Json, into: &mut Option<String>, problems: &mut Problems) {
    let is_name = |name: &&str| {
        !name.is_empty()
            && name.len() <= MOST_TEXT
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    // A caller's or an application's routing must not hang on our header.
    const TAKEN: [&str; 8] = [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "upgrade",
        "te",
        "trailer",
        "keep-alive",
    ];
    if *value == Json::Null {
        *into = None;
        return;
    }
    let name = value.text().map(str::to_ascii_lowercase);
    match name.filter(|name| is_name(&name.as_str())) {
        Some(name) if TAKEN.contains(&name.as_str()) => {
            problems.tell(path, "a header that HTTP itself needs", value);
        }
        Some(name) => *into = Some(name),
        None => problems.tell(path, "not a header name or null", value),
    }
}

fn named_cidr(path: &str, value: &Json, problems: &mut Problems) -> Option<NamedCidr> {
    let Json::Object(parts) = value else {
        problems.tell(path, "not an object with cidr and name", value);
        return None;
    };
    let (mut cidr, mut name) = (&Json::Null, &Json::Null);
    for (key, value) in parts {
        match key.as_str() {
            "cidr" => cidr = value,
            "name" => name = value,
            _ => problems.tell(&[path, ".", key].concat(), "unknown key", value),
        }
    }
    let block = cidr.text().and_then(Cidr::parse);
    if block.is_none() {
        problems.tell(&[path, ".cidr"].concat(), "not a CIDR block", cidr);
    }
    let text = name
        .text()
        .filter(|name| (1..=MOST_TEXT).contains(&name.len()));
    if text.is_none() {
        problems.tell(
            &[path, ".name"].concat(),
            "not a name of 1 to 256 bytes",
            name,
        );
    }
    Some(NamedCidr {
        cidr: block?,
        name: text?.into(),
    })
}

fn deprecation(path: &str, parts: &[(String, Json)], problems: &mut Problems) -> Deprecation {
    let mut out = Deprecation::default();
    for (key, value) in parts {
        let path = [path, ".", key].concat();
        let moment = value.text().and_then(date::parse_rfc3339);
        match key.as_str() {
            "since" => match moment {
                Some(unix) => out.since = Some(format!("@{unix}")),
                None => problems.tell(&path, "not an RFC 3339 date and time", value),
            },
            "sunset" => match moment.and_then(date::imf_fixdate) {
                Some(text) => out.sunset = Some(text),
                None => problems.tell(&path, "not an RFC 3339 date and time", value),
            },
            "link" => match value.text().filter(|url| is_url(url)) {
                Some(url) => out.link = Some(format!("<{url}>; rel=\"deprecation\"")),
                None => problems.tell(&path, "not an http or https URL", value),
            },
            _ => problems.tell(&path, "unknown key", value),
        }
    }
    out
}

fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.len() <= MOST_TEXT
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(json: &str) -> (Settings, Vec<String>) {
        parse(json.as_bytes())
    }

    fn problems(json: &str) -> Vec<String> {
        of(json).1
    }

    #[test]
    fn nothing_and_an_empty_object_are_the_defaults() {
        for json in ["", "  \n", "{}", "null"] {
            assert_eq!(of(json), (Settings::default(), vec![]), "{json:?}");
        }
    }

    #[test]
    fn every_key_is_read() {
        let (settings, problems) = of(
            r#"{"labels":"native","exemptPorts":[8080,9090.0],"callers":[{"cidr":"10.20.0.0/16","name":"legacy-vms"}],
            "ipv4Prefix":24,"ipv6Prefix":64.0,"maxCallers":10,"principals":true,"requestHeader":"X-Peer","responseHeader":"x-you",
            "deprecation":{"since":"2026-01-01T00:00:00Z","sunset":"2026-06-01T00:00:00Z","link":"https://e.org/mtls"},"logCallers":false}"#,
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(
            settings,
            Settings {
                labels: LabelForm::Native,
                exempt_ports: vec![8080, 9090],
                callers: vec![NamedCidr {
                    cidr: Cidr::parse("10.20.0.0/16").unwrap(),
                    name: "legacy-vms".into()
                }],
                ipv4_prefix: 24,
                ipv6_prefix: 64,
                max_callers: 10,
                principals: true,
                request_header: Some("x-peer".into()),
                response_header: Some("x-you".into()),
                deprecation: Deprecation {
                    since: Some("@1767225600".into()),
                    sunset: Some("Mon, 01 Jun 2026 00:00:00 GMT".into()),
                    link: Some("<https://e.org/mtls>; rel=\"deprecation\"".into()),
                },
                log_callers: false,
            }
        );
    }

    #[test]
    fn every_problem_is_told_with_its_path_and_the_rest_is_kept() {
        let (settings, problems) = of(
            r#"{"callers":[{"cidr":"10.1.0.0/16","name":"a"},7,{"cidr":"10.0.0/8","name":"b"},{"cidr":"10.0.0.0/8"}],
            "maxCallers":0,"labels":1,"exemptPorts":[80,0,70000,1.5,"x"],"nosuch":true,"requestHeader":"a b","principals":"yes"}"#,
        );
        let wanted = [
            "callers[1]: not an object with cidr and name: 7",
            "callers[2].cidr: not a CIDR block: \"10.0.0/8\"",
            "callers[3].name: not a name of 1 to 256 bytes: null",
            "exemptPorts[1]: not a port, 1 to 65535: 0",
            "exemptPorts[2]: not a port, 1 to 65535: 70000",
            "exemptPorts[3]: not a port, 1 to 65535: 1.5",
            "exemptPorts[4]: not a port, 1 to 65535: \"x\"",
            "labels: not \"stock\" or \"native\": 1",
            "maxCallers: not a whole number from 1 to 10000: 0",
            "nosuch: unknown key: true",
            "principals: not true or false: \"yes\"",
            "requestHeader: not a header name or null: \"a b\"",
        ];
        let mut sorted = problems.clone();
        sorted.sort();
        assert_eq!(sorted, wanted);
        assert_eq!(settings.exempt_ports, [80]);
        assert_eq!(settings.callers.len(), 1);
        assert_eq!(settings.max_callers, 1000);
        assert_eq!(
            settings.request_header.as_deref(),
            Some("x-plainsight-peer")
        );
    }

    #[test]
    fn no_json_and_no_object_are_one_problem_each() {
        assert!(problems("{\"a\":")[0].starts_with("configuration: not JSON: "));
        assert_eq!(problems("[1]"), ["configuration: not an object: [1]"]);
        assert_eq!(parse(b"\xff\xfe").1.len(), 1);
        assert_eq!(problems(&"[".repeat(100_000)).len(), 1);
        assert_eq!(
            problems(r#"{"maxCallers":5,"maxCallers":6}"#),
            ["maxCallers: given more than once, the last one counts"]
        );
    }

    #[test]
    fn of_a_key_given_more_than_once_nothing_but_the_last_counts() {
        let (settings, problems) = of(
            r#"{"exemptPorts":[1],"maxCallers":5,"exemptPorts":[2],"exemptPorts":[3],"maxCallers":0}"#,
        );
        assert_eq!(problems.len(), 4);
        assert_eq!(settings.exempt_ports, [3]);
        assert_eq!(settings.max_callers, 1000);
    }

    #[test]
    fn headers_that_http_needs_are_refused() {
        assert_eq!(problems(r#"{"requestHeader":"Host"}"#).len(), 1);
        assert_eq!(problems(r#"{"responseHeader":":status"}"#).len(), 1);
    }

    #[test]
    fn deprecation_needs_a_response_header() {
        let (settings, problems) = of(r#"{"deprecation":{"since":"2026-01-01T00:00:00Z"}}"#);
        assert_eq!(
            problems,
            ["deprecation: needs responseHeader: it is not set"]
        );
        assert_eq!(settings.deprecation, Deprecation::default());
        assert_eq!(
            self::problems(
                r#"{"responseHeader":"x","deprecation":{"since":"soon","link":"ftp://x","why":1}}"#
            )
            .len(),
            3
        );
    }

    #[test]
    fn what_came_is_cut_and_problems_are_counted_to_an_end() {
        let long = format!(r#"{{"nosuch":"{}"}}"#, "é".repeat(500));
        assert!(problems(&long)[0].len() < 250);
        let many: Vec<String> = (0..500).map(|n| format!("\"k{n}\":1")).collect();
        assert_eq!(
            problems(&format!("{{{}}}", many.join(","))).len(),
            MOST_PROBLEMS + 1
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_settings(bytes: Vec<u8>) {
            let (settings, _) = parse(&bytes);
            prop_assert!((1..=10_000).contains(&settings.max_callers));
        }
    }
}
