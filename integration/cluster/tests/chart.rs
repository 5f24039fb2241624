//! The chart as Helm renders it: `make test-cluster ONLY=chart`.

use std::path::Path;
use std::process::Command;

use plainsight_cluster::chart::documents;
use plainsight_cluster::chart::{any_image, folder, plugins, render, root};
use serde_json::{Value, json};

const SETS: [&str; 5] = [
    "canary",
    "namespace",
    "mesh",
    "traffic-extension",
    "configured",
];

fn values(set: &str) -> Value {
    let path = root().join(format!("integration/cluster/charts/{set}.values.yaml"));
    serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn rendered(set: &str) -> String {
    render(&folder(), &values(set)).unwrap_or_else(|error| panic!("{set}: {error:#}"))
}

fn refusal(values: &Value) -> String {
    match render(&folder(), values) {
        Ok(text) => panic!("accepted: {values}: {text}"),
        Err(error) => format!("{error:#}"),
    }
}

/// The files that come from elsewhere in the repository are compared with their source, below, and not with a copy.
fn without_carried_files(text: &str) -> String {
    text.split("---\n")
        .filter(|part| {
            !part.contains("/templates/prometheusrule.yaml")
                && !part.contains("/templates/dashboard.yaml")
        })
        .collect::<Vec<_>>()
        .join("---\n")
}

#[test]
fn every_set_of_values_renders_as_written_down() {
    for set in SETS {
        let path = root().join(format!("integration/cluster/charts/{set}.golden.yaml"));
        let text = without_carried_files(&rendered(set));
        if std::env::var_os("PLAINSIGHT_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text == golden,
            "{}: differs; read the difference, then write it with `make test-cluster ONLY=chart GOLDEN=write`:\n{text}",
            path.display()
        );
    }
}

fn object(rendered: &str, kind: &str) -> Value {
    let mut found = documents(rendered)
        .unwrap()
        .into_iter()
        .filter(|object| object["kind"] == kind);
    let object = found
        .next()
        .unwrap_or_else(|| panic!("no {kind}: {rendered}"));
    assert_eq!(found.next(), None, "two of {kind}");
    object
}

fn prometheus_file(name: &str) -> Value {
    let path = root().join("envoy-config/prometheus").join(name);
    serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_rule_has_every_group_of_the_rules_and_the_alerts_with_the_runbook_of_the_values() {
    let rule = object(&rendered("mesh"), "PrometheusRule");
    assert_eq!(rule["metadata"]["labels"]["release"], "monitoring");
    let mut wanted: Vec<Value> = ["plainsight.rules.yml", "plainsight.alerts.yml"]
        .iter()
        .flat_map(|name| prometheus_file(name)["groups"].as_array().unwrap().clone())
        .collect();
    let mut links = 0;
    for rule in wanted
        .iter_mut()
        .flat_map(|group| group["rules"].as_array_mut().unwrap())
        .filter(|rule| rule["alert"].is_string())
    {
        let url = rule["annotations"]["runbook_url"].as_str().unwrap();
        let (_, anchor) = url
            .split_once('#')
            .unwrap_or_else(|| panic!("no anchor: {url}"));
        rule["annotations"]["runbook_url"] =
            format!("https://wiki.example.com/plainsight#{anchor}").into();
        links += 1;
    }
    assert!(links > 5, "{links} alerts");
    assert_eq!(rule["spec"]["groups"], Value::Array(wanted));
}

/// `source_labels` as the operator spells it.
fn camel_case(key: &str) -> String {
    let mut parts = key.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        name + &part[..1].to_uppercase() + &part[1..]
    })
}

#[test]
fn the_monitor_is_the_scrape_job_in_the_operators_spelling() {
    let monitor = object(&rendered("mesh"), "PodMonitor");
    assert_eq!(monitor["metadata"]["labels"]["release"], "monitoring");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let prometheus = prometheus_file("prometheus.yml");
    let job = prometheus["scrape_configs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|job| job["job_name"] == "plainsight-sidecars")
        .expect("no job plainsight-sidecars");
    for (of_job, of_monitor) in [
        ("relabel_configs", "relabelings"),
        ("metric_relabel_configs", "metricRelabelings"),
    ] {
        let wanted: Vec<Value> = job[of_job]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                one.as_object()
                    .unwrap()
                    .iter()
                    .map(|(key, value)| (camel_case(key), value.clone()))
                    .collect()
            })
            .collect();
        assert!(!wanted.is_empty(), "{of_job}");
        assert_eq!(endpoint[of_monitor], Value::Array(wanted), "{of_monitor}");
    }
    assert_eq!(endpoint["path"], job["metrics_path"]);
    assert_eq!(endpoint["params"], job["params"]);
}

#[test]
fn the_dashboard_is_the_one_that_people_import_with_the_runbook_of_the_values() {
    let map = object(&rendered("mesh"), "ConfigMap");
    assert_eq!(map["metadata"]["labels"]["team"], "platform");
    let shown: Value =
        serde_json::from_str(map["data"]["plainsight.json"].as_str().unwrap()).unwrap();
    let file =
        std::fs::read_to_string(root().join("envoy-config/grafana/plainsight.json")).unwrap();
    let base = values_file()["runbookUrl"].as_str().unwrap().to_owned();
    assert!(
        file.contains(&base),
        "the dashboard does not link to {base}"
    );
    let wanted: Value =
        serde_json::from_str(&file.replace(&base, "https://wiki.example.com/plainsight")).unwrap();
    assert!(shown == wanted, "the ConfigMap holds another dashboard");
}

fn values_file() -> Value {
    serde_yaml_ng::from_str(&std::fs::read_to_string(folder().join("values.yaml")).unwrap())
        .unwrap()
}

#[test]
fn without_an_image_rendering_fails_with_a_sentence_that_names_make_image() {
    let digest = any_image()["digest"].clone();
    let cases = [
        (json!({}), "image.repository: not set"),
        (json!({"digest": digest}), "image.repository: not set"),
        (json!({"repository": "r"}), "image.digest: not set"),
        (
            json!({"repository": "r", "digest": format!("sha256:{}", "0".repeat(64))}),
            "image.digest: all zeros",
        ),
    ];
    for (image, sentence) in cases {
        let refusal = refusal(&json!({"image": image}));
        assert!(refusal.contains(sentence), "{image}: {refusal}");
        assert!(refusal.contains("run `make image`"), "{image}: {refusal}");
    }
}

#[test]
fn broken_values_are_refused_with_their_path() {
    let cases = [
        (json!({"imagge": {}}), "additional properties 'imagge'"),
        (json!({"image": {"digest": "latest"}}), "/image/digest"),
        (
            json!({"image": {"repository": "oci://r/p"}}),
            "/image/repository",
        ),
        (
            json!({"image": {"repository": "r/p@sha256:1"}}),
            "/image/repository",
        ),
        (
            json!({"image": {"pullPolicy": "Sometimes"}}),
            "/image/pullPolicy",
        ),
        (json!({"api": "EnvoyFilter"}), "/api"),
        (json!({"namespaces": "shop"}), "/namespaces"),
        (json!({"namespaces": ["shop", "shop"]}), "/namespaces"),
        (json!({"namespaces": ["Shop"]}), "/namespaces/0"),
        (json!({"workload": {"matchLabel": {}}}), "/workload"),
        (
            json!({"workload": {"matchLabels": {"app": 1}}}),
            "/workload/matchLabels/app",
        ),
        (json!({"failStrategy": "FAIL_SAFE"}), "/failStrategy"),
        (
            json!({"exemptions": [{"port": "9000"}]}),
            "/exemptions/0/port",
        ),
        (json!({"exemptions": [{"port": 0}]}), "/exemptions/0/port"),
        (
            json!({"exemptions": [{"namespace": "shop"}]}),
            "/exemptions/0",
        ),
        (
            json!({"exemptions": [{"port": 1, "pod": "x"}]}),
            "/exemptions/0",
        ),
        (json!({"config": {"exempt": []}}), "/config"),
        (json!({"config": {"labels": "native"}}), "/config"),
        (json!({"config": {"maxCallers": 0}}), "/config/maxCallers"),
        (
            json!({"config": {"maxCallers": 10001}}),
            "/config/maxCallers",
        ),
        (json!({"config": {"ipv4Prefix": 33}}), "/config/ipv4Prefix"),
        (json!({"config": {"ipv6Prefix": 129}}), "/config/ipv6Prefix"),
        (
            json!({"config": {"principals": "yes"}}),
            "/config/principals",
        ),
        (json!({"config": {"logCallers": 1}}), "/config/logCallers"),
        (
            json!({"config": {"requestHeader": "peer"}}),
            "/config/requestHeader",
        ),
        (
            json!({"config": {"responseHeader": "X-Peer"}}),
            "/config/responseHeader",
        ),
        (
            json!({"config": {"responseHeaders": {"location": "x"}}}),
            "/config/responseHeaders",
        ),
        (
            json!({"config": {"callers": [{"cidr": "10.0.0.0"}]}}),
            "/config/callers/0",
        ),
        (
            json!({"config": {"callers": [{"cidr": "ten/8", "name": "x"}]}}),
            "/config/callers/0/cidr",
        ),
        (
            json!({"prometheus": {"enabled": "true"}}),
            "/prometheus/enabled",
        ),
        (
            json!({"grafana": {"labels": {"grafana_dashboard": 1}}}),
            "/grafana/labels/grafana_dashboard",
        ),
        (json!({"runbookUrl": "docs/runbook.md"}), "/runbookUrl"),
        (
            json!({"cli": {"rbac": {"subjects": [{"kind": "Role", "name": "x"}]}}}),
            "/cli/rbac/subjects/0/kind",
        ),
    ];
    for (values, path) in cases {
        let refusal = refusal(&values);
        assert!(refusal.contains(path), "{values}: {refusal}");
    }
}

#[test]
fn the_command_may_only_read() {
    let text = rendered("configured");
    let roles: Vec<Value> = documents(&text)
        .unwrap()
        .into_iter()
        .filter(|object| object["rules"].is_array())
        .collect();
    assert_eq!(roles.len(), 2, "{text}");
    for rule in roles
        .iter()
        .flat_map(|role| role["rules"].as_array().unwrap())
    {
        for verb in rule["verbs"].as_array().unwrap() {
            assert!(verb == "get" || verb == "list", "{rule}");
        }
        for resource in rule["resources"].as_array().unwrap() {
            assert!(resource != "secrets" && resource != "*", "{rule}");
        }
    }
    assert!(
        !plugins(json!({"image": any_image()}))
            .unwrap()
            .contains("ClusterRole")
    );
}

/// The notes: Helm prints them only while it installs. A copy of the chart shows them as a manifest.
fn notes(values: Value) -> String {
    let copy = tempfile::tempdir().unwrap();
    let chart = copy.path().join("chart");
    let copied = Command::new("cp")
        .arg("-rL")
        .arg(folder())
        .arg(&chart)
        .status()
        .unwrap();
    assert!(copied.success());
    std::fs::rename(
        chart.join("templates/NOTES.txt"),
        chart.join("files/NOTES.txt"),
    )
    .unwrap();
    std::fs::write(
        chart.join("templates/notes.yaml"),
        "kind: Notes\ntext: {{ tpl (.Files.Get \"files/NOTES.txt\") . | toJson }}\n",
    )
    .unwrap();
    let mut values = values;
    values["image"] = any_image();
    let rendered = render(&chart, &values).unwrap_or_else(|error| panic!("{error:#}"));
    object(&rendered, "Notes")["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn the_notes_say_where_the_filter_runs_and_warn_of_another_fail_strategy() {
    let mesh = notes(json!({}));
    assert!(mesh.contains("is installed in the mesh."), "{mesh}");
    assert!(!mesh.contains("WARNING"), "{mesh}");
    assert!(mesh.contains("kubectl get peerauthentication -A"), "{mesh}");
    let canary = notes(json!({
        "namespaces": ["shop"],
        "workload": {"matchLabels": {"app": "checkout"}},
        "failStrategy": "FAIL_CLOSE",
        "prometheus": {"enabled": false},
    }));
    assert!(
        canary.contains("namespaces: shop, on pods with app=checkout only"),
        "{canary}"
    );
    assert!(
        canary.contains("WARNING: failStrategy is FAIL_CLOSE"),
        "{canary}"
    );
    assert!(canary.contains("prometheus.enabled is false"), "{canary}");
}

#[test]
fn the_packaged_chart_renders_as_the_folder_does() {
    let package = std::env::var_os("PLAINSIGHT_CHART")
        .expect("PLAINSIGHT_CHART: not set: run make test-cluster ONLY=chart");
    assert_eq!(
        render(Path::new(&package), &values("mesh")).unwrap(),
        rendered("mesh")
    );
}
