//! The queries of the Kubernetes API, as far as istiod uses them.

/// The parameters that change an answer.
pub(super) struct Query {
    pub(super) watch: bool,
    pub(super) version: usize,
    pub(super) labels: String,
    pub(super) fields: String,
}

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let value = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| decoded(value))
                .unwrap_or_default()
        };
        Self {
            watch: ["1", "true"].contains(&value("watch").as_str()),
            version: value("resourceVersion").parse().unwrap_or(0),
            labels: value("labelSelector"),
            fields: value("fieldSelector"),
        }
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_with_its_escapes() {
        let query = Query::parse(
            "watch=true&resourceVersion=7&labelSelector=a%3Db%2C%21c&fieldSelector=metadata.name%3Dx",
        );
        assert!(query.watch);
        assert_eq!(
            (query.version, &*query.labels, &*query.fields),
            (7, "a=b,!c", "metadata.name=x")
        );
        assert!(!Query::parse("limit=500").watch);
    }
}
