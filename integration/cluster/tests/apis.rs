//! The rendered resources against the API definitions that Istio 1.27 and 1.31 and the Prometheus Operator install:
//! `make test-cluster ONLY=chart`.

use std::path::Path;

use plainsight_cluster::chart::documents;
use plainsight_cluster::chart::{any_image, folder, plugins, render};
use serde_json::{Value, json};

/// The definitions of a file in a Go module that make test-cluster ONLY=chart has fetched.
fn definitions(variable: &str, file: &str) -> Vec<Value> {
    let folder = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable}: not set: run make test-cluster ONLY=chart"));
    let path = Path::new(&folder).join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    documents(&text).unwrap()
}

/// Istio's at the oldest and at the newest release.
fn of_istio() -> [Vec<Value>; 2] {
    ["PLAINSIGHT_ISTIO_API_OLDEST", "PLAINSIGHT_ISTIO_API_NEWEST"]
        .map(|variable| definitions(variable, "kubernetes/customresourcedefinitions.gen.yaml"))
}

/// An API server drops fields that it does not know. Here they are errors.
fn refuse_unknown_fields(schema: &mut Value) {
    if schema["properties"].is_object() && schema["x-kubernetes-preserve-unknown-fields"] != true {
        schema["additionalProperties"] = false.into();
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(refuse_unknown_fields);
    }
    if let Some(items) = schema.get_mut("items") {
        refuse_unknown_fields(items);
    }
}

fn schema(definitions: &[Value], kind: &str) -> Option<Value> {
    let definition = definitions
        .iter()
        .find(|one| one["spec"]["names"]["kind"] == kind)?;
    let versions = definition["spec"]["versions"].as_array().unwrap();
    let version = versions.iter().find(|version| version["storage"] == true)?;
    let mut schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
    refuse_unknown_fields(&mut schema);
    Some(schema)
}

fn problems(schema: &Value, spec: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).unwrap();
    validator
        .iter_errors(spec)
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect()
}

/// Both plugins with every optional field.
fn specs(api: &str) -> Vec<Value> {
    let mut image = any_image();
    image["pullSecret"] = "registry".into();
    let rendered = plugins(json!({
        "image": image,
        "api": api,
        "namespaces": ["shop"],
        "workload": {"matchLabels": {"app": "checkout"}},
        "failStrategy": "FAIL_RELOAD",
        "exemptions": [{"port": 9000}],
    }))
    .unwrap();
    documents(&rendered)
        .unwrap()
        .into_iter()
        .map(|object| object["spec"].clone())
        .collect()
}

#[test]
fn both_releases_take_the_wasm_plugins_and_the_newest_the_traffic_extensions() {
    let [oldest, newest] = of_istio();
    for (release, definitions, api) in [
        ("1.27", &oldest, "WasmPlugin"),
        ("1.31", &newest, "WasmPlugin"),
        ("1.31", &newest, "TrafficExtension"),
    ] {
        let schema = schema(definitions, api).unwrap_or_else(|| panic!("{release}: no {api}"));
        let specs = specs(api);
        assert_eq!(specs.len(), 2);
        for spec in specs {
            assert_eq!(
                problems(&schema, &spec),
                Vec::<String>::new(),
                "{release}: {api}"
            );
        }
    }
    assert!(
        schema(&oldest, "TrafficExtension").is_none(),
        "values.yaml: TrafficExtension is there before 1.30"
    );
}

#[test]
fn a_field_or_value_that_no_release_knows_is_refused() {
    let [oldest, newest] = of_istio();
    for (definitions, api) in [
        (&oldest, "WasmPlugin"),
        (&newest, "WasmPlugin"),
        (&newest, "TrafficExtension"),
    ] {
        let schema = schema(definitions, api).unwrap();
        let breaks: [fn(&mut Value); 3] = [
            |spec| spec["phases"] = "AUTHN".into(),
            |spec| spec["phase"] = "BEFORE".into(),
            |spec| spec["match"][0]["mode"] = "INBOUND".into(),
        ];
        for breaks in breaks {
            let mut spec = specs(api).remove(0);
            breaks(&mut spec);
            assert!(
                !problems(&schema, &spec).is_empty(),
                "{api}: accepted: {spec}"
            );
        }
    }
}

#[test]
fn the_prometheus_operator_takes_the_monitor_and_the_rule() {
    let rendered = render(&folder(), &json!({"image": any_image()})).unwrap();
    for (kind, plural) in [
        ("PodMonitor", "podmonitors"),
        ("PrometheusRule", "prometheusrules"),
    ] {
        let file = format!("example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml");
        let schema = schema(&definitions("PLAINSIGHT_OPERATOR", &file), kind).unwrap();
        let object = documents(&rendered)
            .unwrap()
            .into_iter()
            .find(|object| object["kind"] == kind)
            .unwrap_or_else(|| panic!("no {kind}"));
        let mut spec = object["spec"].clone();
        assert_eq!(problems(&schema, &spec), Vec::<String>::new(), "{kind}");
        spec["grops"] = json!([]);
        assert!(
            !problems(&schema, &spec).is_empty(),
            "{kind}: an unknown field is accepted"
        );
    }
}
