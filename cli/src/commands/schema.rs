//! The JSON Schema of every document, published as `docs/schema/plainsight.v1alpha1.json`.

use schemars::{JsonSchema, Schema, schema_for};

use super::doctor::Diagnosis;
use super::explain::Explanation;
use super::gate::GateResult;
use super::peek::Callers;
use super::plan::PlanDocument;
use super::report::Report;
use super::verify::VerificationDocument;
use crate::Error;

/// Any document of `-o json`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the documents; never constructed")]
enum Document<'a> {
    Report(Report<'a>),
    Explanation(Explanation),
    Plan(PlanDocument),
    GateResult(GateResult<'a>),
    Verification(VerificationDocument<'a>),
    Callers(Callers),
    Diagnosis(Diagnosis),
}

/// The schema as text.
pub fn schema() -> Result<String, Error> {
    let schema: Schema = schema_for!(Document<'static>);
    serde_json::to_string_pretty(&schema)
        .map(|text| text + "\n")
        .map_err(Error::output)
}
