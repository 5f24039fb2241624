//! Every document of `-o json` and `-o yaml` fits the published JSON Schema.

mod common;

use common::{Prometheus, mesh, plainsight};
use serde_json::Value;

const PUBLISHED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/schema/plainsight.v1alpha1.json"
);

#[test]
fn the_published_schema_is_the_one_of_the_code() {
    let schema = plainsight_cli::commands::schema::schema().unwrap();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(std::path::Path::new(PUBLISHED).parent().unwrap()).unwrap();
        std::fs::write(PUBLISHED, &schema).unwrap();
    }
    let published = std::fs::read_to_string(PUBLISHED).unwrap_or_default();
    assert!(
        published == schema,
        "docs/schema is not up to date: run `make gen`"
    );
}

#[test]
fn every_document_fits_the_schema_and_names_its_version() {
    let schema: Value =
        serde_json::from_str(&plainsight_cli::commands::schema::schema().unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let prometheus = Prometheus::with(&mesh::example().openmetrics());
    let folder = tempfile::tempdir().unwrap();
    let objects = folder.path().join("objects.yaml");
    std::fs::write(&objects, mesh::objects()).unwrap();
    let objects = objects.to_str().unwrap();
    let sidecar = folder.path().join("stats.txt");
    let tag = "peer=plaintext,strict=reject,source_ip=10.0.0.7,destination_workload=a,destination_workload_namespace=b,destination_port=80";
    std::fs::write(
        &sidecar,
        format!("plainsight_connections_total{{tag=\"{tag}\"}} 2\n"),
    )
    .unwrap();
    let policies = folder.path().join("policies.yaml");
    std::fs::write(&policies, "kind: PeerAuthentication\nmetadata: {name: default, namespace: billing}\nspec: {mtls: {mode: STRICT}}\n").unwrap();
    let policies = policies.to_str().unwrap();
    for (kind, command) in [
        ("Report", vec!["report", "-f", objects]),
        ("Explanation", vec!["explain", "billing", "-f", objects]),
        ("Plan", vec!["plan", "-n", "billing", "-f", objects]),
        (
            "GateResult",
            vec!["gate", "-f", policies, "--current", objects],
        ),
        (
            "Verification",
            vec!["verify", "-n", "billing", "-f", objects],
        ),
        ("Callers", vec!["peek", sidecar.to_str().unwrap()]),
        ("Diagnosis", vec!["doctor"]),
    ] {
        let mut arguments = command.clone();
        arguments.extend(["-o", "json"]);
        let answer = prometheus.ask(&arguments);
        let document: Value = serde_json::from_str(&answer.out)
            .unwrap_or_else(|error| panic!("{kind}: {error}: {}{}", answer.out, answer.err));
        assert_eq!(
            (&document["apiVersion"], &document["kind"]),
            (&"plainsight.dev/v1alpha1".into(), &kind.into())
        );
        if let Err(error) = validator.validate(&document) {
            panic!("{kind}: {error} at {}", error.instance_path());
        }
        if kind != "Callers" {
            for field in ["queriedAt", "window", "counted", "pods", "podsReporting"] {
                assert!(!document["basis"][field].is_null(), "{kind}: basis.{field}");
            }
        }
        // YAML holds the same; a plan's YAML is the policies themselves.
        if kind != "Plan" && kind != "Diagnosis" {
            let mut arguments = command;
            arguments.extend(["-o", "yaml"]);
            let yaml: Value = serde_saphyr::from_str(&prometheus.ask(&arguments).out).unwrap();
            assert_eq!(
                (&yaml["kind"], keys(&yaml)),
                (&document["kind"], keys(&document))
            );
        }
    }
    // A schema that accepts anything proves nothing.
    assert!(
        validator
            .validate(&serde_json::json!({"kind": "Report", "namespaces": 1}))
            .is_err()
    );
    assert_eq!(
        plainsight(&["peek", sidecar.to_str().unwrap(), "-o", "csv"])
            .out
            .lines()
            .next(),
        Some("destination,port,caller,peer,strict,traffic,connections,requests,last_seen")
    );
}

fn keys(value: &Value) -> Vec<&String> {
    value.as_object().unwrap().keys().collect()
}
