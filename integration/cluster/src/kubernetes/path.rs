//! The paths of the Kubernetes API: <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris>.

/// The resource that a path of the API names. The group's version is ignored: one form of each object is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Resource {
    /// The group, empty for the core group.
    pub(super) group: String,
    /// The group's version as asked for.
    pub(super) version: String,
    /// The plural name.
    pub(super) plural: String,
    /// The namespace, absent for cluster-wide objects and for lists over all namespaces.
    pub(super) namespace: Option<String>,
    /// The object, absent for a list.
    pub(super) name: Option<String>,
}

impl Resource {
    /// Reads a path; `None` when it names no resource. A subresource (`/status`) means its object.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        let (group, version) = match parts.next()? {
            "api" => (String::new(), parts.next()?.to_owned()),
            "apis" => (parts.next()?.to_owned(), parts.next()?.to_owned()),
            _ => return None,
        };
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() && rest != ["status"] => {
                (Some((*namespace).to_owned()), rest)
            }
            rest => (None, rest),
        };
        let plural = (*rest.first()?).to_owned();
        let name = rest.get(1).map(|name| (*name).to_owned());
        Some(Self {
            group,
            version,
            plural,
            namespace,
            name,
        })
    }

    /// `group/version`, the form of `apiVersion`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_path_are_told_apart() {
        let parse = |path| {
            let resource = Resource::parse(path).unwrap();
            (
                resource.group,
                resource.plural,
                resource.namespace.unwrap_or_default(),
                resource.name.unwrap_or_default(),
            )
        };
        let text = |group: &str, plural: &str, namespace: &str, name: &str| {
            (
                group.to_owned(),
                plural.to_owned(),
                namespace.to_owned(),
                name.to_owned(),
            )
        };
        assert_eq!(parse("/api/v1/pods"), text("", "pods", "", ""));
        assert_eq!(parse("/api/v1/namespaces"), text("", "namespaces", "", ""));
        assert_eq!(
            parse("/api/v1/namespaces/shop"),
            text("", "namespaces", "", "shop")
        );
        assert_eq!(
            parse("/api/v1/namespaces/shop/pods/a"),
            text("", "pods", "shop", "a")
        );
        assert_eq!(
            parse("/apis/extensions.istio.io/v1alpha1/namespaces/shop/wasmplugins/x/status"),
            text("extensions.istio.io", "wasmplugins", "shop", "x")
        );
        assert_eq!(Resource::parse("/version"), None);
        assert_eq!(Resource::parse("/apis"), None);
    }
}
