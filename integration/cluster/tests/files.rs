//! Checks of the chart's files that need no Helm: `make lint ONLY=chart`.

use std::collections::BTreeSet;

use plainsight::settings::{KEYS, Settings};
use plainsight_cluster::chart::documents;
use plainsight_cluster::chart::{folder, root};
use serde_json::Value;

fn read(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn values() -> Value {
    serde_yaml_ng::from_str(&read("values.yaml")).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&read("values.schema.json")).unwrap()
}

#[test]
fn the_schema_is_a_json_schema_and_takes_the_default_values() {
    let schema = schema();
    jsonschema::meta::validate(&schema)
        .unwrap_or_else(|error| panic!("{}: {error}", error.instance_path));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let values = values();
    let problems: Vec<_> = validator
        .iter_errors(&values)
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect();
    assert_eq!(problems, Vec::<String>::new());
}

/// The names of an object's values, with their parents', down to where the schema allows any name.
fn names(of: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, value) in of.as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        names(value, &schema[name]["properties"], &path, found);
        found.insert(path);
    }
}

#[test]
fn values_yaml_shows_every_value_of_the_schema() {
    fn of_schema(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
        for (name, value) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}/{name}");
            // The filter's keys are named in a comment; `global` is Helm's own.
            if path == "/global" || path.starts_with("/config/") {
                continue;
            }
            of_schema(value, &path, found);
            found.insert(path);
        }
    }
    let (schema, mut shown, mut known) = (schema(), BTreeSet::new(), BTreeSet::new());
    names(&values(), &schema["properties"], "", &mut shown);
    of_schema(&schema, "", &mut known);
    let missing: Vec<_> = known.difference(&shown).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let text = read("values.yaml");
    for key in schema["properties"]["config"]["properties"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(
            text.contains(key.as_str()),
            "values.yaml: config: does not name {key}"
        );
    }
}

#[test]
fn the_files_that_the_chart_carries_are_links_into_the_repository() {
    for name in [
        "plainsight.rules.yml",
        "plainsight.alerts.yml",
        "prometheus.yml",
        "plainsight.json",
    ] {
        let path = folder().join("files").join(name);
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        assert!(kind.is_symlink(), "{name}: a copy would fall behind");
        assert!(!read(&format!("files/{name}")).is_empty(), "{name}");
    }
}

#[test]
fn the_schema_has_the_filters_keys_and_no_others() {
    let schema = schema();
    let config = schema["properties"]["config"]["properties"]
        .as_object()
        .unwrap();
    let mut known: BTreeSet<&str> = config.keys().map(String::as_str).collect();
    // The value `exemptions`.
    assert!(known.insert("exempt"));
    let of_filter: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(known, of_filter);
}

#[test]
fn the_filter_accepts_the_configuration_with_every_key_that_the_chart_renders() {
    let golden = root().join("integration/cluster/charts/configured.golden.yaml");
    let plugins: Vec<Value> = documents(&std::fs::read_to_string(golden).unwrap())
        .unwrap()
        .into_iter()
        .filter(|object| object["kind"] == "WasmPlugin")
        .collect();
    assert_eq!(plugins.len(), 2);
    for plugin in plugins {
        let config = &plugin["spec"]["pluginConfig"];
        assert_eq!(config.as_object().unwrap().len(), KEYS.len(), "{config}");
        let (_, problems) = Settings::parse(config.to_string().as_bytes());
        assert_eq!(problems.lines(), Vec::<String>::new());
    }
}
