//! The page that a platform team sends to application teams: one file, no external asset.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::Error;

const TEMPLATE: &str = include_str!("report.html");

/// Fills the template. Values are escaped; the template alone holds markup.
pub fn page(context: &impl Serialize) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(Error::output)?,
    );
    environment
        .add_template("report.html", TEMPLATE)
        .map_err(Error::output)?;
    let template = environment
        .get_template("report.html")
        .map_err(Error::output)?;
    template.render(Serde(context)).map_err(Error::output)
}
