//! Every PromQL expression of the repository with the place it stands in, and what it names: metrics and labels.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, anyhow};
use promql_parser::label::{METRIC_NAME, MatchOp};
use promql_parser::parser::{self, Expr, LabelModifier, VectorMatchCardinality, VectorSelector};
use serde::Deserialize;

use crate::read;

/// The recording rules.
pub const RULES: &str = "envoy-config/prometheus/plainsight.rules.yml";
/// The alerts.
pub const ALERTS: &str = "envoy-config/prometheus/plainsight.alerts.yml";
/// The dashboard.
pub const DASHBOARD: &str = "envoy-config/grafana/plainsight.json";

/// A file of rules.
#[derive(Debug, Deserialize)]
pub struct RuleFile {
    /// Its groups.
    pub groups: Vec<Group>,
}

/// A group of rules.
#[derive(Debug, Deserialize)]
pub struct Group {
    /// Its rules, in the order they are evaluated.
    pub rules: Vec<Rule>,
}

/// A recording rule or an alert.
#[derive(Debug, Deserialize)]
pub struct Rule {
    /// The series it records.
    pub record: Option<String>,
    /// The alert's name.
    pub alert: Option<String>,
    /// Its expression.
    pub expr: String,
    /// How long it must hold.
    #[serde(rename = "for")]
    pub hold: Option<String>,
    /// An alert's labels.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
    /// An alert's annotations.
    #[serde(default)]
    pub annotations: std::collections::BTreeMap<String, String>,
}

impl Rule {
    /// Its name in messages.
    pub fn name(&self) -> &str {
        self.record
            .as_deref()
            .or(self.alert.as_deref())
            .unwrap_or("a rule without a name")
    }
}

/// The rules of a file, over all groups.
///
/// # Errors
/// The file cannot be read, or is no rule file.
pub fn rules(root: &Path, path: &str) -> anyhow::Result<Vec<Rule>> {
    let file: RuleFile =
        serde_yaml_ng::from_str(&read(root, path)?).with_context(|| path.to_owned())?;
    Ok(file
        .groups
        .into_iter()
        .flat_map(|group| group.rules)
        .collect())
}

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Names of series; of a selector by pattern, the pattern (see [`Named::patterns`]).
    pub metrics: BTreeSet<String>,
    /// Regular expressions on `__name__`.
    pub patterns: BTreeSet<String>,
    /// Labels read: in matchers, groupings, joins, and as the source of a `label_replace` or `label_join`.
    pub labels: BTreeSet<String>,
    /// Labels made by `label_replace` and `label_join`.
    pub made: BTreeSet<String>,
}

impl Named {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is no PromQL.
    pub fn of(expression: &str) -> anyhow::Result<Self> {
        let parsed =
            parser::parse(expression).map_err(|error| anyhow!("promql: {error}: {expression}"))?;
        let mut named = Self::default();
        named.visit(&parsed)?;
        Ok(named)
    }

    fn visit(&mut self, expression: &Expr) -> anyhow::Result<()> {
        match expression {
            Expr::Aggregate(aggregate) => {
                self.modifier(aggregate.modifier.as_ref());
                if let Some(parameter) = &aggregate.param {
                    self.visit(parameter)?;
                }
                self.visit(&aggregate.expr)?;
            }
            Expr::Unary(unary) => self.visit(&unary.expr)?,
            Expr::Binary(binary) => {
                if let Some(modifier) = &binary.modifier {
                    self.modifier(modifier.matching.as_ref());
                    match &modifier.card {
                        VectorMatchCardinality::ManyToOne(labels)
                        | VectorMatchCardinality::OneToMany(labels) => {
                            self.labels.extend(labels.labels.iter().cloned());
                        }
                        VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => {}
                    }
                }
                self.visit(&binary.lhs)?;
                self.visit(&binary.rhs)?;
            }
            Expr::Paren(inner) => self.visit(&inner.expr)?,
            Expr::Subquery(subquery) => self.visit(&subquery.expr)?,
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs),
            Expr::Call(call) => {
                let texts: Vec<&str> = call
                    .args
                    .args
                    .iter()
                    .filter_map(|argument| match argument.as_ref() {
                        Expr::StringLiteral(text) => Some(text.val.as_str()),
                        _ => None,
                    })
                    .collect();
                match (call.func.name, &texts[..]) {
                    ("label_replace", [target, _, source, _]) => {
                        self.made.insert((*target).to_owned());
                        self.source(source);
                    }
                    ("label_join", [target, _, sources @ ..]) => {
                        self.made.insert((*target).to_owned());
                        sources.iter().for_each(|source| self.source(source));
                    }
                    _ => {}
                }
                for argument in &call.args.args {
                    self.visit(argument)?;
                }
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
            Expr::Extension(_) => anyhow::bail!("promql: extension: not in Prometheus' language"),
        }
        Ok(())
    }

    fn source(&mut self, label: &str) {
        if !label.is_empty() && label != METRIC_NAME {
            self.labels.insert(label.to_owned());
        }
    }

    fn modifier(&mut self, modifier: Option<&LabelModifier>) {
        if let Some(LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) = modifier {
            self.labels.extend(labels.labels.iter().cloned());
        }
    }

    fn selector(&mut self, selector: &VectorSelector) {
        self.metrics.extend(selector.name.clone());
        for matcher in &selector.matchers.matchers {
            if matcher.name == METRIC_NAME {
                match matcher.op {
                    MatchOp::Equal => self.metrics.insert(matcher.value.clone()),
                    _ => self.patterns.insert(matcher.value.clone()),
                };
            } else {
                // `plainsight:series:value{metric="..."}` carries the raw metric's name in a label.
                if matcher.name == "metric" {
                    match matcher.op {
                        MatchOp::Equal => self.metrics.insert(matcher.value.clone()),
                        _ => self.patterns.insert(matcher.value.clone()),
                    };
                }
                self.labels.insert(matcher.name.clone());
            }
        }
    }
}

/// Every expression of the dashboard with its panel's title; Grafana's variables are replaced by values of their kind.
///
/// # Errors
/// The file cannot be read, or is no JSON.
pub fn dashboard(root: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let json: serde_json::Value =
        serde_json::from_str(&read(root, DASHBOARD)?).context(DASHBOARD)?;
    let mut found = Vec::new();
    panels(&json["panels"], &mut found);
    for variable in json["templating"]["list"].as_array().into_iter().flatten() {
        let definition = variable["definition"].as_str().unwrap_or_default();
        // label_values(METRIC, LABEL) and query_result(EXPRESSION) are Grafana's own words.
        if let Some(inner) = definition
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'))
            && let Some((metric, label)) = inner.rsplit_once(',')
        {
            let name = variable["name"].as_str().unwrap_or_default();
            found.push((
                format!("variable {name}"),
                substituted(&format!("count by ({}) ({metric})", label.trim())),
            ));
        }
    }
    Ok(found)
}

fn panels(list: &serde_json::Value, found: &mut Vec<(String, String)>) {
    for panel in list.as_array().into_iter().flatten() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            if let Some(expression) = target["expr"].as_str() {
                found.push((
                    panel["title"].as_str().unwrap_or_default().to_owned(),
                    substituted(expression),
                ));
            }
        }
        panels(&panel["panels"], found);
    }
}

fn substituted(expression: &str) -> String {
    ["$__rate_interval", "$__interval", "$__range", "[$window]"]
        .iter()
        .fold(expression.to_owned(), |text, variable| {
            text.replace(
                variable,
                if variable.starts_with('[') {
                    "[1h]"
                } else {
                    "5m"
                },
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn an_expression_names_its_series_and_its_labels() {
        let named = Named::of(
            "sum by (a) (label_replace(x{b=\"1\"}, \"made\", \"$1\", \"c\", \"(.+)\")) \
             * on (d) group_left (e) max_over_time(y[5m:1m]) or {__name__=~\"z_.*\"}",
        )
        .unwrap();
        assert_eq!(named.metrics, set(&["x", "y"]));
        assert_eq!(named.patterns, set(&["z_.*"]));
        assert_eq!(named.labels, set(&["a", "b", "c", "d", "e"]));
        assert_eq!(named.made, set(&["made"]));
    }

    #[test]
    fn what_is_no_promql_is_an_error_that_shows_it() {
        let error = Named::of("sum by (").unwrap_err().to_string();
        assert!(
            error.starts_with("promql: ") && error.ends_with("sum by ("),
            "{error}"
        );
    }
}
