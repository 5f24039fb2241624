//! Generated sections within a file that people write: `<!-- gen:NAME -->` to `<!-- end -->`.

use anyhow::{Result, anyhow};

/// Puts `body` between the markers of a section.
///
/// # Errors
/// When a marker is missing.
pub fn replace(text: &str, name: &str, body: &str) -> Result<String> {
    let open = format!("<!-- gen:{name} -->\n");
    let missing = |what: &str| anyhow!("section {name}: no {what}");
    let (before, rest) = text
        .split_once(&open)
        .ok_or_else(|| missing("opening marker"))?;
    let (_, after) = rest
        .split_once("<!-- end -->")
        .ok_or_else(|| missing("closing marker"))?;
    Ok(format!(
        "{before}{open}{}\n<!-- end -->{after}",
        body.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let text = "a\n<!-- gen:x -->\nold\n<!-- end -->\nb\n<!-- gen:y -->\n<!-- end -->\n";
        let wanted = "a\n<!-- gen:x -->\nnew\n<!-- end -->\nb\n<!-- gen:y -->\n<!-- end -->\n";
        assert_eq!(replace(text, "x", "new\n").unwrap(), wanted);
        assert_eq!(
            replace(wanted, "x", "new").unwrap(),
            wanted,
            "twice is once"
        );
        assert!(replace(text, "z", "new").is_err());
    }
}
