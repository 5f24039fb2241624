//! The nearest names to a mistyped one.

/// A sentence for an unknown name, with up to three near ones.
pub fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut near: Vec<(f64, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .collect();
    near.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    near.dedup_by_key(|(_, candidate)| *candidate);
    let near: Vec<&str> = near
        .into_iter()
        .take(3)
        .map(|(_, candidate)| candidate)
        .collect();
    if near.is_empty() {
        format!("unknown {kind}: {name}")
    } else {
        format!("unknown {kind}: {name}; nearest: {}", near.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first() {
        assert_eq!(
            unknown("namespace", "biling", ["shop", "billing", "hr"]),
            "unknown namespace: biling; nearest: billing"
        );
        assert_eq!(
            unknown("namespace", "zzz", ["shop"]),
            "unknown namespace: zzz"
        );
    }
}
