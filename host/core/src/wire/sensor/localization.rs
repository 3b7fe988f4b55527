//! How the name of a field is said in other languages (spec: sensor-data §7): attributes that name strings of tables, which only some
//! readers have. What cannot be read is left out: the name itself serves.

use minidom::Element;

use super::super::xml::{Tag, text_of};
use crate::model::limits::{LOCALIZATION_STEPS_MAX, NAME_BYTES_MAX};
use crate::model::{Localization, LocalizationStep};

/// Attributes: namespace and steps, by the length of names.
const fn names(long: bool) -> [&'static str; 2] {
    if long { ["module", "stringIds"] } else { ["lns", "loc"] }
}

pub(super) fn parse(value: &Element, long: bool) -> Localization {
    let [namespace, steps] = names(long);
    let text = value.attr(steps).filter(|text| !text.is_empty() && text.len() <= NAME_BYTES_MAX);
    let steps: Option<Vec<LocalizationStep>> = text.and_then(|text| text.split(',').map(step).collect());
    match steps.filter(|steps| steps.len() <= LOCALIZATION_STEPS_MAX) {
        Some(steps) => Localization { namespace: text_of(value, namespace), steps },
        None => Localization::default(),
    }
}

/// `ID`, `ID|NAMESPACE` or `ID|NAMESPACE|SEED`.
fn step(text: &str) -> Option<LocalizationStep> {
    let mut parts = text.splitn(3, '|');
    let id = parts.next()?.trim().parse().ok()?;
    let namespace = parts.next().unwrap_or_default().to_owned();
    Some(LocalizationStep { id, namespace, seed: parts.next().map(str::to_owned) })
}

/// With long names only modules can be named, words with dots between them; others are left out as a whole.
pub(super) fn write(tag: Tag, localization: &Localization, long: bool) -> Tag {
    let steps = &localization.steps;
    let namespaces = || steps.iter().map(|step| &step.namespace).chain([&localization.namespace]);
    if steps.is_empty() || (long && !namespaces().all(|namespace| is_module(namespace))) {
        return tag;
    }
    let texts = steps.iter().map(|step| match &step.seed {
        Some(seed) => format!("{}|{}|{seed}", step.id, step.namespace),
        None if step.namespace.is_empty() => step.id.to_string(),
        None => format!("{}|{}", step.id, step.namespace),
    });
    let [namespace, steps] = names(long);
    tag.filled(namespace, &localization.namespace).attr(steps, texts.collect::<Vec<_>>().join(","))
}

fn is_module(namespace: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|one| one.is_alphanumeric() || one == '_');
    namespace.is_empty() || namespace.split('.').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attributes: &str, long: bool) -> Localization {
        parse(&format!("<q xmlns='x' {attributes}/>").parse().unwrap(), long)
    }

    #[test]
    fn steps_have_a_number_and_may_have_a_namespace_and_a_seed() {
        let read = read("lns='urn:a' loc='1,2|urn:b,3||x|y'", false);
        let step = |id, namespace: &str, seed: Option<&str>| LocalizationStep {
            id,
            namespace: namespace.into(),
            seed: seed.map(str::to_owned),
        };
        let steps = vec![step(1, "", None), step(2, "urn:b", None), step(3, "", Some("x|y"))];
        assert_eq!(read, Localization { namespace: "urn:a".into(), steps });
        let written = write(Tag::new("q", "x"), &read, false).build();
        assert_eq!((written.attr("lns"), written.attr("loc")), (Some("urn:a"), Some("1,2|urn:b,3||x|y")));
    }

    #[test]
    fn what_is_no_localization_is_left_out() {
        for odd in ["loc=''", "loc='x'", "loc='1,'", "loc='-1'", "loc='4294967296'", "lns='a'", "stringIds='1'"] {
            assert!(read(odd, false).is_none(), "{odd}");
        }
        let long = format!("loc='{}'", vec!["1"; LOCALIZATION_STEPS_MAX + 1].join(","));
        assert!(read(&long, false).is_none());
    }

    #[test]
    fn long_names_carry_modules_only() {
        let write = |text: &str| {
            let read = read(text, true);
            let written = write(Tag::new("numeric", "x"), &read, true).build();
            (written.attr("module").map(str::to_owned), written.attr("stringIds").map(str::to_owned))
        };
        let module = (Some("Example.Meters".to_owned()), Some("1,2|Other".to_owned()));
        assert_eq!(write("module='Example.Meters' stringIds='1,2|Other'"), module);
        assert_eq!(write("module='urn:example' stringIds='1'"), (None, None));
    }
}
