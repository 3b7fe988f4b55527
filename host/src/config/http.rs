//! `[[http]]`: HTTP endpoints of the island that XMPP clients may use, as policy wants them. The section itself is the permission, for who
//! is named there and for the connection.

use tombolo_core::model::limits;
use tombolo_core::policy::{Glob, HttpRule, HttpTarget};
use tombolo_core::wire::http::METHODS;

use super::allow::who;
use super::document::{Field, Section};

/// Reads all sections.
pub(super) fn read(field: &Field<'_>) -> Option<Vec<HttpRule>> {
    let rules: Vec<HttpRule> = field.each(|rule| rule.section().and_then(one))?;
    if rules.len() > limits::HTTP_RULES_MAX {
        field.complain(format!("there are more than {} sections", limits::HTTP_RULES_MAX));
        return None;
    }
    Some(rules)
}

fn one(mut section: Section<'_>) -> Option<HttpRule> {
    let path = section.require("path", "\"/heating\"");
    let target = section.require("target", "\"http://192.168.1.20:8080/api\"");
    let target = target.and_then(|field| field.parse(HttpTarget::parse));
    let who = section.require("who", "[\"alice@example.org\"]").and_then(|field| field.each(who));
    let usual = || Some(vec!["GET".to_owned(), "HEAD".to_owned()]);
    let methods = section.take("methods").map_or_else(usual, |field| field.each(method));
    section.finish();
    let (path, target, methods) = (path?, target?, methods?);
    let who: Vec<Glob> = who?.into_iter().map(Glob::new).collect();
    path.parse(|text| HttpRule::new(text, target, who, methods))
}

fn method(field: &Field<'_>) -> Option<String> {
    let choices = METHODS.map(|method| (method, method));
    field.choice(&choices).map(str::to_owned)
}
