//! M.
mod json;
mod pattern;
mod template;
mod value;
