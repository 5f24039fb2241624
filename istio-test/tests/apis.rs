//! The rendered plugins against the API definitions that Istio 1.27 and 1.31 install: `make test-chart`.

use std::path::Path;

use plainsight_istio_test::chart::{any_image, plugins};
use plainsight_istio_test::kubernetes::documents;
use serde_json::{Value, json};

/// The module istio.io/api at the oldest and the newest release, in that order.
fn definitions() -> [Vec<Value>; 2] {
    let folders = std::env::var("PLAINSIGHT_ISTIO_APIS")
        .expect("PLAINSIGHT_ISTIO_APIS: not set: run make test-chart");
    let read = |folder: &str| {
        let path = Path::new(folder).join("kubernetes/customresourcedefinitions.gen.yaml");
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        documents(&text).unwrap()
    };
    let folders: Vec<&str> = folders.split(':').collect();
    [read(folders[0]), read(folders[1])]
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
    let version = versions
        .iter()
        .find(|version| version["name"] == "v1alpha1")?;
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

/// Everything that a plugin can have.
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
    let [oldest, newest] = definitions();
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
    let [oldest, newest] = definitions();
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
