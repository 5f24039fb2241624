//! Answers as text, data and HTML.

pub mod document;
pub mod html;
pub mod junit;
pub mod render;
pub mod table;
