//! The dashboard's queries and variables, read from its JSON.

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::pace::project_file;

/// A query of a panel.
#[derive(Debug, Clone)]
pub struct Query {
    /// `title refId`: what the table of expectations calls it.
    pub name: String,
    /// Its expression, variables and all.
    pub expression: String,
    /// Asked for one moment, or for a range.
    pub instant: bool,
}

/// The variables' values for one reading of the dashboard; `None` is "All".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `$cluster`.
    pub cluster: Option<String>,
    /// `$namespace`.
    pub namespace: Option<String>,
    /// `$workload`.
    pub workload: Option<String>,
    /// `$caller`.
    pub caller: Option<String>,
    /// `$window`.
    pub window: String,
    /// `$counted`.
    pub counted: String,
}

/// The dashboard.
pub struct Dashboard {
    /// Its queries, in order.
    pub queries: Vec<Query>,
    /// `$window` can be one of these.
    pub windows: Vec<String>,
    /// `$counted` can be one of these.
    pub counted: Vec<String>,
    /// `label_values(...)` of each query variable, by its name.
    pub variables: Vec<(String, String)>,
}

impl Dashboard {
    /// Reads it.
    ///
    /// # Errors
    /// The file is missing, is no JSON, or has a variable that this check does not know.
    pub fn read() -> anyhow::Result<Self> {
        let json: Value =
            serde_json::from_str(&project_file("envoy-config/grafana/plainsight.json")?)?;
        let mut dashboard = Self {
            queries: Vec::new(),
            windows: Vec::new(),
            counted: Vec::new(),
            variables: Vec::new(),
        };
        dashboard.panels(&json["panels"]);
        for variable in json["templating"]["list"]
            .as_array()
            .context("templating: no list")?
        {
            let name = variable["name"].as_str().context("variable: no name")?;
            match (name, variable["type"].as_str()) {
                ("datasource", _) => {}
                ("window", Some("custom")) => dashboard.windows = custom(variable)?,
                ("counted", Some("custom")) => dashboard.counted = custom(variable)?,
                ("cluster" | "namespace" | "workload" | "caller", Some("query")) => {
                    let query = variable["query"]["query"]
                        .as_str()
                        .context("variable: no query")?;
                    dashboard
                        .variables
                        .push((name.to_owned(), query.to_owned()));
                }
                other => anyhow::bail!("variable: not known to this check: {other:?}"),
            }
        }
        ensure!(
            !dashboard.windows.is_empty() && !dashboard.counted.is_empty(),
            "variables: window or counted is missing"
        );
        Ok(dashboard)
    }

    fn panels(&mut self, list: &Value) {
        for panel in list.as_array().into_iter().flatten() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                if let Some(expression) = target["expr"].as_str() {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    self.queries.push(Query {
                        name: format!("{} {}", text(&panel["title"]), text(&target["refId"])),
                        expression: expression.to_owned(),
                        instant: target["instant"] == true,
                    });
                }
            }
            self.panels(&panel["panels"]);
        }
    }
}

/// `text : value, text : value`, or plain values.
fn custom(variable: &Value) -> anyhow::Result<Vec<String>> {
    let text = variable["query"].as_str().context("variable: no query")?;
    Ok(text
        .split(',')
        .map(|entry| {
            entry
                .rsplit(" : ")
                .next()
                .unwrap_or(entry)
                .trim()
                .to_owned()
        })
        .collect())
}

impl Selection {
    /// Puts the values in, as Grafana does for a data source of Prometheus' kind.
    pub fn substitute(&self, expression: &str) -> String {
        let value =
            |chosen: &Option<String>| chosen.as_deref().map_or_else(|| ".*".to_owned(), escaped);
        expression
            .replace("$__rate_interval", "5s")
            .replace("$__range", "1h")
            .replace("$cluster", &value(&self.cluster))
            .replace("$namespace", &value(&self.namespace))
            .replace("$workload", &value(&self.workload))
            .replace("$caller", &value(&self.caller))
            .replace("$window", &self.window)
            .replace("$counted", &self.counted)
    }
}

/// Grafana escapes regular expressions in values of variables that allow several, and the backslash again for the string.
fn escaped(value: &str) -> String {
    value.chars().fold(String::new(), |mut text, character| {
        if r"\^$.|?*+()[]{}/".contains(character) && character != '/' {
            text.push_str(r"\\");
        }
        text.push(character);
        text
    })
}

impl std::fmt::Display for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = |chosen: &Option<String>| chosen.clone().unwrap_or_else(|| "All".to_owned());
        write!(
            f,
            "cluster={} namespace={} workload={} caller={} window={} counted={}",
            all(&self.cluster),
            all(&self.namespace),
            all(&self.workload),
            all(&self.caller),
            self.window,
            self.counted
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_as_grafana_does() {
        let selection = Selection {
            caller: Some("10.0.0.7".to_owned()),
            window: "7d".to_owned(),
            counted: "app".to_owned(),
            ..Selection::default()
        };
        assert_eq!(
            selection
                .substitute(r#"x{c=~"$cluster", caller=~"$caller", traffic=~"$counted"}[$window]"#),
            r#"x{c=~".*", caller=~"10\\.0\\.0\\.7", traffic=~"app"}[7d]"#
        );
    }

    #[test]
    fn the_dashboard_can_be_read() {
        let dashboard = Dashboard::read().unwrap();
        assert_eq!(dashboard.windows, ["1h", "1d", "7d", "30d"]);
        assert_eq!(dashboard.counted, ["app|probe|scrape", "app"]);
        assert!(dashboard.queries.len() > 20);
    }
}
