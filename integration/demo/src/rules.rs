//! The project's recording rules, evaluated faster for the demo.

use anyhow::{Context, ensure};
use regex::Regex;
use serde_json::{Value, json};

/// The file of the rules.
pub const FILE: &str = "envoy-config/prometheus/plainsight.rules.yml";

/// The note that the demo prints about [`at_demo_pace`].
pub const PACE_NOTE: &str = "evaluated every second instead of every two minutes";

const RULES: &str = include_str!("../../../envoy-config/prometheus/plainsight.rules.yml");

/// The rules, but evaluated every second, with the offsets of one and two minutes shortened in proportion, so that names
/// do not take two minutes. Windows are unchanged.
///
/// # Errors
/// The file does not have the expected structure.
pub fn at_demo_pace() -> anyhow::Result<String> {
    faster(RULES).context(FILE)
}

fn faster(text: &str) -> anyhow::Result<String> {
    let mut rules: Value = serde_yaml_ng::from_str(text)?;
    let offset = Regex::new(r"\boffset ([12])m\b")?;
    for group in rules["groups"]
        .as_array_mut()
        .context("groups: expected a list")?
    {
        ensure!(
            group["interval"] == "2m" || group["interval"] == "4m",
            "groups: {}: interval: expected 2m or 4m, got {}",
            group["name"],
            group["interval"]
        );
        group["interval"] = json!("1s");
        for rule in group["rules"]
            .as_array_mut()
            .context("rules: expected a list")?
        {
            let expression = rule["expr"].as_str().context("expr: expected text")?;
            rule["expr"] = json!(offset.replace_all(expression, "offset ${1}s"));
        }
    }
    Ok(serde_yaml_ng::to_string(&rules)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_interval_and_the_offsets_are_faster() {
        let text = "groups:\n- name: g\n  interval: 2m\n  rules:\n  - record: a\n    expr: |\n      b[1h] offset 2m or c offset 15m\n";
        let rules: Value = serde_yaml_ng::from_str(&faster(text).unwrap()).unwrap();
        assert_eq!(
            rules,
            json!({"groups": [{"name": "g", "interval": "1s", "rules": [{"record": "a", "expr": "b[1h] offset 2s or c offset 15m\n"}]}]})
        );
    }

    #[test]
    fn the_projects_rules_can_be_made_faster() {
        at_demo_pace().unwrap();
    }
}
