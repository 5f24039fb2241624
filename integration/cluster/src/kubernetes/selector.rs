//! Label and field selectors, as far as istiod uses them.

use anyhow::bail;
use serde_json::Value;

/// One condition on an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Equals { path: Vec<String>, value: String },
    Differs { path: Vec<String>, value: String },
    Exists { path: Vec<String> },
    Missing { path: Vec<String> },
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector(Vec<Condition>);

impl Selector {
    /// Reads the values of `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// An unknown form: an error is better than a wrong answer.
    pub(super) fn parse(labels: &str, fields: &str) -> anyhow::Result<Self> {
        let mut conditions = Vec::new();
        for (text, of_label) in [(labels, true), (fields, false)] {
            for term in text.split(',').filter(|term| !term.is_empty()) {
                conditions.push(condition(term, of_label)?);
            }
        }
        Ok(Self(conditions))
    }

    /// Whether the object meets all conditions.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let text = |path: &[String]| {
            path.iter()
                .try_fold(object, |value, key| value.get(key))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        self.0.iter().all(|condition| match condition {
            Condition::Equals { path, value } => text(path).unwrap_or_default() == *value,
            Condition::Differs { path, value } => text(path).unwrap_or_default() != *value,
            Condition::Exists { path } => text(path).is_some(),
            Condition::Missing { path } => text(path).is_none(),
        })
    }
}

fn condition(term: &str, of_label: bool) -> anyhow::Result<Condition> {
    let path = |key: &str| -> Vec<String> {
        if of_label {
            ["metadata", "labels", key].map(str::to_owned).to_vec()
        } else {
            key.split('.').map(str::to_owned).collect()
        }
    };
    if term.contains(['(', ' ']) {
        bail!("selector: a form that the stand-in does not know: {term}");
    }
    Ok(if let Some((key, value)) = term.split_once("!=") {
        Condition::Differs {
            path: path(key),
            value: value.to_owned(),
        }
    } else if let Some((key, value)) = term.split_once('=') {
        Condition::Equals {
            path: path(key),
            value: value.trim_start_matches('=').to_owned(),
        }
    } else if let Some(key) = term.strip_prefix('!') {
        Condition::Missing { path: path(key) }
    } else {
        Condition::Exists { path: path(term) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_selects_what_it_says() {
        let object = serde_json::json!({"metadata": {"name": "a", "labels": {"app": "orders"}}});
        let matches = |labels, fields| Selector::parse(labels, fields).unwrap().matches(&object);
        assert!(matches("", ""));
        assert!(matches("app=orders", "metadata.name=a"));
        assert!(!matches("app=other", ""));
        assert!(!matches("", "metadata.name=b"));
        assert!(matches("app", "") && !matches("!app", ""));
        assert!(matches("!gone,app!=other", "") && !matches("app!=orders", ""));
        assert!(Selector::parse("app in (a)", "").is_err());
    }
}
