//! What stands in a content instance: a plain value, a JSON object, or either of them encoded as its contentInfo says (TS-0004 §6.4.1).

use serde_json::Value as Json;

use crate::codec::base64;

/// Name of the field of contents that are one value.
pub(super) const VALUE: &str = "value";
/// Deeper members are one field, as text.
const DEPTH_MAX: usize = 4;
/// More members of one content are no reading.
const MEMBERS_MAX: usize = 64;

/// Undoes the encoding, and reads texts that are JSON objects or lists.
pub(crate) fn decode(con: &Json, cnf: Option<&str>) -> Json {
    let Json::String(text) = con else { return con.clone() };
    let (media, encoding) = cnf.and_then(|cnf| cnf.split_once(':')).unwrap_or((cnf.unwrap_or_default(), "0"));
    let is_encoded = matches!(encoding.split(':').next(), Some("1" | "2"));
    let decoded = is_encoded.then(|| base64::decode(text)).flatten().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = decoded.as_deref().unwrap_or(text);
    let may_be_json = media.contains("json") || text.trim_start().starts_with(['{', '[']);
    let json = may_be_json.then(|| serde_json::from_str(text).ok()).flatten();
    json.unwrap_or_else(|| Json::String(text.to_owned()))
}

/// Members with where they stand, in their order; a plain value is one member.
pub(super) fn members(content: &Json) -> Vec<(Vec<String>, &Json)> {
    let mut found = Vec::new();
    collect(content, &mut Vec::new(), &mut found);
    found
}

fn collect<'a>(json: &'a Json, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, &'a Json)>) {
    if found.len() >= MEMBERS_MAX {
        return;
    }
    let children: Vec<(String, &Json)> = match json {
        Json::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Json::Array(list) if !list.is_empty() => {
            list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    if children.is_empty() || path.len() >= DEPTH_MAX {
        return found.push((path.clone(), json));
    }
    for (name, value) in children {
        path.push(name);
        collect(value, path, found);
        path.pop();
    }
}

/// What stands at a path.
pub(super) fn get<'a>(content: &'a Json, path: &[String]) -> Option<&'a Json> {
    path.iter().try_fold(content, |json, step| match json {
        Json::Object(members) => members.get(step),
        Json::Array(list) => list.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// An object with a value at a path.
pub(super) fn put(content: &mut Json, path: &[String], value: Json) {
    let Some((first, rest)) = path.split_first() else {
        *content = value;
        return;
    };
    if !content.is_object() {
        *content = Json::Object(serde_json::Map::new());
    }
    if let Json::Object(members) = content {
        put(members.entry(first.clone()).or_insert(Json::Null), rest, value);
    }
}

/// What a field at this path is called.
pub(super) fn name(path: &[String]) -> String {
    if path.is_empty() { VALUE.to_owned() } else { path.join(".") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_the_content_info_says() {
        assert_eq!(decode(&json!("21.50"), Some("text/plain:0")), json!("21.50"));
        assert_eq!(decode(&json!("MjEuNQ=="), Some("text/plain:1")), json!("21.5"));
        assert_eq!(decode(&json!("eyJ0IjoxfQ=="), Some("application/json:1")), json!({"t": 1}));
        assert_eq!(decode(&json!("{\"t\":1}"), None), json!({"t": 1}));
        assert_eq!(decode(&json!("42"), Some("application/json:0")), json!(42));
        assert_eq!(decode(&json!({"t": 1}), None), json!({"t": 1}));
    }

    #[test]
    fn what_is_not_as_it_says_stays_as_it_is() {
        assert_eq!(decode(&json!("not base64"), Some("text/plain:1")), json!("not base64"));
        assert_eq!(decode(&json!("{broken"), Some("application/json")), json!("{broken"));
        assert_eq!(decode(&json!("/w=="), Some("application/octet-stream:1")), json!("/w=="));
    }

    #[test]
    fn members_are_named_by_where_they_stand() {
        let content = json!({"a": {"b": 1, "c": [2, 3]}, "d": {}});
        let names: Vec<String> = members(&content).iter().map(|(path, _)| name(path)).collect();
        assert_eq!(names, ["a.b", "a.c.0", "a.c.1", "d"]);
        assert_eq!(name(&members(&json!(1))[0].0), "value");
        assert_eq!(get(&content, &["a".into(), "c".into(), "1".into()]), Some(&json!(3)));
    }

    #[test]
    fn large_contents_are_bounded() {
        let wide = Json::Array((0..1000).map(|at| json!(at)).collect());
        assert_eq!(members(&wide).len(), MEMBERS_MAX);
        let deep = (0..100).fold(json!(1), |inner, _| json!({"a": inner}));
        assert_eq!(members(&deep)[0].0.len(), DEPTH_MAX);
    }

    #[test]
    fn values_are_put_where_they_were_read() {
        let mut content = Json::Null;
        put(&mut content, &["a".into(), "b".into()], json!(1));
        put(&mut content, &["c".into()], json!(true));
        assert_eq!(content, json!({"a": {"b": 1}, "c": true}));
    }
}
