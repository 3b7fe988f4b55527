//! The leaves of a JSON tree whose shape nobody announced: which values there are and what type they have. Bounded in number and depth.

use serde_json::Value;

use super::value::Kind;

/// Deeper trees are no readings.
const DEPTH_MAX: usize = 8;

/// Names of members and positions in lists, from the root.
pub(crate) type Path = Vec<String>;

/// Every text, number and truth of a tree, at most so many; null tells no type.
pub(crate) fn leaves(tree: &Value, max: usize) -> Vec<(Path, &Value)> {
    let mut found = Vec::new();
    walk(tree, &mut Vec::new(), max, &mut found);
    found
}

fn walk<'v>(tree: &'v Value, path: &mut Path, max: usize, found: &mut Vec<(Path, &'v Value)>) {
    let mut below = |step: String, value: &'v Value| {
        if path.len() < DEPTH_MAX && found.len() < max {
            path.push(step);
            walk(value, path, max, found);
            path.pop();
        }
    };
    match tree {
        Value::Object(members) => members.iter().for_each(|(name, value)| below(name.clone(), value)),
        Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| below(at.to_string(), value)),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) if path.is_empty() => {}
        leaf => found.push((path.clone(), leaf)),
    }
}

/// What a leaf's values will be.
pub(crate) fn kind(leaf: &Value) -> Kind {
    match leaf {
        Value::Bool(_) => Kind::boolean(),
        Value::Number(_) => Kind::Quantity,
        Value::String(text) if text == "ON" || text == "OFF" => Kind::boolean(),
        _ => Kind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_found_in_objects_and_lists_and_stay_bounded() {
        let tree = serde_json::json!({"a": {"b": [1, {"c": "x"}]}, "n": null, "s": "ON"});
        let found: Vec<String> = leaves(&tree, 9).into_iter().map(|(path, _)| path.join("/")).collect();
        assert_eq!(found, ["a/b/0", "a/b/1/c", "s"]);
        assert_eq!(leaves(&tree, 2).len(), 2);
        let deep = (0..50).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        assert!(leaves(&deep, 9).is_empty() && leaves(&serde_json::json!(7), 9).is_empty());
    }
}
